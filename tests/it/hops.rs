//! Whose fault it was, as the next hop is told: `Proxy-Status`, the origin of a failure, and to whom more is said.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use tower::{Layer, ServiceExt};
use tower_bad_gateway::{
    BadGatewayLayer, Failure, FailureKind, GatewayName,
    context::{RequestContext, RequestId},
    failure::Parameter,
    proxy_status::ProxyStatus,
    validate::ResponseHead,
};

use crate::{
    held::{answering, failure, of},
    mock::{Mock, MockBody, Step, get, map, request},
};

const SECOND: Duration = Duration::from_secs(1);

fn named() -> BadGatewayLayer {
    BadGatewayLayer::new().gateway_name(GatewayName::from_static("edge-1")).upstream("billing")
}

/// Refuses every 5xx and answers in its place.
fn intercepting() -> BadGatewayLayer {
    named().validate(
        |head: &ResponseHead<'_>, _: &RequestContext| {
            if head.status().is_server_error() { Err(FailureKind::ReceivedStatus) } else { Ok(()) }
        },
    )
}

fn told(fields: &[(&'static str, &'static str)], status: u16) -> Mock {
    let mut response = Response::builder().status(status).body(MockBody::of(["nginx"])).unwrap();
    *response.headers_mut() = map(fields);
    answering(response)
}

fn refused() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionRefused, "10.1.2.3:80 refused")
}

async fn asked<S, B>(service: S, request: Request<Empty<Bytes>>) -> (Response<()>, String)
where
    S: tower::Service<Request<Empty<Bytes>>, Response = Response<B>, Error = std::convert::Infallible>,
    B: http_body::Body<Data = Bytes>,
    B::Error: std::fmt::Debug,
{
    let Ok(response) = service.oneshot(request).await;
    let (head, body) = response.into_parts();
    let content = body.collect().await.unwrap().to_bytes();
    (Response::from_parts(head, ()), String::from_utf8(content.to_vec()).unwrap())
}

fn field(response: &Response<()>) -> Option<String> {
    let lines: Vec<_> = response.headers().get_all("proxy-status").iter().map(|line| line.to_str().unwrap()).collect();
    assert!(lines.len() <= 1, "{lines:?}");
    lines.first().map(|line| (*line).to_owned())
}

#[tokio::test]
async fn a_gateway_with_a_name_tells_what_failed() {
    let (response, _) = asked(named().layer(Mock::failing(refused)), get()).await;
    assert_eq!(field(&response).as_deref(), Some("edge-1;error=connection_refused"));
    let grpc = request("POST", &[("content-type", "application/grpc")]);
    let (response, _) = asked(named().layer(Mock::failing(refused)), grpc).await;
    assert_eq!(field(&response).as_deref(), Some("edge-1;error=connection_refused"));
    let (response, _) = asked(BadGatewayLayer::new().layer(Mock::failing(refused)), get()).await;
    assert_eq!(field(&response), None);
}

#[tokio::test]
async fn a_response_that_is_passed_on_keeps_what_it_has_and_gets_nothing() {
    let by = "origin;error=dns_error;details=\"kept\"";
    for status in [200, 404, 502] {
        let (response, _) = asked(named().layer(told(&[("proxy-status", by)], status)), get()).await;
        assert_eq!(field(&response).as_deref(), Some(by));
        let (response, _) = asked(named().layer(told(&[], status)), get()).await;
        assert_eq!(field(&response), None);
        for layer in [named(), named().hold_head(SECOND), BadGatewayLayer::for_router()] {
            let stripped = layer.strip_proxy_status().layer(told(&[("proxy-status", by)], status));
            assert_eq!(field(&asked(stripped, get()).await.0), None);
        }
        let empty = named().strip_proxy_status().layer(told(&[("proxy-status", by)], status));
        assert_eq!(field(&asked(empty, request("HEAD", &[])).await.0), None);
    }
}

#[tokio::test]
async fn trailers_lose_it_as_well_where_it_is_to_be_removed() {
    let steps = || [Step::Data("ok"), Step::Fields(&[("proxy-status", "origin;error=dns_error"), ("x-checksum", "1")])];
    let left = async |layer: BadGatewayLayer| {
        let Ok(response) = layer.layer(of(steps())).oneshot(get()).await;
        let trailers = response.into_body().collect().await.unwrap().trailers().cloned().unwrap_or_default();
        (trailers.contains_key("proxy-status"), trailers.contains_key("x-checksum"))
    };
    assert_eq!(left(named()).await, (true, true));
    assert_eq!(left(named().strip_proxy_status()).await, (false, true));
    assert_eq!(left(BadGatewayLayer::for_router().strip_proxy_status()).await, (false, true));
}

#[tokio::test]
async fn those_who_told_of_a_refused_response_come_first() {
    let by =
        [("proxy-status", "origin;error=dns_error;rcode=\"NXDOMAIN\""), ("proxy-status", "cdn;received-status=502")];
    let (response, _) = asked(intercepting().layer(told(&by, 503)), get()).await;
    assert_eq!(response.status(), 503);
    let expected = "origin;error=dns_error, cdn;received-status=502, edge-1;received-status=503";
    assert_eq!(field(&response).as_deref(), Some(expected));

    let failure = response.extensions().get::<Failure>().unwrap();
    let origin = failure.origin().unwrap();
    assert_eq!((origin.name(), origin.kind()), ("origin", Some(FailureKind::DnsError)));
    assert_eq!(failure.intermediaries().len(), 2);

    let (response, _) = asked(intercepting().strip_proxy_status().layer(told(&by, 503)), get()).await;
    assert_eq!(field(&response).as_deref(), Some("edge-1;received-status=503"));
    assert_eq!(response.extensions().get::<Failure>().unwrap().origin().unwrap().name(), "origin");

    // No list: nothing of it can be believed.
    let (response, _) = asked(intercepting().layer(told(&[("proxy-status", "origin;error=")], 503)), get()).await;
    assert_eq!(field(&response).as_deref(), Some("edge-1;received-status=503"));
    assert!(response.extensions().get::<Failure>().unwrap().origin().is_none());
}

/// The head was good, and is refused for what is wrong with its body.
#[tokio::test(start_paused = true)]
async fn a_body_that_breaks_under_a_held_head_is_a_refused_response_too() {
    let broken = || {
        let mut response = Response::new(MockBody::steps([Step::Fail(io::ErrorKind::ConnectionReset)]));
        *response.headers_mut() = map(&[("proxy-status", "cdn;received-status=200")]);
        answering(response)
    };
    let ours = "edge-1;error=connection_terminated;received-status=200";
    let all = format!("cdn;received-status=200, {ours}");
    let held = named().peek(false).hold_head(SECOND);
    for (layer, expected) in [
        (named(), &*all),
        (held.clone(), &all),
        // It is kept from clients alone.
        (named().strip_proxy_status(), ours),
        (held.strip_proxy_status(), ours),
    ] {
        let (response, _) = asked(layer.layer(broken()), get()).await;
        assert_eq!(response.status(), 502);
        assert_eq!(field(&response).as_deref(), Some(expected));
        assert_eq!(failure(&response).unwrap().intermediaries().len(), 1);
    }
}

#[tokio::test]
async fn an_inner_gateways_answer_is_passed_by_an_outer_one_in_the_same_process() {
    let inner = || BadGatewayLayer::new().gateway_name(GatewayName::from_static("inner")).layer(Mock::failing(refused));
    let (response, _) = asked(named().layer(inner()), get()).await;
    assert_eq!(field(&response).as_deref(), Some("inner;error=connection_refused"));
    // Nothing of the inside passes a border, whoever has written it.
    for border in [named(), BadGatewayLayer::for_router()] {
        let (response, _) = asked(border.strip_proxy_status().layer(inner()), get()).await;
        assert_eq!((response.status().as_u16(), field(&response)), (502, None));
    }
}

/// A body that an inner layer has told of, under a head that the outer one holds.
#[tokio::test(start_paused = true)]
async fn a_response_that_an_inner_layer_has_passed_on_is_refused_with_those_who_told_of_it() {
    let mut response = Response::new(MockBody::steps([Step::Wait(SECOND), Step::Fail(io::ErrorKind::ConnectionReset)]));
    *response.headers_mut() = map(&[("proxy-status", "cdn;received-status=200")]);
    let inner = BadGatewayLayer::new().layer(answering(response));
    let (response, _) = asked(named().hold_head(2 * SECOND).layer(inner), get()).await;
    let expected = "cdn;received-status=200, edge-1;error=connection_terminated;received-status=200";
    assert_eq!((response.status().as_u16(), field(&response).as_deref()), (502, Some(expected)));
}

/// What was written for one failure is not sent with another.
#[tokio::test]
async fn the_field_is_that_of_this_failure_and_this_client() {
    let failures = Arc::new(Mutex::new(VecDeque::new()));
    let next = Arc::clone(&failures);
    let service = named()
        .disclose(|request| request.headers().contains_key("x-debug"))
        .layer(Mock::failing(move || next.lock().unwrap().pop_front().unwrap()));
    let kind = || Failure::new(FailureKind::HttpResponseBodySize).with_source(refused());
    let few = "edge-1;error=http_response_body_size";
    let rows = [
        (
            true,
            kind(),
            format!("{few};next-hop=billing;details=\"http_response_body_size in unknown: 10.1.2.3:80 refused\""),
        ),
        (false, kind(), few.to_owned()),
        (false, kind().with_upstream_status(StatusCode::OK), format!("{few};received-status=200")),
        (false, kind().with_upstream_status(StatusCode::CREATED), format!("{few};received-status=201")),
        (false, kind().with_parameter(Parameter::BodySize(7)), format!("{few};body-size=7")),
        (false, kind().with_parameter(Parameter::BodySize(8)), format!("{few};body-size=8")),
        (false, kind(), few.to_owned()),
        (false, FailureKind::DnsError.into(), "edge-1;error=dns_error".to_owned()),
        (
            true,
            kind(),
            format!("{few};next-hop=billing;details=\"http_response_body_size in unknown: 10.1.2.3:80 refused\""),
        ),
        (false, kind(), few.to_owned()),
    ];
    let mut wrong = Vec::new();
    for (debug, failure, expected) in rows {
        failures.lock().unwrap().push_back(failure);
        let fields: &[_] = if debug { &[("x-debug", "1")] } else { &[] };
        let got = field(&asked(service.clone(), request("GET", fields)).await.0);
        if got.as_deref() != Some(&*expected) {
            wrong.push((got, expected));
        }
    }
    assert!(wrong.is_empty(), "(got, expected): {wrong:#?}");
}

#[tokio::test]
async fn a_status_that_was_mapped_is_the_one_that_is_told() {
    let layer = named().map_status(|_| StatusCode::TOO_MANY_REQUESTS);
    let late = || {
        Failure::new(FailureKind::HttpRequestError).with_parameter(Parameter::StatusCode(StatusCode::REQUEST_TIMEOUT))
    };
    let (response, _) = asked(layer.layer(Mock::failing(late)), get()).await;
    assert_eq!(field(&response).as_deref(), Some("edge-1;error=http_request_error;status-code=429"));
}

#[tokio::test]
async fn a_gateway_has_one_name_and_one_field() {
    let user = (HeaderName::from_static("proxy-status"), HeaderValue::from_static("somebody"));
    let layer = BadGatewayLayer::new()
        .header(user.0, user.1)
        .gateway_name(GatewayName::from_static("old"))
        .gateway_name(GatewayName::from_static("new"));
    for content_type in ["", "application/grpc"] {
        let request = request("POST", &[("content-type", content_type)]);
        let (response, _) = asked(layer.layer(Mock::failing(refused)), request).await;
        assert_eq!(field(&response).as_deref(), Some("new;error=connection_refused"));
    }
}

#[tokio::test]
async fn the_origin_is_the_first_that_tells_of_a_failure() {
    let by =
        [("proxy-status", "app-lb, gw-b;error=dns_error, gw-a;error=http_protocol_error, cdn;received-status=502")];
    let (response, _) = asked(intercepting().layer(told(&by, 502)), get()).await;
    assert_eq!(failure(&response).unwrap().origin().unwrap().name(), "gw-b");
    let (response, _) =
        asked(intercepting().layer(told(&[("proxy-status", "cdn;received-status=502")], 502)), get()).await;
    assert!(failure(&response).unwrap().origin().is_none(), "nobody tells of a failure");
}

#[tokio::test]
async fn only_who_may_see_it_is_told_more() {
    let layer = || {
        intercepting().disclose(|request| {
            let token = request.headers().get("x-debug").is_some_and(|token| token == "t");
            token && request.uri().path() == "/path" && request.method() == "GET"
        })
    };
    let few = request("GET", &[("x-debug", "u"), ("accept", "application/json")]);
    let (response, content) = asked(layer().layer(Mock::failing(refused)), few).await;
    assert_eq!(field(&response).as_deref(), Some("edge-1;error=connection_refused"));
    assert!(!content.contains("10.1.2.3") && !content.contains("cause"), "{content}");
    for accept in ["application/json", "application/problem+json"] {
        let by = [("proxy-status", "origin-name;error=dns_error;details=\"no such name\"")];
        let (_, content) = asked(layer().layer(told(&by, 502)), request("GET", &[("accept", accept)])).await;
        assert!(!content.contains("origin") && !content.contains("no such name"), "{content}");
    }

    for accept in ["application/json", "application/problem+json"] {
        let all = || request("GET", &[("x-debug", "t"), ("accept", accept)]);
        let (response, content) = asked(layer().layer(Mock::failing(refused)), all()).await;
        let details = "connection_refused in connect: 10.1.2.3:80 refused";
        let expected = format!("edge-1;error=connection_refused;next-hop=billing;details=\"{details}\"");
        assert_eq!(field(&response), Some(expected));
        let document: serde_json::Value = serde_json::from_str(&content).unwrap();
        assert_eq!(document["cause"], details);
        assert!(document.get("origin").is_none());

        let by = [("proxy-status", "origin;error=dns_error;details=\"no such name\"")];
        let (response, content) = asked(layer().layer(told(&by, 502)), all()).await;
        let document: serde_json::Value = serde_json::from_str(&content).unwrap();
        assert_eq!(document["origin"], serde_json::json!({"name": "origin", "code": "dns_error"}));
        assert!(field(&response).unwrap().starts_with("origin;error=dns_error;details=\"no such name\", edge-1;"));
    }
}

#[tokio::test]
async fn a_predicate_that_panics_discloses_nothing() {
    let layer = named().disclose(|_| panic!("a hook"));
    let (response, _) = asked(layer.layer(Mock::failing(refused)), get()).await;
    assert_eq!(field(&response).as_deref(), Some("edge-1;error=connection_refused"));
}

#[tokio::test]
async fn an_error_that_cannot_be_printed_is_answered_all_the_same() {
    #[derive(Debug)]
    struct Unprintable;
    impl std::fmt::Display for Unprintable {
        fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            panic!("an error")
        }
    }
    impl std::error::Error for Unprintable {}
    let (response, _) = asked(named().silent().disclose(|_| true).layer(Mock::failing(|| Unprintable)), get()).await;
    assert_eq!((response.status().as_u16(), field(&response).as_deref()), (502, Some("edge-1")));
}

/// A name twice is not a document everyone reads alike.
#[tokio::test]
async fn a_member_of_the_users_own_is_not_in_the_way() {
    use tower_bad_gateway::format::Json;
    let format = Json::new().member("cause", "mine").member("origin", "mine").member("service", "billing");
    let layer = intercepting().format(format).disclose(|_| true);
    let (_, content) = asked(layer.layer(told(&[("proxy-status", "cdn;error=dns_error")], 502)), get()).await;
    let document: serde_json::Value = serde_json::from_str(&content).unwrap();
    assert_eq!((&document["service"], &document["origin"]["name"]), (&"billing".into(), &"cdn".into()));
    assert_eq!((content.matches("\"cause\"").count(), content.matches("\"origin\"").count()), (1, 1), "{content}");
}

/// (fields, extension, the identifier that is shown)
#[tokio::test]
async fn the_identifier_of_a_request_is_taken_from_where_it_may_be_and_never_made_up() {
    const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let layer = || {
        let names = ["x-request-id", "traceparent"].map(HeaderName::from_static);
        names.into_iter().fold(named(), BadGatewayLayer::request_id_header)
    };
    let long = "x".repeat(129);
    let too_long = [("x-request-id", &*long)];
    let mut wrong = Vec::new();
    for (fields, extension, expected) in [
        (&[][..], None, None),
        (&[("x-request-id", "7f3a")], None, Some("7f3a")),
        (&[("x-request-id", "7f3a"), ("traceparent", TRACE)], None, Some("7f3a")),
        (&[("x-request-id", "7f3a")], Some("own"), Some("own")),
        (&[("x-request-id", "two words"), ("traceparent", TRACE)], None, Some("4bf92f3577b34da6a3ce929d0e0e4736")),
        (&[("x-request-id", "")], None, None),
        (&too_long, None, None),
        (&[("x-request-id", "a"), ("x-request-id", "a")], None, None),
        (&[("traceparent", TRACE), ("traceparent", TRACE)], None, None),
        (
            &[("traceparent", "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-new")],
            None,
            Some("4bf92f3577b34da6a3ce929d0e0e4736"),
        ),
        (&[("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-new")], None, None),
        (&[("traceparent", "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01new")], None, None),
        (&[("traceparent", "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")], None, None),
        (&[("traceparent", "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01")], None, None),
        (&[("traceparent", "00-00000000000000000000000000000000-00f067aa0ba902b7-01")], None, None),
        (&[("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01")], None, None),
        (&[("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b77-01")], None, None),
        (&[("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0g")], None, None),
        (&[("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7")], None, None),
    ] {
        let mut request = request("GET", fields);
        if let Some(id) = extension {
            request.extensions_mut().insert(RequestId::try_from(id).unwrap());
        }
        let (_, content) = asked(layer().layer(Mock::failing(refused)), request).await;
        let document: serde_json::Value = serde_json::from_str(&content).unwrap();
        if document.get("request_id").map(|id| id.as_str().unwrap()) != expected {
            wrong.push((fields, extension, expected, content));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");

    let (_, content) = asked(named().layer(Mock::failing(refused)), request("GET", &[("x-request-id", "7f3a")])).await;
    assert!(!content.contains("7f3a"), "by default no field is read: {content}");
}

#[tokio::test]
async fn every_format_shows_the_identifier() {
    for (accept, content_type) in [
        ("application/json", ""),
        ("application/problem+json", ""),
        ("text/plain", ""),
        #[cfg(feature = "html")]
        ("text/html", ""),
        ("", "application/grpc"),
    ] {
        let layer = named().request_id_header(HeaderName::from_static("x-request-id"));
        let fields = [("accept", accept), ("content-type", content_type), ("x-request-id", "7f3a-12")];
        let (response, content) = asked(layer.layer(Mock::failing(refused)), request("POST", &fields)).await;
        let message = response.headers().get("grpc-message").map_or("", |message| message.to_str().unwrap());
        assert!(
            content.contains("7f3a-12") || message.ends_with(" (reference: 7f3a-12)"),
            "{accept} {content} {message}"
        );
    }
}

#[tokio::test]
async fn what_was_written_can_be_read_back() {
    let (response, _) = asked(named().layer(Mock::failing(refused)), get()).await;
    let status = ProxyStatus::of(response.headers()).unwrap();
    assert_eq!(status.origin().unwrap().kind(), Some(FailureKind::ConnectionRefused));
}
