//! Bodies that are silent for longer than any limit, and may be.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response, header};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, StreamBody};
use tower::{Layer, ServiceExt, service_fn};

use crate::{
    incoming::{trailers, with},
    row::watched,
};

/// The time is virtual, and with it the silence of 70 s in the middle of each.
#[tokio::test(start_paused = true)]
async fn silence_is_no_failure_where_it_is_lawful() {
    let mut wrong = Vec::new();
    for (request_type, response_type, length, healthy) in [
        (None, "text/event-stream", None, true),
        (None, "text/event-stream; charset=utf-8", None, true),
        (None, "multipart/x-mixed-replace; boundary=x", None, true),
        (Some("application/grpc"), "application/grpc", None, true),
        (Some("application/grpc+proto"), "application/grpc+proto", None, true),
        (None, "application/grpc-web+proto", None, true),
        (None, "application/connect+json", None, true),
        // It may be long, so it is given 5 minutes.
        (None, "text/plain", None, true),
        // What has said how long it is has no reason to be silent; this one shows that the others could fail.
        (None, "text/plain", Some("9"), false),
    ] {
        let (layer, mut told) = watched();
        let upstream = service_fn(move |_: Request<Empty<Bytes>>| async move {
            let body = StreamBody::new(Box::pin(stream::unfold(0, |at| async move {
                if at == 1 {
                    tokio::time::sleep(Duration::from_secs(70)).await;
                }
                let frame = match at {
                    // A message of gRPC, which is content as any other elsewhere.
                    0 => Frame::data(Bytes::from("\0\0\0\0\u{4}he")),
                    1 => Frame::data(Bytes::from("lo")),
                    2 => Frame::trailers(of_grpc()),
                    _ => return None,
                };
                Some((Ok::<_, Infallible>(frame), at + 1))
            })));
            let response = with(Response::new(body), header::CONTENT_TYPE, response_type);
            Ok::<_, Infallible>(match length {
                Some(length) => with(response, header::CONTENT_LENGTH, length),
                None => response,
            })
        });
        let mut request = Request::new(Empty::new());
        if let Some(request_type) = request_type {
            *request.method_mut() = http::Method::POST;
            request.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static(request_type));
        }
        let Ok(response) = layer.layer(upstream).oneshot(request).await;
        let collected = response.into_body().collect().await;
        let is_whole = collected.is_ok_and(|collected| {
            collected.trailers() == Some(&of_grpc()) && collected.to_bytes() == "\0\0\0\0\u{4}helo"
        });
        drop(layer);
        let mut events = Vec::new();
        while let Some(event) = told.recv().await {
            events.push(event);
        }
        let is_right = if healthy { is_whole && events.is_empty() } else { !is_whole && events.len() == 1 };
        println!("{response_type}, length {length:?}: {}", if is_right { "ok" } else { "WRONG" });
        if !is_right {
            wrong.push((request_type, response_type, length, is_whole, events));
        }
    }
    assert!(wrong.is_empty(), "(request, response, length, whole, told): {wrong:#?}");
}

/// The status of a gRPC call, which is a trailer as any other elsewhere.
fn of_grpc() -> http::HeaderMap {
    let mut trailers = trailers();
    trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
    trailers
}
