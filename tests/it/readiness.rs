//! Every state of a service that is, or is not, ready.

use std::{
    future::poll_fn,
    sync::atomic::Ordering,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::Request;
use http_body_util::Empty;
use tokio::time::Instant;
use tower::{Layer, Service, ServiceExt};
use tower_bad_gateway::{
    BadGatewayLayer, BoxError, Failure, FailureKind,
    failure::{Blame, Phase, RetrySafety, TimeLimit},
};

use crate::mock::{Answer, Mock, MockBody, Ready, get};

fn failure<B>(response: &http::Response<B>) -> Failure {
    response.extensions().get::<Failure>().unwrap().clone()
}

#[tokio::test]
async fn a_service_that_failed_is_answered_for_and_never_polled_again() {
    let mock = Mock::ok().ready([Ready::Refused]);
    let polls = mock.polls.clone();
    let mut gateway = BadGatewayLayer::new().layer(mock);
    for _ in 0..3 {
        let Ok(response) = gateway.ready().await.unwrap().call(get()).await;
        assert_eq!(response.status(), 502);
        let failure = failure(&response);
        assert_eq!((failure.kind(), failure.phase()), (FailureKind::ConnectionRefused, Phase::Connect));
        assert_eq!(failure.retry_safety(), RetrySafety::NotSent);
    }
    assert_eq!(polls.load(Ordering::SeqCst), 1);
}

/// The time is that of the call that has waited; those after it were answered at once.
#[tokio::test(start_paused = true)]
async fn a_service_that_failed_after_a_while_has_taken_that_long() {
    let mut gateway = BadGatewayLayer::new().layer(Mock::ok().ready([Ready::Never, Ready::Refused]));
    let mut seen = Vec::new();
    for _ in 0..2 {
        let wait = poll_fn(|cx| gateway.poll_ready(cx));
        tokio::pin!(wait);
        if tokio::time::timeout(Duration::from_secs(5), &mut wait).await.is_err() {
            let Ok(()) = wait.await;
        }
        let Ok(response) = gateway.call(get()).await;
        seen.push(failure(&response).elapsed());
    }
    assert_eq!(seen, [Some(Duration::from_secs(5)), Some(Duration::ZERO)]);
}

#[tokio::test]
async fn a_dead_service_answers_again_when_it_is_asked_without_poll_ready() {
    // A caller that is wrong must not bring the dead service back to life.
    let mut gateway = BadGatewayLayer::new().layer(Mock::ok().ready([Ready::Refused]));
    let Ok(_) = gateway.ready().await.unwrap().call(get()).await;
    let Ok(response) = gateway.call(get()).await;
    assert_eq!(response.status(), 502);
}

#[tokio::test]
async fn a_clone_of_a_dead_service_starts_anew() {
    let mock = Mock::ok().ready([Ready::Refused]);
    let mut gateway = BadGatewayLayer::new().layer(mock);
    gateway.ready().await.unwrap();
    let mut clone = gateway.clone();
    clone.get_mut().clone_from(&Mock::ok());
    let Ok(response) = clone.ready().await.unwrap().call(get()).await;
    assert_eq!(response.status(), 200);
    let Ok(response) = gateway.call(get()).await;
    assert_eq!(response.status(), 502, "the original stays dead");
}

#[tokio::test]
async fn the_wrapped_service_is_never_cloned() {
    let mock = Mock::ok();
    let clones = mock.clones.clone();
    let mut gateway = BadGatewayLayer::new().layer(mock);
    for _ in 0..3 {
        let Ok(_) = gateway.ready().await.unwrap().call(get()).await;
    }
    assert_eq!(clones.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_not_ready_in_time_is_answered_503_once() {
    let mock = Mock::ok().ready([Ready::Never, Ready::Never, Ready::Yes]);
    let mut gateway = BadGatewayLayer::new().layer(mock);
    let start = Instant::now();
    let Ok(response) = gateway.ready().await.unwrap().call(get()).await;
    assert_eq!(start.elapsed().as_secs(), 10, "the default");
    assert_eq!(response.status(), 503);
    let failure = failure(&response);
    assert_eq!((failure.kind(), failure.phase()), (FailureKind::DestinationUnavailable, Phase::Readiness));
    assert_eq!((failure.limit(), failure.retry_safety()), (Some(TimeLimit::Ready), RetrySafety::NotSent));
    assert_eq!(failure.blame(), Blame::Unknown, "it may be waiting for its upstream, or for itself");

    let Ok(response) = gateway.ready().await.unwrap().call(get()).await;
    assert_eq!(response.status(), 200, "the waiting went on");
}

#[tokio::test(start_paused = true)]
async fn every_wait_for_readiness_has_the_whole_limit() {
    let limit = Duration::from_secs(5);
    let mut gateway = BadGatewayLayer::new().ready_timeout(limit).layer(Mock::ok().ready([Ready::Never]));
    for _ in 0..3 {
        let start = Instant::now();
        let Ok(response) = gateway.ready().await.unwrap().call(get()).await;
        assert_eq!((response.status().as_u16(), start.elapsed()), (503, limit));
        tokio::time::advance(Duration::from_secs(2)).await;
    }
}

/// Is ready after a while.
struct Slow(Mock, std::pin::Pin<Box<tokio::time::Sleep>>);

impl Service<Request<Empty<Bytes>>> for Slow {
    type Response = http::Response<MockBody>;
    type Error = BoxError;
    type Future = Answer;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        match self.1.as_mut().poll(cx) {
            Poll::Ready(()) => self.0.poll_ready(cx),
            Poll::Pending => Poll::Pending,
        }
    }

    fn call(&mut self, request: Request<Empty<Bytes>>) -> Answer {
        self.0.call(request)
    }
}

/// One clock: what readiness has taken is not there for the head, and never more than there is for both.
#[tokio::test(start_paused = true)]
async fn readiness_is_part_of_the_time_for_the_head() {
    let seconds = Duration::from_secs;
    async fn call(layer: BadGatewayLayer, after: Duration, pause: Duration) -> (u64, u16) {
        let start = tokio::time::Instant::now();
        let mut gateway = layer.silent().layer(Slow(Mock::silent(), Box::pin(tokio::time::sleep(after))));
        gateway.ready().await.unwrap();
        tokio::time::sleep(pause).await;
        let Ok(response) = gateway.call(get()).await;
        (start.elapsed().as_secs(), response.status().as_u16())
    }
    let new = BadGatewayLayer::new;
    assert_eq!(call(new(), seconds(8), seconds(0)).await, (45, 504), "45 in all");
    assert_eq!(call(new(), seconds(8), seconds(100)).await, (145, 504), "what the caller waits is its own");
    assert_eq!(call(new().head_timeout(seconds(20)), seconds(8), seconds(0)).await, (20, 504));
    assert_eq!(call(new().head_timeout(seconds(5)), seconds(8), seconds(0)).await, (5, 503), "no time is left");
    // Ready at last, and all of the time is over: it is not sent.
    assert_eq!(call(new().ready_timeout(seconds(60)), seconds(50), seconds(0)).await, (50, 503));
    // Without a limit of its own it takes nothing from the head.
    assert_eq!(call(new().ready_timeout(None), seconds(50), seconds(0)).await, (95, 504));
}

/// It is the setting to change, and the head limit that a wait has used up is not that of readiness.
#[tokio::test(start_paused = true)]
async fn the_setting_that_ended_the_wait_is_named() {
    let seconds = Duration::from_secs;
    let new = BadGatewayLayer::new;
    let rows = [
        (new(), 60, TimeLimit::Ready, "not ready within 10s (ready_timeout)", 10),
        (new().head_timeout(seconds(5)), 60, TimeLimit::Head, "not ready within 5s (head_timeout)", 5),
        (new().head_timeout(seconds(10)), 60, TimeLimit::Ready, "not ready within 10s (ready_timeout)", 10),
        (new().ready_timeout(seconds(60)), 50, TimeLimit::Head, "not ready within 45s (head_timeout)", 50),
    ];
    for (layer, after, limit, reason, elapsed) in rows {
        let mut gateway = layer.silent().layer(Slow(Mock::silent(), Box::pin(tokio::time::sleep(seconds(after)))));
        let Ok(response) = gateway.ready().await.unwrap().call(get()).await;
        let failure = failure(&response);
        assert_eq!(
            (failure.kind(), failure.phase()),
            (FailureKind::DestinationUnavailable, Phase::Readiness),
            "{reason}"
        );
        let told = format!("destination_unavailable in readiness: {reason}");
        assert_eq!((failure.limit(), failure.private_chain().to_string()), (Some(limit), told));
        assert_eq!(failure.elapsed(), Some(seconds(elapsed)), "{reason}");
    }
}

/// Whoever has waited may have gone away: the clock that was left running takes no more than its limit from a call hours later.
#[tokio::test(start_paused = true)]
async fn a_wait_that_was_given_up_does_not_cost_the_next_call_its_time() {
    let ready = tokio::time::sleep(Duration::from_secs(2));
    let mut gateway = BadGatewayLayer::new().silent().layer(Slow(Mock::silent(), Box::pin(ready)));
    let gone = tokio::time::timeout(Duration::from_secs(1), gateway.ready()).await;
    assert!(gone.is_err());
    tokio::time::sleep(Duration::from_secs(3600)).await;
    let start = Instant::now();
    let Ok(response) = gateway.ready().await.unwrap().call(get()).await;
    assert_eq!((response.status().as_u16(), start.elapsed().as_secs()), (504, 35));
}

#[tokio::test(start_paused = true)]
async fn without_a_limit_readiness_is_waited_for() {
    let mut gateway = BadGatewayLayer::new().ready_timeout(None).layer(Mock::ok().ready([Ready::Never]));
    let waited = tokio::time::timeout(Duration::from_secs(86_400), gateway.ready()).await;
    assert!(waited.is_err());
}

#[tokio::test]
async fn a_service_that_becomes_ready_is_asked() {
    let mut gateway = BadGatewayLayer::new().layer(Mock::ok().ready([Ready::No, Ready::No, Ready::Yes]));
    let Ok(response) = gateway.ready().await.unwrap().call(get()).await;
    assert_eq!(response.status(), 200);
}

#[tokio::test(start_paused = true)]
async fn what_was_said_to_be_ready_stays_so_until_the_call() {
    let mut gateway = BadGatewayLayer::new().layer(Mock::ok().ready([Ready::Never]));
    gateway.ready().await.unwrap();
    for _ in 0..3 {
        let again = poll_fn(|cx| std::task::Poll::Ready(gateway.poll_ready(cx).is_ready())).await;
        assert!(again, "no permission is taken back");
    }
    let Ok(response) = gateway.call(get()).await;
    assert_eq!(response.status(), 503);
}

#[tokio::test]
async fn a_service_that_failed_to_become_ready_has_taken_nothing() {
    let mut gateway = BadGatewayLayer::new().layer(Mock::ok().ready([Ready::Broken]));
    let Ok(response) = gateway.ready().await.unwrap().call(get()).await;
    let failure = failure(&response);
    assert_eq!((failure.kind(), failure.phase()), (FailureKind::Unclassified, Phase::Readiness));
    assert_eq!(failure.retry_safety(), RetrySafety::NotSent);
}

/// The wait was that of a call which was never made: it takes nothing from the time for the head.
#[tokio::test(start_paused = true)]
async fn a_late_service_that_came_round_before_the_call_is_asked() {
    let limit = Duration::from_secs(5);
    for layer in [BadGatewayLayer::new(), BadGatewayLayer::new().head_timeout(limit)] {
        let mut gateway = layer.layer(Mock::ok().ready([Ready::Never, Ready::Never, Ready::Yes]));
        gateway.ready().await.unwrap(); // late
        poll_fn(|cx| gateway.poll_ready(cx)).await.unwrap(); // and now it is ready after all
        let Ok(response) = gateway.call(get()).await;
        assert_eq!(response.status(), 200);
    }
    let mut gateway = BadGatewayLayer::new().head_timeout(limit).layer(Mock::silent().ready([
        Ready::Never,
        Ready::Never,
        Ready::Yes,
    ]));
    gateway.ready().await.unwrap();
    poll_fn(|cx| gateway.poll_ready(cx)).await.unwrap();
    let start = Instant::now();
    let Ok(response) = gateway.call(get()).await;
    assert_eq!((failure(&response).elapsed(), start.elapsed()), (Some(limit), limit));
}
