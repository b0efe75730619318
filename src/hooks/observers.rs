//! The log, the metrics and the hooks of the user, and the order in which they see a report.
//!
//! A report of a failure goes to the log first, then to the metrics, which also count the events that the log has left out, and to
//! the hook of the user last. A report of an abandoned call goes the same way; a report of a success goes to metrics and hook alone.
//!
//! All of them run code that is not ours: a `Display` of an error, a subscriber of `tracing`, a recorder of `metrics`, a closure. Each
//! is run by [`caught`], so that a panic in one neither reaches the client nor keeps the next one from its report.
//!
//! Everything here runs in the task, or the drop, that the report comes from, and nothing is queued: a slow hook delays the answer.

use std::{
    any::Any,
    borrow::Cow,
    sync::{Arc, Once},
};

use super::{AbandonedEvent, AbandonmentCounter, EventLog, FailureEvent, Metrics, SuccessEvent};
use crate::caught::caught;

/// The log, the metrics and the hooks of a layer.
///
/// It is a part of the policy. A clone shares the counts of the log, of the abandoned calls and the registration of the metrics with
/// its original until [`reset_shared`](Self::reset_shared) gives it its own.
#[derive(Clone)]
pub(crate) struct Observers {
    /// The user's hook for failures that are answered.
    pub(crate) on_failure: Option<Arc<OnFailure>>,
    /// The user's hook for bodies that break after their head.
    pub(crate) on_body_failure: Option<Arc<OnFailure>>,
    /// The user's hook for responses that are dropped before their end.
    pub(crate) on_abandoned: Option<Arc<OnAbandoned>>,
    /// The user's hook for responses that were forwarded to their end; with it the clock is read in every call.
    pub(crate) on_success: Option<Arc<OnSuccess>>,
    /// What is counted; with metrics the clock is read in every call as well.
    pub(crate) metrics: Option<Metrics>,
    /// Completed once the series of these metrics stand at 0 in the recorder.
    metrics_registered: Arc<Once>,
    /// Whether the events of feature `tracing` are turned off; hooks and metrics are not affected.
    pub(crate) silent: bool,
    /// The limit of events a second and their counts, shared by all services that one layer has made.
    pub(crate) events: Arc<EventLog>,
    /// The counts of clients that leave and of answers, shared in the same way.
    abandonments: Arc<AbandonmentCounter>,
}

/// A hook for failures, answered or met in a body.
pub(crate) type OnFailure = dyn Fn(&FailureEvent<'_>) + Send + Sync;
/// A hook for responses that were forwarded to their end.
pub(crate) type OnSuccess = dyn Fn(&SuccessEvent<'_>) + Send + Sync;
/// A hook for responses that were dropped before their end.
pub(crate) type OnAbandoned = dyn Fn(&AbandonedEvent<'_>) + Send + Sync;

/// No hook, no metrics, and a log with the default limit.
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
    /// Gives these observers counts of their own, and lets the metrics be registered anew.
    ///
    /// Every setter of the layer ends with it: a layer with other settings may have another limit of events, another name of its
    /// upstream and other metrics, and must not share the counts of the layer it was cloned from.
    pub(crate) fn reset_shared(&mut self) {
        self.metrics_registered = Arc::new(Once::new());
        self.events = Arc::new(self.events.with_same_limit());
        self.abandonments = Arc::default();
    }

    /// Whether the duration of calls that do not fail is reported: with metrics or `on_success`. The clock is read in every call
    /// then; otherwise only when something has to be waited for, or a total limit is set.
    #[inline]
    pub(crate) fn want_durations(&self) -> bool {
        self.metrics.is_some() || self.on_success.is_some()
    }

    /// Registers all series of the metrics at 0, when the layer wraps its first service.
    ///
    /// Without it the first failure of a kind would create its series at 1, and a query for the increase would miss that failure.
    /// `upstream` is the name of the layer, and `has_fallback` says whether fallbacks are counted.
    pub(crate) fn register_metrics(&self, upstream: Option<&str>, has_fallback: bool) {
        // Some servers wrap a service for every connection: without the `Once` each of them would register every series again.
        if let Some(metrics) = &self.metrics {
            self.metrics_registered.call_once(|| {
                caught(|| metrics.register(upstream, has_fallback));
            });
        }
    }

    /// Counts the beginning of a call, if the metrics count calls.
    ///
    /// The returned guard counts the call as in flight until it is dropped. It is kept in the context of the request, which lives
    /// as long as the call. A recorder that panics leaves the call without a guard.
    #[inline]
    pub(crate) fn count_call(&self, upstream: Option<&Cow<'static, str>>) -> Option<Box<dyn Any + Send + Sync>> {
        let metrics = self.metrics.as_ref()?;
        caught(|| metrics.count_call(upstream)).flatten()
    }

    /// Notes that a client is given a response head, of the upstream or of the layer.
    ///
    /// It is called for every healthy call too, and costs one relaxed load as long as no client has left.
    #[inline]
    pub(crate) fn note_head(&self) {
        self.abandonments.note_head();
    }

    /// Reports a failure that is answered in place of a response, before the client gets the answer.
    pub(crate) fn report_failure(&self, event: &FailureEvent<'_>) {
        self.report(event, self.on_failure.as_ref());
    }

    /// Reports a failure whose client left while a fallback was asked. As it has no answer, it counts for the warning about many clients that leave.
    pub(crate) fn report_unanswered(&self, event: &FailureEvent<'_>) {
        self.report_failure(event);
        if !self.silent {
            caught(|| self.abandonments.note_abandonment(event.call.layer_upstream));
        }
    }

    /// Reports that the body of a fallback has broken after its head: to the log, the counter of fallbacks and the hook for bodies. It is no failure of
    /// the upstream, so no other metric has it.
    pub(crate) fn report_broken_fallback(&self, event: &FailureEvent<'_>) {
        self.report_with(event, self.on_body_failure.as_ref(), Metrics::count_fallback);
    }

    /// Reports a body that broke after its head was sent.
    pub(crate) fn report_body_failure(&self, event: &FailureEvent<'_>) {
        self.report(event, self.on_body_failure.as_ref());
    }

    /// Runs log, metrics and hook for a failure, in this order.
    fn report(&self, event: &FailureEvent<'_>, hook: Option<&Arc<OnFailure>>) {
        self.report_with(event, hook, Metrics::record_failure);
    }

    /// The same, with what the metrics do.
    fn report_with(
        &self,
        event: &FailureEvent<'_>,
        hook: Option<&Arc<OnFailure>>,
        record: fn(&Metrics, &FailureEvent<'_>),
    ) {
        // The event prints the error, and a `Display` that panics would take the task of the request down.
        let is_left_out = !self.silent && caught(|| self.events.write(event)) == Some(false);
        if let Some(metrics) = &self.metrics {
            caught(|| record(metrics, event));
            if is_left_out {
                caught(|| metrics.count_left_out(event));
            }
        }
        if let Some(hook) = hook {
            caught(|| hook(event));
        }
    }

    /// Reports a response that was dropped before its end.
    ///
    /// A call without a response head counts for the warning about many clients that leave; one whose body was dropped does not,
    /// since its client has an answer. `silent` turns off both the event of the call and the warning.
    pub(crate) fn report_abandonment(&self, event: &AbandonedEvent<'_>) {
        if std::thread::panicking() {
            // A panic unwinds through the call, so its client has not left, and a second panic in a hook would abort the process.
            return;
        }
        if !self.silent {
            caught(|| event.trace());
            // A client that has a response head was answered: counting it would report a slow download as an outage.
            if event.status.is_none() {
                caught(|| self.abandonments.note_abandonment(event.call.layer_upstream));
            }
        }
        if let Some(metrics) = &self.metrics {
            caught(|| metrics.record_abandonment(event));
        }
        if let Some(on_abandoned) = &self.on_abandoned {
            caught(|| on_abandoned(event));
        }
    }

    /// Reports a response that was forwarded to its end.
    ///
    /// It is called from a drop, and only where [`want_durations`](Self::want_durations) says so.
    pub(crate) fn report_success(&self, event: &SuccessEvent<'_>) {
        // A panic unwinds through the body, so its end was not reached, and a second panic in a hook would abort the process.
        if std::thread::panicking() {
            return;
        }
        if let Some(metrics) = &self.metrics {
            caught(|| metrics.record_success(event));
        }
        if let Some(on_success) = &self.on_success {
            caught(|| on_success(event));
        }
    }
}

/// The default limit of events a second, of each kind and upstream: enough to see what happens, and not more than a person reads.
const EVENTS_A_SECOND: u32 = 10;
