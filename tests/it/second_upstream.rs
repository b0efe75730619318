//! Fallbacks that do the work of the upstream, and what of a fallback reaches the client.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Waker},
    time::Duration,
};

use http::{
    HeaderName, HeaderValue, Request, Response, StatusCode,
    header::{AUTHORIZATION, COOKIE, RANGE, VARY},
};
use http_body::Body as _;
use http_body_util::{BodyExt, Full};
use tokio::time::Instant;
use tower::{Layer, Service, ServiceExt};
use tower_bad_gateway::{
    BadGatewayLayer, Failure, FailureKind, RequestPolicy,
    failure::{Blame, FallbackOutcome, Phase, TimeLimit},
    fallback::Fallback,
    format::PlainText,
};

use crate::{
    fallback::{Pages, field, page, pages, refusing},
    mock::{Mock, MockBody, Ready, Step, get, request, text},
};

/// A service that answers this, with these fields.
fn answering(status: u16, fields: &'static [(&'static str, &'static str)]) -> Pages {
    pages(Mock::new(move |_| async move {
        let mut response = Response::builder().status(status);
        for (name, value) in fields {
            response = response.header(*name, *value);
        }
        Ok(response.body(MockBody::of(["page"])).unwrap())
    }))
}

fn outcome(response: &Response<impl Sized>) -> Option<&'static str> {
    response.extensions().get::<Failure>().unwrap().fallback().map(FallbackOutcome::as_str)
}

/// A refusal must not turn into the content that was refused; a page about it does no harm.
#[tokio::test(start_paused = true)]
async fn a_second_upstream_is_not_asked_for_what_was_refused() {
    let rows = [
        ("denied", Failure::new(FailureKind::HttpRequestDenied), false),
        ("an address that is prohibited", Failure::new(FailureKind::DestinationIpProhibited), false),
        ("a loop", Failure::new(FailureKind::ProxyLoopDetected), false),
        ("the client's fault", Failure::new(FailureKind::HttpRequestError).with_blame(Blame::Client), false),
        ("a timeout", Failure::new(FailureKind::HttpResponseTimeout), true),
    ];
    let mut wrong = Vec::new();
    for (what, failure, is_asked) in rows {
        let kind = failure.kind();
        let upstream = || {
            let failure = failure.clone();
            Mock::failing(move || failure.clone())
        };
        let layers = [
            ("upstream", BadGatewayLayer::new().fallback(Fallback::upstream(page())), is_asked),
            ("keep_status", BadGatewayLayer::new().fallback(Fallback::new(page()).keep_status()), is_asked),
            ("a page", BadGatewayLayer::new().fallback(page()), true),
            ("by name", BadGatewayLayer::new().fallback_for(kind, Fallback::upstream(page())), true),
        ];
        for (how, layer, expected) in layers {
            let Ok(response) = layer.layer(upstream()).oneshot(get()).await;
            if outcome(&response).is_some() != expected {
                wrong.push((what, how, response.status()));
            }
        }
    }
    assert!(wrong.is_empty(), "(failure, fallback, status): {wrong:?}");
}

/// It would answer another question: a search with a body, say.
#[tokio::test(start_paused = true)]
async fn a_second_upstream_is_not_asked_without_the_content_that_came() {
    for (content, fallback, expected) in [
        ("{\"query\": 1}", Fallback::upstream(page()), None),
        ("", Fallback::upstream(page()), Some("answered")),
        ("{\"query\": 1}", Fallback::new(page()), Some("answered")),
    ] {
        let request =
            Request::get("/search").header("content-length", content.len()).body(Full::<bytes::Bytes>::from(content));
        let upstream = tower::service_fn(|_: Request<Full<bytes::Bytes>>| async {
            Err::<Response<MockBody>, _>(io::Error::from(io::ErrorKind::ConnectionRefused))
        });
        let layer = BadGatewayLayer::new().format(PlainText).fallback(fallback);
        let Ok(response) = layer.layer(upstream).oneshot(request.unwrap()).await;
        assert_eq!(outcome(&response), expected, "{content:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_may_ask_for_no_fallback() {
    let layer = BadGatewayLayer::new().fallback(page());
    let mut request = get();
    request.extensions_mut().insert(RequestPolicy::new().skip_fallback());
    let Ok(response) = layer.layer(refusing()).oneshot(request).await;
    assert_eq!(outcome(&response), None);
    let Ok(response) = layer.layer(refusing()).oneshot(get()).await;
    assert_eq!(outcome(&response), Some("answered"));
}

/// What other hops say of themselves stays inside where the layer is set to that, in head and trailers.
#[tokio::test(start_paused = true)]
async fn what_a_second_upstream_says_of_its_hops_is_removed_as_that_of_the_first() {
    const OF_HOPS: &str = "inner-7;next-hop=\"10.0.0.5\"";
    let second = || {
        pages(Mock::new(|_| async {
            let body = MockBody::steps([Step::Data("a"), Step::Fields(&[("proxy-status", OF_HOPS), ("x-a", "1")])]);
            let response = Response::builder().header("proxy-status", OF_HOPS).header("trailer", "x-a");
            Ok(response.body(body).unwrap())
        }))
    };
    for (strips, expected) in [(true, 0), (false, 1)] {
        let layer = BadGatewayLayer::new().fallback(Fallback::upstream(second()));
        let layer = if strips { layer.strip_proxy_status() } else { layer };
        let Ok(response) = layer.layer(refusing()).oneshot(get()).await;
        assert_eq!(field(&response, "proxy-status").len(), expected);
        assert_eq!(field(&response, "trailer"), ["x-a"], "some servers drop what is not announced");
        let trailers = response.into_body().collect().await.unwrap().trailers().cloned().unwrap();
        assert_eq!(
            (trailers.get_all("proxy-status").iter().count(), trailers["x-a"].to_str().unwrap()),
            (expected, "1")
        );
    }
    // Of a page nothing but the content goes out.
    let Ok(response) = BadGatewayLayer::new().fallback(second()).layer(refusing()).oneshot(get()).await;
    let collected = response.into_body().collect().await.unwrap();
    assert!(collected.trailers().is_none());
    assert_eq!(collected.to_bytes(), "a");
}

/// Of what was chosen by the status of the failure, too, where another one is answered.
#[tokio::test(start_paused = true)]
async fn vary_names_all_that_the_answer_depends_on() {
    let by_encoding = || Fallback::new(answering(200, &[("vary", "accept-encoding"), ("cache-control", "max-age=60")]));
    let origin = HeaderValue::from_static("origin");
    let rows = [
        ("a page", by_encoding(), vec!["origin", "accept-encoding"]),
        ("cached", by_encoding().keep_caching(), vec!["origin", "accept-encoding"]),
        (
            "for browsers",
            by_encoding().keep_status().keep_caching().for_browsers(),
            vec!["origin", "accept-encoding", "accept"],
        ),
        ("the same", Fallback::new(answering(200, &[("vary", "origin")])), vec!["origin"]),
    ];
    for (what, fallback, expected) in rows {
        let layer = BadGatewayLayer::new().header(VARY, origin.clone()).fallback_for(StatusCode::BAD_GATEWAY, fallback);
        let Ok(response) = layer.layer(refusing()).oneshot(request("GET", &[("accept", "text/html")])).await;
        assert_eq!(field(&response, "vary"), expected, "{what}");
    }
}

/// A part is no page ([RFC 9110, section 15.3.7](https://www.rfc-editor.org/rfc/rfc9110#section-15.3.7)).
#[tokio::test(start_paused = true)]
async fn a_part_goes_out_as_a_part_or_not_at_all() {
    let part = || Fallback::new(answering(206, &[("content-range", "bytes 0-3/9")])).forward_fields([RANGE]);
    let Ok(response) = BadGatewayLayer::new().format(PlainText).fallback(part()).layer(refusing()).oneshot(get()).await;
    assert_eq!((response.status().as_u16(), outcome(&response)), (502, Some("failed")));
    assert!(field(&response, "content-range").is_empty());
    for fallback in [part().keep_status(), Fallback::upstream(answering(206, &[("content-range", "bytes 0-3/9")]))] {
        let Ok(response) = BadGatewayLayer::new().fallback(fallback).layer(refusing()).oneshot(get()).await;
        assert_eq!(
            (response.status().as_u16(), field(&response, "content-range")),
            (206, vec!["bytes 0-3/9".to_owned()])
        );
    }
    let unsatisfiable = Fallback::new(answering(416, &[("content-range", "bytes */9")])).keep_status();
    let Ok(response) = BadGatewayLayer::new().fallback(unsatisfiable).layer(refusing()).oneshot(get()).await;
    assert_eq!((response.status().as_u16(), field(&response, "content-range")), (416, vec!["bytes */9".to_owned()]));
}

/// Without a word about caching, a cache goes by `Expires` and `Last-Modified`, as of any response of the second upstream.
#[tokio::test(start_paused = true)]
async fn caching_is_left_to_a_fallback_that_says_nothing_of_it() {
    let silent = || answering(200, &[("expires", "Fri, 31 Dec 1999 23:59:59 GMT"), ("etag", "\"1\"")]);
    let rows = [
        (Fallback::upstream(silent()), vec![]),
        (Fallback::new(silent()).keep_caching(), vec![]),
        (Fallback::new(silent()), vec!["no-store".to_owned()]),
    ];
    for (fallback, expected) in rows {
        let Ok(response) = BadGatewayLayer::new().fallback(fallback).layer(refusing()).oneshot(get()).await;
        assert_eq!(field(&response, "cache-control"), expected);
    }
}

/// What identifies a person is for the fallback it was named for, and for nothing else.
#[tokio::test(start_paused = true)]
async fn what_is_forwarded_to_a_fallback_is_shown_to_no_hook() {
    let seen = Arc::new(Mutex::new(String::new()));
    let see = Arc::clone(&seen);
    let layer = BadGatewayLayer::new()
        .fallback(Fallback::new(page()).forward_fields([AUTHORIZATION, COOKIE]))
        .on_failure(move |event| {
            let fields = [AUTHORIZATION, COOKIE].map(|name| event.request().field(&name).is_some());
            *see.lock().unwrap() = format!("{fields:?} {event:?} {:?}", event.request());
        });
    let fields = &[("authorization", "Bearer canary"), ("cookie", "canary=1")];
    let Ok(response) = layer.layer(refusing()).oneshot(request("GET", fields)).await;
    assert_eq!(outcome(&response), Some("answered"));
    let seen = seen.lock().unwrap();
    assert!(seen.starts_with("[false, false]") && !seen.contains("canary"), "{seen}");
}

/// One clock from the beginning of the call to the end of the body, whoever answers.
#[tokio::test(start_paused = true)]
async fn the_total_limit_counts_for_the_fallback_as_well() {
    let layer = || BadGatewayLayer::new().format(PlainText).total_timeout(Duration::from_secs(5));
    let failing_late = || {
        Mock::new(|_| async {
            tokio::time::sleep(Duration::from_secs(4)).await;
            Err(io::Error::from(io::ErrorKind::ConnectionReset).into())
        })
    };
    let start = Instant::now();
    let Ok(response) = layer().fallback(pages(Mock::silent())).layer(failing_late()).oneshot(get()).await;
    assert_eq!((outcome(&response), start.elapsed().as_secs()), (Some("failed"), 5));

    let drips = || {
        pages(Mock::new(|_| async {
            let steps = std::iter::repeat_n([Step::Data("a"), Step::Wait(Duration::from_secs(1))], 60).flatten();
            Ok(Response::new(MockBody::steps(steps)))
        }))
    };
    let start = Instant::now();
    let Ok(response) = layer().fallback(drips()).layer(failing_late()).oneshot(get()).await;
    let error = response.into_body().collect().await.unwrap_err();
    assert_eq!((error.failure().limit(), start.elapsed().as_secs()), (Some(TimeLimit::Total), 5));
    assert_eq!(error.failure().phase(), Phase::ResponseBody);

    // Where it is what has run out, the fallback has its own.
    let Ok(response) = layer().fallback(page()).layer(Mock::silent()).oneshot(get()).await;
    assert_eq!((response.status().as_u16(), outcome(&response)), (504, Some("answered")));

    // Of a call that is refused it begins with the call, and the wait for a fallback that is not ready is in it.
    let slow = || Fallback::new(pages(Mock::silent())).time_limit(Duration::from_secs(60));
    let never_ready = || Fallback::new(pages(Mock::ok().ready([Ready::Never]))).time_limit(Duration::from_secs(60));
    let refused = || Mock::ok().ready([Ready::Refused]);
    for (what, upstream, fallback, seconds) in [
        ("refused", refused(), slow(), 5),
        ("refused, and not ready", refused(), never_ready(), 5),
        ("late, and not ready", failing_late(), never_ready(), 5),
    ] {
        let start = Instant::now();
        let Ok(response) = layer().fallback(fallback).layer(upstream).oneshot(get()).await;
        assert_eq!((outcome(&response), start.elapsed().as_secs()), (Some("failed"), seconds), "{what}");
        let second = response.extensions().get::<Failure>().unwrap().fallback().unwrap().failure().unwrap().clone();
        assert_eq!(second.limit(), Some(TimeLimit::Total), "{what}");
        assert!(second.private_chain().to_string().contains("the fallback was not complete within 5s"), "{what}");
    }

    // That of a layer further in is another one.
    let inner = BadGatewayLayer::new().total_timeout(Duration::from_secs(2));
    let broken = || {
        let steps = [Step::Data("a"), Step::Silence];
        inner.layer(Mock::new(move |_| {
            let body = MockBody::steps(steps.clone());
            async move { Ok(Response::new(body)) }
        }))
    };
    let start = Instant::now();
    let outer = layer().hold_body(1024, Duration::from_secs(60)).fallback(slow());
    let Ok(response) = outer.layer(broken()).oneshot(get()).await;
    assert_eq!((outcome(&response), start.elapsed().as_secs()), (Some("failed"), 5));
}

/// The recipe of the guide for a hard limit, whichever side is slow, and where it is none. A wait for readiness comes before the call.
#[tokio::test(start_paused = true)]
async fn a_head_limit_that_leaves_the_fallback_its_time_makes_the_total_limit_a_hard_one() {
    const SECOND: Duration = Duration::from_secs(1);
    let drips = || {
        let steps = std::iter::repeat_n([Step::Data("a"), Step::Wait(SECOND)], 60).flatten();
        Mock::new(move |_| {
            let body = MockBody::steps(steps.clone());
            async { Ok(Response::new(body)) }
        })
    };
    let silent = Mock::silent;
    let never_ready = || Mock::ok().ready([Ready::Never]);
    let layer = || BadGatewayLayer::new().head_timeout(8 * SECOND).total_timeout(10 * SECOND);
    let mut wrong = Vec::new();
    for (what, layer, upstream, fallback, waited, seconds) in [
        ("both silent", layer(), silent(), silent(), 0, 10),
        ("the fallback drips", layer(), silent(), drips(), 0, 10),
        ("the upstream drips", layer(), drips(), silent(), 0, 10),
        ("not ready, then silent", layer(), never_ready(), silent(), 8, 2),
        ("not ready, then drips", layer(), never_ready(), drips(), 8, 10),
        // The total is what runs out: the fallback has its own time, and a body of any length.
        ("a body that is held", layer().hold_body(1024, 60 * SECOND), drips(), silent(), 0, 12),
        ("a body that is held, then drips", layer().hold_body(1024, 60 * SECOND), drips(), drips(), 0, 10 + 60),
    ] {
        let mut gateway = layer.fallback(Fallback::new(pages(fallback)).time_limit(2 * SECOND)).layer(upstream);
        let start = Instant::now();
        let Ok(gateway) = gateway.ready().await;
        let called = Instant::now();
        let Ok(response) = gateway.call(get()).await;
        let _ = response.into_body().collect().await;
        let took = ((called - start).as_secs(), called.elapsed().as_secs());
        if took != (waited, seconds) {
            wrong.push((what, took));
        }
    }
    assert!(wrong.is_empty(), "(what, seconds waited for readiness and for the call): {wrong:?}");
}

/// A body in frames that are all there is cut as well, with the next that its server asks for after the time.
#[tokio::test(start_paused = true)]
async fn a_client_that_reads_slowly_has_no_more_time_with_a_fallback() {
    let ready =
        || pages(Mock::new(|_| async { Ok(Response::new(MockBody::steps(std::iter::repeat_n(Step::Data("a"), 3)))) }));
    let layer = BadGatewayLayer::new().total_timeout(Duration::from_secs(5)).fallback(ready());
    let Ok(response) = layer.layer(refusing()).oneshot(get()).await;
    let mut body = response.into_body();
    assert!(body.frame().await.unwrap().is_ok());
    tokio::time::advance(Duration::from_secs(6)).await;
    assert_eq!(body.frame().await.unwrap().unwrap_err().failure().limit(), Some(TimeLimit::Total));
}

/// A page has to come at once; the body of a second upstream may be a stream.
#[tokio::test(start_paused = true)]
async fn the_body_of_a_second_upstream_has_the_limits_of_a_body() {
    let stream = || {
        pages(Mock::new(|_| async {
            let steps = [Step::Data("a"), Step::Wait(Duration::from_secs(30)), Step::Data("b")];
            Ok(Response::builder().header("content-type", "text/event-stream").body(MockBody::steps(steps)).unwrap())
        }))
    };
    let Ok(response) =
        BadGatewayLayer::new().fallback(Fallback::upstream(stream())).layer(refusing()).oneshot(get()).await;
    assert_eq!(text(response.into_body()).await.unwrap(), "ab");
    let Ok(response) = BadGatewayLayer::new().fallback(stream()).layer(refusing()).oneshot(get()).await;
    assert!(response.into_body().collect().await.is_err());
}

/// The status is decided once for a failure: a closure that counts, or asks for the fallback, would tell two.
#[tokio::test(start_paused = true)]
async fn the_status_of_a_failure_is_decided_once() {
    for fallback in [Fallback::new(page()), Fallback::new(answering(404, &[])), Fallback::by_status(page())] {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let layer = BadGatewayLayer::new().fallback(fallback).map_status(move |failure| {
            count.fetch_add(1, Ordering::SeqCst);
            failure.status()
        });
        let Ok(_) = layer.layer(refusing()).oneshot(get()).await;
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }
}

/// A server that has not sent the head yet must not announce that there is nothing more.
#[tokio::test(start_paused = true)]
async fn a_broken_fallback_still_announces_what_was_promised() {
    let short = pages(Mock::new(|_| async {
        let body = MockBody::steps([Step::Data("page"), Step::Fail(io::ErrorKind::ConnectionReset)]).exact(9);
        Ok(Response::new(body))
    }));
    let Ok(response) = BadGatewayLayer::new().fallback(short).layer(refusing()).oneshot(get()).await;
    let mut body = response.into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "page");
    let mut pending = 0;
    while Pin::new(&mut body).poll_frame(&mut Context::from_waker(Waker::noop())).is_pending() {
        pending += 1;
        assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(9), false), "after {pending} polls");
    }
    // Of the layer around the fallback, and of the one around it.
    assert!(pending > 2, "{pending}");
}

/// A name that is there twice is answered with once.
#[tokio::test(start_paused = true)]
async fn a_field_that_is_named_twice_is_kept_once() {
    const A: HeaderName = HeaderName::from_static("x-a");
    let named = Fallback::new(answering(200, &[("x-a", "1")])).keep_fields([A]).keep_fields([A]);
    let Ok(response) = BadGatewayLayer::new().fallback(named).layer(refusing()).oneshot(get()).await;
    assert_eq!(field(&response, "x-a"), ["1"]);
}
