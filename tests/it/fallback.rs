//! A service that is asked for the content of an answer: when, with what, and what becomes of its answer.

use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version,
    header::{AUTHORIZATION, CACHE_CONTROL, COOKIE, LOCATION, RETRY_AFTER, SET_COOKIE},
    request::Parts,
    uri::PathAndQuery,
};
use http_body::Body as _;
use http_body_util::{BodyExt, Empty};
use tokio::time::Instant;
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn, util::BoxCloneSyncService};
use tower_bad_gateway::{
    BadGatewayLayer, BoxError, Failure, FailureKind, GatewayName, Upstream,
    context::RequestId,
    failure::{FailureClass, FallbackOutcome, Phase, TimeLimit},
    fallback::{EmptyBody, FailureView, Fallback},
    format::{PlainText, PublicFailure, Representation, Texts},
    validate::Intercept,
};

use crate::mock::{Mock, MockBody, Ready, Step, get, text};

const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

pub(crate) type Pages = BoxCloneSyncService<Request<EmptyBody>, Response<MockBody>, BoxError>;

/// A mock as the service of a fallback.
pub(crate) fn pages(mock: Mock) -> Pages {
    let service = ServiceBuilder::new().map_request(|request: Request<EmptyBody>| request.map(|_| Empty::new()));
    BoxCloneSyncService::new(service.service(mock))
}

/// Answers one page, with fields of all kinds.
pub(crate) fn page() -> Pages {
    pages(Mock::new(|_| async {
        let response = Response::builder()
            .header("content-type", "text/html")
            .header("content-language", "de")
            .header("content-security-policy", "default-src 'none'")
            .header("vary", "accept-language")
            .header("vary", "accept-encoding")
            .header("cache-control", "max-age=60")
            .header("etag", "\"1\"")
            .header("set-cookie", "a=b")
            .header("server", "secret")
            .header("location", "/elsewhere");
        Ok(response.body(MockBody::of(["page"])).unwrap())
    }))
}

pub(crate) fn refusing() -> Mock {
    Mock::failing(|| io::Error::from(io::ErrorKind::ConnectionRefused))
}

pub(crate) fn field(response: &Response<impl Sized>, name: &str) -> Vec<String> {
    response.headers().get_all(name).iter().map(|value| value.to_str().unwrap().to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn the_content_is_the_fallbacks_and_the_rest_is_the_layers() {
    let layer = BadGatewayLayer::new()
        .gateway_name(GatewayName::from_static("edge"))
        .retry_after(Duration::from_secs(7))
        .map_status(|_| StatusCode::SERVICE_UNAVAILABLE)
        .header(HeaderName::from_static("x-served-by"), HeaderValue::from_static("edge-1"))
        .fallback(page());
    let Ok(response) = layer.layer(refusing()).oneshot(get()).await;
    assert_eq!((response.status().as_u16(), response.version()), (503, Version::HTTP_11));
    let rows: &[(&str, &[&str])] = &[
        ("content-type", &["text/html"]),
        ("content-language", &["de"]),
        ("content-security-policy", &["default-src 'none'"]),
        ("vary", &["accept-language", "accept-encoding"]),
        ("cache-control", &["no-store"]),
        ("x-content-type-options", &["nosniff"]),
        ("retry-after", &["7"]),
        ("x-served-by", &["edge-1"]),
        ("etag", &[]),
        ("set-cookie", &[]),
        ("server", &[]),
        ("location", &[]),
    ];
    let shown = rows.iter().map(|(name, expected)| (name, field(&response, name), expected));
    let wrong: Vec<_> = shown.filter(|(_, got, expected)| got != *expected).collect();
    assert!(wrong.is_empty(), "(field, got, expected): {wrong:?}");
    if cfg!(feature = "proxy-status") {
        assert_eq!(field(&response, "proxy-status"), ["edge;error=connection_refused"]);
    }
    let failure = response.extensions().get::<Failure>().unwrap();
    assert_eq!(failure.kind(), FailureKind::ConnectionRefused);
    assert!(matches!(failure.fallback(), Some(FallbackOutcome::Answered)));
    assert_eq!(text(response.into_body()).await.unwrap(), "page");
}

#[tokio::test(start_paused = true)]
async fn status_caching_and_fields_are_the_fallbacks_where_that_was_asked_for() {
    let fallback = Fallback::new(page()).keep_status().keep_caching().keep_fields([SET_COOKIE, LOCATION]);
    let Ok(response) = BadGatewayLayer::new().fallback(fallback).layer(refusing()).oneshot(get()).await;
    assert_eq!(response.status(), 200);
    assert_eq!(field(&response, "cache-control"), ["max-age=60"]);
    assert_eq!(field(&response, "etag"), ["\"1\""]);
    assert_eq!(field(&response, "set-cookie"), ["a=b"]);
    assert_eq!(field(&response, "location"), ["/elsewhere"]);
    assert_eq!(field(&response, "server"), [""; 0]);
    assert_eq!(response.extensions().get::<Failure>().unwrap().kind(), FailureKind::ConnectionRefused);
}

/// What the fallback was asked with, of this layer and request.
async fn question(layer: impl FnOnce(Pages) -> BadGatewayLayer, request: Request<Empty<Bytes>>) -> Parts {
    let seen = Arc::new(Mutex::new(None));
    let see = Arc::clone(&seen);
    let asked = service_fn(move |request: Request<EmptyBody>| {
        let (parts, body) = request.into_parts();
        assert!(body.is_end_stream() && body.size_hint().exact() == Some(0));
        *see.lock().unwrap() = Some(parts);
        async { Ok::<_, BoxError>(Response::new(MockBody::of(["page"]))) }
    });
    let Ok(response) = layer(BoxCloneSyncService::new(asked)).layer(refusing()).oneshot(request).await;
    assert_eq!(text(response.into_body()).await.unwrap(), "page");
    seen.lock().unwrap().take().unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_fallback_sees_what_it_needs_of_the_request_and_no_more() {
    let request = || {
        Request::builder()
            .uri("/shop/1?token=secret")
            .version(Version::HTTP_2)
            .header("host", "shop.example")
            .header("accept", "text/html")
            .header("accept-language", "de, en;q=0.5")
            .header("x-request-id", "7f3a")
            .header("authorization", "secret")
            .header("cookie", "secret")
            .header("x-other", "secret")
            .body(Empty::new())
            .unwrap()
    };
    let id = HeaderName::from_static("x-request-id");
    let named = id.clone();
    let layer = |pages| BadGatewayLayer::new().message("Sorry.").fallback(pages).request_id_header(named);
    let parts = question(layer, request()).await;
    assert_eq!(
        (parts.method, parts.uri.to_string(), parts.version),
        (Method::GET, "/shop/1".to_owned(), Version::HTTP_11)
    );
    let mut fields: Vec<_> =
        parts.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    fields.sort_unstable();
    let expected = [
        ("accept", "text/html"),
        ("accept-language", "de, en;q=0.5"),
        ("host", "shop.example"),
        ("x-request-id", "7f3a"),
    ];
    assert_eq!(fields, expected);
    assert_eq!(parts.extensions.get::<RequestId>().unwrap().as_str(), "7f3a");
    let failure = parts.extensions.get::<FailureView>().unwrap();
    assert_eq!((failure.kind(), failure.status().as_u16()), (FailureKind::ConnectionRefused, 502));
    assert_eq!((failure.title(), failure.summary()), ("Connection refused", "Sorry."));
    assert_eq!(failure.request_id().unwrap().as_str(), "7f3a");
    assert!(failure.retry_after().is_none() && failure.gateway().is_none());

    let path = PathAndQuery::from_static("/errors/{status}.html?{code}");
    let layer = |pages| {
        BadGatewayLayer::new().fallback(Fallback::new(pages).path(path).forward_fields([COOKIE, AUTHORIZATION]))
    };
    let parts = question(layer, request()).await;
    assert_eq!(parts.uri.to_string(), "/errors/502.html?connection_refused");
    assert!(parts.headers.contains_key(COOKIE) && parts.headers.contains_key(AUTHORIZATION));

    // An absolute target, as of a proxy or over HTTP/2: its host goes before the field, and nobody is told a password.
    let absolute = Request::builder().uri("http://me:secret@shop.example:8080/1").header("host", "wrong");
    let layer = |pages| BadGatewayLayer::new().fallback(pages);
    let parts = question(layer, absolute.body(Empty::new()).unwrap()).await;
    assert_eq!(
        (parts.uri.to_string(), parts.headers["host"].to_str().unwrap()),
        ("/1".to_owned(), "shop.example:8080")
    );
}

#[tokio::test(start_paused = true)]
async fn only_a_failed_get_or_head_without_another_protocol_is_one_for_a_fallback() {
    let healthy = || Mock::ok();
    let upgrade = &[("connection", "upgrade"), ("upgrade", "websocket")];
    type Row = (&'static str, &'static str, fn() -> Mock, &'static [(&'static str, &'static str)], bool);
    let rows: [Row; 7] = [
        ("GET", "GET", refusing, &[], true),
        ("HEAD", "HEAD", refusing, &[], true),
        ("POST", "POST", refusing, &[], false),
        ("DELETE", "DELETE", refusing, &[], false),
        ("an upgrade", "GET", refusing, upgrade, false),
        ("gRPC", "POST", refusing, &[("content-type", "application/grpc")], false),
        ("a healthy response", "GET", healthy, &[], false),
    ];
    for (what, method, upstream, fields, expected) in rows {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let fallback = pages(Mock::new(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            async { Ok(Response::new(MockBody::of(["page"]))) }
        }));
        let request = crate::mock::request(method, fields);
        let Ok(response) = BadGatewayLayer::new().fallback(fallback).layer(upstream()).oneshot(request).await;
        let outcome = response.extensions().get::<Failure>().and_then(|failure| failure.fallback().cloned());
        assert_eq!((asked.load(Ordering::SeqCst) == 1, outcome.is_some()), (expected, expected), "{what}");
    }
}

/// In each row the format answers, after exactly this time, and both causes are there.
#[tokio::test(start_paused = true)]
async fn where_the_fallback_fails_the_format_answers() {
    type Row = (&'static str, Fallback, u64, FailureKind);
    let silent = || pages(Mock::silent());
    let status = |status: u16| {
        pages(Mock::new(move |_| async move {
            Ok(Response::builder().status(status).body(MockBody::of(["page"])).unwrap())
        }))
    };
    let broken = |steps: &'static [Step]| {
        pages(Mock::new(move |_| async move { Ok(Response::new(MockBody::steps(steps.iter().cloned()))) }))
    };
    let calls = service_fn(|_: Request<EmptyBody>| -> std::future::Ready<Result<Response<MockBody>, BoxError>> {
        panic!("in call")
    });
    let polls = service_fn(|_: Request<EmptyBody>| async {
        if true {
            panic!("in poll")
        }
        Ok::<_, BoxError>(Response::new(MockBody::of(["page"])))
    });
    let rows: Vec<Row> = vec![
        ("an error", pages(refusing()).into(), 0, FailureKind::ConnectionRefused),
        ("not ready", pages(Mock::ok().ready([Ready::Never])).into(), 2000, FailureKind::DestinationUnavailable),
        ("broken for good", pages(Mock::ok().ready([Ready::Refused])).into(), 0, FailureKind::ConnectionRefused),
        ("late", silent().into(), 2000, FailureKind::HttpResponseTimeout),
        (
            "late, by its own limit",
            Fallback::new(silent()).time_limit(Duration::from_millis(300)),
            300,
            FailureKind::HttpResponseTimeout,
        ),
        ("404", status(404).into(), 0, FailureKind::ReceivedStatus),
        ("a redirect", status(302).into(), 0, FailureKind::ReceivedStatus),
        ("500 of its own", Fallback::new(status(500)).keep_status(), 0, FailureKind::ReceivedStatus),
        ("an invalid status", Fallback::new(status(999)).keep_status(), 0, FailureKind::HttpProtocolError),
        (
            "a broken body",
            broken(&[Step::Fail(io::ErrorKind::ConnectionReset)]).into(),
            0,
            FailureKind::ConnectionTerminated,
        ),
        ("a panic in call", Fallback::new(calls), 0, FailureKind::ProxyInternalError),
        ("a panic in poll", Fallback::new(polls), 0, FailureKind::ProxyInternalError),
    ];
    let mut wrong = Vec::new();
    for (what, fallback, millis, kind) in rows {
        let start = Instant::now();
        let layer = BadGatewayLayer::new().format(PlainText).fallback(fallback);
        let Ok(response) = layer.layer(refusing()).oneshot(get()).await;
        let took = start.elapsed();
        let failure = response.extensions().get::<Failure>().unwrap().clone();
        let second = failure.fallback().and_then(FallbackOutcome::failure).map(Failure::kind);
        let shown = text(response.into_body()).await.unwrap();
        let is_right = failure.kind() == FailureKind::ConnectionRefused
            && second == Some(kind)
            && (Duration::from_millis(millis)..Duration::from_millis(millis + 2)).contains(&took)
            && shown == "502 Bad Gateway: the upstream refused the connection\n";
        if !is_right {
            wrong.push((what, took, failure, shown));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The time of the fallback is no time of the upstream.
#[tokio::test(start_paused = true)]
async fn the_elapsed_time_is_that_until_the_failure() {
    let layer = BadGatewayLayer::new().head_timeout(Duration::from_secs(3)).fallback(pages(Mock::silent()));
    let Ok(response) = layer.layer(Mock::silent()).oneshot(get()).await;
    let failure = response.extensions().get::<Failure>().unwrap();
    assert_eq!((failure.limit(), failure.elapsed().unwrap().as_secs()), (Some(TimeLimit::Head), 3));
}

#[tokio::test(start_paused = true)]
async fn as_many_ask_at_once_as_may() {
    let slow = pages(Mock::new(|_| async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok(Response::new(MockBody::steps([Step::Data("a"), Step::Silence])))
    }));
    let gateway = BadGatewayLayer::new().fallback(Fallback::new(slow).concurrency_limit(1)).layer(refusing());
    let outcome = |response: &Response<_>| response.extensions().get::<Failure>().unwrap().fallback().unwrap().as_str();
    let first = tokio::spawn(gateway.clone().oneshot(get()));
    tokio::task::yield_now().await;
    let Ok(second) = gateway.clone().oneshot(get()).await;
    assert_eq!((outcome(&second), second.status().as_u16()), ("busy", 502));
    let Ok(first) = first.await.unwrap();
    // Its head is here: a client that does not read its body keeps no place.
    let Ok(third) = gateway.clone().oneshot(get()).await;
    assert_eq!((outcome(&first), outcome(&third)), ("answered", "answered"));
    // Nor does one that has left.
    drop(tokio::time::timeout(Duration::from_millis(1), gateway.clone().oneshot(get())).await);
    let Ok(fourth) = gateway.oneshot(get()).await;
    assert_eq!(outcome(&fourth), "answered");
}

/// One report a call, with what the client got; of a body that breaks later a second one, of the fallback.
#[tokio::test(start_paused = true)]
async fn every_failure_is_reported_once_with_what_became_of_the_fallback() {
    let reports = Arc::new(Mutex::new(Vec::<String>::new()));
    let note = |name: &'static str| {
        let reports = Arc::clone(&reports);
        move |event: &tower_bad_gateway::FailureEvent<'_>| {
            let failure = event.failure();
            let outcome = failure.fallback().map_or("-", FallbackOutcome::as_str);
            let line =
                format!("{name} {} {} {outcome} {:?}", event.status().as_u16(), failure.kind(), event.upstream());
            reports.lock().unwrap().push(line);
        }
    };
    let left = Arc::clone(&reports);
    let layer = BadGatewayLayer::new()
        .upstream("shop")
        .on_failure(note("failure"))
        .on_body_failure(note("body"))
        .on_abandoned(move |_| left.lock().unwrap().push("abandoned".to_owned()));
    let taken = || std::mem::take(&mut *reports.lock().unwrap());

    let Ok(_) = layer.clone().fallback(page()).layer(refusing()).oneshot(get()).await;
    assert_eq!(taken(), ["failure 502 connection_refused answered Some(\"shop\")"]);

    let Ok(_) = layer.clone().fallback(Fallback::new(page()).keep_status()).layer(refusing()).oneshot(get()).await;
    assert_eq!(taken(), ["failure 200 connection_refused answered Some(\"shop\")"]);

    let waiting = layer.clone().fallback(pages(Mock::silent())).layer(refusing()).oneshot(get());
    assert!(tokio::time::timeout(Duration::from_secs(1), waiting).await.is_err());
    assert_eq!(taken(), ["failure 502 connection_refused abandoned Some(\"shop\")"]);

    let breaking = pages(Mock::new(|_| async {
        let steps = [Step::Data("a"), Step::Wait(Duration::from_secs(1)), Step::Fail(io::ErrorKind::ConnectionReset)];
        Ok(Response::new(MockBody::steps(steps)))
    }));
    let Ok(response) = layer.clone().fallback(breaking).layer(refusing()).oneshot(get()).await;
    let error = response.into_body().collect().await.unwrap_err();
    assert_eq!(error.failure().kind(), FailureKind::ConnectionTerminated);
    let expected =
        ["failure 502 connection_refused answered Some(\"shop\")", "body 502 connection_refused broken Some(\"shop\")"];
    assert_eq!(taken(), expected);

    let silent = pages(Mock::new(|_| async { Ok(Response::new(MockBody::steps([Step::Data("a"), Step::Silence]))) }));
    let Ok(response) = layer.fallback(silent).layer(refusing()).oneshot(get()).await;
    let start = Instant::now();
    let error = response.into_body().collect().await.unwrap_err();
    assert_eq!((error.failure().kind(), start.elapsed().as_secs()), (FailureKind::ConnectionReadTimeout, 2));
}

/// A page whose length was announced is whole, or the message is aborted.
#[tokio::test(start_paused = true)]
async fn a_fallback_that_is_cut_short_does_not_end_cleanly() {
    let short = pages(Mock::new(|_| async {
        Ok(Response::builder().header("content-length", "9").body(MockBody::of(["page"])).unwrap())
    }));
    let Ok(response) = BadGatewayLayer::new().fallback(short).layer(refusing()).oneshot(get()).await;
    assert_eq!(field(&response, "content-length"), ["9"]);
    assert!(response.into_body().collect().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn the_narrowest_scope_decides_which_fallback_is_asked() {
    let answering =
        |text: &'static str| pages(Mock::new(move |_| async move { Ok(Response::new(MockBody::of([text]))) }));
    let layer = BadGatewayLayer::new()
        .fallback(answering("usual"))
        .fallback_for(StatusCode::NOT_FOUND, answering("404"))
        .fallback_for(FailureKind::ConnectionRefused, answering("first"))
        .fallback_for(FailureKind::ConnectionRefused, answering("refused"))
        .fallback_for(FailureClass::Overload, answering("overload"))
        .intercept(StatusCode::NOT_FOUND);
    let not_found =
        Mock::new(|_| async { Ok(Response::builder().status(404).body(MockBody::of(["upstream"])).unwrap()) });
    let timeout = Mock::failing(|| Failure::new(FailureKind::HttpResponseTimeout));
    let full = Mock::failing(|| Failure::new(FailureKind::ConnectionLimitReached));
    for (upstream, expected) in [(refusing(), "refused"), (not_found, "404"), (timeout, "usual"), (full, "overload")] {
        let Ok(response) = layer.layer(upstream).oneshot(get()).await;
        assert_eq!(text(response.into_body()).await.unwrap(), expected);
    }
    // Without a fallback for all failures, the others are the format's.
    let layer = BadGatewayLayer::new().format(PlainText).fallback_for(StatusCode::NOT_FOUND, answering("404"));
    let Ok(response) = layer.layer(refusing()).oneshot(get()).await;
    assert!(response.extensions().get::<Failure>().unwrap().fallback().is_none());
}

/// Programs get what they ask for, and not a page.
#[tokio::test(start_paused = true)]
async fn a_fallback_for_browsers_leaves_programs_to_the_format() {
    let long = format!("text/html, {}", "a/b, ".repeat(1000));
    let rows = [
        ("text/html", true),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", true),
        ("application/json, Text/HTML;q=0.1", true),
        ("application/xhtml+xml", true),
        ("text/html;q=0, */*", false),
        ("application/json", false),
        ("text/*", false),
        ("*/*", false),
        ("", false),
        (&*long, false),
    ];
    let mut wrong = Vec::new();
    for (accept, expected) in rows {
        let request = crate::mock::request("GET", &[("accept", accept)]);
        let layer = BadGatewayLayer::new().fallback(Fallback::by_status(page()));
        let Ok(response) = layer.layer(refusing()).oneshot(request).await;
        let is_asked = response.extensions().get::<Failure>().unwrap().fallback().is_some();
        if is_asked != expected {
            wrong.push((accept, is_asked));
        }
    }
    assert!(wrong.is_empty(), "(accept, asked): {wrong:?}");
    let parts = question(
        |pages| BadGatewayLayer::new().fallback(Fallback::by_status(pages)),
        crate::mock::request("GET", &[("accept", "text/html")]),
    )
    .await;
    assert_eq!(parts.uri, "/502.html");
}

/// Whatever it is that has failed before the head went out.
#[tokio::test(start_paused = true)]
async fn a_fallback_answers_every_failure_before_the_head() {
    let peeked =
        Mock::new(|_| async { Ok(Response::new(MockBody::steps([Step::Fail(io::ErrorKind::ConnectionReset)]))) });
    let held = Mock::new(|_| async {
        let steps = [Step::Wait(Duration::from_secs(1)), Step::Fail(io::ErrorKind::ConnectionReset)];
        Ok(Response::new(MockBody::steps(steps)))
    });
    let handler = Mock::new(|_| async {
        let mut response = Response::new(MockBody::of([]));
        response.extensions_mut().insert(Failure::new(FailureKind::DnsTimeout));
        Ok(response)
    });
    let invalid = Mock::new(|_| async { Ok(Response::builder().status(999).body(MockBody::of(["a"])).unwrap()) });
    let rows = [
        ("not ready", Mock::ok().ready([Ready::Never]), Phase::Readiness),
        ("late", Mock::silent(), Phase::ResponseHead),
        ("a broken body", peeked, Phase::ResponseBody),
        ("a held body", held, Phase::ResponseBody),
        ("a handler's", handler, Phase::Unknown),
        ("an invalid head", invalid, Phase::ResponseHead),
    ];
    for (what, upstream, phase) in rows {
        let layer = BadGatewayLayer::new().hold_head(Duration::from_secs(5)).fallback(page());
        let Ok(response) = layer.layer(upstream).oneshot(get()).await;
        let failure = response.extensions().get::<Failure>().unwrap();
        assert_eq!((failure.phase(), failure.fallback().unwrap().as_str()), (phase, "answered"), "{what}");
        assert_eq!(text(response.into_body()).await.unwrap(), "page", "{what}");
    }
}

/// To HEAD the fields are those of GET, with the length, and there is no content.
#[tokio::test(start_paused = true)]
async fn head_is_asked_as_head() {
    let pages = pages(Mock::new(|request| async move {
        assert_eq!(*request.method(), Method::HEAD);
        Ok(Response::builder().header("content-length", "4").body(MockBody::of([]).ended()).unwrap())
    }));
    let request = crate::mock::request("HEAD", &[]);
    let Ok(response) = BadGatewayLayer::new().fallback(pages).layer(refusing()).oneshot(request).await;
    assert_eq!((response.status().as_u16(), field(&response, "content-length")), (502, vec!["4".to_owned()]));
    assert_eq!(text(response.into_body()).await.unwrap(), "");
}

/// What was named takes the place of what the layer and the user say; of what names the failure nothing can.
#[tokio::test(start_paused = true)]
async fn kept_fields_take_the_place_of_others() {
    const A: HeaderName = HeaderName::from_static("x-a");
    let answering = |status: u16| {
        pages(Mock::new(move |_| async move {
            let response = Response::builder()
                .status(status)
                .header("retry-after", "9")
                .header("x-a", "fallback")
                .header("location", "/login")
                .header("www-authenticate", "Basic")
                .header("cache-control", "max-age=60")
                .header("proxy-status", "second")
                .header("set-cookie", "a=b")
                .header("connection", "close");
            Ok(response.body(MockBody::of(["page"])).unwrap())
        }))
    };
    let layer = || {
        BadGatewayLayer::new()
            .gateway_name(GatewayName::from_static("edge"))
            .map_status(|_| StatusCode::SERVICE_UNAVAILABLE)
            .retry_after(Duration::from_secs(5))
            .header(A, HeaderValue::from_static("user"))
            .header(CACHE_CONTROL, HeaderValue::from_static("private"))
    };
    let named = || Fallback::new(answering(200)).keep_fields([A, RETRY_AFTER, PROXY_STATUS]);
    type Row = (&'static str, Fallback, u16, &'static [(&'static str, &'static str)]);
    let rows: [Row; 5] = [
        (
            "nothing",
            answering(200).into(),
            503,
            &[("retry-after", "5"), ("x-a", "user"), ("cache-control", "private"), ("location", "-")],
        ),
        ("by name", named(), 503, &[("retry-after", "9"), ("x-a", "fallback"), ("cache-control", "private")]),
        ("caching", named().keep_caching(), 503, &[("cache-control", "max-age=60")]),
        (
            "the status",
            Fallback::new(answering(302)).keep_status(),
            302,
            &[("location", "/login"), ("set-cookie", "-")],
        ),
        (
            "all",
            Fallback::upstream(answering(401)),
            401,
            &[
                ("www-authenticate", "Basic"),
                ("retry-after", "9"),
                ("x-a", "fallback"),
                ("cache-control", "max-age=60"),
                ("set-cookie", "a=b"),
                ("connection", "-"),
            ],
        ),
    ];
    let mut wrong = Vec::new();
    for (what, fallback, status, fields) in rows {
        let Ok(response) = layer().fallback(fallback).layer(refusing()).oneshot(get()).await;
        if response.status() != status {
            wrong.push((what, "status", vec![response.status().to_string()]));
        }
        for (name, expected) in fields {
            let got = field(&response, name);
            let expected: Vec<_> = Some((*expected).to_owned()).into_iter().filter(|value| value != "-").collect();
            if got != expected {
                wrong.push((what, name, got));
            }
        }
        if cfg!(feature = "proxy-status")
            && !field(&response, "proxy-status")[0].starts_with("edge;error=connection_refused")
        {
            wrong.push((what, "proxy-status", field(&response, "proxy-status")));
        }
    }
    assert!(wrong.is_empty(), "(row, field, got): {wrong:?}");
}

/// A shared cache must not give the page of a browser to a program, nor German to all.
#[tokio::test(start_paused = true)]
async fn the_answer_says_on_what_it_depends() {
    let plain = || pages(Mock::new(|_| async { Ok(Response::new(MockBody::of(["page"]))) }));
    let layer = BadGatewayLayer::new().format(PlainText).texts(Texts::new("de").unwrap());
    let rows = [
        (Fallback::new(plain()), "text/html", vec!["accept-language"]),
        (Fallback::by_status(plain()), "text/html", vec!["accept", "accept-language"]),
        (Fallback::by_status(plain()), "application/json", vec!["accept", "accept-language"]),
    ];
    for (fallback, accept, expected) in rows {
        let request = crate::mock::request("GET", &[("accept", accept)]);
        let Ok(response) = layer.clone().fallback(fallback).layer(refusing()).oneshot(request).await;
        assert_eq!(field(&response, "vary"), expected, "{accept}");
    }
}

/// The status that the fallback is told is that of the answer, also where it depends on what the call has found out.
#[tokio::test(start_paused = true)]
async fn the_fallback_is_told_the_status_of_the_answer() {
    let upstream = Mock::new(|_| async {
        let mut response = Response::builder().status(500).body(MockBody::of(["a"])).unwrap();
        response.extensions_mut().insert(Upstream::new("first"));
        Ok(response)
    });
    let seen = Arc::new(Mutex::new(None));
    let see = Arc::clone(&seen);
    let asked = service_fn(move |request: Request<EmptyBody>| {
        let status = request.extensions().get::<FailureView>().unwrap().status();
        *see.lock().unwrap() = Some((request.uri().path().to_owned(), status.as_u16()));
        async { Ok::<_, BoxError>(Response::new(MockBody::of(["page"]))) }
    });
    let layer = BadGatewayLayer::new()
        .intercept(Intercept::server_errors())
        .map_status(|failure| match failure.upstream() {
            Some(_) => StatusCode::SERVICE_UNAVAILABLE,
            None => failure.status(),
        })
        .fallback(Fallback::new(asked).path(PathAndQuery::from_static("/{status}")));
    let Ok(response) = layer.layer(upstream).oneshot(get()).await;
    assert_eq!(response.status(), 503);
    assert_eq!(seen.lock().unwrap().take().unwrap(), ("/503".to_owned(), 503));
}

/// What describes a message is true of no other one.
#[tokio::test(start_paused = true)]
async fn no_field_of_another_message_goes_along() {
    let request = Request::builder()
        .header("content-length", "5")
        .header("transfer-encoding", "chunked")
        .header("connection", "close")
        .header("x-tenant", "a");
    let names = ["content-length", "transfer-encoding", "connection", "x-tenant"].map(HeaderName::from_static);
    let layer = |pages| BadGatewayLayer::new().fallback(Fallback::new(pages).forward_fields(names));
    let parts = question(layer, request.body(Empty::new()).unwrap()).await;
    assert_eq!(parts.headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-tenant"]);

    let coded = Mock::new(|_| async {
        let response =
            Response::builder().status(503).header("content-encoding", "gzip").header("content-range", "bytes 0-1/2");
        Ok(response.header("retry-after", "Fri, 31 Dec 1999 23:59:59 GMT").body(MockBody::of(["a"])).unwrap())
    });
    let kept = ["content-encoding", "content-range", "retry-after"].map(HeaderName::from_static);
    let rule = Intercept::server_errors().keep_fields(kept);
    let layer = BadGatewayLayer::new().intercept(rule).retry_after(Duration::from_secs(5)).format(
        |failure: &PublicFailure<'_>| {
            Representation::new(HeaderValue::from_static("text/plain"), format!("{:?}", failure.retry_after()))
        },
    );
    let Ok(response) = layer.layer(coded).oneshot(get()).await;
    assert!(field(&response, "content-encoding").is_empty() && field(&response, "content-range").is_empty());
    // A date in the field, and no other time in the content.
    assert_eq!(field(&response, "retry-after"), ["Fri, 31 Dec 1999 23:59:59 GMT"]);
    assert_eq!(text(response.into_body()).await.unwrap(), "None");
}

/// A response that does not become the answer is dropped, and its drop is code of others.
#[tokio::test(start_paused = true)]
async fn a_panic_in_the_drop_of_a_fallback_does_not_escape() {
    #[derive(Debug)]
    struct Grenade(MockBody);
    impl Drop for Grenade {
        fn drop(&mut self) {
            panic!("in drop");
        }
    }
    impl http_body::Body for Grenade {
        type Data = Bytes;
        type Error = io::Error;
        fn poll_frame(
            mut self: std::pin::Pin<&mut Self>,
            cx: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, io::Error>>> {
            std::pin::Pin::new(&mut self.0).poll_frame(cx)
        }
    }
    let asked = service_fn(|_: Request<EmptyBody>| async {
        let response = Response::builder().status(404).body(Grenade(MockBody::of(["a"])));
        Ok::<_, BoxError>(response.unwrap())
    });
    let Ok(response) = BadGatewayLayer::new().format(PlainText).fallback(asked).layer(refusing()).oneshot(get()).await;
    assert_eq!(text(response.into_body()).await.unwrap(), "502 Bad Gateway: the upstream refused the connection\n");
}

/// Heading and sentence are in the same language.
#[tokio::test(start_paused = true)]
async fn a_fallback_is_told_in_the_language_of_the_client() {
    let german = Texts::new("de").unwrap().kind(FailureKind::ConnectionRefused, "Abgelehnt", "so nicht");
    let request = crate::mock::request("GET", &[("accept-language", "de")]);
    let parts = question(|pages| BadGatewayLayer::new().texts(german).fallback(pages), request).await;
    let failure = parts.extensions.get::<FailureView>().unwrap();
    assert_eq!((failure.title(), failure.title_language(), failure.summary()), ("Abgelehnt", "de", "so nicht"));
}
