//! Everybody who is told of a call: the log, the metrics, and the hooks of the user.

use std::{
    any::Any,
    borrow::Cow,
    sync::{Arc, Once},
};

use super::{AbandonedEvent, AbandonmentLog, EventLog, FailureEvent, Metrics, SuccessEvent};
use crate::caught::caught;

/// The log, the metrics and the hooks of a layer. One that panics keeps none of the others from being told.
#[derive(Clone)]
pub(crate) struct Observers {
    pub(crate) on_failure: Option<Arc<OnFailure>>,
    pub(crate) on_body_failure: Option<Arc<OnFailure>>,
    pub(crate) on_abandoned: Option<Arc<OnAbandoned>>,
    pub(crate) on_success: Option<Arc<OnSuccess>>,
    pub(crate) metrics: Option<Metrics>,
    /// Whether the recorder knows these metrics already.
    metrics_registered: Arc<Once>,
    pub(crate) silent: bool,
    /// Shared by all services of one layer, as are the abandonments.
    pub(crate) events: Arc<EventLog>,
    abandonments: Arc<AbandonmentLog>,
}

pub(crate) type OnFailure = dyn Fn(&FailureEvent<'_>) + Send + Sync;
pub(crate) type OnSuccess = dyn Fn(&SuccessEvent<'_>) + Send + Sync;
pub(crate) type OnAbandoned = dyn Fn(&AbandonedEvent<'_>) + Send + Sync;

impl Default for Observers {
    fn default() -> Self {
        Self {
            on_failure: None,
            on_body_failure: None,
            on_abandoned: None,
            on_success: None,
            metrics: None,
            metrics_registered: Arc::new(Once::new()),
            silent: false,
            events: Arc::new(EventLog::new(Some(EVENTS_A_SECOND))),
            abandonments: Arc::default(),
        }
    }
}

impl Observers {
    /// After a setting has changed: another layer has counts of its own, and may have other metrics.
    pub(crate) fn reset_shared(&mut self) {
        self.metrics_registered = Arc::new(Once::new());
        self.events = Arc::new(self.events.anew());
        self.abandonments = Arc::default();
    }

    /// Whether somebody wants the duration of calls that do not fail: then the clock is read in every call.
    #[inline]
    pub(crate) fn want_durations(&self) -> bool {
        self.metrics.is_some() || self.on_success.is_some()
    }

    /// Tells the recorder of the metrics before anything has failed.
    pub(crate) fn register_metrics(&self, upstream: Option<&str>) {
        // Once: some callers wrap a service for every connection.
        if let Some(metrics) = &self.metrics {
            self.metrics_registered.call_once(|| {
                caught(|| metrics.register(upstream));
            });
        }
    }

    /// A call begins; what is returned has to be dropped when it ends, which counts it as no longer in flight.
    #[inline]
    pub(crate) fn count_call(&self, upstream: Option<&Cow<'static, str>>) -> Option<Box<dyn Any + Send + Sync>> {
        let metrics = self.metrics.as_ref()?;
        caught(|| metrics.called(upstream)).flatten()
    }

    /// A client has been given a response head: there is nothing wrong with waiting here.
    #[inline]
    pub(crate) fn answered(&self) {
        self.abandonments.answered();
    }

    /// A failure was answered in place of a response.
    pub(crate) fn failed(&self, event: &FailureEvent<'_>) {
        self.report(event, self.on_failure.as_ref());
    }

    /// A body has broken after its head was sent.
    pub(crate) fn body_failed(&self, event: &FailureEvent<'_>) {
        self.report(event, self.on_body_failure.as_ref());
    }

    fn report(&self, event: &FailureEvent<'_>, hook: Option<&Arc<OnFailure>>) {
        // The `Display` of an error is somebody else's code as well.
        let is_left_out = !self.silent && caught(|| self.events.write(event)) == Some(false);
        if let Some(metrics) = &self.metrics {
            caught(|| metrics.failed(event));
            if is_left_out {
                caught(|| metrics.left_out(event));
            }
        }
        if let Some(hook) = hook {
            caught(|| hook(event));
        }
    }

    /// The client did not wait for the end.
    pub(crate) fn abandoned(&self, event: &AbandonedEvent<'_>) {
        if std::thread::panicking() {
            // No client has left: a panic drops everything, and a hook that panics as well would abort the process.
            return;
        }
        if !self.silent {
            caught(|| event.trace());
            // Whoever has a response head has an answer.
            if event.status.is_none() {
                caught(|| self.abandonments.left(event.call.layer_upstream));
            }
        }
        if let Some(metrics) = &self.metrics {
            caught(|| metrics.abandoned(event));
        }
        if let Some(on_abandoned) = &self.on_abandoned {
            caught(|| on_abandoned(event));
        }
    }

    /// A response was passed on to its end.
    #[cold]
    pub(crate) fn succeeded(&self, event: &SuccessEvent<'_>) {
        if std::thread::panicking() {
            return;
        }
        if let Some(metrics) = &self.metrics {
            caught(|| metrics.succeeded(event));
        }
        if let Some(on_success) = &self.on_success {
            caught(|| on_success(event));
        }
    }
}

/// Of one kind: enough to see what goes on, and not more than a person reads.
const EVENTS_A_SECOND: u32 = 10;
