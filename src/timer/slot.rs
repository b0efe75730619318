//! Places of timers, which the calls of a thread hand on to each other with the `Sleep`s in them.
//!
//! To make a `Sleep`, put it into the wheel of its runtime and take it out again costs more than the rest of a wait. So the
//! `Sleep` of a slot in the pool outlives the wait it was made for: the next one of the thread nearly always ends later, and takes
//! it as it is.
//!
//! Three things must not be handed on:
//!
//! - **the task.** A `Sleep` that stays wakes a [`SleepWaker`], which forgets its task when the wait ends.
//! - **the runtime.** A `Sleep` runs in the runtime in which it was made. Where another task waits than before, the [`Id`] of the
//!   current runtime is compared, and another runtime gets a `Sleep` of its own. tokio may give the `Id` of a runtime that has
//!   ended to another one; but a runtime that ends lets all of its `Sleep`s run out. A task that has the same waker in two runtimes, as
//!   that of `block_on` in one thread may, is not told apart: it depends on the first as long as that one lives.
//! - **what has run out.** The next wait makes a new `Sleep` in its place.
//!
//! A `SleepWaker` takes memory, and with many calls in flight most slots are used once. So a new slot has none, its `Sleep` wakes
//! the task itself and ends with the wait, and the slot gets one when it comes into the pool.
//!
//! Wakers, and what a runtime leaves behind, are foreign code when they are dropped, which may make and drop calls: nothing is
//! dropped while the pool is borrowed.

use std::{
    cell::RefCell,
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use pin_project_lite::pin_project;
use tokio::{
    runtime::{Handle, Id},
    task::unconstrained,
    time::{Instant, Sleep, sleep_until},
};

use super::sleep_waker::SleepWaker;

/// A slot does not move, since its `Sleep` must not, while the timer moves from the future of a call into the response body.
pub(super) type PooledSlot = Pin<Box<Slot>>;

pin_project! {
    /// One `Sleep`, whom it wakes, and what is waited for.
    #[derive(Default)]
    pub(super) struct Slot {
        #[pin]
        sleep: Option<Sleep>,
        // The runtime in which the `Sleep` was made; noted when it has been polled there, since one that a panic has kept from that
        // never fires.
        runtime: Option<Id>,
        deadline: Option<Instant>,
        // What the `Sleep` wakes; `None` if it wakes the task itself.
        waker: Option<Arc<SleepWaker>>,
        // The task that the `Sleep` wakes itself; `None` where it has to be polled again, and if there is a waker.
        task: Option<Waker>,
    }
}

impl Slot {
    /// What is waited for, if anything is.
    #[inline]
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Waits for this moment from now on, or for none.
    #[inline]
    pub(super) fn set_deadline(self: Pin<&mut Self>, deadline: Option<Instant>) {
        *self.project().deadline = deadline;
    }

    /// Ends the wait, and forgets the task.
    #[inline(never)]
    pub(super) fn end_wait(self: Pin<&mut Self>) {
        let mut slot = self.project();
        *slot.deadline = None;
        match slot.waker {
            Some(waker) => waker.set_task(None),
            None => {
                slot.sleep.set(None);
                *slot.task = None;
            }
        }
    }

    /// Ready when this deadline is over, which is that of the slot, and at every call after that.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with its timer enabled, if a `Sleep` has to be made.
    #[inline(always)] // for every frame that is waited for
    pub(super) fn poll_until(self: Pin<&mut Self>, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let wakes_this_task = match &self.waker {
            Some(waker) => waker.wakes(cx.waker()),
            None => self.task.as_ref().is_some_and(|task| task.will_wake(cx.waker())),
        };
        if wakes_this_task && self.is_in_time(deadline) {
            return Poll::Pending;
        }
        self.poll_uncommon(deadline, wakes_this_task, cx)
    }

    /// Whether there is a `Sleep` that will run out at the deadline or before it.
    #[inline]
    fn is_in_time(&self, deadline: Instant) -> bool {
        self.runtime.is_some()
            && self.sleep.as_ref().is_some_and(|sleep| sleep.deadline() <= deadline && !sleep.is_elapsed())
    }

    /// Polls for another task than before, or when the `Sleep` has run out, is missing, or would run out too late.
    #[inline(never)]
    fn poll_uncommon(
        mut self: Pin<&mut Self>,
        deadline: Instant,
        wakes_this_task: bool,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        if !wakes_this_task {
            // Another task may be in another runtime, and that of the `Sleep` may have stopped, or nothing runs it.
            if self.runtime != current_runtime() {
                self.as_mut().project().sleep.set(None);
            }
            if let Some(waker) = &self.waker {
                waker.set_task(Some(cx.waker().clone()));
                // Looked at after the task is set: see `SleepWaker`, and `models`, which has this order.
                if self.is_in_time(deadline) {
                    return Poll::Pending;
                }
            }
        }
        self.poll_sleep(deadline, cx)
    }

    /// Sees to it that the `Sleep` runs out at the deadline or before it. Ready when the deadline is over.
    fn poll_sleep(self: Pin<&mut Self>, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let mut slot = self.project();
        let own_waker = slot.waker.clone().map(Waker::from);
        let waker = own_waker.as_ref().unwrap_or(cx.waker());
        let mut made_in = *slot.runtime;
        loop {
            match slot.sleep.as_mut().as_pin_mut() {
                Some(sleep) if !sleep.is_elapsed() => {
                    if sleep.deadline() > deadline {
                        sleep.reset(deadline);
                    }
                }
                Some(_) if deadline <= Instant::now() => return Poll::Ready(()),
                // It was for an earlier deadline, or its runtime has ended: then a poll would panic.
                Some(_) | None => {
                    *slot.runtime = None;
                    slot.sleep.set(None);
                    made_in = current_runtime();
                    keep_for(made_in);
                    slot.sleep.set(Some(sleep_until(deadline)));
                }
            }
            let Some(mut sleep) = slot.sleep.as_mut().as_pin_mut() else { return Poll::Pending };
            // Outside of tokio's budget for a task: once the budget is spent, a `Sleep` is pending without keeping the waker,
            // and the limit would never fire.
            if Pin::new(&mut unconstrained(sleep.as_mut())).poll(&mut Context::from_waker(waker)).is_pending() {
                *slot.runtime = made_in;
                if own_waker.is_none() {
                    *slot.task = Some(waker.clone());
                }
                return Poll::Pending;
            }
            if sleep.deadline() >= deadline {
                return Poll::Ready(());
            }
        }
    }
}

/// The runtime in which a `Sleep` would be made now, if there is one.
fn current_runtime() -> Option<Id> {
    Handle::try_current().ok().map(|runtime| runtime.id())
}

/// What the calls of a thread hand on.
struct Pool {
    /// With a waker each, without a deadline and a task.
    slots: Vec<PooledSlot>,
    /// The runtime in which this thread has last made a `Sleep`. Those of others are not kept. A thread that only drops what others
    /// have made would keep them in vain; and a `Sleep` keeps what its runtime leaves behind when it ends.
    runtime: Option<Id>,
}

thread_local! {
    static POOL: RefCell<Pool> = const { RefCell::new(Pool { slots: Vec::new(), runtime: None }) };
}

/// A slot without a deadline and a task: from the pool of this thread, or a new one if the pool is empty, in use, or gone because
/// the thread ends.
#[inline(never)]
pub(super) fn take_from_pool() -> PooledSlot {
    let slot = POOL.try_with(|pool| pool.try_borrow_mut().ok()?.slots.pop());
    slot.ok().flatten().unwrap_or_else(|| Box::pin(Slot::default()))
}

/// Keeps a slot for later, without the `Sleep` if that is of another runtime than those of this thread. It is freed if the pool is
/// full, in use, or gone because the thread ends.
#[inline(never)]
pub(super) fn return_to_pool(mut slot: PooledSlot) {
    slot.as_mut().end_wait();
    if let Err(slot) = push(slot) {
        push_without_sleep(slot);
    }
}

#[cold]
fn push_without_sleep(mut slot: PooledSlot) {
    slot.as_mut().project().sleep.set(None);
    // If it is not taken, the pool is full or in use.
    let _ = push(slot);
}

/// Puts a slot into the pool of this thread, if there is one.
///
/// # Errors
///
/// The slot, if its `Sleep` is of another runtime than those of the pool, or the pool is full or in use.
#[inline(always)] // for every call that was waited for; elsewhere seldom
fn push(mut slot: PooledSlot) -> Result<(), PooledSlot> {
    let pushed = POOL.try_with(|pool| {
        let Ok(mut pool) = pool.try_borrow_mut() else { return Err(slot) };
        let is_of_other_runtime = slot.sleep.is_some() && slot.runtime != pool.runtime;
        if is_of_other_runtime || pool.slots.len() >= POOL_CAPACITY {
            return Err(slot);
        }
        slot.as_mut().project().waker.get_or_insert_default();
        pool.slots.push(slot);
        Ok(())
    });
    pushed.unwrap_or(Ok(()))
}

/// Keeps the `Sleep`s of this runtime from now on, and ends those of the one before.
fn keep_for(runtime: Option<Id>) {
    let before = POOL.try_with(|pool| {
        let mut pool = pool.try_borrow_mut().ok()?;
        if pool.runtime == runtime {
            return None;
        }
        pool.runtime = runtime;
        Some(mem::take(&mut pool.slots))
    });
    before.ok().flatten().into_iter().flatten().for_each(push_without_sleep);
}

/// How many slots a thread keeps. A slot goes back to the thread in which its wait ends: where waits begin in one thread and
/// end in others, the first one allocates, and the others keep what they do not use up to this number.
const POOL_CAPACITY: usize = 256;
