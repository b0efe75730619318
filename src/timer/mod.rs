//! Timers that cost nothing until something is waited for.
//!
//! Most calls end before any of their limits. So a [`Timer`] allocates nothing and reads no clock before the first wait, and most
//! waits leave tokio's timer alone: they take the `Sleep` that an earlier wait of the thread has left (`slot`).
//!
//! | moment | what is done |
//! | --- | --- |
//! | the first `arm` | a slot is taken from the pool of the thread, or allocated |
//! | the first `poll`, or one by another task | the task is noted; a `Sleep` is made, unless there is one of this runtime |
//! | `disarm`, `arm` with a later deadline | the slot notes the deadline; the `Sleep` stays where it was |
//! | the `Sleep` runs out before the deadline | the task is woken, polls, and a `Sleep` is made for the deadline |
//! | `arm` with an earlier deadline | the next `poll` sets the `Sleep` to the deadline |
//! | `forget_task` | the task is forgotten; the `Sleep` stays, if the slot has been in the pool before |
//! | `release`, drop | the slot goes to the pool of this thread, with its `Sleep` if it has been there before |
//!
//! A task may therefore be woken once without need, by a `Sleep` that was made for a wait before; and a runtime whose calls have all
//! ended, once for each `Sleep` that is kept. A call, a held head, a request body and the wait for readiness have a timer each; that of a call moves from the
//! future to the body. A timer does not know which limit its deadline is.

mod ready;
mod sleep_waker;
mod slot;

use std::{
    fmt,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::Instant;

pub(crate) use ready::ReadyWait;
use slot::{PooledSlot, return_to_pool, take_from_pool};

/// The locks of what tokio's threads share with a task. A model of `sleep_waker` puts others in their place.
mod sync {
    pub(super) use std::sync::{Mutex, MutexGuard, PoisonError};
}

/// One timer for many waits, one after another. A wait that ends in time costs no more than a look at the clock.
///
/// It may be moved at any time, since its `Sleep` is in a slot on the heap; and it goes on in another runtime as `slot` says.
#[derive(Default)]
pub(crate) struct Timer(Option<PooledSlot>);

impl Timer {
    /// Waits for this moment from now on, and no longer for another one.
    #[inline]
    pub(crate) fn arm(&mut self, deadline: Instant) {
        self.0.get_or_insert_with(take_from_pool).as_mut().set_deadline(Some(deadline));
    }

    /// Ends the wait, because what was waited for has come. The `Sleep` stays registered for the next wait.
    #[inline]
    pub(crate) fn disarm(&mut self) {
        if let Some(slot) = &mut self.0 {
            slot.as_mut().set_deadline(None);
        }
    }

    /// Ends the wait, and forgets the task. For a timer whose next wait may be in another task or runtime. Until then it keeps what the
    /// runtime of the last one leaves behind when that ends.
    #[inline]
    pub(crate) fn forget_task(&mut self) {
        if let Some(slot) = &mut self.0 {
            slot.as_mut().end_wait();
        }
    }

    /// Ends the wait, and gives the place back. For a timer whose next wait may be much later, or never come.
    #[inline]
    pub(crate) fn release(&mut self) {
        if let Some(slot) = self.0.take() {
            return_to_pool(slot);
        }
    }

    /// Whether a deadline is set.
    #[inline]
    pub(crate) fn is_armed(&self) -> bool {
        self.0.as_ref().is_some_and(|slot| slot.deadline().is_some())
    }

    /// Ready when `limit` is over, counted from the first such call since the last [`disarm`](Self::disarm), and never
    /// later than `until`.
    ///
    /// `limit` is asked for at that first call only. Without both the timer stays unarmed, and the task is not woken.
    ///
    /// # Panics
    ///
    /// As [`poll`](Self::poll).
    pub(crate) fn poll_within(
        &mut self,
        limit: impl FnOnce() -> Option<Duration>,
        until: Option<Instant>,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        if self.is_armed() {
            return self.poll(cx);
        }
        let limit = limit().map(|limit| after(Instant::now(), limit));
        let Some(deadline) = earlier(limit, until) else { return Poll::Pending };
        let slot = self.0.get_or_insert_with(take_from_pool);
        slot.as_mut().set_deadline(Some(deadline));
        slot.as_mut().poll_until(deadline, cx)
    }

    /// Ready when the deadline is over and tokio's timer has seen it, and at every call after that until the timer is disarmed or armed
    /// anew. Without a deadline it is pending, and the task is not woken.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with its timer enabled, if a deadline is set and a `Sleep` has to be made.
    #[inline]
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(slot) = &mut self.0 else { return Poll::Pending };
        let Some(deadline) = slot.deadline() else { return Poll::Pending };
        slot.as_mut().poll_until(deadline, cx)
    }
}

impl Drop for Timer {
    #[inline]
    fn drop(&mut self) {
        self.release();
    }
}

impl fmt::Debug for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let deadline = self.0.as_ref().and_then(|slot| slot.deadline());
        f.debug_struct("Timer").field("deadline", &deadline).finish_non_exhaustive()
    }
}

/// The moment at which a limit that starts now is over. A limit that is too long for the clock is over in thirty years.
#[inline]
pub(crate) fn after(now: Instant, limit: Duration) -> Instant {
    now.checked_add(limit).unwrap_or_else(|| now + FAR_FUTURE)
}

/// The moment at which a wait began that has taken this long; `now`, if the clock does not reach back so far.
pub(crate) fn before(now: Instant, waited: Duration) -> Instant {
    now.checked_sub(waited).unwrap_or(now)
}

/// The earlier of two deadlines, of which `None` is never.
#[inline]
pub(crate) fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// Thirty years: longer than any call, and short enough to be added to any clock.
const FAR_FUTURE: Duration = Duration::from_secs(86_400 * 365 * 30);
