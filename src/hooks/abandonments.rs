//! The warning when many clients leave before they are answered.
//!
//! One client that leaves is no failure. Many that leave while few are answered mean that the upstream is too slow for its clients,
//! and no other report says so: a call that is dropped never becomes a failure, since its time limit is longer than the patience of
//! the clients.
//!
//! The log counts in windows of ten seconds. A window begins with the first client that leaves, and the warning is written when all
//! of these hold:
//!
//! | condition | why |
//! | --- | --- |
//! | at least ten clients have left | a few always do |
//! | fewer were answered than have left | the upstream still works for most clients |
//! | the window is at least one second old | one connection that is closed drops all its streams at once |
//! | the window has no warning yet | one line for ten seconds is enough |
//!
//! While an outage goes on, each further window is reported once, by the first client that leaves after its end, with all numbers of
//! the window. A window that ended more than ten seconds ago is not reported any more.
//!
//! [`Observers`](super::Observers) calls it: for every response head that is given to a client, and, unless the layer is silent, for
//! every call that is dropped without one. All services of one layer share the counts. It must not know the call or its request.

use std::{
    mem,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use tokio::time::{Duration, Instant};

use super::trace;

/// Counts the clients that leave and those that are answered, ten seconds at a time, and writes the warning.
///
/// While no client leaves, an answer costs one relaxed load. The atomics are relaxed because the numbers need not be exact: an answer
/// that is counted for the window before or after changes nothing in the verdict.
#[derive(Default)]
pub(crate) struct AbandonmentCounter {
    /// Whether answers are counted: from the first client that leaves until so many were answered that there is no outage.
    is_watching: AtomicBool,
    /// How many clients were answered in the current window.
    answered: AtomicU32,
    /// The current window; locked only when a client leaves.
    window: Mutex<Window>,
}

/// Ten seconds, from the first client that leaves in them.
#[derive(Default)]
struct Window {
    /// When the window began; `None` before any client has left.
    since: Option<Instant>,
    /// How many clients have left in it.
    left: u32,
    /// Whether a warning was written while it was the current one.
    is_reported: bool,
}

impl AbandonmentCounter {
    /// Notes that a response head is given to a client, of the upstream or of the layer.
    #[inline]
    pub(crate) fn note_head(&self) {
        if self.is_watching.load(Ordering::Relaxed) {
            self.count_head();
        }
    }

    /// Counts a response head, and so a client that is answered, while clients are leaving.
    #[cold]
    fn count_head(&self) {
        // With so many answers there is no outage. A busy gateway would otherwise write to the counter in every call, from all threads.
        if self.answered.fetch_add(1, Ordering::Relaxed) >= ANSWERS_WITHOUT_OUTAGE {
            self.is_watching.store(false, Ordering::Relaxed);
        }
    }

    /// Counts a client that has left before its response head, and writes the warning if it is due.
    ///
    /// `upstream` is the name of the layer. The lock is released before the warning is written.
    pub(crate) fn note_abandonment(&self, upstream: Option<&str>) {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let age = window.since.map(|since| now.duration_since(since));
        let mut outage = None;
        if age.is_none_or(|age| age >= WINDOW) {
            let previous = mem::replace(&mut *window, Window { since: Some(now), ..Window::default() });
            let answered = self.answered.swap(0, Ordering::Relaxed);
            let goes_on = previous.is_reported && age.is_some_and(|age| age < 2 * WINDOW);
            outage = goes_on.then_some((previous.left, answered)).filter(|_| self.is_watching.load(Ordering::Relaxed));
            self.is_watching.store(true, Ordering::Relaxed);
        }
        window.left = window.left.saturating_add(1);
        // Without the second, one connection that is closed with all its streams would be reported as an outage.
        let is_old_enough = age.is_some_and(|age| (MIN_AGE..WINDOW).contains(&age));
        if is_old_enough && !window.is_reported && self.is_watching.load(Ordering::Relaxed) {
            outage = Some((window.left, self.answered.load(Ordering::Relaxed)));
        }
        let Some((left, answered)) = outage.filter(|(left, answered)| *left >= MIN_LEFT && answered < left) else {
            return;
        };
        window.is_reported = true;
        drop(window);
        trace::many_abandonments(upstream, left, answered);
    }
}

/// The length of a window.
const WINDOW: Duration = Duration::from_secs(10);
/// How old a window has to be before it is judged.
const MIN_AGE: Duration = Duration::from_secs(1);
/// How many clients have to leave in a window.
const MIN_LEFT: u32 = 10;
/// After how many answers a window is not judged any more, no matter how many clients leave in it.
const ANSWERS_WITHOUT_OUTAGE: u32 = 10_000;
