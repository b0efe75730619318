//! One gRPC call through the layer, from an upstream that gives these frames.

use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Version, header::{CONTENT_TYPE, TE, TRAILER}};
use http_body::{Body, Frame};
use tower::{Layer, Service};
use tower_bad_gateway::BadGatewayLayer;

pub struct Frames(VecDeque<Frame<Bytes>>);

impl Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(Ok))
    }
}

/// The bytes that come out, and the trailers behind them; `None` if the body was aborted.
pub fn call(frames: VecDeque<Frame<Bytes>>) -> (Vec<u8>, Option<HeaderMap>) {
    let mut response = Some(Response::new(Frames(frames)));
    let head = response.as_mut().unwrap().headers_mut();
    head.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    head.insert(TRAILER, HeaderValue::from_static("grpc-status, grpc-message"));
    let upstream = tower::service_fn(move |_: Request<String>| {
        let response = response.take().unwrap();
        async { Ok::<_, Infallible>(response) }
    });
    // Without time limits: there is no runtime.
    let layer = BadGatewayLayer::new().head_timeout(None).idle_timeout(None).ready_timeout(None);
    let mut request = Request::new(String::new());
    *request.method_mut() = Method::POST;
    // Not over HTTP/2, where the error of a body waits for a timer.
    *request.version_mut() = Version::HTTP_11;
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    request.headers_mut().insert(TE, HeaderValue::from_static("trailers"));
    let mut cx = Context::from_waker(Waker::noop());
    let mut call = pin!(layer.layer(upstream).call(request));
    let Poll::Ready(Ok(response)) = call.as_mut().poll(&mut cx) else { panic!("it is ready at once") };
    let mut body = pin!(response.into_body());
    let (mut data, mut trailers) = (Vec::new(), None);
    loop {
        match body.as_mut().poll_frame(&mut cx) {
            Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                Ok(part) => data.extend_from_slice(&part),
                Err(frame) => {
                    assert!(trailers.is_none(), "trailers after trailers");
                    trailers = frame.into_trailers().ok();
                }
            },
            Poll::Ready(Some(Err(_))) => return (data, None),
            Poll::Ready(None) => return (data, Some(trailers.expect("every call has a status"))),
            // An error comes some polls later.
            Poll::Pending => {}
        }
    }
}
