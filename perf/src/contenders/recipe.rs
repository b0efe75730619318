//! What is put together from the crates that exist.

use std::convert::Infallible;

use axum::{
    BoxError, Json,
    error_handling::HandleErrorLayer,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use http_body::Body;
use serde_json::json;
use tower::{Layer, Service, ServiceBuilder, timeout};
use tower_http::{
    catch_panic::CatchPanicLayer,
    timeout::{ResponseBodyTimeoutLayer, TimeoutLayer},
    trace::TraceLayer,
};
use tower_resilience_timelimiter::{TimeLimiterError, TimeLimiterLayer};

use super::LIMIT;
use crate::scenario::{Request, Upstream};

/// Answers 504 itself, passes errors on.
pub(super) fn tower_http_timeout(
    upstream: impl Upstream,
) -> impl Service<Request, Response = http::Response<impl Body>> {
    TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, LIMIT).layer(upstream)
}

/// Limits the silence of the body, and nothing else.
pub(super) fn body_timeout(upstream: impl Upstream) -> impl Service<Request, Response = http::Response<impl Body>> {
    ResponseBodyTimeoutLayer::new(LIMIT).layer(upstream)
}

/// What axum's own documentation shows.
pub(super) fn usual(upstream: impl Upstream) -> impl Service<Request, Response = Response, Error = Infallible> {
    ServiceBuilder::new()
        .layer(HandleErrorLayer::new(handle))
        .layer(timeout::TimeoutLayer::new(LIMIT))
        .service(upstream)
}

/// The same with another timeout.
pub(super) fn resilience<U: Upstream>(upstream: U) -> impl Service<Request, Response = Response, Error = Infallible> {
    ServiceBuilder::new()
        .layer(HandleErrorLayer::new(|error: TimeLimiterError<U::Error>| async move {
            match error {
                TimeLimiterError::Timeout => problem(StatusCode::GATEWAY_TIMEOUT, "Gateway Timeout"),
                TimeLimiterError::Inner(_) => problem(StatusCode::BAD_GATEWAY, "Bad Gateway"),
            }
        }))
        .layer(TimeLimiterLayer::builder().timeout_duration(LIMIT).build())
        .service(upstream)
}

/// The usual recipe, with a log, a net under panics and a time limit for the body. There is no subscriber.
pub(super) fn full(upstream: impl Upstream) -> impl Service<Request, Response = http::Response<impl Body>> {
    ServiceBuilder::new()
        .layer(TraceLayer::new_for_http())
        .layer(CatchPanicLayer::new())
        .layer(HandleErrorLayer::new(handle))
        .layer(timeout::TimeoutLayer::new(LIMIT))
        .layer(ResponseBodyTimeoutLayer::new(LIMIT))
        .service(upstream)
}

async fn handle(error: BoxError) -> Response {
    if error.is::<timeout::error::Elapsed>() {
        problem(StatusCode::GATEWAY_TIMEOUT, "Gateway Timeout")
    } else {
        problem(StatusCode::BAD_GATEWAY, "Bad Gateway")
    }
}

fn problem(status: StatusCode, title: &str) -> Response {
    (status, Json(json!({ "status": status.as_u16(), "title": title }))).into_response()
}
