//! What operators are told of a call.

use std::{any::Any, sync::Arc, time::Duration};

use http::StatusCode;

use super::{OnFailure, Policy};
use crate::{
    caught::caught,
    context::{Protocol, RequestContext},
    dialect::grpc,
    failure::Failure,
    hooks::{AbandonedEvent, CallDetails, FailureEvent, SuccessEvent},
};

impl Policy {
    /// Tells the operator of a body that broke after its head, with this status, was sent.
    pub(crate) fn broken(&self, failure: &Failure, request: &RequestContext, status: StatusCode) {
        self.report(failure, request, status, self.on_body_failure.as_ref());
    }

    /// Tells the operator that whoever had asked did not wait for the end; `status` is what was sent by then.
    pub(crate) fn abandoned(&self, request: &RequestContext, status: Option<StatusCode>, elapsed: Option<Duration>) {
        if std::thread::panicking() {
            // Nobody has left: a panic takes it all down, and a hook that panics as well would abort the process.
            return;
        }
        let event = AbandonedEvent { call: self.call(request, None), status, elapsed };
        if !self.silent {
            caught(|| event.trace());
            // Who has a head has an answer.
            if status.is_none() {
                caught(|| self.abandonments.left(self.upstream.as_deref()));
            }
        }
        if let Some(metrics) = &self.metrics {
            caught(|| metrics.abandoned(&event));
        }
        if let Some(on_abandoned) = &self.on_abandoned {
            caught(|| on_abandoned(&event));
        }
    }

    /// A layer wraps a service.
    pub(crate) fn register_metrics(&self) {
        // Once: some callers wrap a service for every connection.
        if let Some(metrics) = &self.metrics {
            self.metrics_registered.call_once(|| {
                caught(|| metrics.register(self.upstream.as_deref()));
            });
        }
    }

    /// A call begins; what is returned is to be dropped at its end.
    #[inline]
    pub(crate) fn count_call(&self) -> Option<Box<dyn Any + Send + Sync>> {
        let metrics = self.metrics.as_ref()?;
        caught(|| metrics.called(self.upstream.as_ref())).flatten()
    }

    /// Whether somebody wants to know how long a call takes that does not fail: then the clock is read in it.
    #[inline]
    pub(crate) fn is_timed(&self) -> bool {
        self.is_timed
    }

    /// Tells the operator of a response that was passed on to its end.
    #[cold]
    pub(crate) fn succeeded(
        &self,
        request: &RequestContext,
        status: StatusCode,
        time_to_head: Duration,
        time_to_end: Duration,
    ) {
        if std::thread::panicking() {
            return;
        }
        let event = SuccessEvent { call: self.call(request, None), status, time_to_head, time_to_end };
        if let Some(metrics) = &self.metrics {
            caught(|| metrics.succeeded(&event));
        }
        if let Some(on_success) = &self.on_success {
            caught(|| on_success(&event));
        }
    }

    /// Of a failure, what it says of its upstream goes before what the response has said.
    pub(super) fn call<'a>(&'a self, request: &'a RequestContext, failure: Option<&'a Failure>) -> CallDetails<'a> {
        CallDetails {
            request,
            layer_upstream: self.upstream.as_deref(),
            call_upstream: failure.and_then(Failure::upstream).or(request.upstream()),
            gateway: self.name.as_ref(),
        }
    }

    pub(super) fn report(
        &self,
        failure: &Failure,
        request: &RequestContext,
        status: StatusCode,
        hook: Option<&Arc<OnFailure>>,
    ) {
        let is_grpc = request.protocol() == Protocol::Grpc && failure.is_answered();
        let grpc_code = is_grpc.then(|| grpc::code(failure));
        let event = FailureEvent { failure, call: self.call(request, Some(failure)), status, grpc_code };
        // An error's `Display` is somebody else's code as well.
        let is_left_out = !self.silent && caught(|| self.events.write(&event)) == Some(false);
        if let Some(metrics) = &self.metrics {
            caught(|| metrics.failed(&event));
            if is_left_out {
                caught(|| metrics.left_out(&event));
            }
        }
        if let Some(hook) = hook {
            caught(|| hook(&event));
        }
    }
}
