//! What is known of a body before its head is passed on, what is promised of it, and who waits for it.

use std::{
    future::poll_fn,
    io,
    pin::{Pin, pin},
    sync::Mutex,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Empty};
use tokio::time::{Instant, timeout};
use tower::{Layer, ServiceExt};
use tower_bad_gateway::{
    BadGatewayLayer, Failure,
    FailureKind::{self, *},
    body::ResponseBody,
    failure::Phase,
    validate::SizeLimits,
};

use crate::mock::{
    Flood, Mock, MockBody,
    Step::{self, Data, Fail, Fields, Silence, Trailers, Wait},
    get, request,
};

pub(crate) const RESET: Step = Fail(io::ErrorKind::ConnectionReset);

/// Answers with this body, once.
pub(crate) fn answering(response: Response<MockBody>) -> Mock {
    let response = Mutex::new(Some(response));
    Mock::new(move |_| {
        let response = response.lock().unwrap().take().unwrap();
        async { Ok(response) }
    })
}

pub(crate) fn of(steps: impl IntoIterator<Item = Step>) -> Mock {
    answering(Response::new(MockBody::steps(steps)))
}

pub(crate) async fn call(
    layer: BadGatewayLayer,
    upstream: Mock,
    call: Request<Empty<Bytes>>,
) -> Response<ResponseBody<MockBody>> {
    let Ok(response) = layer.layer(upstream).oneshot(call).await;
    response
}

pub(crate) fn failure<B>(response: &Response<B>) -> Option<Failure> {
    response.extensions().get().cloned()
}

/// Data as text, trailers as `name: value;`, and how it ended.
pub(crate) async fn frames(body: ResponseBody<MockBody>) -> (Vec<String>, Option<FailureKind>) {
    let mut body = pin!(body);
    let mut frames = Vec::new();
    loop {
        let next: Option<Result<Frame<Bytes>, _>> = poll_fn(|cx| body.as_mut().poll_frame(cx)).await;
        match next {
            None => return (frames, None),
            Some(Err(error)) => return (frames, Some(error.failure().kind())),
            Some(Ok(frame)) => frames.push(match frame.into_data() {
                Ok(data) => String::from_utf8(data.to_vec()).unwrap(),
                Err(frame) => {
                    let trailers = frame.into_trailers().unwrap();
                    trailers.iter().map(|(name, value)| format!("{name}: {};", value.to_str().unwrap())).collect()
                }
            }),
        }
    }
}

/// No time is a time as well: frames without a byte are no beginning, and a body is looked at once.
#[tokio::test]
async fn a_head_may_be_held_for_no_time() {
    let router = || BadGatewayLayer::for_router().hold_head(Duration::ZERO);
    let response = call(router(), of([Data(""), RESET]), get()).await;
    assert_eq!(response.status(), 502);
    let response =
        call(BadGatewayLayer::new().peek(false).hold_head(Duration::ZERO), of([Data(""), Silence]), get()).await;
    assert_eq!(response.status(), 200);
}

/// Whether a body that is broken from the start becomes an answer: by default, but not in a router. (For gRPC see `grpc.rs`.)
#[tokio::test]
async fn a_body_that_is_broken_already_is_answered() {
    let router = BadGatewayLayer::for_router;
    for (name, layer, asked, expected) in [
        ("new", BadGatewayLayer::new(), &[][..], 502),
        ("told not to", BadGatewayLayer::new().peek(false), &[], 200),
        ("router", router(), &[], 200),
        ("router, told to", router().peek(true), &[], 502),
    ] {
        let response = call(layer, of([RESET]), request("POST", asked)).await;
        assert_eq!(response.status(), expected, "{name}");
        if expected == 502 {
            let failure = failure(&response).unwrap();
            assert_eq!((failure.kind(), failure.phase()), (ConnectionTerminated, Phase::ResponseBody), "{name}");
            assert_eq!(failure.upstream_status().unwrap(), 200, "{name}");
        } else {
            assert_eq!(frames(response.into_body()).await, (Vec::new(), Some(ConnectionTerminated)), "{name}");
        }
    }
}

/// Everything that is found out about a body, at its first frame or later.
#[tokio::test]
async fn what_a_body_promises_is_held_against_it() {
    type Expected = Result<(&'static [&'static str], Option<FailureKind>), FailureKind>;
    let rows: Vec<(&str, Option<u64>, Vec<Step>, Expected)> = vec![
        ("all of it", Some(5), vec![Data("hel"), Data("lo")], Ok((&["hel", "lo"], None))),
        ("all of it and trailers", Some(5), vec![Data("hello"), Trailers], Ok((&["hello", "x-checksum: 1;"], None))),
        ("all of it and nothing", Some(5), vec![Data("hello"), Data("")], Ok((&["hello", ""], None))),
        ("nothing of nothing", Some(0), vec![], Ok((&[], None))),
        ("a byte is missing", Some(6), vec![Data("hello")], Ok((&["hello"], Some(HttpResponseIncomplete)))),
        ("trailers too early", Some(6), vec![Data("hello"), Trailers], Ok((&["hello"], Some(HttpResponseIncomplete)))),
        ("nothing came", Some(5), vec![], Err(HttpResponseIncomplete)),
        ("trailers instead", Some(5), vec![Trailers], Err(HttpResponseIncomplete)),
        ("a byte too much", Some(4), vec![Data("hello")], Err(HttpProtocolError)),
        ("a byte too much later", Some(5), vec![Data("hello"), Data("!")], Ok((&["hello"], Some(HttpProtocolError)))),
        ("a byte of none", Some(0), vec![Data("h")], Err(HttpProtocolError)),
        ("nobody has said", None, vec![Data("hello"), Data(""), Data("!")], Ok((&["hello", "", "!"], None))),
        ("nobody has said, nothing came", None, vec![], Ok((&[], None))),
        ("trailers alone", None, vec![Trailers], Ok((&["x-checksum: 1;"], None))),
    ];
    let mut wrong = Vec::new();
    // Said by a field, by the body, or by both.
    for (field, hint) in [(true, false), (false, true), (true, true)] {
        for (name, length, steps, expected) in &rows {
            let mut body = MockBody::steps(steps.iter().cloned());
            if let (true, Some(length)) = (hint, *length) {
                body = body.exact(length);
            }
            let mut response = Response::new(body);
            if let (true, Some(length)) = (field, *length) {
                response.headers_mut().insert("content-length", length.into());
            }
            let response = call(BadGatewayLayer::new(), answering(response), get()).await;
            let got = match failure(&response) {
                Some(failure) => Err(failure.kind()),
                None => Ok(frames(response.into_body()).await),
            };
            let expected = expected.map(|(frames, end)| (frames.iter().map(|text| (*text).to_owned()).collect(), end));
            if got != expected {
                wrong.push((*name, field, hint, got));
            }
        }
    }
    assert!(wrong.is_empty(), "(name, by field, by the body, got): {wrong:#?}");
}

/// A router's responses are the server's to frame.
#[tokio::test]
async fn a_router_layer_counts_nothing() {
    let response = Response::builder().header("content-length", "9").body(MockBody::of(["hello"])).unwrap();
    let response = call(BadGatewayLayer::for_router().peek(true), answering(response), get()).await;
    assert_eq!(frames(response.into_body()).await, (vec!["hello".to_owned()], None));
}

/// The frame that was looked at is still to come: hints are what they were until it has.
#[tokio::test]
async fn hints_are_exact_before_and_after_the_first_frame() {
    for (steps, hint) in [(vec![Data("hello")], Some(5)), (vec![Trailers], None), (vec![], None)] {
        let mut body = MockBody::steps(steps.clone());
        if let Some(length) = hint {
            body = body.exact(length);
        }
        let mut body = call(BadGatewayLayer::new(), answering(Response::new(body)), get()).await.into_body();
        assert!(!body.is_end_stream(), "{steps:?}");
        assert_eq!(body.size_hint().exact(), hint, "{steps:?}");
        for _ in &steps {
            body.frame().await.unwrap().unwrap();
        }
        assert!(body.frame().await.is_none());
        assert!(body.is_end_stream());
        assert_eq!(body.size_hint().exact(), Some(0));
        assert!(body.frame().await.is_none(), "and it stays so");
    }
}

/// Whoever believes it would end the message here.
#[tokio::test]
async fn a_body_that_says_it_has_ended_while_bytes_are_missing_is_not_believed() {
    let response = Response::builder().header("content-length", "5").body(MockBody::of([]).ended()).unwrap();
    let layer = BadGatewayLayer::new().peek(false);
    let response = call(layer, answering(response), get()).await;
    assert!(!response.body().is_end_stream());
    assert_eq!(frames(response.into_body()).await, (Vec::new(), Some(HttpResponseIncomplete)));
}

/// Over HTTP/2 alone, and only if somebody has said that it may be believed.
#[tokio::test]
async fn the_end_of_a_stream_is_believed_where_it_may_be() {
    // This body never says that it has ended, as most wrappers do not.
    for (version, trusted, router, expected) in [
        (Version::HTTP_2, true, false, Some(HttpResponseIncomplete)),
        (Version::HTTP_2, true, true, Some(HttpResponseIncomplete)),
        (Version::HTTP_2, false, false, None),
        (Version::HTTP_2, false, true, None),
        (Version::HTTP_11, true, false, None),
    ] {
        let layer = if router { BadGatewayLayer::for_router() } else { BadGatewayLayer::new() };
        let layer = if trusted { layer.trust_end_of_stream() } else { layer };
        let response = Response::builder().version(version).body(MockBody::of(["half"])).unwrap();
        let response = call(layer, answering(response), get()).await;
        let got = frames(response.into_body()).await;
        assert_eq!(got, (vec!["half".to_owned()], expected), "{version:?} {trusted} {router}");
    }
}

#[tokio::test]
async fn trailers_lose_what_may_not_stand_there() {
    const FORBIDDEN: Step = Fields(&[
        ("content-length", "9"),
        ("transfer-encoding", "chunked"),
        ("set-cookie", "a=1"),
        ("set-cookie", "b=2"),
        ("www-authenticate", "Basic"),
        ("content-encoding", "gzip"),
        ("content-type", "text/html"),
        ("cache-control", "public"),
        ("host", "elsewhere"),
        ("trailer", "x-a"),
        ("connection", "close"),
        ("location", "/"),
    ]);
    const MIXED: Step =
        Fields(&[("x-hop", "1"), ("grpc-status", "0"), ("te", "gzip"), ("etag", "\"1\""), ("x-sum", "1")]);
    let with_connection = |steps: Vec<Step>| {
        Response::builder().header("connection", "close, X-Hop").body(MockBody::steps(steps)).unwrap()
    };
    for (name, layer, steps, expected) in [
        ("some", BadGatewayLayer::new(), vec![Data("a"), MIXED], &["a", "grpc-status: 0;etag: \"1\";x-sum: 1;"][..]),
        ("all", BadGatewayLayer::new(), vec![Data("a"), FORBIDDEN], &["a"]),
        ("all, at first", BadGatewayLayer::new(), vec![FORBIDDEN], &[]),
        ("nothing comes after them", BadGatewayLayer::new(), vec![Data("a"), FORBIDDEN, RESET], &["a"]),
        ("none to begin with", BadGatewayLayer::new(), vec![Data("a"), Fields(&[])], &["a", ""]),
        (
            "router",
            BadGatewayLayer::for_router(),
            vec![MIXED],
            &["x-hop: 1;grpc-status: 0;te: gzip;etag: \"1\";x-sum: 1;"],
        ),
    ] {
        let response = call(layer, answering(with_connection(steps)), get()).await;
        let (mut got, end) = frames(response.into_body()).await;
        // A map has no order of names once something was taken out of it.
        let sorted = |text: &str| {
            let mut fields: Vec<_> = text.split_inclusive(';').collect();
            fields.sort_unstable();
            fields.concat()
        };
        got.iter_mut().for_each(|text| *text = sorted(text));
        let expected: Vec<_> = expected.iter().map(|text| sorted(text)).collect();
        assert_eq!((got, end), (expected, None), "{name}");
    }
}

#[tokio::test]
async fn trailers_are_limited_like_the_head() {
    // 8 and 9 bytes.
    const FIELDS: Step = Fields(&[("a", "123"), ("b", "1234")]);
    for (limits, expected) in [
        (SizeLimits::new().section(17).field(9), None),
        (SizeLimits::new().section(16), Some(HttpResponseTrailerSectionSize)),
        (SizeLimits::new().field(8), Some(HttpResponseTrailerSize)),
    ] {
        let response = call(BadGatewayLayer::new().limit_fields(limits), of([Data("x"), FIELDS]), get()).await;
        assert_eq!(frames(response.into_body()).await.1, expected, "{limits:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_is_held_until_its_body_begins() {
    let second = Duration::from_secs(1);
    let layer = || BadGatewayLayer::new().hold_head(10 * second);
    let event_stream = || Response::builder().header("content-type", "text/event-stream");
    let body = |steps: &[Step]| MockBody::steps(steps.iter().cloned());
    let rows = [
        ("data", layer(), body(&[Wait(3 * second), Data("a")]), 3, 200),
        ("nothing counts for nothing", layer(), body(&[Data(""), Wait(3 * second), Data(""), Data("a")]), 3, 200),
        ("the end", layer(), body(&[Wait(3 * second)]), 3, 200),
        ("trailers", layer(), body(&[Wait(3 * second), Trailers]), 3, 200),
        ("at once", layer(), body(&[Data("a")]), 0, 200),
        ("it has ended", layer(), body(&[]).ended(), 0, 200),
        ("too long", layer(), body(&[Wait(30 * second), Data("a")]), 10, 200),
        ("it breaks", layer(), body(&[Wait(3 * second), RESET]), 3, 502),
        ("it is silent", layer().idle_timeout(5 * second), body(&[Silence]), 5, 504),
        ("the time is over", layer().total_timeout(5 * second), body(&[Silence]), 5, 504),
        ("nobody holds", BadGatewayLayer::new(), body(&[Wait(3 * second), RESET]), 0, 200),
        ("no longer", layer().hold_head(None), body(&[Wait(3 * second), RESET]), 0, 200),
        ("router", BadGatewayLayer::for_router().hold_head(10 * second), body(&[Wait(3 * second), RESET]), 3, 502),
    ];
    for (name, layer, body, waited, status) in rows {
        let start = Instant::now();
        let response = call(layer, answering(Response::new(body)), get()).await;
        assert_eq!((start.elapsed().as_secs(), response.status().as_u16()), (waited, status), "{name}");
        if status == 504 {
            let elapsed = failure(&response).unwrap().elapsed();
            assert_eq!(elapsed, Some(Duration::from_secs(waited)), "{name}: for the body, not for the head");
        }
    }
    // What may lawfully be silent is not held.
    for (layer, layer_is_new) in [(layer(), true), (BadGatewayLayer::for_router().hold_head(10 * second), false)] {
        let start = Instant::now();
        let response = event_stream().body(body(&[Wait(3 * second), Data("a")])).unwrap();
        call(layer.clone(), answering(response), get()).await;
        let grpc = request("POST", &[("content-type", "application/grpc")]);
        call(layer.clone(), of([Wait(3 * second), Data("a")]), grpc).await;
        let nothing = Response::builder().status(204).body(body(&[Wait(3 * second)])).unwrap();
        call(layer.clone(), answering(nothing), request("HEAD", &[])).await;
        if layer_is_new {
            let reset = Response::builder().status(205).body(body(&[Wait(3 * second)])).unwrap();
            call(layer, answering(reset), get()).await;
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_held_is_all_passed_on() {
    let layer = || BadGatewayLayer::new().hold_head(Duration::from_secs(10));
    let steps = [Data(""), Wait(Duration::from_secs(1)), Data("a"), Data("b"), Trailers];
    let response = call(layer(), of(steps), get()).await;
    let expected: Vec<_> = ["a", "b", "x-checksum: 1;"].map(str::to_owned).into();
    assert_eq!(frames(response.into_body()).await, (expected, None));

    let late = [Wait(Duration::from_secs(30)), Data("a"), RESET];
    let response = call(layer(), of(late), get()).await;
    assert_eq!(frames(response.into_body()).await, (vec!["a".to_owned()], Some(ConnectionTerminated)));
}

/// It gives the thread back: other tasks have their turn, and the limit is looked at.
#[tokio::test]
async fn a_flood_of_empty_frames_is_held_no_longer_than_the_limit() {
    let upstream = tower::service_fn(|_: Request<Empty<Bytes>>| async { Ok::<_, io::Error>(Response::new(Flood(""))) });
    let layer = BadGatewayLayer::new().hold_head(Duration::from_millis(20)).total_timeout(Duration::from_secs(60));
    let held = layer.layer(upstream).oneshot(get());
    let Ok(Ok(response)) = timeout(Duration::from_secs(30), held).await else { panic!("it hangs") };
    assert_eq!(response.status(), 200);
}

/// More than fit into one turn: the beginning is waited for, not the limit.
#[tokio::test(start_paused = true)]
async fn empty_frames_cost_a_turn_and_no_more() {
    let start = Instant::now();
    let steps = std::iter::repeat_n(Data(""), 70).chain([Data("a")]);
    let response = call(BadGatewayLayer::new().hold_head(Duration::from_secs(10)), of(steps), get()).await;
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(frames(response.into_body()).await, (vec!["a".to_owned()], None));
}

/// What has ended is not asked, by nobody.
#[tokio::test]
async fn a_body_that_has_ended_is_left_alone() {
    struct Over;
    impl Body for Over {
        type Data = Bytes;
        type Error = io::Error;
        fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
            panic!("asked after its end")
        }
        fn is_end_stream(&self) -> bool {
            true
        }
    }
    let upstream = tower::service_fn(|_: Request<Empty<Bytes>>| async { Ok::<_, io::Error>(Response::new(Over)) });
    for layer in [BadGatewayLayer::new(), BadGatewayLayer::new().hold_head(Duration::from_secs(1))] {
        let Ok(response) = layer.layer(upstream).oneshot(get()).await;
        assert!(response.body().is_end_stream());
    }
}

#[tokio::test]
async fn a_router_layer_limits_trailers_as_well_as_heads() {
    let layer = BadGatewayLayer::for_router().limit_fields(SizeLimits::new().field(1));
    let response = call(layer, of([Data("a"), Trailers]), get()).await;
    assert_eq!(frames(response.into_body()).await, (vec!["a".to_owned()], Some(HttpResponseTrailerSize)));
}

/// What a server does on a connection that has ended: it polls no more.
#[tokio::test]
async fn a_call_that_was_answered_is_not_polled_again() {
    let mut call = pin!(BadGatewayLayer::new().layer(Mock::ok()).oneshot(get()));
    let mut cx = Context::from_waker(Waker::noop());
    let Poll::Ready(Ok(response)) = call.as_mut().poll(&mut cx) else { panic!("not ready") };
    assert_eq!(response.status(), 200);
}
