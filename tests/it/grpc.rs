//! What a gRPC caller gets, whatever an upstream does: by the head, at a message boundary, inside of a message.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, Version};
use http_body::Body;
use http_body_util::{BodyExt, Empty};
use tokio::time::Instant;
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};
use tower_bad_gateway::{
    BadGatewayLayer, BoxError, Failure, FailureKind, RequestBodyTap,
    body::{BodyError, RequestBody},
    failure::TimeLimit,
    validate::SizeLimits,
};

use crate::mock::{
    Mock, MockBody,
    Step::{self, Data, Fail, Fields, Silence},
    request,
};

const WHOLE: Step = Data("\0\0\0\0\u{3}abc");
const PART: Step = Data("\0\0\0\0\u{3}a");
const RESET: Step = Fail(io::ErrorKind::ConnectionReset);

fn status(code: &'static str) -> Step {
    Fields(match code {
        "0" => &[("grpc-status", "0")],
        "5" => &[("grpc-status", "5"), ("grpc-message", "no such item")],
        "17" => &[("grpc-status", "17")],
        "abc" => &[("grpc-status", "abc")],
        "twice" => &[("grpc-status", "14"), ("grpc-status", "4")],
        "two messages" => &[("grpc-status", "5"), ("grpc-message", "first"), ("grpc-message", "100 %")],
        "broken message" => &[("grpc-status", "5"), ("grpc-message", "100 % gone")],
        "none" => &[("x-checksum", "1")],
        other => panic!("{other}"),
    })
}

fn call() -> Request<Empty<Bytes>> {
    let mut request = request("POST", &[("content-type", "application/grpc+proto"), ("te", "trailers")]);
    *request.version_mut() = Version::HTTP_2;
    request
}

fn head(status: u16, fields: &[(&str, &str)]) -> http::response::Builder {
    fields.iter().fold(Response::builder().status(status), |head, (name, value)| head.header(*name, *value))
}

const GRPC: (&str, &str) = ("content-type", "application/grpc");

/// What a client sees: status and fields of the head that count, data, then the code and message of the trailers or the kind of the abort.
#[derive(Debug, PartialEq)]
struct Seen {
    head: Option<String>,
    data: String,
    end: Result<Option<String>, FailureKind>,
}

fn code(fields: &HeaderMap) -> Option<String> {
    let lines = |name| fields.get_all(name).iter().map(|value| value.to_str().unwrap()).collect::<Vec<_>>();
    let (codes, messages) = (lines("grpc-status"), lines("grpc-message"));
    (!codes.is_empty()).then(|| format!("{} {}", codes.join("+"), messages.join("+")).trim().to_owned())
}

async fn read(response: Response<impl Body<Data = Bytes, Error = BodyError>>) -> Seen {
    assert_eq!(response.status(), 200);
    assert!(response.headers()["content-type"].to_str().unwrap().starts_with("application/grpc"));
    let head = code(response.headers());
    let (mut data, mut trailers) = (Vec::new(), None);
    let body = response.into_body();
    let one_frame = head.is_some();
    assert!(!one_frame || body.is_end_stream(), "HEADERS that end the stream");
    tokio::pin!(body);
    let end = loop {
        match body.frame().await {
            Some(Ok(frame)) => {
                assert!(trailers.is_none(), "nothing stands behind trailers");
                match frame.into_data() {
                    Ok(part) => data.extend_from_slice(&part),
                    Err(frame) => trailers = Some(code(&frame.into_trailers().unwrap()).unwrap_or_default()),
                }
            }
            Some(Err(error)) => break Err(error.failure().kind()),
            None => break Ok(trailers),
        }
    };
    assert!(body.is_end_stream() || end.is_err());
    Seen { head, data: String::from_utf8(data).unwrap(), end }
}

fn upstream(head: http::response::Builder, body: MockBody) -> Mock {
    let response = std::sync::Mutex::new(Some(head.body(body).unwrap()));
    Mock::new(move |_| {
        let response = response.lock().unwrap().take().unwrap();
        async { Ok(response) }
    })
}

/// (name, steps of the body, data that arrives, the end)
#[tokio::test(start_paused = true)]
async fn what_breaks_after_the_head_ends_in_a_status_at_a_boundary_and_in_an_abort_inside() {
    const ABC: &str = "\0\0\0\0\u{3}abc";
    const A: &str = "\0\0\0\0\u{3}a";
    let sentence = |kind: FailureKind, code: u8| Ok(Some(format!("{code} {}", kind.summary())));
    let unavailable = || sentence(FailureKind::ConnectionTerminated, 14);
    let late = || sentence(FailureKind::ConnectionReadTimeout, 4);
    let no_status = || sentence(FailureKind::HttpProtocolError, 13);
    let own = |text: &str| Ok(Some(text.to_owned()));
    type Row = (&'static str, Vec<Step>, &'static str, Result<Option<String>, FailureKind>);
    let rows: Vec<Row> = vec![
        // As it should be.
        ("success", vec![WHOLE, status("0")], ABC, own("0")),
        ("success without a message", vec![status("0")], "", own("0")),
        ("the upstream's own failure", vec![WHOLE, status("5")], ABC, own("5 no such item")),
        // The upstream breaks.
        ("reset before a message", vec![RESET], "", unavailable()),
        ("reset after a message", vec![WHOLE, RESET], ABC, unavailable()),
        ("reset inside of a message", vec![PART, RESET], A, Err(FailureKind::ConnectionTerminated)),
        ("reset inside of a prefix", vec![Data("\0\0"), RESET], "\0\0", Err(FailureKind::ConnectionTerminated)),
        ("silent after a message", vec![WHOLE, Silence], ABC, late()),
        ("silent inside of a message", vec![PART, Silence], A, Err(FailureKind::ConnectionReadTimeout)),
        // An end that says nothing.
        ("an end without a status", vec![WHOLE], ABC, no_status()),
        ("an end at once", vec![], "", no_status()),
        ("an end inside of a message", vec![PART], A, Err(FailureKind::HttpResponseIncomplete)),
        ("trailers without a status", vec![WHOLE, status("none")], ABC, no_status()),
        ("a status beyond 16", vec![WHOLE, status("17")], ABC, no_status()),
        ("a status that is no number", vec![WHOLE, status("abc")], ABC, no_status()),
        ("two", vec![WHOLE, status("twice")], ABC, no_status()),
        ("a status that is none, inside", vec![PART, status("abc")], A, Err(FailureKind::HttpProtocolError)),
        // Success for half a message is a lie; a failure is the upstream's own word.
        ("success inside of a message", vec![PART, status("0")], A, Err(FailureKind::HttpResponseIncomplete)),
        ("a failure inside of a message", vec![PART, status("5")], A, own("5 no such item")),
        ("a message that cannot be decoded", vec![status("broken message")], "", own("5 100 %25 gone")),
        ("two messages", vec![status("two messages")], "", own("5 first")),
        // No boundary is known any more.
        ("a page", vec![Data("<html>"), RESET], "<html>", Err(FailureKind::ConnectionTerminated)),
        ("a page, and success", vec![Data("<html>"), status("0")], "<html>", Err(FailureKind::HttpResponseIncomplete)),
    ];
    let mut wrong = Vec::new();
    for (name, steps, data, end) in rows {
        let layer = BadGatewayLayer::new().idle_timeout(Duration::from_secs(5));
        let gateway = layer.layer(upstream(head(200, &[GRPC]), MockBody::steps(steps)));
        let Ok(response) = gateway.oneshot(call()).await;
        let (seen, expected) = (read(response).await, Seen { head: None, data: data.to_owned(), end });
        if seen != expected {
            wrong.push((name, seen, expected));
        }
    }
    assert!(wrong.is_empty(), "(name, seen, expected): {wrong:#?}");
}

/// A head that says success owes no status in trailers, but clients read one that comes.
#[tokio::test]
async fn a_status_behind_a_head_that_says_success_is_judged_as_any_other() {
    let broken = || Some(format!("13 {}", FailureKind::HttpProtocolError.summary()));
    for (name, steps, expected) in [
        ("none", vec![], None),
        ("success", vec![status("0")], Some("0".to_owned())),
        ("a failure", vec![status("5")], Some("5 no such item".to_owned())),
        ("beyond 16", vec![status("17")], broken()),
        ("no number", vec![status("abc")], broken()),
        ("two", vec![status("twice")], broken()),
        ("another field", vec![status("none")], Some(String::new())),
    ] {
        let layer = BadGatewayLayer::new().peek(false);
        let upstream = upstream(head(200, &[GRPC, ("grpc-status", "0")]), MockBody::steps(steps));
        let Ok(response) = layer.layer(upstream).oneshot(call()).await;
        let collected = response.into_body().collect().await.unwrap();
        assert_eq!(collected.trailers().map(|trailers| code(trailers).unwrap_or_default()), expected, "{name}");
    }
}

/// (name, head, whether there is a body, code and message)
#[tokio::test]
async fn what_is_no_grpc_is_answered_in_its_place() {
    let html = ("content-type", "text/html");
    let sentence = |kind: FailureKind, code: u8| format!("{code} {}", kind.summary());
    let received = |code| sentence(FailureKind::ReceivedStatus, code);
    let broken = || sentence(FailureKind::HttpProtocolError, 13);
    let rows = [
        ("502", head(502, &[html]), true, received(14)),
        ("503", head(503, &[html]), true, received(14)),
        ("504", head(504, &[("content-type", "application/problem+json")]), true, received(14)),
        ("429", head(429, &[]), false, received(14)),
        ("401", head(401, &[html]), true, received(16)),
        ("403", head(403, &[html]), true, received(7)),
        ("404", head(404, &[html]), true, received(12)),
        ("400", head(400, &[html]), true, received(13)),
        ("500", head(500, &[html]), true, received(13)),
        ("302", head(302, &[("location", "/login")]), false, received(13)),
        ("502 of gRPC's type", head(502, &[GRPC]), true, received(14)),
        ("200 of another type", head(200, &[html]), true, broken()),
        ("200 of no type", head(200, &[]), true, broken()),
        ("gRPC-Web", head(200, &[("content-type", "application/grpc-web+proto")]), true, broken()),
        ("200 without a body and a status", head(200, &[GRPC]), false, broken()),
        ("a status that is none", head(200, &[GRPC, ("grpc-status", "014")]), false, broken()),
        ("success beside an error", head(502, &[GRPC, ("grpc-status", "0")]), false, received(14)),
        ("success of another type", head(200, &[html, ("grpc-status", "0")]), false, broken()),
        // The upstream's own verdict wins over what stands beside it.
        ("a failure", head(200, &[GRPC, ("grpc-status", "5"), ("grpc-message", "gone")]), false, "5 gone".to_owned()),
        ("a failure beside an error", head(502, &[GRPC, ("grpc-status", "5")]), false, "5".to_owned()),
        (
            "a failure of another type",
            head(200, &[html, ("grpc-status", "5"), ("content-length", "3")]),
            true,
            "5".to_owned(),
        ),
        (
            "a failure with a page",
            head(503, &[html, ("grpc-status", "14"), ("grpc-message", "%")]),
            true,
            "14 %25".to_owned(),
        ),
        ("success at once", head(200, &[GRPC, ("grpc-status", "0")]), false, "0".to_owned()),
    ];
    let mut wrong = Vec::new();
    for (name, head, has_body, expected) in rows {
        let body = if has_body { MockBody::of(["a"]) } else { MockBody::of([]).ended() };
        let Ok(response) = BadGatewayLayer::new().layer(upstream(head, body)).oneshot(call()).await;
        let seen = read(response).await;
        let expected = Seen { head: Some(expected), data: String::new(), end: Ok(None) };
        if seen != expected {
            wrong.push((name, seen, expected));
        }
    }
    assert!(wrong.is_empty(), "(name, seen, expected): {wrong:#?}");
}

#[tokio::test]
async fn an_answer_in_place_says_what_it_was_and_when_to_come_back() {
    let head = head(503, &[("retry-after", "7")]);
    let layer = BadGatewayLayer::new().gateway_name(tower_bad_gateway::GatewayName::from_static("edge-1"));
    let Ok(response) = layer.layer(upstream(head, MockBody::of(["busy"]))).oneshot(call()).await;
    assert_eq!(response.headers()["grpc-retry-pushback-ms"], "7000");
    #[cfg(feature = "proxy-status")]
    assert_eq!(response.headers()["proxy-status"], "edge-1;received-status=503");
    let failure = response.extensions().get::<Failure>().unwrap();
    assert_eq!((failure.kind(), failure.upstream_status().unwrap().as_u16()), (FailureKind::ReceivedStatus, 503));
    // The layer's own wish, where it is not now.
    let layer = BadGatewayLayer::new().retry_after(Duration::from_secs(2));
    let answer = layer.layer(Mock::failing(|| Failure::new(FailureKind::DestinationUnavailable))).oneshot(call()).await;
    assert_eq!(answer.unwrap().headers()["grpc-retry-pushback-ms"], "2000");
}

/// Where nobody would see our trailers the body is aborted: a clean end would be a lie.
#[tokio::test]
async fn trailers_are_sent_only_where_they_arrive() {
    let asked = |version, te: &[(&'static str, &'static str)]| {
        let mut request = request("POST", &[&[GRPC], te].concat());
        *request.version_mut() = version;
        request
    };
    let (te, announced) = (("te", "trailers"), ("trailer", "grpc-message, grpc-status"));
    let rows = [
        ("HTTP/2", asked(Version::HTTP_2, &[te]), vec![GRPC], false, true),
        ("HTTP/2, without TE", asked(Version::HTTP_2, &[]), vec![GRPC], false, false),
        ("HTTP/2, a length", asked(Version::HTTP_2, &[te]), vec![GRPC, ("content-length", "16")], false, false),
        ("HTTP/2, an exact size", asked(Version::HTTP_2, &[te]), vec![GRPC], true, false),
        ("HTTP/1.1, neither", asked(Version::HTTP_11, &[]), vec![GRPC], false, false),
        ("HTTP/1.1, TE", asked(Version::HTTP_11, &[te]), vec![GRPC], false, false),
        ("HTTP/1.1, Trailer", asked(Version::HTTP_11, &[]), vec![GRPC, announced], false, false),
        ("HTTP/1.1, both", asked(Version::HTTP_11, &[te]), vec![GRPC, announced], false, true),
        ("HTTP/1.1, another TE", asked(Version::HTTP_11, &[("te", "gzip")]), vec![GRPC, announced], false, false),
    ];
    let mut wrong = Vec::new();
    for (name, request, fields, is_sized, expected) in rows {
        let body = MockBody::steps([WHOLE, RESET]);
        let body = if is_sized { body.exact(16) } else { body };
        let Ok(response) = BadGatewayLayer::new().layer(upstream(head(200, &fields), body)).oneshot(request).await;
        let seen = read(response).await;
        if seen.end.is_ok() != expected {
            wrong.push((name, seen, expected));
        }
    }
    assert!(wrong.is_empty(), "(name, seen, whether trailers were expected): {wrong:#?}");
}

/// What operators learn is the same as of any other body, and the code with it.
#[tokio::test]
async fn a_body_that_ends_in_a_status_of_ours_is_a_failure() {
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let (failures, abandoned) = (Arc::clone(&seen), Arc::clone(&seen));
    for (steps, code) in [([WHOLE, RESET], Some(14)), ([PART, RESET], None)] {
        let (failures, abandoned) = (Arc::clone(&failures), Arc::clone(&abandoned));
        let layer = BadGatewayLayer::new()
            .on_body_failure(move |event| failures.lock().unwrap().push((event.status().as_u16(), event.grpc_code())))
            .on_abandoned(move |_| abandoned.lock().unwrap().push((0, None)));
        let Ok(response) = layer.layer(upstream(head(200, &[GRPC]), MockBody::steps(steps))).oneshot(call()).await;
        read(response).await;
        assert_eq!(std::mem::take(&mut *seen.lock().unwrap()), [(200, code)]);
    }
}

/// A router's handlers may be anything, and `grpc(false)` is for those who want nothing of it.
#[tokio::test]
async fn where_grpc_is_not_followed_nothing_is_changed() {
    for layer in [BadGatewayLayer::for_router(), BadGatewayLayer::new().grpc(false)] {
        let page = upstream(head(503, &[("content-type", "text/html")]), MockBody::of(["busy"]));
        let Ok(response) = layer.clone().layer(page).oneshot(call()).await;
        assert_eq!(response.status(), 503);
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "busy");
        let without_status = upstream(head(200, &[GRPC]), MockBody::steps([WHOLE]));
        let Ok(response) = layer.clone().layer(without_status).oneshot(call()).await;
        let body = response.into_body().collect().await.unwrap();
        assert!(body.trailers().is_none());
    }
    let refused = Mock::failing(|| io::Error::from(io::ErrorKind::ConnectionRefused));
    let Ok(response) = BadGatewayLayer::new().grpc(false).layer(refused).oneshot(call()).await;
    assert_eq!(response.status(), 502);
}

/// An inner layer has ended the body in a status: to the one outside it is an end as any other.
#[tokio::test]
async fn two_layers_end_a_body_once() {
    let seen = Arc::new(std::sync::Mutex::new(0));
    let count = Arc::clone(&seen);
    let layer = BadGatewayLayer::new().on_body_failure(move |_| *count.lock().unwrap() += 1);
    let inner = layer.layer(upstream(head(200, &[GRPC]), MockBody::steps([WHOLE, RESET])));
    let Ok(response) = layer.layer(inner).oneshot(call()).await;
    assert_eq!(read(response).await.end, Ok(Some(format!("14 {}", FailureKind::ConnectionTerminated.summary()))));
    assert_eq!(*seen.lock().unwrap(), 1);
}

/// The code of a call, wherever it stands.
async fn outcome(response: Response<impl Body<Data = Bytes, Error = BodyError>>) -> String {
    let code = match code(response.headers()) {
        Some(code) => code,
        None => read(response).await.end.unwrap().unwrap(),
    };
    code.split(' ').next().unwrap().to_owned()
}

fn uploading(steps: impl IntoIterator<Item = Step>) -> Request<MockBody> {
    call().map(|_| MockBody::steps(steps))
}

/// Reads all of the upload, and takes so long to answer.
async fn read_and_answer(
    request: Request<RequestBody<MockBody>>,
    thinking: Duration,
) -> Result<Response<MockBody>, BoxError> {
    request.into_body().collect().await?;
    tokio::time::sleep(thinking).await;
    Ok(head(200, &[GRPC]).body(MockBody::steps([WHOLE, status("0")])).unwrap())
}

/// (name, limit of the tap, upload, after how many seconds, code)
#[tokio::test(start_paused = true)]
async fn a_client_may_listen_between_two_messages() {
    const MINUTE: Step = Step::Wait(Duration::from_secs(60));
    let limit = Some(Duration::from_secs(5));
    let rows = [
        ("whole messages, a minute apart", limit, vec![WHOLE, MINUTE, WHOLE, MINUTE, WHOLE], 120, "0"),
        ("a message in parts, in time", limit, vec![PART, Step::Wait(Duration::from_secs(4)), Data("bc")], 4, "0"),
        ("silent inside of a message", limit, vec![WHOLE, PART, Silence], 5, "1"),
        ("silent inside of a prefix", limit, vec![WHOLE, Data("\0"), Silence], 5, "1"),
        ("silent after what is no message", limit, vec![Data("<html>"), Silence], 5, "1"),
        ("without a limit", None, vec![PART, MINUTE, Data("bc")], 60, "0"),
    ];
    let mut wrong = Vec::new();
    for (name, limit, upload, seconds, expected) in rows {
        let tap = match limit {
            Some(limit) => RequestBodyTap::new().idle_timeout(limit),
            None => RequestBodyTap::new(),
        };
        let service = service_fn(|request| read_and_answer(request, Duration::ZERO));
        let stack = ServiceBuilder::new().layer(tap).layer(BadGatewayLayer::new()).service(service);
        let start = Instant::now();
        let Ok(response) = stack.oneshot(uploading(upload)).await;
        let code = outcome(response).await;
        if (start.elapsed().as_secs(), &*code) != (seconds, expected) {
            wrong.push((name, start.elapsed(), code, expected));
        }
    }
    assert!(wrong.is_empty(), "(name, after, code, expected): {wrong:#?}");
}

/// A limit that was set counts from the end of the request: until then the server may have nothing to say.
#[tokio::test(start_paused = true)]
async fn a_head_limit_that_was_set_counts_from_the_end_of_the_request() {
    let seconds = Duration::from_secs;
    for (thinking, expected) in [(8, (68, "0")), (12, (70, "4"))] {
        let upload = (0..12).flat_map(|_| [Step::Wait(seconds(5)), WHOLE]);
        let service = service_fn(move |request| read_and_answer(request, seconds(thinking)));
        let layer = BadGatewayLayer::new().head_timeout(seconds(10));
        let stack = ServiceBuilder::new().layer(RequestBodyTap::new()).layer(layer).service(service);
        let start = Instant::now();
        let Ok(response) = stack.oneshot(uploading(upload)).await;
        let head = code(response.headers());
        let seen = (start.elapsed().as_secs(), head.as_deref().map_or("0", |code| code.split(' ').next().unwrap()));
        assert_eq!(seen, expected);
    }
}

/// Around tonic's channel a body that is aborted has no reset: the code stands in its error. Nothing of the upstream's does.
#[tokio::test]
async fn an_abort_says_its_code_to_a_client_in_the_same_process() {
    let gateway = BadGatewayLayer::new().layer(upstream(head(200, &[GRPC]), MockBody::steps([PART, RESET])));
    let Ok(response) = gateway.oneshot(call()).await;
    let error = response.into_body().collect().await.unwrap_err();
    let source = std::error::Error::source(&error);
    #[cfg(not(feature = "tonic-0_14"))]
    assert!(source.is_none());
    #[cfg(feature = "tonic-0_14")]
    {
        let status = source.unwrap().downcast_ref::<tonic::Status>().unwrap();
        let expected = (tonic::Code::Unavailable, FailureKind::ConnectionTerminated.summary());
        assert_eq!((status.code(), status.message()), expected);
        assert!(std::error::Error::source(status).is_none());
    }
}

const HOUR: Duration = Duration::from_secs(60 * 60);

/// With every implicit limit there is, and a tap.
#[tokio::test(start_paused = true)]
async fn no_healthy_call_is_cut_however_long_it_takes() {
    // A message a second for ten minutes, and no head meanwhile.
    let upload = (0..600).flat_map(|_| [Step::Wait(Duration::from_secs(1)), WHOLE]);
    let service = service_fn(|request| read_and_answer(request, Duration::ZERO));
    let stack = ServiceBuilder::new().layer(RequestBodyTap::new()).layer(BadGatewayLayer::new()).service(service);
    let start = Instant::now();
    let Ok(response) = stack.oneshot(uploading(upload)).await;
    assert_eq!((read(response).await.end, start.elapsed().as_secs()), (Ok(Some("0".to_owned())), 600));

    // Silent for an hour on one side, then on the other.
    let service = service_fn(|request: Request<RequestBody<MockBody>>| async {
        tokio::spawn(async { assert!(request.into_body().collect().await.is_ok()) });
        let steps = [Step::Wait(2 * HOUR), WHOLE, status("0")];
        Ok::<_, BoxError>(head(200, &[GRPC]).body(MockBody::steps(steps)).unwrap())
    });
    let stack = ServiceBuilder::new().layer(RequestBodyTap::new()).layer(BadGatewayLayer::new()).service(service);
    let start = Instant::now();
    let Ok(response) = stack.oneshot(uploading([WHOLE, Step::Wait(HOUR), WHOLE])).await;
    assert_eq!((read(response).await.end, start.elapsed()), (Ok(Some("0".to_owned())), 2 * HOUR));
}

/// A gibibyte in one message, and messages of which every byte is a frame.
#[tokio::test]
async fn no_healthy_call_is_cut_however_its_frames_are() {
    const MEBIBYTE: usize = 1 << 20;
    let frame: &'static str = Box::leak("x".repeat(MEBIBYTE).into_boxed_str());
    let steps =
        std::iter::once(Data("\0\u{40}\0\0\0")).chain(std::iter::repeat_n(Data(frame), 1024)).chain([status("0")]);
    let Ok(response) =
        BadGatewayLayer::new().layer(upstream(head(200, &[GRPC]), MockBody::steps(steps))).oneshot(call()).await;
    let (mut bytes, mut trailers) = (0, None);
    let mut body = response.into_body();
    while let Some(frame) = body.frame().await {
        match frame.unwrap().into_data() {
            Ok(data) => bytes += data.len(),
            Err(frame) => trailers = code(&frame.into_trailers().unwrap()),
        }
    }
    assert_eq!((bytes, trailers.as_deref()), (5 + 1024 * MEBIBYTE, Some("0")));

    const MESSAGES: &str = "\0\0\0\0\u{3}abc\0\0\0\0\0\u{1}\0\0\0\u{1}d";
    let bytes = (0..MESSAGES.len()).map(|at| Data(&MESSAGES[at..=at]));
    let steps = bytes.chain([status("0")]);
    let Ok(response) =
        BadGatewayLayer::new().layer(upstream(head(200, &[GRPC]), MockBody::steps(steps))).oneshot(call()).await;
    let seen = read(response).await;
    assert_eq!((seen.data.as_str(), seen.end), (MESSAGES, Ok(Some("0".to_owned()))));
}

/// (name, whether there is a tap, upload, body, after how many seconds, code)
#[tokio::test(start_paused = true)]
async fn silence_of_both_sides_together_has_a_limit_where_one_is_set() {
    const NINE: Step = Step::Wait(Duration::from_secs(9));
    type Row = (&'static str, bool, Vec<Step>, Option<Vec<Step>>, u64, &'static str);
    let rows: Vec<Row> = vec![
        ("no head", true, vec![WHOLE], None, 10, "4"),
        ("no head, while the client talks", true, vec![NINE, WHOLE, NINE, WHOLE, Silence], None, 28, "4"),
        ("silent after a message", true, vec![], Some(vec![WHOLE, Silence]), 10, "4"),
        ("the end of the request counts", true, vec![WHOLE, NINE], None, 19, "4"),
        ("silent while the client talks", true, vec![NINE, WHOLE, NINE, WHOLE], Some(vec![WHOLE, Silence]), 28, "4"),
        ("the client is not seen", false, vec![NINE, WHOLE, NINE, WHOLE], Some(vec![WHOLE, Silence]), 10, "4"),
        (
            "the server talks",
            true,
            vec![WHOLE, Silence],
            Some(vec![NINE, WHOLE, NINE, WHOLE, NINE, status("0")]),
            27,
            "0",
        ),
    ];
    let mut wrong = Vec::new();
    for (name, has_tap, upload, body, seconds, expected) in rows {
        let body = Arc::new(std::sync::Mutex::new(body));
        let service = service_fn(move |request: Request<RequestBody<MockBody>>| {
            let body = body.lock().unwrap().take();
            tokio::spawn(request.into_body().collect());
            async {
                match body {
                    Some(steps) => Ok::<_, BoxError>(head(200, &[GRPC]).body(MockBody::steps(steps)).unwrap()),
                    None => std::future::pending().await,
                }
            }
        });
        let limit = Duration::from_secs(10);
        // That of each direction does not count beside it.
        let layer = BadGatewayLayer::new().stream_idle_timeout(limit).idle_timeout(limit / 2);
        let gateway = layer.layer(service);
        let mut request = RequestBodyTap::new().tap(uploading(upload));
        if !has_tap {
            *request.extensions_mut() = http::Extensions::new();
        }
        let start = Instant::now();
        let Ok(response) = gateway.oneshot(request).await;
        let code = outcome(response).await;
        if (start.elapsed().as_secs(), &*code) != (seconds, expected) {
            wrong.push((name, start.elapsed(), code, expected));
        }
    }
    assert!(wrong.is_empty(), "(name, after, code, expected): {wrong:#?}");
}

/// A browser takes the code of an HTTP error for its own; the status in the head of a 200 it is shown.
#[tokio::test]
async fn grpc_web_gets_its_status_in_the_head_of_a_200() {
    for media_type in ["application/grpc-web", "application/grpc-web+proto", "application/grpc-web-text"] {
        let refused = Mock::failing(|| io::Error::from(io::ErrorKind::ConnectionRefused));
        let asked = request("POST", &[("content-type", media_type), ("accept", media_type)]);
        let Ok(response) = BadGatewayLayer::new().layer(refused).oneshot(asked).await;
        assert_eq!((response.status().as_u16(), &response.headers()["content-length"]), (200, &"0".parse().unwrap()));
        assert_eq!(response.headers()["content-type"], "application/grpc-web+proto");
        let expected = format!("14 {}", FailureKind::ConnectionRefused.summary());
        assert_eq!(code(response.headers()), Some(expected), "{media_type}");
        assert!(response.into_body().collect().await.unwrap().to_bytes().is_empty());
    }
}

/// (name, steps of the body, data that arrives, the end)
#[tokio::test]
async fn success_in_the_head_is_proved_by_the_body() {
    const A: &str = "\0\0\0\0\u{3}a";
    const ABC: &str = "\0\0\0\0\u{3}abc";
    let sentence = |kind: FailureKind, code: u8| Ok(Some(format!("{code} {}", kind.summary())));
    let rows = [
        ("nothing more", vec![], "", Ok(None)),
        ("trailers that say the same", vec![WHOLE, status("0")], ABC, Ok(Some("0".to_owned()))),
        ("half a message", vec![PART], A, Err(FailureKind::HttpResponseIncomplete)),
        ("half a message, and success", vec![PART, status("0")], A, Err(FailureKind::HttpResponseIncomplete)),
        ("a message, and nothing", vec![WHOLE], ABC, sentence(FailureKind::HttpProtocolError, 13)),
        ("a status that is none", vec![WHOLE, status("abc")], ABC, sentence(FailureKind::HttpProtocolError, 13)),
        ("reset after a message", vec![WHOLE, RESET], ABC, sentence(FailureKind::ConnectionTerminated, 14)),
        ("reset before", vec![RESET], "", sentence(FailureKind::ConnectionTerminated, 14)),
    ];
    let mut wrong = Vec::new();
    for (name, steps, data, end) in rows {
        let head = head(200, &[GRPC, ("grpc-status", "0")]);
        let Ok(response) = BadGatewayLayer::new().layer(upstream(head, MockBody::steps(steps))).oneshot(call()).await;
        let (mut seen, mut trailers, mut broken) = (Vec::new(), None, None);
        let mut body = response.into_body();
        while let Some(frame) = body.frame().await {
            match frame.map(http_body::Frame::into_data) {
                Ok(Ok(part)) => seen.extend_from_slice(&part),
                Ok(Err(frame)) => trailers = code(&frame.into_trailers().unwrap()),
                Err(error) => broken = Some(error.failure().kind()),
            }
        }
        let got = broken.map_or(Ok(trailers), Err);
        if (seen.as_slice(), &got) != (data.as_bytes(), &end) {
            wrong.push((name, String::from_utf8(seen), got, end));
        }
    }
    assert!(wrong.is_empty(), "(name, data, end, expected): {wrong:#?}");
}

/// Its side may be open for as long as it listens: a limit that runs out is the upstream's.
#[tokio::test(start_paused = true)]
async fn a_client_that_listens_is_not_to_blame_for_a_total_limit() {
    let silent = service_fn(|request: Request<RequestBody<MockBody>>| {
        tokio::spawn(request.into_body().collect());
        std::future::pending::<Result<Response<MockBody>, BoxError>>()
    });
    let layer = BadGatewayLayer::new().total_timeout(Duration::from_secs(3));
    let stack = ServiceBuilder::new().layer(RequestBodyTap::new()).layer(layer).service(silent);
    let Ok(response) = stack.oneshot(uploading([WHOLE, Silence])).await;
    assert_eq!(outcome(response).await, "4");
}

/// A head limit that was set holds where an upstream takes no more of what its client has sent.
#[tokio::test(start_paused = true)]
async fn an_upstream_that_stops_reading_is_late() {
    let stuck = service_fn(|request: Request<RequestBody<MockBody>>| async {
        let mut body = request.into_body();
        assert!(body.frame().await.is_some());
        let _held = body;
        std::future::pending::<Result<Response<MockBody>, BoxError>>().await
    });
    let layer = BadGatewayLayer::new().head_timeout(Duration::from_secs(10));
    let stack = ServiceBuilder::new().layer(RequestBodyTap::new()).layer(layer).service(stuck);
    let start = Instant::now();
    let Ok(response) = stack.oneshot(uploading([WHOLE, WHOLE])).await;
    assert_eq!((outcome(response).await.as_str(), start.elapsed().as_secs()), ("4", 10));
}

/// Where the status would be dropped, a failure must not look like success.
#[tokio::test]
async fn a_failure_in_trailers_that_would_be_lost_is_an_abort() {
    for (code, is_whole) in [("5", false), ("0", true)] {
        let asked = request("POST", &[GRPC]);
        let body = MockBody::steps([WHOLE, status(code)]);
        let Ok(response) = BadGatewayLayer::new().layer(upstream(head(200, &[GRPC]), body)).oneshot(asked).await;
        assert_eq!(read(response).await.end.is_ok(), is_whole, "{code}");
    }
}

/// What is above a limit of ours is no fault of the protocol: RESOURCE_EXHAUSTED, before the head and in trailers.
#[tokio::test]
async fn what_is_too_large_is_exhausted() {
    let layer = || BadGatewayLayer::new().limit_fields(SizeLimits::new().field(40));
    let long = ("x-long", "a value that is longer than forty bytes allow");
    let Ok(response) = layer().layer(upstream(head(200, &[GRPC, long]), MockBody::of([]))).oneshot(call()).await;
    assert_eq!(outcome(response).await, "8");
    const LONG: Step = Fields(&[("grpc-status", "0"), ("x-long", "a value that is longer than forty bytes allow")]);
    let body = MockBody::steps([WHOLE, LONG]);
    let Ok(response) = layer().layer(upstream(head(200, &[GRPC]), body)).oneshot(call()).await;
    assert_eq!(outcome(response).await, "8");
}

/// The caller's own deadline, after the head: by trailers, and the failure says whose time it was.
#[tokio::test(start_paused = true)]
async fn the_callers_deadline_ends_a_stream_in_trailers() {
    let limits = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = Arc::clone(&limits);
    let layer = BadGatewayLayer::new().on_body_failure(move |event| seen.lock().unwrap().push(event.failure().limit()));
    let steps = (0..20).flat_map(|_| [WHOLE, Step::Wait(Duration::from_secs(1))]);
    let mut request = call();
    request.headers_mut().insert("grpc-timeout", "7S".parse().unwrap());
    let start = Instant::now();
    let Ok(response) = layer.layer(upstream(head(200, &[GRPC]), MockBody::steps(steps))).oneshot(request).await;
    assert_eq!((outcome(response).await.as_str(), start.elapsed().as_secs()), ("4", 7));
    assert_eq!(*limits.lock().unwrap(), [Some(TimeLimit::Client)]);
}
