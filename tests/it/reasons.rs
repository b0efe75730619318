//! Why the layer itself has decided so: in the private cause, and nowhere else.

use std::time::Duration;

use http::{Request, Response, Version};
use http_body_util::{BodyExt, Empty};
use tower::{Layer, ServiceExt};
use tower_bad_gateway::{BadGatewayLayer, Failure, FailureKind, context::Timeouts, validate::SizeLimits};

use crate::mock::{
    Mock, MockBody, Ready,
    Step::{Data, Silence, Trailers},
    get, request,
};

const SECOND: Duration = Duration::from_secs(1);
/// What no reason may hold: the value of a field.
const CANARY: &str = "canary-7f3a";

/// The failure, of the head or of the body, and what the client has read.
async fn failure(layer: BadGatewayLayer, request: Request<Empty<bytes::Bytes>>, upstream: Mock) -> (Failure, String) {
    let Ok(response) = layer.silent().layer(upstream).oneshot(request).await;
    let (head, body) = response.into_parts();
    let content = match body.collect().await {
        Ok(content) => String::from_utf8(content.to_bytes().to_vec()).unwrap(),
        Err(error) => return (error.failure().clone(), String::new()),
    };
    (head.extensions.get::<Failure>().unwrap().clone(), content)
}

fn head(status: u16, version: Version, fields: &[(&str, &str)], body: MockBody) -> Mock {
    let mut response = Response::builder().status(status).version(version);
    for (name, value) in fields {
        response = response.header(*name, *value);
    }
    answering(response.body(body).unwrap())
}

fn answering(response: Response<MockBody>) -> Mock {
    let response = std::sync::Mutex::new(Some(response));
    Mock::new(move |_| {
        let response = response.lock().unwrap().take().unwrap();
        async { Ok(response) }
    })
}

#[tokio::test(start_paused = true)]
async fn every_decision_of_the_layer_says_which_rule_and_what_was_seen() {
    let new = BadGatewayLayer::new;
    let ok = |fields: &[(&str, &str)]| head(200, Version::HTTP_11, fields, MockBody::of(["ok"]));
    let body = |fields: &[(&str, &str)], steps: Vec<crate::mock::Step>| {
        head(200, Version::HTTP_11, fields, MockBody::steps(steps))
    };
    let upgrade = || request("GET", &[("connection", "upgrade"), ("upgrade", "websocket")]);
    let own = |timeouts: Timeouts| {
        let mut request = get();
        request.extensions_mut().insert(timeouts);
        request
    };
    let grpc = || request("POST", &[("content-type", "application/grpc"), ("grpc-timeout", "7S")]);
    let long = ("x-long", CANARY);
    let rows = [
        (new(), get(), head(999, Version::HTTP_11, &[], MockBody::of([])), "status 999 is above 599"),
        (
            new(),
            get(),
            head(103, Version::HTTP_11, &[], MockBody::of([])),
            "status 103 is interim, and came as the final response",
        ),
        (
            new(),
            get(),
            head(101, Version::HTTP_11, &[("upgrade", CANARY)], MockBody::of([])),
            "101 to a request that asked for no upgrade",
        ),
        (new(), upgrade(), head(101, Version::HTTP_11, &[], MockBody::of([])), "101 without Upgrade"),
        (
            new(),
            upgrade(),
            head(101, Version::HTTP_11, &[("upgrade", CANARY)], MockBody::of([])),
            "101 to a protocol that the request did not ask for",
        ),
        (new(), get(), ok(&[("transfer-encoding", CANARY)]), "Transfer-Encoding is not chunked"),
        (
            new(),
            get(),
            ok(&[("transfer-encoding", "chunked, canary-7f3a")]),
            "Transfer-Encoding names more than chunked",
        ),
        (
            new(),
            get(),
            ok(&[("transfer-encoding", "chunked"), ("content-length", "2")]),
            "Content-Length beside Transfer-Encoding",
        ),
        (new(), get(), ok(&[("content-length", CANARY)]), "Content-Length is no number, or several"),
        (
            new(),
            get(),
            head(200, Version::HTTP_2, &[("connection", CANARY)], MockBody::of([])),
            "a field that is for one connection (Connection, Keep-Alive, Transfer-Encoding...) over HTTP/2",
        ),
        (
            new().limit_fields(SizeLimits::new().field(12)),
            get(),
            ok(&[long]),
            "x-long has 21 bytes, of 12 (limit_fields)",
        ),
        (
            new().limit_fields(SizeLimits::new().section(20)),
            get(),
            ok(&[long]),
            "the section has 21 bytes, of 20 (limit_fields)",
        ),
        (new().head_timeout(2 * SECOND), get(), Mock::silent(), "no response head within 2s (head_timeout)"),
        (new(), own(Timeouts::new().head(3 * SECOND)), Mock::silent(), "no response head within 3s (head_timeout)"),
        (new().total_timeout(4 * SECOND), get(), Mock::silent(), "no response head within 4s (total_timeout)"),
        (new(), grpc(), Mock::silent(), "no response head within 7s (client_deadline)"),
        (new(), get(), Mock::ok().ready([Ready::Never]), "not ready within 10s (ready_timeout)"),
        (
            new(),
            get(),
            body(&[("content-length", "100")], vec![Data("forty"), Silence]),
            "5 of 100 bytes, then silent for 45s (idle_timeout)",
        ),
        (new().idle_timeout(6 * SECOND), get(), body(&[], vec![Data("a"), Silence]), "silent for 6s (idle_timeout)"),
        (
            new().idle_timeout(6 * SECOND).total_timeout(3 * SECOND),
            get(),
            body(&[("content-length", "9")], vec![Data("a"), Silence]),
            "1 of 9 bytes, then not complete within 3s (total_timeout)",
        ),
        (new(), get(), body(&[("content-length", "9")], vec![Data("a")]), "1 of 9 bytes, then the end"),
        (new(), get(), body(&[("content-length", "9")], vec![Data("a"), Trailers]), "1 of 9 bytes, then the end"),
        (new(), get(), body(&[("content-length", "1")], vec![Data("ab")]), "more than the 1 bytes that were promised"),
    ];
    let mut wrong = Vec::new();
    for (layer, request, upstream, expected) in rows {
        let (failure, content) = failure(layer, request, upstream).await;
        let chain = failure.private_chain().to_string();
        let late = failure.limit().is_some();
        if !chain.ends_with(&format!(": {expected}"))
            || chain.contains(CANARY)
            || content.contains(expected)
            || (late && failure.elapsed().is_none())
        {
            wrong.push((expected, chain, failure.elapsed(), content));
        }
    }
    assert!(wrong.is_empty(), "(expected, private chain, elapsed, content): {wrong:#?}");
}

/// To whom it is disclosed, and to nobody else.
#[cfg(all(feature = "json", feature = "proxy-status"))]
#[tokio::test]
async fn a_reason_is_told_to_those_who_may_see_it() {
    let mut seen = Vec::new();
    for discloses in [false, true] {
        let layer = BadGatewayLayer::new().disclose(move |_| discloses).silent();
        let Ok(response) = layer.layer(head(999, Version::HTTP_11, &[], MockBody::of([]))).oneshot(get()).await;
        let content = response.into_body().collect().await.unwrap().to_bytes();
        seen.push(String::from_utf8_lossy(&content).contains("status 999 is above 599"));
    }
    assert_eq!(seen, [false, true]);
    assert_eq!(FailureKind::HttpProtocolError.summary(), "the upstream sent an invalid response");
}
