//! The settings about what operators are told, and by what names.

use std::{borrow::Cow, sync::Arc};

use http::HeaderName;

use super::BadGatewayLayer;
#[cfg(feature = "metrics")]
use crate::hooks::Metrics;
use crate::{
    context::{CaptureOptions, RequestHead},
    gateway_name::GatewayName,
    hooks::{AbandonedEvent, EventLog, FailureEvent, SuccessEvent},
    proxy_status::Writer,
};

impl BadGatewayLayer {
    /// Names what is behind the layer, for logs, hooks and metrics. Clients do not see it, but for those to whom it is
    /// [disclosed](Self::disclose). Where there are several, whoever chooses one names it for the call: see [`Upstream`](crate::Upstream).
    #[must_use]
    pub fn upstream(self, name: impl Into<Cow<'static, str>>) -> Self {
        let name = name.into();
        self.edit(|policy| policy.identity.upstream = Some(name))
    }

    /// Names this gateway: in logs and hooks, to [formats](crate::format::PublicFailure::gateway), which may show it, and with
    /// feature `proxy-status` in the `Proxy-Status` of every answer the layer makes
    /// ([RFC 9209](https://www.rfc-editor.org/rfc/rfc9209)). There is none by default.
    ///
    /// See [`proxy_status`](crate::proxy_status) for what is in it.
    ///
    /// ```
    /// use tower_bad_gateway::{BadGatewayLayer, GatewayName};
    ///
    /// let layer = BadGatewayLayer::new().gateway_name(GatewayName::from_static("edge-1"));
    /// ```
    #[must_use]
    pub fn gateway_name(self, name: GatewayName) -> Self {
        self.edit(|policy| {
            policy.identity.proxy_status = Some(Arc::new(Writer::new(&name)));
            policy.identity.gateway = Some(name);
        })
    }

    /// Sets which requests may see what is not for everyone: those of an internal network, or with a token for debugging.
    ///
    /// They find in `Proxy-Status` the private cause (`details`), the name of the [upstream](crate::Upstream) (`next-hop`), the
    /// parameters of DNS and TLS and those that hold a text of the upstream, and all that others before have told; and in JSON
    /// and problem details the members `cause` and, where another hop has failed, `origin`. Text, pages and gRPC messages are the
    /// same for everyone. **Error texts, addresses and names from the inside are among it**. By default nobody sees them.
    ///
    /// It runs for every call, before the service is called: it must not block. If it panics nothing is disclosed. Compare a
    /// secret in constant time (crate `subtle`); the comparison of this example is for one that is worth little:
    ///
    /// ```
    /// use tower_bad_gateway::{BadGatewayLayer, GatewayName};
    ///
    /// let layer = BadGatewayLayer::new()
    ///     .gateway_name(GatewayName::from_static("edge-1"))
    ///     .disclose(|request| request.headers().get("x-debug").is_some_and(|token| token == "correct horse"));
    /// ```
    #[must_use]
    pub fn disclose(self, predicate: impl Fn(&RequestHead<'_>) -> bool + Send + Sync + 'static) -> Self {
        self.want(|capture| capture.disclose = Some(Arc::new(predicate)))
    }

    /// Removes `Proxy-Status` from the responses that are passed on, from their trailers too, and leaves those who came before out
    /// of our own. [`Failure::origin`](crate::Failure::origin) knows them all the same.
    ///
    /// For a gateway at the border of a network that nobody shall learn the inside of
    /// ([RFC 9209, section 4](https://www.rfc-editor.org/rfc/rfc9209#section-4)).
    #[must_use]
    pub fn strip_proxy_status(self) -> Self {
        self.edit(|policy| policy.rules.strips_proxy_status = true)
    }

    /// Takes the identifier of a request from this field, if it has one line of 1 to 128 visible ASCII characters. Set several
    /// times, the first field that has one counts. Of `traceparent` it is the trace identifier
    /// ([Trace Context](https://www.w3.org/TR/trace-context/#trace-id)).
    ///
    /// Clients are shown it in every format, and operators in events. An identifier in the extensions of the request goes before
    /// it: a [`RequestId`](crate::context::RequestId), or with feature `tower-http` that of tower-http's `SetRequestIdLayer`. The
    /// layer never makes one up, and by default reads no field. An identifier costs two allocations a call.
    ///
    /// Not for a field that clients may set and that somebody else trusts: what they send comes back to them.
    ///
    /// ```
    /// use http::HeaderName;
    /// use tower_bad_gateway::BadGatewayLayer;
    ///
    /// let layer = BadGatewayLayer::new()
    ///     .request_id_header(HeaderName::from_static("x-request-id"))
    ///     .request_id_header(HeaderName::from_static("traceparent"));
    /// ```
    #[must_use]
    pub fn request_id_header(self, name: HeaderName) -> Self {
        self.want(|capture| capture.request_ids.push(name))
    }

    /// Runs after every failure that is answered, in the task that serves the request: it must not block. A hook that panics
    /// harms nobody.
    ///
    /// See [`RequestContext`](crate::context::RequestContext) for an example.
    #[must_use]
    pub fn on_failure(self, hook: impl Fn(&FailureEvent<'_>) + Send + Sync + 'static) -> Self {
        self.edit(|policy| policy.observers.on_failure = Some(Arc::new(hook)))
    }

    /// Runs when a body breaks whose head was passed on: the client has a status, and will not get the whole message. The
    /// same as [`on_failure`](Self::on_failure) otherwise.
    ///
    /// A layer outside that [holds](Self::hold_head) the head tells of it as well, and answers in its place; and so may one whose
    /// limits run out at the same time.
    ///
    /// ```
    /// use tower_bad_gateway::BadGatewayLayer;
    ///
    /// let layer = BadGatewayLayer::new()
    ///     .on_body_failure(|event| eprintln!("{} after {}", event.failure().kind(), event.status()));
    /// ```
    #[must_use]
    pub fn on_body_failure(self, hook: impl Fn(&FailureEvent<'_>) + Send + Sync + 'static) -> Self {
        self.edit(|policy| policy.observers.on_body_failure = Some(Arc::new(hook)))
    }

    /// Runs when a response is dropped before its head or before the end of its body: the client has left, or something
    /// outside of the layer did not want the rest. No failure of the upstream; but where at least ten leave within ten seconds before
    /// they are answered, over a second at least, and fewer are answered, one WARN event (feature `tracing`) says so.
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
        self.edit(|policy| policy.observers.on_abandoned = Some(Arc::new(hook)))
    }

    /// Runs when a response was passed on to the end of its body, with the time that took; after a 500 of the upstream as well,
    /// which is a response as any other. Not after answers of a layer: those are failures. In a [router](Self::for_router) the end is
    /// what a body calls its end, whatever its length. A tunnel (101, or 2xx to CONNECT) is a
    /// response without a body: nobody sees its end.
    ///
    /// It runs where the response is dropped, perhaps outside of any span, and must not block. A hook that panics harms nobody.
    /// There is none by default; with one the clock is read three times in every call.
    ///
    /// ```
    /// use tower_bad_gateway::BadGatewayLayer;
    ///
    /// let layer = BadGatewayLayer::new()
    ///     .on_success(|event| eprintln!("{} after {:?}, all of it after {:?}", event.status(), event.time_to_head(), event.time_to_end()));
    /// ```
    #[must_use]
    pub fn on_success(self, hook: impl Fn(&SuccessEvent<'_>) + Send + Sync + 'static) -> Self {
        self.edit(|policy| {
            policy.observers.on_success = Some(Arc::new(hook));
        })
    }

    /// Counts failures through the `metrics` facade. There are no metrics by default.
    ///
    /// See [`Metrics`] for an example.
    #[cfg(feature = "metrics")]
    #[must_use]
    pub fn metrics(self, metrics: Metrics) -> Self {
        self.edit(|policy| {
            policy.observers.metrics = Some(metrics);
        })
    }

    /// Sets how many events of feature `tracing` are written a second of each kind of failure and [upstream](crate::Upstream); `None`
    /// writes every one. The default is 10. Upstreams that calls have named beyond the 64th share one limit.
    ///
    /// What is left out is counted: the next event of the kind has the number in its field `left_out`, and where none comes an event
    /// of its own when the layer and all its services are dropped. Hooks and metrics see every failure.
    ///
    /// ```
    /// use tower_bad_gateway::BadGatewayLayer;
    ///
    /// let layer = BadGatewayLayer::new().event_limit(100);
    /// ```
    #[must_use]
    pub fn event_limit(self, limit: impl Into<Option<u32>>) -> Self {
        let limit = limit.into();
        self.edit(|policy| policy.observers.events = Arc::new(EventLog::new(limit)))
    }

    /// Turns off the events of feature `tracing`: WARN of failures, INFO of those that are a client's own, DEBUG of what is abandoned. Hooks go on.
    #[must_use]
    pub fn silent(self) -> Self {
        self.edit(|policy| policy.observers.silent = true)
    }

    fn want(self, change: impl FnOnce(&mut CaptureOptions)) -> Self {
        self.edit(|policy| change(policy.capture.get_or_insert_default()))
    }
}
