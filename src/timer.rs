//! Timers that cost nothing until they are waited for.

use std::{
    fmt, mem,
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

    /// Of a wait that has begun before.
    pub(crate) fn from(since: Instant) -> Self {
        Self { sleep: None, since: Some(since) }
    }

    /// The first call reads the clock, if nobody has, and asks for a deadline; without one it waits for ever.
    pub(crate) fn poll(
        mut self: Pin<&mut Self>,
        is_first: bool,
        deadline: impl FnOnce(Instant) -> Option<Instant>,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let mut this = self.as_mut().project();
        if is_first {
            let since = *this.since.get_or_insert_with(Instant::now);
            if let Some(deadline) = deadline(since) {
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

/// The wait for a service to become ready: part of the time that the call after it has.
#[derive(Debug, Default)]
pub(crate) struct ReadyWait {
    timer: Again,
    since: Option<Instant>,
    waited: Duration,
}

impl ReadyWait {
    /// Not ready: counts from the first such call. Without a limit it waits for ever.
    pub(crate) fn poll(&mut self, limit: Option<Duration>, cx: &mut Context<'_>) -> Poll<()> {
        self.since.get_or_insert_with(Instant::now);
        self.timer.poll(|| limit, None, cx)
    }

    /// Ready, or late: what passes between now and the call is the caller's time.
    ///
    /// Never more than the limit: whoever has waited may have gone away and left the clock running, and without a limit readiness has
    /// a time of its own.
    #[inline]
    pub(crate) fn end(&mut self, limit: impl FnOnce() -> Option<Duration>) {
        // Without a wait nothing has been set.
        if let Some(since) = self.since.take() {
            self.timer.rest();
            self.waited = since.elapsed().min(limit().unwrap_or_default());
        }
    }

    /// How long the call that begins now has waited already.
    pub(crate) fn take(&mut self) -> Duration {
        mem::take(&mut self.waited)
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

/// The moment at which a wait has begun that has taken this long.
pub(crate) fn before(now: Instant, waited: Duration) -> Instant {
    now.checked_sub(waited).unwrap_or(now)
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
