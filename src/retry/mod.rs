//! Sending a request a second time, inside of the layer.
//!
//! tower's [`RetryLayer`](tower::retry::RetryLayer) does the work; this module has the policy that reads the verdict, and a body that can be
//! sent again.

use std::{
    fmt,
    future::{Ready, ready},
    sync::Arc,
    time::Duration,
};

use http::{Request, Response};
use tower::retry::{
    Policy,
    budget::{Budget, TpsBudget},
};

mod replay;

pub use self::replay::ReplayBody;
use crate::{
    caught::caught,
    failure::{Blame, Failure, FailureKind, RetrySafety},
};

/// A [`tower::retry`] policy that repeats a call once, where the verdict on its failure allows it.
///
/// | failure of the first attempt, by the upstream's fault | repeated |
/// | --- | --- |
/// | nothing was sent, or it was not processed: refused or reset while connecting, `REFUSED_STREAM`, a GOAWAY that says so | any method |
/// | the connection broke before the head of the response | idempotent methods ([RFC 9110, section 9.2.2](https://www.rfc-editor.org/rfc/rfc9110#section-9.2.2)) |
/// | anything else: a time limit, TLS, a name, an invalid response, any response that came | never |
///
/// Nothing is repeated that the gateway itself has shed or refused, nor where the failure says when to come back (`Retry-After`). Nor is a
/// request whose body cannot be sent again; see [`ReplayBody`].
///
/// All clones share one budget, so that a dead upstream is not asked twice as often as a healthy one: about one repetition for eleven
/// requests, and five a second besides, over ten seconds. [`budget`](Self::budget) sets another.
///
/// The limits of the layer outside are over all attempts together: a second attempt has what the first has left of the
/// [`head_timeout`](crate::BadGatewayLayer::head_timeout).
///
/// # Order
///
/// Inside of the layer, which must not have [`single_attempt`](crate::BadGatewayLayer::single_attempt), and around a client that makes
/// one attempt, whose errors become a [`Failure`] first:
///
/// ```
/// use hyper_util::{client::legacy::Client, rt::TokioExecutor};
/// use http::Request;
/// use http_body_util::Full;
/// use bytes::Bytes;
/// use tower::{ServiceBuilder, retry::RetryLayer};
/// use tower_bad_gateway::{BadGatewayLayer, Failure, retry::{ReplayBody, RetryPolicy}};
///
/// let client = Client::builder(TokioExecutor::new()).build_http::<ReplayBody<Full<Bytes>>>();
/// let gateway = ServiceBuilder::new()
///     .layer(BadGatewayLayer::new())
///     .map_request(|request: Request<Full<Bytes>>| request.map(ReplayBody::new))
///     .layer(RetryLayer::new(RetryPolicy::new()))
///     .map_err(Failure::from_error)
///     .service(client);
/// # fn serves<S: tower::Service<Request<Full<Bytes>>, Error = std::convert::Infallible>>(_: S) {}
/// # serves(gateway);
/// ```
///
/// # Cost
///
/// A request is copied before its first attempt: method, target, fields and extensions. Its body is not, until it is sent (see
/// [`ReplayBody`]).
#[derive(Clone)]
pub struct RetryPolicy {
    budget: Arc<dyn Budget + Send + Sync>,
    on_retry: Option<Arc<OnRetry>>,
    /// Whether the call has been repeated. Each call has a copy of the policy: it is made after the request was copied for the first time, so
    /// only what happens later may be noted here.
    has_repeated: bool,
}

/// A user's hook, with the failure of the first attempt, and whether there is a second.
type OnRetry = dyn Fn(&Failure, bool) + Send + Sync;

impl RetryPolicy {
    /// A policy with the usual budget.
    #[must_use]
    pub fn new() -> Self {
        let budget = Arc::new(TpsBudget::new(BUDGET_TIME, BUDGET_RESERVE, BUDGET_SHARE));
        Self { budget, on_retry: None, has_repeated: false }
    }

    /// Sets the budget, of which each request is a deposit, and each repetition a withdrawal.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower::retry::budget::TpsBudget;
    /// use tower_bad_gateway::retry::RetryPolicy;
    ///
    /// // A fifth of the requests of the last ten seconds, and one a second besides.
    /// let policy = RetryPolicy::new().budget(TpsBudget::new(Duration::from_secs(10), 1, 0.2));
    /// ```
    #[must_use]
    pub fn budget(mut self, budget: impl Budget + Send + Sync + 'static) -> Self {
        self.budget = Arc::new(budget);
        self
    }

    /// Sets a hook that is called for each call that may be sent again: with the failure of its first attempt, and with `true` if it is, or `false`
    /// if the budget does not allow it. The layer outside does not see an attempt that another has mended.
    ///
    /// It runs in the task of the call: it must not block. If it panics, the panic is caught.
    ///
    /// ```
    /// use tower_bad_gateway::retry::RetryPolicy;
    ///
    /// let policy = RetryPolicy::new().on_retry(|failure, is_repeated| {
    ///     eprintln!("{}, {}", failure.kind(), if is_repeated { "sent again" } else { "and the budget is spent" });
    /// });
    /// ```
    #[must_use]
    pub fn on_retry(mut self, hook: impl Fn(&Failure, bool) + Send + Sync + 'static) -> Self {
        self.on_retry = Some(Arc::new(hook));
        self
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for RetryPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryPolicy").field("has_repeated", &self.has_repeated).finish_non_exhaustive()
    }
}

impl<B, R> Policy<Request<ReplayBody<B>>, Response<R>, Failure> for RetryPolicy {
    type Future = Ready<()>;

    fn retry(
        &mut self,
        request: &mut Request<ReplayBody<B>>,
        result: &mut Result<Response<R>, Failure>,
    ) -> Option<Self::Future> {
        let failure = result.as_ref().err()?;
        let may_repeat = may_repeat(failure, request.method().is_idempotent()) && request.body().claim();
        if !may_repeat {
            return None;
        }
        self.has_repeated = self.budget.withdraw();
        if let Some(hook) = &self.on_retry {
            caught(|| hook(failure, self.has_repeated));
        }
        self.has_repeated.then(|| ready(()))
    }

    fn clone_request(&mut self, request: &Request<ReplayBody<B>>) -> Option<Request<ReplayBody<B>>> {
        if self.has_repeated {
            // Without another copy tower sends the request no third time.
            return None;
        }
        self.budget.deposit();
        let mut copy = Request::new(request.body().clone());
        copy.method_mut().clone_from(request.method());
        copy.uri_mut().clone_from(request.uri());
        *copy.version_mut() = request.version();
        copy.headers_mut().clone_from(request.headers());
        copy.extensions_mut().clone_from(request.extensions());
        Some(copy)
    }
}

/// Whether a call that has failed so may be sent again.
fn may_repeat(failure: &Failure, is_idempotent: bool) -> bool {
    let is_safe = failure.retry_safety() != RetrySafety::Unknown || is_idempotent;
    // A failure of another kind would be the same the second time, or takes as long again.
    let may_pass = matches!(
        failure.kind(),
        FailureKind::ConnectionRefused
            | FailureKind::ConnectionTerminated
            | FailureKind::DestinationUnavailable
            | FailureKind::HttpResponseIncomplete
    );
    is_safe && may_pass && failure.blame() == Blame::Upstream && failure.retry_after().is_none()
}

/// For how long a deposit counts.
const BUDGET_TIME: Duration = Duration::from_secs(10);
/// How many repetitions a second need no deposit: where there are few requests, one in eleven would be none.
const BUDGET_RESERVE: u32 = 5;
/// How much of a repetition one request pays for. tower makes a whole number of its inverse; with the reserve a busy gateway stays
/// below a tenth.
const BUDGET_SHARE: f32 = 0.09;

#[cfg(test)]
mod tests {
    use super::*;

    /// An upstream that says when to come back is not asked before.
    #[test]
    fn retry_after_is_obeyed() {
        let failure = Failure::new(FailureKind::DestinationUnavailable).with_retry_safety(RetrySafety::NotProcessed);
        assert!(may_repeat(&failure, false));
        assert!(!may_repeat(&failure.with_retry_after(Duration::ZERO), true));
    }
}
