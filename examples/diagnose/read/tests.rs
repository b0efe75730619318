//! Answers, and what has to be read from them.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version};

use super::*;
use crate::{ask::Times, report};

fn answer(status: u16, fields: &[(&'static str, &str)], body: &[u8]) -> Answer {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(HeaderName::from_static(name), HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    let status = StatusCode::from_u16(status).unwrap();
    Answer { status, version: Version::HTTP_11, headers, body: body.to_vec(), end: End::Whole }
}

fn asked(outcome: Result<Answer, Failure>) -> Asked {
    let times = Times { head: Some(Duration::from_secs(60)), ..Times::default() };
    Asked { url: "http://www.example/".parse().unwrap(), times, outcome }
}

fn read(status: u16, fields: &[(&'static str, &str)], body: &[u8]) -> Diagnosis {
    diagnose(&asked(Ok(answer(status, fields, body))))
}

const PS: &str = "proxy-status";
const JSON: (&str, &str) = ("content-type", "application/json; charset=utf-8");
const PROBLEM: (&str, &str) = ("content-type", "application/problem+json");
const NGINX: (&str, &str) = ("server", "nginx/1.27.0");
const ENVOY: (&str, &str) = ("server", "envoy");
const CLOUDFLARE: (&str, &str) = ("server", "cloudflare");
const ALB: (&str, &str) = ("server", "awselb/2.0");

type Case = (u16, &'static [(&'static str, &'static str)], &'static str, &'static str, &'static str);

/// Status, fields, body; which hop is named, and what stands in the verdict.
#[rustfmt::skip] // a table
const CASES: &[Case] = &[
    // Proxy-Status: the first member with an error, and what it asked.
    (502, &[(PS, "origin;error=connection_refused")], "", "behind origin", "origin could not connect to what is behind it: connection refused (502)."),
    (502, &[(PS, "origin;error=dns_error, edge;received-status=502")], "", "behind origin", "origin could not resolve"),
    (502, &[(PS, "origin;received-status=200, edge;error=http_response_incomplete")], "", "behind edge", "edge got only a part of the answer of origin behind it (502)."),
    (502, &[(PS, "a;error=dns_error"), (PS, "b;error=http_protocol_error")], "", "behind a", "a could not resolve"),
    (503, &[(PS, "edge;error=connection_limit_reached")], "", "edge", "edge takes no more requests"),
    (503, &[(PS, "edge;error=destination_unavailable")], "", "behind edge", "edge holds what is behind it to be down"),
    (500, &[(PS, "edge;error=proxy_internal_error")], "", "edge", "edge failed itself (500)."),
    (403, &[(PS, "edge;error=http_request_denied")], "", "edge", "edge refuses this request (403)."),
    (400, &[(PS, "edge;error=http_request_error")], "", "the client", "edge did not receive this request completely"),
    (502, &[(PS, "edge;error=proxy_loop_detected")], "", "behind edge", "edge got its own request back"),
    (502, &[(PS, "edge;error=made_up")], "", "behind edge", "edge tells of a failure it calls made_up (502)."),
    (502, &[(PS, "edge;received-status=502")], "", "behind edge", "edge was answered 502 by what is behind it (502)."),
    (200, &[(PS, "edge;received-status=200")], "", "none", "No hop failed: 200"),
    (200, &[(PS, "edge;error=http_response_timeout")], "stale", "behind edge", "edge got no complete answer from what is behind it in time (200)."),
    (503, &[(PS, "envoy;error=connection_refused;details=\"upstream_reset\""), ENVOY], "", "behind envoy", "envoy could not connect"),
    // Not to be believed: no list, an address without quotes, a quoted error.
    (502, &[(PS, "origin;error=connection_refused,")], "", "not told", "A gateway that does not give its name got no valid answer"),
    (502, &[(PS, "10.0.0.1;error=connection_refused")], "", "not told", "A gateway that does not give its name"),
    (502, &[(PS, "origin;error=\"connection_refused\"")], "", "not told", "A gateway that does not give its name"),
    // Bodies.
    (502, &[PROBLEM], r#"{"code":"tls_certificate_error","status":502}"#, "not told", "A gateway that does not give its name does not accept the certificate"),
    (504, &[JSON], r#"{"error":"x","code":"dns_timeout","status":504}"#, "not told", "did not learn the address"),
    (502, &[PROBLEM], r#"{"code":"http_protocol_error","origin":{"name":"inner","code":"dns_error"}}"#, "behind inner", "inner could not resolve"),
    (502, &[JSON], r#"{"code":"E42"}"#, "not told", "got no valid answer"),
    (502, &[JSON], "[[[[", "not told", "got no valid answer"),
    (502, &[], r#"{"code":"dns_error"}"#, "not told", "got no valid answer"),
    (200, &[JSON], r#"{"code":"dns_error"}"#, "none", "No hop failed: 200"),
    // Envoy.
    (503, &[ENVOY], "upstream connect error or disconnect/reset before headers. reset reason: connection failure", "behind Envoy", "Envoy got no valid answer"),
    (503, &[ENVOY], "upstream connect error or disconnect/reset before headers. retried and the latest reset reason: remote connection failure, transport failure reason: delayed connect error: 111", "behind Envoy", "connection refused (503)."),
    (503, &[ENVOY], "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure, transport failure reason: TLS_error:|268435581:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:TLS_error_end", "behind Envoy", "Envoy does not accept the certificate"),
    (503, &[ENVOY], "upstream connect error or disconnect/reset before headers. reset reason: connection timeout", "behind Envoy", "in time (503)."),
    (503, &[ENVOY], "upstream connect error or disconnect/reset before headers. reset reason: overflow", "Envoy", "a limit was reached"),
    (503, &[ENVOY], "no healthy upstream", "behind Envoy", "to be down"),
    (504, &[ENVOY], "upstream request timeout", "behind Envoy", "in time (504)."),
    (502, &[ENVOY, ("x-envoy-upstream-service-time", "3")], "oops", "the application", "The application answered 502 by itself"),
    // nginx.
    (502, &[NGINX], "<html><center><h1>502 Bad Gateway</h1></center><hr><center>nginx/1.27.0</center>", "behind nginx", "nginx got no valid answer from what is behind it (502)."),
    (504, &[NGINX], "<hr><center>nginx</center>", "behind nginx", "nginx got no complete answer"),
    (503, &[NGINX], "<hr><center>nginx</center>", "nginx", "a limit was reached"),
    (404, &[NGINX], "<hr><center>nginx</center>", "none", "nginx itself answered 404"),
    (400, &[NGINX], "<center>The plain HTTP request was sent to HTTPS port</center><hr><center>nginx</center>", "none", "nginx itself answered 400"),
    (500, &[NGINX], "Traceback (most recent call last)", "the application", "The application answered 500"),
    (200, &[NGINX], "<hr><center>nginx</center>", "none", "No hop failed: 200"),
    (501, &[NGINX], "<hr><center>nginx</center>", "nginx", "nginx itself answered 501"),
    (502, &[NGINX], "a page of our own", "not told", "A gateway that does not give its name"),
    // HAProxy, which has no field.
    (503, &[], "<html><body><h1>503 Service Unavailable</h1>\nNo server is available to handle this request.\n</body></html>", "behind HAProxy", "HAProxy got no valid answer from what is behind it (503)."),
    (504, &[], "The server didn't respond in time.", "behind HAProxy", "HAProxy got no complete answer"),
    (502, &[], "The server returned an invalid or incomplete response.", "behind HAProxy", "HAProxy got no valid answer"),
    // Clouds.
    (521, &[CLOUDFLARE, ("cf-ray", "8f-FRA")], "", "behind Cloudflare", "Cloudflare could not connect"),
    (526, &[CLOUDFLARE], "", "behind Cloudflare", "Cloudflare does not accept the certificate"),
    (524, &[CLOUDFLARE], "", "behind Cloudflare", "in time (524)."),
    (500, &[CLOUDFLARE], "boom", "the application", "The application answered 500"),
    (561, &[ALB], "", "AWS load balancer", "AWS load balancer itself answered 561"),
    (502, &[ALB], "<center><h1>502 Bad Gateway</h1></center>", "behind AWS load balancer", "got no valid answer"),
    (503, &[ALB], "", "behind AWS load balancer", "to be down"),
    (504, &[ALB], "", "behind AWS load balancer", "in time"),
    (502, &[], "<p>Reason: <strong>Error reading from remote server</strong></p>", "behind Apache httpd", "was cut off"),
    (503, &[], "no available server\n", "behind Traefik", "to be down"),
    (502, &[("server", "Caddy")], "", "behind Caddy", "Caddy got no valid answer"),
    // Applications.
    (200, &[("server", "SimpleHTTP/0.6 Python/3.11")], "<html>", "none", "No hop failed: 200, and the body is complete."),
    (302, &[("location", "/login")], "", "none", "No hop failed: 302"),
    (404, &[], "not here", "none", "No hop failed: the request was answered 404"),
    (500, &[], "Internal Server Error", "the application", "The application answered 500 by itself"),
    (501, &[], "", "the application", "The application answered 501"),
    (503, &[("retry-after", "5")], "", "not told", "A hop that does not give its name is not available"),
    (504, &[], "", "not told", "A gateway that does not give its name got no complete answer"),
    (999, &[], "", "the application", "The application answered 999"),
];

#[test]
fn answers_are_read_for_the_hop_that_failed() {
    let wrong: Vec<_> = CASES
        .iter()
        .filter_map(|(status, fields, body, hop, part)| {
            let diagnosis = read(*status, fields, body.as_bytes());
            let is_right = diagnosis.place.hop() == *hop && diagnosis.verdict.contains(part);
            (!is_right)
                .then(|| format!("{status} {fields:?} {body}: {} ({})", diagnosis.verdict, diagnosis.place.hop()))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_printed_is_harmless_whatever_was_received() {
    let (long, deep) = ("x".repeat(7000), "[".repeat(60_000));
    let nasty = "\u{1b}]0;owned\u{7}\u{202e}";
    let document =
        serde_json::json!({ "code": "dns_error", "detail": nasty, "origin": { "name": nasty, "code": "dns_error" } });
    let answers = [
        answer(502, &[(PS, "\"a\u{80}b\";error=dns_error"), ("via", "1.1 \u{9b}31m, 1.1")], nasty.as_bytes()),
        answer(502, &[(PS, &format!("{long};error={long};details=\"{long}\""))], &[0xff; 100_000]),
        answer(502, &[PROBLEM], document.to_string().as_bytes()),
        answer(502, &[PROBLEM], deep.as_bytes()),
        answer(200, &[("server", &long), ("via", &", 1.1 x".repeat(1000))], &[0; 10]),
    ];
    for answer in answers {
        let asked = asked(Ok(answer));
        let diagnosis = diagnose(&asked);
        let (text, json) = (report::text(&asked, &diagnosis), report::json(&asked, &diagnosis).to_string());
        for shown in [&text, &json] {
            let wrong = shown.chars().find(|char| char.is_control() && *char != '\n' || *char == '\u{202e}');
            assert_eq!(wrong, None, "{shown}");
            assert!(shown.len() < 8000, "{} bytes", shown.len());
        }
    }
}

#[test]
fn what_happens_here_is_blamed_on_the_first_hop_or_on_nobody_else() {
    use FailureKind as Kind;
    let wrong: Vec<_> = [
        (Kind::DnsError, Phase::Resolve, "the first hop (www.example)", "could not resolve the name of"),
        (Kind::ConnectionTimeout, Phase::Connect, "the first hop (www.example)", "in time"),
        (Kind::TlsCertificateError, Phase::Tls, "the first hop (www.example)", "does not accept the certificate"),
        (Kind::HttpResponseTimeout, Phase::ResponseHead, "the first hop (www.example)", "got no complete answer"),
        (Kind::ProxyInternalError, Phase::Connect, "the client", "This computer failed itself"),
    ]
    .into_iter()
    .filter_map(|(kind, phase, hop, part)| {
        let diagnosis = diagnose(&asked(Err(Failure::new(kind).with_phase(phase))));
        let is_right = diagnosis.place.hop() == hop && diagnosis.verdict.contains(part);
        (!is_right).then(|| format!("{kind}: {} ({})", diagnosis.verdict, diagnosis.place.hop()))
    })
    .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_broken_body_is_nobodys_in_particular_unless_the_head_has_told() {
    let broken = |status, fields: &[_]| {
        let end = End::Broken(Failure::new(FailureKind::HttpResponseIncomplete));
        diagnose(&asked(Ok(Answer { end, ..answer(status, fields, b"ten bytes!") })))
    };
    assert_eq!(broken(200, &[]).place, Place::FirstOrBehind("www.example".to_owned()));
    assert_eq!(broken(502, &[(PS, "edge;error=dns_error")]).place, Place::Behind("edge".to_owned()));
}

#[test]
fn the_way_is_told_from_here_on() {
    let wrong: Vec<_> = [
        (200, &[("via", "1.1 origin, 1.1 edge")][..], "client -> edge -> origin -> application"),
        (502, &[("via", "1.1 origin, 1.1 edge"), (PS, "origin;error=dns_error")], "client -> edge -> origin -> ?"),
        (
            502,
            &[("via", "1.1 origin"), ("via", "1.1 edge"), (PS, "edge;error=dns_error")],
            "client -> edge -> origin -> ?",
        ),
        (502, &[(PS, "origin;error=dns_error, edge;received-status=502")], "client -> edge -> origin -> ?"),
        (200, &[], "client -> www.example"),
        (502, &[], "client -> www.example -> ?"),
        (503, &[(PS, "edge;error=connection_limit_reached")], "client -> edge"),
    ]
    .into_iter()
    .map(|(status, fields, expected)| {
        let asked = asked(Ok(answer(status, fields, b"")));
        let place = diagnose(&asked).place;
        (path(&asked, &place).join(" -> "), expected)
    })
    .filter(|(got, expected)| got != expected)
    .collect();
    assert!(wrong.is_empty(), "(got, expected): {wrong:?}");
}

#[test]
fn what_helps_to_look_further_is_there() {
    let diagnosis = read(504, &[(PS, "edge;error=http_response_timeout")], b"");
    assert!(diagnosis.checks.iter().any(|check| check.contains("60.0 s")), "{:?}", diagnosis.checks);
    let ignored = read(502, &[(PS, "a, b,"), NGINX], b"");
    assert!(ignored.untold.unwrap().contains("ignored") && ignored.checks[0].contains("nginx/1.27.0"));
    assert!(read(503, &[ENVOY], b"no healthy upstream").checks[0].contains("response flags"));
}
