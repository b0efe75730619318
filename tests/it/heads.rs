//! Which heads are refused, tidied or left alone.

use std::sync::{Arc, Mutex};

use http::{HeaderMap, Response, StatusCode, Version};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use tower::{Layer, ServiceExt};
use tower_bad_gateway::{
    BadGatewayLayer, Failure,
    FailureKind::{self, *},
    context::RequestContext,
    failure::{Parameter, Phase},
    validate::{Intercept, ResponseHead, SizeLimits},
};

use crate::mock::{Mock, MockBody, get, map, request, text};

type Fields = &'static [(&'static str, &'static str)];

/// A response, and what is expected of it.
struct Row {
    name: &'static str,
    method: &'static str,
    asked: Fields,
    version: Version,
    status: u16,
    sent: Fields,
    content: &'static str,
    /// What is refused, or what is left of the fields and the content.
    expected: Result<(Fields, &'static str), FailureKind>,
}

fn row(name: &'static str, status: u16, sent: Fields, expected: Result<(Fields, &'static str), FailureKind>) -> Row {
    let version = Version::HTTP_11;
    Row { name, method: "GET", asked: &[], version, status, sent, content: "hello", expected }
}

impl Row {
    fn to(self, method: &'static str) -> Self {
        Self { method, ..self }
    }

    fn asked(self, asked: Fields) -> Self {
        Self { asked, ..self }
    }

    fn empty(self) -> Self {
        Self { content: "", ..self }
    }

    fn http2(self) -> Self {
        Self { version: Version::HTTP_2, ..self }
    }

    fn upstream(&self) -> Mock {
        let (status, version, sent, content) = (self.status, self.version, self.sent, self.content);
        Mock::new(move |_| {
            let mut response = Response::builder().status(status).version(version);
            response.headers_mut().unwrap().extend(map(sent));
            let chunks = Some(content).filter(|content| !content.is_empty());
            async move { Ok(response.body(MockBody::of(chunks)).unwrap()) }
        })
    }
}

fn rows() -> Vec<Row> {
    const WEBSOCKET: Fields = &[("connection", "upgrade"), ("upgrade", "websocket")];
    const HOP: Fields = &[("connection", "x-a"), ("x-a", "1"), ("keep-alive", "1"), ("x-b", "2")];
    const FIVE: Fields = &[("content-length", "5")];
    const TWICE: Fields = &[("transfer-encoding", "gzip, chunked")];
    const BOTH: Fields = &[("transfer-encoding", "chunked"), ("content-length", "5")];
    vec![
        row("plain", 200, &[("x-b", "2")], Ok((&[("x-b", "2")], "hello"))),
        // Status.
        row("status 599", 599, &[], Ok((&[], "hello"))),
        row("status 600", 600, &[], Err(HttpProtocolError)),
        row("status 999", 999, &[], Err(HttpProtocolError)),
        row("status 100", 100, &[], Err(HttpProtocolError)),
        row("status 103", 103, &[], Err(HttpProtocolError)),
        row("status 199", 199, &[], Err(HttpProtocolError)),
        // 101 and CONNECT.
        row("101 unasked", 101, WEBSOCKET, Err(HttpUpgradeFailed)).empty(),
        row("101 without Upgrade", 101, &[], Err(HttpUpgradeFailed)).asked(WEBSOCKET).empty(),
        row("101 to nothing", 101, &[("upgrade", " ,")], Err(HttpUpgradeFailed)).asked(WEBSOCKET).empty(),
        row("101 to something else", 101, &[("upgrade", "h2c")], Err(HttpUpgradeFailed)).asked(WEBSOCKET).empty(),
        row("101 to more", 101, &[("upgrade", "websocket, foo/2")], Err(HttpUpgradeFailed)).asked(WEBSOCKET).empty(),
        row("101 in two lines to more", 101, &[("upgrade", "websocket"), ("upgrade", "foo/2")], Err(HttpUpgradeFailed))
            .asked(WEBSOCKET)
            .empty(),
        row("101 to another version", 101, &[("upgrade", "foo/1")], Err(HttpUpgradeFailed))
            .asked(&[("connection", "upgrade"), ("upgrade", "foo/2")])
            .empty(),
        row("101 asked for", 101, WEBSOCKET, Ok((WEBSOCKET, ""))).asked(WEBSOCKET).empty(),
        row(
            "101 to one of several",
            101,
            &[("upgrade", "WebSocket")],
            Ok((&[("connection", "upgrade"), ("upgrade", "WebSocket")], "")),
        )
        .asked(&[("connection", "upgrade"), ("upgrade", "foo/2"), ("upgrade", "h2c, websocket")])
        .empty(),
        row(
            "101 with what is for other connections",
            101,
            &[
                ("connection", "Upgrade, x-a, keep-alive"),
                ("upgrade", "websocket"),
                ("x-a", "1"),
                ("keep-alive", "1"),
                ("content-length", "0"),
                ("x-b", "2"),
            ],
            Ok((&[("connection", "upgrade"), ("upgrade", "websocket"), ("x-b", "2")], "")),
        )
        .asked(WEBSOCKET)
        .empty(),
        row("101 over HTTP/2", 101, WEBSOCKET, Err(HttpProtocolError)).asked(WEBSOCKET).http2().empty(),
        row("101 over HTTP/2 without its fields", 101, &[], Err(HttpUpgradeFailed)).asked(WEBSOCKET).http2().empty(),
        row("CONNECT over HTTP/2", 200, &[("connection", "close")], Err(HttpProtocolError))
            .to("CONNECT")
            .http2()
            .empty(),
        row("101 to CONNECT", 101, WEBSOCKET, Err(HttpUpgradeFailed)).to("CONNECT").empty(),
        row("CONNECT", 200, HOP, Ok((&[("x-b", "2")], ""))).to("CONNECT").empty(),
        row("CONNECT with a length", 204, FIVE, Ok((&[], ""))).to("CONNECT").empty(),
        row("CONNECT with a bad length", 200, &[("content-length", "five")], Ok((&[], ""))).to("CONNECT").empty(),
        row("CONNECT with both", 200, BOTH, Ok((&[], ""))).to("CONNECT").empty(),
        row("CONNECT refused", 403, HOP, Ok((&[("x-b", "2")], "hello"))).to("CONNECT"),
        // Fields for one connection.
        row("hop by hop", 200, HOP, Ok((&[("x-b", "2")], "hello"))),
        row("te", 200, &[("te", "trailers"), ("proxy-connection", "close"), ("upgrade", "h2c")], Ok((&[], "hello"))),
        row("te over HTTP/2", 200, &[("te", "trailers")], Ok((&[], "hello"))).http2(),
        row("connection over HTTP/2", 200, &[("connection", "close")], Err(HttpProtocolError)).http2(),
        row("keep-alive over HTTP/2", 200, &[("keep-alive", "1")], Err(HttpProtocolError)).http2(),
        row("proxy-connection over HTTP/2", 200, &[("proxy-connection", "1")], Err(HttpProtocolError)).http2(),
        row("upgrade over HTTP/2", 200, &[("upgrade", "h2c")], Err(HttpProtocolError)).http2(),
        row("coding over HTTP/2", 200, &[("transfer-encoding", "chunked")], Err(HttpProtocolError)).http2(),
        // Transfer codings.
        row("chunked", 200, &[("transfer-encoding", "Chunked")], Ok((&[], "hello"))),
        row("coded twice", 200, TWICE, Err(HttpResponseTransferCoding)),
        row("coded twice, 205", 205, TWICE, Err(HttpResponseTransferCoding)).empty(),
        row("coded twice, HEAD", 200, TWICE, Ok((&[], ""))).to("HEAD").empty(),
        row("coded twice, 304", 304, TWICE, Ok((&[], ""))).empty(),
        row("coded twice, 204", 204, TWICE, Ok((&[], ""))).empty(),
        row("coding and length", 200, BOTH, Err(HttpProtocolError)),
        row("coding and length, HEAD", 200, BOTH, Ok((&[], ""))).to("HEAD").empty(),
        row("coding and length, 304", 304, BOTH, Ok((&[], ""))).empty(),
        row(
            "coding and bad length, HEAD",
            200,
            &[("transfer-encoding", "chunked"), ("content-length", "x")],
            Err(HttpProtocolError),
        )
        .to("HEAD")
        .empty(),
        // Lengths.
        row("length", 200, FIVE, Ok((FIVE, "hello"))),
        row("length twice", 200, &[("content-length", "5"), ("content-length", "5")], Ok((FIVE, "hello"))),
        row("length in a list", 200, &[("content-length", "5, 5")], Ok((FIVE, "hello"))),
        row("length with zeros", 200, &[("content-length", "0005")], Ok((FIVE, "hello"))),
        row("length and another", 200, &[("content-length", "5"), ("content-length", "6")], Err(HttpProtocolError)),
        row("length and another, HEAD", 200, &[("content-length", "5, 6")], Err(HttpProtocolError)).to("HEAD").empty(),
        row("length and another, 204", 204, &[("content-length", "5, 6")], Err(HttpProtocolError)).empty(),
        row("length and another, 304", 304, &[("content-length", "5, 6")], Err(HttpProtocolError)).empty(),
        row("no number", 200, &[("content-length", "five")], Err(HttpProtocolError)),
        row("no number, HEAD", 200, &[("content-length", "five")], Err(HttpProtocolError)).to("HEAD").empty(),
        row("no number, 204", 204, &[("content-length", "five")], Err(HttpProtocolError)).empty(),
        row("no number, 304", 304, &[("content-length", "five")], Err(HttpProtocolError)).empty(),
        row("empty length over HTTP/2", 200, &[("content-length", "")], Err(HttpProtocolError)).http2().empty(),
        row("length of HEAD", 200, FIVE, Ok((FIVE, ""))).to("HEAD").empty(),
        row("two lengths of HEAD", 200, &[("content-length", "5, 5")], Ok((FIVE, ""))).to("HEAD").empty(),
        row("length of 304", 304, FIVE, Ok((FIVE, ""))).empty(),
        row("length of 204", 204, FIVE, Ok((&[], ""))).empty(),
        row("no length of 204", 204, &[("content-length", "0")], Ok((&[], ""))).empty(),
        row("length of 205", 205, FIVE, Ok((&[], ""))),
        row("no length of 205", 205, &[("content-length", "0")], Ok((&[("content-length", "0")], ""))).empty(),
        // Content where none may be.
        row("content of HEAD", 200, &[], Ok((&[], ""))).to("HEAD"),
        row("content of 204", 204, &[], Ok((&[], ""))),
        row("content of 205", 205, &[], Ok((&[], ""))),
        row("content of 304", 304, &[], Ok((&[], ""))),
        // Content that is not what the head says is as good as broken before the head was sent.
        row("shorter than its length", 200, &[("content-length", "6")], Ok((&[("content-length", "6")], "cut"))),
        row("longer than its length", 200, &[("content-length", "4")], Err(HttpProtocolError)),
        row("nothing of its length", 200, FIVE, Err(HttpResponseIncomplete)).empty(),
        // Strange, but nothing that a gateway may refuse.
        row("unasked part", 206, &[("x-b", "2")], Ok((&[("x-b", "2")], "hello"))),
        row("426 without Upgrade", 426, &[], Ok((&[], "hello"))),
        row(
            "426",
            426,
            &[("connection", "upgrade, x-a"), ("upgrade", "websocket"), ("x-a", "1")],
            Ok((WEBSOCKET, "hello")),
        ),
        row(
            "two types",
            200,
            &[
                ("content-type", "text/html"),
                ("content-type", "text/plain"),
                ("date", "yesterday"),
                ("retry-after", "soon"),
            ],
            Ok((
                &[
                    ("content-type", "text/html"),
                    ("content-type", "text/plain"),
                    ("date", "yesterday"),
                    ("retry-after", "soon"),
                ],
                "hello",
            )),
        ),
    ]
}

fn sorted(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &http::HeaderValue| String::from_utf8(value.as_bytes().to_vec()).unwrap();
    let mut fields: Vec<_> = headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    fields.sort();
    fields
}

#[tokio::test]
async fn what_is_invalid_is_refused_and_what_is_untidy_is_tidied() {
    let mut wrong = Vec::new();
    for row in rows() {
        let Ok(response) = BadGatewayLayer::new().layer(row.upstream()).oneshot(request(row.method, row.asked)).await;
        let failure = response.extensions().get::<Failure>().cloned();
        let (status, fields) = (response.status().as_u16(), sorted(response.headers()));
        let content = text(response.into_body()).await.unwrap_or("cut".to_owned());
        let got = match failure {
            None => Ok((fields, content)),
            Some(failure) => {
                let upstream = failure.upstream_status().map(|status| status.as_u16());
                if (status, upstream) != (502, Some(row.status)) {
                    wrong.push((row.name, format!("{status}, received {upstream:?}")));
                }
                Err(failure.kind())
            }
        };
        let expected = row.expected.map(|(fields, content)| (sorted(&map(fields)), content.to_owned()));
        if got != expected || (expected.is_ok() && status != row.status) {
            wrong.push((row.name, format!("{status} {got:?}, expected {expected:?}")));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A handler's response is the server's business.
#[tokio::test]
async fn a_router_layer_judges_none_of_it() {
    let mut wrong = Vec::new();
    for row in rows() {
        let Ok(response) =
            BadGatewayLayer::for_router().layer(row.upstream()).oneshot(request(row.method, row.asked)).await;
        let head = (response.status().as_u16(), response.version(), sorted(response.headers()));
        let content = text(response.into_body()).await.unwrap_or("cut".to_owned());
        if (head, &*content) != ((row.status, row.version, sorted(&map(row.sent))), row.content) {
            wrong.push(row.name);
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// Each side speaks its own: HTTP/1.1 at least, since what HTTP/1.0 needs is the server's to say.
#[tokio::test]
async fn the_version_is_our_own() {
    for (asked, answered, expected) in [
        (Version::HTTP_11, Version::HTTP_10, Version::HTTP_11),
        (Version::HTTP_11, Version::HTTP_2, Version::HTTP_11),
        (Version::HTTP_11, Version::HTTP_3, Version::HTTP_11),
        (Version::HTTP_10, Version::HTTP_11, Version::HTTP_11),
        (Version::HTTP_2, Version::HTTP_10, Version::HTTP_2),
        (Version::HTTP_3, Version::HTTP_2, Version::HTTP_3),
    ] {
        let upstream =
            Mock::new(
                move |_| async move { Ok(Response::builder().version(answered).body(MockBody::of(["ok"])).unwrap()) },
            );
        let mut call = get();
        *call.version_mut() = asked;
        let Ok(response) = BadGatewayLayer::new().layer(upstream).oneshot(call).await;
        assert_eq!(response.version(), expected, "{asked:?} {answered:?}");
    }
}

#[cfg(feature = "hyper-util")]
#[tokio::test]
async fn nobody_reads_the_upstreams_reason_phrase() {
    use hyper::ext::ReasonPhrase;

    let upstream = || {
        Mock::new(|_| async {
            let response = Response::builder().extension(ReasonPhrase::from_static(b"Fine")).extension(7_u8);
            Ok(response.body(MockBody::of([])).unwrap())
        })
    };
    let Ok(response) = BadGatewayLayer::new().layer(upstream()).oneshot(get()).await;
    assert_eq!(response.extensions().get::<ReasonPhrase>(), None);
    assert_eq!(response.extensions().get(), Some(&7_u8));
    let Ok(response) = BadGatewayLayer::for_router().layer(upstream()).oneshot(get()).await;
    assert!(response.extensions().get::<ReasonPhrase>().is_some());
}

#[tokio::test]
async fn a_single_code_may_be_let_pass() {
    let answering = |status: u16| {
        Mock::new(move |_| async move { Ok(Response::builder().status(status).body(MockBody::of([])).unwrap()) })
    };
    let layer = BadGatewayLayer::new().allow_status(StatusCode::from_u16(999).unwrap());
    for (status, expected) in [(999, 999), (998, 502), (600, 502), (102, 502)] {
        let Ok(response) = layer.clone().layer(answering(status)).oneshot(get()).await;
        assert_eq!(response.status(), expected, "{status}");
    }
    let interim = BadGatewayLayer::new().allow_status(StatusCode::PROCESSING);
    let Ok(response) = interim.layer(answering(102)).oneshot(get()).await;
    assert_eq!(response.status(), 502, "an interim response is none");
}

/// Names, values and four bytes each: `a: 1\r\n` is 6, and so on.
#[tokio::test]
async fn sections_and_fields_are_limited_to_the_byte() {
    const FIELDS: Fields = &[("a", "1"), ("b", "22"), ("a", "333")];
    let upstream = || {
        Mock::new(|_| async {
            let mut response = Response::new(MockBody::of(["ok"]));
            response.headers_mut().extend(map(FIELDS));
            Ok(response)
        })
    };
    let name = |text: &'static str| http::HeaderName::from_static(text);
    for router in [false, true] {
        let layer = || if router { BadGatewayLayer::for_router() } else { BadGatewayLayer::new() };
        let rows = [
            (SizeLimits::new(), None),
            (SizeLimits::new().section(21), None),
            (
                SizeLimits::new().section(20),
                Some((HttpResponseHeaderSectionSize, vec![Parameter::HeaderSectionSize(21)])),
            ),
            (SizeLimits::new().section(20).section(None), None),
            (SizeLimits::new().field(8), None),
            (
                SizeLimits::new().field(7),
                Some((HttpResponseHeaderSize, vec![Parameter::HeaderName(name("a")), Parameter::HeaderSize(8)])),
            ),
            (SizeLimits::new().field(7).field(None), None),
        ];
        for (limits, expected) in rows {
            let Ok(response) = layer().limit_fields(limits).layer(upstream()).oneshot(get()).await;
            let failure = response.extensions().get::<Failure>();
            let got = failure.map(|failure| (failure.kind(), failure.parameters().to_vec()));
            assert_eq!((got, response.status() == 200), (expected.clone(), expected.is_none()), "{limits:?}");
        }
    }
}

/// Ours first, then theirs in order, on the head as it was tidied; the first that refuses decides.
#[tokio::test]
async fn users_validators_run_after_ours() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let note = |name: &'static str, verdict: Result<(), FailureKind>| {
        let seen = Arc::clone(&seen);
        move |head: &ResponseHead<'_>, request: &RequestContext| {
            let fields = (head.headers().len(), head.extensions().get::<u8>().copied(), head.version());
            seen.lock().unwrap().push((name, head.status().as_u16(), fields, request.path().to_owned()));
            verdict
        }
    };
    let upstream = |status: u16| {
        Mock::new(move |_| async move {
            let response = Response::builder().status(status).version(Version::HTTP_10).extension(7_u8);
            Ok(response.header("keep-alive", "1").header("x-b", "2").body(MockBody::of(["ok"])).unwrap())
        })
    };
    let layer = BadGatewayLayer::new()
        .validate(note("first", Ok(())))
        .validate(note("second", Err(DestinationUnavailable)))
        .validate(note("third", Ok(())));

    let Ok(response) = layer.clone().layer(upstream(600)).oneshot(get()).await;
    assert_eq!(response.status(), 502);
    assert!(seen.lock().unwrap().is_empty(), "ours had refused it");

    let Ok(response) = layer.layer(upstream(203)).oneshot(get()).await;
    assert_eq!(response.status(), 503);
    let failure = response.extensions().get::<Failure>().unwrap();
    assert_eq!((failure.kind(), failure.phase()), (DestinationUnavailable, Phase::ResponseHead));
    assert_eq!(failure.upstream_status(), Some(StatusCode::NON_AUTHORITATIVE_INFORMATION));
    let fields = (1, Some(7), Version::HTTP_10);
    let path = "/path".to_owned();
    assert_eq!(*seen.lock().unwrap(), [("first", 203, fields, path.clone()), ("second", 203, fields, path)]);

    let router = BadGatewayLayer::for_router().validate(note("router", Err(HttpRequestDenied)));
    let Ok(response) = router.layer(upstream(600)).oneshot(get()).await;
    assert_eq!(response.status(), 403, "a router's layer does what it is told");
}

#[tokio::test]
async fn a_failure_of_a_validator_is_answered_as_it_is() {
    let layer = BadGatewayLayer::new().validate(|_: &ResponseHead<'_>, _: &RequestContext| {
        let failure = Failure::new(ProxyLoopDetected).with_phase(Phase::Connect).with_message("Round and round.");
        Err::<(), _>(failure)
    });
    let Ok(response) = layer.layer(Mock::ok()).oneshot(request("GET", &[("accept", "text/plain")])).await;
    assert_eq!(response.extensions().get::<Failure>().unwrap().phase(), Phase::Connect);
    assert_eq!(text(response.into_body()).await.unwrap(), "502 Bad Gateway: Round and round.\n");
}

/// It guards something: what it could not look at does not pass.
#[tokio::test]
async fn a_validator_that_panics_lets_nothing_pass() {
    let layer = BadGatewayLayer::new()
        .validate(|_: &ResponseHead<'_>, _: &RequestContext| -> Result<(), FailureKind> { panic!("no idea") });
    let Ok(response) = layer.layer(Mock::ok()).oneshot(get()).await;
    assert_eq!(response.status(), 500);
    assert_eq!(response.extensions().get::<Failure>().unwrap().kind(), ProxyInternalError);
}

#[tokio::test]
async fn a_body_where_none_may_be_is_dropped_at_once() {
    let token = Arc::new(());
    let held = Arc::clone(&token);
    let upstream = Mock::new(move |_| {
        let body = MockBody::of(["hello"]).holding(Arc::clone(&held));
        async { Ok(Response::builder().status(204).body(body).unwrap()) }
    });
    let Ok(response) = BadGatewayLayer::new().layer(upstream).oneshot(get()).await;
    assert_eq!(Arc::strong_count(&token), 1);
    assert!(response.body().is_end_stream());
    assert_eq!(response.body().size_hint().exact(), Some(0));
}

/// RFC 9110, section 9.3.2: the fields of GET, and servers make one of the length.
#[tokio::test]
async fn the_length_of_what_head_leaves_out_is_told() {
    let upstream = Mock::new(|_| async { Ok(Response::new(MockBody::of(["hello"]).exact(5))) });
    let Ok(response) = BadGatewayLayer::new().layer(upstream).oneshot(request("HEAD", &[])).await;
    let mut body = response.into_body();
    assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(5), false));
    assert!(body.frame().await.is_none());
    assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(0), true));
    assert!(body.frame().await.is_none());
}

/// No method gets content with these.
#[tokio::test]
async fn a_status_without_content_has_none_to_head_either() {
    for status in [204, 205, 304] {
        for method in ["GET", "HEAD"] {
            let upstream = Mock::new(move |_| async move {
                Ok(Response::builder().status(status).body(MockBody::of([]).ended()).unwrap())
            });
            let layer = BadGatewayLayer::new().intercept(Intercept::statuses([status]).without_content());
            let Ok(response) = layer.layer(upstream).oneshot(request(method, &[])).await;
            assert!(response.extensions().get::<Failure>().is_some(), "{method} {status}");
        }
    }
}
