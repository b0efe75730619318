//! The settings of fallbacks: which service is asked for the content of an answer.
//!
//! `fallback` says what it is asked and what of its response is answered, `policy` chooses among several.

use std::sync::Arc;

use super::BadGatewayLayer;
use crate::{fallback::Fallback, fallback_service::Settings, format::Scope};

impl BadGatewayLayer {
    /// Asks this service for the content of the answer to a failed GET or HEAD: a folder of pages, a router, a second upstream. By default none
    /// is asked, and the [format](Self::format) answers; so it does where the fallback fails as well. One fallback is asked for a failure: a second call
    /// replaces the first.
    ///
    /// The status stays that of the failure, and log, hooks and metrics tell both. The service is asked before the head goes out: it may take
    /// [2 seconds](Fallback::time_limit). Not for gRPC and upgrades, whose clients expect no page.
    ///
    /// A healthy GET or HEAD pays for it as well: `Host`, `Accept-Language` and the other fields that the service would be asked with are kept, for two
    /// allocations, and a third where the host stands in the target, as over HTTP/2.
    ///
    /// See [`fallback`](crate::fallback) for an example, what the service is asked and what the client gets.
    #[must_use]
    pub fn fallback(self, service: impl Into<Fallback>) -> Self {
        let (this, settings) = self.with_fields_of(service.into());
        this.edit(|policy| policy.fallbacks.default = Some(Arc::new(settings)))
    }

    /// Asks this service for the answers to some failures: those of a kind, of a class, or those answered with a status.
    ///
    /// Of several that fit, the one for the kind counts, then the one for the class, then the one for the status, which is that after
    /// [`map_status`](Self::map_status); of two for the same scope, the one set last. For all other failures the one of
    /// [`fallback`](Self::fallback) is asked, if there is one.
    ///
    /// ```
    /// # use std::convert::Infallible;
    /// use http::{Request, Response};
    /// use tower_bad_gateway::{BadGatewayLayer, failure::FailureClass, fallback::EmptyBody, validate::Intercept};
    ///
    /// # let busy = tower::service_fn(|_: Request<EmptyBody>| async {
    /// #     Ok::<_, Infallible>(Response::new(http_body_util::Full::<bytes::Bytes>::default()))
    /// # });
    /// # let not_found = busy.clone();
    /// let layer = BadGatewayLayer::new()
    ///     .fallback_for(FailureClass::Overload, busy)
    ///     .intercept(Intercept::statuses([404]).without_content())
    ///     .fallback_for(http::StatusCode::NOT_FOUND, not_found);
    /// ```
    #[must_use]
    pub fn fallback_for(self, scope: impl Into<Scope>, service: impl Into<Fallback>) -> Self {
        let scope = scope.into();
        let (this, settings) = self.with_fields_of(service.into());
        this.edit(|policy| policy.fallbacks.by_scope.set(scope, Arc::new(settings)))
    }

    /// Keeps the fields of requests that the fallback is asked with.
    fn with_fields_of(self, fallback: Fallback) -> (Self, Settings) {
        let this = self.edit_capture(|capture| capture.add_fallback_fields(fallback.fields()));
        let limit = fallback.head_limit();
        let around = Self::new().grpc(false).silent().ready_timeout(limit).head_timeout(limit);
        let around = match fallback.idle_limit() {
            Some(limit) => around.idle_timeout(limit),
            None => around,
        };
        (this, fallback.into_settings(around.policy))
    }
}
