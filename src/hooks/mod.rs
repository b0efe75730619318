//! What an operator sees.

#[cfg(feature = "tracing")]
mod trace;

use std::time::Duration;

use http::StatusCode;

use crate::{context::RequestContext, failure::Failure, gateway_name::GatewayName};

/// A failure and the request that met it, as given to [`on_failure`](crate::BadGatewayLayer::on_failure) and
/// [`on_body_failure`](crate::BadGatewayLayer::on_body_failure).
#[derive(Clone, Copy, Debug)]
pub struct FailureEvent<'a> {
    pub(crate) failure: &'a Failure,
    pub(crate) request: &'a RequestContext,
    pub(crate) status: StatusCode,
    pub(crate) upstream: Option<&'a str>,
    pub(crate) gateway: Option<&'a GatewayName>,
}

/// A call that nobody waits for any more, as given to [`on_abandoned`](crate::BadGatewayLayer::on_abandoned).
#[derive(Clone, Copy, Debug)]
pub struct AbandonedEvent<'a> {
    pub(crate) request: &'a RequestContext,
    pub(crate) status: Option<StatusCode>,
    pub(crate) elapsed: Option<Duration>,
    pub(crate) upstream: Option<&'a str>,
    pub(crate) gateway: Option<&'a GatewayName>,
}

impl<'a> AbandonedEvent<'a> {
    /// The head of the request.
    #[must_use]
    pub fn request(&self) -> &'a RequestContext {
        self.request
    }

    /// The status of the response whose body was on its way; `None` if the upstream had not answered yet.
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        self.status
    }

    /// How long the response head had been waited for, if it was still waited for and the clock had been read.
    #[must_use]
    pub fn elapsed(&self) -> Option<Duration> {
        self.elapsed
    }

    /// The name given by [`upstream`](crate::BadGatewayLayer::upstream).
    #[must_use]
    pub fn upstream(&self) -> Option<&'a str> {
        self.upstream
    }

    /// The name given by [`name`](crate::BadGatewayLayer::name).
    #[must_use]
    pub fn gateway(&self) -> Option<&'a GatewayName> {
        self.gateway
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

    /// The head of the request.
    #[must_use]
    pub fn request(&self) -> &'a RequestContext {
        self.request
    }

    /// The HTTP status the client is answered: 200 for a gRPC request, and what had been sent for a body that broke.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The name given by [`upstream`](crate::BadGatewayLayer::upstream).
    #[must_use]
    pub fn upstream(&self) -> Option<&'a str> {
        self.upstream
    }

    /// The name given by [`name`](crate::BadGatewayLayer::name).
    #[must_use]
    pub fn gateway(&self) -> Option<&'a GatewayName> {
        self.gateway
    }

    /// One WARN event.
    #[cfg(feature = "tracing")]
    pub(crate) fn trace(&self) {
        trace::warn(self);
    }

    #[cfg(not(feature = "tracing"))]
    #[allow(clippy::unused_self)]
    pub(crate) fn trace(&self) {}
}
