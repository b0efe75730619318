//! One call, driven by hand: from the readiness of the service to the end of the response body.

use std::{
    future::{Future, poll_fn},
    hint::black_box,
    pin::pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Buf;
use http::StatusCode;
use http_body::Body;
use tower::Service;

use crate::scenario::Request;

/// What came of a call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Answer {
    /// The status; `None` if the call ended with an error.
    pub status: Option<StatusCode>,
    /// How long the response body was.
    pub body: usize,
    /// How many frames it had.
    pub frames: u32,
    /// How often the call was polled until the response head was there.
    pub polls: u32,
}

/// One call. Both benchmarks count what happens inside of this function, callgrind by its name.
#[inline(never)]
pub fn measured(call: &mut dyn FnMut(Request) -> Answer, request: Request) -> Answer {
    black_box(call(request))
}

/// The whole of a call; a body that breaks is one that ends too early.
#[inline(never)]
pub(crate) fn drive<S, B>(service: &mut S, request: Request, cx: &mut Context<'_>) -> Answer
where
    S: Service<Request, Response = http::Response<B>>,
    B: Body,
{
    assert!(matches!(service.poll_ready(cx), Poll::Ready(Ok(()))), "every contender is ready at once");
    let mut answer = Answer { status: None, body: 0, frames: 0, polls: 0 };
    let mut call = pin!(service.call(request));
    let outcome = loop {
        answer.polls += 1;
        if let Poll::Ready(outcome) = call.as_mut().poll(cx) {
            break outcome;
        }
    };
    let (head, body) = match outcome {
        Ok(response) => response.into_parts(),
        Err(error) => {
            black_box(&error);
            return answer;
        }
    };
    let mut body = pin!(body);
    // As hyper does it: the end of the stream first, then the length for the head, then frame by frame.
    if !body.is_end_stream() {
        black_box(body.size_hint());
    }
    while !body.is_end_stream() {
        match body.as_mut().poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                answer.body += black_box(&frame).data_ref().map_or(0, Buf::remaining);
                answer.frames += 1;
            }
            Poll::Ready(Some(Err(_)) | None) => break,
            Poll::Pending => {}
        }
    }
    answer.status = Some(head.status);
    answer
}

/// Runs `work` inside of a task, with a real waker and without tokio's budget of polls. An earlier timer is armed, as on any
/// busy server: without one, every timer that is made would wake the driver by a system call.
///
/// # Panics
///
/// If the system gives no runtime.
#[expect(clippy::expect_used, reason = "nothing can be measured without a runtime")]
pub(crate) fn in_task(mut work: impl FnMut(&mut Context<'_>)) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("the system gives a runtime");
    runtime.block_on(async {
        tokio::spawn(async {
            loop {
                tokio::time::sleep(Duration::from_secs(5)).await;
            }
        });
        // Parks once, so that the driver has noted the other timer.
        tokio::time::sleep(Duration::from_millis(2)).await;
        let all = poll_fn(|cx| {
            // A clone knows its clones, as the waker of a spawned task does and that of `block_on` does not.
            let waker = cx.waker().clone();
            work(&mut Context::from_waker(&waker));
            Poll::Ready(())
        });
        tokio::task::unconstrained(all).await;
    });
}
