//! Nothing private in what a client is shown, where no socket is needed to see it: failures that handlers make, every kind and
//! limit, and clients of every version. What upstreams put on the wire is for `tests/wire/canaries.rs`.

use std::{io, time::Duration};

use bytes::Bytes;
use http::{HeaderName, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Empty};
use tower::{Layer, ServiceExt};
use tower_bad_gateway::{
    BadGatewayLayer, Failure, FailureKind, GatewayName,
    failure::{Parameter, Phase},
};

use crate::mock::{Mock, MockBody, Ready};

const SECRET: &str = "canary7f3a91";

/// Everything private that a failure may hold.
fn laden(kind: FailureKind, phase: Phase) -> Failure {
    let cause = io::Error::other(io::Error::new(io::ErrorKind::ConnectionRefused, SECRET));
    let text = || format!("{SECRET}-text").into();
    let name = || HeaderName::from_static(SECRET);
    [
        Parameter::Rcode(text()),
        Parameter::AlertMessage(text()),
        Parameter::StatusPhrase(text()),
        Parameter::Coding(text()),
        Parameter::HeaderName(name()),
        Parameter::TrailerName(name()),
    ]
    .into_iter()
    .fold(Failure::new(kind).with_phase(phase).with_source(cause), Failure::with_parameter)
}

fn request(version: Version, accept: &str, content_type: &str) -> Request<Empty<Bytes>> {
    Request::builder()
        .method("POST")
        .version(version)
        .uri(format!("http://{SECRET}.example/{SECRET}?{SECRET}"))
        .header("accept", format!("{accept}, application/{SECRET};q=0.1"))
        .header("content-type", content_type)
        .header("cookie", SECRET)
        .header("x-request-id", SECRET)
        .header("grpc-timeout", "1S")
        .body(Empty::new())
        .unwrap()
}

/// Head and content, as text.
async fn shown(layer: BadGatewayLayer, upstream: Mock, request: Request<Empty<Bytes>>) -> (StatusCode, String) {
    let Ok(response) = layer.layer(upstream).oneshot(request).await;
    let (head, body) = response.into_parts();
    let content = body.collect().await.unwrap().to_bytes();
    let mut text = format!("{:?} {:?} ", head.version, head.headers);
    text.push_str(std::str::from_utf8(&content).unwrap());
    (head.status, text)
}

const CLIENTS: [(&str, &str); 5] = [
    ("application/problem+json", "text/plain"),
    ("application/json", "text/plain"),
    ("text/html", "text/plain"),
    ("text/plain", "text/plain"),
    ("*/*", "application/grpc"),
];

#[tokio::test(start_paused = true)]
async fn nothing_private_of_a_failure_or_a_request_is_shown() {
    let named =
        |layer: BadGatewayLayer| layer.gateway_name(GatewayName::from_static("edge-1")).upstream(SECRET).silent();
    let mut count = 0;
    let mut wrong = Vec::new();
    for (accept, content_type) in CLIENTS {
        for version in [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2] {
            let request = || request(version, accept, content_type);
            let mut answers = Vec::new();
            for kind in FailureKind::ALL {
                for phase in [Phase::Unknown, Phase::Connect, Phase::ResponseBody] {
                    // A handler's, in the extensions of its answer, and the error of a service.
                    let handler = Mock::new(move |_| async move {
                        let mut response =
                            Response::builder().header(SECRET, SECRET).body(MockBody::of([SECRET])).unwrap();
                        response.extensions_mut().insert(laden(*kind, phase));
                        Ok(response)
                    });
                    answers.push(shown(named(BadGatewayLayer::for_router()), handler, request()).await);
                    let failing = Mock::failing(move || laden(*kind, phase));
                    answers.push(shown(named(BadGatewayLayer::new()), failing, request()).await);
                }
            }
            let second = Duration::from_secs(1);
            for (layer, upstream) in [
                (BadGatewayLayer::new().total_timeout(second), Mock::silent()),
                (BadGatewayLayer::new().head_timeout(second), Mock::silent()),
                (BadGatewayLayer::new().head_timeout(None), Mock::silent().ready([Ready::Never])),
                (BadGatewayLayer::new(), Mock::ok().ready([Ready::Broken])),
            ] {
                // By the client's own deadline where it has one.
                answers.push(shown(named(layer), upstream, request()).await);
            }
            for (status, text) in answers {
                count += 1;
                if text.contains(SECRET) || (status != 200) == (content_type == "application/grpc") {
                    wrong.push((status, text));
                }
            }
        }
    }
    println!("{count} answers, {} with something private", wrong.len());
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// So that the test above can fail: who may see it does.
#[tokio::test]
async fn whoever_may_see_it_is_shown_the_cause() {
    let layer = || BadGatewayLayer::new().gateway_name(GatewayName::from_static("edge-1")).silent().disclose(|_| true);
    for (accept, content_type) in CLIENTS {
        let failing = Mock::failing(|| laden(FailureKind::DnsError, Phase::Resolve));
        let (_, text) = shown(layer(), failing, request(Version::HTTP_11, accept, content_type)).await;
        assert!(text.contains(SECRET), "{text}");
    }
}
