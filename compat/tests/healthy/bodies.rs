//! Bodies that are made here: of http-body-util and axum.

use std::io;

use axum::{Router, body::Body, routing::get};
use bytes::Bytes;
use http::{Method, Response, header};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, Full, Limited};

use crate::{
    incoming::{TE, frames, marked, parts, status, trailed, trailers, with},
    row::{Row, answers},
};

pub(crate) fn rows() -> Vec<Row> {
    let app = Router::new().route("/", get(|| async { ([("x-a", "b")], "hello") }));
    vec![
        Row::new("Full", "200", "| hello", answers(|| Response::new(Full::from("hello")))),
        Row::new("Full, nothing in it", "200", "x-a: b", answers(|| marked(Full::<Bytes>::default()))),
        Row::new("Empty", "200", "x-a: b", answers(|| marked(Empty::<Bytes>::new()))),
        Row::new("Empty, 204", "204", "x-a: b", answers(|| status(marked(Empty::<Bytes>::new()), 204))),
        Row::new(
            "Empty, HEAD and length",
            "200",
            "content-length: 5",
            answers(|| with(Response::new(Empty::<Bytes>::new()), header::CONTENT_LENGTH, "5")),
        )
        .method(Method::HEAD),
        // hyper's server sends content to HEAD over HTTP/2 if it is given any.
        Row::new("Full, HEAD all the same", "200", "content-length: 5", answers(|| marked(Full::from("hello"))))
            .method(Method::HEAD)
            .http1_only(),
        Row::new("StreamBody", "200", "world", answers(|| Response::new(parts()))),
        Row::new(
            "StreamBody, with its length",
            "200",
            "helloworld",
            answers(|| with(Response::new(parts()), header::CONTENT_LENGTH, "10")),
        ),
        Row::new("StreamBody, no frame", "200", "x-a: b", answers(|| marked(frames([])))),
        Row::new(
            "StreamBody, frames without a byte",
            "200",
            "hello",
            answers(|| Response::new(frames(["", "hello", "", ""].map(|part| Frame::data(Bytes::from(part)))))),
        ),
        Row::new(
            "StreamBody, trailers alone",
            "200",
            "trailer x-sum: 1",
            answers(|| with(Response::new(frames([Frame::trailers(trailers())])), header::TRAILER, "x-sum")),
        )
        .fields(TE),
        Row::new(
            "with_trailers",
            "200",
            "trailer x-sum: 1",
            answers(|| with(Response::new(trailed()), header::TRAILER, "x-sum")),
        )
        .fields(TE),
        Row::new("BoxBody", "200", "| hello", answers(|| Response::new(Full::<Bytes>::from("hello").boxed()))),
        Row::new("UnsyncBoxBody of a stream", "200", "world", answers(|| Response::new(parts().boxed_unsync()))),
        Row::new(
            "UnsyncBoxBody with trailers",
            "200",
            "trailer x-sum: 1",
            answers(|| with(Response::new(trailed().boxed_unsync()), header::TRAILER, "x-sum")),
        )
        .fields(TE),
        Row::new("Limited", "200", "| hello", answers(|| Response::new(Limited::new(Full::<Bytes>::from("hello"), 5)))),
        Row::new("Limited, a stream", "200", "world", answers(|| Response::new(Limited::new(parts(), 10)))),
        Row::new("String", "200", "| hello", answers(|| Response::new("hello".to_owned()))),
        Row::new("axum Body, bytes", "200", "| hello", answers(|| Response::new(Body::from("hello")))),
        Row::new("axum Body, empty", "200", "x-a: b", answers(|| marked(Body::empty()))),
        Row::new("axum Body, stream", "200", "world", answers(|| Response::new(stream()))),
        Row::new(
            "axum Body, stream with its length",
            "200",
            "helloworld",
            answers(|| with(Response::new(stream()), header::CONTENT_LENGTH, "10")),
        ),
        Row::new("axum Router", "200", "| hello", app.clone()),
        Row::new("axum Router, HEAD", "200", "content-length: 5", app.clone()).method(Method::HEAD),
        Row::new("axum Router, 404", "404", "404", app.clone()).path("/none"),
        Row::new("axum Router, 405", "405", "allow: GET,HEAD", app).method(Method::DELETE),
    ]
}

fn stream() -> Body {
    Body::from_stream(futures_util::stream::iter(["hello", "world"].map(Ok::<_, io::Error>)))
}
