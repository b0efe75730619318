//! What the types are: shareable, small, nameable.

use tower::Layer;
use tower_bad_gateway::{
    BadGateway, BadGatewayLayer, Failure, FailureEvent, FailureKind, GatewayName, ResponseFuture,
    body::{BodyError, ResponseBody},
    classify::Verdict,
    context::{Message, RequestContext, Timeouts},
    format::{Negotiate, PlainText, Representation},
};

use crate::mock::{Answer, Mock, MockBody};

fn shared<T: Send + Sync + 'static>() {}
fn cloned<T: Clone + Send + Sync + 'static>() {}
fn printed<T: std::fmt::Debug>() {}

#[test]
fn what_users_hold_is_send_sync_and_clone() {
    cloned::<BadGatewayLayer>();
    cloned::<Failure>();
    cloned::<FailureKind>();
    cloned::<GatewayName>();
    cloned::<BodyError>();
    cloned::<Verdict>();
    cloned::<Message>();
    cloned::<Timeouts>();
    cloned::<RequestContext>();
    cloned::<Representation>();
    cloned::<Negotiate>();
    cloned::<PlainText>();
    cloned::<FailureEvent<'static>>();
    shared::<BadGateway<std::sync::Arc<()>>>();
    cloned::<BadGateway<std::sync::Arc<()>>>();
    shared::<ResponseBody<String>>();
    shared::<ResponseFuture<std::future::Ready<()>>>();
    printed::<ResponseFuture<std::future::Ready<()>>>();
    printed::<BadGateway<()>>();
}

#[test]
fn the_layer_and_a_failure_are_one_pointer() {
    assert_eq!(size_of::<BadGatewayLayer>(), size_of::<usize>());
    assert_eq!(size_of::<Failure>(), size_of::<usize>());
    assert_eq!(size_of::<Option<Failure>>(), size_of::<usize>());
}

/// The budget: the inner future and 288 bytes. A `Sleep` alone takes 112 to 128 of them.
#[test]
fn the_future_is_small() {
    struct Large([u8; 232]);
    let _ = Large([0; 232]).0;
    impl Future for Large {
        type Output = Result<http::Response<String>, std::convert::Infallible>;
        fn poll(self: std::pin::Pin<&mut Self>, _: &mut std::task::Context<'_>) -> std::task::Poll<Self::Output> {
            std::task::Poll::Pending
        }
    }
    assert!(size_of::<ResponseFuture<Large>>() <= 232 + 288, "{}", size_of::<ResponseFuture<Large>>());
    assert!(size_of::<ResponseFuture<Answer>>() <= size_of::<Answer>() + 288);
    let _: BadGateway<Mock> = BadGatewayLayer::new().layer(Mock::ok());
    assert!(
        size_of::<ResponseBody<MockBody>>() <= size_of::<MockBody>() + 360,
        "{}",
        size_of::<ResponseBody<MockBody>>()
    );
}
