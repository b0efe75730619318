//! What the calls of a thread hand on to each other: a place for a timer, with the timer in it. Each test has a thread of its own, so that it
//! knows what was left there.

use std::{
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    task::{Context, Poll, Wake, Waker},
    thread,
    time::Duration,
};

use http_body_util::BodyExt;
use tokio::{
    runtime::{Builder, Runtime},
    time::{Instant, advance, sleep, timeout},
};
use tower::{Layer, Service, ServiceExt};
use tower_bad_gateway::BadGatewayLayer;

use crate::{
    mock::{Mock, MockBody, Ready, Step, get},
    timers::{SECOND, paused, silent, timed},
};

/// A call that is answered after a millisecond; what is left of its limit stays with its thread.
async fn answered(limit: Duration) {
    let slow = Mock::new(|_| async {
        sleep(Duration::from_millis(1)).await;
        Ok(http::Response::new(MockBody::of(["a"])))
    });
    let Ok(response) = BadGatewayLayer::new().head_timeout(limit).layer(slow).oneshot(get()).await;
    assert_eq!(response.status(), 200);
    response.into_body().collect().await.unwrap();
}

/// Leaves as many timers as there are calls at once: the first calls leave their places, the second ones the timers in them.
async fn leave(calls: usize, limit: Duration) {
    for _ in 0..2 {
        let tasks: Vec<_> = (0..calls).map(|_| tokio::spawn(answered(limit))).collect();
        for task in tasks {
            task.await.unwrap();
        }
    }
}

/// Counts how often it is woken.
#[derive(Default)]
struct Counts(AtomicUsize);

impl Wake for Counts {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_limit_is_exact_whatever_the_call_before_had() {
    let limits = [5000, 1000, 7000, 1, 3003, 60_000, 2000, 999, 999, 1000].map(Duration::from_millis);
    let wrong = paused().block_on(async {
        let mut wrong = Vec::new();
        for before in limits {
            for limit in limits {
                for _ in 0..3 {
                    answered(before).await;
                }
                let seen = timed(limit).await;
                if seen != (504, limit) {
                    wrong.push((before, limit, seen));
                }
            }
        }
        wrong
    });
    assert!(wrong.is_empty(), "(limit before, limit, seen): {wrong:?}");
}

/// The idle limit of a body begins anew with each wait, and the timer of the head is the one that is handed on.
#[test]
fn a_body_has_its_own_limit_whatever_its_head_had() {
    let limits = [5000, 1000, 7000, 2, 3003].map(Duration::from_millis);
    let wrong = paused().block_on(async {
        let mut wrong = Vec::new();
        for head in limits {
            for idle in limits {
                answered(head).await;
                let slow = Mock::new(|_| async {
                    sleep(Duration::from_millis(1)).await;
                    Ok(http::Response::new(MockBody::steps([Step::Data("a"), Step::Silence])))
                });
                let layer = BadGatewayLayer::new().head_timeout(head).idle_timeout(idle);
                let Ok(response) = layer.layer(slow).oneshot(get()).await;
                sleep(Duration::from_millis(1500)).await; // the server's time
                let start = Instant::now();
                let outcome = response.into_body().collect().await;
                // An error comes a few wakes after it was met, which take no time here.
                if outcome.is_ok() || start.elapsed() != idle {
                    wrong.push((head, idle, start.elapsed()));
                }
            }
        }
        wrong
    });
    assert!(wrong.is_empty(), "(head limit, idle limit, seen): {wrong:?}");
}

#[test]
fn a_timer_that_was_left_wakes_no_task() {
    paused().block_on(async {
        leave(3, 5 * SECOND).await;
        let counts = Arc::new(Counts::default());
        let waker = Waker::from(Arc::clone(&counts));
        let mut call = silent(9 * SECOND);
        assert!(call.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        drop((call, waker));
        assert_eq!(Arc::strong_count(&counts), 1);
        advance(100 * SECOND).await;
        assert_eq!(counts.0.load(Ordering::Relaxed), 0);
    });
}

/// One that ran out for a call before wakes the task of the next once, and not for ever.
#[test]
fn a_timer_that_was_left_wakes_the_next_task_once() {
    paused().block_on(async {
        for _ in 0..3 {
            answered(5 * SECOND).await;
        }
        let counts = Arc::new(Counts::default());
        let waker = Waker::from(Arc::clone(&counts));
        let mut cx = Context::from_waker(&waker);
        let mut call = silent(60 * SECOND);
        assert!(call.as_mut().poll(&mut cx).is_pending());
        for _ in 0..50 {
            advance(SECOND).await;
            assert!(call.as_mut().poll(&mut cx).is_pending());
        }
        assert_eq!(counts.0.load(Ordering::Relaxed), 1);
        advance(10 * SECOND).await;
        assert_eq!(call.as_mut().poll(&mut cx), Poll::Ready(504));
    });
}

/// The first runtime has ended, or does nothing; the call was polled in it, or makes its timer in the second.
#[test]
fn a_call_may_go_on_in_another_runtime_than_it_began_in() {
    let mut wrong = Vec::new();
    for ends in [true, false] {
        for calls_before in [0, 3] {
            for is_polled in [true, false] {
                let first = paused();
                let mut call = silent(5 * SECOND);
                first.block_on(async {
                    leave(calls_before, 9 * SECOND).await;
                    if is_polled {
                        let outcome = timeout(SECOND, &mut call).await;
                        assert!(outcome.is_err());
                    }
                });
                let kept = (!ends).then_some(first);
                let seen = paused().block_on(async { timeout(30 * SECOND, call).await });
                if seen != Ok(504) {
                    wrong.push((ends, calls_before, is_polled));
                }
                drop(kept);
            }
        }
    }
    assert!(wrong.is_empty(), "(the first runtime has ended, calls before, polled in it): {wrong:?}");
}

/// With workers a thread has one waker for all runtimes, so that no other task seems to wait.
#[test]
fn a_call_may_go_on_in_another_runtime_with_workers() {
    let workers = || Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
    let mut wrong = Vec::new();
    for ends in [true, false] {
        for calls_before in [0, 3] {
            let first = workers();
            let mut call = silent(Duration::from_millis(300));
            first.block_on(async {
                leave(calls_before, 30 * SECOND).await;
                // The thread of `block_on` has timers of its own.
                for _ in 0..calls_before {
                    answered(30 * SECOND).await;
                }
                // On a machine that sleeps in between, its time may be over at once.
                let outcome = poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx))).await;
                if outcome.is_ready() {
                    call = silent(Duration::from_millis(300));
                }
            });
            let kept = (!ends).then_some(first);
            let seen = workers().block_on(async { timeout(30 * SECOND, call).await });
            if seen != Ok(504) {
                wrong.push((ends, calls_before, seen));
            }
            drop(kept);
        }
    }
    assert!(wrong.is_empty(), "(the first runtime has ended, calls before, seen): {wrong:?}");
}

/// A runtime that knows what is held by what is left of it.
fn watched() -> (Runtime, Arc<()>) {
    let held = Arc::new(());
    let hook = Arc::clone(&held);
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .on_thread_park(move || drop(Arc::clone(&hook)))
        .build()
        .unwrap();
    (runtime, held)
}

#[test]
fn a_thread_keeps_nothing_of_a_runtime_but_the_last() {
    let last = thread::spawn(|| {
        let (first, held_by_first) = watched();
        first.block_on(leave(5, 5 * SECOND));
        drop(first);
        assert_eq!(Arc::strong_count(&held_by_first), 2, "what is left of it");
        let (second, held_by_second) = watched();
        // Fewer than before: what they do not take is freed as well.
        second.block_on(leave(1, 5 * SECOND));
        assert_eq!(Arc::strong_count(&held_by_first), 1);
        drop(second);
        held_by_second
    });
    // And of the last nothing, when the thread has ended.
    assert_eq!(Arc::strong_count(&last.join().unwrap()), 1);
}

/// It makes no calls, so that nothing would ever take what it kept.
#[test]
fn a_thread_that_only_drops_calls_keeps_nothing_of_their_runtime() {
    let (runtime, held) = watched();
    let (call, response) = runtime.block_on(async {
        leave(5, 5 * SECOND).await;
        let mut call = silent(SECOND);
        assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        let slow = Mock::new(|_| async {
            sleep(Duration::from_millis(1)).await;
            Ok(http::Response::new(MockBody::steps([Step::Silence])))
        });
        let Ok(response) = BadGatewayLayer::new().layer(slow).oneshot(get()).await;
        (call, response)
    });
    thread::scope(|scope| {
        let (dropped, is_dropped) = mpsc::channel();
        let (end, may_end) = mpsc::channel::<()>();
        scope.spawn(move || {
            drop((call, response));
            dropped.send(()).unwrap();
            // It lives on.
            may_end.recv().unwrap();
        });
        is_dropped.recv().unwrap();
        drop(runtime);
        // What this thread keeps goes with the next runtime.
        paused().block_on(leave(1, SECOND));
        assert_eq!(Arc::strong_count(&held), 1);
        end.send(()).unwrap();
    });
}

/// It may be kept for as long as the process lives.
#[test]
fn a_service_keeps_nothing_of_the_runtime_in_which_it_was_waited_for() {
    let (first, held) = watched();
    let mut gateway = BadGatewayLayer::new().layer(Mock::ok().ready([Ready::No, Ready::Yes]));
    first.block_on(async {
        leave(5, 5 * SECOND).await;
        let ready = gateway.ready().await.unwrap_or_else(|error| match error {});
        let Ok(response) = ready.call(get()).await;
        assert_eq!(response.status(), 200);
    });
    drop(first);
    paused().block_on(leave(1, SECOND));
    assert_eq!(Arc::strong_count(&held), 1);
    drop(gateway);
}

/// What a runtime leaves behind is dropped when the next one makes its first timer, and that may panic.
#[test]
fn a_panic_of_what_a_runtime_leaves_behind_leaves_no_timer_that_never_fires() {
    struct Panics;
    impl Drop for Panics {
        fn drop(&mut self) {
            assert!(thread::panicking(), "a hook of the user");
        }
    }
    let panics = Arc::new(Panics);
    let first = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .on_thread_park(move || drop(Arc::clone(&panics)))
        .build()
        .unwrap();
    first.block_on(leave(3, 5 * SECOND));
    drop(first);
    paused().block_on(async {
        let mut call = silent(SECOND);
        let mut cx = Context::from_waker(Waker::noop());
        // Whether the layer answers the panic or passes it on, the next calls have their limits.
        let _ = catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(&mut cx)));
        drop(call);
        for _ in 0..4 {
            assert_eq!(timeout(30 * SECOND, timed(2 * SECOND)).await, Ok((504, 2 * SECOND)));
        }
    });
}

/// What is left of a limit stays in tokio's timer: a runtime whose clock is paused, and that waits for what is no timer, moves the clock
/// up to there. The documentation of the crate says so.
#[test]
fn a_paused_clock_may_move_to_what_calls_have_left_and_no_further() {
    paused().block_on(async {
        leave(3, 5 * SECOND).await;
        let start = Instant::now();
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let other = thread::spawn(move || {
            thread::sleep(Duration::from_millis(50)); // for the runtime to fall asleep; the test passes without it
            sender.send(()).unwrap();
        });
        receiver.await.unwrap();
        other.join().unwrap();
        assert!(start.elapsed() <= 5 * SECOND, "{:?}", start.elapsed());
    });
}

/// Many threads of one runtime, which hand timers on while calls move between them.
#[test]
fn no_limit_fires_early_in_calls_that_move_between_threads() {
    const CALLS: usize = 4000;
    let runtime = Builder::new_multi_thread().worker_threads(4).enable_time().build().unwrap();
    let wrong = runtime.block_on(async {
        let mut wrong = Vec::new();
        for round in 0..3 {
            let calls: Vec<_> = (0..CALLS)
                .map(|number| {
                    tokio::spawn(async move {
                        if number % 3 == 0 {
                            answered(SECOND * 30).await;
                            return 504;
                        }
                        let (start, limit) = (Instant::now(), Duration::from_millis(300));
                        let layer = BadGatewayLayer::new().silent().head_timeout(limit);
                        let Ok(response) = layer.layer(Mock::silent()).oneshot(get()).await;
                        assert!(start.elapsed() >= limit, "{:?}", start.elapsed());
                        response.status().as_u16()
                    })
                })
                .collect();
            for (number, call) in calls.into_iter().enumerate() {
                let seen = timeout(30 * SECOND, call).await;
                if !matches!(seen, Ok(Ok(504))) {
                    wrong.push((round, number));
                }
            }
        }
        wrong
    });
    assert!(wrong.is_empty(), "{} calls, such as {:?}", wrong.len(), wrong.first());
}
