//! What a client is answered.

use std::{borrow::Cow, io, time::Duration};

use http::{HeaderName, HeaderValue, Response, StatusCode, Version, header};
use http_body::Body;
use tower::{Layer, ServiceExt};
use tower_bad_gateway::{
    BadGatewayLayer, Failure, FailureKind, GatewayName, RequestPolicy,
    format::{Negotiate, PlainText, PublicFailure, Representation},
};

use crate::mock::{Mock, MockBody, get, request, text};

async fn answer(layer: BadGatewayLayer, kind: FailureKind) -> Response<String> {
    answer_to(layer, kind, get()).await
}

async fn answer_to(
    layer: BadGatewayLayer,
    kind: FailureKind,
    request: http::Request<http_body_util::Empty<bytes::Bytes>>,
) -> Response<String> {
    let Ok(response) = layer.layer(Mock::failing(move || Failure::new(kind))).oneshot(request).await;
    let (parts, body) = response.into_parts();
    Response::from_parts(parts, text(body).await.unwrap())
}

#[tokio::test]
async fn every_kind_is_answered_with_its_status_and_its_grpc_code() {
    let mut wrong = Vec::new();
    for &kind in FailureKind::ALL {
        let http = answer(BadGatewayLayer::new(), kind).await;
        let grpc =
            answer_to(BadGatewayLayer::new(), kind, request("POST", &[("content-type", "application/grpc")])).await;
        let code = grpc.headers()["grpc-status"].to_str().unwrap();
        let carried = |response: &Response<String>| response.extensions().get::<Failure>().map(Failure::kind);
        if http.status() != kind.status()
            || grpc.status() != 200
            || code != kind.grpc_code().to_string()
            || carried(&http) != Some(kind)
            || carried(&grpc) != Some(kind)
            || !grpc.body().is_empty()
        {
            wrong.push((kind, http.status(), grpc.status(), code.to_owned()));
        }
    }
    assert!(wrong.is_empty(), "(kind, status, status of gRPC, code): {wrong:?}");
}

#[cfg(feature = "json")]
#[tokio::test]
async fn an_answer_has_exactly_these_fields() {
    let response = answer(BadGatewayLayer::new(), FailureKind::ConnectionRefused).await;
    let mut fields: Vec<_> =
        response.headers().iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
    fields.sort();
    assert_eq!(
        fields,
        [
            "cache-control: no-store",
            "content-language: en",
            &format!("content-length: {}", response.body().len()),
            "content-type: application/problem+json",
            "vary: accept",
            "x-content-type-options: nosniff",
        ]
    );
}

#[tokio::test]
async fn nothing_of_the_refused_response_is_carried_over() {
    let upstream = Mock::new(|_| async {
        let response = Response::builder()
            .status(101)
            .version(Version::HTTP_10)
            .header("upgrade", "secret")
            .header("set-cookie", "secret")
            .header("etag", "secret")
            .header("content-encoding", "gzip")
            .header("content-range", "bytes 0-1/2")
            .header("location", "/secret")
            .header("proxy-status", "secret");
        let mut response = response.body(MockBody::of(["secret"])).unwrap();
        response.extensions_mut().insert("secret".to_owned());
        Ok(response)
    });
    let Ok(response) = BadGatewayLayer::new().layer(upstream).oneshot(get()).await;
    assert_eq!((response.status(), response.version()), (StatusCode::BAD_GATEWAY, Version::HTTP_11));
    assert!(response.extensions().get::<String>().is_none());
    let shown = format!("{:?}", response.headers());
    assert!(!shown.contains("secret") && !shown.contains("gzip") && !shown.contains("bytes"), "{shown}");
    assert_eq!(response.extensions().get::<Failure>().unwrap().upstream_status().unwrap(), 101);
    assert!(!text(response.into_body()).await.unwrap().contains("secret"));
}

#[tokio::test]
async fn head_is_answered_with_the_fields_of_get_and_no_content() {
    let get = answer(BadGatewayLayer::new(), FailureKind::DnsError).await;
    let head = answer_to(BadGatewayLayer::new(), FailureKind::DnsError, request("HEAD", &[])).await;
    assert_eq!(get.headers(), head.headers());
    assert_eq!(head.body(), "");
    assert_ne!(head.headers()["content-length"], "0");
}

#[tokio::test]
async fn retry_after_is_whole_seconds_never_zero_and_on_503_only() {
    let shown = async |delay: Option<Duration>, kind| {
        let response = answer(BadGatewayLayer::new().retry_after(delay), kind).await;
        response.headers().get(header::RETRY_AFTER).map(|value| value.to_str().unwrap().to_owned())
    };
    let unavailable = FailureKind::DestinationUnavailable;
    assert_eq!(shown(Some(Duration::ZERO), unavailable).await.as_deref(), Some("1"));
    assert_eq!(shown(Some(Duration::from_millis(1)), unavailable).await.as_deref(), Some("1"));
    assert_eq!(shown(Some(Duration::from_millis(2500)), unavailable).await.as_deref(), Some("3"));
    assert_eq!(shown(Some(Duration::from_secs(30)), unavailable).await.as_deref(), Some("30"));
    assert_eq!(shown(Some(Duration::MAX), unavailable).await, Some(u64::MAX.to_string()));
    assert_eq!(shown(None, unavailable).await, None);
    assert_eq!(shown(Some(Duration::from_secs(30)), FailureKind::ConnectionRefused).await, None);
}

#[tokio::test]
async fn there_is_one_retry_after_and_json_has_it_too() {
    let own = (header::RETRY_AFTER, HeaderValue::from_static("99"));
    let layer = || BadGatewayLayer::new().header(own.0.clone(), own.1.clone()).retry_after(Duration::from_secs(5));
    // Twice: the second answer may come from one that was written before.
    for _ in 0..2 {
        let plain = answer(BadGatewayLayer::new(), FailureKind::ConnectionLimitReached).await;
        assert!(!plain.body().contains("retry_after"));
        let response = answer(layer(), FailureKind::ConnectionLimitReached).await;
        assert_eq!(response.headers().get_all(header::RETRY_AFTER).iter().collect::<Vec<_>>(), ["5"]);
        #[cfg(feature = "json")]
        assert!(response.body().contains("\"retry_after\":5"), "{}", response.body());
    }
}

#[tokio::test]
async fn only_an_error_status_can_be_chosen() {
    let mapped = async |status: u16| {
        let status = StatusCode::from_u16(status).unwrap();
        answer(BadGatewayLayer::new().map_status(move |_| status), FailureKind::ConnectionRefused).await.status()
    };
    assert_eq!(mapped(503).await, 503);
    assert_eq!(mapped(404).await, 404);
    for status in [100, 101, 200, 204, 302, 304, 600, 999] {
        assert_eq!(mapped(status).await, 502, "{status}");
    }
}

#[tokio::test]
async fn a_mapped_503_may_say_when_to_come_back() {
    let layer = BadGatewayLayer::new().retry_after(Duration::from_secs(5)).map_status(|failure| match failure.kind() {
        FailureKind::ConnectionRefused => StatusCode::SERVICE_UNAVAILABLE,
        _ => failure.status(),
    });
    let response = answer(layer, FailureKind::ConnectionRefused).await;
    assert_eq!(response.headers()["retry-after"], "5");
}

/// The failure's own sentence, then the request's, then the layer's, then the summary.
#[tokio::test]
async fn the_most_specific_sentence_is_shown() {
    let shown = async |failure: Option<&'static str>, request: Option<&'static str>, layer: Option<&'static str>| {
        let upstream = Mock::failing(move || {
            let error = Failure::new(FailureKind::DnsError);
            match failure {
                Some(message) => error.with_message(message),
                None => error,
            }
        });
        let mut gateway = BadGatewayLayer::new().format(PlainText);
        if let Some(message) = layer {
            gateway = gateway.message(message);
        }
        let mut call = get();
        if let Some(message) = request {
            call.extensions_mut().insert(RequestPolicy::new().message(message));
        }
        let Ok(response) = gateway.layer(upstream).oneshot(call).await;
        let language = response.headers().contains_key("content-language");
        let text = text(response.into_body()).await.unwrap();
        (text.trim_start_matches("502 Bad Gateway: ").trim_end().to_owned(), language)
    };
    let own = |text: &str| (text.to_owned(), false);
    assert_eq!(shown(Some("failure"), Some("request"), Some("layer")).await, own("failure"));
    assert_eq!(shown(None, Some("request"), Some("layer")).await, own("request"));
    assert_eq!(shown(None, None, Some("layer")).await, own("layer"));
    assert_eq!(shown(None, None, None).await, (FailureKind::DnsError.summary().to_owned(), true));
    assert_eq!(shown(Some("two\r\nlines\u{0}"), None, None).await, own("two  lines"));
}

#[tokio::test]
async fn the_sentence_reaches_grpc_clients() {
    let layer = BadGatewayLayer::new().message("100 % kaputt \u{fc}");
    let response =
        answer_to(layer, FailureKind::DnsError, request("POST", &[("content-type", "application/grpc")])).await;
    assert_eq!(response.headers()["grpc-message"], "100 %25 kaputt %C3%BC");
}

#[tokio::test]
async fn users_fields_are_on_every_answer_and_on_nothing_else() {
    let layer = || {
        BadGatewayLayer::new()
            .header(HeaderName::from_static("x-served-by"), HeaderValue::from_static("edge-1"))
            .header(header::CONTENT_LENGTH, HeaderValue::from_static("5"))
            .header(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"))
    };
    let http = answer(layer(), FailureKind::DnsError).await;
    assert_eq!(http.headers()["x-served-by"], "edge-1");
    assert_eq!(http.headers()["content-length"], *http.body().len().to_string());
    assert!(!http.headers().contains_key("transfer-encoding"));
    let grpc =
        answer_to(layer(), FailureKind::DnsError, request("POST", &[("content-type", "application/grpc")])).await;
    assert_eq!(grpc.headers()["x-served-by"], "edge-1");
    assert!(!grpc.headers().contains_key("transfer-encoding"));
    let Ok(healthy) = layer().layer(Mock::ok()).oneshot(get()).await;
    assert!(healthy.headers().is_empty());
}

#[tokio::test]
async fn a_format_that_panics_is_replaced() {
    let layer =
        BadGatewayLayer::new().format(|_: &PublicFailure<'_>| -> Representation { panic!("a bug of the user's") });
    let response = answer(layer, FailureKind::ConnectionTimeout).await;
    assert_eq!(response.status(), 504);
    assert_eq!(response.body(), "504 Gateway Timeout: the connection to the upstream was not established in time\n");
}

#[tokio::test]
async fn whatever_of_a_users_panics_there_is_an_answer() {
    let panicking = |what| -> BadGatewayLayer {
        let layer = BadGatewayLayer::new();
        match what {
            "reader" => {
                layer.classify(|_: &tower_bad_gateway::classify::Cause<'_>| -> Option<FailureKind> { panic!() })
            }
            "status" => layer.map_status(|_| panic!()),
            "hook" => layer.on_failure(|_| panic!()),
            _ => unreachable!(),
        }
    };
    for what in ["reader", "status", "hook"] {
        let upstream = Mock::failing(|| io::Error::from(io::ErrorKind::ConnectionRefused));
        let Ok(response) = panicking(what).layer(upstream).oneshot(get()).await;
        assert_eq!(response.status(), 502, "{what}");
        let kind = response.extensions().get::<Failure>().unwrap().kind();
        assert_eq!(kind, FailureKind::ConnectionRefused, "{what}");
    }
}

#[tokio::test]
async fn a_format_sees_what_is_public_and_may_ask_for_more() {
    let layer = BadGatewayLayer::new()
        .gateway_name(GatewayName::from_static("edge-1"))
        .retry_after(Duration::from_secs(7))
        .format(|failure: &PublicFailure<'_>| {
            let text = format!(
                "{} {} {} {} {} {}",
                failure.kind(),
                failure.status().as_u16(),
                failure.title(),
                failure.gateway().unwrap(),
                failure.retry_after().unwrap().as_secs(),
                failure.failure().phase().as_str(),
            );
            Representation::new(HeaderValue::from_static("text/csv"), text)
        });
    let response = answer(layer, FailureKind::DestinationUnavailable).await;
    assert_eq!(response.body(), "destination_unavailable 503 Destination unavailable edge-1 7 unknown");
    assert!(!response.headers().contains_key("vary"), "nothing was negotiated");
}

#[tokio::test]
async fn offers_of_ones_own_join_the_usual_ones() {
    let csv = |_: &PublicFailure<'_>| {
        Representation::new(HeaderValue::from_static("text/csv"), Cow::from("a,b").into_owned())
    };
    let layer = || BadGatewayLayer::new().format(Negotiate::new().offer("text/csv", csv));
    let shown = async |accept| {
        let response = answer_to(layer(), FailureKind::DnsError, request("GET", &[("accept", accept)])).await;
        response.headers()["content-type"].to_str().unwrap().to_owned()
    };
    assert_eq!(shown("text/csv").await, "text/csv");
    assert_eq!(shown("text/plain").await, "text/plain; charset=utf-8");
    let none = BadGatewayLayer::new().format(Negotiate::empty());
    assert_eq!(answer(none, FailureKind::DnsError).await.headers()["content-type"], "text/plain; charset=utf-8");
}

/// A handler's failure is written once; what a layer has answered passes.
#[tokio::test]
async fn a_failure_in_a_response_is_answered_once() {
    let carrying = |failure: Failure| {
        Mock::new(move |_| {
            let mut response = Response::new(MockBody::of(["from the handler"]));
            *response.status_mut() = failure.status();
            response.extensions_mut().insert(failure.clone());
            async { Ok(response) }
        })
    };
    let outer = BadGatewayLayer::for_router().format(PlainText);
    let handler = carrying(Failure::new(FailureKind::ConnectionRefused));
    let Ok(response) = outer.clone().layer(handler).oneshot(get()).await;
    assert_eq!(response.status(), 502);
    let answered = response.extensions().get::<Failure>().unwrap().clone();
    assert_eq!(text(response.into_body()).await.unwrap(), "502 Bad Gateway: the upstream refused the connection\n");

    let Ok(response) = outer.layer(carrying(answered)).oneshot(get()).await;
    assert_eq!(text(response.into_body()).await.unwrap(), "from the handler");
}

#[tokio::test]
async fn a_healthy_response_is_what_the_upstream_sent() {
    let upstream = Mock::new(|_| async {
        let response =
            Response::builder().status(203).version(Version::HTTP_2).header("etag", "1").header("set-cookie", "a");
        let mut response = response.header("set-cookie", "b").body(MockBody::of(["ok"]).exact(2)).unwrap();
        response.extensions_mut().insert(7_u8);
        Ok(response)
    });
    let Ok(response) = BadGatewayLayer::new().layer(upstream).oneshot(get()).await;
    // Our own version: that of the upstream means nothing on our side.
    assert_eq!((response.status().as_u16(), response.version()), (203, Version::HTTP_11));
    assert_eq!(response.headers().len(), 3);
    assert_eq!(response.headers().get_all("set-cookie").iter().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(response.extensions().get(), Some(&7_u8));
    assert_eq!(response.body().size_hint().exact(), Some(2));
    assert!(response.extensions().get::<Failure>().is_none());
}

/// The upstream's own 5xx is a response like any other.
#[tokio::test]
async fn the_upstreams_own_errors_pass() {
    for status in [404, 500, 502, 503, 504, 599] {
        let upstream = Mock::new(move |_| async move {
            let response = Response::builder().status(status).header("retry-after", "0");
            Ok(response.body(MockBody::of(["mine"])).unwrap())
        });
        let Ok(response) = BadGatewayLayer::new().layer(upstream).oneshot(get()).await;
        assert_eq!((response.status().as_u16(), response.headers().len()), (status, 1));
        assert_eq!(text(response.into_body()).await.unwrap(), "mine");
    }
}
