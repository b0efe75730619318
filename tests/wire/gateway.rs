//! The layer between a hyper server and hyper-util's pooled client.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, Uri, Version, header::HOST};
use http_body::Body;
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{
        Client,
        connect::{Connect, HttpConnector},
    },
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{net::TcpListener, sync::Notify};
use tower::{Service, ServiceBuilder};
use tower_bad_gateway::{BadGatewayLayer, BoxError, Failure, GatewayName, context::Timeouts};

use crate::{client, row::Outcome, upstream::Upstream};

/// The name of every gateway here.
pub(crate) const NAME: GatewayName = GatewayName::from_static("edge");

pub(crate) struct Gateway {
    pub(crate) address: SocketAddr,
    pub(crate) seen: Arc<Notify>,
    /// Failures, and whether they came after the head.
    pub(crate) failures: Arc<Mutex<Vec<(Failure, bool)>>>,
    /// How many calls nobody waited for.
    pub(crate) abandoned: Arc<AtomicUsize>,
}

/// No limit but 30 s: a peer that answers must never be too late on a busy machine. It has a name, so that it tells the next hop.
pub(crate) fn patient() -> BadGatewayLayer {
    let limit = Duration::from_secs(30);
    BadGatewayLayer::new().gateway_name(NAME).single_attempt().head_timeout(limit).idle_timeout(limit).silent()
}

/// For rows in which the limit of the head is expected to run out.
pub(crate) fn impatient() -> BadGatewayLayer {
    patient().head_timeout(Duration::from_millis(300))
}

/// For rows in which the limit of a silent body is expected to run out.
pub(crate) fn restless() -> BadGatewayLayer {
    patient().idle_timeout(Duration::from_millis(300))
}

impl Gateway {
    pub(crate) async fn start(upstream: impl Into<Upstream>, http2: bool, layer: BadGatewayLayer) -> Self {
        Self::over(HttpConnector::new(), "http", upstream, http2, layer).await
    }

    /// The same, with a connector of one's own.
    pub(crate) async fn over<C>(
        connector: C,
        scheme: &'static str,
        upstream: impl Into<Upstream>,
        http2: bool,
        layer: BadGatewayLayer,
    ) -> Self
    where
        C: Connect + Clone + Send + Sync + 'static,
    {
        Self::wrapped(connector, scheme, upstream, http2, layer, |request| request).await
    }

    /// The same, with something done to the body of requests.
    pub(crate) async fn wrapped<C, B>(
        connector: C,
        scheme: &'static str,
        upstream: impl Into<Upstream>,
        http2: bool,
        layer: BadGatewayLayer,
        wrap: impl Fn(Request<Incoming>) -> Request<B> + Clone + Send + 'static,
    ) -> Self
    where
        C: Connect + Clone + Send + Sync + 'static,
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        let Upstream { address: upstream, seen } = upstream.into();
        let service = ServiceBuilder::new()
            .map_request(move |mut request: Request<B>| {
                // CONNECT has none.
                let path = request.uri().path_and_query().map_or("/fault", |path| path.as_str());
                *request.uri_mut() = format!("{scheme}://{upstream}{path}").parse::<Uri>().unwrap();
                *request.version_mut() = if http2 { Version::HTTP_2 } else { Version::HTTP_11 };
                request.headers_mut().remove(HOST);
                if http2 {
                    request.headers_mut().remove("connection");
                }
                request
            })
            .service(Client::builder(TokioExecutor::new()).http2_only(http2).build::<_, B>(connector));
        Self::around(service, seen, layer, wrap).await
    }

    /// The layer around any service that is given origin-form requests.
    pub(crate) async fn around<S, A, B>(
        service: S,
        seen: Arc<Notify>,
        layer: BadGatewayLayer,
        wrap: impl Fn(Request<Incoming>) -> Request<A> + Clone + Send + 'static,
    ) -> Self
    where
        S: Service<Request<A>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Into<BoxError> + Send,
        A: Body + Send + 'static,
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        let failures = Arc::<Mutex<Vec<(Failure, bool)>>>::default();
        let abandoned = Arc::<AtomicUsize>::default();
        let (told, later, left) = (Arc::clone(&failures), Arc::clone(&failures), Arc::clone(&abandoned));
        let layer = layer
            .on_failure(move |event| told.lock().unwrap().push((event.failure().clone(), false)))
            .on_body_failure(move |event| later.lock().unwrap().push((event.failure().clone(), true)))
            .on_abandoned(move |_| {
                left.fetch_add(1, Ordering::SeqCst);
            });
        let service = ServiceBuilder::new()
            .map_request(move |mut request: Request<Incoming>| {
                if request.uri().path() == "/ok" {
                    // The limit of the row is for its fault.
                    let limit = Duration::from_secs(30);
                    request.extensions_mut().insert(Timeouts::new().head(limit).idle(limit));
                }
                wrap(request)
            })
            .layer(layer)
            .service(service);
        let address = relay(service).await;
        Self { address, seen, failures, abandoned }
    }

    /// Asks for the fault, and then for something that works.
    pub(crate) async fn ask(self) -> Outcome {
        let received = client::get(self.address, "/fault", &self.seen).await;
        self.outcome(received).await
    }

    pub(crate) async fn outcome(self, received: client::Received) -> Outcome {
        let failures = std::mem::take(&mut *self.failures.lock().unwrap());
        assert!(failures.len() <= 1, "one failure is told once: {failures:?}");
        let after_head = failures.first().is_some_and(|(_, after_head)| *after_head);
        let failure = failures.first().map(|(failure, _)| failure);
        if let Some(code) = received.field("content-type").filter(|kind| kind == "application/problem+json") {
            // What the client reads is what the layer said.
            let problem: serde_json::Value = serde_json::from_slice(received.content()).unwrap();
            assert_eq!(problem["code"], failure.unwrap().kind().token(), "{code}");
            assert_eq!(problem["status"], received.status());
        }
        let next = client::get(self.address, "/ok", &self.seen).await;
        Outcome {
            status: received.status(),
            whole: received.is_whole(),
            after_head,
            proxy_status: received.fields("proxy-status"),
            next: next.status() == 200 && next.is_whole() && next.content().windows(5).any(|part| part == b"hello"),
            ..Outcome::told(failure)
        }
    }
}

/// A server in front of this service.
pub(crate) async fn relay<S, B>(service: S) -> SocketAddr
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError> + Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let server = auto::Builder::new(TokioExecutor::new());
        while let Ok((stream, _)) = listener.accept().await {
            let service = TowerToHyperService::new(service.clone());
            tokio::spawn(server.serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned());
        }
    });
    address
}
