//! One call of a given size, for callgrind to count; run by `perf/scaling`.
//!
//! `scaling bare|layer response-fields|request-fields|frames|in-flight|kibibytes|messages|split-kibibytes|split-messages SIZE`
//!
//! A kibibyte has the length of a message of gRPC with 1 KiB in it; in the other two both are split into frames at random.

use std::{
    convert::Infallible,
    env,
    future::{Future, pending},
    hint::black_box,
    pin::{Pin, pin},
    process::ExitCode,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri, Version, header::CONTENT_TYPE};
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
    content: Content,
}

/// What the frames are.
#[derive(Clone, Copy, Default, PartialEq)]
enum Content {
    /// Of 64 bytes.
    #[default]
    Short,
    Kibibytes {
        is_grpc: bool,
        is_split: bool,
    },
}

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let Some((contender, size)) = read(&arguments) else {
        eprintln!("usage: scaling bare|layer AXIS SIZE");
        return ExitCode::FAILURE;
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let Ok(runtime) = runtime else { return ExitCode::FAILURE };
    let _guard = runtime.enter();
    let head = head(size, size.response_fields);
    let frames: Arc<[Bytes]> = size.frames().into();
    let is_grpc = size.is_grpc();
    let upstream = tower::service_fn(move |request| {
        answer(request, head.clone(), Frames { frames: Arc::clone(&frames), next: 0, is_grpc })
    });
    match contender {
        "bare" => calls(upstream, size),
        _ => calls(BadGatewayLayer::new().silent().layer(upstream), size),
    }
    ExitCode::SUCCESS
}

fn read(arguments: &[String]) -> Option<(&str, Size)> {
    let [contender, axis, size] = arguments else { return None };
    let of: usize = size.parse().ok()?;
    let usual = Size { response_fields: 5, request_fields: 8, frames: 1, in_flight: 0, content: Content::Short };
    let size = match axis.as_str() {
        "response-fields" => Size { response_fields: of, ..usual },
        "request-fields" => Size { request_fields: of, ..usual },
        "frames" => Size { frames: of, ..usual },
        "in-flight" => Size { in_flight: of, ..usual },
        "kibibytes" | "messages" | "split-kibibytes" | "split-messages" => {
            let (is_grpc, is_split) = (axis.ends_with("messages"), axis.starts_with("split"));
            Size { frames: of, content: Content::Kibibytes { is_grpc, is_split }, ..usual }
        }
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
    let head = head(size, size.request_fields);
    let method = if size.is_grpc() { Method::POST } else { Method::GET };
    let request = || request(&method, &head);
    let mut others: Vec<Pin<Box<S::Future>>> = Vec::with_capacity(size.in_flight);
    for _ in 0..size.in_flight {
        let mut silent = request();
        *silent.uri_mut() = Uri::from_static("/silent");
        let mut call = Box::pin(service.call(silent));
        assert!(call.as_mut().poll(&mut cx).is_pending(), "nothing answers it");
        others.push(call);
    }
    for _ in 0..WARM_UP {
        black_box(one(&mut service, request(), &mut cx));
    }
    for _ in 0..COUNTED {
        black_box(counted(&mut service, request(), &mut cx));
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
    frames: Frames,
) -> Result<Response<Frames>, Infallible> {
    if request.uri().path() == "/silent" {
        pending::<()>().await;
    }
    let mut asked = false;
    std::future::poll_fn(|_| if std::mem::replace(&mut asked, true) { Poll::Ready(()) } else { Poll::Pending }).await;
    let mut response = Response::new(frames);
    *response.headers_mut() = head;
    Ok(response)
}

fn request(method: &Method, head: &HeaderMap) -> Request<Empty<Bytes>> {
    let mut request = Request::new(Empty::new());
    *request.method_mut() = method.clone();
    *request.version_mut() = Version::HTTP_2;
    *request.headers_mut() = head.clone();
    request
}

/// The media type, and others that mean nothing to a layer.
fn head(size: Size, count: usize) -> HeaderMap {
    let value = HeaderValue::from_static("a value of the usual length");
    let names = (0..count).filter_map(|number| HeaderName::try_from(format!("x-field-{number:03}")).ok());
    let mut head: HeaderMap = names.map(|name| (name, value.clone())).collect();
    if size.is_grpc() {
        head.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    }
    head
}

impl Size {
    fn is_grpc(self) -> bool {
        matches!(self.content, Content::Kibibytes { is_grpc: true, .. })
    }

    /// The frames of a body.
    fn frames(self) -> Vec<Bytes> {
        let Content::Kibibytes { is_split, .. } = self.content else {
            return vec![Bytes::from_static(&[b'x'; 64]); self.frames];
        };
        let message = [&[0, 0, 0, 4, 0][..], &[b'x'; 1024]].concat();
        if !is_split {
            return vec![Bytes::from(message); self.frames];
        }
        let mut all = Bytes::from(message.repeat(self.frames));
        // Numbers that look random, the same in every run.
        let mut seed = 1_u32;
        let mut frames = Vec::new();
        while !all.is_empty() {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let length = usize::from(u16::try_from(seed >> 21).unwrap_or_default()) + 1;
            frames.push(all.split_to(length.min(all.len())));
        }
        frames
    }
}

/// These frames, and nothing says how many; in gRPC a status stands behind them.
struct Frames {
    frames: Arc<[Bytes]>,
    next: usize,
    is_grpc: bool,
}

impl Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let data = self.frames.get(self.next).cloned();
        let frame = match data {
            Some(data) => Frame::data(data),
            None if std::mem::take(&mut self.is_grpc) => Frame::trailers(status()),
            None => return Poll::Ready(None),
        };
        self.next += 1;
        Poll::Ready(Some(Ok(frame)))
    }
}

fn status() -> HeaderMap {
    HeaderMap::from_iter([(HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"))])
}

const WARM_UP: u32 = 100;
/// As `perf/scaling` says as well.
const COUNTED: u32 = 100;
