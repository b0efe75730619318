//! Timers that cost nothing until something is waited for.

use std::{
    cell::RefCell,
    fmt,
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use pin_project_lite::pin_project;
use tokio::{
    task::unconstrained,
    time::{Instant, Sleep, sleep_until},
};

/// One timer for many waits, one after another: made when something is waited for, and set forward only when it has run out before its
/// deadline. So a wait that ends in time costs no more than the look at a clock.
#[derive(Default)]
pub(crate) struct Timer(Option<PooledSlot>);

/// Where a `Sleep` lives: it must not move, and is handed on from the future of a call to the body of its response.
type PooledSlot = Pin<Box<Slot>>;

pin_project! {
    #[derive(Default)]
    struct Slot {
        #[pin]
        sleep: Option<Sleep>,
        // Whom the `Sleep` wakes.
        waker: Option<Waker>,
        deadline: Option<Instant>,
    }
}

impl Timer {
    /// Waits for this moment from now on, whatever was waited for before.
    #[inline]
    pub(crate) fn arm(&mut self, deadline: Instant) {
        *self.0.get_or_insert_with(take_from_pool).as_mut().project().deadline = Some(deadline);
    }

    /// What was waited for has come.
    #[inline]
    pub(crate) fn disarm(&mut self) {
        if let Some(slot) = &mut self.0 {
            *slot.as_mut().project().deadline = None;
        }
    }

    /// What comes next may be waited for in another runtime, by another task: the `Sleep` ends here, its slot is handed on.
    #[inline]
    pub(crate) fn release(&mut self) {
        if let Some(slot) = &mut self.0 {
            slot.as_mut().empty();
        }
    }

    /// Whether something is waited for.
    #[inline]
    pub(crate) fn is_armed(&self) -> bool {
        self.0.as_ref().is_some_and(|slot| slot.deadline.is_some())
    }

    /// Waits for so long, from the first such call since the last [`disarm`](Self::disarm), and never beyond `until`.
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

    /// Whether the deadline is over; without one nobody is woken.
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
            // It wakes the right task when it is time to look.
            return Poll::Pending;
        }
        // Without tokio's budget for a task: once that is spent a `Sleep` says "pending" and takes no waker, and would not be asked again.
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
    fn empty(self: Pin<&mut Self>) {
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
    /// Empty places for the next calls, so that none has to allocate one. The `Sleep` itself is always a new one: it belongs to the
    /// runtime in which it was made, and there may be several on a thread.
    static POOL: RefCell<Vec<PooledSlot>> = const { RefCell::new(Vec::new()) };
}

fn take_from_pool() -> PooledSlot {
    let slot = POOL.try_with(|pool| pool.try_borrow_mut().ok()?.pop());
    slot.ok().flatten().unwrap_or_else(|| Box::pin(Slot::default()))
}

fn return_to_pool(mut slot: PooledSlot) {
    // What this drops may be anything, and may come back here: not while the places are borrowed.
    slot.as_mut().empty();
    let _ = POOL.try_with(|pool| {
        if let Ok(mut pool) = pool.try_borrow_mut() {
            if pool.len() < POOL_CAPACITY {
                pool.push(slot);
            }
        }
    });
}

/// Of 144 bytes each, for each thread. Where calls begin in one thread and end in others, the places are in the others.
const POOL_CAPACITY: usize = 256;

/// The wait for a service to become ready: part of the time that the call after it has.
#[derive(Debug, Default)]
pub(crate) struct ReadyWait {
    timer: Timer,
    since: Option<Instant>,
    waited: Duration,
}

impl ReadyWait {
    /// Not ready: counts from the first such call. Without a limit it waits for ever.
    pub(crate) fn poll(&mut self, limit: Option<Duration>, cx: &mut Context<'_>) -> Poll<()> {
        self.since.get_or_insert_with(Instant::now);
        self.timer.poll_within(|| limit, None, cx)
    }

    /// Ready, or late: what passes between now and the call is the caller's time.
    ///
    /// Never more than the limit: whoever has waited may have gone away and left the clock running, and without a limit readiness has
    /// a time of its own.
    #[inline]
    pub(crate) fn end(&mut self, limit: impl FnOnce() -> Option<Duration>) {
        // Without a wait nothing has been set.
        if let Some(since) = self.since.take() {
            // The next wait may be in another runtime.
            self.timer.release();
            self.waited = since.elapsed().min(limit().unwrap_or_default());
        }
    }

    /// How long the call that begins now has waited already.
    #[inline]
    pub(crate) fn take(&mut self) -> Duration {
        mem::take(&mut self.waited)
    }
}

/// The moment a limit that starts now runs out.
#[inline]
pub(crate) fn after(now: Instant, limit: Duration) -> Instant {
    now.checked_add(limit).unwrap_or_else(|| now + FAR)
}

/// The moment at which a wait has begun that has taken this long.
pub(crate) fn before(now: Instant, waited: Duration) -> Instant {
    now.checked_sub(waited).unwrap_or(now)
}

/// Whichever comes first.
#[inline]
pub(crate) fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// As good as never, and small enough for any clock: thirty years.
const FAR: Duration = Duration::from_secs(86_400 * 365 * 30);
