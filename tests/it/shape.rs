//! What the types are: shareable, small, nameable.

use tower::Layer;
use tower_bad_gateway::{
    BadGateway, BadGatewayLayer, Failure, FailureEvent, FailureKind, GatewayName, RequestPolicy, ResponseFuture,
    body::{BodyError, ResponseBody},
    classify::Verdict,
    context::{RequestContext, Timeouts},
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
    cloned::<RequestPolicy>();
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

/// The budget is the inner future and 248 bytes, the inner body and 304. They move with every call, and servers move them again.
#[test]
fn the_future_and_the_body_are_small() {
    struct Large([u8; 232]);
    let _ = Large([0; 232]).0;
    impl Future for Large {
        type Output = Result<http::Response<String>, std::convert::Infallible>;
        fn poll(self: std::pin::Pin<&mut Self>, _: &mut std::task::Context<'_>) -> std::task::Poll<Self::Output> {
            std::task::Poll::Pending
        }
    }
    assert!(size_of::<ResponseFuture<Large>>() <= 232 + 208, "{}", size_of::<ResponseFuture<Large>>());
    assert!(size_of::<ResponseFuture<Answer>>() <= size_of::<Answer>() + 208);
    let _: BadGateway<Mock> = BadGatewayLayer::new().layer(Mock::ok());
    let body = size_of::<ResponseBody<MockBody>>();
    assert!(body <= size_of::<MockBody>() + 264, "{body} of {}", size_of::<MockBody>());
}

/// What a server or a stack may ask of them, as soon as the wrapped service can give it.
#[test]
fn the_future_and_the_body_can_be_sent_shared_and_moved() {
    fn sent<T: Send>() {}
    fn moved<T: Unpin>() {}
    sent::<ResponseFuture<std::pin::Pin<Box<dyn Future<Output = ()> + Send>>>>();
    moved::<ResponseFuture<std::future::Ready<()>>>();
    shared::<ResponseFuture<std::future::Ready<()>>>();
    moved::<ResponseBody<String>>();
    shared::<ResponseBody<String>>();
    // Not shared, as most bodies of clients are: sent all the same.
    sent::<ResponseBody<std::cell::Cell<u8>>>();
}
