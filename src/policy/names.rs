//! The name of this gateway and the name of its upstream, as users have set them.
//!
//! The name of the gateway is public: it stands in `Proxy-Status` ([RFC 9209](https://www.rfc-editor.org/rfc/rfc9209)), and formats may
//! show it. The name of the upstream is private: it stands in events and metrics, and in `Proxy-Status` only for a client to whom the
//! layer [discloses](crate::BadGatewayLayer::disclose) it.
//!
//! The policy asks for both after a call has ended or failed; a healthy call reads the name of the upstream for metrics, and with metrics or
//! [`on_success`](crate::BadGatewayLayer::on_success) the names for the event.

use std::{borrow::Cow, sync::Arc};

use http::{HeaderValue, StatusCode};

use crate::{
    caught::caught, context::RequestContext, failure::Failure, gateway_name::GatewayName, hooks::CallDetails,
    proxy_status::Writer,
};

/// The two names, and the writer of `Proxy-Status`. None of them is set by default.
#[derive(Clone, Default)]
pub(crate) struct Names {
    /// The name of this deployment, set by [`gateway_name`](crate::BadGatewayLayer::gateway_name).
    pub(crate) gateway: Option<GatewayName>,
    /// The name of what is behind the layer, set by [`upstream`](crate::BadGatewayLayer::upstream).
    pub(crate) upstream: Option<Cow<'static, str>>,
    /// Writes `Proxy-Status` with the name of the gateway; set together with that name.
    pub(crate) proxy_status: Option<Arc<Writer>>,
}

impl Names {
    /// The details of a call for an event.
    ///
    /// The upstream that a failure names takes precedence over the one that the response has named: an error below a balancer is of the
    /// endpoint that it came from.
    pub(super) fn details<'a>(&'a self, request: &'a RequestContext, failure: Option<&'a Failure>) -> CallDetails<'a> {
        CallDetails {
            request,
            layer_upstream: self.upstream.as_deref(),
            call_upstream: failure.and_then(Failure::upstream).or(request.upstream()),
            gateway: self.gateway.as_ref(),
        }
    }

    /// The `Proxy-Status` of an answer; `None` if the gateway has no name.
    ///
    /// `status` is the status of the answer, after `map_status`. `includes_received` says whether the members that hops behind the
    /// upstream have written come before our own.
    pub(super) fn proxy_status(
        &self,
        failure: &Failure,
        status: StatusCode,
        request: &RequestContext,
        includes_received: bool,
    ) -> Option<HeaderValue> {
        let writer = self.proxy_status.as_ref()?;
        let upstream = self.details(request, Some(failure)).upstream();
        let write = |discloses| writer.write(failure, status, includes_received, upstream, discloses);
        // With the details comes the `Display` of the user's error. If that panics the field is written without them.
        caught(|| write(request.discloses())).unwrap_or_else(|| write(false))
    }
}
