//! When a call began, for those who want to know how long it takes.

use std::time::Duration;

use tokio::time::Instant;

/// When it all began and how long the head took.
#[derive(Debug)]
pub(crate) struct Times {
    called: Instant,
    pub(super) head: Duration,
}

impl Times {
    /// The head is here, after a call at that time.
    pub(crate) fn of_head(called: Instant) -> Box<Self> {
        Box::new(Self { called, head: called.elapsed() })
    }

    /// The time since the call.
    pub(super) fn elapsed(&self) -> Duration {
        self.called.elapsed()
    }
}
