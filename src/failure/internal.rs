//! What the layer itself writes into a [`Failure`] and reads of it, and users do not.

use std::{borrow::Cow, sync::Arc, time::Duration};

use http::HeaderMap;

use super::{Failure, FallbackOutcome, Intermediary, TimeLimit, reason::Reason};

impl Failure {
    /// Sets the rule or the limit by which the layer has decided, as the private cause.
    pub(crate) fn with_reason(self, reason: impl Into<Cow<'static, str>>) -> Self {
        self.with_source(Reason::new(reason))
    }

    /// Sets the members of the `Proxy-Status` of the received response. An empty list changes nothing, and copies nothing.
    pub(crate) fn with_intermediaries(self, intermediaries: Vec<Intermediary>) -> Self {
        if intermediaries.is_empty() { self } else { self.edit(|inner| inner.intermediaries = intermediaries) }
    }

    /// Sets which limit of the layer ran out.
    pub(crate) fn with_limit(self, limit: TimeLimit) -> Self {
        self.edit(|inner| inner.limit = Some(limit))
    }

    /// Sets what a gRPC caller is answered, where it is not the code of the kind.
    pub(crate) fn with_grpc_code(self, code: u8) -> Self {
        self.edit(|inner| inner.grpc_code = Some(code))
    }

    /// Sets after what time the upstream asks for another attempt.
    pub(crate) fn with_retry_after(self, delay: Duration) -> Self {
        self.edit(|inner| inner.retry_after = Some(delay))
    }

    /// After what time the upstream asks for another attempt, by the `Retry-After` of a response that was answered in its place.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Sets the fields of an intercepted response that go out with the answer. An empty map changes nothing, and copies nothing.
    pub(crate) fn with_kept_fields(self, fields: HeaderMap) -> Self {
        if fields.is_empty() { self } else { self.edit(|inner| inner.answer.kept_fields = Some(Arc::new(fields))) }
    }

    /// The fields of an intercepted response that go out with the answer.
    pub(crate) fn kept_fields(&self) -> Option<&HeaderMap> {
        self.0.answer.kept_fields.as_deref()
    }

    /// Sets what has become of the fallback.
    pub(crate) fn with_fallback(self, outcome: FallbackOutcome) -> Self {
        self.edit(|inner| inner.answer.fallback = Some(outcome))
    }

    /// What a gRPC caller is answered, where it is not the code of the kind.
    pub(crate) fn grpc_code(&self) -> Option<u8> {
        self.0.grpc_code
    }

    /// Marks that a layer answers a client, after this time: an outer layer forwards such a response as it is.
    pub(crate) fn answered(self, elapsed: Option<Duration>) -> Self {
        self.edit(|inner| {
            inner.answer.is_made = true;
            inner.elapsed = elapsed.or(inner.elapsed);
        })
    }

    /// Removes the mark: a failure that a service returns as an error again needs an answer again.
    pub(crate) fn unanswered(self) -> Self {
        if self.is_answered() { self.edit(|inner| inner.answer.is_made = false) } else { self }
    }

    /// Whether the response that carries the failure is the answer of a layer.
    pub(crate) fn is_answered(&self) -> bool {
        self.0.answer.is_made
    }
}
