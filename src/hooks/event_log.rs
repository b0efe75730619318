//! How many events are written: a storm of failures must not become a storm of lines.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::{Duration, Instant};

use super::{FailureEvent, trace};
use crate::{
    caught::caught,
    failure::{Blame, FailureKind},
    upstream::Upstream,
};

/// Writes at most so many events a second of each kind and upstream, and counts what it leaves out: that is told by the next event of
/// the kind, or when the layer is dropped.
pub(crate) struct EventLog {
    /// `None` writes every one.
    limit: Option<u32>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// By the name that a call has given; without one, and for names beyond the first few, that of the layer.
    upstreams: Vec<(Option<String>, Windows)>,
    layer_upstream: Option<String>,
}

/// Two of each kind, the second for those that are a client's own.
type Windows = Vec<Window>;

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
        if state.upstreams.is_empty() {
            state.layer_upstream = event.call.layer_upstream.map(str::to_owned);
        }
        let is_clients = event.failure.blame() == Blame::Client;
        let window = state
            .windows_of(event.call.call_upstream.map(Upstream::name))
            .get_mut(event.failure.kind().index() * 2 + usize::from(is_clients))?;
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

impl State {
    fn windows_of(&mut self, name: Option<&str>) -> &mut [Window] {
        let find = |upstreams: &[(Option<String>, _)], name: Option<&str>| {
            upstreams.iter().position(|(known, _)| known.as_deref() == name)
        };
        // Whoever names upstreams by what clients send must not fill the memory.
        let named = self.upstreams.iter().filter(|(known, _)| known.is_some()).count();
        let name = name.filter(|_| find(&self.upstreams, name).is_some() || named < MOST_UPSTREAMS);
        if find(&self.upstreams, name).is_none() {
            self.upstreams.push((name.map(str::to_owned), vec![Window::default(); FailureKind::ALL.len() * 2]));
        }
        let found = find(&self.upstreams, name).and_then(|at| self.upstreams.get_mut(at));
        found.map_or(&mut [], |(_, windows)| windows)
    }
}

/// The last of the layer and of all services it has made.
impl Drop for EventLog {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let state = self.lock();
        for (name, windows) in &state.upstreams {
            let upstream = name.as_deref().or(state.layer_upstream.as_deref());
            for (kind, windows) in FailureKind::ALL.iter().zip(windows.chunks(2)) {
                for (window, is_clients) in windows.iter().zip([false, true]).filter(|(window, _)| window.left_out > 0)
                {
                    caught(|| trace::left_out(*kind, is_clients, upstream, window.left_out));
                }
            }
        }
    }
}

/// With windows of their own: about 3 KiB each, once they fail.
const MOST_UPSTREAMS: usize = 64;
const SECOND: Duration = Duration::from_secs(1);
