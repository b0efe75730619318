//! What a reader makes of an error.
//!
//! A verdict has a kind and, beside it, parts that may be left open. Each error gets one verdict in four steps, in [`super::verdict()`]: the
//! first reader of this crate that knows the error; what the place of the error adds ([`Verdict::or`]); what cannot be so is taken back
//! ([`Verdict::limited_by`]); and the parts that a user's reader has set stand above all of that.

use super::{Cause, place};
use http::StatusCode;

use crate::failure::{Blame, FailureKind, Parameter, Phase, RetrySafety};

/// What an error means, by a [reader](super::Classify). Only the kind has to be said.
///
/// What a user's reader does not set is filled in from the verdict of this crate's readers on the same error, and after that from the
/// defaults:
///
/// | part | filled in from ours | default |
/// | --- | --- | --- |
/// | [`phase`](Self::phase) | always | the phase in which the error [came out](Cause::seen_in) |
/// | [`blame`](Self::blame) | if the kind is the same | [that of the kind](FailureKind::blame) |
/// | [`retry_safety`](Self::retry_safety) | always | [`RetrySafety::Unknown`] |
/// | [`parameter`](Self::parameter) | if the kind is the same | none |
/// | [`upstream_status`](Self::upstream_status) | always | none |
///
/// A [`FailureKind`] alone is a verdict too, by `From`: a reader may give either.
///
/// ```
/// use tower_bad_gateway::{FailureKind, classify::Verdict, failure::{Phase, RetrySafety}};
///
/// let verdict = Verdict::new(FailureKind::DnsError).phase(Phase::Resolve).retry_safety(RetrySafety::NotSent);
/// ```
#[derive(Clone, Debug)]
pub struct Verdict {
    /// What went wrong.
    pub(super) kind: FailureKind,
    /// When it went wrong, if the reader knows.
    pub(super) phase: Option<Phase>,
    /// Whose fault it was, if not that of the kind's.
    pub(super) blame: Option<Blame>,
    /// Whether the attempt that failed was sent, if the reader knows.
    pub(super) retry_safety: Option<RetrySafety>,
    /// One parameter of the proxy error type.
    pub(super) parameter: Option<Parameter>,
    /// What a gRPC caller is answered, if not the kind's code; only readers of this crate set it.
    pub(super) grpc_code: Option<u8>,
    /// The status of the upstream's response, where a client library has made an error of a response.
    pub(super) upstream_status: Option<StatusCode>,
}

impl Verdict {
    /// A verdict of this kind, with everything else left open.
    #[must_use]
    pub fn new(kind: FailureKind) -> Self {
        Self {
            kind,
            phase: None,
            blame: None,
            retry_safety: None,
            parameter: None,
            grpc_code: None,
            upstream_status: None,
        }
    }

    /// Sets the phase: when the failure happened, which may be earlier than where the error came out.
    ///
    /// It is for logs, hooks and metrics. Status and retry safety do not follow from it. Of a response body the layer keeps
    /// [`Phase::RequestBody`] alone; each other phase becomes [`Phase::ResponseBody`].
    #[must_use]
    pub fn phase(mut self, phase: Phase) -> Self {
        self.phase = Some(phase);
        self
    }

    /// Sets the blame, where it is not that of the kind. The status stays that of the kind.
    #[must_use]
    pub fn blame(mut self, blame: Blame) -> Self {
        self.blame = Some(blame);
        self
    }

    /// Sets whether the request may be sent again, as far as the attempt that failed is concerned. The layer says so of the call
    /// only after [`single_attempt`](crate::BadGatewayLayer::single_attempt).
    ///
    /// This is a promise: set it only where the error proves that no byte of the request was sent, or that the upstream did not process
    /// it ([RFC 9110, section 9.2.2](https://www.rfc-editor.org/rfc/rfc9110#section-9.2.2)). Of a response body it is never kept.
    #[must_use]
    pub fn retry_safety(mut self, retry_safety: RetrySafety) -> Self {
        self.retry_safety = Some(retry_safety);
        self
    }

    /// Sets a parameter of the proxy error type; a second one replaces the first.
    ///
    /// [`Parameter`] says which parameter belongs to which kind, and which of them clients may see.
    /// [`StatusCode`](Parameter::StatusCode) beside [`HttpRequestError`](FailureKind::HttpRequestError) is the status of the answer, if
    /// it is a 4xx.
    #[must_use]
    pub fn parameter(mut self, parameter: Parameter) -> Self {
        self.parameter = Some(parameter);
        self
    }

    /// Sets the status the upstream had answered; a client is answered the same if the kind is
    /// [`ReceivedStatus`](FailureKind::ReceivedStatus) and the status is a 4xx or 5xx.
    ///
    /// For client libraries that make errors of responses. A response that comes as a response needs no reader: the layer forwards it.
    #[must_use]
    pub fn upstream_status(mut self, status: StatusCode) -> Self {
        self.upstream_status = Some(status);
        self
    }

    /// Sets the gRPC code of the answer, where it is not the code of the kind.
    #[cfg(any(feature = "hyper-util", feature = "tonic-0_14"))]
    pub(super) fn grpc_code(mut self, code: u8) -> Self {
        self.grpc_code = Some(code);
        self
    }

    /// A verdict on a call that failed before a byte of the request had left.
    pub(super) fn not_sent(kind: FailureKind, phase: Phase) -> Self {
        Self::new(kind).phase(phase).retry_safety(RetrySafety::NotSent)
    }

    /// Takes from `other` what is not set here. Blame, parameter and gRPC code are taken only from a verdict of the same kind: of another
    /// kind they would say something that is not so.
    pub(super) fn or(self, other: Self) -> Self {
        let same_kind = self.kind == other.kind;
        Self {
            kind: self.kind,
            phase: self.phase.or(other.phase),
            blame: self.blame.or(other.blame.filter(|_| same_kind)),
            retry_safety: self.retry_safety.or(other.retry_safety),
            parameter: self.parameter.or(other.parameter.filter(|_| same_kind)),
            grpc_code: self.grpc_code.or(other.grpc_code.filter(|_| same_kind)),
            upstream_status: self.upstream_status.or(other.upstream_status),
        }
    }

    /// Takes back what cannot be so, given where the error came out and what stands around it. This is for the verdicts of this crate; what
    /// a user's reader sets is not looked at here.
    ///
    /// | where | what is taken back |
    /// | --- | --- |
    /// | below an error of reqwest or its middleware | the retry safety |
    /// | in a response body | the retry safety, and each phase but that of the request body |
    /// | not known, and no error of hyper-util's client | "not processed" |
    pub(super) fn limited_by(mut self, cause: &Cause<'_>) -> Self {
        if place::hides_attempts(cause) {
            self.retry_safety = None;
        }
        match cause.seen_in() {
            // The head was received, so the request was sent and processed, at least in part. A body that opens a connection of its own
            // to go on may fail with "not sent", which is true of that connection alone.
            Phase::ResponseBody => {
                self.retry_safety = None;
                self.phase = self.phase.filter(|phase| *phase == Phase::RequestBody);
            }
            // Without an error of a client around it, the error may be of a body, and then the request was processed.
            Phase::Unknown if !cause.is_of_call() => {
                self.retry_safety = self.retry_safety.filter(|safety| *safety != RetrySafety::NotProcessed);
            }
            _ => {}
        }
        self
    }
}

/// A verdict of this kind, with everything else left open.
impl From<FailureKind> for Verdict {
    fn from(kind: FailureKind) -> Self {
        Self::new(kind)
    }
}
