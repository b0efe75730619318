//! The failures of a body that is cut short, with their reasons in numbers.
//!
//! A reason is private: it is the source of the failure, which the operator reads in the log, and the client does not
//! see. It names the limit that was reached and how far the body had come, since a slow upstream and one that has stopped
//! need different cures. `frames` decides which of these failures it is, and adds the [details of the
//! call](Call::with_call_details).

use super::{Call, call::LengthRule};
use crate::{
    failure::{Failure, FailureKind, TimeLimit},
    policy::Limits,
};

impl Call {
    /// The body has ended before its promised length. Made for a binding length alone, so the reason always has numbers.
    pub(super) fn incomplete_failure(&self) -> Failure {
        Failure::new(FailureKind::HttpResponseIncomplete).with_reason(format!("{}the end", self.progress()))
    }

    /// The time for head and body together is over. The failure says whose limit it was: the layer's, or the client's own
    /// deadline.
    pub(super) fn total_failure(&self) -> Failure {
        let (limit, whose) = self.policy.limits.total_limit_over(&self.request);
        Limits::body_late(whose, limit, &self.progress())
    }

    /// The body was silent for the whole idle timeout.
    pub(super) fn idle_failure(&self) -> Failure {
        let limit = self
            .policy
            .limits
            .idle_limit(&self.request, self.body_kind, self.length_rule != LengthRule::Unknown)
            .unwrap_or_default();
        Limits::body_late(TimeLimit::Idle, limit, &self.progress())
    }

    /// How far the body had come, as the beginning of a reason: "5 of 9 bytes, then "; empty if the length is not known.
    fn progress(&self) -> String {
        if !self.knows_length() {
            return String::new();
        }
        format!("{} of {} bytes, then ", self.length.saturating_sub(self.bytes_left), self.length)
    }
}
