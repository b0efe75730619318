//! TLS towards the upstream: whom to trust, and a connector that may not take for ever.

use std::{
    error::Error,
    path::Path,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::Uri;
use hyper_rustls::{ConfigBuilderExt, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::{
    client::legacy::connect::{HttpConnector, dns::Name},
    rt::TokioIo,
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};
use tokio::{net::TcpStream, sync::Semaphore};
use tower::{Service, ServiceBuilder, ServiceExt, service_fn, timeout::TimeoutLayer};
use tower_bad_gateway::{BoxError, Failure, FailureKind, failure::RetrySafety};

use crate::{
    options::Options,
    pool::{self, UpstreamStream},
    resolver::resolve,
};

/// Connects by TCP, and by TLS where the URI says so; all of it within the connect limit.
///
/// hyper's client has a copy for each request, most of which need no connection: so a copy is a count.
#[derive(Clone)]
pub(crate) struct Connector(Arc<dyn Fn(Uri) -> Connecting + Send + Sync>);

type Connected = UpstreamStream<MaybeHttpsStream<TokioIo<TcpStream>>>;
type Connecting = Pin<Box<dyn Future<Output = Result<Connected, BoxError>> + Send>>;

impl Service<Uri> for Connector {
    type Response = Connected;
    type Error = BoxError;
    type Future = Connecting;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Connecting {
        (self.0)(uri)
    }
}

/// Whose certificates are good.
pub(crate) enum Trust<'a> {
    /// Those of a PEM file.
    File(&'a Path),
    /// This one.
    One(CertificateDer<'static>),
    /// What the system trusts.
    System,
    /// Nobody's: there is no TLS upstream.
    None,
}

/// `most`: how many connections there may be at once.
pub(crate) fn connector(options: &Options, trust: Trust<'_>, most: usize) -> Result<Connector, Box<dyn Error>> {
    let limit = options.connect_timeout.unwrap_or(Some(Duration::from_secs(3)));
    let time = limit.unwrap_or(Duration::MAX);
    // A name may take half of it, so that a resolver that is silent has a failure of its own name.
    let mut tcp = HttpConnector::new_with_resolver(service_fn(move |name: Name| Box::pin(resolve(name, time / 2))));
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(limit);
    tcp.set_keepalive(Some(Duration::from_secs(60)));
    // The connection of a call that was given up is kept until its bytes are taken, which may be never. It ends that of an upload whose
    // upstream pauses as well, though its system answers, so it must not be shorter than a call may wait.
    #[cfg(target_os = "linux")]
    tcp.set_tcp_user_timeout(pool::write_timeout(options));

    // The provider is named: a second one in the build must not decide.
    let provider = Arc::new(ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut roots = RootCertStore::empty();
    let tls = match trust {
        Trust::System => tls.with_native_roots()?,
        Trust::None => tls.with_root_certificates(roots),
        Trust::One(certificate) => {
            roots.add(certificate)?;
            tls.with_root_certificates(roots)
        }
        Trust::File(file) => {
            read(file, &mut roots)
                .map_err(|error| format!("cannot read certificates from {}: {error}", file.display()))?;
            tls.with_root_certificates(roots)
        }
    };
    let https = HttpsConnectorBuilder::new().with_tls_config(tls.with_no_client_auth()).https_or_http();
    let https =
        if options.http2 { https.enable_http2().wrap_connector(tcp) } else { https.enable_http1().wrap_connector(tcp) };
    // The limit of the TCP connector does not cover the TLS handshake.
    let limited = ServiceBuilder::new().layer(TimeoutLayer::new(time)).service(https);
    let permits = Arc::new(Semaphore::new(most));
    Ok(Connector(Arc::new(move |uri| {
        let (permit, connection) = (Arc::clone(&permits).try_acquire_owned(), limited.clone().oneshot(uri));
        Box::pin(async move {
            let limit = || Failure::new(FailureKind::ConnectionLimitReached).with_retry_safety(RetrySafety::NotSent);
            let permit =
                permit.map_err(|_| limit().with_source("no descriptors for another connection to the upstream"))?;
            Ok(UpstreamStream::new(connection.await?, permit))
        })
    })))
}

fn read(file: &Path, roots: &mut RootCertStore) -> Result<(), Box<dyn Error>> {
    for certificate in CertificateDer::pem_file_iter(file)? {
        roots.add(certificate?)?;
    }
    if roots.is_empty() { Err("there is none in it".into()) } else { Ok(()) }
}
