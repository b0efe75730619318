//! Time limits, in paused time.

use std::{
    future::pending,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Empty, Full, combinators::UnsyncBoxBody};
use tokio::time::{Instant, sleep, timeout};
use tower::{Layer, ServiceExt, service_fn};
use tower_bad_gateway::{
    BadGatewayLayer, BoxError, Failure, FailureKind,
    context::Timeouts,
    failure::{Phase, TimeLimit},
    format::{Format, PlainText, PublicFailure},
};

use crate::mock::{Mock, MockBody, Step, get, request, text};

const LONG: Duration = Duration::from_secs(86_400);

/// How long a silent upstream is waited for; `None` for a day and more.
async fn waited(layer: BadGatewayLayer, request: Request<Empty<Bytes>>) -> Option<(Duration, u16, Failure)> {
    let start = Instant::now();
    let Ok(Ok(response)) = timeout(LONG, layer.layer(Mock::silent()).oneshot(request)).await else { return None };
    let failure = response.extensions().get::<Failure>().unwrap().clone();
    let status = response.headers().get("grpc-status").map_or(response.status().as_u16(), |status| {
        assert_eq!(response.status(), 200);
        status.to_str().unwrap().parse().unwrap()
    });
    Some((start.elapsed(), status, failure))
}

#[tokio::test(start_paused = true)]
async fn a_silent_upstream_is_answered_504_before_the_hop_in_front_gives_up() {
    let (waited, status, failure) = waited(BadGatewayLayer::new(), get()).await.unwrap();
    assert_eq!((waited, status), (Duration::from_secs(45), 504));
    assert_eq!((failure.kind(), failure.phase()), (FailureKind::HttpResponseTimeout, Phase::ResponseHead));
    assert_eq!((failure.limit(), failure.elapsed()), (Some(TimeLimit::Head), Some(Duration::from_secs(45))));
}

/// Whose clock runs for which request: the implicit limit knows its exceptions, one that was set does not.
#[tokio::test(start_paused = true)]
async fn the_limit_of_the_head_knows_its_exceptions() {
    const GRPC: (&str, &str) = ("content-type", "application/grpc");
    const UPGRADE: &[(&str, &str)] = &[("connection", "upgrade"), ("upgrade", "websocket")];
    let implicit = BadGatewayLayer::new;
    let set = || BadGatewayLayer::new().head_timeout(Duration::from_secs(10));
    let none = || BadGatewayLayer::new().head_timeout(None);
    let with = |method: &str, fields: &[(&str, &str)], timeouts: Option<Timeouts>| {
        let mut request = request(method, fields);
        if let Some(timeouts) = timeouts {
            request.extensions_mut().insert(timeouts);
        }
        request
    };
    let head = |seconds| Some(Timeouts::new().head(Duration::from_secs(seconds)));
    let rows = [
        ("plain", implicit(), with("GET", &[], None), Some((45, 504, TimeLimit::Head))),
        ("router", BadGatewayLayer::for_router(), with("GET", &[], None), None),
        ("set", set(), with("GET", &[], None), Some((10, 504, TimeLimit::Head))),
        ("none", none(), with("GET", &[], None), None),
        (
            "event stream",
            implicit(),
            with("GET", &[("accept", "text/event-stream")], None),
            Some((3600, 504, TimeLimit::Head)),
        ),
        (
            "event stream, refused",
            implicit(),
            with("GET", &[("accept", "*/*, text/event-stream; q=0.00")], None),
            Some((45, 504, TimeLimit::Head)),
        ),
        (
            "event stream, hardly",
            implicit(),
            with("GET", &[("accept", "*/*, text/event-stream;q=0.001")], None),
            Some((3600, 504, TimeLimit::Head)),
        ),
        (
            "event stream in a list",
            implicit(),
            with("GET", &[("accept", "application/json, Text/Event-Stream")], None),
            Some((3600, 504, TimeLimit::Head)),
        ),
        ("any type", implicit(), with("GET", &[("accept", "*/*, text/*")], None), Some((45, 504, TimeLimit::Head))),
        (
            "event stream, set",
            set(),
            with("GET", &[("accept", "text/event-stream")], None),
            Some((10, 504, TimeLimit::Head)),
        ),
        ("upgrade", implicit(), with("GET", UPGRADE, None), Some((45, 504, TimeLimit::Head))),
        ("upgrade by half", implicit(), with("GET", &[("upgrade", "x")], None), Some((45, 504, TimeLimit::Head))),
        ("upgrade, set", set(), with("GET", UPGRADE, None), Some((10, 504, TimeLimit::Head))),
        ("upgrade, own", set(), with("GET", UPGRADE, head(5)), Some((5, 504, TimeLimit::Head))),
        ("connect, implicit", implicit(), with("CONNECT", &[], None), Some((45, 504, TimeLimit::Head))),
        ("connect", set(), with("CONNECT", &[], None), Some((10, 504, TimeLimit::Head))),
        ("grpc", implicit(), with("POST", &[GRPC], None), None),
        ("grpc, set", set(), with("POST", &[GRPC], None), Some((10, 4, TimeLimit::Head))),
        (
            "grpc with deadline",
            implicit(),
            with("POST", &[GRPC, ("grpc-timeout", "7S")], None),
            Some((7, 4, TimeLimit::Client)),
        ),
        (
            "grpc with a long deadline",
            implicit(),
            with("POST", &[GRPC, ("grpc-timeout", "5M")], None),
            Some((300, 4, TimeLimit::Client)),
        ),
        (
            "grpc with deadline, set",
            set(),
            with("POST", &[GRPC, ("grpc-timeout", "7S")], None),
            Some((7, 4, TimeLimit::Client)),
        ),
        (
            "grpc with deadline, none",
            none(),
            with("POST", &[GRPC, ("grpc-timeout", "7S")], None),
            Some((7, 4, TimeLimit::Client)),
        ),
        ("own, longer", set(), with("GET", &[], head(300)), Some((300, 504, TimeLimit::Head))),
        ("own, shorter", set(), with("GET", &[], head(1)), Some((1, 504, TimeLimit::Head))),
        ("own, none", set(), with("GET", &[], Some(Timeouts::new().head(None))), None),
        (
            "own, of the body",
            set(),
            with("GET", &[], Some(Timeouts::new().idle(None))),
            Some((10, 504, TimeLimit::Head)),
        ),
        ("own, in a router", BadGatewayLayer::for_router(), with("GET", &[], head(3)), Some((3, 504, TimeLimit::Head))),
        (
            "own, with deadline",
            set(),
            with("POST", &[GRPC, ("grpc-timeout", "2S")], head(300)),
            Some((2, 4, TimeLimit::Client)),
        ),
    ];
    let mut wrong = Vec::new();
    for (name, layer, request, expected) in rows {
        let got = waited(layer, request)
            .await
            .map(|(waited, status, failure)| (waited.as_secs(), status, failure.limit().unwrap()));
        if got != expected {
            wrong.push((name, got, expected));
        }
    }
    assert!(wrong.is_empty(), "(request, got, expected): {wrong:#?}");
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_may_still_be_under_way_is_waited_for() {
    let small = || Full::new(Bytes::from(vec![0; 64 * 1024]));
    let large = || Full::new(Bytes::from(vec![0; 64 * 1024 + 1]));
    let unknown = MockBody::steps([Step::Silence]);
    let bodies: [(&str, UnsyncBoxBody<Bytes, BoxError>, bool); 4] = [
        ("none", Empty::new().map_err(Into::into).boxed_unsync(), true),
        ("64 KiB", small().map_err(Into::into).boxed_unsync(), true),
        ("more", large().map_err(Into::into).boxed_unsync(), false),
        ("unknown", unknown.map_err(Into::into).boxed_unsync(), false),
    ];
    let mut wrong = Vec::new();
    for (name, body, limited) in bodies {
        let upstream =
            service_fn(|_: Request<UnsyncBoxBody<Bytes, BoxError>>| pending::<Result<Response<MockBody>, BoxError>>());
        let request = Request::builder().method(Method::POST).body(body).unwrap();
        let outcome = timeout(LONG, BadGatewayLayer::new().layer(upstream).oneshot(request)).await;
        if outcome.is_ok() != limited {
            wrong.push(name);
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// Middleware may wrap the body of a request so that it hides that it is empty. A GET over HTTP/1.1 has content only where its fields say so.
#[tokio::test(start_paused = true)]
async fn a_wrapper_around_no_upload_switches_no_limit_off() {
    let hidden = || MockBody::steps([Step::Wait(Duration::from_millis(1))]).map_err(Into::into).boxed_unsync();
    for (method, fields, is_limited) in
        [("GET", None, true), ("GET", Some("chunked"), false), ("DELETE", None, false), ("POST", None, false)]
    {
        let upstream =
            service_fn(|_: Request<UnsyncBoxBody<Bytes, BoxError>>| pending::<Result<Response<MockBody>, BoxError>>());
        let request = Request::builder().method(method);
        let request = fields.into_iter().fold(request, |request, coding| request.header("transfer-encoding", coding));
        let call = BadGatewayLayer::new().layer(upstream).oneshot(request.body(hidden()).unwrap());
        assert_eq!(timeout(LONG, call).await.is_ok(), is_limited, "{method} {fields:?}");
    }
}

/// Nobody switches the limit off by asking for a tunnel, with an upload of unknown length or without one.
#[tokio::test(start_paused = true)]
async fn no_request_for_an_upgrade_waits_for_ever() {
    let mut wrong = Vec::new();
    let upgrades = ["x", "websocket", "HTTP/2.0", "h2", "h2c, foo"].map(|protocols| ("GET", Some(protocols)));
    for (method, protocols) in upgrades.into_iter().chain([("POST", Some("x")), ("CONNECT", None)]) {
        for content in [vec![], vec![Step::Data("a"), Step::Silence]] {
            let has_content = !content.is_empty();
            let body = if has_content { MockBody::steps(content) } else { MockBody::of([]).ended() };
            let mut request = Request::builder().method(method).uri("/path");
            if let Some(protocols) = protocols {
                request = request.header("connection", "upgrade").header("upgrade", protocols);
            }
            let silent = service_fn(|_: Request<MockBody>| pending::<Result<Response<MockBody>, BoxError>>());
            let (start, gateway) = (Instant::now(), BadGatewayLayer::new().layer(silent));
            let answer = timeout(LONG, gateway.oneshot(request.body(body).unwrap())).await;
            let seen = answer.map(|Ok(response)| (start.elapsed().as_secs(), response.status().as_u16()));
            if seen != Ok((45, 504)) {
                wrong.push((method, protocols, has_content, seen));
            }
        }
    }
    assert!(wrong.is_empty(), "(method, upgrade, has content, seen): {wrong:?}");
}

/// A head may come with the first message, and messages when there is something to say.
#[tokio::test(start_paused = true)]
async fn a_grpc_stream_may_take_its_time() {
    const OK: Step = Step::Fields(&[("grpc-status", "0")]);
    const TWO_HOURS: Duration = Duration::from_secs(2 * 60 * 60);
    let grpc = || request("POST", &[("content-type", "application/grpc")]);
    let response = |body| Response::builder().header("content-type", "application/grpc").body(body).unwrap();
    let late = Mock::new(move |_| async move {
        sleep(TWO_HOURS).await;
        Ok(response(MockBody::steps([Step::Data("\0\0\0\0\u{4}late"), OK])))
    });
    let slow = Mock::new(move |_| async move {
        let minutes = (0..120).flat_map(|_| [Step::Wait(Duration::from_secs(60)), Step::Data("\0\0\0\0\u{1}.")]);
        Ok(response(MockBody::steps(minutes.chain([OK]))))
    });
    let expected = ["\0\0\0\0\u{4}late".to_owned(), "\0\0\0\0\u{1}.".repeat(120)];
    for (name, upstream, expected) in [("late", late, expected[0].clone()), ("slow", slow, expected[1].clone())] {
        let start = Instant::now();
        let Ok(response) = BadGatewayLayer::new().layer(upstream).oneshot(grpc()).await;
        assert_eq!(text(response.into_body()).await.unwrap(), expected, "{name}");
        assert_eq!(start.elapsed(), TWO_HOURS, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_ready_beats_the_timer() {
    let limit = Duration::from_secs(5);
    let upstream = Mock::new(move |_| async move {
        sleep(limit).await;
        Ok(Response::new(MockBody::of(["just in time"])))
    });
    let Ok(response) = BadGatewayLayer::new().head_timeout(limit).layer(upstream).oneshot(get()).await;
    assert_eq!(response.status(), 200);
}

#[tokio::test]
async fn a_future_that_has_resolved_stays_pending() {
    let mut gateway = BadGatewayLayer::new().layer(Mock::ok());
    let mut call = std::pin::pin!(tower::Service::call(gateway.ready().await.unwrap(), get()));
    let Ok(_) = call.as_mut().await;
    assert!(call.poll(&mut std::task::Context::from_waker(std::task::Waker::noop())).is_pending());
}

#[tokio::test(start_paused = true)]
async fn no_time_at_all_is_enough_for_an_answer_that_is_there() {
    let Ok(response) = BadGatewayLayer::new().head_timeout(Duration::ZERO).layer(Mock::ok()).oneshot(get()).await;
    assert_eq!(response.status(), 200);
}

#[tokio::test(start_paused = true)]
async fn the_longest_time_there_is_overflows_nothing() {
    let layer =
        BadGatewayLayer::new().head_timeout(Duration::MAX).idle_timeout(Duration::MAX).ready_timeout(Duration::MAX);
    let upstream = Mock::new(|_| async {
        sleep(Duration::from_secs(1)).await;
        Ok(Response::new(MockBody::steps([Step::Wait(Duration::from_secs(1)), Step::Data("late")])))
    })
    .ready([crate::mock::Ready::No, crate::mock::Ready::Yes]);
    let Ok(response) = layer.layer(upstream).oneshot(get()).await;
    assert_eq!(text(response.into_body()).await.unwrap(), "late");
}

/// The upstream call is the first thing to go: its connection is of no use any more.
#[tokio::test(start_paused = true)]
async fn the_call_is_dropped_before_its_failure_is_written() {
    let token = Arc::new(());
    let alive = Arc::downgrade(&token);
    let upstream = Mock::new(move |_| {
        let token = Arc::clone(&token);
        async move {
            let _token = token;
            pending().await
        }
    });
    let holders = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&holders);
    let layer = BadGatewayLayer::new().format(move |failure: &PublicFailure<'_>| {
        seen.lock().unwrap().push(alive.strong_count());
        PlainText.write(failure)
    });
    let mut gateway = layer.layer(upstream);
    let Ok(response) = tower::Service::call(gateway.ready().await.unwrap(), get()).await;
    assert_eq!(response.status(), 504);
    assert_eq!(*holders.lock().unwrap(), [1], "the mock holds it, the call does not any more");
}

/// How long a body may be silent before it is given up; `None` for a day and more.
async fn silence(layer: BadGatewayLayer, fields: &[(&'static str, &'static str)], body: MockBody) -> Option<u64> {
    silence_of(layer, get(), 200, fields, body).await
}

async fn silence_of(
    layer: BadGatewayLayer,
    request: Request<Empty<Bytes>>,
    status: u16,
    fields: &[(&'static str, &'static str)],
    body: MockBody,
) -> Option<u64> {
    let response = fields
        .iter()
        .fold(Response::builder().status(status), |response, (name, value)| response.header(*name, *value));
    let response = Mutex::new(Some(response.body(body).unwrap()));
    let upstream = Mock::new(move |_| {
        let response = response.lock().unwrap().take().unwrap();
        async { Ok(response) }
    });
    let Ok(response) = layer.layer(upstream).oneshot(request).await;
    let start = Instant::now();
    let outcome = timeout(LONG, text(response.into_body())).await.ok()?;
    let error = outcome.unwrap_err();
    let failure = error.failure();
    assert_eq!((failure.kind(), failure.phase()), (FailureKind::ConnectionReadTimeout, Phase::ResponseBody));
    assert_eq!((failure.limit(), failure.upstream_status().unwrap().as_u16()), (Some(TimeLimit::Idle), status));
    Some(start.elapsed().as_secs())
}

#[tokio::test(start_paused = true)]
async fn the_silence_of_a_body_is_limited_except_where_it_is_lawful() {
    let unknown = || MockBody::steps([Step::Data("a"), Step::Silence]);
    let known = || unknown().exact(10);
    let implicit = BadGatewayLayer::new;
    let set = || BadGatewayLayer::new().idle_timeout(Duration::from_secs(10));
    let rows = [
        ("known length", implicit(), &[][..], known(), Some(45)),
        ("unknown length", implicit(), &[], unknown(), Some(300)),
        ("router", BadGatewayLayer::for_router(), &[], known(), None),
        ("event stream", implicit(), &[("content-type", "text/event-stream")], unknown(), None),
        ("lines of JSON", implicit(), &[("content-type", "application/x-ndjson")], unknown(), None),
        ("docker", implicit(), &[("content-type", "application/vnd.docker.raw-stream")], unknown(), None),
        ("JSON", implicit(), &[("content-type", "application/json")], unknown(), Some(300)),
        ("camera", implicit(), &[("content-type", "multipart/x-mixed-replace; boundary=x")], unknown(), None),
        ("grpc-web", implicit(), &[("content-type", "application/grpc-web+proto")], unknown(), None),
        ("set", set(), &[], unknown(), Some(10)),
        ("set, event stream", set(), &[("content-type", "text/event-stream")], unknown(), Some(10)),
        ("none", implicit().idle_timeout(None), &[], known(), None),
    ];
    let mut wrong = Vec::new();
    for (name, layer, fields, body, expected) in rows {
        let got = silence(layer, fields, body).await;
        if got != expected {
            wrong.push((name, got, expected));
        }
    }
    assert!(wrong.is_empty(), "(body, got, expected): {wrong:?}");
}

/// A tunnel may be silent for as long as it likes, and a gRPC stream whose head forgot its media type as well.
#[tokio::test(start_paused = true)]
async fn silence_is_lawful_in_tunnels_and_grpc() {
    const UPGRADE: &[(&str, &str)] = &[("connection", "upgrade"), ("upgrade", "websocket")];
    let silent = || MockBody::steps([Step::Silence]);
    let set = || BadGatewayLayer::new().idle_timeout(Duration::from_secs(10));
    assert_eq!(silence_of(set(), request("GET", UPGRADE), 101, UPGRADE, silent()).await, None);
    assert_eq!(silence_of(set(), request("CONNECT", &[]), 200, &[], silent()).await, None);
    let grpc = || request("POST", &[("content-type", "application/grpc")]);
    let of_grpc = &[("content-type", "application/grpc")];
    assert_eq!(silence_of(BadGatewayLayer::new(), grpc(), 200, of_grpc, silent()).await, None);
    // Inside of a message: between two it would end in trailers.
    let cut = MockBody::steps([Step::Data("\0\0"), Step::Silence]);
    assert_eq!(silence_of(set(), grpc(), 200, of_grpc, cut).await, Some(10));
}

#[tokio::test(start_paused = true)]
async fn every_frame_starts_the_limit_anew_and_exactly() {
    let wait = |seconds| Step::Wait(Duration::from_secs(seconds));
    let steps = [wait(9), Step::Data("a"), wait(9), Step::Data("b"), wait(3), Step::Data("c"), Step::Silence];
    let waited =
        silence(BadGatewayLayer::new().idle_timeout(Duration::from_secs(10)), &[], MockBody::steps(steps)).await;
    assert_eq!(waited, Some(9 + 9 + 3 + 10));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_slowly_is_not_the_upstreams_silence() {
    let steps = [Step::Data("a"), Step::Wait(Duration::from_secs(5)), Step::Data("b"), Step::Data("c")];
    let layer = BadGatewayLayer::new().idle_timeout(Duration::from_secs(10));
    let steps = Mutex::new(Some(MockBody::steps(steps)));
    let upstream = Mock::new(move |_| {
        let body = steps.lock().unwrap().take().unwrap();
        async { Ok(Response::new(body)) }
    });
    let Ok(response) = layer.layer(upstream).oneshot(get()).await;
    let mut body = response.into_body();
    let mut got = String::new();
    loop {
        // Asked once, found waiting, and asked again long after the limit: the frame has come meanwhile.
        let frame = std::future::poll_fn(|cx| {
            std::task::Poll::Ready(match http_body::Body::poll_frame(std::pin::Pin::new(&mut body), cx) {
                std::task::Poll::Ready(frame) => Some(frame),
                std::task::Poll::Pending => None,
            })
        })
        .await;
        match frame {
            Some(Some(frame)) => got.push_str(std::str::from_utf8(&frame.unwrap().into_data().unwrap()).unwrap()),
            Some(None) => break,
            None => {}
        }
        tokio::time::advance(Duration::from_secs(60)).await;
    }
    assert_eq!(got, "abc");
}

/// The wait for the trailers ends with them: what is left of its time is no limit for the end of the body.
#[tokio::test(start_paused = true)]
async fn trailers_end_the_wait_for_them() {
    let steps =
        || [Step::Data("a"), Step::Wait(Duration::from_secs(7)), Step::Trailers, Step::Wait(Duration::from_secs(7))];
    let upstream = Mock::new(move |_| async move { Ok(Response::new(MockBody::steps(steps()))) });
    let layer = BadGatewayLayer::new().idle_timeout(Duration::from_secs(10));
    let Ok(response) = layer.layer(upstream).oneshot(get()).await;
    let body = response.into_body().collect().await.unwrap();
    assert!(body.trailers().is_some());
}
