//! Clients that leave before they are answered: one is nobody's failure, many are an outage that nobody else tells of.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, AtomicU32, Ordering},
};

use tokio::time::{Duration, Instant};

use super::trace;

/// Counts those who leave and those who are answered, ten seconds at a time, from the first who leaves, and judges when they have
/// done so for a second. While nobody leaves, an answer costs the look at a flag.
#[derive(Default)]
pub(crate) struct Departures {
    is_watching: AtomicBool,
    answered: AtomicU32,
    window: Mutex<Window>,
}

#[derive(Default)]
struct Window {
    since: Option<Instant>,
    left: u32,
    is_told: bool,
}

impl Departures {
    /// A response is passed on, or made.
    #[inline]
    pub(crate) fn answered(&self) {
        if self.is_watching.load(Ordering::Relaxed) {
            self.count_answer();
        }
    }

    #[cold]
    fn count_answer(&self) {
        // So many answers are no outage: nothing is counted before somebody leaves again.
        if self.answered.fetch_add(1, Ordering::Relaxed) >= ENOUGH {
            self.is_watching.store(false, Ordering::Relaxed);
        }
    }

    /// A client has left before its answer; writes one event for all of them, if they are more than those who were answered.
    pub(crate) fn left(&self, upstream: Option<&str>) {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if window.since.is_none_or(|since| now.duration_since(since) >= WINDOW) {
            *window = Window { since: Some(now), left: 0, is_told: false };
            self.answered.store(0, Ordering::Relaxed);
            self.is_watching.store(true, Ordering::Relaxed);
        }
        window.left = window.left.saturating_add(1);
        let (left, answered) = (window.left, self.answered.load(Ordering::Relaxed));
        // A connection that is closed with all its streams is one client, and no outage.
        let lasts = window.since.is_some_and(|since| now.duration_since(since) >= AT_LEAST);
        let is_counted = self.is_watching.load(Ordering::Relaxed);
        if left < MANY || answered >= left || window.is_told || !lasts || !is_counted {
            return;
        }
        window.is_told = true;
        drop(window);
        trace::departures(upstream, left, answered);
    }
}

const WINDOW: Duration = Duration::from_secs(10);
const AT_LEAST: Duration = Duration::from_secs(1);
const MANY: u32 = 10;
const ENOUGH: u32 = 10_000;
