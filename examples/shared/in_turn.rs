//! Two services in turn, of which one that has failed is left alone for a second: what a balancer does, in its smallest form.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use tower::{Service, ServiceExt};

/// The services, and whose turn it is. Clones share that.
#[derive(Clone, Debug)]
pub(crate) struct InTurn<S> {
    one: Arc<Member<S>>,
    other: Arc<Member<S>>,
    is_turn_of_other: Arc<AtomicBool>,
}

#[derive(Debug)]
struct Member<S> {
    service: S,
    failed: Mutex<Option<Instant>>,
}

impl<S> InTurn<S> {
    pub(crate) fn new(one: S, other: S) -> Self {
        let member = |service| Arc::new(Member { service, failed: Mutex::default() });
        Self { one: member(one), other: member(other), is_turn_of_other: Arc::default() }
    }

    /// The one whose turn it is, unless it has failed within a second and the other has not.
    fn choose(&self) -> &Arc<Member<S>> {
        let is_turn_of_other = self.is_turn_of_other.fetch_xor(true, Ordering::Relaxed);
        let (first, second) = if is_turn_of_other { (&self.other, &self.one) } else { (&self.one, &self.other) };
        if first.is_well() || !second.is_well() { first } else { second }
    }
}

impl<S> Member<S> {
    fn is_well(&self) -> bool {
        self.failed.lock().is_ok_and(|failed| failed.is_none_or(|when| when.elapsed() > Duration::from_secs(1)))
    }

    fn note(&self, has_failed: bool) {
        if let Ok(mut failed) = self.failed.lock() {
            *failed = has_failed.then(Instant::now);
        }
    }
}

impl<S, R> Service<R> for InTurn<S>
where
    S: Service<R> + Clone + Send + Sync + 'static,
    S::Future: Send,
    R: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        // Which one it will be is known at the call.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: R) -> Self::Future {
        let member = Arc::clone(self.choose());
        Box::pin(async move {
            let outcome = member.service.clone().oneshot(request).await;
            member.note(outcome.is_err());
            outcome
        })
    }
}
