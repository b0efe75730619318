//! What an operator sees.

#[cfg(feature = "tracing")]
mod trace;

use http::StatusCode;

use crate::{context::RequestContext, failure::Failure, gateway_name::GatewayName};

/// A failure and the request that met it, as given to [`on_failure`](crate::BadGatewayLayer::on_failure).
#[derive(Clone, Copy, Debug)]
pub struct FailureEvent<'a> {
    pub(crate) failure: &'a Failure,
    pub(crate) request: &'a RequestContext,
    pub(crate) status: StatusCode,
    pub(crate) upstream: Option<&'a str>,
    pub(crate) gateway: Option<&'a GatewayName>,
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
