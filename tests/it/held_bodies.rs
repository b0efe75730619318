//! A body that is held with its head: what the client gets, after how long, and which bodies are not held.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, Version, header};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Empty};
use tokio::time::{Instant, timeout};
use tower::{Layer, ServiceExt};
use tower_bad_gateway::{
    BadGatewayLayer,
    FailureKind::{self, *},
    SuccessEvent,
};

use crate::{
    held::{RESET, answering, call, frames},
    mock::{
        Flood, MockBody,
        Step::{self, Data, Silence, Trailers, Wait},
        get, map, request,
    },
};

const SECOND: Duration = Duration::from_secs(1);

/// Up to four bytes, for two seconds from the first one on.
fn layer() -> BadGatewayLayer {
    BadGatewayLayer::new().hold_body(4, 2 * SECOND)
}

/// What a client gets: after how many seconds, with which status, of which exact length, in which frames, and how it ends.
type Got = (u64, u16, Option<u64>, Vec<String>, Option<FailureKind>);

async fn got(layer: BadGatewayLayer, response: Response<MockBody>, of: Request<Empty<Bytes>>) -> Got {
    let start = Instant::now();
    let response = call(layer, answering(response), of).await;
    let (waited, status) = (start.elapsed().as_secs(), response.status().as_u16());
    let length = response.body().size_hint().exact();
    if status != 200 {
        return (waited, status, None, Vec::new(), None);
    }
    let (frames, kind) = frames(response.into_body()).await;
    (waited, status, length, frames, kind)
}

#[tokio::test(start_paused = true)]
async fn a_body_is_held_until_it_has_ended_or_enough_has_come() {
    let steps = |steps: &[Step]| Response::new(MockBody::steps(steps.iter().cloned()));
    let pass = |waited, length, frames: &[&str]| -> Got {
        (waited, 200, length, frames.iter().map(|&frame| frame.to_owned()).collect(), None)
    };
    let answer = |waited, status| -> Got { (waited, status, None, Vec::new(), None) };
    let trailers = "x-checksum: 1;";
    let rows = [
        ("it ends at once", layer(), steps(&[Data("a")]), pass(0, Some(1), &["a"])),
        ("it ends in time", layer(), steps(&[Data("a"), Wait(SECOND), Data("b")]), pass(1, Some(2), &["ab"])),
        ("its end is waited for", layer(), steps(&[Data("a"), Wait(SECOND)]), pass(1, Some(1), &["a"])),
        ("nothing in it", layer(), steps(&[Wait(SECOND)]), pass(1, Some(0), &[])),
        (
            "frames of nothing count for nothing",
            layer(),
            steps(&[Data(""), Data("a"), Data(""), Wait(SECOND), Data("")]),
            pass(1, Some(1), &["a"]),
        ),
        (
            "enough has come",
            layer(),
            steps(&[Data("ab"), Wait(SECOND), Data("cd"), Wait(SECOND), Data("e")]),
            pass(1, None, &["abcd", "e"]),
        ),
        ("more than enough", layer(), steps(&[Data("abcdefgh"), Wait(SECOND)]), pass(0, None, &["abcdefgh"])),
        (
            "the time is over",
            layer(),
            steps(&[Wait(30 * SECOND), Data("a"), Wait(SECOND), Data("b"), Wait(9 * SECOND), Data("c")]),
            pass(32, None, &["ab", "c"]),
        ),
        (
            "the head is not held as long",
            layer().hold_head(5 * SECOND),
            steps(&[Wait(30 * SECOND), Data("a"), Wait(SECOND), Data("b")]),
            pass(5, None, &["a", "b"]),
        ),
        (
            "the head's time is not the body's",
            layer().hold_head(5 * SECOND),
            steps(&[Wait(4 * SECOND), Data("a"), Wait(SECOND), Data("b")]),
            pass(5, Some(2), &["ab"]),
        ),
        ("trailers", layer(), steps(&[Data("a"), Wait(SECOND), Data("b"), Trailers]), pass(1, None, &["ab", trailers])),
        ("trailers alone", layer(), steps(&[Wait(SECOND), Trailers]), pass(1, None, &[trailers])),
        (
            "a router",
            BadGatewayLayer::for_router().hold_body(4, 2 * SECOND),
            steps(&[Data("a"), Wait(SECOND), Data("b")]),
            pass(1, Some(2), &["ab"]),
        ),
        ("it breaks", layer(), steps(&[Data("a"), Wait(SECOND), RESET]), answer(1, 502)),
        ("it breaks at once", layer(), steps(&[Data("a"), RESET]), answer(0, 502)),
        ("it is silent", layer().idle_timeout(SECOND), steps(&[Data("a"), Silence]), answer(1, 504)),
        ("it never begins", layer().idle_timeout(SECOND), steps(&[Silence]), answer(1, 504)),
        ("all of it takes too long", layer().total_timeout(SECOND), steps(&[Data("a"), Silence]), answer(1, 504)),
        (
            "it breaks when nothing is held any more",
            layer(),
            steps(&[Data("abcd"), Wait(SECOND), RESET]),
            (0, 200, None, vec!["abcd".to_owned()], Some(ConnectionTerminated)),
        ),
        (
            "of nothing nothing is held",
            BadGatewayLayer::new().hold_body(0, 2 * SECOND),
            steps(&[Data("a"), Wait(SECOND)]),
            pass(0, None, &["a"]),
        ),
    ];
    let mut wrong = Vec::new();
    for (name, layer, response, expected) in rows {
        let got = got(layer, response, get()).await;
        if got != expected {
            wrong.push(format!("{name}: {got:?} instead of {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is for reading part by part reaches its reader so, and what has no content has nothing to hold.
#[tokio::test(start_paused = true)]
async fn a_body_that_is_read_while_it_is_made_is_not_held() {
    type Fields = &'static [(&'static str, &'static str)];
    let upgrade: Fields = &[("connection", "upgrade"), ("upgrade", "websocket")];
    let rows: [(&str, &str, Fields, u16, Fields); 11] = [
        ("event stream", "GET", &[], 200, &[("content-type", "text/event-stream")]),
        ("pictures", "GET", &[], 200, &[("content-type", "multipart/x-mixed-replace; boundary=b")]),
        ("lines of JSON", "GET", &[], 200, &[("content-type", "application/x-ndjson")]),
        ("docker", "POST", &[], 200, &[("content-type", "application/vnd.docker.raw-stream")]),
        ("told not to", "GET", &[], 200, &[("x-accel-buffering", "no")]),
        ("gRPC", "POST", &[("content-type", "application/grpc")], 200, &[("content-type", "application/grpc")]),
        ("HEAD", "HEAD", &[], 200, &[]),
        ("204", "GET", &[], 204, &[]),
        ("304", "GET", &[], 304, &[]),
        ("CONNECT", "CONNECT", &[], 200, &[]),
        ("upgrade", "GET", upgrade, 101, upgrade),
    ];
    let mut wrong = Vec::new();
    for (name, method, asked, status, fields) in rows {
        for layer in [layer(), BadGatewayLayer::for_router().hold_body(4, 2 * SECOND)] {
            let start = Instant::now();
            let mut response = Response::new(MockBody::steps([Data("a"), Wait(SECOND), Data("b")]));
            *response.status_mut() = status.try_into().unwrap();
            *response.headers_mut() = map(fields);
            let response = call(layer, answering(response), request(method, asked)).await;
            if (start.elapsed(), response.status().as_u16()) != (Duration::ZERO, status) {
                wrong.push((name, start.elapsed(), response.status()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// Over HTTP/2 a length and trailers go together; over HTTP/1.1 the length would take the trailers' place, and HTTP/1.0 has no trailers.
#[tokio::test(start_paused = true)]
async fn trailers_and_a_length_go_together_over_http2_alone() {
    for (version, length) in [(Version::HTTP_10, Some(2)), (Version::HTTP_11, None), (Version::HTTP_2, Some(2))] {
        let mut call = get();
        *call.version_mut() = version;
        let steps = [Data("a"), Wait(SECOND), Data("b"), Trailers];
        let got = got(layer(), Response::new(MockBody::steps(steps)), call).await;
        let expected = ["ab", "x-checksum: 1;"].map(str::to_owned).into();
        assert_eq!(got, (1, 200, length, expected, None), "{version:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_length_of_the_upstream_stays_and_is_kept_to() {
    let of_length = |length: &str, steps: &[Step]| {
        let body = MockBody::steps(steps.iter().cloned());
        Response::builder().header(header::CONTENT_LENGTH, length).body(body).unwrap()
    };
    let whole = of_length("2", &[Data("a"), Wait(SECOND), Data("b")]);
    let response = call(layer(), answering(whole), get()).await;
    assert_eq!(response.headers()[header::CONTENT_LENGTH], "2");
    assert_eq!(frames(response.into_body()).await, (vec!["ab".to_owned()], None));

    let long = of_length("6", &[Data("abcd"), Wait(SECOND), Data("ef")]);
    let response = call(layer(), answering(long), get()).await;
    assert_eq!(response.headers()[header::CONTENT_LENGTH], "6");
    assert_eq!(frames(response.into_body()).await, (vec!["abcd".to_owned(), "ef".to_owned()], None));

    // All of it is here, and what an upstream does with the end of its stream is not worth a wait.
    let got_at_once = got(layer(), of_length("2", &[Data("ab"), Wait(SECOND)]), get()).await;
    assert_eq!(got_at_once.0, 0);

    for (name, steps) in [("short", &[Data("a"), Wait(SECOND)][..]), ("long", &[Data("a"), Wait(SECOND), Data("bc")])] {
        let got = got(layer(), of_length("2", steps), get()).await;
        assert_eq!((got.0, got.1), (1, 502), "{name}");
    }
}

/// As a client of HTTP/2 gives a body that is one large frame: with the frame it has ended.
#[tokio::test(start_paused = true)]
async fn a_frame_that_is_all_of_a_body_has_a_length_however_large() {
    let body = http_body_util::Full::new(Bytes::from_static(b"more than is held"));
    // Without what it knows of its length.
    let body = http_body_util::combinators::UnsyncBoxBody::new(Unsized(body));
    let body = Mutex::new(Some(body));
    let upstream = tower::service_fn(|_: Request<Empty<Bytes>>| {
        let body = body.lock().unwrap().take().unwrap();
        async { Ok::<_, io::Error>(Response::new(body)) }
    });
    let Ok(response) = layer().layer(upstream).oneshot(get()).await;
    assert_eq!(response.body().size_hint().exact(), Some(17));
}

/// A body that does not say how long it is.
struct Unsized(http_body_util::Full<Bytes>);

impl Body for Unsized {
    type Data = Bytes;
    type Error = io::Error;
    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        Pin::new(&mut self.0).poll_frame(cx).map_err(|never| match never {})
    }
    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }
}

/// A server polls no more after the last frame, and HTTP/2 puts its end on that frame.
#[tokio::test(start_paused = true)]
async fn a_held_body_says_that_it_has_ended_with_its_last_frame() {
    let steps = [Data("a"), Wait(SECOND), Data("b")];
    let mut body = call(layer(), answering(Response::new(MockBody::steps(steps))), get()).await.into_body();
    assert!(!body.is_end_stream());
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "ab");
    assert!(body.is_end_stream() && body.size_hint().exact() == Some(0));
    assert!(body.frame().await.is_none());
}

/// The upstream's body is let go with the last frame, and the response is reported once: as a success when its reader has all of it, as
/// abandoned when the reader was gone before.
#[tokio::test(start_paused = true)]
async fn what_becomes_of_a_held_body_is_reported_once() {
    let reports = Arc::new(Mutex::new(Vec::new()));
    let (succeeded, abandoned) = (Arc::clone(&reports), Arc::clone(&reports));
    let layer = layer()
        .on_success(move |event: &SuccessEvent<'_>| succeeded.lock().unwrap().push((event.status().as_u16(), true)))
        .on_abandoned(move |event| {
            abandoned.lock().unwrap().push((event.status().map_or(0, |status| status.as_u16()), false));
        });
    let alive = Arc::new(());
    let response = || {
        let body = MockBody::steps([Data("a"), Wait(SECOND), Data("b")]).holding(Arc::clone(&alive));
        answering(Response::new(body))
    };
    let mut body = call(layer.clone(), response(), get()).await.into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "ab");
    assert_eq!(Arc::strong_count(&alive), 1, "the upstream's body is gone");
    drop(body);
    assert_eq!(*reports.lock().unwrap(), [(200, true)]);

    drop(call(layer.clone(), response(), get()).await);
    timeout(SECOND / 2, call(layer, response(), get())).await.map(drop).unwrap_err();
    assert_eq!(*reports.lock().unwrap(), [(200, true), (200, false), (0, false)]);
}

/// It gives the thread back: other tasks have their turn, and the limits are looked at. What is held is bounded by its bytes.
#[tokio::test]
async fn a_flood_of_small_frames_is_held_within_its_limits() {
    let upstream =
        tower::service_fn(|_: Request<Empty<Bytes>>| async { Ok::<_, io::Error>(Response::new(Flood("x"))) });
    for (bytes, time, enough) in [(1000, 60 * SECOND, true), (usize::MAX, Duration::from_millis(20), false)] {
        let layer = BadGatewayLayer::new().hold_body(bytes, time);
        let held = layer.layer(upstream).oneshot(get());
        let Ok(Ok(response)) = timeout(30 * SECOND, held).await else { panic!("it hangs") };
        let first = response.into_body().frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(first.len() == 1000, enough, "{} bytes", first.len());
    }
}
