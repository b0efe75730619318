//! What is counted, as an exporter shows it.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};
use tower::Layer;
use tower_bad_gateway::{
    BadGatewayLayer, Failure, FailureKind, Metrics, Upstream,
    classify::{Cause, Verdict},
    context::RequestContext,
    validate::ResponseHead,
};

use crate::{
    held::{RESET, answering, call, of},
    mock::{
        Mock, MockBody, Ready,
        Step::{Data, Fields, Silence, Wait},
        get, request,
    },
};

fn recorder() -> PrometheusRecorder {
    PrometheusBuilder::new().set_buckets(&[0.005, 0.05, 0.5, 5.0, 50.0]).unwrap().build_recorder()
}

/// The value of every series.
fn scrape(recorder: &PrometheusRecorder) -> BTreeMap<String, f64> {
    let scrape = recorder.handle().render();
    let series = scrape.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    series
        .map(|line| line.rsplit_once(' ').unwrap())
        .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
        .collect()
}

fn layer(metrics: Metrics) -> BadGatewayLayer {
    BadGatewayLayer::new().upstream("billing").metrics(metrics)
}

fn failures(kind: &str, phase: &str, status: u16, grpc_status: &str) -> String {
    let labels = [
        ("upstream", "billing"),
        ("error", kind),
        ("phase", phase),
        ("blame", "upstream"),
        ("status", &status.to_string()),
        ("grpc_status", grpc_status),
    ];
    series("failures_total", &labels)
}

fn series(metric: &str, labels: &[(&str, &str)]) -> String {
    let labels: Vec<_> = labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
    format!("bad_gateway_{metric}{{{}}}", labels.join(","))
}

#[tokio::test(start_paused = true)]
async fn every_kind_stands_at_zero_before_it_happens() {
    let recorder = recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let _service = layer(Metrics::new()).layer(Mock::ok());
    let before = scrape(&recorder);
    assert_eq!(
        before.len(),
        FailureKind::ALL.len() + 3,
        "and clients that leave, before the head and after, and lines left out"
    );
    assert!(before.values().all(|value| *value == 0.0), "{before:?}");
    for kind in FailureKind::ALL {
        let label = format!("error=\"{}\",", kind.token());
        assert!(before.keys().any(|name| name.contains(&label)), "{label}");
    }
}

/// As they come about by themselves: the series that stood at 0 are those that count.
#[tokio::test(start_paused = true)]
async fn the_first_failure_is_an_increase() {
    let recorder = recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let layer = layer(Metrics::new()).silent();
    let registered: BTreeSet<_> = {
        let _service = layer.layer(Mock::ok());
        scrape(&recorder).into_keys().collect()
    };
    let io = |kind: io::ErrorKind| Mock::failing(move || io::Error::from(kind));
    let short = || Response::builder().header("content-length", 9).body(MockBody::of(["a"])).unwrap();
    for upstream in [
        io(io::ErrorKind::ConnectionRefused),
        io(io::ErrorKind::ConnectionReset),
        Mock::failing(|| "boom"),
        Mock::silent(),
        Mock::ok().ready([Ready::Never]),
        answering(Response::builder().status(999).body(MockBody::of([])).unwrap()),
        answering(short()),
        of([Data("a"), Silence]),
    ] {
        let _ = call(layer.clone(), upstream, get()).await.into_body().collect().await;
    }
    let moved: BTreeMap<_, _> =
        scrape(&recorder).into_iter().filter(|(name, value)| name.contains("failures_total") && *value > 0.0).collect();
    assert_eq!(moved.len(), 8, "{moved:#?}");
    let new: Vec<_> = moved.keys().filter(|name| !registered.contains(*name)).collect();
    assert!(new.is_empty(), "{new:#?}");
}

/// Some callers wrap a service for every connection.
#[tokio::test(start_paused = true)]
async fn kinds_are_registered_once_for_the_same_settings() {
    let layer = layer(Metrics::new());
    let count = |layer: &BadGatewayLayer| {
        let recorder = recorder();
        let _guard = metrics::set_default_local_recorder(&recorder);
        let _service = layer.layer(Mock::ok());
        scrape(&recorder).len()
    };
    assert_eq!([count(&layer), count(&layer), count(&layer.clone())], [37, 0, 0]);
    let other = layer.clone().upstream("shipping");
    assert_eq!([count(&other), count(&other), count(&layer)], [37, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_recorder_that_panics_harms_nobody() {
    struct Panics;
    impl metrics::CounterFn for Panics {
        fn increment(&self, _: u64) {
            panic!("a recorder");
        }
        fn absolute(&self, _: u64) {}
    }
    impl metrics::GaugeFn for Panics {
        fn increment(&self, _: f64) {}
        fn decrement(&self, _: f64) {
            panic!("a recorder");
        }
        fn set(&self, _: f64) {}
    }
    struct Recorder;
    impl metrics::Recorder for Recorder {
        fn describe_counter(&self, _: metrics::KeyName, _: Option<metrics::Unit>, _: metrics::SharedString) {}
        fn describe_gauge(&self, _: metrics::KeyName, _: Option<metrics::Unit>, _: metrics::SharedString) {}
        fn describe_histogram(&self, _: metrics::KeyName, _: Option<metrics::Unit>, _: metrics::SharedString) {}
        fn register_counter(&self, key: &metrics::Key, _: &metrics::Metadata<'_>) -> metrics::Counter {
            if key.name().contains("requests") {
                metrics::Counter::noop()
            } else {
                metrics::Counter::from_arc(Arc::new(Panics))
            }
        }
        fn register_gauge(&self, _: &metrics::Key, _: &metrics::Metadata<'_>) -> metrics::Gauge {
            metrics::Gauge::from_arc(Arc::new(Panics))
        }
        fn register_histogram(&self, _: &metrics::Key, _: &metrics::Metadata<'_>) -> metrics::Histogram {
            panic!("a recorder");
        }
    }
    let _guard = metrics::set_default_local_recorder(&Recorder);
    let layer = layer(Metrics::new().requests());
    assert_eq!(call(layer.clone(), Mock::failing(|| "boom"), get()).await.status(), 502);
    let whole = call(layer, Mock::ok(), get()).await.into_body().collect().await.unwrap();
    assert_eq!(whole.to_bytes(), "ok");
}

/// Every kind once, in a phase that is not its usual one, and responses of every class, passed on, broken off and intercepted: that
/// is the most there can be over plain HTTP. How many series a histogram has is the exporter's choice.
#[tokio::test(start_paused = true)]
async fn a_scrape_stays_small_after_every_kind_has_happened() {
    const OPEN_TELEMETRY: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
    let scrapes = async |recorder: PrometheusRecorder| {
        let _guard = metrics::set_default_local_recorder(&recorder);
        let layer = layer(Metrics::new().requests()).silent();
        let _service = layer.layer(Mock::ok());
        let mut scrapes = vec![scrape(&recorder)];
        for (count, kind) in FailureKind::ALL.iter().enumerate() {
            if count == 10 {
                scrapes.push(scrape(&recorder));
            }
            let reader = move |_: &Cause<'_>| Some(*kind);
            call(layer.clone().classify(reader), Mock::failing(|| "boom"), get()).await;
        }
        for status in [200, 304, 404, 503] {
            let response = || Response::builder().status(status).body(MockBody::of(["a"])).unwrap();
            drop(call(layer.clone(), answering(response()), get()).await.into_body().collect().await);
            let intercepts =
                layer.clone().validate(|_: &ResponseHead<'_>, _: &RequestContext| Err(FailureKind::ReceivedStatus));
            call(intercepts, answering(response()), get()).await;
        }
        drop(tokio::time::timeout(Duration::from_secs(1), call(layer.clone(), Mock::silent(), get())).await);
        drop(call(layer.clone(), of([Data("a"), Data("b")]), get()).await);
        scrapes.push(scrape(&recorder));
        scrapes
    };
    for (name, recorder, most) in [
        ("quantiles", PrometheusBuilder::new().build_recorder(), 200),
        ("five buckets", recorder(), 200),
        (
            "the buckets of OpenTelemetry",
            PrometheusBuilder::new().set_buckets(&OPEN_TELEMETRY).unwrap().build_recorder(),
            300,
        ),
    ] {
        let scrapes = scrapes(recorder).await;
        let [first, ten, all] = &scrapes[..] else { panic!("{}", scrapes.len()) };
        println!("{name}: {} series at first, {} after ten kinds, {} after all", first.len(), ten.len(), all.len());
        for metric in ["failures_total", "time_to_failure_seconds", "requests_total", "requests_in_flight"] {
            let sample =
                ten.iter().find(|(name, value)| name.contains(metric) && (**value > 0.0 || metric.ends_with("flight")));
            println!("  {:?}", sample.unwrap());
        }
        let counted: f64 = all.iter().filter(|(name, _)| name.contains("failures_total")).map(|(_, value)| value).sum();
        assert_eq!(counted, 34.0 + 4.0);
        assert!(all.len() <= most, "{name}: {}", all.len());
    }
}

/// Class, whether it is intercepted, seconds to its end if it was passed on.
type Counted = (&'static str, &'static str, f64);

/// Each call ends in one of failures, abandoned and responses; what is intercepted is a failure and a response.
#[tokio::test(start_paused = true)]
async fn responses_of_the_upstream_are_counted_by_class_and_timed() {
    let new = || layer(Metrics::new().requests());
    let router = || BadGatewayLayer::for_router().upstream("billing").metrics(Metrics::new().requests());
    let response = |status: u16| Response::builder().status(status).body(MockBody::of(["a"])).unwrap();
    let slow = || of([Data("a"), Wait(Duration::from_secs(4)), Data("b")]);
    let intercepts = |_: &ResponseHead<'_>, _: &RequestContext| Err(FailureKind::ReceivedStatus);
    let upgrade = || request("GET", &[("connection", "upgrade"), ("upgrade", "websocket")]);
    let grpc = || request("POST", &[("content-type", "application/grpc")]);
    let switched = || {
        let response = Response::builder().status(101).header("connection", "upgrade").header("upgrade", "websocket");
        answering(response.body(MockBody::of([])).unwrap())
    };
    let of_grpc = || {
        let response = Response::builder().header("content-type", "application/grpc");
        answering(response.body(MockBody::steps([Fields(&[("grpc-status", "0")])])).unwrap())
    };
    let handlers = || {
        let mut response = response(502);
        response.extensions_mut().insert(Failure::new(FailureKind::DnsError));
        answering(response)
    };
    type Row = (&'static str, BadGatewayLayer, Request<Empty<Bytes>>, Mock, Option<Counted>, f64);
    let says = || {
        let reader = |cause: &Cause<'_>| cause.find::<io::Error>().map(|_| Verdict::new(FailureKind::ReceivedStatus));
        new().classify(reader)
    };
    let rows: [Row; 20] = [
        ("passed on", new(), get(), slow(), Some(("2xx", "false", 4.0)), 0.0),
        ("HEAD", new(), request("HEAD", &[]), answering(response(200)), Some(("2xx", "false", 0.0)), 0.0),
        ("no content", new(), get(), answering(response(204)), Some(("2xx", "false", 0.0)), 0.0),
        ("nothing new", new(), get(), answering(response(304)), Some(("3xx", "false", 0.0)), 0.0),
        ("switched", new(), upgrade(), switched(), Some(("1xx", "false", 0.0)), 0.0),
        ("CONNECT", new(), request("CONNECT", &[]), answering(response(200)), Some(("2xx", "false", 0.0)), 0.0),
        ("gRPC", new(), grpc(), of_grpc(), Some(("2xx", "false", 0.0)), 0.0),
        ("held", new().hold_head(Duration::from_secs(9)), get(), slow(), Some(("2xx", "false", 4.0)), 0.0),
        ("held, and broken", new().hold_head(Duration::from_secs(9)), get(), of([RESET]), None, 1.0),
        ("router", router(), get(), slow(), Some(("2xx", "false", 4.0)), 0.0),
        ("not there", new(), get(), answering(response(404)), Some(("4xx", "false", 0.0)), 0.0),
        ("an error of its own", new(), get(), answering(response(500)), Some(("5xx", "false", 0.0)), 0.0),
        (
            "allowed",
            new().allow_status(StatusCode::from_u16(999).unwrap()),
            get(),
            answering(response(999)),
            Some(("other", "false", 0.0)),
            0.0,
        ),
        ("intercepted", new().validate(intercepts), get(), answering(response(503)), Some(("5xx", "true", 0.0)), 1.0),
        ("broken", new(), get(), of([Data("a"), RESET]), None, 1.0),
        ("broken, and says that it is a status", says(), get(), of([Data("a"), RESET]), None, 1.0),
        ("refused", new(), get(), answering(response(998)), None, 1.0),
        ("failed", new(), get(), Mock::failing(|| "boom"), None, 1.0),
        ("a handler's failure", router(), get(), handlers(), None, 1.0),
        ("not wanted", layer(Metrics::new()), get(), slow(), None, 0.0),
    ];
    let mut wrong = Vec::new();
    for (name, layer, request, upstream, expected, failed) in rows {
        let recorder = recorder();
        let _guard = metrics::set_default_local_recorder(&recorder);
        drop(call(layer, upstream, request).await.into_body().collect().await);
        let scrape = scrape(&recorder);
        let counted = |name: &&String| name.contains("responses_total") && scrape[*name] > 0.0;
        let seen: Vec<_> = scrape.keys().filter(counted).cloned().collect();
        let (count, time) = match expected {
            None => (None, None),
            Some((class, intercepted, time)) => {
                let upstream = ("upstream", "billing");
                let count = series("responses_total", &[upstream, ("class", class), ("intercepted", intercepted)]);
                let name = series("time_to_end_seconds_sum", &[upstream, ("class", class)]);
                (Some(count), (intercepted == "false").then_some((name, time)))
            }
        };
        let times: Vec<_> = scrape.iter().filter(|(name, _)| name.contains("time_to_end_seconds_sum")).collect();
        let others =
            |part: &str| scrape.iter().filter(|(name, _)| name.contains(part)).map(|(_, value)| value).sum::<f64>();
        if seen != Vec::from_iter(count)
            || times != Vec::from_iter(time.as_ref().map(|(name, time)| (name, time)))
            || (others("failures_total"), others("abandoned_total")) != (failed, 0.0)
        {
            wrong.push((name, seen, format!("{times:?}"), others("failures_total"), expected));
        }
    }
    assert!(wrong.is_empty(), "(name, counted, times, failures, expected): {wrong:#?}");
}

/// Of every failure either a line is written or its lack is counted.
#[cfg(feature = "tracing")]
#[tokio::test(start_paused = true)]
async fn what_is_left_out_of_the_log_is_counted() {
    let recorder = recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let left_out = || scrape(&recorder)[&series("events_left_out_total", &[("upstream", "billing")])];
    let layer = layer(Metrics::new());
    let _service = layer.layer(Mock::ok());
    assert_eq!(left_out(), 0.0);
    for _ in 0..25 {
        call(layer.clone(), Mock::failing(|| "boom"), get()).await;
    }
    assert_eq!(left_out(), 15.0);
    for _ in 0..25 {
        call(layer.clone().silent(), Mock::failing(|| "boom"), get()).await;
    }
    assert_eq!(left_out(), 15.0, "nothing is left out of a log that nobody wants");
}

#[tokio::test(start_paused = true)]
async fn failures_are_counted_where_they_happen_and_timed_from_the_call() {
    let recorder = recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let layer = layer(Metrics::new()).head_timeout(Duration::from_secs(5));
    let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
    for upstream in [
        Mock::failing(refused),
        Mock::failing(refused),
        Mock::silent(),
        Mock::ok(),
        Mock::ok().ready([Ready::Never]),
        of([Data("a"), Wait(Duration::from_secs(4)), RESET]),
    ] {
        let _ = call(layer.clone(), upstream, get()).await.into_body().collect().await;
    }
    let grpc = request("POST", &[("content-type", "application/grpc")]);
    call(layer, Mock::failing(refused), grpc).await;

    let scrape = scrape(&recorder);
    let sample = |name: &str| scrape.get(name).copied();
    assert_eq!(sample(&failures("connection_refused", "connect", 502, "")), Some(2.0));
    assert_eq!(sample(&failures("connection_refused", "connect", 200, "UNAVAILABLE")), Some(1.0), "gRPC");
    assert_eq!(sample(&failures("http_response_timeout", "response_head", 504, "")), Some(1.0));
    assert_eq!(sample(&failures("connection_terminated", "response_body", 200, "")), Some(1.0), "after 200");
    let time = |part: &str, status: u16, more: &str| {
        format!("bad_gateway_time_to_failure_seconds_{part}{{upstream=\"billing\",status=\"{status}\"{more}}}")
    };
    assert_eq!(sample(&time("count", 502, "")), Some(2.0));
    assert_eq!(sample(&time("bucket", 502, ",le=\"0.005\"")), Some(2.0));
    assert_eq!(sample(&time("sum", 504, "")), Some(5.0));
    assert_eq!(
        sample(&time("sum", 503, "")),
        Some(5.0),
        "the time in which it did not become ready, which is no longer than that for the head"
    );
    assert_eq!(sample(&time("sum", 200, "")), Some(4.0), "gRPC at once, and a body after 4 s");
    assert!(!scrape.keys().any(|name| name.contains("requests")), "calls are counted on request only");
}

#[tokio::test(start_paused = true)]
async fn calls_are_in_flight_until_the_end_of_their_body() {
    let recorder = recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let layer = layer(Metrics::new().requests());
    let counts = || {
        let scrape = scrape(&recorder);
        ["requests_total", "requests_in_flight"]
            .map(|name| scrape[&format!("bad_gateway_{name}{{upstream=\"billing\"}}")])
    };
    let _service = layer.layer(Mock::ok());
    assert_eq!(counts(), [0.0, 0.0]);

    let response = call(layer.clone(), of([Data("a"), Data("b")]), get()).await;
    assert_eq!(counts(), [1.0, 1.0]);
    drop(response.into_body().collect().await);
    assert_eq!(counts(), [1.0, 0.0]);

    drop(call(layer.clone(), of([Data("a"), Data("b")]), get()).await);
    assert_eq!(counts(), [2.0, 0.0], "abandoned");
    for upstream in [
        Mock::failing(|| "boom"),
        of([Data("a"), RESET]),
        answering(Response::builder().status(StatusCode::NO_CONTENT).body(MockBody::of([])).unwrap()),
    ] {
        let _ = call(layer.clone(), upstream, get()).await.into_body().collect().await;
    }
    assert_eq!(counts(), [5.0, 0.0]);
    let waiting = tokio::time::timeout(Duration::from_secs(1), call(layer, Mock::silent(), get()));
    drop(waiting.await);
    assert_eq!(counts(), [6.0, 0.0], "left before the head");
}

/// By when they left: with metrics the time is known after the head, too.
#[tokio::test(start_paused = true)]
async fn clients_that_leave_first_are_counted_and_timed() {
    let recorder = recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let layer = layer(Metrics::new());
    let _service = layer.layer(Mock::ok());
    let of_phase = |name: &str, phase: &str| {
        let name = format!("bad_gateway_{name}{{upstream=\"billing\",phase=\"{phase}\"}}");
        scrape(&recorder).get(&name).copied()
    };
    assert_eq!(of_phase("abandoned_total", "response_head"), Some(0.0));
    let waiting = tokio::time::timeout(Duration::from_secs(7), call(layer.clone(), Mock::silent(), get()));
    drop(waiting.await);
    drop(call(layer, of([Data("a"), Data("b")]), get()).await);
    let phases = ["response_head", "response_body"];
    assert_eq!(phases.map(|phase| of_phase("abandoned_total", phase)), [Some(1.0), Some(1.0)]);
    assert_eq!(phases.map(|phase| of_phase("time_to_abandonment_seconds_sum", phase)), [Some(7.0), Some(0.0)]);
}

/// A context that a hook has kept is no call.
#[tokio::test(start_paused = true)]
async fn what_a_hook_keeps_is_not_in_flight() {
    let recorder = recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let kept = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let hook = std::sync::Arc::clone(&kept);
    let layer =
        layer(Metrics::new().requests()).on_failure(move |event| hook.lock().unwrap().push(event.request().clone()));
    call(layer, Mock::failing(|| "boom"), get()).await;
    assert_eq!(kept.lock().unwrap().len(), 1);
    assert_eq!(scrape(&recorder)["bad_gateway_requests_in_flight{upstream=\"billing\"}"], 0.0);
}

/// (name, request, upstream, the series, seconds)
#[tokio::test(start_paused = true)]
async fn calls_are_timed_by_the_names_of_open_telemetry_where_that_is_asked_for() {
    let declared = || Upstream::new("billing-1").server("10.0.0.7", 8080);
    let with = |status: u16| {
        // Whatever a call says of the address, it is the one that was declared.
        let upstream = Upstream::new("billing-1").server("10.0.0.8", None);
        let response = Response::builder().status(status).header("content-type", "application/grpc");
        // A status in trailers is nothing to a client of plain HTTP.
        let steps = [Data("\0\0\0\0\u{1}a"), Fields(&[("grpc-status", "0")])];
        answering(response.extension(upstream).body(MockBody::steps(steps)).unwrap())
    };
    let grpc = || request("POST", &[("content-type", "application/grpc")]);
    let refused = || Mock::failing(|| io::Error::from(io::ErrorKind::ConnectionRefused));
    let server = r#"server_address="10.0.0.7",server_port="8080""#;
    let rows = [
        ("an answer", get(), with(200), format!(r#"http_client_request_duration{{http_request_method="GET",http_response_status_code="200",{server}}}"#), 0.0),
        ("an error of its own", get(), with(404), format!(r#"http_client_request_duration{{http_request_method="GET",http_response_status_code="404",error_type="404",{server}}}"#), 0.0),
        ("a method nobody knows", request("BREW", &[]), with(200), format!(r#"http_client_request_duration{{http_request_method="_OTHER",http_response_status_code="200",{server}}}"#), 0.0),
        ("refused", get(), refused(), r#"http_client_request_duration{http_request_method="GET",error_type="connection_refused"}"#.to_owned(), 0.0),
        ("an answer that is refused", get(), with(999), format!(r#"http_client_request_duration{{http_request_method="GET",error_type="http_protocol_error",{server}}}"#), 0.0),
        ("silent", get(), Mock::silent(), r#"http_client_request_duration{http_request_method="GET",error_type="http_response_timeout"}"#.to_owned(), 45.0),
        ("gRPC", grpc(), with(200), format!(r#"rpc_client_call_duration{{rpc_system_name="grpc",{server}}}"#), 0.0),
        ("gRPC, refused", grpc(), refused(), r#"rpc_client_call_duration{rpc_system_name="grpc",rpc_status_code="UNAVAILABLE",error_type="UNAVAILABLE"}"#.to_owned(), 0.0),
    ];
    let mut wrong = Vec::new();
    for (name, request, upstream, series, seconds) in rows {
        let recorder = recorder();
        let _guard = metrics::set_default_local_recorder(&recorder);
        let layer = layer(Metrics::new().upstreams([declared()]).open_telemetry());
        drop(call(layer, upstream, request).await.into_body().collect().await);
        let (metric, labels) = series.split_once('{').unwrap();
        let scrape = scrape(&recorder);
        let sums: Vec<_> = scrape.iter().filter(|(name, _)| name.contains("_duration_sum")).collect();
        if sums != [(&format!("{metric}_sum{{{labels}"), &seconds)] {
            wrong.push((name, format!("{sums:?}"), series));
        }
    }
    assert!(wrong.is_empty(), "(name, seen, expected): {wrong:#?}");
}

/// Of each metric the labels, as the table of the docs has them.
pub(crate) fn documented() -> BTreeMap<&'static str, BTreeSet<&'static str>> {
    let docs = include_str!("../../src/hooks/metrics/mod.rs").lines();
    let rows = docs.filter_map(|line| line.strip_prefix("/// | `bad_gateway_").and(line.strip_prefix("/// | ")));
    let cells = rows.map(|row| {
        let [metric, labels, _] = row.splitn(3, " | ").collect::<Vec<_>>()[..] else { panic!("{row}") };
        (metric.trim_matches('`'), labels.split(", ").map(|label| label.trim_matches('`')).collect())
    });
    cells.collect()
}

#[tokio::test(start_paused = true)]
async fn metrics_and_labels_are_those_of_the_docs() {
    let recorder = recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let layer = layer(Metrics::new().requests());
    call(layer.clone(), Mock::failing(|| "boom"), get()).await;
    call(layer.clone().fallback(crate::fallback::page()), Mock::failing(|| "boom"), get()).await;
    drop(call(layer.clone(), Mock::ok(), get()).await.into_body().collect().await);
    drop(call(layer, of([Data("a"), Data("b")]), get()).await);
    let scrape = scrape(&recorder);
    let mut seen = BTreeMap::<_, BTreeSet<_>>::new();
    for name in scrape.keys() {
        let (metric, list) = name.split_once('{').unwrap();
        let metric = ["_bucket", "_sum", "_count"].iter().find_map(|part| metric.strip_suffix(part)).unwrap_or(metric);
        let labels = list.trim_end_matches('}').split(',').map(|label| label.split_once('=').unwrap().0);
        seen.entry(metric).or_default().extend(labels.filter(|label| *label != "le"));
    }
    assert_eq!(seen, documented());
}
