//! The wait before a call.

use std::{
    mem,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::Instant;

use super::{Timer, after};

/// The wait of a service to become ready, whose time counts as part of the call that comes next.
///
/// The order of calls is: [`poll`](Self::poll) while the service is pending, [`end`](Self::end) when it is not,
/// [`take`](Self::take) when the call begins. A service that is ready at once reads no clock.
#[derive(Debug, Default)]
pub(crate) struct ReadyWait {
    /// The timer of the ready timeout.
    timer: Timer,
    /// When the wait began; `None` if there is none now.
    since: Option<Instant>,
    /// How long the last wait took, until a call has taken it.
    waited: Duration,
}

impl ReadyWait {
    /// The service is not ready. Ready when `limit` is over, counted from the first such call; without a limit always
    /// pending.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with its timer enabled, if there is a limit.
    pub(crate) fn poll(&mut self, limit: Option<Duration>, cx: &mut Context<'_>) -> Poll<()> {
        let since = *self.since.get_or_insert_with(Instant::now);
        let Some(limit) = limit else { return Poll::Pending };
        // A wait may be given up and taken up again in another runtime by the same task. Without a place of its own the timer compares
        // the runtimes again.
        self.timer.release();
        self.timer.arm(after(since, limit));
        self.timer.poll(cx)
    }

    /// Ends the wait, because the service is ready, has failed, or is late. The time between this and the call is the
    /// caller's, and does not count.
    ///
    /// The wait counts as no longer than `limit`, and as nothing without one: a caller that gave up its wait may come
    /// back hours later, and a readiness without a limit takes no time from the head.
    #[inline]
    pub(crate) fn end(&mut self, limit: impl FnOnce() -> Option<Duration>) {
        // Without a wait there is nothing to end, and the clock is not read.
        if let Some(since) = self.since.take() {
            // A service may be kept for long without another wait.
            self.timer.release();
            self.waited = since.elapsed().min(limit().unwrap_or_default());
        }
    }

    /// How long the call that begins now has waited. The call after it has waited for nothing.
    #[inline]
    pub(crate) fn take(&mut self) -> Duration {
        mem::take(&mut self.waited)
    }
}
