//! What an operator sees.

use std::{
    io,
    sync::{Arc, Mutex},
};

use http::Response;
use http_body_util::BodyExt;
use tower::{Layer, ServiceExt};
use tower_bad_gateway::{
    BadGatewayLayer, Failure, FailureEvent, FailureKind,
    failure::{Blame, Phase},
};

use crate::mock::{Mock, MockBody, Step, get, request};

type Seen = Arc<Mutex<Vec<(String, String, u16, Option<String>, FailureKind, Phase)>>>;

fn hooked(layer: BadGatewayLayer) -> (BadGatewayLayer, Seen) {
    let seen = Seen::default();
    let hook = Arc::clone(&seen);
    let hook = move |event: &FailureEvent<'_>| {
        let (request, failure) = (event.request(), event.failure());
        hook.lock().unwrap().push((
            request.method().to_string(),
            request.path().to_owned(),
            event.status().as_u16(),
            event.upstream().map(str::to_owned),
            failure.kind(),
            failure.phase(),
        ));
    };
    (layer.on_failure(hook.clone()).on_body_failure(hook), seen)
}

fn refused() -> io::Error {
    io::ErrorKind::ConnectionRefused.into()
}

#[tokio::test]
async fn the_hook_is_told_once_a_failure() {
    let (layer, seen) = hooked(BadGatewayLayer::new().upstream("billing"));
    let Ok(_) = layer.clone().layer(Mock::failing(refused)).oneshot(get()).await;
    let Ok(_) = layer.layer(Mock::ok()).oneshot(get()).await;
    let expected = (
        "GET".to_owned(),
        "/path".to_owned(),
        502,
        Some("billing".to_owned()),
        FailureKind::ConnectionRefused,
        Phase::Connect,
    );
    assert_eq!(*seen.lock().unwrap(), [expected]);
}

#[tokio::test]
async fn the_hook_is_told_what_a_grpc_client_sees() {
    let (layer, seen) = hooked(BadGatewayLayer::new());
    let call = request("POST", &[("content-type", "application/grpc")]);
    let Ok(_) = layer.layer(Mock::failing(refused)).oneshot(call).await;
    assert_eq!(seen.lock().unwrap()[0].2, 200);
}

#[tokio::test]
async fn a_failure_after_the_head_is_told_with_the_status_that_was_sent() {
    let (layer, seen) = hooked(BadGatewayLayer::new());
    let upstream = Mock::new(|_| async {
        let body = MockBody::steps([Step::Data("half"), Step::Fail(io::ErrorKind::UnexpectedEof)]);
        Ok(Response::builder().status(206).body(body).unwrap())
    });
    let Ok(response) = layer.layer(upstream).oneshot(get()).await;
    assert!(seen.lock().unwrap().is_empty());
    response.into_body().collect().await.unwrap_err();
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 1);
    assert_eq!((seen[0].2, seen[0].5), (206, Phase::ResponseBody));
}

/// A server does not ask for what comes after them.
#[tokio::test]
async fn a_response_that_ended_in_trailers_was_not_abandoned() {
    let told = Arc::new(Mutex::new(Vec::new()));
    for (name, steps, expected) in [
        ("content and trailers", &[Step::Data("hello"), Step::Trailers][..], 0),
        ("trailers alone", &[Step::Trailers], 0),
        ("more than was read", &[Step::Data("hello"), Step::Data("world")], 1),
    ] {
        let later = Arc::clone(&told);
        let layer = BadGatewayLayer::new().on_abandoned(move |event| later.lock().unwrap().push(event.status()));
        let upstream = Mock::new(move |_| async { Ok(Response::new(MockBody::steps(steps.to_vec()))) });
        let Ok(response) = layer.layer(upstream).oneshot(get()).await;
        let mut body = response.into_body();
        for _ in steps.iter().take(if expected == 0 { steps.len() } else { 1 }) {
            body.frame().await.unwrap().unwrap();
        }
        drop(body);
        assert_eq!(std::mem::take(&mut *told.lock().unwrap()).len(), expected, "{name}");
    }
}

#[tokio::test]
async fn a_client_that_leaves_is_no_failure() {
    let (layer, seen) = hooked(BadGatewayLayer::new());
    let mut call = tokio_test_future(layer.layer(Mock::silent()).oneshot(get()));
    assert!(call.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())).is_pending());
    drop(call);
    assert!(seen.lock().unwrap().is_empty());
}

fn tokio_test_future<F: Future>(future: F) -> std::pin::Pin<Box<F>> {
    Box::pin(future)
}

#[cfg(feature = "tracing")]
mod tracing_events {
    use tower_bad_gateway::{GatewayName, context::RequestId};

    use super::*;
    use crate::log;

    async fn logged(layer: BadGatewayLayer, upstream: Mock) -> String {
        log::begin();
        let mut call = request("GET", &[("authorization", "secret"), ("cookie", "secret")]);
        call.extensions_mut().insert(RequestId::try_from("7f3a-12").unwrap());
        let Ok(response) = layer.layer(upstream).oneshot(call).await;
        let _ = response.into_body().collect().await;
        log::take()
    }

    #[tokio::test]
    async fn a_failure_is_one_line_at_warn() {
        let layer = BadGatewayLayer::new()
            .single_attempt()
            .upstream("billing")
            .gateway_name(GatewayName::from_static("edge-1"));
        let line = logged(layer, Mock::failing(|| io::Error::other(refused()))).await;
        assert_eq!(
            line,
            " WARN tower_bad_gateway: upstream call failed: the upstream refused the connection \
             http.request.method=\"GET\" url.path=\"/path\" request_id=7f3a-12 upstream=\"billing\" gateway=edge-1 \
             http.response.status_code=502 error.type=\"connection_refused\" phase=\"connect\" blame=\"upstream\" \
             retry_safety=\"not_sent\" cause=connection_refused in connect: connection refused\n"
        );
    }

    /// Both causes, in one line; what breaks later is a line of its own words, which no count of failures takes for another one.
    #[tokio::test]
    async fn the_lines_of_a_fallback_tell_both_causes() {
        let breaking = || {
            crate::fallback::pages(Mock::new(|_| async {
                let steps = [Step::Data("a"), Step::Trailers];
                let body = MockBody::steps(steps).exact(9);
                Ok(Response::builder().header("content-length", "9").body(body).unwrap())
            }))
        };
        let refusing = || Mock::failing(refused);
        let lines = logged(BadGatewayLayer::new().fallback(crate::fallback::pages(refusing())), refusing()).await;
        assert!(
            lines.starts_with(" WARN tower_bad_gateway: upstream call failed: the upstream refused the connection ")
                && lines
                    .contains(" fallback=\"failed\" fallback.cause=connection_refused in connect: connection refused ")
                && lines.lines().count() == 1,
            "{lines}"
        );
        let denied = Mock::failing(|| Failure::new(FailureKind::HttpRequestError).with_blame(Blame::Client));
        for (upstream, first) in
            [(refusing(), " WARN tower_bad_gateway: upstream call"), (denied, " INFO tower_bad_gateway: client's part")]
        {
            // One of each level: the two are not counted together.
            let layer = BadGatewayLayer::new().event_limit(if first.contains("INFO") { 1 } else { 2 });
            let lines = logged(layer.fallback(breaking()), upstream).await;
            let [answered, broken] = lines.lines().collect::<Vec<_>>()[..] else { panic!("{lines}") };
            assert!(answered.starts_with(first) && answered.contains(" fallback=\"answered\""), "{answered}");
            assert!(
                broken.starts_with(" WARN tower_bad_gateway: fallback failed after ")
                    && broken.contains(" fallback=\"broken\""),
                "{broken}"
            );
        }
    }

    /// What the caller sees: HTTP says 200 in any case.
    #[tokio::test]
    async fn the_line_of_a_grpc_call_has_its_code() {
        log::begin();
        let layer = BadGatewayLayer::new().layer(Mock::failing(|| io::Error::other(refused())));
        drop(layer.oneshot(request("POST", &[("content-type", "application/grpc")])).await);
        let line = log::take();
        assert!(line.contains("http.response.status_code=200 rpc.status_code=\"UNAVAILABLE\" error.type="), "{line}");
    }

    /// What a handler of axum returns, with a layer around it or without.
    #[cfg(feature = "axum")]
    #[tokio::test]
    async fn a_handlers_failure_is_logged_once_with_a_layer_and_without() {
        use axum_core::response::IntoResponse;

        let handler = || {
            tower::service_fn(|_: http::Request<_>| async {
                Ok::<_, std::convert::Infallible>(tower_bad_gateway::Failure::from_error(refused()).into_response())
            })
        };
        let logged = |layer: Option<BadGatewayLayer>| async move {
            log::take();
            match layer {
                Some(layer) => drop(layer.layer(handler()).oneshot(get()).await),
                None => drop(handler().oneshot(get()).await),
            }
            log::take()
        };
        log::begin();
        assert_eq!(
            logged(None).await,
            " WARN tower_bad_gateway: handler failed, and no layer around it has answered: the upstream refused the \
             connection http.response.status_code=502 error.type=\"connection_refused\" phase=\"connect\" \
             blame=\"upstream\" cause=connection_refused in connect: connection refused\n"
        );
        let line = logged(Some(BadGatewayLayer::for_router())).await;
        assert!(
            line.starts_with(" WARN tower_bad_gateway: upstream call failed") && line.lines().count() == 1,
            "{line}"
        );
        assert_eq!(logged(Some(BadGatewayLayer::for_router().silent())).await, "");
    }

    /// Of a hop that failed behind the upstream what it says itself.
    #[cfg(feature = "proxy-status")]
    #[tokio::test]
    async fn the_origin_of_a_failure_is_in_the_line() {
        let upstream = Mock::new(|_| async {
            let told = "cdn;error=dns_error;details=\"no such name\"";
            Ok(Response::builder().status(999).header("proxy-status", told).body(MockBody::of([])).unwrap())
        });
        let line = logged(BadGatewayLayer::new(), upstream).await;
        let expected =
            "received_status=999 origin.name=\"cdn\" origin.error=\"dns_error\" origin.details=\"no such name\"";
        assert!(line.contains(expected), "{line}");
    }

    #[tokio::test]
    async fn a_body_that_breaks_is_one_line_with_the_status_that_was_sent() {
        let upstream = Mock::new(|_| async {
            Ok(Response::new(MockBody::steps([Step::Data("half"), Step::Fail(io::ErrorKind::ConnectionReset)])))
        });
        let line = logged(BadGatewayLayer::new(), upstream).await;
        assert_eq!(line.lines().count(), 1);
        assert!(
            line.contains("WARN tower_bad_gateway: upstream call failed after 200: the upstream closed the connection"),
            "{line}"
        );
        assert!(line.contains("http.response.status_code=200") && line.contains("phase=\"response_body\""), "{line}");
    }

    /// A storm of failures is no storm of lines; nothing is lost but the lines.
    #[tokio::test(start_paused = true)]
    async fn a_storm_is_written_in_part_and_counted_as_a_whole() {
        log::begin();
        let lines = || log::take();
        let left_out = |lines: &str| {
            let counts = lines.split("left_out=").skip(1).map(|rest| rest.split([' ', '\n']).next().unwrap());
            counts.map(|count| count.parse::<usize>().unwrap()).sum::<usize>()
        };
        let counted = Arc::new(Mutex::new(0));
        let hook = Arc::clone(&counted);
        let layer = BadGatewayLayer::new().upstream("billing").on_failure(move |_| *hook.lock().unwrap() += 1);
        let mut gateway = layer.layer(Mock::failing(refused));
        let mut late = layer.clone().layer(Mock::failing(|| io::Error::from(io::ErrorKind::ConnectionReset)));
        for _ in 0..25 {
            let _ = ask(&mut gateway).await;
        }
        let _ = ask(&mut late).await;
        let first = lines();
        assert_eq!((first.lines().count(), left_out(&first)), (11, 0), "ten of a kind, and one of another: {first}");

        tokio::time::advance(std::time::Duration::from_secs(1)).await;
        let _ = ask(&mut gateway).await;
        let second = lines();
        assert_eq!((second.lines().count(), left_out(&second)), (1, 15), "{second}");

        for _ in 0..20 {
            let _ = ask(&mut gateway).await;
        }
        let third = lines();
        assert_eq!((third.lines().count(), left_out(&third)), (9, 0));
        drop((layer, late));
        assert_eq!(lines(), "", "a service is left");
        drop(gateway);
        assert_eq!(
            lines(),
            " WARN tower_bad_gateway: 11 more events of this kind were left out upstream=\"billing\" \
             error.type=\"connection_refused\" left_out=11\n"
        );
        assert_eq!(*counted.lock().unwrap(), 47, "hooks see every one");
    }

    /// One client that leaves is its own affair; ten that leave and few that are answered are not.
    #[tokio::test(start_paused = true)]
    async fn an_outage_that_clients_do_not_wait_for_is_one_line() {
        use std::time::Duration;

        log::begin();
        let layer = BadGatewayLayer::new().upstream("billing");
        let leave = |count: usize| {
            let layer = layer.clone();
            async move {
                log::take();
                for _ in 0..count {
                    let call = layer.layer(Mock::silent()).oneshot(get());
                    tokio::time::timeout(Duration::from_millis(100), call).await.map(drop).unwrap_err();
                }
                let lines = log::take();
                let warned: Vec<_> = lines.lines().filter(|line| line.contains(" WARN ")).map(str::to_owned).collect();
                (warned, lines.lines().count())
            }
        };
        let answer = |count: usize| {
            let layer = layer.clone();
            async move {
                for _ in 0..count {
                    let Ok(_) = layer.layer(Mock::ok()).oneshot(get()).await;
                }
            }
        };
        answer(5).await;
        assert_eq!(leave(9).await, (vec![], 9), "each at DEBUG");
        answer(3).await;
        assert_eq!(leave(1).await, (vec![], 1), "ten within a second may be one connection");
        let line = " WARN tower_bad_gateway: 11 clients have left before they were answered, 3 were answered in that time \
                    upstream=\"billing\" left=11 answered=3";
        assert_eq!(leave(1).await, (vec![line.to_owned()], 2));
        assert_eq!(leave(20).await, (vec![], 20), "once in ten seconds");

        tokio::time::advance(Duration::from_secs(10)).await;
        let line = " WARN tower_bad_gateway: 31 clients have left before they were answered, 3 were answered in that time \
                    upstream=\"billing\" left=31 answered=3";
        assert_eq!(leave(1).await, (vec![line.to_owned()], 2), "all of ten seconds, once they are over");
        assert_eq!(leave(20).await, (vec![], 20));

        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(leave(1).await, (vec![], 1), "that was long ago");
        answer(40).await;
        assert_eq!(leave(30).await, (vec![], 30), "more were answered");
        assert_eq!(leave(20).await.0.len(), 1, "and now fewer");
    }

    /// They have no answer either, although the failures are told.
    #[tokio::test(start_paused = true)]
    async fn clients_that_leave_while_a_fallback_is_asked_count_as_well() {
        use std::time::Duration;

        log::begin();
        let layer = BadGatewayLayer::new().event_limit(None).fallback(crate::fallback::pages(Mock::silent()));
        for _ in 0..11 {
            let call = layer.layer(Mock::failing(refused)).oneshot(get());
            tokio::time::timeout(Duration::from_millis(100), call).await.map(drop).unwrap_err();
        }
        let lines = log::take();
        assert_eq!(lines.matches(" fallback=\"abandoned\"").count(), 11, "{lines}");
        assert!(lines.contains("11 clients have left before they were answered, 0 were answered"), "{lines}");
    }

    /// By the head that goes out: a response that was accepted may still be answered in its place, or be held until its client has left.
    #[tokio::test(start_paused = true)]
    async fn a_client_is_answered_once_and_by_its_head() {
        use std::time::Duration;

        log::begin();
        let layer = BadGatewayLayer::new().hold_head(Duration::from_secs(30));
        let leave = |upstream: Mock| {
            let call = tokio::time::timeout(Duration::from_millis(100), layer.layer(upstream).oneshot(get()));
            async { call.await.map(drop).unwrap_err() }
        };
        let body =
            |step: Step| Mock::new(move |_| std::future::ready(Ok(Response::new(MockBody::steps([step.clone()])))));
        for _ in 0..10 {
            leave(Mock::silent()).await;
        }
        let Ok(broken) = layer.layer(body(Step::Fail(io::ErrorKind::ConnectionReset))).oneshot(get()).await;
        assert_eq!(broken.status(), 502);
        log::take();
        leave(body(Step::Silence)).await;
        let lines = log::take();
        assert!(lines.contains(" WARN ") && lines.contains("left=11 answered=1\n"), "{lines}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_number_of_events_is_for_the_user_to_say() {
        log::begin();
        let written = |layer: BadGatewayLayer| async move {
            log::take();
            let mut gateway = layer.layer(Mock::failing(refused));
            for _ in 0..25 {
                let _ = ask(&mut gateway).await;
            }
            log::take().lines().count()
        };
        assert_eq!(written(BadGatewayLayer::new().event_limit(3)).await, 3);
        assert_eq!(written(BadGatewayLayer::new().event_limit(0)).await, 0);
        assert_eq!(written(BadGatewayLayer::new().event_limit(None).upstream("x")).await, 25);
        assert_eq!(written(BadGatewayLayer::new().silent()).await, 0);
    }

    async fn ask(gateway: &mut tower_bad_gateway::BadGateway<Mock>) -> u16 {
        let Ok(response) = tower::Service::call(gateway.ready().await.unwrap(), get()).await;
        response.status().as_u16()
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_is_named() {
        let line = logged(BadGatewayLayer::new(), Mock::silent()).await;
        assert!(line.contains("limit=\"head_timeout\" elapsed_ms=45000"), "{line}");
    }

    /// Whoever broke it: the status had been sent.
    #[tokio::test]
    async fn an_upload_that_breaks_after_the_head_is_one_line_with_the_status() {
        use tower_bad_gateway::{RequestBodyTap, body::RequestBody};

        logged(BadGatewayLayer::new(), Mock::ok()).await;
        let echo = tower::service_fn(|request: http::Request<RequestBody<MockBody>>| async {
            Ok::<_, io::Error>(Response::new(request.into_body()))
        });
        let upload = MockBody::steps([Step::Data("a"), Step::Fail(io::ErrorKind::UnexpectedEof)]);
        let gateway = tower::ServiceBuilder::new().layer(RequestBodyTap::new()).layer(BadGatewayLayer::new());
        let Ok(response) = gateway.service(echo).oneshot(http::Request::new(upload)).await;
        response.into_body().collect().await.unwrap_err();
        let line = log::take();
        assert!(line.contains(" INFO tower_bad_gateway: client's part failed after 200: the request was"), "{line}");
        assert!(line.contains("phase=\"request_body\" blame=\"client\""), "{line}");
    }

    /// From a place where no span need be left: it says all there is to say.
    #[tokio::test(start_paused = true)]
    async fn whoever_leaves_is_one_line_at_debug() {
        const FIELDS: &str =
            "http.request.method=\"GET\" url.path=\"/path\" request_id=7f3a-12 upstream=\"billing\" gateway=edge-1";
        let layer = || BadGatewayLayer::new().upstream("billing").gateway_name(GatewayName::from_static("edge-1"));
        logged(BadGatewayLayer::new(), Mock::ok()).await;
        let left = async |layer: BadGatewayLayer, upstream: Mock| {
            let mut call = get();
            call.extensions_mut().insert(RequestId::try_from("7f3a-12").unwrap());
            let call = layer.layer(upstream).oneshot(call);
            drop(tokio::time::timeout(std::time::Duration::from_secs(7), call).await);
            log::take()
        };
        assert_eq!(
            left(layer(), Mock::silent()).await,
            format!("DEBUG tower_bad_gateway: upstream call abandoned {FIELDS} elapsed_ms=7000\n")
        );
        assert_eq!(
            left(
                layer(),
                Mock::new(|_| async { Ok(Response::new(MockBody::steps([Step::Data("a"), Step::Silence]))) })
            )
            .await,
            format!("DEBUG tower_bad_gateway: upstream call abandoned {FIELDS} http.response.status_code=200\n")
        );
        assert_eq!(left(layer().silent(), Mock::silent()).await, "");
    }

    #[tokio::test]
    async fn health_and_silence_leave_no_line() {
        assert_eq!(logged(BadGatewayLayer::new(), Mock::ok()).await, "");
        assert_eq!(logged(BadGatewayLayer::new().silent(), Mock::failing(refused)).await, "");
    }

    /// The error is somebody else's code: it may do anything.
    #[tokio::test]
    async fn an_error_that_cannot_be_printed_is_answered_all_the_same() {
        #[derive(Debug)]
        struct Nasty;
        impl std::fmt::Display for Nasty {
            fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                panic!("no name")
            }
        }
        impl std::error::Error for Nasty {}
        logged(BadGatewayLayer::new(), Mock::failing(|| Nasty)).await;
        let Ok(response) = BadGatewayLayer::new().layer(Mock::failing(|| Nasty)).oneshot(get()).await;
        assert_eq!(response.status(), 502);
    }
}
