//! Timers that cost nothing until something is waited for.
//!
//! Most calls end before any of their limits. So a [`Timer`] allocates nothing and reads no clock before the first wait,
//! registers with tokio once, and takes later deadlines without a call into tokio:
//!
//! | moment | what is done |
//! | --- | --- |
//! | the first `arm` | a slot is taken from the pool of the thread, or allocated |
//! | the first `poll` | a `Sleep` is made in the slot, in the runtime of the caller |
//! | `disarm`, `arm` with a later deadline | the slot notes the deadline; the `Sleep` stays where it was |
//! | the `Sleep` runs out before the deadline | the task is woken, polls, and the `Sleep` is set to the deadline |
//! | `arm` with an earlier deadline | the next `poll` sets the `Sleep` to the deadline |
//! | `release` | the `Sleep` ends, the slot stays with the timer |
//! | drop | the slot is cleared and goes back to the pool of the thread it is dropped in |
//!
//! A task may therefore be woken once without need after a wait that ended in time. A call, a held head, a request body and
//! the wait for readiness have a timer each; that of a call moves from the future to the body, without its `Sleep`. A timer does not
//! know which limit its deadline is.

mod ready;

use std::{
    cell::RefCell,
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use pin_project_lite::pin_project;
use tokio::{
    task::unconstrained,
    time::{Instant, Sleep, sleep_until},
};

pub(crate) use ready::ReadyWait;

/// One timer for many waits, one after another. A wait that ends in time costs no more than a look at the clock.
///
/// It may be moved at any time, since its `Sleep` is in a slot on the heap, but has to be [released](Self::release)
/// before it is polled in another runtime.
#[derive(Default)]
pub(crate) struct Timer(Option<PooledSlot>);

/// A place for a `Sleep`, which must not move once it is polled, while the timer moves from the future of a call into the
/// response body.
type PooledSlot = Pin<Box<Slot>>;

pin_project! {
    /// One `Sleep`, the task that it wakes, and the deadline that is waited for. Empty after [`clear`](Slot::clear).
    #[derive(Default)]
    struct Slot {
        #[pin]
        sleep: Option<Sleep>,
        // The task that the `Sleep` wakes; `None` where the `Sleep` has to be polled again.
        waker: Option<Waker>,
        deadline: Option<Instant>,
    }
}

impl Timer {
    /// Waits for this moment from now on, and no longer for another one.
    #[inline]
    pub(crate) fn arm(&mut self, deadline: Instant) {
        *self.0.get_or_insert_with(take_from_pool).as_mut().project().deadline = Some(deadline);
    }

    /// Ends the wait, because what was waited for has come. The `Sleep` stays registered for the next wait.
    #[inline]
    pub(crate) fn disarm(&mut self) {
        if let Some(slot) = &mut self.0 {
            *slot.as_mut().project().deadline = None;
        }
    }

    /// Ends the wait and the `Sleep`, and forgets the task. For a timer whose next wait may be in another task or another
    /// runtime.
    #[inline]
    pub(crate) fn release(&mut self) {
        if let Some(slot) = &mut self.0 {
            slot.as_mut().clear();
        }
    }

    /// Whether a deadline is set.
    #[inline]
    pub(crate) fn is_armed(&self) -> bool {
        self.0.as_ref().is_some_and(|slot| slot.deadline.is_some())
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
        if !self.is_armed() {
            let limit = limit().map(|limit| after(Instant::now(), limit));
            let Some(deadline) = earlier(limit, until) else { return Poll::Pending };
            self.arm(deadline);
        }
        self.poll(cx)
    }

    /// Ready when the deadline is over, and at every call after that until the timer is disarmed or armed anew. Without a
    /// deadline it is pending, and the task is not woken.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with its timer enabled, if a deadline is set and there is no `Sleep` yet.
    #[inline]
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(slot) = &mut self.0 else { return Poll::Pending };
        let mut slot = slot.as_mut().project();
        let Some(deadline) = *slot.deadline else { return Poll::Pending };
        if slot.sleep.is_none() {
            slot.sleep.set(Some(sleep_until(deadline)));
        }
        let Some(mut sleep) = slot.sleep.as_pin_mut() else { return Poll::Pending };
        if sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
            *slot.waker = None;
        }
        if !sleep.is_elapsed() && slot.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            // The `Sleep` already wakes this task: polling it again would cost time and change nothing.
            return Poll::Pending;
        }
        // Outside of tokio's budget for a task: once the budget is spent, a `Sleep` is pending without keeping the waker,
        // and the limit would never fire.
        while Pin::new(&mut unconstrained(sleep.as_mut())).poll(cx).is_ready() {
            if sleep.deadline() >= deadline {
                *slot.waker = None;
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
        *slot.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Slot {
    /// Ends the `Sleep` and forgets waker and deadline, as a pooled slot has to be.
    fn clear(self: Pin<&mut Self>) {
        let mut slot = self.project();
        slot.sleep.set(None);
        *slot.waker = None;
        *slot.deadline = None;
    }
}

impl Drop for Timer {
    #[inline]
    fn drop(&mut self) {
        if let Some(slot) = self.0.take() {
            return_to_pool(slot);
        }
    }
}

impl fmt::Debug for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let deadline = self.0.as_ref().and_then(|slot| slot.deadline);
        f.debug_struct("Timer").field("deadline", &deadline).finish_non_exhaustive()
    }
}

thread_local! {
    /// Cleared slots for the next calls, so that a call which has to wait allocates nothing. A `Sleep` is made anew for
    /// every call: it belongs to the runtime in which it was made, and a thread may run several.
    static POOL: RefCell<Vec<PooledSlot>> = const { RefCell::new(Vec::new()) };
}

/// A cleared slot: from the pool of this thread, or a new one if the pool is empty, in use, or gone because the thread
/// ends.
fn take_from_pool() -> PooledSlot {
    let slot = POOL.try_with(|pool| pool.try_borrow_mut().ok()?.pop());
    slot.ok().flatten().unwrap_or_else(|| Box::pin(Slot::default()))
}

/// Keeps a slot for later. It is freed if the pool of this thread is full, in use, or gone because the thread ends.
fn return_to_pool(mut slot: PooledSlot) {
    // Cleared before the pool is borrowed: the waker may hold the last reference to a task, whose drop may return a slot
    // of its own.
    slot.as_mut().clear();
    let _ = POOL.try_with(|pool| {
        if let Ok(mut pool) = pool.try_borrow_mut() {
            if pool.len() < POOL_CAPACITY {
                pool.push(slot);
            }
        }
    });
}

/// How many slots a thread keeps. A slot goes back to the thread in which its call ends: where calls begin in one thread and
/// end in others, the first one allocates, and the others keep what they do not use up to this number.
const POOL_CAPACITY: usize = 256;

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
