//! Events of a call, from what the machines know of it.

use std::time::Duration;

use http::StatusCode;

use super::Policy;
use crate::{
    context::{Protocol, RequestContext},
    dialect::grpc,
    failure::Failure,
    hooks::{AbandonedEvent, FailureEvent, SuccessEvent},
};

impl Policy {
    /// Reports a body that broke after its head, with this status, was sent.
    pub(crate) fn report_body_failure(&self, failure: &Failure, request: &RequestContext, status: StatusCode) {
        self.observers.body_failed(&self.failure_event(failure, request, status));
    }

    /// Reports a client that did not wait for the end; `status` is what it had been sent by then.
    pub(crate) fn report_abandoned(
        &self,
        request: &RequestContext,
        status: Option<StatusCode>,
        elapsed: Option<Duration>,
    ) {
        self.observers.abandoned(&AbandonedEvent { call: self.identity.details(request, None), status, elapsed });
    }

    /// Reports a response that was passed on to its end.
    #[cold]
    pub(crate) fn report_success(
        &self,
        request: &RequestContext,
        status: StatusCode,
        time_to_head: Duration,
        time_to_end: Duration,
    ) {
        let call = self.identity.details(request, None);
        self.observers.succeeded(&SuccessEvent { call, status, time_to_head, time_to_end });
    }

    pub(super) fn failure_event<'a>(
        &'a self,
        failure: &'a Failure,
        request: &'a RequestContext,
        status: StatusCode,
    ) -> FailureEvent<'a> {
        let is_grpc = request.protocol() == Protocol::Grpc && failure.is_answered();
        let grpc_code = is_grpc.then(|| grpc::code(failure));
        FailureEvent { failure, call: self.identity.details(request, Some(failure)), status, grpc_code }
    }
}
