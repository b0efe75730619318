//! Clients that leave before they are answered: one is nobody's failure, many are an outage that nobody else tells of.

use std::{
    mem,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use tokio::time::{Duration, Instant};

use super::trace;

/// Counts those who leave and those who are answered, ten seconds at a time, from the first who leaves, and judges when they have
/// done so for a second. While nobody leaves, an answer costs the look at a flag.
#[derive(Default)]
pub(crate) struct AbandonmentLog {
    is_watching: AtomicBool,
    answered: AtomicU32,
    window: Mutex<Window>,
}

#[derive(Default)]
struct Window {
    since: Option<Instant>,
    left: u32,
    is_reported: bool,
}

impl AbandonmentLog {
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

    /// A client has left before its answer. Writes one event for all of ten seconds: the first when they have been leaving for a second,
    /// those that follow when their ten seconds are over, with all who have left by then.
    pub(crate) fn left(&self, upstream: Option<&str>) {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let age = window.since.map(|since| now.duration_since(since));
        let mut outage = None;
        if age.is_none_or(|age| age >= WINDOW) {
            let over = mem::replace(&mut *window, Window { since: Some(now), ..Window::default() });
            let answered = self.answered.swap(0, Ordering::Relaxed);
            let goes_on = over.is_reported && age.is_some_and(|age| age < 2 * WINDOW);
            outage = goes_on.then_some((over.left, answered)).filter(|_| self.is_watching.load(Ordering::Relaxed));
            self.is_watching.store(true, Ordering::Relaxed);
        }
        window.left = window.left.saturating_add(1);
        // A connection that is closed with all its streams is one client, and no outage.
        let lasts = age.is_some_and(|age| (AT_LEAST..WINDOW).contains(&age));
        if lasts && !window.is_reported && self.is_watching.load(Ordering::Relaxed) {
            outage = Some((window.left, self.answered.load(Ordering::Relaxed)));
        }
        let Some((left, answered)) = outage.filter(|(left, answered)| *left >= MANY && answered < left) else { return };
        window.is_reported = true;
        drop(window);
        trace::abandonments(upstream, left, answered);
    }
}

const WINDOW: Duration = Duration::from_secs(10);
const AT_LEAST: Duration = Duration::from_secs(1);
const MANY: u32 = 10;
const ENOUGH: u32 = 10_000;
