//! What is kept while an upstream's body is on its way.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::StatusCode;

use crate::{
    classify::passed,
    context::RequestContext,
    failure::{BodyError, BoxError, Failure, Phase, TimeLimit},
    policy::Policy,
    timer::Again,
};

/// The call a body belongs to, and its idle limit.
#[derive(Debug)]
pub(crate) struct Watch {
    policy: Arc<Policy>,
    request: RequestContext,
    status: StatusCode,
    idle_limit: Option<Duration>,
    idle: Again,
}

impl Watch {
    pub(crate) fn new(
        policy: Arc<Policy>,
        request: RequestContext,
        status: StatusCode,
        idle_limit: Option<Duration>,
    ) -> Self {
        Self { policy, request, status, idle_limit, idle: Again::default() }
    }

    /// Something came.
    pub(super) fn rest(&mut self) {
        self.idle.rest();
    }

    /// Nothing came: is it too late?
    pub(super) fn poll_late(&mut self, cx: &mut Context<'_>) -> Option<BodyError> {
        match self.idle.poll(self.idle_limit?, cx) {
            Poll::Ready(()) => Some(self.fail(Policy::late(TimeLimit::Idle))),
            Poll::Pending => None,
        }
    }

    /// The body broke; one that nobody watches is read all the same.
    pub(super) fn broken(watch: Option<&Self>, error: BoxError) -> BodyError {
        let error = match passed(error) {
            // A layer further in has told of it.
            Ok(error) => return error,
            Err(error) => error,
        };
        match watch {
            Some(watch) => watch.fail(watch.policy.failure(error, Phase::ResponseBody)),
            None => Failure::from_body_error(error).into(),
        }
    }

    fn fail(&self, failure: Failure) -> BodyError {
        let failure = failure.with_upstream_status(self.status);
        self.policy.report(&failure, &self.request, self.status);
        failure.into()
    }
}
