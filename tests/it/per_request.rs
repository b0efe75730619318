//! What a request changes by its extensions, and what of it is kept for formats and hooks.

use std::{
    io,
    sync::{Arc, Mutex},
};

use http::{HeaderName, HeaderValue, Request, Response, Version, header::HOST};
use http_body_util::Empty;
use tower::{Layer, ServiceExt};
use tower_bad_gateway::{
    BadGatewayLayer, Failure, FailureKind, RequestPolicy,
    format::{Format, Negotiate, PlainText, PublicFailure, Representation},
    validate::Intercept,
};

use crate::mock::{Mock, MockBody, get, text};

fn refusing() -> Mock {
    Mock::failing(|| io::Error::from(io::ErrorKind::ConnectionRefused))
}

fn not_found() -> Mock {
    Mock::new(|_| async { Ok(Response::builder().status(404).body(MockBody::of(["upstream"])).unwrap()) })
}

fn with(policy: RequestPolicy) -> Request<Empty<bytes::Bytes>> {
    let mut request = get();
    request.extensions_mut().insert(policy);
    request
}

#[tokio::test]
async fn a_request_may_have_a_format_of_its_own() {
    let other = |_: &PublicFailure<'_>| Representation::new(HeaderValue::from_static("text/plain"), "other");
    let layer = BadGatewayLayer::new().format(PlainText).format_for(FailureKind::ConnectionRefused, PlainText);
    let Ok(response) = layer.layer(refusing()).oneshot(with(RequestPolicy::new().format(other))).await;
    assert_eq!(text(response.into_body()).await.unwrap(), "other");
    let Ok(response) = layer.layer(refusing()).oneshot(get()).await;
    assert_eq!(text(response.into_body()).await.unwrap(), "502 Bad Gateway: the upstream refused the connection\n");
}

#[tokio::test]
async fn a_request_may_go_round_validators_but_not_round_http() {
    let layer = BadGatewayLayer::new().intercept(Intercept::client_errors());
    let Ok(response) = layer.layer(not_found()).oneshot(with(RequestPolicy::new().skip_validators())).await;
    assert!(response.extensions().get::<Failure>().is_none());
    assert_eq!(text(response.into_body()).await.unwrap(), "upstream");
    let Ok(response) = layer.layer(not_found()).oneshot(get()).await;
    assert!(response.extensions().get::<Failure>().is_some());

    let invalid = Mock::new(|_| async { Ok(Response::builder().status(999).body(MockBody::of(["a"])).unwrap()) });
    let Ok(response) = layer.layer(invalid).oneshot(with(RequestPolicy::new().skip_validators())).await;
    assert_eq!(response.status(), 502);
}

#[cfg(feature = "json")]
#[tokio::test]
async fn a_request_may_say_who_sees_what_is_private() {
    for (by_layer, by_request, expected) in [(false, Some(true), true), (true, Some(false), false), (true, None, true)]
    {
        let layer = BadGatewayLayer::new().disclose(move |_| by_layer);
        let policy = by_request.map_or(RequestPolicy::new(), |discloses| RequestPolicy::new().disclose(discloses));
        let Ok(response) = layer.layer(refusing()).oneshot(with(policy)).await;
        let shown = text(response.into_body()).await.unwrap();
        assert_eq!(shown.contains("\"cause\""), expected, "{by_layer} {by_request:?}: {shown}");
    }
}

/// Two pieces of middleware that do not know each other.
#[tokio::test]
async fn an_edit_keeps_what_is_there() {
    let mut request = get();
    RequestPolicy::edit(request.extensions_mut(), RequestPolicy::skip_validators);
    RequestPolicy::edit(request.extensions_mut(), |policy| policy.format(PlainText));
    let layer = BadGatewayLayer::new().intercept(Intercept::client_errors());
    let Ok(response) = layer.layer(not_found()).oneshot(request).await;
    assert!(response.extensions().get::<Failure>().is_none());
    let shown =
        format!("{:?}", RequestPolicy::new().skip_validators().skip_fallback().disclose(true).format(PlainText));
    assert_eq!(
        shown,
        "RequestPolicy { message: None, skips_validators: true, skips_fallback: true, discloses: Some(true), format: true }"
    );
}

/// A format that says what it reads, alone and behind a negotiation.
struct ByHost;

impl Format for ByHost {
    fn write(&self, failure: &PublicFailure<'_>) -> Representation {
        let request = failure.request().unwrap();
        let field = |name: &HeaderName| request.field(name).map_or("-", |value| value.to_str().unwrap());
        let line = format!(
            "{} {} {} {}",
            request.method(),
            request.path(),
            field(&HOST),
            field(&HeaderName::from_static("x-b"))
        );
        Representation::new(HeaderValue::from_static("text/plain"), line)
    }

    fn reads(&self) -> Vec<HeaderName> {
        vec![HOST]
    }
}

#[tokio::test]
async fn a_format_gets_what_it_reads_and_no_more() {
    let request = || {
        let request = Request::builder().uri("/a?b=c").header("host", "shop.example").header("x-b", "d");
        request.body(Empty::new()).unwrap()
    };
    let absolute = || {
        let request = Request::builder().uri("https://me:secret@other.example/a").version(Version::HTTP_2);
        request.header("host", "wrong").body(Empty::new()).unwrap()
    };
    let x_b = HeaderName::from_static("x-b");
    let rows = [
        ("by itself", BadGatewayLayer::new().format(ByHost), request(), "GET /a shop.example -"),
        (
            "negotiated",
            BadGatewayLayer::new().format(Negotiate::empty().offer("text/plain", ByHost)),
            request(),
            "GET /a shop.example -",
        ),
        (
            "for a kind",
            BadGatewayLayer::new().format_for(FailureKind::ConnectionRefused, ByHost),
            request(),
            "GET /a shop.example -",
        ),
        (
            "and another",
            BadGatewayLayer::new().capture_fields([x_b]).format(ByHost),
            request(),
            "GET /a shop.example d",
        ),
        ("of the target", BadGatewayLayer::new().format(ByHost), absolute(), "GET /a other.example -"),
    ];
    for (what, layer, request, expected) in rows {
        let Ok(response) = layer.layer(refusing()).oneshot(request).await;
        assert_eq!(text(response.into_body()).await.unwrap(), expected, "{what}");
    }
}

#[tokio::test]
async fn a_hook_sees_the_fields_that_were_kept() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let see = Arc::clone(&seen);
    let layer = BadGatewayLayer::new().capture_fields([HOST]).on_failure(move |event| {
        see.lock().unwrap().push(event.request().field(&HOST).cloned());
    });
    let request = Request::builder().header("host", "shop.example").body(Empty::new()).unwrap();
    let Ok(_) = layer.layer(refusing()).oneshot(request).await;
    assert_eq!(*seen.lock().unwrap(), [Some(HeaderValue::from_static("shop.example"))]);
}
