//! What an operator sees.

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
pub(crate) use self::{abandonments::AbandonmentLog, event_log::EventLog};

use crate::{context::RequestContext, failure::Failure, gateway_name::GatewayName, upstream::Upstream};

/// What all events have in common: the call that they are of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallDetails<'a> {
    pub(crate) request: &'a RequestContext,
    /// By the name of the layer.
    pub(crate) layer_upstream: Option<&'a str>,
    /// By what was said of this call.
    pub(crate) call_upstream: Option<&'a Upstream>,
    pub(crate) gateway: Option<&'a GatewayName>,
}

impl<'a> CallDetails<'a> {
    /// The nearest that is known.
    pub(crate) fn upstream(&self) -> Option<&'a str> {
        self.call_upstream.map(Upstream::name).or(self.layer_upstream)
    }

    pub(crate) fn server(&self) -> Option<(&'a str, Option<u16>)> {
        self.call_upstream.and_then(Upstream::address)
    }
}

/// The getters that all events have.
macro_rules! call_getters {
    ($event:ident) => {
        impl<'a> $event<'a> {
            /// The head of the request.
            #[must_use]
            pub fn request(&self) -> &'a RequestContext {
                self.call.request
            }

            /// The name of the upstream: that of this call if somebody has [said](Upstream) it, or the one given by
            /// [`upstream`](crate::BadGatewayLayer::upstream).
            #[must_use]
            pub fn upstream(&self) -> Option<&'a str> {
                self.call.upstream()
            }

            /// Address and port of the upstream of this call, if somebody has [said](Upstream::server) them.
            #[must_use]
            pub fn server(&self) -> Option<(&'a str, Option<u16>)> {
                self.call.server()
            }

            /// The name given by [`gateway_name`](crate::BadGatewayLayer::gateway_name).
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
#[derive(Clone, Copy, Debug)]
pub struct FailureEvent<'a> {
    pub(crate) failure: &'a Failure,
    pub(crate) call: CallDetails<'a>,
    pub(crate) status: StatusCode,
    pub(crate) grpc_code: Option<u8>,
}

/// A response that was passed on to its end, as given to [`on_success`](crate::BadGatewayLayer::on_success).
#[derive(Clone, Copy, Debug)]
pub struct SuccessEvent<'a> {
    pub(crate) call: CallDetails<'a>,
    pub(crate) status: StatusCode,
    pub(crate) time_to_head: Duration,
    pub(crate) time_to_end: Duration,
}

/// A call that nobody waits for any more, as given to [`on_abandoned`](crate::BadGatewayLayer::on_abandoned).
#[derive(Clone, Copy, Debug)]
pub struct AbandonedEvent<'a> {
    pub(crate) call: CallDetails<'a>,
    pub(crate) status: Option<StatusCode>,
    pub(crate) elapsed: Option<Duration>,
}

impl SuccessEvent<'_> {
    /// The upstream's status; a 500 of its own is a response as any other.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// How long it was from the call, or the wait for readiness before it, to the response head.
    #[must_use]
    pub fn time_to_head(&self) -> Duration {
        self.time_to_head
    }

    /// How long it was from then to the end of the body; the time that a client took to read it is in it.
    #[must_use]
    pub fn time_to_end(&self) -> Duration {
        self.time_to_end
    }
}

/// Without the feature there are none.
#[cfg(not(feature = "metrics"))]
#[derive(Clone, Debug)]
pub(crate) enum Metrics {}

#[cfg(not(feature = "metrics"))]
impl Metrics {
    pub(crate) fn register(&self, _: Option<&str>) {
        match *self {}
    }

    pub(crate) fn called(&self, _: Option<&Cow<'static, str>>) -> Option<Box<dyn Any + Send + Sync>> {
        match *self {}
    }

    pub(crate) fn failed(&self, _: &FailureEvent<'_>) {
        match *self {}
    }

    pub(crate) fn left_out(&self, _: &FailureEvent<'_>) {
        match *self {}
    }

    pub(crate) fn succeeded(&self, _: &SuccessEvent<'_>) {
        match *self {}
    }

    pub(crate) fn abandoned(&self, _: &AbandonedEvent<'_>) {
        match *self {}
    }
}

impl AbandonedEvent<'_> {
    /// The status of the response whose body was on its way; `None` if the upstream had not answered yet.
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        self.status
    }

    /// How long the response head had been waited for, if it was still waited for and the clock had been read. With
    /// [`on_success`](crate::BadGatewayLayer::on_success) or metrics the clock is read in every call, and this is the time since
    /// then, also after the head.
    #[must_use]
    pub fn elapsed(&self) -> Option<Duration> {
        self.elapsed
    }

    /// One DEBUG event.
    #[cfg(feature = "tracing")]
    pub(crate) fn trace(&self) {
        trace::debug(self);
    }

    #[cfg(not(feature = "tracing"))]
    #[allow(clippy::unused_self)]
    pub(crate) fn trace(&self) {}
}

impl<'a> FailureEvent<'a> {
    /// The failure, with everything private about it.
    #[must_use]
    pub fn failure(&self) -> &'a Failure {
        self.failure
    }

    /// The HTTP status the client is answered: 200 for a gRPC request, and what had been sent for a body that broke.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The [code](https://grpc.io/docs/guides/status-codes/) in the `grpc-status` of the answer; `None` for a request that is not
    /// gRPC, and for a body that broke.
    #[must_use]
    pub fn grpc_code(&self) -> Option<u8> {
        self.grpc_code
    }
}

/// Without the feature nothing is written.
#[cfg(not(feature = "tracing"))]
#[derive(Clone, Copy)]
pub(crate) struct EventLog;

#[cfg(not(feature = "tracing"))]
#[allow(clippy::unused_self)]
impl EventLog {
    pub(crate) fn new(_: Option<u32>) -> Self {
        Self
    }

    pub(crate) fn anew(&self) -> Self {
        Self
    }

    pub(crate) fn write(&self, _: &FailureEvent<'_>) -> bool {
        true
    }
}

/// Without the feature nobody is told of them.
#[cfg(not(feature = "tracing"))]
#[derive(Default)]
pub(crate) struct AbandonmentLog;

#[cfg(not(feature = "tracing"))]
#[allow(clippy::unused_self)]
impl AbandonmentLog {
    pub(crate) fn answered(&self) {}

    pub(crate) fn left(&self, _: Option<&str>) {}
}
