//! A gateway written by hand on hyper, with the layer and without it, and the upstream behind it; run by `perf/end-to-end`.
//!
//! `hop upstream`, `hop bare URL`, `hop layer URL`: prints its port. One thread, but a runtime of several where `TOKIO_WORKER_THREADS`
//! says how many.

use std::{convert::Infallible, env, error::Error, net::SocketAddr};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, Uri, header::CONTENT_TYPE, uri::Parts};
use http_body_util::{Either, Full};
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
    service::TowerToHyperService,
};
use tokio::net::TcpListener;
use tower::{Layer, Service};
use tower_bad_gateway::BadGatewayLayer;

type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

fn main() -> Outcome {
    let mut runtime = match env::var_os("TOKIO_WORKER_THREADS") {
        Some(_) => tokio::runtime::Builder::new_multi_thread(),
        None => tokio::runtime::Builder::new_current_thread(),
    };
    runtime.enable_all().build()?.block_on(run())
}

async fn run() -> Outcome {
    let mut arguments = env::args().skip(1);
    let (what, upstream) = (arguments.next(), arguments.next());
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
    println!("{}", listener.local_addr()?.port());
    let client = Client::builder(TokioExecutor::new()).build::<_, Incoming>(HttpConnector::new());
    match (what.as_deref(), upstream) {
        (Some("upstream"), None) => {
            serve(listener, tower::service_fn(|request| async move { Ok::<_, Infallible>(answer(&request)) })).await
        }
        (Some("bare"), Some(url)) => {
            let upstream = url.parse::<Uri>()?;
            let gateway = tower::service_fn(move |request| {
                let call = client.request(rewritten(request, &upstream));
                // What anybody writes.
                async {
                    Ok::<_, Infallible>(call.await.map_or_else(|_| refused(), |response| response.map(Either::Left)))
                }
            });
            serve(listener, gateway).await
        }
        (Some("layer"), Some(url)) => {
            let upstream = url.parse::<Uri>()?;
            let inner = tower::service_fn(move |request| client.request(rewritten(request, &upstream)));
            serve(listener, BadGatewayLayer::new().silent().layer(inner)).await
        }
        _ => Err("usage: hop upstream | hop bare URL | hop layer URL".into()),
    }
}

async fn serve<S, B>(listener: TcpListener, service: S) -> Outcome
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future: Send> + Clone + Send + 'static,
    B: http_body::Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let service = TowerToHyperService::new(service.clone());
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

fn rewritten(mut request: Request<Incoming>, upstream: &Uri) -> Request<Incoming> {
    let mut parts = Parts::default();
    (parts.scheme, parts.authority) = (upstream.scheme().cloned(), upstream.authority().cloned());
    parts.path_and_query = request.uri().path_and_query().cloned();
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
    request
}

fn refused() -> Response<Either<Incoming, Full<Bytes>>> {
    let mut response = Response::new(Either::Right(Full::from(r#"{"status":502,"title":"Bad Gateway"}"#)));
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// As many bytes as the path says.
fn answer(request: &Request<Incoming>) -> Response<Full<Bytes>> {
    static CONTENT: [u8; 1 << 20] = [b'x'; 1 << 20];
    let length = request.uri().path().trim_start_matches('/').parse::<usize>().unwrap_or_default();
    Response::new(Full::from(CONTENT.split_at_checked(length).unwrap_or_default().0))
}
