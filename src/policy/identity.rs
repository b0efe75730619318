//! Who stands where: the name of this gateway, and of what is behind it.

use std::{borrow::Cow, sync::Arc};

use http::{HeaderValue, StatusCode};

use crate::{
    caught::caught, context::RequestContext, failure::Failure, gateway_name::GatewayName, hooks::CallDetails,
    proxy_status::Writer,
};

/// The two names that users give, and what is written with them.
#[derive(Clone, Default)]
pub(crate) struct Identity {
    pub(crate) gateway: Option<GatewayName>,
    pub(crate) upstream: Option<Cow<'static, str>>,
    /// Writes `Proxy-Status` in the name of the gateway.
    pub(crate) proxy_status: Option<Arc<Writer>>,
}

impl Identity {
    /// What events say of a call. What a failure says of its upstream goes before what the response has said.
    pub(super) fn details<'a>(&'a self, request: &'a RequestContext, failure: Option<&'a Failure>) -> CallDetails<'a> {
        CallDetails {
            request,
            layer_upstream: self.upstream.as_deref(),
            call_upstream: failure.and_then(Failure::upstream).or(request.upstream()),
            gateway: self.gateway.as_ref(),
        }
    }

    /// The `Proxy-Status` of an answer; `carries` what hops behind the upstream have written, or not.
    pub(super) fn proxy_status(
        &self,
        failure: &Failure,
        status: StatusCode,
        request: &RequestContext,
        carries: bool,
    ) -> Option<HeaderValue> {
        let writer = self.proxy_status.as_ref()?;
        let upstream = self.details(request, Some(failure)).upstream();
        let write = |discloses| writer.write(failure, status, carries, upstream, discloses);
        // The `Display` of an error is somebody else's code, and may panic.
        caught(|| write(request.flags.discloses)).unwrap_or_else(|| write(false))
    }
}
