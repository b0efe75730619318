//! What has become of a fallback.

use super::Failure;

/// What has become of the [fallback](crate::fallback) of a failure that was answered. It is told to log, hooks and metrics.
///
/// ```
/// use tower_bad_gateway::{BadGatewayLayer, failure::FallbackOutcome};
///
/// let layer = BadGatewayLayer::new().on_failure(|event| {
///     if let Some(FallbackOutcome::Failed(second)) = event.failure().fallback() {
///         eprintln!("{}, and the fallback: {}", event.failure().private_chain(), second.private_chain());
///     }
/// });
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum FallbackOutcome {
    /// The client got its content.
    Answered,
    /// It failed as well, and the format has answered.
    Failed(Failure),
    /// The client got its head, and its body has broken: the message was aborted. Told in a report of its own.
    Broken(Failure),
    /// It was not asked, since too many asked [at once](crate::fallback::Fallback::concurrency_limit), and the format has answered.
    Busy,
    /// The client left while it was asked.
    Abandoned,
}

impl FallbackOutcome {
    /// A stable lower-case word for logs and metrics.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Failed(_) => "failed",
            Self::Broken(_) => "broken",
            Self::Busy => "busy",
            Self::Abandoned => "abandoned",
        }
    }

    /// The failure of the fallback.
    #[must_use]
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Failed(failure) | Self::Broken(failure) => Some(failure),
            Self::Answered | Self::Busy | Self::Abandoned => None,
        }
    }
}
