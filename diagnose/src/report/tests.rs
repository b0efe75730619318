//! What is shown of a diagnosis, and that it says what the diagnosis says.

use http::{HeaderMap, HeaderValue, StatusCode, Version};

use super::*;
use crate::ask::{Answer, Times};

fn asked(status: u16, fields: &[(&'static str, &'static str)], body: &str) -> Asked {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(*name, HeaderValue::from_static(value));
    }
    let answer = Answer {
        status: StatusCode::from_u16(status).unwrap(),
        version: Version::HTTP_2,
        headers,
        body: body.as_bytes().to_vec(),
        received: 7,
        end: End::Whole,
    };
    let times = Times { head: Some(Duration::from_micros(1500)), ..Times::default() };
    Asked { url: "http://www.example/".parse().unwrap(), times, missed: Vec::new(), outcome: Ok(answer) }
}

fn failed(failure: Failure, missed: Vec<(std::net::SocketAddr, Failure)>) -> Asked {
    Asked { missed, outcome: Err(failure), ..asked(200, &[], "") }
}

fn shown(asked: &Asked) -> Value {
    json(asked, &read::diagnose(asked))
}

#[test]
fn programs_are_told_what_failed_and_where() {
    let (nobody, hop) = (Value::Null, |place: &str, of: &str| json!({ "place": place, "of": of }));
    let wrong: Vec<_> = [
        (asked(200, &[], ""), false, nobody.clone(), None, "status"),
        (asked(404, &[], ""), false, nobody, None, "status"),
        (asked(500, &[], ""), true, json!({ "place": "unknown", "of": null }), None, "status"),
        (
            asked(502, &[("proxy-status", "edge;error=dns_error")], ""),
            true,
            hop("behind", "edge"),
            Some("dns_error"),
            "proxy_status",
        ),
        (
            asked(503, &[("proxy-status", "edge;error=connection_limit_reached")], ""),
            true,
            hop("at", "edge"),
            Some("connection_limit_reached"),
            "proxy_status",
        ),
        (
            asked(403, &[("proxy-status", "edge;error=http_request_denied")], ""),
            false,
            hop("at", "edge"),
            Some("http_request_denied"),
            "proxy_status",
        ),
        (
            asked(502, &[("proxy-status", "edge")], ""),
            true,
            hop("at_or_behind", "edge"),
            Some("unclassified"),
            "proxy_status",
        ),
        (
            asked(400, &[("proxy-status", "edge;error=http_request_error")], ""),
            false,
            json!({ "place": "client", "of": null }),
            Some("http_request_error"),
            "proxy_status",
        ),
        (
            asked(502, &[("content-type", "application/json")], r#"{"code":"dns_error"}"#),
            true,
            json!({ "place": "unknown", "of": null }),
            Some("dns_error"),
            "body",
        ),
        (asked(504, &[], "<center>nginx"), true, hop("behind", "nginx"), Some("http_response_timeout"), "looks"),
        (asked(101, &[], ""), true, hop("first_or_behind", "www.example"), Some("http_upgrade_failed"), "seen"),
        (
            failed(Failure::new(FailureKind::ConnectionRefused), Vec::new()),
            true,
            hop("first", "www.example"),
            Some("connection_refused"),
            "seen",
        ),
        (
            failed(Failure::new(FailureKind::ProxyInternalError), Vec::new()),
            true,
            json!({ "place": "here", "of": null }),
            Some("proxy_internal_error"),
            "seen",
        ),
    ]
    .into_iter()
    .map(|(asked, failed, hop, kind, by)| {
        let json = shown(&asked);
        let got = json!([json["failed"], json["hop"], json["kind"], json["by"]]);
        (got, json!([failed, hop, kind, by]))
    })
    .filter(|(got, expected)| got != expected)
    .collect();
    assert!(wrong.is_empty(), "(got, expected): {wrong:#?}");
}

#[test]
fn programs_are_told_all_that_the_help_lists() {
    let json = shown(&asked(302, &[("location", "/login"), ("grpc-status", "14"), ("x-secret", "no")], ""));
    let mut members: Vec<_> = json.as_object().unwrap().keys().map(String::as_str).collect();
    members.sort_unstable();
    let listed =
        ["by", "check", "class", "evidence", "failed", "hop", "kind", "means", "milliseconds", "not_told", "path"];
    assert_eq!(members, [&listed[..], &["status", "url", "verdict"]].concat());
    assert!(members.iter().all(|member| crate::options::HELP.contains(member)));
    let expected =
        json!({ "answer": "HTTP/2.0 302", "location": "/login", "grpc-status": "14", "body": "7 bytes, complete" });
    assert_eq!(json["evidence"], expected);
    let times = json!({ "dns": null, "connect": null, "tls": null, "head": 1.5, "whole": 0.0 });
    assert_eq!((&json["milliseconds"], &json["status"]), (&times, &json!(302)));
    assert_eq!(shown(&failed(Failure::new(FailureKind::DnsError), Vec::new()))["status"], Value::Null);
}

#[test]
fn every_address_that_was_tried_is_shown() {
    let miss = |address: &str, kind| (address.parse().unwrap(), Failure::new(kind));
    let missed = vec![
        miss("[2001:db8::1]:80", FailureKind::DestinationIpUnroutable),
        miss("192.0.2.1:80", FailureKind::ConnectionRefused),
    ];
    let asked = failed(Failure::new(FailureKind::ConnectionRefused), missed);
    let text = text(&asked, &read::diagnose(&asked));
    assert!(
        text.contains("[2001:db8::1]:80: destination_ip_unroutable") && text.contains("192.0.2.1:80: connection_re")
    );
}

#[test]
fn how_the_body_ended_is_shown() {
    let ended = |end| {
        let mut asked = asked(200, &[], "");
        asked.outcome = asked.outcome.map(|answer| Answer { end, ..answer });
        shown(&asked)["evidence"]["body"].as_str().unwrap().to_owned()
    };
    let second = Duration::from_secs(1);
    assert_eq!(ended(End::Closed), "7 bytes, then the connection was closed");
    assert_eq!(ended(End::Silent(second)), "7 bytes, then nothing for 1.0 s");
    assert_eq!(ended(End::Unfinished(second)), "7 bytes, and the time was over 1.0 s after the last");
    assert!(ended(End::Broken(Failure::new(FailureKind::HttpResponseIncomplete))).contains("http_response_incomplete"));
}

#[test]
fn the_lines_of_the_evidence_stand_below_each_other() {
    let body = r#"{"code":"dns_error","request_id":"4711"}"#;
    let asked = asked(502, &[("content-type", "application/problem+json"), ("x-request-id", "4711")], body);
    let text = text(&asked, &read::diagnose(&asked));
    let lines: Vec<_> = text.lines().skip_while(|line| *line != "Evidence").skip(1).collect();
    assert!(
        lines.len() > 5 && lines.iter().all(|line| line.as_bytes()[17] == b' ' && line.as_bytes()[18] != b' '),
        "{text}"
    );
}
