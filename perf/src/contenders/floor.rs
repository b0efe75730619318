//! The least that does the job: a future that maps the error to a static answer, without a timer and with one that is made only
//! when the call has to be waited for.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use http_body_util::{Either, Full};
use pin_project_lite::pin_project;
use tokio::time::Sleep;
use tower::Service;

use super::LIMIT;
use crate::{
    content::Content,
    scenario::{Request, Response, Upstream},
};

type Answered = Result<http::Response<Either<Content, Full<Bytes>>>, Infallible>;

pub(super) struct MapErr<S>(pub(super) S);

impl<S: Upstream> Service<Request> for MapErr<S> {
    type Response = http::Response<Either<Content, Full<Bytes>>>;
    type Error = Infallible;
    type Future = MapErrFuture<S::Future>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(cx).map(|_| Ok(()))
    }

    #[inline]
    fn call(&mut self, request: Request) -> Self::Future {
        MapErrFuture { call: self.0.call(request) }
    }
}

pin_project! {
    pub(super) struct MapErrFuture<F> {
        #[pin]
        call: F,
    }
}

impl<F: Future<Output = Result<Response, E>>, E> Future for MapErrFuture<F> {
    type Output = Answered;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answered> {
        Poll::Ready(answer(ready!(self.project().call.poll(cx))))
    }
}

pub(super) struct MapErrTimer<S>(pub(super) S);

impl<S: Upstream> Service<Request> for MapErrTimer<S> {
    type Response = http::Response<Either<Content, Full<Bytes>>>;
    type Error = Infallible;
    type Future = MapErrTimerFuture<S::Future>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(cx).map(|_| Ok(()))
    }

    #[inline]
    fn call(&mut self, request: Request) -> Self::Future {
        MapErrTimerFuture { call: self.0.call(request), timer: None }
    }
}

pin_project! {
    pub(super) struct MapErrTimerFuture<F> {
        #[pin]
        call: F,
        #[pin]
        timer: Option<Sleep>,
    }
}

impl<F: Future<Output = Result<Response, E>>, E> Future for MapErrTimerFuture<F> {
    type Output = Answered;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answered> {
        let mut this = self.project();
        if let Poll::Ready(outcome) = this.call.poll(cx) {
            return Poll::Ready(answer(outcome));
        }
        if this.timer.is_none() {
            this.timer.set(Some(tokio::time::sleep(LIMIT)));
        }
        if let Some(timer) = this.timer.as_pin_mut() {
            ready!(timer.poll(cx));
        }
        Poll::Ready(Ok(fixed(StatusCode::GATEWAY_TIMEOUT, r#"{"status":504,"title":"Gateway Timeout"}"#)))
    }
}

#[inline]
fn answer<E>(outcome: Result<Response, E>) -> Answered {
    Ok(match outcome {
        Ok(response) => response.map(Either::Left),
        Err(_) => fixed(StatusCode::BAD_GATEWAY, r#"{"status":502,"title":"Bad Gateway"}"#),
    })
}

fn fixed(status: StatusCode, json: &'static str) -> http::Response<Either<Content, Full<Bytes>>> {
    let mut response = http::Response::new(Either::Right(Full::from(json)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
