//! What people leave other gateways for, and the rows of `guide/coming_from.md`: each with the behaviour that is described there, in at most three
//! lines of configuration.

use std::{
    fmt, io,
    sync::{Arc, Mutex},
    time::Duration,
};

use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, uri::PathAndQuery};
use http_body_util::Empty;
use tower::{Layer, ServiceExt, service_fn};
use tower_bad_gateway::{
    BadGatewayLayer, BoxError, Failure, FailureKind,
    classify::{Cause, Verdict},
    context::RequestContext,
    failure::FailureClass,
    fallback::{EmptyBody, FailureView, Fallback},
    format::{self, Negotiate, Static},
    validate::{Intercept, ResponseHead},
};

use crate::{
    fallback::Pages,
    mock::{Mock, MockBody, Step, request, text},
};

const HTML: HeaderValue = HeaderValue::from_static("text/html");

/// Status, fields and content of the answer to a browser's GET.
async fn answer(layer: &BadGatewayLayer, upstream: Mock, path: &str) -> (u16, HeaderMap, String) {
    let request = Request::get(path).header("accept", "text/html").body(Empty::new()).unwrap();
    let Ok(response) = layer.layer(upstream).oneshot(request).await;
    let (head, body) = response.into_parts();
    (head.status.as_u16(), head.headers, text(body).await.unwrap())
}

fn refusing() -> Mock {
    Mock::failing(|| io::Error::from(io::ErrorKind::ConnectionRefused))
}

/// An upstream that answers an error of its own, with this content.
fn answering(status: u16, content: &'static str) -> Mock {
    Mock::new(move |_| async move {
        let body = if content.is_empty() { MockBody::of([]).ended() } else { MockBody::of([content]) };
        let response =
            Response::builder().status(status).header("www-authenticate", "Basic").header("retry-after", "9");
        Ok(response.header("server", "secret").body(body).unwrap())
    })
}

/// A folder of pages: what it has is named by its path.
fn pages() -> Pages {
    Pages::new(service_fn(|request: Request<EmptyBody>| async move {
        let path = request.uri().path();
        let status = if path == "/missing.html" { 404 } else { 200 };
        let content: &'static str = request.uri().to_string().leak();
        let response =
            Response::builder().status(status).header("content-type", "text/html").header("content-encoding", "br");
        Ok::<_, BoxError>(response.body(MockBody::of([content])).unwrap())
    }))
}

/// (a) Only what the gateway has made is replaced.
#[tokio::test(start_paused = true)]
async fn a_page_for_what_the_gateway_has_made_alone() {
    let layer = BadGatewayLayer::new().format(Negotiate::new().html(Static::new(HTML, "ours")));
    assert_eq!(answer(&layer, refusing(), "/").await.2, "ours");
    let (status, fields, content) = answer(&layer, answering(500, "theirs"), "/").await;
    assert_eq!((status, &*content, fields["server"].to_str().unwrap()), (500, "theirs", "secret"));
}

/// (b) Only what was empty is replaced.
#[tokio::test(start_paused = true)]
async fn a_page_where_there_was_none() {
    let layer = BadGatewayLayer::new()
        .intercept(Intercept::statuses(400..=599).without_content())
        .format(Static::new(HTML, "ours"));
    for (upstream, expected) in
        [(answering(404, ""), "ours"), (answering(404, "theirs"), "theirs"), (answering(503, ""), "ours")]
    {
        assert_eq!(answer(&layer, upstream, "/").await.2, expected);
    }
}

/// (c) By route.
#[tokio::test(start_paused = true)]
async fn a_page_for_some_routes() {
    fn is_shop(_: &ResponseHead<'_>, request: &RequestContext) -> bool {
        request.path().starts_with("/shop/")
    }
    let layer =
        BadGatewayLayer::new().intercept(Intercept::server_errors().when(is_shop)).format(Static::new(HTML, "ours"));
    assert_eq!(answer(&layer, answering(500, "theirs"), "/shop/1").await.2, "ours");
    assert_eq!(answer(&layer, answering(500, "theirs"), "/api/1").await.2, "theirs");
}

/// (d) Type and encoding are those of the page's own server, the status is that of the failure.
#[tokio::test(start_paused = true)]
async fn a_page_keeps_type_and_encoding() {
    let layer = BadGatewayLayer::new().fallback(pages());
    let (status, fields, content) = answer(&layer, refusing(), "/a").await;
    assert_eq!((status, &*content), (502, "/a"));
    assert_eq!((&fields["content-type"], &fields["content-encoding"]), (&HTML, &HeaderValue::from_static("br")));
    assert_eq!(fields["cache-control"], "no-store");
}

/// (e) Metrics count the failure, also where the client got a 200.
#[cfg(feature = "metrics")]
#[tokio::test(start_paused = true)]
async fn metrics_count_the_original_failure() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let layer = BadGatewayLayer::new()
        .metrics(tower_bad_gateway::Metrics::new())
        .fallback(Fallback::new(pages()).keep_status());
    assert_eq!(answer(&layer, refusing(), "/a").await.0, 200);
    assert_eq!(answer(&layer, refusing(), "/missing.html").await.0, 404);
    let scrape = handle.render();
    let count = |start: &str| -> u32 {
        let lines = scrape.lines().filter(|line| line.starts_with(start) && !line.ends_with(" 0"));
        lines.map(|line| line.rsplit_once(' ').unwrap().1.parse::<u32>().unwrap()).sum()
    };
    assert_eq!(count("bad_gateway_failures_total{upstream=\"\",error=\"connection_refused\""), 2, "{scrape}");
    assert_eq!(
        count("bad_gateway_fallbacks_total{upstream=\"\",error=\"connection_refused\",outcome=\"answered\"}"),
        2,
        "{scrape}"
    );
    assert_eq!(count("bad_gateway_failures_total"), 2, "{scrape}");
}

/// (f) Another status where it is wanted. nginx: `error_page 502 =503 /sorry`; HAProxy: `set-status 429` by cause; Traefik: `statusRewrites`.
#[tokio::test(start_paused = true)]
async fn another_status_where_it_is_wanted() {
    let layer = BadGatewayLayer::new().map_status(|failure| match failure.kind().class() {
        Some(FailureClass::Overload) => StatusCode::TOO_MANY_REQUESTS,
        Some(FailureClass::Connection) => StatusCode::SERVICE_UNAVAILABLE,
        _ => failure.status(),
    });
    let shed = || Mock::failing(tower_shed);
    for (upstream, expected) in [(refusing(), 503), (shed(), 429), (Mock::silent(), 504)] {
        assert_eq!(answer(&layer, upstream, "/").await.0, expected);
    }
}

fn tower_shed() -> Failure {
    Failure::new(FailureKind::ConnectionLimitReached)
}

/// `proxy_connect_timeout`, `proxy_read_timeout`; HAProxy `timeout server`: 504.
#[tokio::test(start_paused = true)]
async fn nginx_and_haproxy_time_limits() {
    let layer = BadGatewayLayer::new().head_timeout(Duration::from_secs(50)).idle_timeout(Duration::from_secs(10));
    let start = tokio::time::Instant::now();
    assert_eq!(answer(&layer, Mock::silent(), "/").await.0, 504);
    assert_eq!(start.elapsed().as_secs(), 50);
    let stalls = Mock::new(|_| async { Ok(Response::new(MockBody::steps([Step::Data("a"), Step::Silence]))) });
    let start = tokio::time::Instant::now();
    let Ok(response) = layer.layer(stalls).oneshot(request("GET", &[])).await;
    assert!(text(response.into_body()).await.is_err());
    assert_eq!(start.elapsed().as_secs(), 10);
}

/// `error_page 502 504 /50x.html` with `proxy_intercept_errors on`: for every client, and for these codes alone. HAProxy: `errorfile`.
#[tokio::test(start_paused = true)]
async fn nginx_error_page_from_a_file() {
    let path = std::env::temp_dir().join(format!("tower-bad-gateway-50x-{}.html", std::process::id()));
    std::fs::write(&path, "sorry").unwrap();
    let page = Static::from_file(HTML, &path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let layer = BadGatewayLayer::new()
        .format_for(StatusCode::BAD_GATEWAY, page.clone())
        .format_for(StatusCode::GATEWAY_TIMEOUT, page)
        .intercept(Intercept::statuses([502, 504]));
    let rows = [
        (refusing(), 502, "sorry"),
        (Mock::silent(), 504, "sorry"),
        (answering(502, "theirs"), 502, "sorry"),
        (answering(500, "theirs"), 500, "theirs"),
        (answering(503, "theirs"), 503, "theirs"),
    ];
    for (upstream, status, expected) in rows {
        let (got, _, content) = answer(&layer, upstream, "/").await;
        assert_eq!((got, &*content), (status, expected));
    }
    let Ok(response) = layer.layer(refusing()).oneshot(request("GET", &[("accept", "application/json")])).await;
    assert_eq!(text(response.into_body()).await.unwrap(), "sorry");
}

/// nginx: `proxy_next_upstream error`; Traefik: `retry`; Caddy: `lb_try_duration`. One more attempt, and none after a time limit.
#[cfg(feature = "retry")]
#[tokio::test(start_paused = true)]
async fn nginx_tries_once_more() {
    use tower::retry::RetryLayer;
    use tower_bad_gateway::retry::{ReplayBody, RetryPolicy};

    for (kind, expected) in [(FailureKind::ConnectionRefused, 2), (FailureKind::ConnectionTimeout, 1)] {
        let sent = Arc::new(Mutex::new(0));
        let count = Arc::clone(&sent);
        let gateway = tower::ServiceBuilder::new()
            .layer(BadGatewayLayer::new())
            .map_request(|request: Request<Empty<_>>| request.map(ReplayBody::new))
            .layer(RetryLayer::new(RetryPolicy::new()))
            .service(service_fn(move |_: Request<ReplayBody<Empty<_>>>| {
                *count.lock().unwrap() += 1;
                async move { Err::<Response<MockBody>, _>(Failure::new(kind)) }
            }));
        let Ok(response) = gateway.oneshot(request("GET", &[])).await;
        assert_eq!((response.status(), *sent.lock().unwrap()), (kind.status(), expected));
    }
}

/// `error_page 404 = @fallback`: another service does the work, under its own status.
#[tokio::test(start_paused = true)]
async fn nginx_error_page_with_a_named_location() {
    let layer = BadGatewayLayer::new()
        .intercept(StatusCode::NOT_FOUND)
        .fallback_for(StatusCode::NOT_FOUND, Fallback::upstream(pages()));
    let (status, fields, content) = answer(&layer, answering(404, "theirs"), "/a?b=c").await;
    assert_eq!((status, &*content), (200, "/a?b=c"));
    assert!(!fields.contains_key("server"));
    assert_eq!(answer(&layer, answering(500, "theirs"), "/a").await.2, "theirs");
}

/// `proxy_intercept_errors on` replaces what has an `error_page`, and keeps `WWW-Authenticate`; Envoy's `custom_response`, Caddy's `handle_response`.
#[tokio::test(start_paused = true)]
async fn nginx_intercepts_errors() {
    let layer = BadGatewayLayer::new().intercept(Intercept::statuses(400..=599)).format(Static::new(HTML, "ours"));
    for status in [401, 404, 500, 503] {
        let (got, fields, content) = answer(&layer, answering(status, "theirs"), "/").await;
        assert_eq!((got, &*content), (status, "ours"));
        assert_eq!(
            (&fields["www-authenticate"], &fields["retry-after"]),
            (&HeaderValue::from_static("Basic"), &HeaderValue::from_static("9"))
        );
        assert!(!fields.contains_key("server"));
    }
    for status in [200, 206, 301, 302, 304] {
        let (got, fields, _) = answer(&layer, answering(status, "theirs"), "/").await;
        assert_eq!((got, &fields["server"]), (status, &HeaderValue::from_static("secret")));
    }
}

/// `$upstream_status` and `$upstream_response_time` in the log; HAProxy's termination state, Envoy's response flags.
#[tokio::test(start_paused = true)]
async fn the_event_has_what_the_logs_of_others_have() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let see = Arc::clone(&seen);
    let layer = BadGatewayLayer::new()
        .intercept(Intercept::server_errors())
        .on_failure(move |event| see.lock().unwrap().push(event.failure().clone()));
    let slow = Mock::new(|_| async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        Ok(Response::builder().status(500).body(MockBody::of(["a"])).unwrap())
    });
    answer(&layer, slow, "/").await;
    answer(&layer, Mock::silent(), "/").await;
    answer(&layer, refusing(), "/").await;
    answer(&layer, Mock::failing(tower_shed), "/").await;
    let seen = seen.lock().unwrap();
    let words = |failure: &Failure| (failure.kind().token(), failure.phase().as_str(), failure.blame().as_str());
    assert_eq!(words(&seen[0]), ("received_status", "response_head", "upstream"));
    assert_eq!((seen[0].upstream_status().unwrap().as_u16(), seen[0].elapsed().unwrap().as_secs()), (500, 3));
    assert_eq!(words(&seen[1]), ("http_response_timeout", "response_head", "upstream"));
    assert_eq!(words(&seen[2]), ("connection_refused", "connect", "upstream"));
    assert_eq!((seen[3].kind().token(), seen[3].blame().as_str()), ("connection_limit_reached", "gateway"));
}

/// Envoy: `DC`; HAProxy: `CD--`. A client that has left is no failure.
#[tokio::test(start_paused = true)]
async fn a_client_that_left_is_told_by_another_hook() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (failed, left) = (Arc::clone(&seen), Arc::clone(&seen));
    let layer = BadGatewayLayer::new()
        .on_failure(move |_| failed.lock().unwrap().push("failed"))
        .on_abandoned(move |_| left.lock().unwrap().push("left"));
    let call = layer.layer(Mock::silent()).oneshot(request("GET", &[]));
    assert!(tokio::time::timeout(Duration::from_secs(1), call).await.is_err());
    assert_eq!(*seen.lock().unwrap(), ["left"]);
}

/// Traefik: `errors` with `status: 500-599`, `service` and `query: /{status}.html`. Caddy: `rewrite * /{err.status_code}.html`.
#[tokio::test(start_paused = true)]
async fn traefik_asks_an_error_service() {
    let layer = BadGatewayLayer::new()
        .intercept(Intercept::server_errors())
        .fallback(Fallback::new(pages()).path(PathAndQuery::from_static("/{status}.html")));
    for (upstream, status) in [(answering(500, "theirs"), 500), (answering(503, ""), 503), (refusing(), 502)] {
        let (got, _, content) = answer(&layer, upstream, "/a").await;
        assert_eq!((got, content), (status, format!("/{status}.html")));
    }
    assert_eq!(answer(&layer, answering(404, "theirs"), "/a").await.2, "theirs");
}

/// Envoy: mappers by kind, class or status; an answer in gRPC without any; HAProxy: `errorfile 503`.
#[tokio::test(start_paused = true)]
async fn envoy_and_haproxy_map_local_replies() {
    let layer = BadGatewayLayer::new()
        .format_for(FailureKind::HttpRequestDenied, format::Empty)
        .format_for(StatusCode::SERVICE_UNAVAILABLE, Static::new(HTML, "busy"));
    let denied = Mock::failing(|| Failure::new(FailureKind::HttpRequestDenied));
    let busy = Mock::failing(tower_shed);
    assert_eq!(answer(&layer, denied, "/").await.2, "");
    assert_eq!(answer(&layer, busy, "/").await.2, "busy");
    let Ok(response) = layer.layer(refusing()).oneshot(request("POST", &[("content-type", "application/grpc")])).await;
    assert_eq!(
        (response.status().as_u16(), &response.headers()["grpc-status"]),
        (200, &HeaderValue::from_static("14"))
    );
}

/// Envoy: `json_format`.
#[cfg(feature = "json")]
#[tokio::test(start_paused = true)]
async fn envoy_writes_json() {
    let layer = BadGatewayLayer::new().format(format::Json::new().member("service", "billing"));
    let (_, fields, content) = answer(&layer, refusing(), "/").await;
    assert_eq!(fields["content-type"], "application/json");
    assert!(content.ends_with("\"code\":\"connection_refused\",\"status\":502,\"service\":\"billing\"}"), "{content}");
}

/// Envoy: `proxy_status_config`; linkerd: `l5d-proxy-error`.
#[cfg(feature = "proxy-status")]
#[tokio::test(start_paused = true)]
async fn envoy_and_linkerd_tell_the_next_hop() {
    let layer = BadGatewayLayer::new().gateway_name(tower_bad_gateway::GatewayName::from_static("edge-1"));
    assert_eq!(answer(&layer, refusing(), "/").await.1["proxy-status"], "edge-1;error=connection_refused");
}

/// HAProxy: `timeout queue`: 503 after that time.
#[tokio::test(start_paused = true)]
async fn haproxy_waits_in_a_queue() {
    let gateway = tower::ServiceBuilder::new()
        .layer(BadGatewayLayer::new().ready_timeout(Duration::from_secs(3)))
        .concurrency_limit(1)
        .service(Mock::silent());
    let first = tokio::spawn(gateway.clone().oneshot(request("GET", &[])));
    tokio::task::yield_now().await;
    let start = tokio::time::Instant::now();
    let Ok(second) = gateway.oneshot(request("GET", &[])).await;
    assert_eq!((second.status().as_u16(), start.elapsed().as_secs()), (503, 3));
    first.abort();
}

/// HAProxy: `maxconn` without a queue, 503 at once.
#[cfg(feature = "tower")]
#[tokio::test(start_paused = true)]
async fn haproxy_limits_a_queue() {
    let gateway = tower::ServiceBuilder::new()
        .layer(BadGatewayLayer::new().retry_after(Duration::from_secs(10)))
        .load_shed()
        .concurrency_limit(1)
        .service(Mock::silent());
    let first = tokio::spawn(gateway.clone().oneshot(request("GET", &[])));
    tokio::task::yield_now().await;
    let Ok(second) = gateway.oneshot(request("GET", &[])).await;
    assert_eq!((second.status().as_u16(), &second.headers()["retry-after"]), (503, &HeaderValue::from_static("10")));
    first.abort();
}

/// Caddy: `{err.status_code}`, `{err.message}`, `{err.id}` in a template; HAProxy: `lf-file`.
#[cfg(feature = "template")]
#[tokio::test(start_paused = true)]
async fn caddy_fills_in_a_template() {
    let page = format::Template::html("{{ status }} {{ summary }} {{ request_id }}").unwrap();
    let layer = BadGatewayLayer::new().request_id_header(http::HeaderName::from_static("x-request-id")).format(page);
    let request = request("GET", &[("x-request-id", "7f3a")]);
    let Ok(response) = layer.layer(refusing()).oneshot(request).await;
    assert_eq!(text(response.into_body()).await.unwrap(), "502 the upstream refused the connection 7f3a");

    let page = format::Template::html("busy: {{ code }}").unwrap();
    let layer = BadGatewayLayer::new().format_for(StatusCode::SERVICE_UNAVAILABLE, page);
    assert_eq!(answer(&layer, Mock::failing(tower_shed), "/").await.2, "busy: connection_limit_reached");
}

/// linkerd's `HttpRescue`, and `match` arms by hand: errors of one's own, and no text of an error for clients.
#[tokio::test(start_paused = true)]
async fn linkerd_and_match_arms_know_their_errors() {
    #[derive(Debug)]
    struct NoEndpoint(&'static str);
    impl fmt::Display for NoEndpoint {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }
    impl std::error::Error for NoEndpoint {}

    fn read(cause: &Cause<'_>) -> Option<Verdict> {
        cause.find::<NoEndpoint>().map(|_| Verdict::new(FailureKind::DestinationUnavailable))
    }
    let layer = BadGatewayLayer::new().classify(read);
    let late = || io::Error::other(io::Error::from(io::ErrorKind::TimedOut));
    assert_eq!(answer(&layer, Mock::failing(late), "/").await.0, 504);
    let (status, _, content) = answer(&layer, Mock::failing(|| NoEndpoint("10.0.0.7 is secret")), "/").await;
    assert_eq!(status, 503);
    assert!(!content.contains("secret") && !content.contains("10.0.0.7"), "{content}");
}

/// A fallback knows what has failed, to write a page of it.
#[tokio::test(start_paused = true)]
async fn a_router_writes_the_page() {
    let page = service_fn(|request: Request<EmptyBody>| async move {
        let failure = request.extensions().get::<FailureView>().unwrap();
        let content: &'static str = format!("{}: {}", failure.title(), failure.summary()).leak();
        Ok::<_, BoxError>(Response::new(MockBody::of([content])))
    });
    let layer = BadGatewayLayer::new().fallback(page);
    assert_eq!(answer(&layer, refusing(), "/").await.2, "Connection refused: the upstream refused the connection");
}

/// Three lines, and `BadGatewayLayer::new()` before them; a closure with arms is one setting, of as many lines as it has arms.
#[test]
fn it_takes_three_lines() {
    let source = include_str!("coming_from.rs");
    let starts: Vec<_> = source.match_indices("    let layer = BadGatewayLayer::new()").collect();
    assert!(starts.len() > 12, "{}", starts.len());
    for (start, _) in starts {
        let statement = source[start..].split(";\n").next().unwrap();
        let settings = statement.lines().filter(|line| line.trim_start().starts_with('.')).count();
        assert!(settings <= 3, "{statement}");
    }
}

/// The first cell of every row of the guide, and the test that compares what is described with what we answer.
const ROWS: &[(&str, &str)] = &[
    ("`proxy_connect_timeout`, `proxy_read_timeout`", "nginx_and_haproxy_time_limits"),
    ("`error_page 502 503 504 /50x.html`", "nginx_error_page_from_a_file"),
    ("`error_page 502 =503 /sorry`", "another_status_where_it_is_wanted"),
    ("`error_page 404 = @fallback`, with `proxy_intercept_errors on`", "nginx_error_page_with_a_named_location"),
    ("`proxy_intercept_errors on`, with an `error_page` for some codes", "nginx_intercepts_errors"),
    ("`proxy_next_upstream error`", "nginx_tries_once_more"),
    ("`$upstream_status`, `$upstream_response_time` in the log", "the_event_has_what_the_logs_of_others_have"),
    ("`errors`: `status: 500-599`, `service`, `query: /{status}.html`", "traefik_asks_an_error_service"),
    ("`errors.statusRewrites`", "another_status_where_it_is_wanted"),
    ("`retry`", "nginx_tries_once_more"),
    ("`local_reply_config.mappers` by status or flag", "envoy_and_haproxy_map_local_replies"),
    ("`body_format: json_format`", "envoy_writes_json"),
    ("`custom_response` of upstream errors", "nginx_intercepts_errors"),
    ("`proxy_status_config`", "envoy_and_linkerd_tell_the_next_hop"),
    ("`%RESPONSE_FLAGS%`", "the_event_has_what_the_logs_of_others_have"),
    ("`DC` among them", "a_client_that_left_is_told_by_another_hook"),
    ("gRPC: `Trailers-Only` answers", "envoy_and_haproxy_map_local_replies"),
    ("`timeout server`", "nginx_and_haproxy_time_limits"),
    ("`maxconn` with a full `maxqueue`", "haproxy_limits_a_queue"),
    ("`timeout queue`", "haproxy_waits_in_a_queue"),
    ("`errorfile 503 /etc/503.http`", "envoy_and_haproxy_map_local_replies"),
    ("`http-error status 503 lf-file`", "caddy_fills_in_a_template"),
    ("`http-after-response set-status 429 if { .. }`", "another_status_where_it_is_wanted"),
    ("termination state `sH--`, `SC--` in the log", "the_event_has_what_the_logs_of_others_have"),
    ("`handle_errors { rewrite * /{err.status_code}.html; file_server }`", "traefik_asks_an_error_service"),
    ("`{err.status_code}`, `{err.message}` in a template", "caddy_fills_in_a_template"),
    ("`{err.id}`", "caddy_fills_in_a_template"),
    ("`handle_response @5xx { .. }`", "nginx_intercepts_errors"),
    ("`lb_try_duration`", "nginx_tries_once_more"),
    ("`l5d-proxy-error`", "envoy_and_linkerd_tell_the_next_hop"),
    ("`HttpRescue`", "linkerd_and_match_arms_know_their_errors"),
    ("`HandleErrorLayer::new(\\|error\\| ..)` in axum", "a_fallible_service_is_mounted_without_an_error_handler"),
    ("`match error { Timeout => 504, _ => 502 }`", "linkerd_and_match_arms_know_their_errors"),
    ("`Err(error) => (StatusCode::BAD_GATEWAY, error.to_string())`", "linkerd_and_match_arms_know_their_errors"),
];

#[test]
fn every_row_of_the_guide_has_a_test() {
    let guide = include_str!("../../guide/coming_from.md").lines();
    let cells: Vec<_> = guide.filter_map(|line| Some(line.strip_prefix("| ")?.split_once(" | ")?.0)).collect();
    // Behind each head stands a line of hyphens.
    let heads = cells.iter().skip(1).zip(&cells).filter(|(next, _)| **next == "---").map(|(_, head)| head);
    let heads: Vec<_> = heads.copied().collect();
    let rows: Vec<_> = cells.into_iter().filter(|cell| *cell != "---" && !heads.contains(cell)).collect();
    assert_eq!(rows, ROWS.iter().map(|(row, _)| *row).collect::<Vec<_>>());
    let tests = concat!(include_str!("coming_from.rs"), include_str!("../../compat/tests/axum.rs"));
    let missing: Vec<_> = ROWS.iter().filter(|(_, test)| !tests.contains(&format!("fn {test}("))).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
