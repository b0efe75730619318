//! The happy path allocates nothing.

use std::{
    convert::Infallible,
    future::Future,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
    time::Duration,
};

use allocation_counter::measure;
use bytes::{Bytes, BytesMut};
use http::{HeaderName, HeaderValue, Request, Response, header::CONTENT_TYPE};
use http_body::Body;
use http_body_util::{Empty, Full};
use tower::{Layer, Service};
use tower_bad_gateway::{BadGatewayLayer, GatewayName, RequestBodyTap};

/// Answers at the second poll, with a body that comes at the third: one is the look ahead.
#[derive(Clone)]
struct Upstream(Bytes);

struct Answer(Option<Bytes>, bool);

impl Future for Answer {
    type Output = Result<Response<Slow>, Infallible>;
    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        if !std::mem::replace(&mut self.1, true) {
            return Poll::Pending;
        }
        let content = self.0.take().unwrap();
        let mut response = Response::new(Slow { content: Full::new(content.clone()), polls: 0 });
        response.headers_mut().insert("content-type", HeaderValue::from_static("text/plain"));
        response.headers_mut().insert("connection", HeaderValue::from_maybe_shared(content).unwrap());
        Poll::Ready(Ok(response))
    }
}

struct Slow {
    content: Full<Bytes>,
    polls: u8,
}

impl Body for Slow {
    type Data = Bytes;
    type Error = Infallible;
    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        self.polls += 1;
        if self.polls < 3 {
            return Poll::Pending;
        }
        Pin::new(&mut self.content).poll_frame(cx)
    }
}

impl Service<Request<Empty<Bytes>>> for Upstream {
    type Response = Response<Slow>;
    type Error = Infallible;
    type Future = Answer;
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }
    fn call(&mut self, _: Request<Empty<Bytes>>) -> Answer {
        Answer(Some(self.0.clone()), false)
    }
}

/// Values as hyper's parser leaves them: slices of one buffer that is shared already.
fn request() -> Request<Empty<Bytes>> {
    let buffer = shared(b"application/json, text/html;q=0.9, */*;q=0.8");
    let mut request = Request::builder().uri("http://upstream/path?query").body(Empty::new()).unwrap();
    request.headers_mut().insert("accept", HeaderValue::from_maybe_shared(buffer.clone()).unwrap());
    request.headers_mut().insert("content-type", HeaderValue::from_maybe_shared(buffer.slice(..16)).unwrap());
    // As HTTP/2 sends them.
    for cookie in [&b"a=1"[..], b"b=2"] {
        request.headers_mut().append("cookie", HeaderValue::from_maybe_shared(shared(cookie)).unwrap());
    }
    drop(request.uri().clone());
    request
}

fn shared(bytes: &[u8]) -> Bytes {
    let bytes = BytesMut::from(bytes).freeze();
    drop(bytes.clone());
    bytes
}

/// Allocations of a call and of its body.
fn count<S, B>(service: &mut S, request: Request<Empty<Bytes>>) -> (u64, u64)
where
    S: Service<Request<Empty<Bytes>>, Response = Response<B>>,
    S::Error: std::fmt::Debug,
    B: Body<Data = Bytes>,
{
    let mut cx = Context::from_waker(Waker::noop());
    assert!(service.poll_ready(&mut cx).is_ready());
    let mut body = None;
    let head = measure(|| {
        let mut call = pin!(service.call(request));
        let response = loop {
            if let Poll::Ready(response) = call.as_mut().poll(&mut cx) {
                break response.unwrap();
            }
        };
        body = Some(response.into_body());
    });
    let body = measure(|| {
        let mut body = pin!(body.take().unwrap());
        loop {
            match body.as_mut().poll_frame(&mut cx) {
                Poll::Ready(None) => break,
                Poll::Ready(Some(frame)) => assert!(frame.is_ok()),
                Poll::Pending => {}
            }
        }
    });
    (head.count_total, body.count_total)
}

#[tokio::test]
async fn a_healthy_call_allocates_nothing_whatever_has_to_be_waited_for() {
    let upstream = Upstream(shared(b"keep-alive"));
    let bare = count(&mut upstream.clone(), request());
    let ours = |layer: BadGatewayLayer| {
        let mut gateway = layer.layer(upstream.clone());
        // Once to warm up what is made once.
        count(&mut gateway, request());
        let (head, body) = count(&mut gateway, request());
        (head - bare.0, body - bare.1)
    };
    assert_eq!(ours(BadGatewayLayer::new()), (0, 0));
    assert_eq!(ours(BadGatewayLayer::new().idle_timeout(None)), (0, 0));
    assert_eq!(ours(BadGatewayLayer::new().total_timeout(Duration::from_secs(9))), (0, 0));
    assert_eq!(ours(BadGatewayLayer::for_router()), (0, 0));
    // What is held; its timer and that of the idle limit have places from before.
    let hold = Duration::from_secs(1);
    assert_eq!(ours(BadGatewayLayer::new().hold_head(hold)), (1, 0));
    assert_eq!(ours(BadGatewayLayer::new().hold_head(hold).idle_timeout(None)), (1, 0));
    // What operators may ask for: the times of a call, and a place for what few requests bring along.
    let layer = || BadGatewayLayer::new().idle_timeout(None).gateway_name(GatewayName::from_static("edge-1"));
    assert_eq!(ours(layer().disclose(|_| true)), (0, 0));
    assert_eq!(ours(layer().strip_proxy_status()), (0, 0));
    assert_eq!(ours(layer().on_success(|_| {})), (0, 0));
    assert_eq!(ours(layer().request_id_header(HeaderName::from_static("x-request-id"))), (0, 0), "there is none");
    assert_eq!(ours(layer().request_id_header(CONTENT_TYPE)), (2, 0));
    // A box for what is kept of few requests, and the list of the fields.
    assert_eq!(ours(layer().capture_fields([CONTENT_TYPE])), (2, 0));
    assert_eq!(ours(layer().capture_fields([HeaderName::from_static("x-absent")])), (0, 0), "there is none");
    assert_eq!(ours(layer().fallback(crate::fallback::page())), (3, 0), "the host, of an absolute target");
    #[cfg(feature = "metrics")]
    {
        use tower_bad_gateway::Metrics;

        assert_eq!(ours(layer().metrics(Metrics::new())), (0, 0));
        // Without a recorder: what one allocates for itself comes on top.
        let counted = ours(layer().upstream("billing").metrics(Metrics::new().requests()));
        assert_eq!(counted.0 + counted.1, 8);
    }
}

/// The messages of a gRPC call are followed without a copy.
#[tokio::test]
async fn a_healthy_grpc_call_allocates_nothing_more() {
    use crate::mock::{MockBody, Step};
    const MESSAGE: &str = "\0\0\0\0\u{4}abcd";
    let call = || {
        let mut request = request();
        *request.method_mut() = http::Method::POST;
        *request.version_mut() = http::Version::HTTP_2;
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        request
    };
    let upstream = tower::service_fn(|_: Request<Empty<Bytes>>| async {
        // Whole ones, and some that are split.
        let messages = (0..100).flat_map(|at| {
            let (start, rest) = MESSAGE.split_at(if at % 3 == 0 { at % 9 } else { 0 });
            [Step::Data(start), Step::Data(rest)]
        });
        let steps = messages.chain([Step::Fields(&[("grpc-status", "0")])]);
        let mut response = Response::new(MockBody::steps(steps));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        Ok::<_, Infallible>(response)
    });
    let bare = count(&mut upstream.clone(), call());
    let mut gateway = BadGatewayLayer::new().layer(upstream);
    count(&mut gateway, call());
    assert_eq!(count(&mut gateway, call()), bare);
}

/// What a call holds while it waits, over the wrapped service's own future: a box for each, as a server's task is one.
#[tokio::test]
async fn a_call_that_waits_holds_little() {
    const CALLS: i64 = 1000;
    fn held<F: Future>(make: impl Fn() -> F) -> i64 {
        let mut cx = Context::from_waker(Waker::noop());
        let mut calls = Vec::with_capacity(usize::try_from(CALLS).unwrap());
        let measured = measure(|| {
            for _ in 0..CALLS {
                let mut call = Box::pin(make());
                assert!(call.as_mut().poll(&mut cx).is_pending());
                calls.push(call);
            }
        });
        measured.bytes_current / CALLS
    }
    let upstream = Upstream(shared(b"keep-alive"));
    // What is kept of a request's own values is not counted: it is the request's.
    let plain = || Request::new(Empty::new());
    let bare = held(|| upstream.clone().call(plain()));
    let ours = |layer: BadGatewayLayer| held(|| layer.layer(upstream.clone()).call(plain())) - bare;
    let [new, unlimited, router] = [
        BadGatewayLayer::new(),
        BadGatewayLayer::new().head_timeout(None).idle_timeout(None).ready_timeout(None),
        BadGatewayLayer::for_router(),
    ]
    .map(ours);
    // A `Sleep` of tokio's is 112 bytes of it, or 128 with its multi-thread runtime.
    assert!(new <= 200 + 160 && unlimited <= 200 && router <= 200, "{new}, {unlimited}, {router}");
}

/// What has come, in one buffer that never grows beyond what is held at most: however small the frames are, and whatever they are slices of.
#[tokio::test]
async fn a_thousand_held_bodies_take_what_they_hold() {
    use http_body::Frame;
    /// So many frames of 64 bytes, each a slice of a buffer of its own, then silence.
    struct Small(usize);
    impl Body for Small {
        type Data = Bytes;
        type Error = Infallible;
        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            if self.0 == 0 {
                return Poll::Pending;
            }
            self.0 -= 1;
            Poll::Ready(Some(Ok(Frame::data(shared(&[b'x'; 4096]).slice(..64)))))
        }
    }
    const CALLS: i64 = 1000;
    const HELD: usize = 64 * 1024;
    let layer = BadGatewayLayer::new().hold_body(HELD, Duration::from_secs(1));
    let per_call = |frames: usize| {
        let upstream = tower::service_fn(move |_: Request<Empty<Bytes>>| async move {
            Ok::<_, Infallible>(Response::new(Small(frames)))
        });
        let mut cx = Context::from_waker(Waker::noop());
        let mut calls = Vec::with_capacity(usize::try_from(CALLS).unwrap());
        let measured = measure(|| {
            for _ in 0..CALLS {
                let mut call = Box::pin(layer.layer(upstream).call(Request::new(Empty::new())));
                // It gives the thread back after some frames.
                for _ in 0..=frames / 32 {
                    assert!(call.as_mut().poll(&mut cx).is_pending());
                }
                calls.push(call);
            }
        });
        (measured.bytes_current / CALLS, measured.bytes_max / u64::try_from(CALLS).unwrap())
    };
    let (nothing, _) = per_call(0);
    for frames in [2, 16, 500, 1023] {
        let (bytes, most) = per_call(frames);
        let held = bytes - nothing;
        // The timer of the hold comes on top.
        let room = i64::try_from((2 * 64 * frames).min(HELD)).unwrap() + 256;
        assert!(held <= room && most <= 2 * 64 * 1024, "{frames} frames: {held} bytes, at most {most}");
    }
}

/// The aim of the design is eight: the error is boxed, shared and put into a failure, the fields and the extensions are maps.
/// No list of media ranges is made.
#[cfg(feature = "json")]
#[tokio::test]
async fn a_failure_allocates_little() {
    let failing = tower::service_fn(|_: Request<Empty<Bytes>>| async {
        std::future::poll_fn({
            let mut polled = false;
            move |_| if std::mem::replace(&mut polled, true) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        Err::<Response<Full<Bytes>>, _>(std::io::Error::from(std::io::ErrorKind::ConnectionRefused))
    });
    // `Proxy-Status` is written once for each kind.
    let mut gateway = BadGatewayLayer::new().gateway_name(GatewayName::from_static("edge-1")).layer(failing);
    let mut count = |accept: &str| {
        let mut request = request();
        let value = HeaderValue::from_maybe_shared(shared(accept.as_bytes())).unwrap();
        request.headers_mut().insert("accept", value);
        let (head, body) = count(&mut gateway, request);
        head + body
    };
    // Once to warm up what is made once: the documents, and places for the choices of late.
    let _ = ["application/json", "", "a/a", "a/b", "a/c", "a/d", "a/e", "a/f"].map(&mut count);
    // However many ranges there are.
    let many = "text/html;q=0.1,application/xhtml+xml;q=0.1,application/xml;q=0.1,image/avif,image/webp,*/*;q=0.8";
    let got = ["", "*/*", "application/json", "application/json, text/html;q=0.9, */*;q=0.8", many].map(count);
    assert!(got.iter().zip([8, 8, 8, 8, 8]).all(|(got, most)| *got <= most), "{got:?}");
}

/// A slot and its place in the extensions; then, when the body is read, whoever is to be woken. The map of extensions itself is
/// two more, if there was none.
#[test]
fn a_tapped_upload_allocates_three_times_and_an_empty_one_never() {
    let tap = RequestBodyTap::new().idle_timeout(None);
    let count = |request: Request<Full<Bytes>>| {
        let mut body = None;
        let tapping = measure(|| body = Some(tap.tap(request).into_parts()));
        let (_head, body) = body.unwrap();
        let reading = measure(|| {
            let mut cx = Context::from_waker(Waker::noop());
            let mut body = pin!(body);
            while let Poll::Ready(Some(frame)) = body.as_mut().poll_frame(&mut cx) {
                assert!(frame.is_ok());
            }
        });
        (tapping.count_total, reading.count_total)
    };
    let with = |content: &'static str| Request::builder().extension(7_u8).body(Full::from(content)).unwrap();
    assert_eq!(count(with("hello")), (2, 1));
    assert_eq!(count(with("")), (0, 0));
    assert_eq!(count(Request::new(Full::from("hello"))), (4, 1));
}
