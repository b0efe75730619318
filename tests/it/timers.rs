//! The places of timers, which the calls of a thread hand on to each other: a runtime of theirs, a waker, or a panic must not go along.

use std::{
    any::Any,
    cell::RefCell,
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Wake, Waker},
    thread,
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Empty};
use tokio::{
    runtime::{Builder, Runtime},
    time::{Instant, sleep, timeout},
};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_bad_gateway::{BadGatewayLayer, BoxError, RequestBodyTap, body::RequestBody};

use crate::mock::{Mock, MockBody, Ready, Step, get};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

pub(crate) fn paused() -> Runtime {
    Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

pub(crate) type Call = Pin<Box<dyn Future<Output = u16> + Send>>;

/// A call to a silent upstream, with this limit.
pub(crate) fn silent(limit: Duration) -> Call {
    let call = BadGatewayLayer::new().head_timeout(limit).layer(Mock::silent()).oneshot(get());
    Box::pin(async { call.await.unwrap_or_else(|error| match error {}).status().as_u16() })
}

/// By the clock of the runtime it is in, to the millisecond.
pub(crate) async fn timed(limit: Duration) -> (u16, Duration) {
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
                let mut call = silent(Duration::from_millis(300 + number % 7));
                // Polled once here, and then wherever its task is.
                let first = std::future::poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx))).await;
                // On a machine that sleeps in between, its time may be over at once.
                if let Poll::Ready(status) = first {
                    return status;
                }
                tokio::task::yield_now().await;
                if number % 3 == 0 {
                    return 504;
                }
                tokio::spawn(call).await.unwrap()
            })
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.unwrap(), 504);
    }
}

/// Spends all that tokio lets a task do in one turn, each time it is asked.
struct Greedy(
    tokio::sync::mpsc::UnboundedReceiver<()>,
    #[expect(dead_code, reason = "without it the end has come")] tokio::sync::mpsc::UnboundedSender<()>,
);

impl Greedy {
    fn new() -> Self {
        let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
        (0..300).for_each(|_| sender.send(()).unwrap());
        Self(receiver, sender)
    }
}

impl Body for Greedy {
    type Data = Bytes;
    type Error = io::Error;
    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        while self.0.poll_recv(cx).is_ready() {}
        Poll::Pending
    }
}

/// A `Sleep` that is asked when the task has nothing left to spend says "pending" and wakes nobody.
#[test]
fn a_limit_fires_in_a_task_that_has_spent_its_budget() {
    let head = || {
        service_fn(|_: Request<Empty<Bytes>>| async {
            let mut greedy = Greedy::new();
            std::future::poll_fn(|cx| Pin::new(&mut greedy).poll_frame(cx)).await;
            Ok::<_, BoxError>(Response::new(Greedy::new()))
        })
    };
    let body = || service_fn(|_: Request<Empty<Bytes>>| async { Ok::<_, BoxError>(Response::new(Greedy::new())) });
    let new = BadGatewayLayer::new;
    let five = 5 * SECOND;
    let heads = [("head", new().head_timeout(five)), ("total", new().total_timeout(five)), ("default", new())];
    let bodies = [
        ("silence", new().peek(false).idle_timeout(five)),
        ("total of the body", new().peek(false).idle_timeout(None).total_timeout(five)),
    ];
    paused().block_on(async {
        let mut wrong = Vec::new();
        for (name, layer) in heads {
            let start = Instant::now();
            let call = tokio::spawn(timeout(1000 * SECOND, layer.layer(head()).oneshot(get())));
            let seen = call.await.unwrap().map(|Ok(response)| response.status().as_u16());
            if seen != Ok(504) || start.elapsed() > 45 * SECOND {
                wrong.push((name, format!("{seen:?}")));
            }
        }
        for (name, layer) in bodies {
            let Ok(response) = layer.layer(body()).oneshot(get()).await;
            let start = Instant::now();
            let read = tokio::spawn(timeout(1000 * SECOND, response.into_body().collect()));
            let seen = read.await.unwrap().map(|outcome| outcome.is_err());
            if seen != Ok(true) || start.elapsed() > 6 * SECOND {
                wrong.push((name, format!("{seen:?}")));
            }
        }
        assert!(wrong.is_empty(), "{wrong:?}");
    });
}

/// Whoever takes a head in one runtime may read its body in another, when the first has ended or does nothing.
#[test]
fn a_body_may_be_read_in_another_runtime_than_its_head() {
    for ends in [true, false] {
        let head_runtime = Builder::new_current_thread().enable_time().build().unwrap();
        let slow = Mock::new(|_| async {
            sleep(Duration::from_millis(10)).await;
            Ok(http::Response::new(MockBody::steps([Step::Data("a"), Step::Silence])))
        });
        let layer = BadGatewayLayer::new().idle_timeout(Duration::from_millis(300));
        let Ok(response) = head_runtime.block_on(layer.layer(slow).oneshot(get()));
        let kept = (!ends).then_some(head_runtime);
        let body_runtime = Builder::new_current_thread().enable_time().build().unwrap();
        let read = body_runtime.block_on(async { timeout(30 * SECOND, response.into_body().collect()).await });
        assert!(read.is_ok_and(|outcome| outcome.is_err()), "the runtime of the head has ended: {ends}");
        drop(kept);
    }
}

/// The layer has waited for the body already, while it held the head.
#[test]
fn a_body_may_be_read_in_another_runtime_than_its_head_was_held_in() {
    let head_runtime = paused();
    let silent = Mock::new(|_| async { Ok(http::Response::new(MockBody::steps([Step::Silence]))) });
    let layer = BadGatewayLayer::new().hold_head(SECOND).idle_timeout(5 * SECOND);
    let Ok(response) = head_runtime.block_on(layer.layer(silent).oneshot(get()));
    let read = paused().block_on(async { timeout(30 * SECOND, response.into_body().collect()).await });
    assert!(read.is_ok_and(|outcome| outcome.is_err()));
    drop(head_runtime);
}

#[test]
fn a_service_may_be_waited_for_in_one_runtime_after_another() {
    for ends in [true, false] {
        let layer = BadGatewayLayer::new().ready_timeout(SECOND);
        let mut gateway = layer.layer(Mock::ok().ready([Ready::No, Ready::Yes, Ready::Never, Ready::Never]));
        let mut ask = |runtime: &Runtime| {
            runtime.block_on(async {
                let call = async { gateway.ready().await.unwrap_or_else(|error| match error {}).call(get()).await };
                let Ok(response) = timeout(30 * SECOND, call).await.unwrap();
                response.status().as_u16()
            })
        };
        let first = paused();
        assert_eq!(ask(&first), 200);
        let kept = (!ends).then_some(first);
        assert_eq!(ask(&paused()), 503, "the runtime before has ended: {ends}");
        drop(kept);
    }
}

/// As when the runtime of a test ends, or a caller gives up and comes back from elsewhere.
#[test]
fn a_wait_for_readiness_may_be_taken_up_in_another_runtime() {
    for ends in [true, false] {
        let mut gateway = BadGatewayLayer::new().ready_timeout(10 * SECOND).layer(Mock::ok().ready([Ready::Never]));
        let first = paused();
        assert!(first.block_on(async { timeout(SECOND, gateway.ready()).await.is_err() }));
        let kept = (!ends).then_some(first);
        let status = paused().block_on(async {
            let call = async { gateway.ready().await.unwrap_or_else(|error| match error {}).call(get()).await };
            timeout(30 * SECOND, call).await.map(|Ok(response)| response.status().as_u16())
        });
        assert_eq!(status, Ok(503), "the runtime before has ended: {ends}");
        drop(kept);
    }
}

/// What is waited for next is another's business.
#[test]
fn a_body_that_nobody_reads_keeps_no_task_of_its_head() {
    paused().block_on(async {
        let holds = Arc::new(Holds(Mutex::new(None)));
        let waker = Waker::from(Arc::clone(&holds));
        let slow = Mock::new(|_| async {
            tokio::task::yield_now().await;
            Ok(http::Response::new(MockBody::steps([Step::Silence])))
        });
        let mut call = Box::pin(BadGatewayLayer::new().layer(slow).oneshot(get()));
        let response = loop {
            if let Poll::Ready(Ok(response)) = call.as_mut().poll(&mut Context::from_waker(&waker)) {
                break response;
            }
        };
        drop(call);
        tokio::task::yield_now().await;
        drop(waker);
        assert_eq!(Arc::strong_count(&holds), 1);
        drop(response);
    });
}

/// Whichever thread a call began in, ends in, or is dropped in.
#[test]
fn of_a_hundred_thousand_calls_in_four_threads_each_ends() {
    const CALLS: usize = 100_000;
    let runtime = Builder::new_multi_thread().worker_threads(4).enable_time().build().unwrap();
    let held = Arc::new(());
    let upstream = Arc::clone(&held);
    let silent = service_fn(move |_: Request<Empty<Bytes>>| {
        let held = Arc::clone(&upstream);
        async move {
            let _held = held;
            std::future::pending::<Result<Response<MockBody>, BoxError>>().await
        }
    });
    let layer = BadGatewayLayer::new().silent().head_timeout(Duration::from_millis(300));
    let gateway = layer.layer(silent);
    let is_dropped = |number| number % 3 == 0;
    let wrong: Vec<_> = runtime.block_on(async {
        let mut tasks: Vec<_> = (0..CALLS).map(|_| tokio::spawn(gateway.clone().oneshot(get()))).collect();
        // By now some have ended, some wait, and some may not have begun.
        tasks.iter().enumerate().filter(|(number, _)| is_dropped(*number)).for_each(|(_, task)| task.abort());
        let mut wrong = Vec::new();
        for (number, task) in tasks.drain(..).enumerate() {
            match timeout(30 * SECOND, task).await {
                Ok(Ok(Ok(response))) if response.status() == 504 => {}
                Ok(Err(error)) if error.is_cancelled() && is_dropped(number) => {}
                other => wrong.push((number, other.map(|outcome| outcome.map(|_| "not a 504")))),
            }
        }
        wrong
    });
    assert!(wrong.is_empty(), "{} calls, such as {:?}", wrong.len(), wrong.first());
    drop((runtime, gateway));
    assert_eq!(Arc::strong_count(&held), 1);
}
