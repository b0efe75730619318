//! A tower layer that turns every failure of an upstream call into the right answer.
//!
//! Wrap the service that stands for the call. It cannot fail any more: errors, time limits and invalid responses become
//! 502, 503 or 504 with content in the format the client asked for, a gRPC client gets a gRPC status, and a body that breaks
//! half-way is aborted, visibly to the next hop, or between two gRPC messages ended in a status. A healthy response is forwarded as it is.
//!
//! ```
//! use std::io;
//!
//! use bytes::Bytes;
//! use http::{Request, Response, StatusCode};
//! use http_body_util::Full;
//! use tower::{Layer, ServiceExt, service_fn};
//! use tower_bad_gateway::{BadGatewayLayer, Failure, FailureKind};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let upstream = service_fn(|_: Request<String>| async {
//!     Err::<Response<Full<Bytes>>, _>(io::Error::from(io::ErrorKind::ConnectionRefused))
//! });
//! let gateway = BadGatewayLayer::new().layer(upstream);
//!
//! // The error type is `Infallible`.
//! let Ok(response) = gateway.oneshot(Request::new(String::new())).await;
//! assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
//! let failure = response.extensions().get::<Failure>().unwrap();
//! assert_eq!(failure.kind(), FailureKind::ConnectionRefused);
//! # }
//! ```
//!
//! The [guide] has a page for each subject: [502, 503 or 504](guide::status), [pages and other content](guide::pages),
//! [bodies that break](guide::bodies), [gRPC](guide::grpc), [handlers](guide::handlers), [retries](guide::retries), [uploads](guide::uploads),
//! [log and metrics](guide::observing), and [what to write in the place of a directive](guide::coming_from) of nginx, Traefik, Envoy, HAProxy,
//! Caddy and linkerd.
//!
//! # Where it goes
//!
//! | layer | where | why |
//! | --- | --- | --- |
//! | CORS, compression, tracing, metrics | outside | answers of the gateway need them too |
//! | **`BadGatewayLayer`** | | |
//! | retry, hedging, balance, buffer, timeout, load shed, request rewriting | inside | their errors become answers; an endpoint that never fails inside a balancer would attract all load |
//! | the client | innermost | |
//!
//! One layer is for an upstream call ([`BadGatewayLayer::new`]), another kind stands around local handlers that make such
//! calls themselves ([`BadGatewayLayer::for_router`]). Both may be in one stack: the outer one forwards the answers of the inner one.
//!
//! # Who learns of a failure
//!
//! | who | what | by |
//! | --- | --- | --- |
//! | the client | a sentence and a token, in its own format; nothing private | [`mod@format`], [`message`](BadGatewayLayer::message) |
//! | the next hop | `Proxy-Status`: which gateway failed, and how | [`gateway_name`](BadGatewayLayer::gateway_name), [`proxy_status`] |
//! | who may see more | the private cause as well | [`disclose`](BadGatewayLayer::disclose) |
//! | the operator | one event a failure, metrics, hooks | features `tracing` and `metrics`, [`on_failure`](BadGatewayLayer::on_failure) and its relatives |
//! | middleware outside | the [`Failure`] in the extensions of the response; in the error of a body that broke later | [`Failure::find`], feature `tower-http` |
//!
//! # Around a client of one's own
//!
//! The layer is for answers that are forwarded. Around a client whose errors your own code reads, the layer is in the way: it
//! replaces the error of a tonic channel or of reqwest in a handler by an answer, and the caller is left with a status and a public
//! sentence. There leave the layer away and read the error: [`Failure::from_error`], or `?` in a handler that returns
//! `Result<_, Failure>`. `From` is there for hyper-util's legacy `Error` and, with their features, for the errors of reqwest and
//! reqwest-middleware; not for `io::Error` and `hyper::Error`, which need not come from an upstream call. A handler of tonic makes a
//! `Status` of the `Failure` (feature `tonic-0_14`).
//!
//! | what you have | what to do |
//! | --- | --- |
//! | a client service that answers the request: a proxy, a mounted upstream, a tonic channel that calls are forwarded to | the layer around it |
//! | a `GreeterClient`, a reqwest call whose content you look at | no layer; `?`, and [`for_router`](BadGatewayLayer::for_router) around the handlers |
//!
//! # What the layer asks of the wrapped service
//!
//! `Service<Request<A>, Response = Response<B>>` with `Error: Into<BoxError>`, `A: Body` and
//! `B: Body<Data = Bytes> + Unpin + 'static`. A body that is not `Unpin` is boxed below the layer, by
//! `.map_response(|response| response.map(http_body_util::BodyExt::boxed))`. The service is never cloned, and called only when
//! it was ready. The layer needs a tokio runtime with a timer as soon as a call has to be waited for, unless all limits are
//! `None`.
//!
//! The timer of a limit stays registered after its call, for the next call of the thread. So a runtime may be woken although all calls have
//! ended, once for each timer, and in a test its paused clock may move while it waits for what is no timer, such as a socket. A thread keeps
//! what its last runtime leaves behind, hooks and descriptors, until it waits in another one, or ends.
//!
//! rustc may say `implementation of From is not general enough` where a call is awaited in an `async` block that has to be
//! `Send` and a boxed error stands in the type of the wrapped service, as in `BoxCloneSyncService<_, _, BoxError>` or a
//! closure that returns one: inside of the block rustc loses sight of the `'static` in `Box<dyn Error>`. Give the closure an
//! error type of its own, or hand the future to `tokio::spawn` as it is, without a block around it. The boxed errors of
//! tower's own middleware are no trouble.
//!
//! # Not for
//!
//! Errors of your own handlers that are no upstream's (return a response), panics (tower-http's `CatchPanicLayer`),
//! circuit breaking and balancing (tower and its neighbours), forwarding 1xx responses (no tower service can).
//!
//! # What cannot be detected
//!
//! Where the end of the connection is the end of the body, as in HTTP/1.0 without a length, a body that was cut short looks
//! complete: from the upstream to us, and from us to a client of HTTP/1.0, unless the server resets its connection. Bytes after a
//! `Content-Length` and any number of 1xx responses are swallowed by the client library. An HTTP/2 stream that is reset with `NO_ERROR` looks complete unless its
//! length was said, or the body is hyper's own (see [`BadGatewayLayer::trust_end_of_stream`]).

#![cfg_attr(docsrs, feature(doc_cfg))]

// Which module may use which, and where to put what, is drawn in CONTRIBUTING.md.
#[cfg(feature = "axum")]
mod axum; // a failure as axum's response
pub mod body; // the call, from the wait for its head on, and its bodies
mod body_kind; // which bodies may pause
mod caught; // calls of code that may panic: of users, and of tokio
pub mod classify;
pub mod context;
mod dialect; // gRPC: its answers, and what its responses have to bring
pub mod failure;
pub mod fallback; // a service that is asked for the content of an answer
mod fallback_service; // the same, as the policy asks it
mod fields; // lists and media types in header fields
pub mod format;
mod future; // polls the call until its head
mod gateway_name;
pub mod guide;
mod hooks; // what an operator sees: log, metrics, hooks
mod kind; // the table of failures and answers
mod layer; // the settings
mod policy; // the decisions
pub mod proxy_status;
mod representation; // the content of an answer, and its fields
#[cfg(feature = "retry")]
pub mod retry; // a second attempt, inside of the layer
mod service; // readiness, and the start of a call
mod tap; // the request's body
mod timer; // a tokio timer that is made at the first wait
#[cfg(feature = "tonic-0_14")]
mod tonic;
#[cfg(feature = "tower-http")]
mod tower_http;
mod upstream;
pub mod validate;

#[cfg(feature = "metrics")]
pub use self::hooks::Metrics;
#[cfg(feature = "tower-http")]
pub use self::tower_http::FailureClassifier;
pub use self::{
    failure::{BoxError, Failure},
    future::ResponseFuture,
    gateway_name::{GatewayName, InvalidGatewayName},
    hooks::{AbandonedEvent, FailureEvent, SuccessEvent},
    kind::FailureKind,
    layer::BadGatewayLayer,
    policy::RequestPolicy,
    service::BadGateway,
    tap::{RequestBodyTap, Tapped},
    upstream::{Upstream, UpstreamError},
};
