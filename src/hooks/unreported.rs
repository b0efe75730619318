//! A failure that nobody has told the operator of yet.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use super::trace;
use crate::{caught::caught, failure::Failure};

/// Travels with a response that a handler has made of a failure. If no layer takes it up before the response is sent, it is logged
/// by itself: a handler that ends in `?` must not fail in silence.
#[derive(Clone)]
pub(crate) struct Unreported(Arc<Report>);

struct Report {
    failure: Failure,
    is_made: AtomicBool,
}

impl Unreported {
    pub(crate) fn new(failure: Failure) -> Self {
        Self(Arc::new(Report { failure, is_made: AtomicBool::new(false) }))
    }

    /// A layer answers, and tells the operator as it was set up to.
    pub(crate) fn mark_reported(&self) {
        self.0.is_made.store(true, Ordering::Relaxed);
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        // A panic that takes everything down is not to be made worse by somebody's `Display`.
        if !*self.is_made.get_mut() && !std::thread::panicking() {
            caught(|| trace::unanswered(&self.failure));
        }
    }
}
