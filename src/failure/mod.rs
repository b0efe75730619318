//! A failure as data: what, when, whose fault, and whether the request may be sent again.
//!
//! A [`Failure`] is what the layer makes of an error, what hooks and formats are given, and what travels in the extensions
//! of every answer the layer makes. It can be made without the layer too: by [`Failure::from_error`], or by hand.
//!
//! ```
//! use tower_bad_gateway::{Failure, FailureKind, failure::{Blame, RetrySafety}};
//!
//! let error = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
//! let failure = Failure::from_error(error);
//! assert_eq!(failure.kind(), FailureKind::ConnectionRefused);
//! assert_eq!(failure.status(), 502);
//! assert_eq!(failure.blame(), Blame::Upstream);
//! assert_eq!(failure.retry_safety(), RetrySafety::NotSent);
//! ```

mod body_error;
mod fallback;
mod intermediary;
mod internal;
mod parameter;
mod reason;
mod source;
mod words;

use std::{borrow::Cow, error::Error, fmt, sync::Arc, time::Duration};

use http::{HeaderMap, StatusCode};

pub(crate) use self::intermediary::origin;
use self::source::Source;
pub use self::{
    body_error::BodyError,
    fallback::FallbackOutcome,
    intermediary::Intermediary,
    parameter::Parameter,
    words::{Phase, RetrySafety, TimeLimit},
};
pub use crate::kind::{Blame, FailureClass, FailureKind};
use crate::upstream::Upstream;

/// Any error that may come out of a service.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// One failure of an upstream call.
///
/// Cheap to clone: one reference count. Its [`Display`](fmt::Display) is the public summary of the kind and holds nothing
/// private; the cause is at [`source`](Error::source), and [`private_chain`](Self::private_chain) prints all of it.
///
/// See the [module](self) for an example.
#[derive(Clone)]
pub struct Failure(Arc<Inner>);

/// What a failure holds. A setter [copies](Inner::of_copy) it if another clone of the failure shares it.
struct Inner {
    kind: FailureKind,
    phase: Phase,
    blame: Blame,
    retry_safety: RetrySafety,
    limit: Option<TimeLimit>,
    /// What a gRPC caller is answered, where it is not the code of the kind.
    grpc_code: Option<u8>,
    /// After what time the upstream asks for another attempt.
    retry_after: Option<Duration>,
    answer: AnswerState,
    upstream_status: Option<StatusCode>,
    elapsed: Option<Duration>,
    message: Option<Cow<'static, str>>,
    upstream: Option<Upstream>,
    parameters: Vec<Parameter>,
    intermediaries: Vec<Intermediary>,
    source: Option<Source>,
}

/// What the layer that answers a failure notes of its answer.
#[derive(Clone, Default)]
struct AnswerState {
    /// Whether there is an answer: a layer outside forwards such a response as it is.
    is_made: bool,
    /// Fields of an intercepted response that its client needs.
    kept_fields: Option<Arc<HeaderMap>>,
    /// What has become of the fallback that was asked for it.
    fallback: Option<FallbackOutcome>,
}

impl Inner {
    fn new(kind: FailureKind) -> Self {
        Self {
            kind,
            phase: Phase::Unknown,
            blame: kind.blame(),
            retry_safety: RetrySafety::Unknown,
            limit: None,
            grpc_code: None,
            retry_after: None,
            answer: AnswerState::default(),
            upstream_status: None,
            elapsed: None,
            message: None,
            upstream: None,
            parameters: Vec::new(),
            intermediaries: Vec::new(),
            source: None,
        }
    }

    /// The same once more, with the source of the first.
    #[cold]
    fn of_copy(failure: &Failure) -> Self {
        let inner = &*failure.0;
        Self {
            kind: inner.kind,
            phase: inner.phase,
            blame: inner.blame,
            retry_safety: inner.retry_safety,
            limit: inner.limit,
            grpc_code: inner.grpc_code,
            retry_after: inner.retry_after,
            answer: inner.answer.clone(),
            upstream_status: inner.upstream_status,
            elapsed: inner.elapsed,
            message: inner.message.clone(),
            upstream: inner.upstream.clone(),
            parameters: inner.parameters.clone(),
            intermediaries: inner.intermediaries.clone(),
            source: Source::of_copy(failure),
        }
    }
}

impl Failure {
    /// A failure of this kind, in an unknown phase, with the kind's blame and without a source.
    #[must_use]
    pub fn new(kind: FailureKind) -> Self {
        Self(Arc::new(Inner::new(kind)))
    }

    /// A failure with all that the readers of errors say, made in one step.
    pub(crate) fn from_verdict(
        kind: FailureKind,
        phase: Phase,
        blame: Blame,
        retry_safety: RetrySafety,
        source: BoxError,
    ) -> Self {
        let source = Some(Source::Own(source));
        Self(Arc::new(Inner { phase, blame, retry_safety, source, ..Inner::new(kind) }))
    }

    /// What went wrong. Status, token, public sentence and gRPC code follow from the kind unless something else was set.
    #[must_use]
    pub fn kind(&self) -> FailureKind {
        self.0.kind
    }

    /// When it went wrong: [`Phase::Unknown`] where nothing says so.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.0.phase
    }

    /// Whose fault it was: that of the [kind](FailureKind::blame), unless a reader of errors knew better.
    #[must_use]
    pub fn blame(&self) -> Blame {
        self.0.blame
    }

    /// Which upstream the call went to, if the wrapped service has named it in the response or the error (see [`Upstream`]).
    #[must_use]
    pub fn upstream(&self) -> Option<&Upstream> {
        self.0.upstream.as_ref()
    }

    /// Whether the request may be sent again.
    ///
    /// Of a failure of the layer it is true of the whole call, with every attempt made inside of the layer, and mostly
    /// [`Unknown`](RetrySafety::Unknown) without [`single_attempt`](crate::BadGatewayLayer::single_attempt). Of one made by
    /// [`from_error`](Self::from_error) it is true of the attempt that failed.
    #[must_use]
    pub fn retry_safety(&self) -> RetrySafety {
        self.0.retry_safety
    }

    /// How long the call had been waited for, if the clock was read: in every call with metrics or
    /// [`on_success`](crate::BadGatewayLayer::on_success), otherwise from the first `Pending` of readiness or of the head, and not for
    /// a body. When a limit ran out the time is always there; of a body that was silent it may be the silence alone.
    #[must_use]
    pub fn elapsed(&self) -> Option<Duration> {
        self.0.elapsed
    }

    /// The time limit that ran out, if one of the layer's did.
    #[must_use]
    pub fn limit(&self) -> Option<TimeLimit> {
        self.0.limit
    }

    /// The status the upstream had answered, if it had: of a response that was refused or intercepted, or whose body broke.
    #[must_use]
    pub fn upstream_status(&self) -> Option<StatusCode> {
        self.0.upstream_status
    }

    /// The extra parameters of the proxy error type, in the order they were added.
    #[must_use]
    pub fn parameters(&self) -> &[Parameter] {
        &self.0.parameters
    }

    /// The hop that failed, by its own account: where the upstream is a gateway itself and has said so in `Proxy-Status`
    /// (feature `proxy-status`), the intermediary nearest to the origin that reports an error.
    ///
    /// **Untrusted**, as everything an upstream sends. It is there only when a response was received, and refused.
    #[must_use]
    pub fn origin(&self) -> Option<&Intermediary> {
        origin(self.intermediaries())
    }

    /// All members of the `Proxy-Status` of the received response, nearest to the origin first; at most 16. **Untrusted**.
    #[must_use]
    pub fn intermediaries(&self) -> &[Intermediary] {
        &self.0.intermediaries
    }

    /// What has become of the [fallback](crate::fallback) for the answer; `None` if none was asked. Known to hooks, and in the extensions of the
    /// answer.
    #[must_use]
    pub fn fallback(&self) -> Option<&FallbackOutcome> {
        self.0.answer.fallback.as_ref()
    }

    /// The sentence the client is shown instead of the summary, if one was set.
    #[must_use]
    pub fn message(&self) -> Option<&str> {
        self.0.message.as_deref()
    }

    /// The status a client is answered: the kind's, the upstream's own when it was intercepted, or the 4xx that a reader
    /// put into [`Parameter::StatusCode`] for the client's own fault.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        let status_override = match self.kind() {
            FailureKind::ReceivedStatus => self.upstream_status(),
            FailureKind::HttpRequestError => self.parameters().iter().find_map(|parameter| match parameter {
                Parameter::StatusCode(status) if status.is_client_error() => Some(*status),
                _ => None,
            }),
            _ => None,
        };
        let is_error = |status: &StatusCode| status.is_client_error() || status.is_server_error();
        status_override.filter(is_error).unwrap_or_else(|| self.kind().status())
    }

    /// Sets the phase. A failure that breaks a body after its head is in [`Phase::ResponseBody`], or is the client's.
    #[must_use]
    pub fn with_phase(self, phase: Phase) -> Self {
        self.edit(|inner| inner.phase = phase)
    }

    /// Sets the blame, in place of that of the kind. Events of a failure that is the client's are INFO, all others WARN.
    #[must_use]
    pub fn with_blame(self, blame: Blame) -> Self {
        self.edit(|inner| inner.blame = blame)
    }

    /// Sets the retry safety of the attempt that failed. The layer makes it `Unknown` unless
    /// [`single_attempt`](crate::BadGatewayLayer::single_attempt) is set.
    #[must_use]
    pub fn with_retry_safety(self, retry_safety: RetrySafety) -> Self {
        self.edit(|inner| inner.retry_safety = retry_safety)
    }

    /// Sets how long the call had been waited for. A layer that has measured the time replaces it.
    #[must_use]
    pub fn with_elapsed(self, elapsed: Duration) -> Self {
        self.edit(|inner| inner.elapsed = Some(elapsed))
    }

    /// Sets the status the upstream had answered. A client is answered the same where the kind is
    /// [`ReceivedStatus`](FailureKind::ReceivedStatus) and the status is a 4xx or 5xx.
    #[must_use]
    pub fn with_upstream_status(self, status: StatusCode) -> Self {
        self.edit(|inner| inner.upstream_status = Some(status))
    }

    /// Adds a parameter. `Proxy-Status` has only those that belong to the kind.
    #[must_use]
    pub fn with_parameter(self, parameter: Parameter) -> Self {
        self.edit(|inner| inner.parameters.push(parameter))
    }

    /// Sets the sentence the client is shown: **public**, so put nothing in it that a stranger may not read.
    ///
    /// ```
    /// # use tower_bad_gateway::{Failure, FailureKind};
    /// let failure = Failure::new(FailureKind::ConnectionRefused).with_message("Failed to load the profile picture.");
    /// assert_eq!(failure.message(), Some("Failed to load the profile picture."));
    /// ```
    #[must_use]
    pub fn with_message(self, message: impl Into<Cow<'static, str>>) -> Self {
        let message = message.into();
        self.edit(|inner| inner.message = Some(message))
    }

    /// Names the upstream of a failure that the wrapped service has made by itself. To name the upstream of an error there is
    /// [`Upstream::error`], which lets the layer read the error. The name is private, as that of the
    /// [layer](crate::BadGatewayLayer::upstream).
    #[must_use]
    pub fn with_upstream(self, upstream: Upstream) -> Self {
        self.edit(|inner| inner.upstream = Some(upstream))
    }

    /// Sets the cause. It is private: logs see it, clients do not. Where the layer has decided by itself, the cause is the rule and
    /// what the layer saw, such as "Content-Length beside Transfer-Encoding": names, lengths and numbers, never the value of a field.
    #[must_use]
    pub fn with_source(self, source: impl Into<BoxError>) -> Self {
        let source = Source::Own(source.into());
        self.edit(|inner| inner.source = Some(source))
    }

    fn edit(mut self, change: impl FnOnce(&mut Inner)) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.0) {
            change(inner);
            return self;
        }
        let mut copy = Inner::of_copy(&self);
        change(&mut copy);
        Self(Arc::new(copy))
    }
}

/// The same as [`Failure::new`].
impl From<FailureKind> for Failure {
    fn from(kind: FailureKind) -> Self {
        Self::new(kind)
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        f.debug_struct("Failure")
            .field("kind", &inner.kind)
            .field("phase", &inner.phase)
            .field("blame", &inner.blame)
            .field("retry_safety", &inner.retry_safety)
            .field("limit", &inner.limit)
            .field("upstream_status", &inner.upstream_status)
            .field("elapsed", &inner.elapsed)
            .field("parameters", &inner.parameters)
            .field("intermediaries", &inner.intermediaries)
            .field("fallback", &inner.answer.fallback)
            .field("source", &inner.source.as_ref().and_then(Source::error))
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind().summary())
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source.as_ref()?.error().map(|error| error as &(dyn Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_that_is_no_error_never_becomes_the_answer() {
        let intercepted = |status| Failure::new(FailureKind::ReceivedStatus).with_upstream_status(status).status();
        assert_eq!(intercepted(StatusCode::SERVICE_UNAVAILABLE), 503);
        assert_eq!(intercepted(StatusCode::NOT_FOUND), 404);
        assert_eq!(intercepted(StatusCode::OK), 502);
        assert_eq!(intercepted(StatusCode::from_u16(999).unwrap()), 502);

        let upload =
            |status| Failure::new(FailureKind::HttpRequestError).with_parameter(Parameter::StatusCode(status)).status();
        assert_eq!(upload(StatusCode::REQUEST_TIMEOUT), 408);
        assert_eq!(upload(StatusCode::BAD_GATEWAY), 400);
    }

    #[test]
    fn a_change_to_a_clone_leaves_the_original_alone() {
        let original = Failure::new(FailureKind::DnsError);
        let changed = original.clone().with_phase(Phase::Resolve);
        assert_eq!((original.phase(), changed.phase()), (Phase::Unknown, Phase::Resolve));
    }
}
