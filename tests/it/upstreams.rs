//! Which of several upstreams a call went to, where somebody inside of the layer says so.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use http::{Request, Response};
use http_body_util::BodyExt;
use tower_bad_gateway::{
    BadGatewayLayer, BoxError, Failure, FailureKind, Upstream, classify::Cause, context::RequestContext,
    validate::ResponseHead,
};

use crate::{
    held::{RESET, call},
    mock::{
        Mock, MockBody,
        Step::{self, Data},
        get,
    },
};

fn second() -> Upstream {
    Upstream::new("billing-2").server("10.0.0.7", 8080)
}

/// Chosen inside, and said of the response.
fn answering(status: u16, steps: Vec<Step>) -> Mock {
    Mock::new(move |_| {
        let response = Response::builder().status(status).extension(second()).body(MockBody::steps(steps.clone()));
        async { Ok(response.unwrap()) }
    })
}

fn refused() -> Failure {
    Failure::from_error(io::Error::from(io::ErrorKind::ConnectionRefused)).with_upstream(second())
}

/// As a buffer or a retry wraps it.
#[derive(Debug)]
struct Wrapped(Failure);

impl std::fmt::Display for Wrapped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("wrapped")
    }
}

impl std::error::Error for Wrapped {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

type Seen = (&'static str, String, Option<(String, Option<u16>)>);

fn watched() -> (BadGatewayLayer, Arc<Mutex<Vec<Seen>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let push = {
        let seen = Arc::clone(&seen);
        move |event, upstream: Option<&str>, server: Option<(&str, Option<u16>)>| {
            let server = server.map(|(address, port)| (address.to_owned(), port));
            seen.lock().unwrap().push((event, upstream.unwrap_or_default().to_owned(), server));
        }
    };
    let [failed, broken, succeeded, abandoned] = [push.clone(), push.clone(), push.clone(), push];
    let layer = BadGatewayLayer::new()
        .upstream("billing")
        .validate(
            |head: &ResponseHead<'_>, _: &RequestContext| {
                if head.status() == 503 { Err(FailureKind::ReceivedStatus) } else { Ok(()) }
            },
        )
        .on_failure(move |event| failed("failure", event.upstream(), event.server()))
        .on_body_failure(move |event| broken("body failure", event.upstream(), event.server()))
        .on_success(move |event| succeeded("success", event.upstream(), event.server()))
        .on_abandoned(move |event| abandoned("abandoned", event.upstream(), event.server()));
    (layer, seen)
}

/// (name, upstream, event, whether the upstream of the call is known)
#[tokio::test(start_paused = true)]
async fn events_name_the_upstream_of_the_call_where_somebody_knows_it() {
    let fails = |error: fn() -> BoxError| Mock::new(move |_| async move { Err(error()) });
    let rows = [
        ("an answer", answering(200, vec![Data("a")]), "success", true),
        ("one that breaks", answering(200, vec![Data("a"), RESET]), "body failure", true),
        ("one that is broken", answering(200, vec![RESET]), "failure", true),
        ("one that is refused", answering(999, vec![]), "failure", true),
        ("one that is intercepted", answering(503, vec![]), "failure", true),
        ("one that nobody reads", answering(200, vec![Data("a"), Data("b")]), "abandoned", true),
        ("a failure", fails(|| refused().into()), "failure", true),
        (
            "a named error",
            fails(|| second().error(io::Error::from(io::ErrorKind::ConnectionRefused)).into()),
            "failure",
            true,
        ),
        ("a named error below another", fails(|| io::Error::other(second().error("boom")).into()), "failure", true),
        ("a failure below another error", fails(|| Wrapped(refused()).into()), "failure", true),
        ("an error", fails(|| io::Error::from(io::ErrorKind::ConnectionRefused).into()), "failure", false),
        ("an answer that says nothing", Mock::ok(), "success", false),
        ("silence", Mock::silent(), "failure", false),
    ];
    let mut wrong = Vec::new();
    for (name, upstream, event, known) in rows {
        let (layer, seen) = watched();
        let body = call(layer, upstream, get()).await.into_body();
        if event == "abandoned" {
            drop(body);
        } else {
            drop(body.collect().await);
        }
        let seen = std::mem::take(&mut *seen.lock().unwrap());
        let expected = if known {
            (event, "billing-2".to_owned(), Some(("10.0.0.7".to_owned(), Some(8080))))
        } else {
            (event, "billing".to_owned(), None)
        };
        if seen != [expected] {
            wrong.push((name, seen));
        }
    }
    assert!(wrong.is_empty(), "(name, seen): {wrong:#?}");
}

#[cfg(all(feature = "proxy-status", feature = "tracing"))]
#[tokio::test]
async fn the_log_has_name_and_address_and_clients_have_neither() {
    use tower_bad_gateway::GatewayName;

    use crate::log;

    for discloses in [false, true] {
        log::begin();
        let name = GatewayName::from_static("edge-1");
        let layer = BadGatewayLayer::new().upstream("billing").gateway_name(name).disclose(move |_| discloses);
        let (head, body) = call(layer, Mock::failing(refused), get()).await.into_parts();
        let answer = format!("{:?} {:?}", head.headers, body.collect().await.unwrap().to_bytes());
        let line = log::take();
        assert!(line.contains("upstream=\"billing-2\" server.address=\"10.0.0.7\" server.port=8080 gateway"), "{line}");
        assert_eq!(answer.contains("next-hop=billing-2"), discloses, "{answer}");
        assert!(!answer.contains("10.0.0.7") && !answer.contains("8080"), "{answer}");
    }
}

/// The upstream stays that of the layer: shares of its calls have to be had.
#[cfg(feature = "metrics")]
#[tokio::test(start_paused = true)]
async fn a_label_is_a_declared_name_or_other_or_empty() {
    use metrics_exporter_prometheus::PrometheusBuilder;
    use tower_bad_gateway::Metrics;

    let rows: [(&str, &[&'static str], bool, Option<&str>); 5] = [
        ("declared", &["billing-1", "billing-2"], true, Some("billing-2")),
        ("not declared", &["billing-1"], true, Some("other")),
        ("nothing declared", &[], true, None),
        ("nothing said", &["billing-1"], false, Some("")),
        ("nothing at all", &[], false, None),
    ];
    let mut wrong = Vec::new();
    for (name, declared, says, expected) in rows {
        let recorder = PrometheusBuilder::new().build_recorder();
        let _guard = metrics::set_default_local_recorder(&recorder);
        let metrics = Metrics::new().requests().upstreams(declared.iter().map(|name| Upstream::new(*name)));
        let layer = BadGatewayLayer::new().upstream("billing").metrics(metrics).event_limit(0);
        let said = move |failure: Failure| if says { failure.with_upstream(second()) } else { failure };
        let refused = move || said(Failure::new(FailureKind::ConnectionRefused));
        let answer = move || if says { answering(200, vec![Data("a")]) } else { Mock::ok() };
        drop(call(layer.clone(), Mock::failing(refused), get()).await);
        drop(call(layer.clone(), answer(), get()).await.into_body().collect().await);
        drop(call(layer.clone(), answer(), get()).await);
        let scrape = recorder.handle().render();
        for metric in ["failures_total", "responses_total", "abandoned_total", "events_left_out_total"] {
            let is_counted = |line: &&str| line.contains(metric) && !line.starts_with('#') && !line.ends_with(" 0");
            let counted: Vec<_> = scrape.lines().filter(is_counted).collect();
            let endpoint =
                |line: &str| line.split_once("endpoint=\"")?.1.split_once('"').map(|(value, _)| value.to_owned());
            let fits = |line: &str| line.contains("upstream=\"billing\"") && endpoint(line).as_deref() == expected;
            if counted.len() != 1 || !fits(counted[0]) {
                wrong.push((name, metric, format!("{counted:?}")));
            }
        }
    }
    assert!(wrong.is_empty(), "(row, metric, counted): {wrong:#?}");
}

/// The storm of one upstream hides no other, and what is left out is said of whom it was left out.
#[cfg(feature = "tracing")]
#[tokio::test(start_paused = true)]
async fn lines_are_left_out_by_upstream() {
    use crate::log;

    let layer = BadGatewayLayer::new().event_limit(1).upstream("billing");
    let fails = |layer: &BadGatewayLayer, name: &str, count: usize| {
        let (layer, name) = (layer.clone(), name.to_owned());
        async move {
            log::begin();
            for _ in 0..count {
                let upstream = Upstream::new(name.clone());
                let upstream =
                    Mock::failing(move || Failure::new(FailureKind::DnsError).with_upstream(upstream.clone()));
                call(layer.clone(), upstream, get()).await;
            }
            log::take()
        }
    };
    assert_eq!(fails(&layer, "noisy", 500).await.lines().count(), 1);
    assert_eq!(fails(&layer, "quiet", 1).await.lines().count(), 1);
    tokio::time::advance(Duration::from_secs(2)).await;
    assert!(!fails(&layer, "quiet", 1).await.contains("left_out"));
    assert!(fails(&layer, "noisy", 1).await.contains("left_out=499"));
    // Beyond many names there is one limit for all others.
    let mut lines = 0;
    for name in 0..1000 {
        lines += fails(&layer, &format!("made-up-{name}"), 1).await.lines().count();
    }
    assert!((60..70).contains(&lines), "{lines}");
    log::begin();
    drop(layer);
    assert!(log::take().contains("events of this kind were left out upstream=\"billing\""));
}

/// A name is all that it adds.
#[tokio::test(start_paused = true)]
async fn an_error_with_a_name_is_read_as_it_is_without() {
    #[derive(Debug)]
    struct Full;
    impl std::fmt::Display for Full {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("full")
        }
    }
    impl std::error::Error for Full {}

    type Fails = fn() -> BoxError;
    let rows: [(&str, Fails); 5] = [
        ("reset", || io::Error::from(io::ErrorKind::ConnectionReset).into()),
        ("one that a reader of the user's knows", || Full.into()),
        ("one that nobody knows", || "boom".into()),
        ("late", || io::Error::from(io::ErrorKind::TimedOut).into()),
        ("a failure", || Failure::new(FailureKind::DnsError).into()),
    ];
    let layer = || {
        BadGatewayLayer::new()
            .single_attempt()
            .classify(|cause: &Cause<'_>| cause.find::<Full>().map(|_| FailureKind::ConnectionLimitReached))
    };
    let mut wrong = Vec::new();
    for (name, error) in rows {
        let mut seen = Vec::new();
        let plain = move |_: Request<_>| async move { Err(error()) };
        let named = move |_: Request<_>| async move { Err(second().error(error()).into()) };
        // Innermost of several, and below what others have made of it.
        let nested = move |_: Request<_>| async move {
            Err(Upstream::new("outer").error(io::Error::other(second().error(error()))).into())
        };
        for upstream in [Mock::new(plain), Mock::new(named), Mock::new(nested)] {
            let response = call(layer(), upstream, get()).await;
            let failure = crate::held::failure(&response).unwrap();
            let verdict = (response.status(), failure.kind(), failure.phase(), failure.blame(), failure.retry_safety());
            seen.push((verdict, failure.upstream().map(|upstream| upstream.name().to_owned())));
        }
        let [plain, named, nested] = &seen[..] else { panic!("{seen:?}") };
        let name_of = |(_, name): &(_, Option<String>)| name.clone();
        let is_named = [named, nested].map(name_of) == [Some("billing-2".to_owned()), Some("billing-2".to_owned())];
        if plain.0 != named.0 || plain.0 != nested.0 || plain.1.is_some() || !is_named {
            wrong.push((name, seen));
        }
    }
    assert!(wrong.is_empty(), "(error, verdicts): {wrong:#?}");
}

/// A name is what a router has chosen, per call; the layer's own stands where nobody has.
#[tokio::test(start_paused = true)]
async fn what_one_call_says_is_not_said_of_the_next() {
    let (layer, seen) = watched();
    let calls = Arc::new(Mutex::new(0));
    let upstream = Mock::new(move |_: Request<_>| {
        let mut calls = calls.lock().unwrap();
        *calls += 1;
        let mut response = Response::new(MockBody::of(["a"]));
        if *calls == 1 {
            response.extensions_mut().insert(second());
        }
        async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok(response)
        }
    });
    let mut service = tower::Layer::layer(&layer, upstream);
    for _ in 0..2 {
        let Ok(response) = tower::Service::call(tower::ServiceExt::ready(&mut service).await.unwrap(), get()).await;
        drop(response.into_body().collect().await);
    }
    let names: Vec<_> = seen.lock().unwrap().iter().map(|(_, name, _)| name.clone()).collect();
    assert_eq!(names, ["billing-2", "billing"]);
}
