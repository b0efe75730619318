//! Why a body goes no further, in numbers.

use super::{Call, call::KnownLength};
use crate::{
    failure::{Failure, FailureKind, TimeLimit},
    policy::Limits,
};

impl Call {
    /// It has ended before its length was reached.
    pub(super) fn incomplete(&self) -> Failure {
        Failure::new(FailureKind::HttpResponseIncomplete).with_reason(format!("{}the end", self.seen()))
    }

    /// The time for head and body is over.
    pub(super) fn over(&self) -> Failure {
        let (limit, whose) = self.policy.limits.total_limit_over(&self.request);
        Limits::body_late(whose, limit, &self.seen())
    }

    /// Nothing has come for too long.
    pub(super) fn silent(&self) -> Failure {
        let limit = self
            .policy
            .limits
            .idle_limit(&self.request, self.stream, self.known_length != KnownLength::No)
            .unwrap_or_default();
        Limits::body_late(TimeLimit::Idle, limit, &self.seen())
    }

    /// How far the body had come, if its length is known: a short answer is often no slow one.
    fn seen(&self) -> String {
        if !self.knows_length() {
            return String::new();
        }
        format!("{} of {} bytes, then ", self.length.saturating_sub(self.bytes_left), self.length)
    }
}
