//! The limit of the events that feature `tracing` writes of failures, and the count of the others.
//!
//! While an upstream is down every call fails in the same way, and one line for each would hide everything else in the log. So the
//! log counts in windows of one second, which begin with the first failure in them:
//!
//! | failure | what happens |
//! | --- | --- |
//! | the first ones of a window, up to the limit | written; the first one also has the number that was left out before it |
//! | the further ones | counted |
//! | those counted when the log is dropped | one event for each kind, with the number |
//!
//! There is a window for each upstream, kind of failure and level (INFO for the client's own faults, WARN for all others), so that a
//! frequent failure does not keep a rare one out of the log.
//!
//! [`Observers`](super::Observers) calls it for every failure, unless the layer is silent. It must not know hooks and metrics: they
//! see every failure.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::{Duration, Instant};

use super::{FailureEvent, trace};
use crate::{caught::caught, failure::FailureKind, upstream::Upstream};

/// Writes at most so many events a second of each kind and upstream, and counts what it leaves out.
///
/// The number stands in the field `left_out` of the next event of the kind, or in an event of its own when the log is dropped, with
/// the last of the layer and all services that it has made.
pub(crate) struct EventLog {
    /// How many events a second are written of one kind and upstream; `None` writes all of them, and 0 none.
    limit: Option<u32>,
    /// Locked while a failure is counted, and not while its event is written.
    state: Mutex<State>,
}

/// The counts of all upstreams. It stays empty until the first failure.
#[derive(Default)]
struct State {
    /// The windows by the name that calls have given to their upstream. Calls without a name share those under `None`, and so do
    /// calls with a new name once there are [`MOST_UPSTREAMS`].
    upstreams: Vec<(Option<String>, Windows)>,
    /// The name of the layer's upstream, for the events that are written on drop; taken from the first failure.
    layer_upstream: Option<String>,
}

/// Two windows for each kind of failure: one for WARN, and after it one for the failures that are the client's own fault (INFO).
type Windows = Vec<Window>;

/// The current second of one kind of failure.
#[derive(Clone, Default)]
struct Window {
    /// When the first failure of the second came; `None` before there was any.
    since: Option<Instant>,
    /// How many events were written in the second.
    written: u32,
    /// How many were left out since the last one that was written, in this second or before.
    left_out: u64,
}

impl EventLog {
    /// A log that writes so many events a second; `None` writes all of them.
    pub(crate) fn new(limit: Option<u32>) -> Self {
        Self { limit, state: Mutex::default() }
    }

    /// A log with the same limit that has written and left out nothing yet.
    pub(crate) fn with_same_limit(&self) -> Self {
        Self::new(self.limit)
    }

    /// Writes the event, or counts it as left out, and returns whether it was written.
    ///
    /// "Written" means given to `tracing`: whether a subscriber wants the level is not looked at.
    pub(crate) fn write(&self, event: &FailureEvent<'_>) -> bool {
        let Some(left_out) = self.admit(event) else { return false };
        trace::failure(event, left_out);
        true
    }

    /// Returns how many events were left out before this one if it may be written now, and `None` if it is left out.
    fn admit(&self, event: &FailureEvent<'_>) -> Option<u64> {
        let Some(limit) = self.limit else { return Some(0) };
        let mut state = self.lock();
        if state.upstreams.is_empty() {
            state.layer_upstream = event.call.layer_upstream.map(str::to_owned);
        }
        let is_clients = event.is_clients();
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

    /// The counts. A lock poisoned by a panic is still good: numbers are never half changed.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The windows of the upstream that a call has named, which are made when the name is new; those of the layer for `None`.
    fn windows_of(&mut self, name: Option<&str>) -> &mut [Window] {
        let at = self.place_of(name).unwrap_or_else(|| self.place_of_new(name));
        self.upstreams.get_mut(at).map_or(&mut [], |(_, windows)| windows)
    }

    /// Where the windows of this name stand, if there are any.
    fn place_of(&self, name: Option<&str>) -> Option<usize> {
        self.upstreams.iter().position(|(known, _)| known.as_deref() == name)
    }

    /// Makes the windows of a name that has none, and says where; those under `None` are used once there are too many names.
    #[cold]
    fn place_of_new(&mut self, name: Option<&str>) -> usize {
        // A service that names its upstreams by what clients send would fill the memory without this limit.
        let named = self.upstreams.iter().filter(|(known, _)| known.is_some()).count();
        let name = name.filter(|_| named < MOST_UPSTREAMS);
        self.place_of(name).unwrap_or_else(|| {
            self.upstreams.push((name.map(str::to_owned), vec![Window::default(); FailureKind::ALL.len() * 2]));
            self.upstreams.len() - 1
        })
    }
}

/// Writes an event for each kind that was left out and had no event since, when the layer and all its services are gone.
impl Drop for EventLog {
    fn drop(&mut self) {
        // A subscriber that panics while the thread unwinds would abort the process.
        if std::thread::panicking() {
            return;
        }
        let state = self.lock();
        for (name, windows) in &state.upstreams {
            let upstream = name.as_deref().or(state.layer_upstream.as_deref());
            for (kind, windows) in FailureKind::ALL.iter().zip(windows.chunks(2)) {
                for (window, is_clients) in windows.iter().zip([false, true]).filter(|(window, _)| window.left_out > 0)
                {
                    caught(|| trace::events_left_out(*kind, is_clients, upstream, window.left_out));
                }
            }
        }
    }
}

/// How many named upstreams have windows of their own; each takes a little more than 2 KiB, from its first failure on.
const MOST_UPSTREAMS: usize = 64;
/// The length of a window.
const SECOND: Duration = Duration::from_secs(1);
