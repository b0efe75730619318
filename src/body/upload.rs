//! What became of a request's body: written by the body, read by the future of the call.

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Waker},
};

use tokio::time::Instant;

use crate::failure::Failure;

/// Travels in the extensions of a request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Upload(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    turn: Turn,
    waiting: Option<Waker>,
}

/// Whose turn it is.
#[derive(Clone, Debug, Default)]
pub(crate) enum Turn {
    /// Nobody has asked for the body yet.
    #[default]
    Untouched,
    /// The client is waited for.
    Client,
    /// The upstream has been handed a part, and has not asked for the next.
    Upstream(Instant),
    /// All of it, or all that was asked for, has been handed over.
    Over(Instant),
    /// The client has not kept its word.
    Failed(Failure),
}

impl Upload {
    pub(super) fn client(&self) {
        self.set(Turn::Client);
    }

    pub(super) fn upstream(&self) {
        self.set(Turn::Upstream(Instant::now()));
    }

    pub(super) fn over(&self) {
        self.set(Turn::Over(Instant::now()));
    }

    /// Whoever waits for the response need not wait for the upstream to notice.
    pub(super) fn failed(&self, failure: Failure) {
        self.set(Turn::Failed(failure));
        let waiting = self.lock().waiting.take();
        if let Some(waker) = waiting {
            waker.wake();
        }
    }

    pub(crate) fn turn(&self) -> Turn {
        self.lock().turn.clone()
    }

    pub(crate) fn failure(&self) -> Option<Failure> {
        match &self.lock().turn {
            Turn::Failed(failure) => Some(failure.clone()),
            _ => None,
        }
    }

    /// The same, and asks to be woken when there is one.
    pub(crate) fn poll_failure(&self, cx: &mut Context<'_>) -> Option<Failure> {
        let mut state = self.lock();
        if let Turn::Failed(failure) = &state.turn {
            return Some(failure.clone());
        }
        match &mut state.waiting {
            Some(waker) => waker.clone_from(cx.waker()),
            waiting => *waiting = Some(cx.waker().clone()),
        }
        None
    }

    fn set(&self, turn: Turn) {
        // Dropped outside of the lock: a failure holds somebody else's error.
        let _before = mem::replace(&mut self.lock().turn, turn);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
