//! The places of timers, which the calls of a thread hand on to each other: a runtime of theirs, a waker, or a panic must not go along.

use std::{
    any::Any,
    cell::RefCell,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Wake, Waker},
    thread,
    time::Duration,
};

use http::Request;
use tokio::{
    runtime::{Builder, Runtime},
    time::{Instant, sleep},
};
use tower::{Layer, ServiceExt};
use tower_bad_gateway::{BadGatewayLayer, RequestBodyTap, body::RequestBody};

use crate::mock::{Mock, MockBody, get};

const SECOND: Duration = Duration::from_secs(1);

fn paused() -> Runtime {
    Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

type Call = Pin<Box<dyn Future<Output = u16> + Send>>;

/// A call to a silent upstream, with this limit.
fn silent(limit: Duration) -> Call {
    let call = BadGatewayLayer::new().head_timeout(limit).layer(Mock::silent()).oneshot(get());
    Box::pin(async { call.await.unwrap_or_else(|error| match error {}).status().as_u16() })
}

/// By the clock of the runtime it is in, to the millisecond.
async fn timed(limit: Duration) -> (u16, Duration) {
    let start = Instant::now();
    let status = silent(limit).await;
    (status, start.elapsed())
}

#[test]
fn a_limit_fires_in_whichever_runtime_of_a_thread_the_call_is() {
    let runtimes = [paused(), paused(), paused()];
    for round in 1..20_u64 {
        for (runtime, more) in runtimes.iter().zip([0, 7, 1000]) {
            let limit = Duration::from_millis(round * 1001 + more);
            assert_eq!(runtime.block_on(timed(limit)), (504, limit));
        }
    }
}

#[test]
fn a_limit_fires_after_the_runtime_of_the_call_before_has_ended() {
    for _ in 0..20 {
        let before = paused();
        // One that is over, and one that goes down with its runtime.
        assert_eq!(before.block_on(timed(2 * SECOND)), (504, 2 * SECOND));
        before.block_on(async {
            tokio::spawn(silent(100 * SECOND));
            sleep(SECOND).await;
        });
        drop(before);
        assert_eq!(paused().block_on(timed(3 * SECOND)), (504, 3 * SECOND));
    }
}

/// Many limits at once, and a third of the calls dropped half-way: those that are left fire each at its own time.
#[test]
fn every_call_has_its_own_limit() {
    let wrong = paused().block_on(async {
        let calls: Vec<_> =
            (0..3000_u64).map(|number| (number, tokio::spawn(timed(Duration::from_millis(500 + number))))).collect();
        sleep(Duration::from_millis(400)).await;
        let mut wrong = Vec::new();
        for (number, call) in calls {
            if number % 3 == 0 {
                call.abort();
                continue;
            }
            let seen = call.await.unwrap();
            if seen != (504, Duration::from_millis(500 + number)) {
                wrong.push((number, seen));
            }
        }
        wrong
    });
    assert!(wrong.is_empty(), "(call, seen): {wrong:?}");
}

/// Wakes nobody, and holds something.
struct Holds(#[expect(dead_code, reason = "it is held")] Mutex<Option<Box<dyn Any + Send>>>);

impl Wake for Holds {
    fn wake(self: Arc<Self>) {}
}

#[test]
fn a_place_keeps_no_waker() {
    paused().block_on(async {
        let holds = Arc::new(Holds(Mutex::new(None)));
        let waker = Waker::from(Arc::clone(&holds));
        for _ in 0..3 {
            let mut call = silent(SECOND);
            assert!(call.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            drop(call);
        }
        drop(waker);
        assert_eq!(Arc::strong_count(&holds), 1);
    });
}

/// The task of a call may hold another call, whose timer goes with the last waker of the first.
#[test]
fn a_waker_that_drops_a_call_may_be_dropped_with_a_call() {
    paused().block_on(async {
        let mut held: Box<dyn Any + Send> = Box::new(());
        for _ in 0..10 {
            let waker = Waker::from(Arc::new(Holds(Mutex::new(Some(held)))));
            let mut call = silent(SECOND);
            assert!(call.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            held = Box::new(call);
        }
        drop(held);
        assert_eq!(timed(2 * SECOND).await, (504, 2 * SECOND));
    });
}

/// A call and an upload may be the last that go, when what the thread keeps is gone already, tokio's clock too.
#[test]
fn a_call_may_outlive_what_its_thread_keeps() {
    thread_local! {
        static HELD: RefCell<Option<(Call, Request<RequestBody<MockBody>>)>> = const { RefCell::new(None) };
    }
    let outcome = thread::spawn(|| {
        // Used first, so that it is dropped last, or the other way round: either must do.
        HELD.with_borrow_mut(|held| *held = None);
        let runtime = paused();
        runtime.block_on(async {
            let mut call = silent(SECOND);
            assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            let upload = RequestBodyTap::new().tap(Request::new(MockBody::of(["a", "b"])));
            HELD.with_borrow_mut(|held| *held = Some((call, upload)));
        });
    });
    outcome.join().unwrap();
}

/// A call may be made in one thread and end in another.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn calls_may_end_in_other_threads() {
    let calls: Vec<_> = (0..2000)
        .map(|number: u64| {
            tokio::spawn(async move {
                let mut call = silent(Duration::from_millis(20 + number % 7));
                // Polled once here, and then wherever its task is.
                let first =
                    std::future::poll_fn(|cx| std::task::Poll::Ready(call.as_mut().poll(cx).is_pending())).await;
                tokio::task::yield_now().await;
                if number % 3 == 0 {
                    return (first, 504);
                }
                (first, tokio::spawn(call).await.unwrap())
            })
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.unwrap(), (true, 504));
    }
}
