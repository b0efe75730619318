//! One call of a given size, for callgrind to count; run by `perf/scaling`.
//!
//! `scaling bare|layer response-fields|request-fields|frames|in-flight SIZE`

use std::{
    convert::Infallible,
    env,
    future::{Future, pending},
    hint::black_box,
    pin::{Pin, pin},
    process::ExitCode,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Uri};
use http_body::{Body, Frame};
use http_body_util::Empty;
use tower::{Layer, Service};
use tower_bad_gateway::BadGatewayLayer;

/// What a call is as large as, or how many others wait meanwhile.
#[derive(Clone, Copy, Default)]
struct Size {
    response_fields: usize,
    request_fields: usize,
    frames: usize,
    in_flight: usize,
}

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let Some((contender, size)) = read(&arguments) else {
        eprintln!("usage: scaling bare|layer response-fields|request-fields|frames|in-flight SIZE");
        return ExitCode::FAILURE;
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let Ok(runtime) = runtime else { return ExitCode::FAILURE };
    let _guard = runtime.enter();
    let head = fields(size.response_fields);
    let upstream = tower::service_fn(move |request| answer(request, head.clone(), size.frames));
    match contender {
        "bare" => calls(upstream, size),
        _ => calls(BadGatewayLayer::new().silent().layer(upstream), size),
    }
    ExitCode::SUCCESS
}

fn read(arguments: &[String]) -> Option<(&str, Size)> {
    let [contender, axis, size] = arguments else { return None };
    let of: usize = size.parse().ok()?;
    let usual = Size { response_fields: 5, request_fields: 8, frames: 1, in_flight: 0 };
    let size = match axis.as_str() {
        "response-fields" => Size { response_fields: of, ..usual },
        "request-fields" => Size { request_fields: of, ..usual },
        "frames" => Size { frames: of, ..usual },
        "in-flight" => Size { in_flight: of, ..usual },
        _ => return None,
    };
    matches!(contender.as_str(), "bare" | "layer").then_some((contender, size))
}

/// Many, of which the last are counted; the others are still waiting.
fn calls<S, B>(mut service: S, size: Size)
where
    S: Service<Request<Empty<Bytes>>, Response = Response<B>>,
    B: Body,
{
    let mut cx = Context::from_waker(Waker::noop());
    let head = fields(size.request_fields);
    let mut others: Vec<Pin<Box<S::Future>>> = Vec::with_capacity(size.in_flight);
    for _ in 0..size.in_flight {
        let mut silent = request(&head);
        *silent.uri_mut() = Uri::from_static("/silent");
        let mut call = Box::pin(service.call(silent));
        assert!(call.as_mut().poll(&mut cx).is_pending(), "nothing answers it");
        others.push(call);
    }
    for _ in 0..WARM_UP {
        black_box(one(&mut service, request(&head), &mut cx));
    }
    for _ in 0..COUNTED {
        black_box(counted(&mut service, request(&head), &mut cx));
    }
}

/// What callgrind counts, by its name.
#[inline(never)]
fn counted<S, B>(service: &mut S, request: Request<Empty<Bytes>>, cx: &mut Context<'_>) -> usize
where
    S: Service<Request<Empty<Bytes>>, Response = Response<B>>,
    B: Body,
{
    one(service, request, cx)
}

/// From the call to the end of the body.
fn one<S, B>(service: &mut S, request: Request<Empty<Bytes>>, cx: &mut Context<'_>) -> usize
where
    S: Service<Request<Empty<Bytes>>, Response = Response<B>>,
    B: Body,
{
    let mut call = pin!(service.call(request));
    let outcome = loop {
        if let Poll::Ready(outcome) = call.as_mut().poll(cx) {
            break outcome;
        }
    };
    let Ok(response) = outcome else { return 0 };
    let mut body = pin!(response.into_body());
    let mut frames = 0;
    while !body.is_end_stream() {
        match body.as_mut().poll_frame(cx) {
            Poll::Ready(Some(Ok(_))) => frames += 1,
            Poll::Ready(Some(Err(_)) | None) => break,
            Poll::Pending => {}
        }
    }
    frames
}

/// Pending once, so that there is a timer.
async fn answer(
    request: Request<Empty<Bytes>>,
    head: HeaderMap,
    frames: usize,
) -> Result<Response<Frames>, Infallible> {
    if request.uri().path() == "/silent" {
        pending::<()>().await;
    }
    let mut asked = false;
    std::future::poll_fn(|_| if std::mem::replace(&mut asked, true) { Poll::Ready(()) } else { Poll::Pending }).await;
    let mut response = Response::new(Frames(frames));
    *response.headers_mut() = head;
    Ok(response)
}

fn request(head: &HeaderMap) -> Request<Empty<Bytes>> {
    let mut request = Request::new(Empty::new());
    *request.headers_mut() = head.clone();
    request
}

/// None of those that mean anything to a layer.
fn fields(count: usize) -> HeaderMap {
    let value = HeaderValue::from_static("a value of the usual length");
    let names = (0..count).filter_map(|number| HeaderName::try_from(format!("x-field-{number:03}")).ok());
    names.map(|name| (name, value.clone())).collect()
}

/// So many frames of 64 bytes, and nothing says how many.
struct Frames(usize);

impl Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(left) = self.0.checked_sub(1) else { return Poll::Ready(None) };
        self.0 = left;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b'x'; 64])))))
    }
}

const WARM_UP: u32 = 100;
/// As `perf/scaling` says as well.
const COUNTED: u32 = 100;
