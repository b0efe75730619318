//! The time limits that a request may bring along for the layer, in its extensions.
//!
//! `capture` reads them when the layer is called, and keeps them in the overrides of the [`RequestContext`](super::RequestContext).

use std::time::Duration;

/// A request extension: time limits of this request, which *replace* those of the layer.
///
/// What is not set here stays as the layer has it. A limit set here has no exceptions, whether it is longer or shorter: it applies to
/// gRPC, event streams and long uploads, and to an upgrade until its 101. `None` waits for ever. The client's own deadline
/// (`grpc-timeout`) can still end the call before. It works in [`for_router`](crate::BadGatewayLayer::for_router) as well.
///
/// [`ready_timeout`](crate::BadGatewayLayer::ready_timeout) cannot be replaced, since the wrapped service becomes ready before there is a
/// request; nor can [`stream_idle_timeout`](crate::BadGatewayLayer::stream_idle_timeout). What readiness has taken counts against [`head`](Self::head).
///
/// ```
/// use std::time::Duration;
/// use tower_bad_gateway::context::Timeouts;
///
/// let mut request = http::Request::new(());
/// request.extensions_mut().insert(Timeouts::new().head(Duration::from_secs(300)).idle(None));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Timeouts {
    pub(crate) head: Option<Option<Duration>>,
    pub(crate) idle: Option<Option<Duration>>,
    pub(crate) total: Option<Option<Duration>>,
}

impl Timeouts {
    /// Starts with no limit replaced.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Replaces [`head_timeout`](crate::BadGatewayLayer::head_timeout) for this request.
    #[must_use]
    pub fn head(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.head = Some(limit.into());
        self
    }

    /// Replaces [`idle_timeout`](crate::BadGatewayLayer::idle_timeout) for this request.
    #[must_use]
    pub fn idle(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.idle = Some(limit.into());
        self
    }

    /// Replaces [`total_timeout`](crate::BadGatewayLayer::total_timeout) for this request.
    #[must_use]
    pub fn total(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.total = Some(limit.into());
        self
    }
}
