//! What is written by hand, as closures.

use std::convert::Infallible;

use http::{HeaderValue, StatusCode, header};
use tower::{Service, service_fn};

use super::LIMIT;
use crate::{
    content::Content,
    scenario::{Request, Response, Upstream},
};

/// Every error is a static 502; no timeout.
pub(super) fn matched(upstream: impl Upstream) -> impl Service<Request, Response = Response, Error = Infallible> {
    service_fn(move |request| {
        let mut upstream = upstream.clone();
        async move {
            Ok(upstream.call(request).await.unwrap_or_else(|_| {
                let mut response = Response::new(Content::full("Bad Gateway"));
                *response.status_mut() = StatusCode::BAD_GATEWAY;
                response
            }))
        }
    })
}

/// The timeout of tokio, and JSON by `format!`.
pub(super) fn timeout(upstream: impl Upstream) -> impl Service<Request, Response = Response, Error = Infallible> {
    service_fn(move |request| {
        let mut upstream = upstream.clone();
        async move { Ok(answer(tokio::time::timeout(LIMIT, upstream.call(request)).await)) }
    })
}

/// The same with the timeout of pingora, which keeps one timer for all that end in the same span of 10 milliseconds.
pub(super) fn pingora_timeout(
    upstream: impl Upstream,
) -> impl Service<Request, Response = Response, Error = Infallible> {
    service_fn(move |request| {
        let mut upstream = upstream.clone();
        async move { Ok(answer(pingora_timeout::timeout(LIMIT, upstream.call(request)).await)) }
    })
}

fn answer<E, T>(outcome: Result<Result<Response, E>, T>) -> Response {
    match outcome {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => json(StatusCode::BAD_GATEWAY, "Bad Gateway"),
        Err(_) => json(StatusCode::GATEWAY_TIMEOUT, "Gateway Timeout"),
    }
}

fn json(status: StatusCode, title: &str) -> Response {
    let mut response = Response::new(Content::full(format!(r#"{{"status":{},"title":"{title}"}}"#, status.as_u16())));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
