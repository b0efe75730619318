//! What is told, how often, and of whom.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Empty, combinators::UnsyncBoxBody};
use tokio::time::sleep;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_bad_gateway::{
    BadGatewayLayer, BoxError, Failure, FailureKind, RequestBodyTap,
    body::{BodyError, RequestBody},
    failure::{Blame, Phase},
};

use crate::mock::{
    MockBody,
    Step::{Data, Fail, Wait},
    get, request,
};

type Told = Arc<Mutex<Vec<(&'static str, &'static str)>>>;

/// Every hook, under a name.
fn hooked(name: &'static str, layer: BadGatewayLayer, told: &Told) -> BadGatewayLayer {
    let (a, b, c) = (told.clone(), told.clone(), told.clone());
    layer
        .on_failure(move |_| a.lock().unwrap().push((name, "failure")))
        .on_body_failure(move |_| b.lock().unwrap().push((name, "body")))
        .on_abandoned(move |_| c.lock().unwrap().push((name, "abandoned")))
}

fn answering<A: Body, B: Body<Data = Bytes> + Send + Unpin + 'static>(
    response: Response<B>,
) -> impl Service<Request<A>, Response = Response<B>, Error = io::Error, Future = std::future::Ready<io::Result<Response<B>>>>
{
    let mut response = Some(response);
    service_fn(move |_: Request<A>| std::future::ready(Ok(response.take().unwrap())))
}

fn broken() -> Response<MockBody> {
    Response::new(MockBody::steps([Data("a"), Fail(io::ErrorKind::ConnectionReset)]))
}

/// A layer further in has told of it: nobody has left.
#[tokio::test]
async fn a_failure_told_by_the_inner_layer_is_no_abandonment_for_the_outer() {
    let told = Told::default();
    let stack = hooked("outer", BadGatewayLayer::for_router(), &told)
        .layer(hooked("inner", BadGatewayLayer::new(), &told).layer(answering(broken())));
    let Ok(response) = stack.oneshot(get()).await;
    response.into_body().collect().await.unwrap_err();
    assert_eq!(*told.lock().unwrap(), [("inner", "body")]);
}

/// The same behind a box, as in axum.
#[tokio::test]
async fn a_boxed_body_failure_is_told_once() {
    let told = Told::default();
    let inner = hooked("inner", BadGatewayLayer::new(), &told).layer(answering(broken()));
    let boxed = inner.map_response(|response| response.map(|body| UnsyncBoxBody::new(body.map_err(axum_like))));
    let stack = hooked("outer", BadGatewayLayer::for_router(), &told).layer(boxed);
    let Ok(response) = stack.oneshot(get()).await;
    response.into_body().collect().await.unwrap_err();
    assert_eq!(*told.lock().unwrap(), [("inner", "body")]);
}

#[derive(Debug)]
struct AxumLike(BoxError);
impl std::fmt::Display for AxumLike {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
impl std::error::Error for AxumLike {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.0)
    }
}
fn axum_like(error: impl Into<BoxError>) -> AxumLike {
    AxumLike(error.into())
}

/// HEAD in a router: the server never asks for the body.
#[tokio::test]
async fn nothing_is_abandoned_where_no_content_is() {
    for (method, status) in [("HEAD", 200), ("GET", 304), ("GET", 204)] {
        let told = Told::default();
        let response = Response::builder().status(status).body(MockBody::of(["hello"])).unwrap();
        let stack = hooked("router", BadGatewayLayer::for_router(), &told).layer(answering(response));
        let Ok(response) = stack.oneshot(request(method, &[])).await;
        drop(response);
        assert_eq!(*told.lock().unwrap(), [], "{method} {status}");
    }
}

/// A file in a router: hyper stops asking once it has written all of Content-Length.
#[tokio::test]
async fn a_whole_file_in_a_router_is_no_abandonment() {
    let told = Told::default();
    let response = Response::builder().header("content-length", "5").body(MockBody::of(["hello"])).unwrap();
    let stack = hooked("router", BadGatewayLayer::for_router(), &told).layer(answering(response));
    let Ok(response) = stack.oneshot(get()).await;
    let mut body = response.into_body();
    body.frame().await.unwrap().unwrap();
    drop(body);
    assert_eq!(*told.lock().unwrap(), []);
}

/// A BodyError that no layer has told of: a handler's own, or that of an upload.
#[tokio::test]
async fn a_body_error_nobody_has_told_of_is_told() {
    struct Own;
    impl Body for Own {
        type Data = Bytes;
        type Error = BodyError;
        fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
            Poll::Ready(Some(Err(Failure::new(FailureKind::HttpResponseIncomplete).into())))
        }
    }
    let told = Told::default();
    let stack = hooked("only", BadGatewayLayer::for_router(), &told).layer(answering(Response::new(Own)));
    let Ok(response) = stack.oneshot(get()).await;
    response.into_body().collect().await.unwrap_err();
    assert_eq!(*told.lock().unwrap(), [("only", "body")]);
}

/// An echo: the response is the upload.
#[tokio::test]
async fn an_echoed_upload_that_breaks_is_told() {
    let told = Told::default();
    let echo = service_fn(|request: Request<RequestBody<MockBody>>| async {
        Ok::<_, io::Error>(Response::new(request.into_body()))
    });
    let stack = ServiceBuilder::new()
        .layer(RequestBodyTap::new())
        .layer(hooked("only", BadGatewayLayer::new(), &told))
        .service(echo);
    let upload = MockBody::steps([Data("a"), Fail(io::ErrorKind::UnexpectedEof)]);
    let Ok(response) = stack.oneshot(Request::builder().method("POST").body(upload).unwrap()).await;
    response.into_body().collect().await.unwrap_err();
    assert_eq!(*told.lock().unwrap(), [("only", "body")]);
}

/// The upload breaks after an early head, and takes the response with it (hyper's h1 client does that).
struct Follows {
    upload: RequestBody<MockBody>,
}
impl Body for Follows {
    type Data = Bytes;
    type Error = io::Error;
    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match std::task::ready!(Pin::new(&mut self.upload).poll_frame(cx)) {
            Some(Ok(frame)) => Poll::Ready(Some(Ok(frame))),
            Some(Err(_)) => Poll::Ready(Some(Err(io::ErrorKind::ConnectionReset.into()))),
            None => Poll::Ready(None),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_breaks_after_the_head_is_the_clients() {
    for hold in [false, true] {
        let blamed = Arc::new(Mutex::new(Vec::new()));
        let (one, two) = (blamed.clone(), blamed.clone());
        let layer = BadGatewayLayer::new()
            .on_failure(move |event| one.lock().unwrap().push((event.failure().blame(), event.failure().phase())))
            .on_body_failure(move |event| two.lock().unwrap().push((event.failure().blame(), event.failure().phase())));
        let layer = if hold { layer.hold_head(Duration::from_secs(20)) } else { layer };
        let follow = service_fn(|request: Request<RequestBody<MockBody>>| async {
            Ok::<_, io::Error>(Response::new(Follows { upload: request.into_body() }))
        });
        let stack = ServiceBuilder::new().layer(RequestBodyTap::new()).layer(layer).service(follow);
        let upload = MockBody::steps([Wait(Duration::from_secs(1)), Fail(io::ErrorKind::UnexpectedEof)]);
        let Ok(response) = stack.oneshot(Request::builder().method("POST").body(upload).unwrap()).await;
        let _ = response.into_body().collect().await;
        assert_eq!(*blamed.lock().unwrap(), [(Blame::Client, Phase::RequestBody)], "hold: {hold}");
    }
}

/// A call whose request has no body is not failed by the upload of the request it was made from.
#[tokio::test(start_paused = true)]
async fn a_failed_upload_does_not_fail_another_call() {
    let inner = service_fn(|_: Request<Empty<Bytes>>| async {
        sleep(Duration::from_secs(1)).await;
        Ok::<_, io::Error>(Response::new(MockBody::of(["noted"])))
    });
    let request = RequestBodyTap::new()
        .tap(Request::builder().method("POST").body(MockBody::steps([Fail(io::ErrorKind::UnexpectedEof)])).unwrap());
    let (parts, body) = request.into_parts();
    body.collect().await.unwrap_err();
    // The handler tells another service of it.
    let request = Request::from_parts(parts, Empty::new());
    let Ok(response) = BadGatewayLayer::new().layer(inner).oneshot(request).await;
    assert_eq!(response.status(), 200);
}

/// A handler's own answer to a broken upload, once it has tidied up.
#[tokio::test(start_paused = true)]
async fn a_handler_answers_a_broken_upload_itself() {
    let handler = service_fn(|request: Request<RequestBody<MockBody>>| async {
        let status = if request.into_body().collect().await.is_err() {
            // Removes the half of a file.
            sleep(Duration::from_secs(1)).await;
            422
        } else {
            200
        };
        Ok::<_, io::Error>(Response::builder().status(status).body(MockBody::of([])).unwrap())
    });
    let stack =
        ServiceBuilder::new().layer(RequestBodyTap::new()).layer(BadGatewayLayer::for_router()).service(handler);
    let upload = MockBody::steps([Fail(io::ErrorKind::UnexpectedEof)]);
    let Ok(response) = stack.oneshot(Request::builder().method("POST").body(upload).unwrap()).await;
    assert_eq!(response.status(), 422);
}

/// The same while the head of that answer is held until its content has come.
#[tokio::test(start_paused = true)]
async fn a_held_answer_to_a_broken_upload_is_the_handlers() {
    let handler = service_fn(|request: Request<RequestBody<MockBody>>| async {
        assert!(request.into_body().collect().await.is_err());
        let content = MockBody::steps([crate::mock::Step::Silence]);
        Ok::<_, io::Error>(Response::builder().status(422).body(content).unwrap())
    });
    let layer = BadGatewayLayer::for_router().hold_head(Duration::from_secs(1));
    let stack = ServiceBuilder::new().layer(RequestBodyTap::new()).layer(layer).service(handler);
    let upload = MockBody::steps([Fail(io::ErrorKind::UnexpectedEof)]);
    let Ok(response) = stack.oneshot(Request::builder().method("POST").body(upload).unwrap()).await;
    assert_eq!(response.status(), 422);
}

/// An answer of an inner layer that was not read is no abandoned upstream call.
#[tokio::test]
async fn an_unread_answer_is_no_abandonment() {
    let told = Told::default();
    let inner = BadGatewayLayer::new().layer(service_fn(|_: Request<Empty<Bytes>>| async {
        Err::<Response<MockBody>, _>(io::Error::from(io::ErrorKind::ConnectionRefused))
    }));
    let stack = hooked("outer", BadGatewayLayer::for_router(), &told).layer(inner);
    let Ok(response) = stack.oneshot(get()).await;
    drop(response);
    assert_eq!(*told.lock().unwrap(), []);
}
