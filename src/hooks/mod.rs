//! The reports of a call: events for `tracing`, metrics, and the hooks of the user.
//!
//! One call ends in at most one of four ways, and each way is one method of [`Observers`]; only a fallback whose body breaks after its head is told in
//! a second report, and `report_unanswered` is `report_failure` for a client that has left while a fallback was asked:
//!
//! | end of the call | method | reported as |
//! | --- | --- | --- |
//! | a failure was answered in place of a response | `report_failure` | [`FailureEvent`] |
//! | a body broke after its head was sent | `report_body_failure` | [`FailureEvent`] |
//! | the response was dropped before its end | `report_abandonment` | [`AbandonedEvent`] |
//! | the response was forwarded to its end | `report_success` | [`SuccessEvent`] |
//!
//! | file | what is in it |
//! | --- | --- |
//! | `observers` | the order in which log, metrics and hooks are run, and the protection against their panics |
//! | `trace` | the events of feature `tracing`, field by field |
//! | `event_log` | the limit of events a second, and the count of those that are left out |
//! | `abandonments` | the warning when many clients leave and few are answered |
//! | `unreported` | the event for a handler's failure that no layer has answered |
//! | `metrics` | counters, gauge and histograms of feature `metrics` |
//! | `grpc_status` | the names of gRPC codes, for log and labels |
//!
//! The callers: the layer's setters store hooks and metrics, [`BadGateway`](crate::BadGateway) counts the beginning of a call, and
//! the policy makes the events and hands them over. The conversion of a handler's failure into a response (feature `axum`) makes
//! an [`Unreported`].
//!
//! What this module must not know: the error types of hyper, io and tower that a failure was made of, bodies as streams, and how a
//! failure is shown to a client. A report never changes the answer.

#[cfg(feature = "tracing")]
mod abandonments;
#[cfg(feature = "tracing")]
mod event_log;
#[cfg(any(feature = "metrics", feature = "tracing"))]
mod grpc_status;
#[cfg(feature = "metrics")]
mod metrics;
mod observers;
#[cfg(feature = "tracing")]
mod trace;
#[cfg(all(feature = "axum", feature = "tracing"))]
mod unreported;

use std::time::Duration;
#[cfg(not(feature = "metrics"))]
use std::{any::Any, borrow::Cow};

use http::StatusCode;

#[cfg(feature = "metrics")]
pub use self::metrics::Metrics;
pub(crate) use self::observers::Observers;
#[cfg(all(feature = "axum", feature = "tracing"))]
pub(crate) use self::unreported::Unreported;
#[cfg(feature = "tracing")]
pub(crate) use self::{abandonments::AbandonmentCounter, event_log::EventLog};

#[cfg(feature = "tracing")]
use crate::failure::{Blame, FallbackOutcome};
use crate::{context::RequestContext, failure::Failure, gateway_name::GatewayName, upstream::Upstream};

/// What all events say of their call: its request, and the names of the upstream and of the gateway.
///
/// It is made by the policy when an event is made, and borrows everything: making it allocates nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallDetails<'a> {
    /// The head of the request, as captured before the wrapped service was called.
    pub(crate) request: &'a RequestContext,
    /// The name that the layer was given by [`upstream`](crate::BadGatewayLayer::upstream).
    pub(crate) layer_upstream: Option<&'a str>,
    /// The upstream that the failure, or else the extensions of the response, have named for this call.
    pub(crate) call_upstream: Option<&'a Upstream>,
    /// The name that the layer was given by [`gateway_name`](crate::BadGatewayLayer::gateway_name).
    pub(crate) gateway: Option<&'a GatewayName>,
}

impl<'a> CallDetails<'a> {
    /// The name of the upstream: the one of this call, or else the one of the layer.
    pub(crate) fn upstream(&self) -> Option<&'a str> {
        self.call_upstream.map(Upstream::name).or(self.layer_upstream)
    }

    /// Address and port of this call's upstream; a layer's name has neither.
    pub(crate) fn server(&self) -> Option<(&'a str, Option<u16>)> {
        self.call_upstream.and_then(Upstream::address)
    }
}

/// The four getters that all events have, written once so that their docs cannot differ.
macro_rules! call_getters {
    ($event:ident) => {
        impl<'a> $event<'a> {
            /// The head of the request, as the layer captured it before it called the wrapped service: method, path, version,
            /// identifier. Of the header fields those are kept that [`capture_fields`](crate::BadGatewayLayer::capture_fields) names.
            #[must_use]
            pub fn request(&self) -> &'a RequestContext {
                self.call.request
            }

            /// The name of the upstream.
            ///
            /// It is the name of this call's [`Upstream`] if the response, the error or the failure carries one, or else the one
            /// given to the layer by [`upstream`](crate::BadGatewayLayer::upstream). `None` if there is neither. A call that was
            /// never answered and never failed by itself (a limit ran out, the client left) has the layer's name.
            #[must_use]
            pub fn upstream(&self) -> Option<&'a str> {
                self.call.upstream()
            }

            /// Address and port of the upstream of this call.
            ///
            /// `None` unless the call's own [`Upstream`] was given them by [`server`](Upstream::server): the layer does not
            /// look at the URI of the request or at the connection.
            #[must_use]
            pub fn server(&self) -> Option<(&'a str, Option<u16>)> {
                self.call.server()
            }

            /// The name given by [`gateway_name`](crate::BadGatewayLayer::gateway_name); `None` by default.
            #[must_use]
            pub fn gateway(&self) -> Option<&'a GatewayName> {
                self.call.gateway
            }
        }
    };
}

call_getters!(FailureEvent);
call_getters!(SuccessEvent);
call_getters!(AbandonedEvent);

/// A failure and the request that met it, as given to [`on_failure`](crate::BadGatewayLayer::on_failure) and
/// [`on_body_failure`](crate::BadGatewayLayer::on_body_failure).
///
/// Everything in it may be private: texts of errors, names and addresses of the upstream. What a client is shown is written
/// elsewhere, by the [format](crate::format), before the hook runs. To keep a part of the event for later, clone
/// [`failure`](Self::failure) (one reference count) or [`request`](Self::request).
///
/// ```
/// use tower_bad_gateway::{BadGatewayLayer, FailureEvent, failure::Blame};
///
/// fn alarm(event: &FailureEvent<'_>) {
///     if event.failure().blame() != Blame::Client {
///         eprintln!("{:?}: {} was answered {}", event.upstream(), event.failure().kind(), event.status());
///     }
/// }
/// let layer = BadGatewayLayer::new().upstream("billing").on_failure(alarm);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct FailureEvent<'a> {
    pub(crate) failure: &'a Failure,
    pub(crate) call: CallDetails<'a>,
    pub(crate) status: StatusCode,
    pub(crate) grpc_code: Option<u8>,
}

/// A response that was forwarded to its end, as given to [`on_success`](crate::BadGatewayLayer::on_success).
///
/// The end is the end of the body, or the drop of a body of known length whose bytes have all been handed over: servers do not ask
/// once more after the last of them. A response without content, and a tunnel (101, or 2xx to CONNECT), is at its end with its head.
///
/// ```
/// use std::time::Duration;
/// use tower_bad_gateway::{BadGatewayLayer, SuccessEvent};
///
/// fn slow(event: &SuccessEvent<'_>) {
///     if event.time_to_head() > Duration::from_secs(1) {
///         eprintln!("{} of {:?} was slow: {:?}", event.request().path(), event.upstream(), event.time_to_head());
///     }
/// }
/// let layer = BadGatewayLayer::new().on_success(slow);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct SuccessEvent<'a> {
    pub(crate) call: CallDetails<'a>,
    pub(crate) status: StatusCode,
    pub(crate) time_to_head: Duration,
    pub(crate) time_to_end: Duration,
}

/// A call whose response was dropped before its end, as given to [`on_abandoned`](crate::BadGatewayLayer::on_abandoned).
///
/// Mostly the client has left: a server drops the future of the call, or the body, when the connection or the stream of the client
/// ends. A timeout or a hedging layer *outside* of this one drops a call in the same way. A call that is dropped while a thread
/// unwinds from a panic is not reported as abandoned.
///
/// ```
/// use tower_bad_gateway::{AbandonedEvent, BadGatewayLayer};
///
/// fn left(event: &AbandonedEvent<'_>) {
///     match event.status() {
///         Some(status) => eprintln!("the client left {} in the body of a {status}", event.request().path()),
///         None => eprintln!("the client left {} unanswered after {:?}", event.request().path(), event.elapsed()),
///     }
/// }
/// let layer = BadGatewayLayer::new().on_abandoned(left);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct AbandonedEvent<'a> {
    pub(crate) call: CallDetails<'a>,
    pub(crate) status: Option<StatusCode>,
    pub(crate) elapsed: Option<Duration>,
}

impl SuccessEvent<'_> {
    /// The status of the upstream, which was forwarded to the client. A 500 that the upstream sent by itself is among them.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// How long it took from the call, or from the wait for readiness before it, to the response head.
    ///
    /// The head is the upstream's: the time for which it is held ([`hold_head`](crate::BadGatewayLayer::hold_head),
    /// [`hold_body`](crate::BadGatewayLayer::hold_body)) is not included.
    #[must_use]
    pub fn time_to_head(&self) -> Duration {
        self.time_to_head
    }

    /// How long it took from the same beginning to the end of the body. It includes [`time_to_head`](Self::time_to_head), and the
    /// time that the client took to read.
    #[must_use]
    pub fn time_to_end(&self) -> Duration {
        self.time_to_end
    }
}

/// Without feature `metrics` there is no value of this type, so that [`Observers`] need not be written twice.
#[cfg(not(feature = "metrics"))]
#[derive(Clone, Debug)]
pub(crate) enum Metrics {}

#[cfg(not(feature = "metrics"))]
impl Metrics {
    pub(crate) fn register(&self, _: Option<&str>, _: bool) {
        match *self {}
    }

    pub(crate) fn count_call(&self, _: Option<&Cow<'static, str>>) -> Option<Box<dyn Any + Send + Sync>> {
        match *self {}
    }

    pub(crate) fn record_failure(&self, _: &FailureEvent<'_>) {
        match *self {}
    }

    pub(crate) fn count_left_out(&self, _: &FailureEvent<'_>) {
        match *self {}
    }

    pub(crate) fn count_fallback(&self, _: &FailureEvent<'_>) {
        match *self {}
    }

    pub(crate) fn record_success(&self, _: &SuccessEvent<'_>) {
        match *self {}
    }

    pub(crate) fn record_abandonment(&self, _: &AbandonedEvent<'_>) {
        match *self {}
    }
}

impl AbandonedEvent<'_> {
    /// The status of the response whose body was on its way; `None` if no head had been forwarded: the upstream had not
    /// answered yet, or the head was [held](crate::BadGatewayLayer::hold_head).
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        self.status
    }

    /// How long the call had been waited for when it was dropped.
    ///
    /// By default the clock is read only when a call has to be waited for, and the time is known only before the head: `None` if
    /// the wrapped service was ready and answered at its first poll, and if a head had been forwarded. With
    /// [`on_success`](crate::BadGatewayLayer::on_success) or metrics the clock is read at the beginning of every call, and this is
    /// the time since then, before the head and after it.
    #[must_use]
    pub fn elapsed(&self) -> Option<Duration> {
        self.elapsed
    }

    /// Writes one DEBUG event.
    #[cfg(feature = "tracing")]
    pub(crate) fn trace(&self) {
        trace::abandonment(self);
    }

    #[cfg(not(feature = "tracing"))]
    #[allow(clippy::unused_self)]
    pub(crate) fn trace(&self) {}
}

impl<'a> FailureEvent<'a> {
    /// Whether it is told as the client's part, at INFO: a fallback that broke after its head never is.
    #[cfg(feature = "tracing")]
    pub(super) fn is_clients(&self) -> bool {
        let broken = matches!(self.failure.fallback(), Some(FallbackOutcome::Broken(_)));
        !broken && self.failure.blame() == Blame::Client
    }

    /// The failure, with everything private about it: the chain of causes, the upstream's own status, what other hops have said.
    #[must_use]
    pub fn failure(&self) -> &'a Failure {
        self.failure
    }

    /// The HTTP status the client is answered.
    ///
    /// It is the status after [`map_status`](crate::BadGatewayLayer::map_status), and 200 for a gRPC request, whose code is
    /// [`grpc_code`](Self::grpc_code). For a body that broke it is the status of the head, which had been sent. Where a fallback
    /// [keeps its status](crate::fallback::Fallback::keep_status) it is that one, and where the client left while it was asked the one that the answer
    /// would have had.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The [code](https://grpc.io/docs/guides/status-codes/) in the `grpc-status` of the answer; `None` for a request
    /// that is not gRPC, and for a body that was aborted.
    #[must_use]
    pub fn grpc_code(&self) -> Option<u8> {
        self.grpc_code
    }
}

/// Without feature `tracing` no event is written, and none is counted as left out.
#[cfg(not(feature = "tracing"))]
#[derive(Clone, Copy)]
pub(crate) struct EventLog;

#[cfg(not(feature = "tracing"))]
#[allow(clippy::unused_self)]
impl EventLog {
    pub(crate) fn new(_: Option<u32>) -> Self {
        Self
    }

    pub(crate) fn with_same_limit(&self) -> Self {
        Self
    }

    pub(crate) fn write(&self, _: &FailureEvent<'_>) -> bool {
        true
    }
}

/// Without feature `tracing` clients that leave are not counted for a warning; hooks and metrics still see them.
#[cfg(not(feature = "tracing"))]
#[derive(Default)]
pub(crate) struct AbandonmentCounter;

#[cfg(not(feature = "tracing"))]
#[allow(clippy::unused_self)]
impl AbandonmentCounter {
    pub(crate) fn note_head(&self) {}

    pub(crate) fn note_abandonment(&self, _: Option<&str>) {}
}
