//! What each format shows, and which one is used.

use std::io;

use http::{HeaderValue, Response, StatusCode, header};
use http_body::Body;
use tower::{Layer, ServiceExt};
use tower_bad_gateway::{
    BadGatewayLayer, Failure, FailureKind,
    context::RequestId,
    failure::FailureClass,
    format::{Empty, PlainText, PublicFailure, Representation, Static},
};

use crate::mock::{Mock, get, text};

/// The answer to a request with an identifier, after this failure.
async fn answer(layer: BadGatewayLayer, failure: Failure) -> (Response<()>, String) {
    let gateway = layer.layer(Mock::failing(move || failure.clone()));
    let mut request = get();
    request.extensions_mut().insert(RequestId::try_from("7f3a<12>").unwrap());
    let Ok(response) = gateway.oneshot(request).await;
    let (head, body) = response.into_parts();
    let length = body.size_hint().exact().unwrap();
    assert_eq!(head.headers["content-length"].to_str().unwrap(), length.to_string());
    (Response::from_parts(head, ()), text(body).await.unwrap())
}

fn refused() -> Failure {
    Failure::from_error(io::Error::from(io::ErrorKind::ConnectionRefused))
}

fn fixed(content: &'static str) -> Static {
    Static::new(HeaderValue::from_static("text/plain"), content)
}

#[tokio::test]
async fn a_static_answer_is_sent_to_the_byte() {
    let page = Static::new(HeaderValue::from_static("text/html"), &b"<p>Entschuldigung\xff"[..])
        .language(HeaderValue::from_static("de"))
        .field(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'"));
    let gateway = BadGatewayLayer::new().format(page).layer(Mock::failing(refused));
    let Ok(response) = gateway.oneshot(get()).await;
    assert_eq!(response.status(), 502);
    let field = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap());
    let shown = ["content-type", "content-language", "content-security-policy", "content-length", "vary"].map(field);
    assert_eq!(shown, [Some("text/html"), Some("de"), Some("default-src 'none'"), Some("18"), None]);
    let content = http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
    assert_eq!(content, &b"<p>Entschuldigung\xff"[..]);
}

#[tokio::test]
async fn a_file_is_read_when_the_layer_is_made_and_never_again() {
    let file = std::env::temp_dir().join(format!("tower-bad-gateway-{}.html", std::process::id()));
    std::fs::write(&file, "<p>first").unwrap();
    let page = Static::from_file(HeaderValue::from_static("text/html"), &file).unwrap();
    std::fs::write(&file, vec![b'x'; Representation::MAX_CONTENT + 1]).unwrap();
    let too_large = Static::from_file(HeaderValue::from_static("text/html"), &file).map_err(|error| error.kind());
    std::fs::remove_file(&file).unwrap();
    let missing = Static::from_file(HeaderValue::from_static("text/html"), &file).map_err(|error| error.kind());
    assert_eq!(too_large.unwrap_err(), io::ErrorKind::FileTooLarge);
    assert_eq!(missing.unwrap_err(), io::ErrorKind::NotFound);
    assert_eq!(answer(BadGatewayLayer::new().format(page), refused()).await.1, "<p>first");
}

#[tokio::test]
async fn an_empty_answer_has_no_content_and_no_media_type() {
    let (head, content) = answer(BadGatewayLayer::new().format(Empty), refused()).await;
    assert_eq!((head.status().as_u16(), &*content), (502, ""));
    assert_eq!(head.headers()["content-length"], "0");
    let described: Vec<_> = ["content-type", "content-language", "vary"]
        .into_iter()
        .filter(|name| head.headers().contains_key(*name))
        .collect();
    assert!(described.is_empty(), "{described:?}");
}

#[tokio::test]
async fn the_narrowest_format_counts_in_whatever_order_they_are_set() {
    let sets: [fn(BadGatewayLayer) -> BadGatewayLayer; 4] = [
        |layer| layer.format_for(FailureKind::DnsTimeout, fixed("kind")),
        |layer| layer.format_for(FailureClass::Timeout, fixed("class")),
        |layer| layer.format_for(StatusCode::GATEWAY_TIMEOUT, fixed("status")),
        |layer| layer.format(fixed("any")),
    ];
    let upwards = sets.iter().fold(BadGatewayLayer::new(), |layer, set| set(layer));
    let downwards = sets.iter().rev().fold(BadGatewayLayer::new(), |layer, set| set(layer));
    let again = upwards.clone().format_for(FailureKind::DnsTimeout, fixed("kind, again"));
    let mapped = upwards.clone().map_status(|failure| match failure.kind() {
        FailureKind::Unclassified => StatusCode::GATEWAY_TIMEOUT,
        _ => failure.status(),
    });
    let mut wrong = Vec::new();
    for (name, layer, kind, expected) in [
        ("upwards", &upwards, FailureKind::DnsTimeout, "kind"),
        ("upwards", &upwards, FailureKind::HttpResponseTimeout, "class"),
        ("upwards", &upwards, FailureKind::ConnectionRefused, "any"),
        ("downwards", &downwards, FailureKind::DnsTimeout, "kind"),
        ("downwards", &downwards, FailureKind::HttpResponseTimeout, "class"),
        ("downwards", &downwards, FailureKind::ConnectionRefused, "any"),
        ("set twice", &again, FailureKind::DnsTimeout, "kind, again"),
        ("by the status that is answered", &mapped, FailureKind::Unclassified, "status"),
    ] {
        let got = answer(layer.clone(), Failure::new(kind)).await.1;
        if got != expected {
            wrong.push((name, kind, got, expected));
        }
    }
    assert!(wrong.is_empty(), "(layer, kind, got, expected): {wrong:?}");
}

#[tokio::test]
async fn too_much_content_is_replaced_by_one_line() {
    let of = |size| {
        let format =
            move |_: &PublicFailure<'_>| Representation::new(HeaderValue::from_static("text/csv"), vec![b'x'; size]);
        answer(BadGatewayLayer::new().format(format), refused())
    };
    let (most, _) = of(Representation::MAX_CONTENT).await;
    let (more, content) = of(Representation::MAX_CONTENT + 1).await;
    assert_eq!((&most.headers()["content-type"], most.status().as_u16()), (&HeaderValue::from_static("text/csv"), 502));
    assert_eq!(
        (&*content, more.status().as_u16()),
        ("502 Bad Gateway: the upstream refused the connection (reference: 7f3a<12>)\n", 502)
    );
}

#[tokio::test]
async fn a_sentence_without_end_is_cut() {
    let layer = BadGatewayLayer::new().format(PlainText).message("\u{20ac}".repeat(100_000));
    let (_, content) = answer(layer, refused()).await;
    assert_eq!(content.matches('\u{20ac}').count(), 341);
}

#[cfg(feature = "json")]
mod json {
    use serde_json::{Value, json};
    use tower_bad_gateway::format::{Json, Problem};

    use super::*;

    async fn document(layer: BadGatewayLayer) -> Value {
        let (head, content) = answer(layer, refused()).await;
        assert!(head.headers()["content-type"].to_str().unwrap().ends_with("json"));
        serde_json::from_str(&content).unwrap()
    }

    #[tokio::test]
    async fn problem_details_have_the_members_they_are_given() {
        let problem = Problem::new()
            .types_under("https://errors.example/\"")
            .instance(|failure| Some(format!("urn:x:{}", failure.request_id()?)))
            .member("service", "bill\"ing\n")
            .member("status", 200)
            .member_with("host", |_| None)
            .member_with("error_type", |failure| Some(failure.kind().token().into()));
        assert_eq!(
            document(BadGatewayLayer::new().format(problem)).await,
            json!({
                "type": "https://errors.example/\"connection_refused", "title": "Connection refused",
                "detail": "the upstream refused the connection", "instance": "urn:x:7f3a<12>",
                "code": "connection_refused", "status": 502, "request_id": "7f3a<12>",
                "service": "bill\"ing\n", "error_type": "connection_refused"
            })
        );
    }

    #[tokio::test]
    async fn json_has_the_members_it_is_given() {
        let json = Json::new().member("tries", 1).member("tries", 2).member("error", "mine").member("x", json!([null]));
        assert_eq!(
            document(BadGatewayLayer::new().format(json)).await,
            json!({
                "error": "the upstream refused the connection", "message": "the upstream refused the connection",
                "code": "connection_refused", "status": 502, "request_id": "7f3a<12>", "tries": 2, "x": [null]
            })
        );
    }

    /// What follows from the kind alone is written once and kept: nothing else may come from there, or get there.
    #[tokio::test]
    async fn no_answer_is_shown_to_the_next_client() {
        type Change = fn(BadGatewayLayer) -> BadGatewayLayer;
        let plain: Change = |layer| layer;
        // A kind that no other test uses, so that this one begins with nothing kept.
        let failure = || Failure::new(FailureKind::HttpResponseTrailerSize);
        let ask = |layer: BadGatewayLayer, accept: &'static str, id: Option<&'static str>, failure: Failure| async move {
            let gateway = layer.silent().layer(Mock::failing(move || failure.clone()));
            let mut request = crate::mock::request("GET", &[("accept", accept)]);
            if let Some(id) = id {
                request.extensions_mut().insert(RequestId::try_from(id).unwrap());
            }
            let Ok(response) = gateway.oneshot(request).await;
            text(response.into_body()).await.unwrap()
        };
        let changes: [(&str, Change, Option<&'static str>); 9] = [
            ("message", |layer| layer.message("mine"), None),
            ("identifier", plain, Some("id-1")),
            ("status", |layer| layer.map_status(|_| StatusCode::GONE), None),
            (
                "delay",
                |layer| {
                    layer.map_status(|_| StatusCode::SERVICE_UNAVAILABLE).retry_after(std::time::Duration::from_secs(9))
                },
                None,
            ),
            ("base", |layer| layer.format(Problem::new().types_under("https://e.example/")), None),
            ("instance", |layer| layer.format(Problem::new().instance(|_| Some("urn:x".to_owned()))), None),
            ("member of a problem", |layer| layer.format(Problem::new().member("service", "mine")), None),
            ("member of JSON", |layer| layer.format(Json::new().member("service", "mine")), None),
            ("made member", |layer| layer.format(Json::new().member_with("service", |_| Some(1.into()))), None),
        ];
        let mut wrong = Vec::new();
        for accept in ["application/problem+json", "application/json"] {
            for (name, change, id) in &changes {
                let special = || ask(change(BadGatewayLayer::new()), accept, *id, failure());
                let before = special().await;
                let usual = ask(BadGatewayLayer::new(), accept, None, failure()).await;
                let after = special().await;
                if before != after || before == usual || usual.contains("mine") || !usual.contains("\"status\":502") {
                    wrong.push((accept, *name, before, usual, after));
                }
            }
        }
        assert!(wrong.is_empty(), "(accept, change, before, usual, after): {wrong:#?}");
    }

    #[tokio::test]
    async fn a_member_that_panics_leaves_one_line_of_text() {
        let json = Json::new().member_with("x", |_| panic!("a test of what happens then"));
        let (head, content) = answer(BadGatewayLayer::new().format(json), refused()).await;
        assert_eq!(head.status(), 502);
        assert!(content.starts_with("502 Bad Gateway: "), "{content}");
    }

    #[tokio::test]
    async fn no_member_stands_twice() {
        let reserved =
            ["type", "title", "status", "detail", "instance", "code", "error", "message", "retry_after", "request_id"];
        let problem = reserved.iter().fold(Problem::new(), |problem, name| problem.member(*name, "twice"));
        let json = reserved.iter().fold(Json::new(), |json, name| json.member(*name, "twice"));
        for layer in [BadGatewayLayer::new().format(problem), BadGatewayLayer::new().format(json)] {
            assert!(!answer(layer, refused()).await.1.contains("twice"));
        }
    }
}

#[cfg(feature = "html")]
mod html {
    use std::time::Duration;

    use tower_bad_gateway::{
        failure::{Blame, RetrySafety},
        format::{Html, Palette},
    };

    use super::*;

    async fn page(html: Html, failure: Failure) -> String {
        let (head, content) = answer(BadGatewayLayer::new().format(html), failure).await;
        assert_eq!(head.headers()["content-type"], "text/html; charset=utf-8");
        assert_eq!(head.headers()["content-language"], "en");
        content
    }

    /// The state of each hop, in their order.
    fn states(page: &str) -> Vec<&str> {
        page.split("class=\"state\">").skip(1).map(|rest| rest.split('<').next().unwrap()).collect()
    }

    #[tokio::test]
    async fn the_page_says_what_failed_where_and_what_to_do() {
        let page = page(Html::new(), refused()).await;
        let missing: Vec<_> = [
            "<html lang=\"en\">",
            "<meta charset=\"utf-8\">",
            "<meta name=\"robots\" content=\"noindex\">",
            "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">",
            "<ol class=\"way\" role=\"list\">",
            "<title>502 Bad Gateway: The server cannot be reached</title>",
            "<h1>The server cannot be reached</h1>",
            "<p>The upstream refused the connection.</p>",
            "This is probably temporary.",
            "Wait a moment, then load this page again.",
            "the reference <code>7f3a&lt;12&gt;</code>",
        ]
        .into_iter()
        .filter(|part| !page.contains(part))
        .collect();
        assert!(missing.is_empty(), "{missing:#?} in {page}");
        assert_eq!(states(&page), ["Working", "Working", "Problem here"]);
        let foreign: Vec<_> = ["<script", "http:", "https:", "url(", "@import", "style=", "onclick"]
            .into_iter()
            .filter(|part| page.contains(part))
            .collect();
        assert!(foreign.is_empty(), "{foreign:?}");
    }

    #[tokio::test]
    async fn the_hop_that_failed_is_the_one_to_blame() {
        let mut wrong = Vec::new();
        for kind in FailureKind::ALL {
            let page = page(Html::new(), Failure::new(*kind)).await;
            let expected = match kind.blame().as_str() {
                "client" => ["Problem here", "Working", "Not known"],
                "gateway" => ["Working", "Problem here", "Not known"],
                _ => ["Working", "Working", "Problem here"],
            };
            if states(&page) != expected || page.matches("class=\"failed\"").count() != 1 {
                wrong.push((kind, states(&page).join(", ")));
            }
        }
        assert!(wrong.is_empty(), "{wrong:?}");

        let nobody = Failure::new(FailureKind::DestinationUnavailable).with_blame(Blame::Unknown);
        let page = page(Html::new(), nobody).await;
        assert_eq!(states(&page), ["Working", "Not known", "Not known"]);
    }

    #[tokio::test]
    async fn only_who_has_sent_something_is_told_what_became_of_it() {
        let says = |method: &'static str, safety| async move {
            let failure = Failure::new(FailureKind::ConnectionTerminated).with_retry_safety(safety);
            let layer = BadGatewayLayer::new().single_attempt().format(Html::new()).silent();
            let gateway = layer.layer(Mock::failing(move || failure.clone()));
            let Ok(response) = gateway.oneshot(crate::mock::request(method, &[])).await;
            let page = text(response.into_body()).await.unwrap();
            ["load this page again", "may have been processed", "it is safe to send"].map(|part| page.contains(part))
        };
        assert_eq!(says("GET", RetrySafety::Unknown).await, [true, false, false]);
        assert_eq!(says("POST", RetrySafety::Unknown).await, [false, true, false]);
        assert_eq!(says("POST", RetrySafety::NotSent).await, [false, false, true]);
        assert_eq!(says("DELETE", RetrySafety::NotProcessed).await, [false, false, true]);
    }

    #[tokio::test]
    async fn the_policy_allows_the_one_style_whatever_its_colours() {
        let mut policies = Vec::new();
        for html in [Html::new(), Html::new().light(Palette::LIGHT.link([1, 2, 3])), Html::new().dark(Palette::LIGHT)] {
            let (head, _) = answer(BadGatewayLayer::new().format(html), refused()).await;
            policies.push(head.headers()["content-security-policy"].clone());
        }
        let whole = policies[0].to_str().unwrap();
        let (start, rest) = whole.split_once("'sha256-").unwrap();
        let (hash, end) = rest.split_once("'; ").unwrap();
        assert_eq!((start, hash.len()), ("default-src 'none'; style-src ", 44));
        assert_eq!(end, "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
        policies.sort_unstable();
        policies.dedup();
        assert_eq!(policies.len(), 3, "one hash for each style: {policies:?}");
    }

    #[tokio::test]
    async fn title_message_support_and_delay_are_shown() {
        let html = Html::new().title("Closed").support("/help", "Get help");
        let layer = BadGatewayLayer::new()
            .format(html)
            .message("Bitte sp\u{e4}ter.")
            .retry_after(Duration::from_secs(300))
            .gateway_name(tower_bad_gateway::GatewayName::from_static("edge-1"));
        let (head, page) = answer(layer, Failure::new(FailureKind::DestinationUnavailable)).await;
        assert_eq!((head.status().as_u16(), &head.headers()["retry-after"]), (503, &HeaderValue::from_static("300")));
        let missing: Vec<_> = [
            "<h1 lang=\"\">Closed</h1>",
            "<title>503 Service Unavailable: Closed</title>",
            "<p lang=\"\">Bitte sp\u{e4}ter.</p>",
            "<a href=\"/help\">Get help</a>",
            "Come back in 5 minutes.",
            "Reported by edge-1.",
        ]
        .into_iter()
        .filter(|part| !page.contains(part))
        .collect();
        assert!(missing.is_empty(), "{missing:#?} in {page}");
    }
}

/// A feature that somebody else turns on must not make a page the answer to those who ask for none.
#[cfg(all(feature = "html", not(feature = "json")))]
#[tokio::test]
async fn without_json_the_default_is_text_and_not_the_page() {
    let mut wrong = Vec::new();
    for (accept, expected) in [
        ("", "text/plain; charset=utf-8"),
        ("*/*", "text/plain; charset=utf-8"),
        ("application/json", "text/plain; charset=utf-8"),
        ("text/html", "text/html; charset=utf-8"),
    ] {
        let gateway = BadGatewayLayer::new().silent().layer(Mock::failing(refused));
        let Ok(response) = gateway.oneshot(crate::mock::request("GET", &[("accept", accept)])).await;
        if response.headers()["content-type"] != expected {
            wrong.push((accept, response.headers()["content-type"].clone(), expected));
        }
    }
    assert!(wrong.is_empty(), "(accept, got, expected): {wrong:?}");
}

/// Problem details and JSON are written as plain text is.
#[cfg(feature = "json")]
#[tokio::test]
async fn a_format_without_settings_is_a_name() {
    use tower_bad_gateway::format::{Json, Problem};
    for (layer, expected) in [
        (BadGatewayLayer::new().format(Problem), "application/problem+json"),
        (BadGatewayLayer::new().format(Json), "application/json"),
    ] {
        let upstream = Mock::failing(|| Failure::new(FailureKind::DnsTimeout));
        let Ok(response) = layer.layer(upstream).oneshot(get()).await;
        assert_eq!(response.headers()["content-type"], expected);
    }
}
