//! What became of a request's body: written by the body, read by the future of the call.

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Wake, Waker},
};

use tokio::time::Instant;

use crate::failure::Failure;

/// Travels in the extensions of a request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Upload(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    turn: Turn,
    /// Content has been handed over.
    taken: bool,
    waiting: Option<Waker>,
}

/// Wakes whoever reads an upload, and notes that it is no longer the client who is waited for: who was woken and does not ask
/// has nobody else to blame.
pub(super) struct Reader {
    upload: Upload,
    waker: Mutex<Waker>,
}

impl Reader {
    pub(super) fn new(upload: Upload, waker: Waker) -> Arc<Self> {
        Arc::new(Self { upload, waker: Mutex::new(waker) })
    }

    /// Another task reads on.
    pub(super) fn moved(&self, to: &Waker) {
        let mut waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
        let _before = (!waker.will_wake(to)).then(|| mem::replace(&mut *waker, to.clone()));
        drop(waker);
    }
}

impl Wake for Reader {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.upload.woken();
        let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner).clone();
        waker.wake();
    }
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
    /// The client is waited for, until this wakes.
    pub(super) fn client(&self) {
        self.set(Turn::Client);
    }

    /// The client has sent something, or its time is up: it is for the upstream to ask.
    fn woken(&self) {
        let mut state = self.lock();
        if let Turn::Client = state.turn {
            state.turn = Turn::Upstream(Instant::now());
        }
    }

    /// A part is handed over.
    pub(super) fn upstream(&self) {
        self.hand_over(Turn::Upstream(Instant::now()));
    }

    /// The last part is handed over.
    pub(super) fn last(&self) {
        self.hand_over(Turn::Over(Instant::now()));
    }

    pub(super) fn over(&self) {
        self.set(Turn::Over(Instant::now()));
    }

    /// Whether any content was handed over, so that some of the request may be sent.
    pub(crate) fn is_taken(&self) -> bool {
        self.lock().taken
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
        // Dropped outside of the lock: it may hold the last of a task, and that task this body.
        let _before = match &state.waiting {
            Some(waker) if waker.will_wake(cx.waker()) => None,
            _ => state.waiting.replace(cx.waker().clone()),
        };
        drop(state);
        None
    }

    /// The client is waited for.
    pub(crate) fn is_clients(&self) -> bool {
        matches!(self.lock().turn, Turn::Client)
    }

    /// A part has been handed over, and the next not asked for.
    pub(crate) fn is_under_way(&self) -> bool {
        matches!(self.lock().turn, Turn::Upstream(_))
    }

    fn hand_over(&self, turn: Turn) {
        let mut state = self.lock();
        state.taken = true;
        // Dropped outside of the lock: a failure holds somebody else's error.
        let _before = mem::replace(&mut state.turn, turn);
        drop(state);
    }

    fn set(&self, turn: Turn) {
        // Dropped outside of the lock: a failure holds somebody else's error.
        let _before = mem::replace(&mut self.lock().turn, turn);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
