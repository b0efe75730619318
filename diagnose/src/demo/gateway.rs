//! One gateway of the chain, and the application at its end.

use std::{error::Error, io, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, Version, header::HOST, header::VIA};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::{
    client::legacy::{
        Client,
        connect::{HttpConnector, dns::Name},
    },
    rt::{TokioExecutor, TokioIo},
    service::TowerToHyperService,
};
use rustls::pki_types::CertificateDer;
use tokio::{net::TcpListener, sync::Semaphore};
use tower::{ServiceBuilder, limit::GlobalConcurrencyLimitLayer, load_shed::LoadShedLayer};
use tower_bad_gateway::{BadGatewayLayer, Failure, FailureKind, GatewayName, context::Timeouts};

use super::{LONG, SHORT};
use crate::{
    ask::resolve,
    trust::{self, Trust},
};

pub(super) struct Gateway {
    pub(super) name: GatewayName,
    pub(super) ways: Ways,
    /// So many requests at once.
    pub(super) most: usize,
}

/// Where each path leads.
#[derive(Clone)]
pub(super) struct Ways {
    pub(super) usual: String,
    pub(super) detours: Vec<(&'static str, String)>,
    /// For these paths nobody waits long for a head.
    pub(super) silent: &'static [&'static str],
    /// For these the head has all the time it needs, but nobody waits long for the rest.
    pub(super) stalling: &'static [&'static str],
}

impl Gateway {
    pub(super) async fn start(self, authority: &CertificateDer<'static>) -> Result<SocketAddr, Box<dyn Error>> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        self.serve(listener, authority)?;
        Ok(address)
    }

    pub(super) fn serve(
        self,
        listener: TcpListener,
        authority: &CertificateDer<'static>,
    ) -> Result<(), Box<dyn Error>> {
        let Self { name, ways, most } = self;
        let resolver = tower::service_fn(|name: Name| {
            Box::pin(async move { resolve(name.as_str(), 0).await.map(Vec::into_iter) })
        });
        let mut tcp = HttpConnector::new_with_resolver(resolver);
        tcp.enforce_http(false);
        let tls = trust::config(Trust::One(authority))?;
        let https =
            HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new()).build::<_, Incoming>(https);

        let element = HeaderValue::try_from(format!("1.1 {}", name.as_str()))?;
        let (own, silent, stalling) = (element.clone(), ways.silent, ways.stalling);
        let gateway = ServiceBuilder::new()
            .map_response(move |mut response: Response<_>| {
                response.headers_mut().append(VIA, own.clone());
                response
            })
            .map_request(move |mut request: Request<Incoming>| {
                let path = request.uri().path();
                let limits = [
                    silent.contains(&path).then(|| Timeouts::new().head(SHORT)),
                    stalling.contains(&path).then(|| Timeouts::new().head(LONG).idle(SHORT)),
                ];
                if let Some(limits) = limits.into_iter().flatten().next() {
                    request.extensions_mut().insert(limits);
                }
                request
            })
            .layer(BadGatewayLayer::new().gateway_name(name).head_timeout(LONG))
            .layer(LoadShedLayer::new())
            .layer(GlobalConcurrencyLimitLayer::with_semaphore(Arc::new(Semaphore::new(most))))
            .filter(move |request| ways.rewrite(request, &element))
            .service(client);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let service = TowerToHyperService::new(gateway.clone());
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Ok(())
    }
}

impl Ways {
    fn rewrite(&self, mut request: Request<Incoming>, own: &HeaderValue) -> Result<Request<Incoming>, Failure> {
        // A name of one's own is how one knows one's own requests (RFC 9110, section 7.6.3).
        if passed(request.headers(), own) {
            return Err(Failure::new(FailureKind::ProxyLoopDetected));
        }
        let path = request.uri().path();
        let detour = self.detours.iter().find(|(from, _)| *from == path);
        let base = detour.map_or(&self.usual, |(_, to)| to);
        let wrong = |_| Failure::new(FailureKind::ProxyConfigurationError);
        let uri: Uri = format!("{base}{path}").parse().map_err(wrong)?;
        *request.uri_mut() = uri;
        *request.version_mut() = Version::HTTP_11;
        request.headers_mut().remove(HOST);
        request.headers_mut().append(VIA, own.clone());
        Ok(request)
    }
}

fn passed(headers: &HeaderMap, own: &HeaderValue) -> bool {
    headers.get_all(VIA).iter().any(|element| element == own)
}

/// It has a fault of its own, which is not for a gateway to tell of.
pub(super) async fn application() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service_fn(|_| async {
                let mut response = Response::new(Full::new(Bytes::from_static(b"something went wrong\n")));
                *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                Ok::<_, std::convert::Infallible>(response)
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    Ok(address)
}
