//! What a reader makes of an error.

use super::{Cause, stage};
use http::StatusCode;

use crate::failure::{Blame, FailureKind, Parameter, Phase, RetrySafety};

/// What an error means. What is not set is left to the readers that come later, and at last to the defaults of the kind.
///
/// ```
/// use tower_bad_gateway::{FailureKind, classify::Verdict, failure::{Phase, RetrySafety}};
///
/// let verdict = Verdict::new(FailureKind::DnsError).phase(Phase::Resolve).retry_safety(RetrySafety::NotSent);
/// ```
#[derive(Clone, Debug)]
pub struct Verdict {
    pub(super) kind: FailureKind,
    pub(super) phase: Option<Phase>,
    pub(super) blame: Option<Blame>,
    pub(super) retry_safety: Option<RetrySafety>,
    pub(super) parameter: Option<Parameter>,
    pub(super) grpc_code: Option<u8>,
    pub(super) upstream_status: Option<StatusCode>,
}

impl Verdict {
    /// The kind alone.
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

    /// Sets the phase.
    #[must_use]
    pub fn phase(mut self, phase: Phase) -> Self {
        self.phase = Some(phase);
        self
    }

    /// Sets the blame, where it is not that of the kind.
    #[must_use]
    pub fn blame(mut self, blame: Blame) -> Self {
        self.blame = Some(blame);
        self
    }

    /// Sets whether the request may be sent again, as far as the attempt that failed is concerned. The layer says so of the call
    /// only after [`single_attempt`](crate::BadGatewayLayer::single_attempt).
    #[must_use]
    pub fn retry_safety(mut self, retry_safety: RetrySafety) -> Self {
        self.retry_safety = Some(retry_safety);
        self
    }

    /// Sets a parameter of the proxy error type.
    #[must_use]
    pub fn parameter(mut self, parameter: Parameter) -> Self {
        self.parameter = Some(parameter);
        self
    }

    /// Sets the status the upstream had answered; a client is answered the same if the kind is
    /// [`ReceivedStatus`](FailureKind::ReceivedStatus).
    #[must_use]
    pub fn upstream_status(mut self, status: StatusCode) -> Self {
        self.upstream_status = Some(status);
        self
    }

    /// Sets what a gRPC caller is answered, where it is not the code of the kind.
    #[cfg(any(feature = "hyper-util", feature = "tonic-0_14"))]
    pub(super) fn grpc_code(mut self, code: u8) -> Self {
        self.grpc_code = Some(code);
        self
    }

    /// It failed before a byte of the request had left.
    pub(super) fn not_sent(kind: FailureKind, phase: Phase) -> Self {
        Self::new(kind).phase(phase).retry_safety(RetrySafety::NotSent)
    }

    /// Takes from `other` what is not set here.
    pub(super) fn or(self, other: Self) -> Self {
        let same = self.kind == other.kind;
        Self {
            kind: self.kind,
            phase: self.phase.or(other.phase),
            blame: self.blame.or(other.blame.filter(|_| same)),
            retry_safety: self.retry_safety.or(other.retry_safety),
            parameter: self.parameter.or(other.parameter.filter(|_| same)),
            grpc_code: self.grpc_code.or(other.grpc_code.filter(|_| same)),
            upstream_status: self.upstream_status.or(other.upstream_status),
        }
    }

    /// Takes back what cannot be so, given where the error came out.
    pub(super) fn limited_by(mut self, cause: &Cause<'_>) -> Self {
        if stage::hides_attempts(cause) {
            self.retry_safety = None;
        }
        match cause.seen_in() {
            // The head is there: the request was sent and processed, whatever a body does to get on and whatever broke it.
            Phase::ResponseBody => {
                self.retry_safety = None;
                self.phase = self.phase.filter(|phase| *phase == Phase::RequestBody);
            }
            // Without a client around the error it may well be a body's.
            Phase::Unknown if !cause.is_of_call() => {
                self.retry_safety = self.retry_safety.filter(|safety| *safety != RetrySafety::NotProcessed);
            }
            _ => {}
        }
        self
    }
}

impl From<FailureKind> for Verdict {
    fn from(kind: FailureKind) -> Self {
        Self::new(kind)
    }
}
