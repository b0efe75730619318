//! Answers, and what has to be read from them.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version};
use tower_bad_gateway::Failure;

use super::*;
use crate::{ask::Times, report};

fn answer(status: u16, fields: &[(&'static str, &str)], body: &[u8]) -> Answer {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(HeaderName::from_static(name), HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    let status = StatusCode::from_u16(status).unwrap();
    let received = u64::try_from(body.len()).unwrap();
    Answer { status, version: Version::HTTP_11, headers, body: body.to_vec(), received, end: End::Whole }
}

fn asked(outcome: Result<Answer, Failure>) -> Asked {
    let times = Times { head: Some(Duration::from_secs(60)), ..Times::default() };
    Asked { url: "http://www.example/".parse().unwrap(), times, missed: Vec::new(), outcome }
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
    (502, &[(PS, "edge;error=made_up")], "", "edge or behind it", "edge tells of a failure it calls made_up (502)."),
    (502, &[(PS, "edge;received-status=502")], "", "behind edge", "edge was answered 502 by what is behind it (502)."),
    (200, &[(PS, "edge;received-status=200")], "", "none", "No hop failed: 200"),
    (200, &[(PS, "edge;error=http_response_timeout")], "stale", "behind edge", "edge got no complete answer from what is behind it in time (200)."),
    (503, &[(PS, "envoy;error=connection_refused;details=\"upstream_reset\""), ENVOY], "", "behind envoy", "envoy could not connect"),
    (404, &[(PS, "edge;error=destination_not_found")], "", "edge", "edge does not know where to send this request (404)."),
    (500, &[(PS, "edge;error=destination_not_found")], "", "edge", "edge does not know where to send this request (500)."),
    (200, &[(PS, "edge;error=proxy_internal_response")], "", "none", "No hop failed: edge answered by itself"),
    (401, &[(PS, "edge;error=proxy_internal_response")], "", "none", "No hop failed: edge answered by itself"),
    (503, &[(PS, "edge;error=proxy_internal_response")], "", "edge", "edge answered by itself"),
    // A name and nothing else: it is that one's, or was passed on by it.
    (502, &[(PS, "edge;next-hop=x"), ("via", "1.1 edge")], "", "edge or behind it", "edge answered 502, or passed it on"),
    (504, &[(PS, "origin, edge")], "", "origin or behind it", "origin answered 504, or passed it on"),
    (500, &[(PS, "edge")], "", "edge or behind it", "edge answered 500, or passed it on"),
    (502, &[(PS, "edge"), PROBLEM], r#"{"code":"unclassified"}"#, "edge or behind it", "edge, or a gateway behind it, got no valid answer from what is behind it (502)."),
    (400, &[(PS, "edge"), PROBLEM], r#"{"code":"http_request_error"}"#, "the client", "edge, or a gateway behind it, did not receive"),
    (502, &[(PS, "edge")], "<hr><center>nginx</center>", "behind nginx", "nginx got no valid answer"),
    (404, &[(PS, "edge")], "", "none", "No hop failed: the request was answered 404"),
    // Not to be believed: no list, an address without quotes, a quoted error.
    (502, &[(PS, "origin;error=connection_refused,")], "", "not told", "A gateway that does not give its name got no valid answer"),
    (502, &[(PS, "10.0.0.1;error=connection_refused")], "", "not told", "A gateway that does not give its name"),
    (502, &[(PS, "origin;error=\"connection_refused\"")], "", "origin or behind it", "origin answered 502, or passed it on: it does not say why."),
    // Bodies.
    (502, &[PROBLEM], r#"{"code":"tls_certificate_error","status":502}"#, "not told", "A gateway that does not give its name does not accept the certificate"),
    (504, &[JSON], r#"{"error":"x","code":"dns_timeout","status":504}"#, "not told", "did not learn the address"),
    (502, &[PROBLEM], r#"{"code":"http_protocol_error","origin":{"name":"inner","code":"dns_error"}}"#, "behind inner", "inner could not resolve"),
    (502, &[JSON], r#"{"code":"E42"}"#, "not told", "got no valid answer"),
    (502, &[JSON], "[[[[", "not told", "got no valid answer"),
    (502, &[], r#"{"code":"dns_error"}"#, "not told", "got no valid answer"),
    (200, &[JSON], r#"{"code":"dns_error"}"#, "none", "No hop failed: 200"),
    (200, &[JSON], r#"{"code":"dns_error","origin":{"name":"inner","code":"dns_error"}}"#, "none", "No hop failed: 200"),
    // The body before the looks.
    (502, &[JSON], r#"{"code":"dns_error","detail":"<center>nginx</center>"}"#, "not told", "could not resolve the name"),
    // Envoy.
    (503, &[ENVOY], "upstream connect error or disconnect/reset before headers. reset reason: connection failure", "behind Envoy", "Envoy got no valid answer"),
    (503, &[ENVOY], "upstream connect error or disconnect/reset before headers. retried and the latest reset reason: remote connection failure, transport failure reason: delayed connect error: 111", "behind Envoy", "connection refused (503)."),
    (503, &[ENVOY], "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure, transport failure reason: TLS_error:|268435581:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:TLS_error_end", "behind Envoy", "Envoy does not accept the certificate"),
    (503, &[ENVOY], "upstream connect error or disconnect/reset before headers. reset reason: connection timeout", "behind Envoy", "in time (503)."),
    (503, &[ENVOY], "upstream connect error or disconnect/reset before headers. reset reason: overflow", "Envoy", "a limit was reached"),
    (503, &[ENVOY], "no healthy upstream", "behind Envoy", "to be down"),
    (504, &[ENVOY], "upstream request timeout", "behind Envoy", "in time (504)."),
    (502, &[ENVOY, ("x-envoy-upstream-service-time", "3")], "oops", "behind Envoy", "Envoy was answered 502 by what is behind it, and passed it on."),
    (502, &[ENVOY, ("x-envoy-upstream-service-time", "3")], "<hr><center>nginx</center>", "behind nginx", "nginx got no valid answer"),
    (404, &[ENVOY, ("x-envoy-upstream-service-time", "3")], "", "none", "No hop failed"),
    (200, &[ENVOY], "upstream request timeout", "none", "No hop failed: 200"),
    (200, &[], "no healthy upstream", "none", "No hop failed: 200"),
    // nginx.
    (502, &[NGINX], "<html><center><h1>502 Bad Gateway</h1></center><hr><center>nginx/1.27.0</center>", "behind nginx", "nginx got no valid answer from what is behind it (502)."),
    (504, &[NGINX], "<hr><center>nginx</center>", "behind nginx", "nginx got no complete answer"),
    (503, &[NGINX], "<hr><center>nginx</center>", "nginx or behind it", "nginx answered 503 with a page of its own: it, or a hop behind it, failed."),
    (500, &[NGINX], "<hr><center>nginx</center>", "nginx or behind it", "nginx answered 500 with a page of its own"),
    (404, &[NGINX], "<hr><center>nginx</center>", "none", "No hop failed: nginx answered 404, the page is one of its own."),
    (400, &[NGINX], "<center>The plain HTTP request was sent to HTTPS port</center><hr><center>nginx</center>", "none", "No hop failed: nginx answered 400"),
    (500, &[NGINX], "Traceback (most recent call last)", "not told", "500, and nobody says who made it"),
    (200, &[NGINX], "<hr><center>nginx</center>", "none", "No hop failed: 200"),
    (501, &[NGINX], "<hr><center>nginx</center>", "nginx or behind it", "nginx answered 501"),
    (502, &[NGINX], "a page of our own", "not told", "A gateway that does not give its name"),
    // HAProxy, which has no field.
    (503, &[], "<html><body><h1>503 Service Unavailable</h1>\nNo server is available to handle this request.\n</body></html>", "behind HAProxy", "HAProxy got no valid answer from what is behind it (503)."),
    (504, &[], "The server didn't respond in time.", "behind HAProxy", "HAProxy got no complete answer"),
    (502, &[], "The server returned an invalid or incomplete response.", "behind HAProxy", "HAProxy got no valid answer"),
    // Clouds.
    (521, &[CLOUDFLARE, ("cf-ray", "8f-FRA")], "", "behind Cloudflare", "Cloudflare could not connect"),
    (526, &[CLOUDFLARE], "", "behind Cloudflare", "Cloudflare does not accept the certificate"),
    (524, &[CLOUDFLARE], "", "behind Cloudflare", "in time (524)."),
    (500, &[CLOUDFLARE], "boom", "not told", "500, and nobody says who made it"),
    (561, &[ALB], "", "AWS load balancer or behind it", "AWS load balancer answered 561"),
    (502, &[ALB], "<center><h1>502 Bad Gateway</h1></center>", "behind AWS load balancer", "got no valid answer"),
    (503, &[ALB], "", "behind AWS load balancer", "to be down"),
    (504, &[ALB], "", "behind AWS load balancer", "in time"),
    (502, &[], "<p>Reason: <strong>Error reading from remote server</strong></p>", "behind Apache httpd", "got no valid answer"),
    (503, &[], "no available server\n", "behind Traefik", "to be down"),
    (502, &[("server", "Caddy")], "", "behind Caddy", "Caddy got no valid answer"),
    // Applications.
    (200, &[("server", "SimpleHTTP/0.6 Python/3.11")], "<html>", "none", "No hop failed: 200, and the body is complete."),
    (302, &[("location", "/login")], "", "none", "No hop failed: 302"),
    (404, &[], "not here", "none", "No hop failed: the request was answered 404"),
    (500, &[], "Internal Server Error", "not told", "500, and nobody says who made it: most likely the application."),
    (501, &[], "", "not told", "501, and nobody says who made it"),
    (503, &[("retry-after", "5")], "", "not told", "A hop that does not give its name is not available"),
    (504, &[], "", "not told", "A gateway that does not give its name got no complete answer"),
    (999, &[], "", "www.example or behind it", "www.example, or a hop behind it, answered a status that HTTP does not have (999)."),
    (600, &[], "", "www.example or behind it", "answered a status that HTTP does not have (600)."),
    (599, &[], "", "not told", "599, and nobody says who made it"),
    (101, &[("upgrade", "websocket")], "", "www.example or behind it", "www.example, or a hop behind it, switched protocols (101), and nobody had asked for it."),
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
        answer(502, &[("server", "a\u{9b}31m\u{85}b")], b""),
        answer(302, &[("location", "/\u{9b}31m"), ("grpc-status", "\u{85}")], b""),
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
fn a_broken_body_is_nobodys_in_particular_unless_the_head_has_told() {
    let ends = |status, fields: &[_], end| {
        let diagnosis = diagnose(&asked(Ok(Answer { end, ..answer(status, fields, b"ten bytes!") })));
        let code = exit(&diagnosis);
        (diagnosis.place, diagnosis.verdict, code)
    };
    let broken = || End::Broken(Failure::new(FailureKind::HttpResponseIncomplete));
    let (silent, unfinished) = (End::Silent(Duration::from_secs(9)), End::Unfinished(Duration::from_millis(20)));
    let anywhere = Place::FirstOrBehind("www.example".to_owned());
    let wrong: Vec<_> = [
        (ends(200, &[], broken()), anywhere.clone(), "The head said 200, but the body was cut off after 10 bytes", 1),
        (ends(404, &[], broken()), anywhere.clone(), "The head said 404, but the body was cut off", 1),
        (ends(200, &[], silent), anywhere, "The head said 200, but the body did not go on after 10 bytes", 1),
        (
            ends(200, &[], unfinished),
            Place::NoneKnown,
            "No hop is known to have failed: 200, and the body was not at",
            0,
        ),
        (ends(200, &[], End::Closed), Place::Nowhere, "the body ended with the connection, so its end cannot be", 0),
        (
            ends(500, &[], broken()),
            Place::Somewhere,
            "made it: most likely the application. Its body was cut off after 10",
            1,
        ),
        (ends(502, &[(PS, "edge;error=dns_error")], broken()), Place::Behind("edge".to_owned()), "Its body was cut", 1),
        (ends(500, &[], End::Closed), Place::Somewhere, "500, and nobody", 1),
    ]
    .into_iter()
    .filter(|((place, verdict, code), expected, part, exit)| {
        place != expected || !verdict.contains(part) || code != exit
    })
    .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_shell_is_told_of_failures_of_hops_alone() {
    let page = "Request forbidden by administrative rules";
    let wrong: Vec<_> = [
        (200, &[][..], "", 0),
        (302, &[], "", 0),
        (400, &[], "", 0),
        (404, &[], "", 0),
        (403, &[], page, 0),
        (408, &[], "Your browser didn't send a complete request in time", 0),
        (403, &[(PS, "edge;error=http_request_denied")], "", 0),
        (400, &[(PS, "edge;error=http_request_error")], "", 0),
        (404, &[(PS, "edge;error=destination_not_found")], "", 0),
        (500, &[(PS, "edge;error=destination_not_found")], "", 1),
        (302, &[(PS, "edge;error=proxy_internal_response")], "", 0),
        (400, &[PROBLEM], r#"{"code":"http_request_error"}"#, 0),
        (404, &[(PS, "edge;error=dns_error")], "", 1),
        (500, &[], "", 1),
        (502, &[], "", 1),
        (503, &[], "", 1),
        (999, &[], "", 1),
    ]
    .into_iter()
    .map(|(status, fields, body, expected)| (status, fields, exit(&read(status, fields, body.as_bytes())), expected))
    .filter(|(.., got, expected)| got != expected)
    .collect();
    assert!(wrong.is_empty(), "(status, fields, got, expected): {wrong:?}");
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
        (404, &[("via", "1.1 edge")], "client -> edge -> ?"),
        (200, &[("via", r"1.1 edge (a, b \), 1.1 c), HTTP/1.1  origin")], "client -> origin -> edge -> application"),
        (200, &[("via", "1.1 (a (b, c), d) edge,, 1.1")], "client -> edge -> application"),
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
    let late = read(504, &[(PS, "edge;error=http_response_timeout")], b"");
    assert!(late.checks.iter().any(|check| check.contains("60.0 s")), "{:?}", late.checks);
    let not_late = |status, fields: &[_], head| {
        let times = Times { head, ..Times::default() };
        let diagnosis = diagnose(&Asked { times, ..asked(Ok(answer(status, fields, b""))) });
        diagnosis.checks.iter().all(|check| !check.contains("about that length"))
    };
    assert!(not_late(504, &[], Some(Duration::from_millis(99))) && not_late(504, &[], None));
    assert!(not_late(502, &[(PS, "edge;error=dns_timeout")], Some(Duration::from_secs(60))));
    let others: [(&[_], &[u8]); 3] = [(&[], b""), (&[NGINX], b"<center>nginx"), (&[(PS, "edge")], b"")];
    for (fields, body) in others {
        let means = read(504, fields, body).means;
        assert!(means.contains("for the connection or for the answer, which is not told"), "{means}");
    }

    let ignored = read(502, &[(PS, "a, b,"), NGINX], b"");
    assert!(ignored.untold.unwrap().contains("ignored") && ignored.checks[0].contains("nginx/1.27.0"));
    assert!(read(503, &[ENVOY], b"no healthy upstream").checks[0].contains("response flags"));
    let stale = read(200, &[(PS, "edge;error=http_response_timeout")], b"");
    assert!(stale.untold.unwrap().contains("an older one from a cache"));
    let spoken = read(502, &[(PS, "edge;error=http_response_incomplete;received-status=200")], b"");
    assert!(spoken.means.contains("It had got the status 200"), "{}", spoken.means);
    let asked = read(502, &[(PS, "edge;error=dns_error;next-hop=\"inside\";details=\"why\"")], b"");
    assert!(asked.checks[0].contains("It had asked inside") && asked.means.contains("It says: \"why\""));
    assert!(read(404, &[], b"").untold.unwrap().contains("a gateway that has no route"));
    let envoy = read(503, &[(PS, "envoy;error=connection_refused"), ENVOY], b"");
    assert!(envoy.untold.unwrap().contains("every failure to connect"));
}

#[test]
fn sentences_begin_with_a_capital_letter_and_names_with_their_own() {
    let filled = fill("{next} is there. that is {by}. the rest", "the gateway", "edge");
    assert_eq!(filled, "edge is there. That is the gateway. The rest");
    let means = read(500, &[PROBLEM], br#"{"code":"proxy_internal_response"}"#).means;
    assert!(means.starts_with("That gateway"), "{means}");
}
