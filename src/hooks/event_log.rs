//! How many events are written: a storm of failures must not become a storm of lines.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::{Duration, Instant};

use super::{FailureEvent, trace};
use crate::{
    caught::caught,
    failure::{Blame, FailureKind},
};

/// Writes at most so many events a second of each kind, and counts what it leaves out: that is told by the next event of the kind,
/// or when the layer is dropped.
pub(crate) struct EventLog {
    /// `None` writes every one.
    limit: Option<u32>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Two of each kind, the second for those that are a client's own; empty before the first failure.
    windows: Vec<Window>,
    upstream: Option<String>,
}

#[derive(Clone, Default)]
struct Window {
    since: Option<Instant>,
    written: u32,
    left_out: u64,
}

impl EventLog {
    pub(crate) fn new(limit: Option<u32>) -> Self {
        Self { limit, state: Mutex::default() }
    }

    /// The same limit, and nothing written yet.
    pub(crate) fn anew(&self) -> Self {
        Self::new(self.limit)
    }

    /// Whether it was written; what was not is counted.
    pub(crate) fn write(&self, event: &FailureEvent<'_>) -> bool {
        let Some(left_out) = self.admit(event) else { return false };
        trace::failure(event, left_out);
        true
    }

    /// How many were left out before an event that may be written now.
    fn admit(&self, event: &FailureEvent<'_>) -> Option<u64> {
        let Some(limit) = self.limit else { return Some(0) };
        let mut state = self.lock();
        if state.windows.is_empty() {
            state.windows = vec![Window::default(); FailureKind::ALL.len() * 2];
            state.upstream = event.call.layer_upstream.map(str::to_owned);
        }
        let is_clients = event.failure.blame() == Blame::Client;
        let window = state.windows.get_mut(event.failure.kind().index() * 2 + usize::from(is_clients))?;
        let now = Instant::now();
        if window.since.is_none_or(|since| now.duration_since(since) >= SECOND) {
            (window.since, window.written) = (Some(now), 0);
        }
        if window.written < limit {
            window.written += 1;
            return Some(std::mem::take(&mut window.left_out));
        }
        window.left_out = window.left_out.saturating_add(1);
        None
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The last of the layer and of all services it has made.
impl Drop for EventLog {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let state = self.lock();
        for (kind, windows) in FailureKind::ALL.iter().zip(state.windows.chunks(2)) {
            for (window, is_clients) in windows.iter().zip([false, true]).filter(|(window, _)| window.left_out > 0) {
                caught(|| trace::left_out(*kind, is_clients, state.upstream.as_deref(), window.left_out));
            }
        }
    }
}

const SECOND: Duration = Duration::from_secs(1);
