//! Responses that are answered in their place, although nothing is wrong with them.

use std::time::Duration;

use http::{HeaderName, HeaderValue, Request, Response, StatusCode, Version};
use http_body_util::Empty;
use tower::{Layer, ServiceExt};
use tower_bad_gateway::{
    BadGatewayLayer, Failure,
    FailureKind::*,
    context::RequestContext,
    format::{PublicFailure, Representation},
    validate::{Intercept, ResponseHead},
};

use crate::mock::{Mock, MockBody, get, map, request, text};

type Fields = &'static [(&'static str, &'static str)];

/// When to come back, how to log in, what is allowed: without these fields the status says half.
#[tokio::test]
async fn an_intercepted_response_leaves_what_its_client_needs() {
    let intercepting =
        || BadGatewayLayer::new().retry_after(Duration::from_secs(9)).intercept(Intercept::statuses(400..=999));
    let upstream = |status: u16, retry_after: &'static str| {
        Mock::new(move |_| async move {
            let response = Response::builder()
                .status(status)
                .header("retry-after", retry_after)
                .header("www-authenticate", "Basic realm=\"a\"")
                .header("www-authenticate", "Bearer")
                .header("allow", "GET")
                .header("set-cookie", "secret")
                .header("content-length", "6")
                .header("server", "secret");
            Ok(response.body(MockBody::of(["secret"])).unwrap())
        })
    };
    let fields = |response: &Response<_>| -> Vec<String> {
        let names = ["retry-after", "www-authenticate", "allow", "set-cookie", "server"];
        let values = names.iter().flat_map(|name| response.headers().get_all(*name));
        values.map(|value| value.to_str().unwrap().to_owned()).collect()
    };
    let others = ["Basic realm=\"a\"", "Bearer", "GET"];
    for (status, retry_after) in
        [(503, "120"), (503, "Fri, 31 Dec 1999 23:59:59 GMT"), (401, "0"), (405, "x"), (500, "")]
    {
        let layer = intercepting().header(HeaderName::from_static("retry-after"), HeaderValue::from_static("1"));
        let Ok(response) = layer.layer(upstream(status, retry_after)).oneshot(get()).await;
        assert_eq!(response.status(), status);
        assert_eq!(fields(&response), [&[retry_after], &others[..]].concat());
        let shown = text(response.into_body()).await.unwrap();
        assert_eq!(shown.contains("\"retry_after\":120"), retry_after == "120" && cfg!(feature = "json"), "{shown}");
        assert!(!shown.contains("secret"));
    }
    // Whatever is asked for: the framing is that of the answer.
    let all = ["content-length", "content-type", "connection", "transfer-encoding", "proxy-status", "set-cookie"];
    let rule =
        Intercept::from(StatusCode::SERVICE_UNAVAILABLE).keep_no_fields().keep_fields(all.map(HeaderName::from_static));
    let Ok(response) = BadGatewayLayer::new().intercept(rule).layer(upstream(503, "120")).oneshot(get()).await;
    assert_eq!(fields(&response), ["secret"]);
    assert_ne!(response.headers()["content-length"], "6");
    assert!(!response.headers().contains_key("connection"));
    // Of another status it says nothing.
    let elsewhere = intercepting().map_status(|_| StatusCode::BAD_GATEWAY);
    let Ok(response) = elsewhere.layer(upstream(503, "120")).oneshot(get()).await;
    assert_eq!((response.status().as_u16(), fields(&response).len()), (502, 0));
    // Nor where the failure is another one.
    let refusing =
        BadGatewayLayer::new().validate(|_: &ResponseHead<'_>, _: &RequestContext| Err(DestinationUnavailable));
    let Ok(response) = refusing.layer(upstream(503, "120")).oneshot(get()).await;
    assert_eq!((response.status().as_u16(), fields(&response).len()), (503, 0));
    let Ok(response) = intercepting()
        .layer(upstream(503, "120"))
        .oneshot(request("POST", &[("content-type", "application/grpc")]))
        .await;
    assert_eq!(response.status(), 200);
    assert!(!response.headers().contains_key("www-authenticate"));
}

/// What is intercepted, and what passes: by status, by content as far as the head says, by route.
#[tokio::test]
async fn a_rule_intercepts_what_all_of_its_conditions_fit() {
    let by_route = |_: &ResponseHead<'_>, request: &RequestContext| request.path().starts_with("/shop/");
    let bare = || Intercept::server_errors().without_content();
    let full = || MockBody::of(["a"]);
    let empty = || MockBody::of([]).ended();
    type Row = (&'static str, Intercept, &'static str, &'static str, u16, fn() -> MockBody, Fields, bool);
    let rows: [Row; 19] = [
        ("another class", Intercept::server_errors(), "GET", "/", 404, full, &[], false),
        ("the class", Intercept::server_errors(), "GET", "/", 500, full, &[], true),
        ("its end", Intercept::server_errors(), "GET", "/", 599, full, &[], true),
        ("another class", Intercept::client_errors(), "GET", "/", 500, full, &[], false),
        ("the class", Intercept::client_errors(), "GET", "/", 499, full, &[], true),
        ("one status", StatusCode::GONE.into(), "GET", "/", 410, full, &[], true),
        ("one status", StatusCode::GONE.into(), "GET", "/", 404, full, &[], false),
        ("unsorted", Intercept::statuses([504, 404, 502]), "GET", "/", 404, full, &[], true),
        ("by numbers", Intercept::statuses(502..=504), "GET", "/", 501, full, &[], false),
        ("a length", bare(), "GET", "/", 500, full, &[("content-length", "1")], false),
        ("an unknown length", bare(), "GET", "/", 500, full, &[], false),
        ("a length of 0", bare(), "GET", "/", 500, empty, &[("content-length", "0")], true),
        ("an ended body", bare(), "GET", "/", 500, empty, &[], true),
        ("HEAD", bare(), "HEAD", "/", 500, empty, &[("content-length", "7")], false),
        ("HEAD, no length", bare(), "HEAD", "/", 500, empty, &[], false),
        ("HEAD, a length of 0", bare(), "HEAD", "/", 500, empty, &[("content-length", "0")], true),
        ("a route", Intercept::any().when(by_route), "GET", "/shop/1", 500, full, &[], true),
        ("another route", Intercept::any().when(by_route), "GET", "/api/1", 500, full, &[], false),
        ("both", bare().when(by_route), "GET", "/shop/1", 500, full, &[], false),
    ];
    let mut wrong = Vec::new();
    for (what, rule, method, path, status, body, fields, expected) in rows {
        for router in [false, true] {
            let layer = if router { BadGatewayLayer::for_router() } else { BadGatewayLayer::new() };
            let upstream = Mock::new(move |_| async move {
                let mut response = Response::builder().status(status).body(body()).unwrap();
                *response.headers_mut() = map(fields);
                Ok(response)
            });
            let request = Request::builder().method(method).uri(path).body(Empty::new()).unwrap();
            let Ok(response) = layer.intercept(rule.clone()).layer(upstream).oneshot(request).await;
            let failure = response.extensions().get::<Failure>();
            let is_intercepted = failure.is_some_and(|failure| {
                failure.kind() == ReceivedStatus && failure.upstream_status().unwrap() == status
            });
            if response.status() != status || is_intercepted != expected {
                wrong.push((what, method, path, router, response.status(), is_intercepted));
            }
        }
    }
    assert!(wrong.is_empty(), "(row, method, path, router, got, intercepted): {wrong:?}");
}

/// There is no error in a 200: it is answered like a failure nobody knows more of.
#[tokio::test]
async fn a_response_that_is_no_error_is_intercepted_with_502() {
    let Ok(response) = BadGatewayLayer::new().intercept(StatusCode::OK).layer(Mock::ok()).oneshot(get()).await;
    assert_eq!(response.status(), 502);
    assert_eq!(response.extensions().get::<Failure>().unwrap().upstream_status(), Some(StatusCode::OK));
}

/// An upstream that refuses a request works: the page does not say that it failed, nor advises to load it again.
#[cfg(feature = "html")]
#[tokio::test]
async fn the_page_of_an_intercepted_4xx_is_about_the_request() {
    let rows = [
        (401, "Not allowed", "Trying again will not help."),
        (403, "Not allowed", "Trying again will not help."),
        (404, "There is no such page", "Check the address."),
        (410, "There is no such page", "Check the address."),
        (422, "The server did not accept the request", "Trying again will not help."),
        (429, "Too busy at the moment", "Wait a moment."),
        (500, "The server reported an error", "Wait a moment, then load this page again."),
    ];
    for (status, heading, next) in rows {
        let upstream =
            Mock::new(
                move |_| async move { Ok(Response::builder().status(status).body(MockBody::of(["a"])).unwrap()) },
            );
        let layer = BadGatewayLayer::new().intercept(Intercept::statuses(400..=599));
        let Ok(response) = layer.layer(upstream).oneshot(request("GET", &[("accept", "text/html")])).await;
        let page = text(response.into_body()).await.unwrap();
        assert!(page.contains(&format!("<h1>{heading}</h1>")) && page.contains(&format!("<li>{next}</li>")), "{page}");
        assert_eq!(page.contains("Where it failed"), status >= 500, "{page}");
    }
}

/// Each call adds to those before, and to those that are kept by default.
#[tokio::test]
async fn kept_fields_are_added_to_the_usual_ones() {
    const RATE: HeaderName = HeaderName::from_static("ratelimit");
    const REASON: HeaderName = HeaderName::from_static("x-reason");
    let rule = Intercept::client_errors;
    let rows = [
        (rule(), ["9", "-", "-"]),
        (rule().keep_fields([RATE]).keep_fields([REASON, RATE]), ["9", "1", "2"]),
        (rule().keep_no_fields().keep_fields([REASON]), ["-", "-", "2"]),
        (rule().keep_fields([RATE]).keep_no_fields(), ["-", "-", "-"]),
    ];
    for (rule, expected) in rows {
        let upstream = Mock::new(|_| async {
            let response = Response::builder()
                .status(429)
                .header("retry-after", "9")
                .header("ratelimit", "1")
                .header("x-reason", "2");
            Ok(response.body(MockBody::of(["a"])).unwrap())
        });
        let Ok(response) = BadGatewayLayer::new().intercept(rule).layer(upstream).oneshot(get()).await;
        let got = ["retry-after", "ratelimit", "x-reason"].map(|name| {
            let lines: Vec<_> = response.headers().get_all(name).iter().map(|line| line.to_str().unwrap()).collect();
            if lines.is_empty() { "-".to_owned() } else { lines.join("|") }
        });
        assert_eq!(got, expected);
    }
}

/// Some statuses are nothing without their field.
#[tokio::test(start_paused = true)]
async fn a_status_that_needs_a_field_keeps_it() {
    const LAYER: fn() -> BadGatewayLayer = BadGatewayLayer::new;
    let intercepting = || LAYER().intercept(Intercept::any());
    let upgrade: Fields = &[("connection", "upgrade"), ("upgrade", "websocket")];
    let mut wrong = Vec::new();
    for (what, layer, version, status, sent, left, is_answered) in [
        ("426", LAYER(), Version::HTTP_11, 426, upgrade, upgrade, false),
        // It has no such field, nor has HTTP/1.0 such a switch.
        ("426 over HTTP/2", LAYER(), Version::HTTP_2, 426, upgrade, &[][..], false),
        ("426 over HTTP/1.0", LAYER(), Version::HTTP_10, 426, upgrade, &[], false),
        ("426, intercepted", intercepting(), Version::HTTP_11, 426, upgrade, upgrade, false),
        (
            "401",
            intercepting(),
            Version::HTTP_11,
            401,
            &[("www-authenticate", "Basic")],
            &[("www-authenticate", "Basic")],
            true,
        ),
        (
            "407",
            intercepting(),
            Version::HTTP_11,
            407,
            &[("proxy-authenticate", "Basic")],
            &[("proxy-authenticate", "Basic")],
            true,
        ),
        ("405", intercepting(), Version::HTTP_11, 405, &[("allow", "GET")], &[("allow", "GET")], true),
    ] {
        let upstream = Mock::new(move |_| {
            let mut response = Response::builder().status(status);
            response.headers_mut().unwrap().extend(map(sent));
            async move { Ok(response.body(MockBody::of(["hello"])).unwrap()) }
        });
        let mut request = get();
        *request.version_mut() = version;
        let Ok(response) = layer.layer(upstream).oneshot(request).await;
        let names = ["connection", "upgrade", "www-authenticate", "proxy-authenticate", "allow"];
        let got: Vec<_> =
            names.iter().filter_map(|name| Some((*name, response.headers().get(*name)?.to_str().unwrap()))).collect();
        let is_failure = response.extensions().get::<Failure>().is_some();
        if (response.status().as_u16(), &*got, is_failure) != (status, left, is_answered) {
            wrong.push((what, format!("{} {got:?} {is_failure}", response.status())));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test(start_paused = true)]
async fn the_delay_of_an_intercepted_response_is_digits() {
    let mut wrong = Vec::new();
    for (sent, seconds) in
        [("5", Some(5)), ("0", Some(0)), ("+5", None), ("-5", None), ("", None), ("5.0", None), ("1e3", None)]
    {
        let upstream = Mock::new(move |_| async move {
            Ok(Response::builder().status(503).header("retry-after", sent).body(MockBody::of([])).unwrap())
        });
        let seen = |failure: &PublicFailure<'_>| {
            let seconds = failure.retry_after().map(|delay| delay.as_secs());
            Representation::new(HeaderValue::from_static("text/plain"), format!("{seconds:?}"))
        };
        let layer = BadGatewayLayer::new().intercept(Intercept::server_errors()).format(seen);
        let Ok(response) = layer.layer(upstream).oneshot(get()).await;
        let got = text(response.into_body()).await.unwrap();
        if got != format!("{seconds:?}") {
            wrong.push((sent, got));
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}
