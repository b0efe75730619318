//! The settings about what operators are told, and by what names.

use std::{borrow::Cow, sync::Arc};

use super::BadGatewayLayer;
use crate::{
    gateway_name::GatewayName,
    hooks::{AbandonedEvent, FailureEvent},
};

impl BadGatewayLayer {
    /// Names what is behind the layer, for logs and hooks; clients never see it.
    #[must_use]
    pub fn upstream(self, name: impl Into<Cow<'static, str>>) -> Self {
        let name = name.into();
        self.edit(|policy| policy.upstream = Some(name))
    }

    /// Names this gateway: in logs and hooks, and to [formats](crate::format::PublicFailure::gateway), which may show it.
    #[must_use]
    pub fn name(self, name: GatewayName) -> Self {
        self.edit(|policy| policy.name = Some(name))
    }

    /// Runs after every failure that is answered, in the task that serves the request: it must not block. A hook that panics
    /// harms nobody.
    ///
    /// See [`RequestContext`](crate::context::RequestContext) for an example.
    #[must_use]
    pub fn on_failure(self, hook: impl Fn(&FailureEvent<'_>) + Send + Sync + 'static) -> Self {
        self.edit(|policy| policy.on_failure = Some(Arc::new(hook)))
    }

    /// Runs when a body breaks whose head was passed on: the client has a status, and will not get the whole message. The
    /// same as [`on_failure`](Self::on_failure) otherwise.
    ///
    /// ```
    /// use tower_bad_gateway::BadGatewayLayer;
    ///
    /// let layer = BadGatewayLayer::new()
    ///     .on_body_failure(|event| eprintln!("{} after {}", event.failure().kind(), event.status()));
    /// ```
    #[must_use]
    pub fn on_body_failure(self, hook: impl Fn(&FailureEvent<'_>) + Send + Sync + 'static) -> Self {
        self.edit(|policy| policy.on_body_failure = Some(Arc::new(hook)))
    }

    /// Runs when a response is dropped before its head or before the end of its body: the client has left, or something
    /// outside of the layer did not want the rest. No failure of the upstream.
    ///
    /// Where one layer stands around another, each tells of its own call.
    /// It runs where the response is dropped, perhaps outside of any span, and must not block. A hook that panics harms nobody.
    ///
    /// ```
    /// use tower_bad_gateway::BadGatewayLayer;
    ///
    /// let layer = BadGatewayLayer::new().on_abandoned(|event| eprintln!("nobody waits for {}", event.request().path()));
    /// ```
    #[must_use]
    pub fn on_abandoned(self, hook: impl Fn(&AbandonedEvent<'_>) + Send + Sync + 'static) -> Self {
        self.edit(|policy| policy.on_abandoned = Some(Arc::new(hook)))
    }

    /// Turns off the events of feature `tracing`: WARN of every failure, DEBUG of what is abandoned. Hooks go on.
    #[must_use]
    pub fn silent(self) -> Self {
        self.edit(|policy| policy.silent = true)
    }
}
