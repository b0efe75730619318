//! Another service that is asked for the content of an answer: a folder of pages, a router, a second upstream.
//!
//! Where a [format](crate::format) makes content of what is in memory, a fallback is a tower service: it may read files, render a page, or call
//! another upstream. It is asked for GET and HEAD, after the failure and before the head of the answer. Never for gRPC, nor for an upgrade, and
//! a body that breaks after its head has no other answer.
//!
//! ```
//! use std::convert::Infallible;
//!
//! use bytes::Bytes;
//! use http::{Request, Response, StatusCode, header::CONTENT_TYPE};
//! use http_body_util::{BodyExt, Full};
//! use tower::{Layer, ServiceExt, service_fn};
//! use tower_bad_gateway::{BadGatewayLayer, fallback::{EmptyBody, FailureView}};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! // Any service from `Request<EmptyBody>`: tower-http's `ServeDir` and `ServeFile`, an axum `Router`, a client.
//! let pages = service_fn(|request: Request<EmptyBody>| async move {
//!     let failure = request.extensions().get::<FailureView>().unwrap();
//!     let page = format!("<!doctype html><title>{}</title>", failure.title());
//!     Ok::<_, Infallible>(Response::builder().header(CONTENT_TYPE, "text/html").body(Full::<Bytes>::from(page)).unwrap())
//! });
//! let upstream = service_fn(|_: Request<String>| async {
//!     Err::<Response<Full<Bytes>>, _>(std::io::Error::from(std::io::ErrorKind::ConnectionRefused))
//! });
//!
//! let Ok(response) = BadGatewayLayer::new().fallback(pages).layer(upstream).oneshot(Request::new(String::new())).await;
//! assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
//! assert_eq!(response.headers()[CONTENT_TYPE], "text/html");
//! let page = response.into_body().collect().await.unwrap().to_bytes();
//! assert_eq!(page, "<!doctype html><title>Connection refused</title>");
//! # }
//! ```
//!
//! # What the fallback is asked
//!
//! | of the request | what the fallback sees |
//! | --- | --- |
//! | method | the same, GET or HEAD |
//! | target | the path, without the query (but see [`forward_query`](Fallback::forward_query)); or the one that was [set](Fallback::path), such as one [by status](Fallback::by_status) |
//! | version | HTTP/1.1 |
//! | fields | `Host`, `Accept`, `Accept-Language`, those that hold the [identifier](crate::BadGatewayLayer::request_id_header) of the request, and those that were [asked for](Fallback::forward_fields): no `Authorization`, no `Cookie` |
//! | content | none |
//! | extensions | a [`FailureView`], and the [`RequestId`](crate::context::RequestId) if there is one |
//!
//! It is asked before the format, for every client unless it is [for browsers](Fallback::for_browsers).
//!
//! # What the client gets
//!
//! | of the answer | comes from |
//! | --- | --- |
//! | status | the failure; [`keep_status`](Fallback::keep_status) takes that of the fallback, with `Location`, `WWW-Authenticate`, `Allow`, `Retry-After` and `Content-Range` |
//! | content, `Content-Type`, `Content-Encoding`, `Content-Language`, `Content-Disposition`, `Content-Security-Policy`, `Vary` | the fallback |
//! | `Cache-Control` | the layer: `no-store`; [`keep_caching`](Fallback::keep_caching) takes that of the fallback, with `Age`, `ETag`, `Expires` and `Last-Modified` |
//! | `Proxy-Status`, `Retry-After`, `X-Content-Type-Options`, [fields of the user](crate::BadGatewayLayer::header) | the layer |
//! | any other field | is dropped, unless it was [asked for](Fallback::keep_fields); those take the place of the layer's own, but for the `Proxy-Status` of a gateway with a name |
//!
//! A [second upstream](Fallback::upstream) is asked with the query, and all of its response is the answer.
//!
//! # When the fallback fails too
//!
//! The answer is written by the format then, as if there were no fallback, and both causes are kept: the failure is that of the upstream, and
//! [`Failure::fallback`](crate::Failure::fallback) says what has become of the fallback. So it is with a fallback that is late
//! ([2 seconds](Fallback::time_limit)), that is asked too often [at once](Fallback::concurrency_limit), that panics, whose body is broken
//! from the start, or that answers anything but a 2xx, or a part of one (with `keep_status` a 5xx). Log, hooks and metrics tell the failure *and* what the client
//! got. A body that breaks after its head is aborted, and told as what has become of the fallback, not as a second failure.

mod service;

pub use self::service::Fallback;
pub use crate::fallback_service::{EmptyBody, FailureView};
