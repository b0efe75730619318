//! What became of a request's body: written by the body, read by the future of the call.
//!
//! An [`Upload`] is made by [`RequestBodyTap`](crate::RequestBodyTap) for a request with a body, and travels in the
//! extensions of that request to [`BadGateway`](crate::BadGateway). The body and the call may be in different tasks, so
//! the state is behind a lock. No waker is woken and no error is dropped while that lock is held: their code is not ours,
//! and may come back here.
//!
//! | who | does | when |
//! | --- | --- | --- |
//! | the request body | writes the turn | at every poll, at its end, at its drop |
//! | [`UploadWaker`] | ends the client's turn | the client's body wakes the task that reads it |
//! | the call | reads the turn | a time limit may be over |
//! | the call | waits for a failure | at every poll that is pending |
//! | the call | reads whether content was read | an error claims that nothing was sent |
//!
//! This file must not know about time limits: it notes from when a turn is, and the call decides how long it may be. Its
//! moments are those of tokio's clock, so that paused time in tests counts.

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Wake, Waker},
};

use tokio::time::Instant;

use crate::failure::Failure;

/// The state of one upload. Clones share the state; the tap puts one into the extensions of the request, and keeps one in
/// the body.
#[derive(Clone, Debug, Default)]
pub(crate) struct Upload(Arc<Mutex<State>>);

/// What the lock protects.
#[derive(Debug, Default)]
struct State {
    /// Whose turn it is.
    turn: Turn,
    /// Whether the wrapped service has read a frame of the body. Stays `true`.
    content_read: bool,
    /// When the client's last frame, or the end, was given to the wrapped service.
    last_frame: Option<Instant>,
    /// Wakes the task of the call when the upload fails.
    call_waker: Option<Waker>,
}

/// The waker that the client's body gets. It ends the client's turn, and then wakes the task that reads the upload.
///
/// Without it a service that has polled the body once and never polls again would leave the turn with the client for
/// ever, and no limit would count.
pub(super) struct UploadWaker {
    upload: Upload,
    /// Wakes the task that has polled the body last.
    waker: Mutex<Waker>,
}

impl UploadWaker {
    /// Makes a waker for the task that polls the body first. One allocation, of which the body keeps two references.
    pub(super) fn new(upload: Upload, waker: Waker) -> Arc<Self> {
        Arc::new(Self { upload, waker: Mutex::new(waker) })
    }

    /// Makes the task of this waker the one that is woken, since a body may be read by one task after another.
    pub(super) fn set_waker(&self, to: &Waker) {
        let mut waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
        // The old waker is dropped after the lock: it may hold the last reference to a task, and that task this body.
        let _before = (!waker.will_wake(to)).then(|| mem::replace(&mut *waker, to.clone()));
        drop(waker);
    }
}

impl Wake for UploadWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.upload.note_wake();
        let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner).clone();
        waker.wake();
    }
}

/// Whose turn it is: which side of the gateway has to do something before the upload goes on.
///
/// | turn | what leads in | what the upload waits for |
/// | --- | --- | --- |
/// | `Untouched` | the tap makes the upload | the wrapped service, to poll the body |
/// | `Client` | the body is polled | the client, to send |
/// | `Upstream` | a frame was given that is not the last; the client's body woke its reader | the wrapped service, to poll again |
/// | `Over` | the last byte of an announced length, the last frame or the end was given; the body was dropped | nothing: the response is due |
/// | `Failed` | the client's body failed, or was silent for too long | nothing: the client is answered |
///
/// `Failed` is final, since the body lets go of the upload then, and so is `Over`, but for a body of an announced length that is polled once more.
#[derive(Clone, Debug, Default)]
pub(crate) enum Turn {
    /// The body has not been polled.
    #[default]
    Untouched,
    /// The client has to send.
    Client,
    /// The wrapped service has not polled for the next frame since this moment.
    Upstream(Instant),
    /// The wrapped service has all that it asked for, since this moment.
    Over(Instant),
    /// The client has broken off the upload, or was too slow.
    Failed(Failure),
}

impl Upload {
    /// Notes that the client is waited for, until the body is woken or gives something.
    pub(super) fn wait_for_client(&self) {
        self.set(Turn::Client);
    }

    /// Ends the turn of the client, if it is the client's turn: the client has sent something, or its idle timeout is over, and the wrapped
    /// service has to poll.
    fn note_wake(&self) {
        let mut state = self.lock();
        if let Turn::Client = state.turn {
            state.turn = Turn::Upstream(Instant::now());
        }
    }

    /// Notes that a frame was given to the wrapped service, and more may follow.
    pub(super) fn hand_over_part(&self) {
        self.note_frame(Turn::Upstream(Instant::now()));
    }

    /// Notes that a frame was given to the wrapped service, after which there is no more content.
    pub(super) fn hand_over_last_part(&self) {
        self.note_frame(Turn::Over(Instant::now()));
    }

    /// Notes that the body has ended or was dropped. Where it was over before, it is so since then.
    pub(super) fn end(&self) {
        let mut state = self.lock();
        if matches!(state.turn, Turn::Over(_)) {
            return;
        }
        let now = Instant::now();
        state.last_frame = Some(now);
        // Dropped after the lock: a failure holds an error of other code, whose drop may come back here.
        let _before = mem::replace(&mut state.turn, Turn::Over(now));
        drop(state);
    }

    /// Whether the wrapped service has read any of the content, so that some of the request may have been sent.
    pub(crate) fn is_content_read(&self) -> bool {
        self.lock().content_read
    }

    /// When the client's last frame was given to the wrapped service.
    pub(crate) fn last_frame(&self) -> Option<Instant> {
        self.lock().last_frame
    }

    /// Notes that the client has failed the upload, and wakes the call: it need not wait for the client library to
    /// notice.
    pub(super) fn fail(&self, failure: Failure) {
        self.set(Turn::Failed(failure));
        let waiting = self.lock().call_waker.take();
        if let Some(waker) = waiting {
            waker.wake();
        }
    }

    /// Whose turn it is.
    pub(crate) fn turn(&self) -> Turn {
        self.lock().turn.clone()
    }

    /// The failure of the upload, if it has failed.
    pub(crate) fn failure(&self) -> Option<Failure> {
        match &self.lock().turn {
            Turn::Failed(failure) => Some(failure.clone()),
            _ => None,
        }
    }

    /// The failure of the upload, if it has failed. Otherwise the task of `cx` is woken when it does; of several tasks
    /// the last one.
    pub(crate) fn poll_failure(&self, cx: &mut Context<'_>) -> Option<Failure> {
        let mut state = self.lock();
        if let Turn::Failed(failure) = &state.turn {
            return Some(failure.clone());
        }
        // Dropped after the lock: a waker may hold the last reference to a task, and that task this body, whose drop
        // takes the lock.
        let _before = match &state.call_waker {
            Some(waker) if waker.will_wake(cx.waker()) => None,
            _ => state.call_waker.replace(cx.waker().clone()),
        };
        drop(state);
        None
    }

    /// Whether the client has to send before the upload goes on.
    pub(crate) fn is_clients_turn(&self) -> bool {
        matches!(self.lock().turn, Turn::Client)
    }

    /// Whether the wrapped service has to poll before the upload goes on. Not true of an upload that is over.
    pub(crate) fn is_upstreams_turn(&self) -> bool {
        matches!(self.lock().turn, Turn::Upstream(_))
    }

    /// Notes that a frame was given, and whose turn is next.
    fn note_frame(&self, turn: Turn) {
        let mut state = self.lock();
        state.content_read = true;
        if let Turn::Upstream(now) | Turn::Over(now) = &turn {
            state.last_frame = Some(*now);
        }
        // Dropped after the lock: a failure holds an error of other code, whose drop may come back here.
        let _before = mem::replace(&mut state.turn, turn);
        drop(state);
    }

    /// Changes the turn.
    fn set(&self, turn: Turn) {
        // Dropped after the lock: a failure holds an error of other code, whose drop may come back here.
        let _before = mem::replace(&mut self.lock().turn, turn);
    }

    /// Takes the lock. A panic of another holder leaves the state whole, since no code of others runs under it.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
