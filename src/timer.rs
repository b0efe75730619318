//! Timers that cost nothing until they are waited for.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

pin_project! {
    /// One wait, inside a future: made when it is first polled.
    #[derive(Debug)]
    pub(crate) struct Once {
        #[pin]
        sleep: Option<Sleep>,
        limit: Duration,
    }
}

impl Once {
    pub(crate) fn new() -> Self {
        Self { sleep: None, limit: Duration::ZERO }
    }

    /// Counts from the first call; without a limit there is no timer, and the next call asks again.
    pub(crate) fn poll(
        mut self: Pin<&mut Self>,
        limit: impl FnOnce() -> Option<Duration>,
        cx: &mut Context<'_>,
    ) -> Option<Poll<()>> {
        let mut this = self.as_mut().project();
        if this.sleep.is_none() {
            *this.limit = limit()?;
            this.sleep.set(Some(sleep(*this.limit)));
        }
        this.sleep.as_pin_mut().map(|sleep| sleep.poll(cx))
    }

    /// When it was first polled: the clock was read then, and need not be twice.
    pub(crate) fn since(&self) -> Option<Instant> {
        self.sleep.as_ref()?.deadline().checked_sub(self.limit)
    }
}

/// Many waits with the same limit, one after another: one timer, which is set forward only when it has run out.
#[derive(Default)]
pub(crate) struct Again {
    sleep: Option<Pin<Box<Sleep>>>,
    deadline: Option<Instant>,
}

impl Again {
    /// Counts from the first call after [`rest`](Self::rest).
    pub(crate) fn poll(&mut self, limit: Duration, cx: &mut Context<'_>) -> Poll<()> {
        let deadline = *self.deadline.get_or_insert_with(|| after(limit));
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        loop {
            ready!(sleep.as_mut().poll(cx));
            if sleep.deadline() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
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

fn after(limit: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(limit).unwrap_or_else(|| now + FAR)
}

/// As good as never, and small enough for any clock: thirty years.
const FAR: Duration = Duration::from_secs(86_400 * 365 * 30);
