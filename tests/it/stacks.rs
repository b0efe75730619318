//! The layer outside of tower's own middleware.

use std::{
    convert::Infallible,
    future::pending,
    marker::PhantomPinned,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Empty;
use tower::{
    Service, ServiceBuilder, ServiceExt, balance::p2c::Balance, buffer::BufferLayer, discover::Change,
    limit::ConcurrencyLimitLayer, load::Constant, load_shed::LoadShedLayer, service_fn, timeout::TimeoutLayer,
    util::BoxCloneSyncService,
};
use tower_bad_gateway::{
    BadGateway, BadGatewayLayer, BoxError, Failure, FailureKind,
    body::ResponseBody,
    failure::{Phase, RetrySafety},
};

use crate::mock::{Mock, MockBody, Ready, get};

async fn ask<S>(service: &mut BadGateway<S>) -> (u16, Option<FailureKind>, Option<Phase>)
where
    S: Service<Request<Empty<Bytes>>, Response = Response<MockBody>>,
    S::Error: Into<BoxError>,
{
    let Ok(response) = service.ready().await.unwrap().call(get()).await;
    let failure = response.extensions().get::<Failure>();
    (response.status().as_u16(), failure.map(Failure::kind), failure.map(Failure::phase))
}

#[tokio::test(start_paused = true)]
async fn towers_timeout_is_answered_504() {
    let layer = ServiceBuilder::new().layer(BadGatewayLayer::new()).layer(TimeoutLayer::new(Duration::from_secs(1)));
    let mut gateway = layer.service(Mock::silent());
    assert_eq!(ask(&mut gateway).await, (504, Some(FailureKind::HttpResponseTimeout), Some(Phase::ResponseHead)));
}

#[tokio::test]
async fn shed_load_is_answered_503_and_is_the_gateways_doing() {
    let layer = ServiceBuilder::new().layer(BadGatewayLayer::new().single_attempt()).layer(LoadShedLayer::new());
    let mut gateway = layer.layer(ConcurrencyLimitLayer::new(1)).service(Mock::silent());
    let under_way = gateway.ready().await.unwrap().call(get());
    let Ok(response) = gateway.ready().await.unwrap().call(get()).await;
    let failure = response.extensions().get::<Failure>().unwrap();
    assert_eq!((response.status().as_u16(), failure.kind()), (503, FailureKind::ConnectionLimitReached));
    assert_eq!((failure.blame().as_str(), failure.retry_safety()), ("gateway", RetrySafety::NotSent));
    drop(under_way);
}

#[tokio::test]
async fn a_buffer_whose_service_failed_tells_why_on_every_clone() {
    let buffered = ServiceBuilder::new().layer(BufferLayer::new(4)).service(Mock::ok().ready([Ready::Refused]));
    let mut gateway = ServiceBuilder::new().layer(BadGatewayLayer::new()).service(buffered);
    for _ in 0..3 {
        // A clone starts with a fresh look at a buffer that is as dead as before.
        let mut clone = gateway.clone();
        assert_eq!(ask(&mut clone).await.1, Some(FailureKind::ConnectionRefused));
    }
    assert_eq!(ask(&mut gateway).await.0, 502);
}

#[tokio::test]
async fn a_buffer_without_a_worker_is_unavailable() {
    let (buffer, worker) = tower::buffer::Buffer::pair(Mock::ok(), 4);
    drop(worker);
    let mut gateway = ServiceBuilder::new().layer(BadGatewayLayer::new()).service(buffer);
    assert_eq!(ask(&mut gateway).await, (503, Some(FailureKind::DestinationUnavailable), Some(Phase::Readiness)));
}

type Endpoint = Result<Change<u8, Constant<Mock, u8>>, BoxError>;

/// Endpoints as they come.
struct Endpoints(Vec<Endpoint>);

impl futures_core::Stream for Endpoints {
    type Item = Endpoint;
    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.pop().map_or(Poll::Pending, |change| Poll::Ready(Some(change)))
    }
}

#[tokio::test(start_paused = true)]
async fn a_balancer_without_endpoints_is_unavailable() {
    let balance = Balance::<_, Request<Empty<Bytes>>>::new(Endpoints(Vec::new()));
    let mut gateway = ServiceBuilder::new().layer(BadGatewayLayer::new()).service(balance);
    assert_eq!(ask(&mut gateway).await, (503, Some(FailureKind::DestinationUnavailable), Some(Phase::Readiness)));
}

#[tokio::test]
async fn a_balancer_whose_discovery_failed_is_answered_for() {
    let balance = Balance::<_, Request<Empty<Bytes>>>::new(Endpoints(vec![Err("no registry".into())]));
    let mut gateway = ServiceBuilder::new().layer(BadGatewayLayer::new()).service(balance);
    assert_eq!(ask(&mut gateway).await.1, Some(FailureKind::DestinationNotFound));
}

#[tokio::test]
async fn a_balancer_with_an_endpoint_is_asked() {
    let endpoints = vec![Ok(Change::Insert(1, Constant::new(Mock::ok(), 1)))];
    let mut gateway = ServiceBuilder::new()
        .layer(BadGatewayLayer::new())
        .service(Balance::<_, Request<Empty<Bytes>>>::new(Endpoints(endpoints)));
    assert_eq!(ask(&mut gateway).await, (200, None, None));
}

#[tokio::test]
async fn it_fits_into_a_box_that_is_cloned_and_shared() {
    let gateway = ServiceBuilder::new().layer(BadGatewayLayer::new()).service(Mock::ok());
    let boxed: BoxCloneSyncService<Request<Empty<Bytes>>, Response<ResponseBody<MockBody>>, Infallible> =
        BoxCloneSyncService::new(gateway);
    let shared = Arc::new(boxed);
    let Ok(response) = BoxCloneSyncService::clone(&shared).oneshot(get()).await;
    assert_eq!(response.status(), 200);
}

/// Every option in one stack: it is a type that can be written down, and order does not matter.
#[tokio::test]
async fn a_layer_may_stand_in_a_struct() {
    struct App {
        gateway: BadGateway<Mock>,
    }
    let mut app = App { gateway: tower::Layer::layer(&BadGatewayLayer::new(), Mock::new(|_| pending())) };
    let call = app.gateway.ready().await.unwrap().call(get());
    drop(call);
}

/// A body that may not move is boxed below the layer, as the crate's documentation says.
#[tokio::test]
async fn a_body_that_is_not_unpin_is_boxed() {
    struct Fixed(PhantomPinned);
    impl http_body::Body for Fixed {
        type Data = Bytes;
        type Error = Infallible;
        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
            Poll::Ready(None)
        }
    }
    let upstream =
        service_fn(|_: Request<Empty<Bytes>>| async { Ok::<_, Infallible>(Response::new(Fixed(PhantomPinned))) });
    let gateway = ServiceBuilder::new()
        .layer(BadGatewayLayer::new())
        .map_response(|response: Response<Fixed>| response.map(http_body_util::BodyExt::boxed))
        .service(upstream);
    let Ok(response) = gateway.oneshot(get()).await;
    assert_eq!(response.status(), 200);
}
