//! Whether a request may be sent again: what a failed attempt says of itself, and what the layer says of the call.

use std::{
    future::{Ready, ready},
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Empty, Full};
use tower::{Layer, ServiceExt, service_fn};
use tower_bad_gateway::{
    BadGatewayLayer, Failure, FailureKind, RequestBodyTap,
    body::RequestBody,
    classify::{Cause, Verdict},
    context::RequestContext,
    failure::{Phase, RetrySafety},
    validate::ResponseHead,
};

use crate::mock::{self, Mock, MockBody, get};

fn refused() -> io::Error {
    io::ErrorKind::ConnectionRefused.into()
}

fn safety<B>(response: &Response<B>) -> RetrySafety {
    response.extensions().get::<Failure>().unwrap().retry_safety()
}

async fn of(layer: BadGatewayLayer, upstream: Mock) -> RetrySafety {
    let Ok(response) = layer.silent().layer(upstream).oneshot(get()).await;
    safety(&response)
}

#[tokio::test(start_paused = true)]
async fn a_call_is_not_sent_only_where_the_layer_knows() {
    let new = BadGatewayLayer::new;
    let reader = |_: &Cause<'_>| Some(Verdict::new(FailureKind::DnsError).retry_safety(RetrySafety::NotProcessed));
    let by_hand = || Failure::new(FailureKind::ConnectionLimitReached).with_retry_safety(RetrySafety::NotProcessed);
    let not_ready = || Mock::ok().ready([mock::Ready::Refused]);
    let never_ready = || Mock::ok().ready([mock::Ready::Never]);
    assert_eq!(Failure::from_error(refused()).retry_safety(), RetrySafety::NotSent, "of the attempt");
    let rows = [
        ("an error", of(new(), Mock::failing(refused)).await, RetrySafety::Unknown),
        ("a reader's word", of(new().classify(reader), Mock::failing(refused)).await, RetrySafety::Unknown),
        ("a failure", of(new(), Mock::failing(by_hand)).await, RetrySafety::Unknown),
        ("a wrapped one", of(new(), Mock::failing(move || io::Error::other(by_hand()))).await, RetrySafety::Unknown),
        ("router", of(BadGatewayLayer::for_router(), Mock::failing(by_hand)).await, RetrySafety::Unknown),
        ("not ready", of(new(), not_ready()).await, RetrySafety::NotSent),
        ("one", of(new().single_attempt(), Mock::failing(refused)).await, RetrySafety::NotSent),
        (
            "one, a reader's word",
            of(new().single_attempt().classify(reader), Mock::failing(refused)).await,
            RetrySafety::NotProcessed,
        ),
        ("one, a failure", of(new().single_attempt(), Mock::failing(by_hand)).await, RetrySafety::NotProcessed),
        ("one, not ready", of(new().single_attempt(), not_ready()).await, RetrySafety::NotSent),
        (
            "never ready",
            of(new().ready_timeout(std::time::Duration::from_millis(1)), never_ready()).await,
            RetrySafety::NotSent,
        ),
    ];
    let wrong: Vec<_> = rows.iter().filter(|(_, got, expected)| got != expected).collect();
    assert!(wrong.is_empty(), "(row, got, expected): {wrong:?}");
}

/// Takes the order the first time, and is not there any more the second time.
async fn order(taken: Arc<AtomicUsize>, request: Request<Full<Bytes>>) -> io::Result<Response<Full<Bytes>>> {
    let _ = request.into_body().collect().await;
    Err(if taken.fetch_add(1, Ordering::SeqCst) == 0 { io::ErrorKind::ConnectionReset.into() } else { refused() })
}

/// Once more, whatever it was.
#[derive(Clone)]
struct Again(bool);

impl<T, E> tower::retry::Policy<Request<Full<Bytes>>, T, E> for Again {
    type Future = Ready<()>;

    fn retry(&mut self, _: &mut Request<Full<Bytes>>, result: &mut Result<T, E>) -> Option<Ready<()>> {
        (result.is_err() && std::mem::take(&mut self.0)).then(|| ready(()))
    }

    fn clone_request(&mut self, request: &Request<Full<Bytes>>) -> Option<Request<Full<Bytes>>> {
        Some(request.clone())
    }
}

#[tokio::test]
async fn an_order_that_was_taken_before_a_retry_is_not_safe_to_send_again() {
    for body in ["an order", ""] {
        let taken = Arc::new(AtomicUsize::new(0));
        let orders = Arc::clone(&taken);
        let retried = tower::ServiceBuilder::new()
            .layer(BadGatewayLayer::new().silent())
            .retry(Again(true))
            .service(service_fn(move |request| order(Arc::clone(&orders), request)));
        let request = Request::builder().method("POST").body(Full::from(body)).unwrap();
        let Ok(response) = retried.oneshot(request).await;
        let failure = response.extensions().get::<Failure>().unwrap();
        assert_eq!(taken.load(Ordering::SeqCst), 2, "{body:?}");
        assert_eq!(
            (failure.kind(), failure.retry_safety()),
            (FailureKind::ConnectionRefused, RetrySafety::Unknown),
            "{body:?}"
        );
    }
}

/// What stands between two layers may have called the inner one more than once.
#[tokio::test]
async fn each_layer_speaks_of_its_own_call() {
    let inner = || BadGatewayLayer::new().single_attempt().silent().layer(Mock::failing(refused));
    let Ok(own) = inner().oneshot(get()).await;
    let Ok(around) = BadGatewayLayer::for_router().silent().layer(inner()).oneshot(get()).await;
    let Ok(knowing) = BadGatewayLayer::for_router().single_attempt().silent().layer(inner()).oneshot(get()).await;
    assert_eq!(
        [safety(&own), safety(&around), safety(&knowing)],
        [RetrySafety::NotSent, RetrySafety::Unknown, RetrySafety::NotSent]
    );
    let failure = around.extensions().get::<Failure>().unwrap();
    assert_eq!((failure.kind(), failure.phase()), (FailureKind::ConnectionRefused, Phase::Connect), "the rest stays");
}

#[tokio::test]
async fn the_tap_takes_back_what_an_error_says() {
    for (reads, expected) in [(true, RetrySafety::Unknown), (false, RetrySafety::NotSent)] {
        let upstream = service_fn(move |request: Request<RequestBody<MockBody>>| async move {
            let mut body = request.into_body();
            if reads {
                body.frame().await.unwrap().unwrap();
            }
            Err::<Response<MockBody>, _>(refused())
        });
        let gateway = RequestBodyTap::new().layer(BadGatewayLayer::new().single_attempt().silent().layer(upstream));
        let Ok(response) = gateway.oneshot(Request::new(MockBody::of(["an order"]))).await;
        assert_eq!(safety(&response), expected, "reads: {reads}");
    }
}

/// A handler that has sent an upload on, and answers by a failure.
#[tokio::test]
async fn the_tap_takes_back_what_a_response_says() {
    let handler = service_fn(|request: Request<RequestBody<MockBody>>| async move {
        request.into_body().collect().await.unwrap();
        let mut response = Response::new(MockBody::of([]));
        response.extensions_mut().insert(Failure::from_error(refused()));
        Ok::<_, io::Error>(response)
    });
    let router = BadGatewayLayer::for_router().single_attempt().silent().layer(handler);
    let Ok(response) = RequestBodyTap::new().layer(router).oneshot(Request::new(MockBody::of(["an order"]))).await;
    assert_eq!((response.status().as_u16(), safety(&response)), (502, RetrySafety::Unknown));
}

/// An upload may come from a call of somebody's own, whose failure says that *that* one was not sent.
#[tokio::test]
async fn an_upload_that_broke_has_begun() {
    let upstream = service_fn(|request: Request<RequestBody<Broken>>| async move {
        let error = request.into_body().collect().await.err().unwrap();
        Err::<Response<MockBody>, _>(error)
    });
    for layer in [BadGatewayLayer::new(), BadGatewayLayer::new().single_attempt()] {
        let upload = Broken(Some(Failure::from_error(refused())));
        let Ok(response) =
            RequestBodyTap::new().layer(layer.silent().layer(upstream)).oneshot(Request::new(upload)).await;
        let failure = response.extensions().get::<Failure>().unwrap();
        assert_eq!((failure.kind(), failure.retry_safety()), (FailureKind::ConnectionRefused, RetrySafety::Unknown));
    }
}

#[tokio::test]
async fn a_validators_word_is_not_that_of_the_call() {
    let refusing = |_: &ResponseHead<'_>, _: &RequestContext| Err::<(), _>(Failure::from_error(refused()));
    assert_eq!(of(BadGatewayLayer::new().validate(refusing), Mock::ok()).await, RetrySafety::Unknown);
    let once = BadGatewayLayer::new().single_attempt();
    assert_eq!(of(once.validate(refusing), Mock::ok()).await, RetrySafety::NotSent);
}

/// A body that breaks at once, in the words of somebody who had not sent anything.
struct Broken(Option<Failure>);

impl Body for Broken {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        Poll::Ready(self.0.take().map(Err))
    }
}

#[tokio::test]
async fn a_body_that_broke_was_processed() {
    let upstream = service_fn(|_: Request<Empty<Bytes>>| async {
        let failure = Failure::new(FailureKind::ConnectionRefused).with_retry_safety(RetrySafety::NotSent);
        Ok::<_, io::Error>(Response::new(Broken(Some(failure))))
    });
    let Ok(response) = BadGatewayLayer::new().single_attempt().silent().layer(upstream).oneshot(get()).await;
    assert_eq!((response.status().as_u16(), safety(&response)), (502, RetrySafety::Unknown));
}
