//! One answer for each rule.

use http::{HeaderName, HeaderValue};

use super::*;

const CLOUDFLARE_FIELD: &[(&str, &str)] = &[("server", "cloudflare")];
const ALB_FIELD: &[(&str, &str)] = &[("server", "awselb/2.0")];
const CLOUDFRONT_FIELD: &[(&str, &str)] = &[("x-cache", "Error from cloudfront")];
const CADDY_FIELD: &[(&str, &str)] = &[("server", "Caddy")];
const NGINX_PAGE: &str = "<html><center><h1>Sorry</h1></center>\r\n<hr><center>nginx/1.27.0</center>";
const OPENRESTY_PAGE: &str = "<html><center><h1>Sorry</h1></center>\r\n<hr><center>openresty</center>";

type Row = (u16, &'static [(&'static str, &'static str)], &'static str, &'static str, Says);

/// In the order of the rules.
#[rustfmt::skip] // a table
const ROWS: &[Row] = &[
    (503, &[], "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure, transport failure reason: delayed connect error: 111", "Envoy", Failed(Kind::ConnectionRefused)),
    (503, &[], "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure, transport failure reason: TLS_error:|268435581:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:TLS_error_end", "Envoy", Failed(Kind::TlsCertificateError)),
    (503, &[], "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure, transport failure reason: TLS_error:|268435703:SSL routines:OPENSSL_internal:WRONG_VERSION_NUMBER:TLS_error_end", "Envoy", Failed(Kind::TlsProtocolError)),
    (503, &[], "upstream connect error or disconnect/reset before headers. reset reason: connection timeout", "Envoy", Failed(Kind::ConnectionTimeout)),
    (503, &[], "upstream connect error or disconnect/reset before headers. reset reason: connection termination", "Envoy", Failed(Kind::ConnectionTerminated)),
    (503, &[], "upstream connect error or disconnect/reset before headers. reset reason: remote reset", "Envoy", Failed(Kind::ConnectionTerminated)),
    (503, &[], "upstream connect error or disconnect/reset before headers. reset reason: overflow", "Envoy", Failed(Kind::ConnectionLimitReached)),
    (502, &[], "{\"message\":\"upstream connect error or disconnect/reset before headers. reset reason: protocol error\"}", "Envoy", Failed(Kind::HttpProtocolError)),
    (503, &[], "upstream connect error or disconnect/reset before headers. reset reason: connection failure", "Envoy", Failed(Kind::Unclassified)),
    (503, &[], "no healthy upstream", "Envoy", Failed(Kind::DestinationUnavailable)),
    (504, &[], "upstream request timeout", "Envoy", Failed(Kind::HttpResponseTimeout)),
    (503, &[("x-envoy-overloaded", "true")], "", "Envoy", Failed(Kind::ConnectionLimitReached)),

    (400, &[], "<center>The plain HTTP request was sent to HTTPS port</center>", "nginx", Own),
    (502, &[], NGINX_PAGE, "nginx", Failed(Kind::Unclassified)),
    (504, &[], NGINX_PAGE, "nginx", Failed(Kind::HttpResponseTimeout)),
    (503, &[], NGINX_PAGE, "nginx", Own),
    (500, &[], NGINX_PAGE, "nginx", Own),
    (404, &[], NGINX_PAGE, "nginx", Own),
    (502, &[], OPENRESTY_PAGE, "OpenResty", Failed(Kind::Unclassified)),
    (504, &[], OPENRESTY_PAGE, "OpenResty", Failed(Kind::HttpResponseTimeout)),
    (503, &[], OPENRESTY_PAGE, "OpenResty", Own),
    (500, &[], OPENRESTY_PAGE, "OpenResty", Own),
    (404, &[], OPENRESTY_PAGE, "OpenResty", Own),

    (503, &[], "<html><body><h1>503 Service Unavailable</h1>\nNo server is available to handle this request.\n", "HAProxy", Failed(Kind::Unclassified)),
    (504, &[], "<h1>504 Gateway Time-out</h1>\nThe server didn't respond in time.\n", "HAProxy", Failed(Kind::HttpResponseTimeout)),
    (502, &[], "<h1>502 Bad Gateway</h1>\nThe server returned an invalid or incomplete response.\n", "HAProxy", Failed(Kind::Unclassified)),
    (408, &[], "<h1>408 Request Time-out</h1>\nYour browser didn't send a complete request in time.\n", "HAProxy", Failed(Kind::HttpRequestError)),
    (403, &[], "<h1>403 Forbidden</h1>\nRequest forbidden by administrative rules.\n", "HAProxy", Failed(Kind::HttpRequestDenied)),
    (429, &[], "<h1>429 Too Many Requests</h1>\nYou have sent too many requests in a given amount of time.\n", "HAProxy", Own),

    (520, CLOUDFLARE_FIELD, "", "Cloudflare", Failed(Kind::Unclassified)),
    (521, CLOUDFLARE_FIELD, "", "Cloudflare", Failed(Kind::ConnectionRefused)),
    (522, CLOUDFLARE_FIELD, "", "Cloudflare", Failed(Kind::ConnectionTimeout)),
    (523, CLOUDFLARE_FIELD, "", "Cloudflare", Failed(Kind::DestinationIpUnroutable)),
    (524, CLOUDFLARE_FIELD, "", "Cloudflare", Failed(Kind::HttpResponseTimeout)),
    (525, CLOUDFLARE_FIELD, "", "Cloudflare", Failed(Kind::TlsProtocolError)),
    (526, CLOUDFLARE_FIELD, "", "Cloudflare", Failed(Kind::TlsCertificateError)),
    (530, CLOUDFLARE_FIELD, "<h1>Error 1016</h1> Origin DNS error", "Cloudflare", Failed(Kind::DnsError)),
    (530, CLOUDFLARE_FIELD, "", "Cloudflare", Failed(Kind::Unclassified)),
    (502, CLOUDFLARE_FIELD, "<hr><center>cloudflare</center>", "Cloudflare", Failed(Kind::Unclassified)),
    (504, CLOUDFLARE_FIELD, "<hr><center>cloudflare</center>", "Cloudflare", Failed(Kind::HttpResponseTimeout)),

    (502, ALB_FIELD, "", "AWS load balancer", Failed(Kind::Unclassified)),
    (503, ALB_FIELD, "", "AWS load balancer", Failed(Kind::DestinationUnavailable)),
    (504, ALB_FIELD, "", "AWS load balancer", Failed(Kind::HttpResponseTimeout)),
    (561, ALB_FIELD, "", "AWS load balancer", Own),
    (502, CLOUDFRONT_FIELD, "CloudFront wasn't able to connect to the origin.", "CloudFront", Failed(Kind::Unclassified)),
    (504, CLOUDFRONT_FIELD, "Generated by cloudfront (CloudFront)", "CloudFront", Failed(Kind::HttpResponseTimeout)),
    (502, &[("via", "1.1 google")], "The server encountered a temporary error and could not complete your request.", "Google load balancer", Failed(Kind::Unclassified)),

    (500, &[], "<p>Reason: <strong>DNS lookup failure for: inside.example</strong></p>", "Apache httpd", Failed(Kind::DnsError)),
    (502, &[], "<p>The proxy server received an invalid\nresponse. Reason: <strong>Error reading from remote server</strong></p>", "Apache httpd", Failed(Kind::Unclassified)),
    (502, &[], "<p>The proxy server received an invalid\nresponse from an upstream server.", "Apache httpd", Failed(Kind::Unclassified)),
    (504, &[], "<p>The gateway did not receive a timely response\nfrom the upstream server", "Apache httpd", Failed(Kind::HttpResponseTimeout)),
    (502, &[], "{\"message\":\"An invalid response was received from the upstream server\"}", "Kong", Failed(Kind::Unclassified)),
    (504, &[], "{\"message\":\"The upstream server is timing out\"}", "Kong", Failed(Kind::HttpResponseTimeout)),
    (503, &[], "<h1>Error 503 Backend fetch failed</h1>", "Varnish", Failed(Kind::Unclassified)),
    (503, &[], "no available server\n", "Traefik", Failed(Kind::DestinationUnavailable)),
    (502, CADDY_FIELD, "", "Caddy", Failed(Kind::Unclassified)),
    (504, CADDY_FIELD, "", "Caddy", Failed(Kind::HttpResponseTimeout)),
];

fn fields(fields: &[(&'static str, &'static str)]) -> HeaderMap {
    let pair =
        |(name, value): &(&'static str, &'static str)| (HeaderName::from_static(name), HeaderValue::from_static(value));
    // Unlike `collect`, it keeps those of one name.
    let mut headers = HeaderMap::new();
    for (name, value) in fields.iter().map(pair) {
        headers.append(name, value);
    }
    headers
}

#[test]
fn every_rule_has_an_answer_that_only_it_fits() {
    let mut wrong = Vec::new();
    for (number, (status, headers, body, product, says)) in ROWS.iter().enumerate() {
        let headers = fields(headers);
        let got = (rule(*status, &headers, body.as_bytes()), sign(*status, &headers, body.as_bytes()));
        let is_right =
            got.0 == Some(number) && got.1.is_some_and(|sign| (sign.product, sign.says) == (*product, *says));
        if !is_right {
            wrong.push(format!("{number}: {status} {body}: {got:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(ROWS.len(), RULES.len(), "a rule has no row");
}

/// Without its field, its text or its status nothing of it is left, unless a rule of more general looks fits.
#[test]
fn a_rule_needs_all_that_it_asks_for() {
    let mut wrong = Vec::new();
    for (number, (status, headers, body, ..)) in ROWS.iter().enumerate() {
        let (headers, body, none) = (fields(headers), body.as_bytes(), HeaderMap::new());
        let mut others = vec![rule(200, &headers, body)];
        if !headers.is_empty() {
            others.push(rule(*status, &none, body));
        }
        if !body.is_empty() {
            others.push(rule(*status, &headers, b""));
        }
        if others.contains(&Some(number)) {
            wrong.push(number);
        }
    }
    // Its page looks the same whatever the status; those are not read below 400.
    let any_status = |number: &usize| !ROWS.get(*number).is_some_and(|row| RULES[*number].1.is_empty() && row.0 >= 400);
    wrong.retain(any_status);
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn what_only_looks_alike_is_nobodys() {
    let long = format!("{}upstream connect error or disconnect/reset before headers", "x".repeat(2000));
    let wrong: Vec<_> = [
        // Somebody quotes Envoy.
        (500, &[][..], long.as_str()),
        (404, &[], "no healthy upstream"),
        (502, &[], "delayed connect error: 111"),
        // Caddy puts its name on what it passes on, too.
        (502, &[("server", "Caddy")], "a page"),
        (502, &[("server", "Caddy"), ("server", "gunicorn")], ""),
        (502, &[("server", "gunicorn"), ("server", "Caddy")], ""),
        (502, &[("server", "Caddy 2")], ""),
        (500, &[("server", "Caddy")], ""),
        (500, &[("server", "nginx")], "Traceback (most recent call last)"),
        (500, &[("server", "cloudflare")], "boom"),
        (502, &[("server", "cloudflare")], "boom"),
        (502, &[("x-envoy-upstream-service-time", "3")], ""),
        (502, &[], ""),
    ]
    .into_iter()
    .filter(|(status, headers, body)| sign(*status, &fields(headers), body.as_bytes()).is_some())
    .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    assert!(is_relayed(&fields(&[("x-envoy-upstream-service-time", "3")])) && !is_relayed(&fields(CADDY_FIELD)));
}
