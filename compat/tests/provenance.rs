//! Middleware outside of the layer reads whose fault it was: tracing, retries and metrics of somebody else's.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test that panics has failed")]

use std::{
    collections::BTreeMap,
    future::{Ready, ready},
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body, extract::Request, response::Response, routing::any_service};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use tower::{ServiceBuilder, ServiceExt, retry, service_fn};
use tower_bad_gateway::{BadGatewayLayer, BoxError, Failure, FailureClassifier, FailureKind, failure::RetrySafety};
use tower_http::{
    classify::SharedClassifier,
    request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer},
    trace::TraceLayer,
};
use tracing::Span;

type Upstream = UnsyncBoxBody<Bytes, BoxError>;

/// Fails as its path says.
async fn upstream(request: Request) -> Result<http::Response<Upstream>, BoxError> {
    let whole = Full::new(Bytes::from_static(b"hello")).map_err(BoxError::from);
    match request.uri().path() {
        "/refused" => Err(io::Error::from(io::ErrorKind::ConnectionRefused).into()),
        "/reset" => Err(io::Error::from(io::ErrorKind::ConnectionReset).into()),
        "/own-500" => Ok(http::Response::builder().status(500).body(whole.boxed_unsync())?),
        "/broken" => {
            let first = Ok(http_body::Frame::data(Bytes::from_static(b"hel")));
            let frames = [first, Err(BoxError::from(io::Error::from(io::ErrorKind::ConnectionReset)))];
            let body = StreamBody::new(futures_util::stream::iter(frames));
            Ok(http::Response::new(body.boxed_unsync()))
        }
        _ => Ok(http::Response::new(whole.boxed_unsync())),
    }
}

fn request(path: &str, grpc: bool) -> Request {
    let content_type = if grpc { "application/grpc" } else { "text/plain" };
    Request::builder().method("POST").uri(path).header("content-type", content_type).body(Body::empty()).unwrap()
}

const PATHS: [(&str, bool); 6] = [
    ("/ok", false),
    ("/refused", false),
    ("/refused", true),
    ("/reset", false),
    ("/own-500", false),
    ("/broken", false),
];

/// What `TraceLayer` classifies: nothing, an answer, the status of the upstream, and a body that broke after its head.
const CLASSIFIED: [FailureKind; 5] = [
    FailureKind::ConnectionRefused,
    FailureKind::ConnectionRefused, // by gRPC, whose status is 200
    FailureKind::ConnectionTerminated,
    FailureKind::ReceivedStatus,
    FailureKind::ConnectionTerminated,
];

#[tokio::test]
async fn trace_layer_classifies_by_the_failure_right_outside_of_the_layer() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let hook = Arc::clone(&seen);
    let trace = TraceLayer::new(SharedClassifier::new(FailureClassifier::new()))
        .on_failure(move |failure: Failure, _: Duration, _: &Span| hook.lock().unwrap().push(failure.kind()));
    let stack = ServiceBuilder::new().layer(trace).layer(BadGatewayLayer::new().silent()).service_fn(upstream);
    for (path, grpc) in PATHS {
        let response = stack.clone().oneshot(request(path, grpc)).await.unwrap();
        let _ = response.into_body().collect().await;
    }
    assert_eq!(*seen.lock().unwrap(), CLASSIFIED);
}

/// Between the two axum has made a body of its own of ours.
#[tokio::test]
async fn trace_layer_classifies_by_the_failure_around_an_axum_router() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let hook = Arc::clone(&seen);
    let trace = TraceLayer::new(SharedClassifier::new(FailureClassifier::new()))
        .on_failure(move |failure: Failure, _: Duration, _: &Span| hook.lock().unwrap().push(failure.kind()));
    let mounted = ServiceBuilder::new().layer(BadGatewayLayer::new().silent()).service_fn(upstream);
    let router = Router::new().route("/{*path}", any_service(mounted)).layer(trace);
    for (path, grpc) in PATHS {
        let response = router.clone().oneshot(request(path, grpc)).await.unwrap();
        let _ = response.into_body().collect().await;
    }
    assert_eq!(*seen.lock().unwrap(), CLASSIFIED);
}

/// Sends again what was surely not sent, twice at most.
#[derive(Clone)]
struct NotSent {
    left: usize,
}

impl<B, E> retry::Policy<Request, http::Response<B>, E> for NotSent {
    type Future = Ready<()>;

    fn retry(&mut self, _: &mut Request, result: &mut Result<http::Response<B>, E>) -> Option<Ready<()>> {
        let failure = result.as_ref().ok()?.extensions().get::<Failure>()?;
        let again = failure.retry_safety() == RetrySafety::NotSent && self.left > 0;
        self.left = self.left.saturating_sub(1);
        again.then(|| ready(()))
    }

    fn clone_request(&mut self, request: &Request) -> Option<Request> {
        let mut copy = Request::new(Body::empty());
        *copy.method_mut() = request.method().clone();
        *copy.uri_mut() = request.uri().clone();
        *copy.headers_mut() = request.headers().clone();
        Some(copy)
    }
}

#[tokio::test]
async fn retries_read_whether_the_request_was_sent() {
    for (path, calls) in [("/ok", 1), ("/refused", 3), ("/reset", 1), ("/own-500", 1)] {
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        let stack = ServiceBuilder::new()
            .layer(retry::RetryLayer::new(NotSent { left: 2 }))
            .layer(BadGatewayLayer::new().single_attempt().silent())
            .service(service_fn(move |request| {
                counted.fetch_add(1, Ordering::SeqCst);
                upstream(request)
            }));
        stack.oneshot(request(path, false)).await.unwrap();
        assert_eq!(count.load(Ordering::SeqCst), calls, "{path}");
    }
}

/// A counter that knows nothing of the layer but its failures, those after the head too.
#[tokio::test]
async fn metrics_of_ones_own_read_failures_before_and_after_the_head() {
    type Counts = Arc<Mutex<BTreeMap<&'static str, usize>>>;
    fn count(counts: &Counts, failure: &Failure) {
        *counts.lock().unwrap().entry(failure.kind().token()).or_default() += 1;
    }
    let counts = Counts::default();
    let outer = Arc::clone(&counts);
    let mounted = ServiceBuilder::new().layer(BadGatewayLayer::new().silent()).service_fn(upstream);
    let router = Router::new().route("/{*path}", any_service(mounted)).layer(ServiceBuilder::new().map_response(
        move |response: Response| {
            if let Some(failure) = response.extensions().get::<Failure>() {
                count(&outer, failure);
            }
            let outer = Arc::clone(&outer);
            response.map(|body| {
                Body::new(body.map_err(move |error| {
                    if let Some(failure) = Failure::find(&error) {
                        count(&outer, failure);
                    }
                    error
                }))
            })
        },
    ));
    for (path, grpc) in PATHS {
        let response = router.clone().oneshot(request(path, grpc)).await.unwrap();
        let _ = response.into_body().collect().await;
    }
    let expected = BTreeMap::from([("connection_refused", 2), ("connection_terminated", 2)]);
    assert_eq!(*counts.lock().unwrap(), expected);
}

#[tokio::test]
async fn the_identifier_of_tower_http_is_shown_and_passed_back() {
    let stack = ServiceBuilder::new()
        .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
        .layer(PropagateRequestIdLayer::x_request_id())
        .layer(BadGatewayLayer::new().silent())
        .service_fn(upstream);
    for given in [None, Some("7f3a-12")] {
        let mut request = request("/refused", false);
        if let Some(id) = given {
            request.headers_mut().insert("x-request-id", id.parse().unwrap());
        }
        let response = stack.clone().oneshot(request).await.unwrap();
        let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
        assert_eq!(given.unwrap_or(&id), id);
        let content = response.into_body().collect().await.unwrap().to_bytes();
        let document: serde_json::Value = serde_json::from_slice(&content).unwrap();
        assert_eq!(document["request_id"], *id);
    }
}

/// Another version has other types.
#[tokio::test]
async fn the_identifier_of_an_older_tower_http_is_shown_as_well() {
    use tower_http_0_6::request_id::{MakeRequestUuid, SetRequestIdLayer};

    let stack = ServiceBuilder::new()
        .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
        .layer(BadGatewayLayer::new().silent())
        .service_fn(upstream);
    let mut request = request("/refused", false);
    request.headers_mut().insert("x-request-id", "7f3a-12".parse().unwrap());
    let response = stack.oneshot(request).await.unwrap();
    let content = response.into_body().collect().await.unwrap().to_bytes();
    let document: serde_json::Value = serde_json::from_slice(&content).unwrap();
    assert_eq!(document["request_id"], "7f3a-12");
}
