//! The event for a handler's failure that no layer has answered (features `axum` and `tracing`).
//!
//! A handler that ends in `?` returns a [`Failure`], which becomes a response without a report: the layer around the handlers is to
//! report it, with the request that met it. Where there is no layer the failure would be in no log at all. So the response carries
//! an [`Unreported`] in its extensions, and one of these happens to it:
//!
//! | what happens to the response | report |
//! | --- | --- |
//! | a layer takes the failure over | the layer's own, as it was set up: log, metrics, hooks, or none if it is silent |
//! | the server sends or drops the response | one WARN event, when the extensions are dropped |
//! | the thread unwinds from a panic | none |
//!
//! `IntoResponse for Failure` makes it, and the policy marks it when it judges a response head.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use super::trace;
use crate::{caught::caught, failure::Failure};

/// The extension of a response that a handler's failure was made into.
///
/// A clone of the extensions shares the report: the event is written once, when the last clone is dropped.
#[derive(Clone)]
pub(crate) struct Unreported(Arc<Report>);

/// The failure and whether it was reported; the drop of this struct writes the event.
struct Report {
    failure: Failure,
    /// Whether a layer has taken the failure over.
    is_reported: AtomicBool,
}

impl Unreported {
    /// A failure that was not reported yet.
    pub(crate) fn new(failure: Failure) -> Self {
        Self(Arc::new(Report { failure, is_reported: AtomicBool::new(false) }))
    }

    /// Notes that a layer answers the failure and reports it, so that the drop writes no second event.
    pub(crate) fn mark_reported(&self) {
        self.0.is_reported.store(true, Ordering::Relaxed);
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        // The event prints the user's error, and a second panic while the thread unwinds would abort the process.
        if !*self.is_reported.get_mut() && !std::thread::panicking() {
            caught(|| trace::unanswered_failure(&self.failure));
        }
    }
}
