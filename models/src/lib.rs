//! Models of what threads share: the tests run a source file of the layer with the locks of `loom`, in every order in which its
//! threads may meet.

#![cfg(test)]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

#[path = "../../src/timer/sleep_waker.rs"]
mod sleep_waker;

/// The locks of the file above.
mod sync {
    pub(super) use std::sync::PoisonError;

    pub(super) use loom::sync::{Mutex, MutexGuard};
}

use std::{
    sync::{Arc, atomic, atomic::AtomicUsize},
    task::{Wake, Waker},
};

use loom::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};
use sleep_waker::SleepWaker;

/// A task, as far as a timer knows it. How often it was woken is counted beside the model.
#[derive(Default)]
struct Task(AtomicUsize);

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, atomic::Ordering::Relaxed);
    }
}

impl Task {
    fn wakes(&self) -> usize {
        self.0.load(atomic::Ordering::Relaxed)
    }
}

/// A `Sleep`, as far as its waker knows it: it has run out, then it wakes. tokio looks at the first without an order of its own.
#[derive(Clone)]
struct Sleep {
    has_run_out: loom::sync::Arc<AtomicBool>,
    waker: Arc<SleepWaker>,
}

impl Sleep {
    fn new() -> Self {
        Self { has_run_out: loom::sync::Arc::new(AtomicBool::new(false)), waker: Arc::default() }
    }

    fn run_out(&self) {
        self.has_run_out.store(true, Ordering::Relaxed);
        Waker::from(Arc::clone(&self.waker)).wake();
    }

    /// Whether the time is over. The order is that of `Slot::poll_until` and `poll_uncommon`, and has to be changed with them.
    fn poll(&self, task: &Waker) -> bool {
        if !self.waker.wakes(task) {
            self.waker.set_task(Some(task.clone()));
        }
        self.has_run_out.load(Ordering::Relaxed)
    }
}

#[test]
fn a_task_is_woken_or_sees_that_the_time_is_over() {
    loom::model(|| {
        let (sleep, task) = (Sleep::new(), Arc::new(Task::default()));
        let waker = Waker::from(Arc::clone(&task));
        let driver = thread::spawn({
            let sleep = sleep.clone();
            move || sleep.run_out()
        });
        // Twice, as when the task is woken by something else.
        let is_over = sleep.poll(&waker) || sleep.poll(&waker);
        driver.join().unwrap();
        assert!(is_over || task.wakes() == 1);
    });
}

#[test]
fn of_two_tasks_the_last_is_woken_or_sees_that_the_time_is_over() {
    loom::model(|| {
        let (sleep, first, last) = (Sleep::new(), Arc::new(Task::default()), Arc::new(Task::default()));
        let driver = thread::spawn({
            let sleep = sleep.clone();
            move || sleep.run_out()
        });
        let saw_first = sleep.poll(&Waker::from(Arc::clone(&first)));
        let saw_last = sleep.poll(&Waker::from(Arc::clone(&last)));
        driver.join().unwrap();
        assert!(saw_first || saw_last || last.wakes() == 1);
        assert!(first.wakes() + last.wakes() <= 1);
    });
}

#[test]
fn a_task_that_is_forgotten_is_kept_by_nothing() {
    loom::model(|| {
        let (sleep, task) = (Sleep::new(), Arc::new(Task::default()));
        let driver = thread::spawn({
            let sleep = sleep.clone();
            move || sleep.run_out()
        });
        sleep.poll(&Waker::from(Arc::clone(&task)));
        sleep.waker.set_task(None);
        driver.join().unwrap();
        assert_eq!(Arc::strong_count(&task), 1);
    });
}

/// The `Sleep` of a slot in the pool runs out while the next call takes it.
#[test]
fn the_next_task_is_woken_or_sees_that_the_time_is_over() {
    loom::model(|| {
        let (sleep, next) = (Sleep::new(), Arc::new(Task::default()));
        sleep.poll(&Waker::from(Arc::new(Task::default())));
        let driver = thread::spawn({
            let sleep = sleep.clone();
            move || sleep.run_out()
        });
        sleep.waker.set_task(None);
        let is_over = sleep.poll(&Waker::from(Arc::clone(&next)));
        driver.join().unwrap();
        assert!(is_over || next.wakes() == 1);
    });
}
