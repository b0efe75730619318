//! Whom a `Sleep` wakes.

use std::{
    mem,
    sync::Arc,
    task::{Wake, Waker},
};

use super::sync::{Mutex, MutexGuard, PoisonError};

/// The waker of a `Sleep` that outlives its waits: passes a wake-up on to the task that waits now, if one does.
///
/// A task that waits calls [`set_task`](Self::set_task) before it looks at the `Sleep`. The `Sleep` runs out before it wakes, so that
/// either the task is woken or it sees that the time is over. Of a task that is [known](Self::wakes) already the same is true: but for the
/// owner of the slot, only a wake-up takes it from here.
#[derive(Debug, Default)]
pub(super) struct SleepWaker(Mutex<Option<Waker>>);

impl SleepWaker {
    /// Whether this task would be woken.
    #[inline]
    pub(super) fn wakes(&self, task: &Waker) -> bool {
        self.lock().as_ref().is_some_and(|waker| waker.will_wake(task))
    }

    /// Wakes this task from now on, or none. Wakers are foreign code, and are cloned, woken and dropped without the lock.
    #[inline(always)] // twice or three times for a call that was waited for
    pub(super) fn set_task(&self, task: Option<Waker>) {
        let before = mem::replace(&mut *self.lock(), task);
        drop(before);
    }

    #[inline]
    fn lock(&self) -> MutexGuard<'_, Option<Waker>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for SleepWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let task = self.lock().take();
        if let Some(task) = task {
            task.wake();
        }
    }
}
