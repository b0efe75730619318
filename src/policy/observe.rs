//! The events that a call ends in, made from what the future and the body know of the call.
//!
//! These know request, status and times, and the policy knows the names of upstream and gateway. Here the two are put together
//! and handed to [`Observers`](crate::hooks::Observers), which run log, metrics and hooks. Failures that are answered do not come
//! through here: [`answer`](Policy::answer) and the methods for fallbacks report them themselves, with the event that is made here.
//!
//! The module `body` calls these methods: when a body breaks, by an error or a limit, and when a call is at its end.

use std::time::Duration;

use http::{HeaderMap, StatusCode};

use super::Policy;
use crate::{
    context::{Protocol, RequestContext},
    dialect::grpc,
    failure::{BodyError, Failure},
    hooks::{AbandonedEvent, FailureEvent, SuccessEvent},
};

impl Policy {
    /// Reports a body that broke after its head was sent. `status` is the status of that head.
    ///
    /// It is called once per body, with its first error; a failure that a layer further in has reported does not come here.
    ///
    /// Returns the error for the server.
    pub(crate) fn report_body_failure(
        &self,
        failure: Failure,
        request: &RequestContext,
        status: StatusCode,
    ) -> BodyError {
        self.observers.report_body_failure(&self.failure_event(&failure, request, status, false));
        let is_grpc = request.protocol() == Protocol::Grpc;
        let source = is_grpc.then(|| self.presentation.grpc_error_source(&failure, request)).flatten();
        BodyError::reported(failure).with_source(source)
    }

    /// Reports a gRPC body that broke between two messages, and gives the trailers that end it.
    pub(crate) fn end_in_trailers(
        &self,
        failure: &Failure,
        request: &RequestContext,
        status: StatusCode,
        is_reported: bool,
    ) -> HeaderMap {
        if !is_reported {
            self.observers.report_body_failure(&self.failure_event(failure, request, status, true));
        }
        self.presentation.grpc_trailers(failure, request)
    }

    /// Reports a response that was dropped before its end.
    ///
    /// `status` is `None` if no head had been sent. `elapsed` is the time since the call began, or, if calls are not timed, since it was
    /// first waited for; `None` if the clock was not read, and after the head if calls are not timed.
    pub(crate) fn report_abandonment(
        &self,
        request: &RequestContext,
        status: Option<StatusCode>,
        elapsed: Option<Duration>,
    ) {
        self.observers.report_abandonment(&AbandonedEvent { call: self.names.details(request, None), status, elapsed });
    }

    /// Reports a response that was forwarded to its end.
    ///
    /// Both times run from the beginning of the call, and are known because the clock is read in every call where successes are
    /// reported.
    pub(crate) fn report_success(
        &self,
        request: &RequestContext,
        status: StatusCode,
        time_to_head: Duration,
        time_to_end: Duration,
    ) {
        let call = self.names.details(request, None);
        self.observers.report_success(&SuccessEvent { call, status, time_to_head, time_to_end });
    }

    /// The event of a failure, with the status that the client was sent.
    ///
    /// The gRPC code is in it only if a gRPC client is told of the failure (`tells_client`), by an answer or by trailers: a body that is aborted
    /// has no `grpc-status` of ours.
    pub(super) fn failure_event<'a>(
        &'a self,
        failure: &'a Failure,
        request: &'a RequestContext,
        status: StatusCode,
        tells_client: bool,
    ) -> FailureEvent<'a> {
        let is_grpc = request.protocol() != Protocol::Http && tells_client;
        let grpc_code = is_grpc.then(|| grpc::code(failure));
        FailureEvent { failure, call: self.names.details(request, Some(failure)), status, grpc_code }
    }
}
