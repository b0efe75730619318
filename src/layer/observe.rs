//! The settings of what is reported, to whom, and by which names.
//!
//! In the policy `names` has the names, `capture` what is read of requests, `observers` the log, the metrics and the hooks, and `rules`
//! whether `Proxy-Status` is removed. After a failure the log is written first, then the metrics, then the hook; each of them may panic
//! without keeping the next from its turn. Nothing here knows what an event looks like: that is for the `hooks` module.

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
    /// Names what is behind the layer, for logs, hooks and metrics. There is no name by default, and metrics have an empty label then.
    ///
    /// Clients do not see it, but for those to whom it is [disclosed](Self::disclose). Where there are several upstreams, the service
    /// that chooses one names it for the call: see [`Upstream`](crate::Upstream).
    #[must_use]
    pub fn upstream(self, name: impl Into<Cow<'static, str>>) -> Self {
        let name = name.into();
        self.edit(|policy| policy.names.upstream = Some(name))
    }

    /// Names this gateway: in logs and hooks, to [formats](crate::format::PublicFailure::gateway), which may show it, and with
    /// feature `proxy-status` in the `Proxy-Status` of every answer the layer makes
    /// ([RFC 9209](https://www.rfc-editor.org/rfc/rfc9209)). There is none by default.
    ///
    /// Responses of the upstream get nothing added. See [`proxy_status`](crate::proxy_status) for what is in the field.
    ///
    /// ```
    /// use tower_bad_gateway::{BadGatewayLayer, GatewayName};
    ///
    /// let layer = BadGatewayLayer::new().gateway_name(GatewayName::from_static("edge-1"));
    /// ```
    #[must_use]
    pub fn gateway_name(self, name: GatewayName) -> Self {
        self.edit(|policy| {
            policy.names.proxy_status = Some(Arc::new(Writer::new(&name)));
            policy.names.gateway = Some(name);
        })
    }

    /// Sets which requests may see what is private: those of an internal network, or with a token for debugging.
    ///
    /// The answers to them have in `Proxy-Status` the private cause (`details`), the name of the [upstream](crate::Upstream)
    /// (`next-hop`), the parameters of DNS and TLS and those that hold a text of the upstream, and all that gateways behind the
    /// upstream have written there; and in JSON and problem details the members `cause` and, where another hop has failed, `origin`.
    /// Text, pages and gRPC messages are the same for all clients. **Error texts, addresses and names from the inside are among it**.
    /// By default no request may see them.
    ///
    /// The predicate runs for every call, before the service is called: it must not block. If it panics, nothing is disclosed.
    /// Compare a secret in constant time (crate `subtle`); the comparison of this example is for one that is worth little:
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
        self.edit_capture(|capture| capture.disclose = Some(Arc::new(predicate)))
    }

    /// Removes `Proxy-Status` from the responses that are forwarded, from their trailers too, and leaves the gateways that had
    /// written there out of the layer's own. [`Failure::origin`](crate::Failure::origin) has them all the same.
    ///
    /// For a gateway at the border of a network whose inside is not to be seen from the outside
    /// ([RFC 9209, section 4](https://www.rfc-editor.org/rfc/rfc9209#section-4)). By default the field is forwarded as it is. This
    /// also works without feature `proxy-status`, and in a [router](Self::for_router).
    #[must_use]
    pub fn strip_proxy_status(self) -> Self {
        self.edit(|policy| policy.rules.strips_proxy_status = true)
    }

    /// Takes the identifier of a request from this field, if it has one line of 1 to 128 visible ASCII characters. Each call adds a
    /// field, and the first that has an identifier counts. Of `traceparent` it is the trace identifier
    /// ([Trace Context](https://www.w3.org/TR/trace-context/#trace-id)).
    ///
    /// Clients are shown the identifier in every format, and operators in events. An identifier in the extensions of the request
    /// goes before one in a field: a [`RequestId`](crate::context::RequestId), or with feature `tower-http` that of tower-http's
    /// `SetRequestIdLayer`. The layer never makes one up, and by default reads no field. An identifier costs an allocation or two a call.
    ///
    /// Not for a field that clients may set and that another system trusts: what they send comes back to them.
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
        self.edit_capture(|capture| capture.request_ids.push(name))
    }

    /// Keeps these fields of every request until its call has ended, for [formats](crate::format::PublicFailure::request) and hooks: see
    /// [`RequestContext::field`](crate::context::RequestContext::field). A second call adds to the first, and by default none is kept.
    ///
    /// It costs two allocations for a request that has one of them. A format that is a type of its own can
    /// [say](crate::format::Format::reads) by itself what it reads.
    ///
    /// ```
    /// use http::{HeaderValue, header::HOST};
    /// use tower_bad_gateway::{BadGatewayLayer, format::{PublicFailure, Representation}};
    ///
    /// let layer = BadGatewayLayer::new().capture_fields([HOST]).format(|failure: &PublicFailure<'_>| {
    ///     let host = failure.request().and_then(|request| request.field(&HOST)?.to_str().ok());
    ///     let text = format!("{} is not there now.\n", host.unwrap_or("The site"));
    ///     Representation::new(HeaderValue::from_static("text/plain; charset=utf-8"), text)
    /// });
    /// ```
    #[must_use]
    pub fn capture_fields(self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        self.edit_capture(|capture| capture.add_fields(names))
    }

    /// Sets a hook that runs after every failure that is answered. There is none by default.
    ///
    /// The answer is written by then, and not yet sent; only where the client has left while a [fallback](Self::fallback) was asked there is none. The hook runs in the task that serves the request: it must not block. If it
    /// panics, the panic is caught and the client gets the same answer. It does not run for the answer of a layer further in, which has
    /// reported it by itself.
    ///
    /// See [`RequestContext`](crate::context::RequestContext) for an example.
    #[must_use]
    pub fn on_failure(self, hook: impl Fn(&FailureEvent<'_>) + Send + Sync + 'static) -> Self {
        self.edit(|policy| policy.observers.on_failure = Some(Arc::new(hook)))
    }

    /// Sets a hook that runs when a body breaks whose head was forwarded: the client has a status, and will not get the whole
    /// message. The same as [`on_failure`](Self::on_failure) otherwise.
    ///
    /// Of a [fallback](Self::fallback) whose body breaks the event has the failure that the call was answered for, and in
    /// [`Failure::fallback`](crate::Failure::fallback) the one of the body.
    ///
    /// A layer outside that [holds](Self::hold_head) the head reports the failure as well, and answers in place of the response; and
    /// so may one whose limits run out at the same time.
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

    /// Sets a hook that runs when a response is dropped before its head or before the end of its body: the client has left, or
    /// something outside of the layer did not want the rest. There is none by default.
    ///
    /// This is no failure of the upstream, nor is it one where the body of a fallback is left; a call that had failed before, whose client left while its
    /// [fallback](Self::fallback) was asked, is a [failure](Self::on_failure). But where at least ten clients leave within ten seconds before they are answered, over a
    /// second at least, and fewer are answered, one WARN event (feature `tracing`) says so.
    ///
    /// Where one layer stands around another, each reports its own call. The hook runs where the response is dropped, perhaps outside
    /// of any span, and must not block. If it panics, the panic is caught. It does not run while another panic unwinds: no client
    /// has left then.
    ///
    /// ```
    /// use tower_bad_gateway::BadGatewayLayer;
    ///
    /// let layer = BadGatewayLayer::new().on_abandoned(|event| eprintln!("{} was abandoned", event.request().path()));
    /// ```
    #[must_use]
    pub fn on_abandoned(self, hook: impl Fn(&AbandonedEvent<'_>) + Send + Sync + 'static) -> Self {
        self.edit(|policy| policy.observers.on_abandoned = Some(Arc::new(hook)))
    }

    /// Sets a hook that runs when a response was forwarded to the end of its body, with the time that took; after a 500 of the
    /// upstream as well, which is a response as any other. There is none by default; with one the clock is read three times in every
    /// call.
    ///
    /// It does not run after answers of a layer: those are failures. In a [router](Self::for_router) the end is what a body calls its
    /// end, at any length. A tunnel (101, or 2xx to CONNECT) is a response without a body: the layer does not see its end.
    ///
    /// The hook runs in the poll that ends the body, or where the response is dropped, perhaps outside of any span, and must not block. If it panics,
    /// the panic is caught.
    ///
    /// ```
    /// use tower_bad_gateway::BadGatewayLayer;
    ///
    /// let layer = BadGatewayLayer::new()
    ///     .on_success(|event| eprintln!("{}: {:?}, {:?}", event.status(), event.time_to_head(), event.time_to_end()));
    /// ```
    #[must_use]
    pub fn on_success(self, hook: impl Fn(&SuccessEvent<'_>) + Send + Sync + 'static) -> Self {
        self.edit(|policy| {
            policy.observers.on_success = Some(Arc::new(hook));
        })
    }

    /// Counts failures through the `metrics` facade. There are no metrics by default.
    ///
    /// The series are registered when the layer first wraps a service: install the recorder before.
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
    /// writes every one, 0 none but the counts at the end. The default is 10. Failures that are blamed on the client have a limit of the same size beside it.
    /// Upstreams that calls have named beyond the 64th share one limit.
    ///
    /// An event that is left out is counted: the next event of the kind has the number in its field `left_out`. Where no next one
    /// comes, an event of its own has it, when the layer and all its services are dropped. Hooks and metrics see every failure.
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

    /// Turns off the events of feature `tracing`. Hooks and metrics go on.
    ///
    /// | event | level |
    /// | --- | --- |
    /// | a failure | WARN |
    /// | a failure that is blamed on the client | INFO |
    /// | a call that the client abandoned | DEBUG |
    /// | many clients that leave before they are answered | WARN |
    #[must_use]
    pub fn silent(self) -> Self {
        self.edit(|policy| policy.observers.silent = true)
    }

    /// Changes what is read of every request. A layer without such a setting has no capture options, and reads nothing more.
    pub(super) fn edit_capture(self, change: impl FnOnce(&mut CaptureOptions)) -> Self {
        self.edit(|policy| change(policy.capture.get_or_insert_default()))
    }
}
