//! Timers that cost nothing until they are waited for.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};

pin_project! {
    /// One wait, inside a future: made when it is first polled.
    #[derive(Debug)]
    pub(crate) struct Once {
        #[pin]
        sleep: Option<Sleep>,
        since: Option<Instant>,
    }
}

impl Once {
    pub(crate) fn new() -> Self {
        Self { sleep: None, since: None }
    }

    /// For those who want to know all of the time.
    pub(crate) fn from(now: Instant) -> Self {
        Self { sleep: None, since: Some(now) }
    }

    /// The first call reads the clock and asks for a deadline; without one it waits for ever.
    pub(crate) fn poll(
        mut self: Pin<&mut Self>,
        is_first: bool,
        deadline: impl FnOnce(Instant) -> Option<Instant>,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let mut this = self.as_mut().project();
        if is_first {
            let now = Instant::now();
            this.since.get_or_insert(now);
            if let Some(deadline) = deadline(now) {
                this.sleep.set(Some(sleep_until(deadline)));
            }
        }
        this.sleep.as_pin_mut().map_or(Poll::Pending, |sleep| sleep.poll(cx))
    }

    /// Waits once more.
    pub(crate) fn reset(self: Pin<&mut Self>, deadline: Instant) {
        if let Some(sleep) = self.project().sleep.as_pin_mut() {
            sleep.reset(deadline);
        }
    }

    /// When it was first polled, or the clock was read before.
    pub(crate) fn since(&self) -> Option<Instant> {
        self.since
    }
}

/// Many waits with the same limit, one after another: one timer, which is set forward only when it has run out.
#[derive(Default)]
pub(crate) struct Again {
    sleep: Option<Pin<Box<Sleep>>>,
    /// Whom the timer knows.
    waker: Option<Waker>,
    deadline: Option<Instant>,
}

impl Again {
    /// Counts from the first call after [`rest`](Self::rest), and never beyond `until`.
    pub(crate) fn poll(
        &mut self,
        limit: impl FnOnce() -> Option<Duration>,
        until: Option<Instant>,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let deadline = match self.deadline {
            Some(deadline) => deadline,
            None => {
                let ours = limit().map(|limit| after(Instant::now(), limit));
                let Some(deadline) = earlier(ours, until) else { return Poll::Pending };
                *self.deadline.insert(deadline)
            }
        };
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if !sleep.is_elapsed() && self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            // It will tell the right one when it is time to look.
            return Poll::Pending;
        }
        while sleep.as_mut().poll(cx).is_ready() {
            if sleep.deadline() >= deadline {
                self.waker = None;
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
        self.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Whether somebody was waiting when he was last heard of.
    pub(crate) fn is_waiting(&self) -> bool {
        self.deadline.is_some()
    }

    /// What was waited for has come.
    pub(crate) fn rest(&mut self) {
        self.deadline = None;
    }
}

impl fmt::Debug for Again {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Again").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

/// The moment a limit that starts now runs out.
pub(crate) fn after(now: Instant, limit: Duration) -> Instant {
    now.checked_add(limit).unwrap_or_else(|| now + FAR)
}

/// Whichever comes first.
pub(crate) fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// As good as never, and small enough for any clock: thirty years.
const FAR: Duration = Duration::from_secs(86_400 * 365 * 30);
