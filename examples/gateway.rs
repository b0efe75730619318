//! A reverse proxy in front of one upstream, which always answers.
//!
//! ```text
//! $ cargo run --example gateway
//! listening on http://127.0.0.1:8080
//! no --upstream given: an embedded one offers a fault under each path
//!
//!   /ok                 answers properly                          200
//!   /refused            refuses the connection                    502 connection_refused
//!   ...
//! $ curl -i http://127.0.0.1:8080/refused
//! HTTP/1.1 502 Bad Gateway
//! ...
//! ```
//!
//! With `--upstream http://127.0.0.1:9000` it stands in front of that; `--help` lists the rest. Built with
//! `--features rustls` it tells a bad certificate from other failures of TLS.

#[path = "gateway/forward.rs"]
mod forward;
#[path = "gateway/options.rs"]
mod options;
#[path = "gateway/upstream.rs"]
mod upstream;

use std::{error::Error, io, io::Write, net::SocketAddr, process::ExitCode, sync::Arc, time::Duration};

use http::{Request, Uri, header::UPGRADE, uri::Scheme};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};
use tokio::net::{TcpListener, TcpStream};
use tower::{ServiceBuilder, ServiceExt, timeout::TimeoutLayer, util::BoxCloneSyncService};
use tower_bad_gateway::{BadGatewayLayer, BoxError};

use crate::{
    forward::{Forward, Peer},
    options::Options,
};

/// Connects by TCP, and by TLS where the URI says so; all of it within the connect limit.
type Connector = BoxCloneSyncService<Uri, MaybeHttpsStream<TokioIo<TcpStream>>, BoxError>;

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt().with_ansi(false).with_max_level(tracing::Level::WARN).with_writer(io::stderr).init();
    let outcome = match Options::parse() {
        Ok(Some(options)) => serve(options).await,
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gateway: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(mut options: Options) -> Result<(), Box<dyn Error>> {
    let client = Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(options.pool_idle)
        .http2_only(options.http2)
        .build::<_, Incoming>(connector(&options)?);
    let listener = listen(&options).await?;
    let address = listener.local_addr()?;

    let embedded = options.upstream.is_none();
    let forward = Arc::new(match &options.upstream {
        Some(upstream) => Forward::to(upstream, &options)?,
        None => {
            // Nobody wants to wait a minute to see that it waits a minute.
            options.head_timeout.get_or_insert(Some(Duration::from_secs(2)));
            options.idle_timeout.get_or_insert(Some(Duration::from_secs(2)));
            Forward::to_embedded(&upstream::start().await?, &options)?
        }
    });
    let mut layer = BadGatewayLayer::new().name(options.name.clone());
    if let Some(limit) = options.head_timeout {
        layer = layer.head_timeout(limit);
    }
    if let Some(limit) = options.idle_timeout {
        layer = layer.idle_timeout(limit);
    }
    let gateway = ServiceBuilder::new()
        .layer(layer)
        .filter(move |request: Request<Incoming>| forward.rewrite(request))
        .service(client);

    // Whoever reads this may have read enough after the first line.
    let table = if embedded { upstream::table(address) } else { String::new() };
    let _ = write!(io::stdout(), "listening on http://{address}\n{table}");

    let server = server();
    let graceful = GracefulShutdown::new();
    let mut end = Signals::new()?;
    loop {
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of descriptors, or the client was gone again: neither ends a server.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
            () = end.next() => break,
        };
        let _ = stream.set_nodelay(true);
        let service = gateway.clone().map_request(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(Peer(peer.ip()));
            // Nothing is upgraded behind this gateway, so the layer must not take it for asked.
            request.headers_mut().remove(UPGRADE);
            request
        });
        let connection = server.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)).into_owned();
        // How it ends is the client's business.
        tokio::spawn(graceful.watch(connection));
    }

    drop(listener);
    eprintln!("gateway: finishing what is under way, for {} at most", humantime::format_duration(options.drain));
    tokio::select! {
        () = graceful.shutdown() => {}
        () = tokio::time::sleep(options.drain) => eprintln!("gateway: some connections had to be cut"),
        () = end.next() => eprintln!("gateway: cut short"),
    }
    Ok(())
}

fn connector(options: &Options) -> Result<Connector, Box<dyn Error>> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(options.connect_timeout));

    // The provider is named: a second one in the build must not decide.
    let provider = Arc::new(ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let tls = match &options.ca {
        Some(file) => {
            let unreadable = |error: &dyn Error| format!("cannot read certificates from {}: {error}", file.display());
            let mut roots = RootCertStore::empty();
            for certificate in CertificateDer::pem_file_iter(file).map_err(|error| unreadable(&error))? {
                roots.add(certificate.map_err(|error| unreadable(&error))?).map_err(|error| unreadable(&error))?;
            }
            if roots.is_empty() {
                return Err(format!("no certificate in {}", file.display()).into());
            }
            HttpsConnectorBuilder::new().with_tls_config(tls.with_root_certificates(roots).with_no_client_auth())
        }
        // A machine without certificates is no reason not to start where none are needed.
        None if options.upstream.as_ref().and_then(Uri::scheme) != Some(&Scheme::HTTPS) => {
            let none = tls.with_root_certificates(RootCertStore::empty());
            HttpsConnectorBuilder::new().with_tls_config(none.with_no_client_auth())
        }
        None => HttpsConnectorBuilder::new().with_provider_and_native_roots(ring::default_provider())?,
    };
    let https = tls.https_or_http();
    let https =
        if options.http2 { https.enable_http2().wrap_connector(tcp) } else { https.enable_http1().wrap_connector(tcp) };
    // The limit of the TCP connector does not cover the TLS handshake.
    let limited = ServiceBuilder::new().layer(TimeoutLayer::new(options.connect_timeout)).service(https);
    Ok(BoxCloneSyncService::new(limited))
}

fn server() -> auto::Builder<TokioExecutor> {
    let mut server = auto::Builder::new(TokioExecutor::new());
    server.http1().timer(TokioTimer::new());
    server.http2().timer(TokioTimer::new());
    server
}

/// The port asked for; the usual one may give way to any other.
async fn listen(options: &Options) -> Result<TcpListener, Box<dyn Error>> {
    let usual = SocketAddr::from(([127, 0, 0, 1], 8080));
    let address = options.listen.unwrap_or(usual);
    match TcpListener::bind(address).await {
        Err(error) if options.listen.is_none() && error.kind() == io::ErrorKind::AddrInUse => {
            Ok(TcpListener::bind((address.ip(), 0)).await?)
        }
        Err(error) => Err(format!("cannot listen on {address}: {error}").into()),
        Ok(listener) => Ok(listener),
    }
}

/// Ctrl-C and, on Unix, SIGTERM.
struct Signals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    #[cfg(unix)]
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    #[cfg(unix)]
    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    #[cfg(not(unix))]
    fn new() -> io::Result<Self> {
        Ok(Self {})
    }

    #[cfg(not(unix))]
    async fn next(&mut self) {
        let _ = tokio::signal::ctrl_c().await;
    }
}
