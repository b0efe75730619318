//! tower-http between the layer and the service, and outside of the layer.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use axum::{Router, routing::post};
use bytes::Bytes;
use http::{Method, Response, header};
use http_body_util::{BodyExt, Empty, Full};
use tower::ServiceBuilder;
use tower_http::{
    compression::CompressionLayer, decompression::DecompressionLayer, limit::RequestBodyLimitLayer, services::ServeDir,
    timeout::ResponseBodyTimeoutLayer,
};

use crate::{
    incoming::{CHUNKED, TE, parts, status, trailed, with},
    row::{Downstream::*, Row, Subject, answers},
    upstream::{self, GZIP, Then::*, gzip},
};

pub(crate) fn rows(directory: &Path) -> Vec<Row> {
    let files = ServeDir::new(directory);
    let echo = Router::new().route("/", post(|content: Bytes| async move { content }));
    let limited = ServiceBuilder::new().layer(RequestBodyLimitLayer::new(10)).service(echo);
    vec![
        Row::new("compression inside", "200", "content-encoding: gzip", compressed()).fields(ACCEPT_GZIP),
        Row::new("compression inside, not asked for", "200", "| hello hello", compressed()),
        Row::new("compression inside, HEAD", "200", "content-length: 120", compressed())
            .method(Method::HEAD)
            .http1_only(),
        Row::inside(CompressionLayer::new(), "compression outside", "200", "content-encoding: gzip", answers(long))
            .fields(ACCEPT_GZIP),
        Row::inside(
            CompressionLayer::new(),
            "compression outside, not asked for",
            "200",
            "| hello hello",
            answers(long),
        ),
        Row::inside(
            CompressionLayer::new(),
            "compression outside, from h1",
            "200",
            "content-encoding: gzip",
            upstream::from_http1(
                &[b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n\
                5\r\nhello\r\n0\r\n\r\n"],
                Stay,
            ),
        )
        .fields(ACCEPT_GZIP)
        .decoded()
        .differs(Http1, CHUNKED, CHUNKED)
        // The order alone.
        .differs(Http2, &[], &[]),
        Row::inside(
            CompressionLayer::new(),
            "compression outside, from h2",
            "200",
            "content-encoding: gzip",
            upstream::from_http2(answers(|| with(Response::new(parts()), header::CONTENT_TYPE, "text/plain"))),
        )
        .fields(ACCEPT_GZIP)
        .decoded(),
        Row::new("decompression inside", "200", "hello", decompressed(answers(|| gzipped(Full::from(gzip()))))),
        Row::new(
            "decompression inside, from h1",
            "200",
            "hello",
            decompressed(upstream::from_http1(
                &[
                    b"HTTP/1.1 200 OK\r\n\
                content-encoding: gzip\r\ncontent-length: 25\r\n\r\n",
                    GZIP,
                ],
                Stay,
            )),
        ),
        Row::new(
            "decompression inside, from h2",
            "200",
            "hello",
            decompressed(upstream::from_http2(answers(|| gzipped(Full::from(gzip()))))),
        ),
        Row::new(
            "decompression inside, nothing to undo, from h2",
            "200",
            "world",
            decompressed(upstream::from_http2(answers(|| Response::new(parts())))),
        ),
        Row::new("body timeout inside", "200", "hello", patient(answers(|| Response::new(Full::from("hello"))))),
        Row::new(
            "body timeout inside, from h2",
            "200",
            "world",
            patient(upstream::from_http2(answers(|| Response::new(parts())))),
        ),
        Row::new(
            "body timeout inside, trailers",
            "200",
            "trailer x-sum: 1",
            patient(answers(|| with(Response::new(trailed()), header::TRAILER, "x-sum"))),
        )
        .fields(TE),
        Row::new(
            "body timeout inside, 304",
            "304",
            "etag",
            patient(answers(|| status(with(Response::new(Empty::new()), header::ETAG, "\"1\""), 304))),
        ),
        Row::new("request limit inside", "200", "| hello", limited.clone()).method(Method::POST).content("hello"),
        Row::new("request limit inside, too much", "413", "length limit exceeded", limited)
            .method(Method::POST)
            .content("hello hello"),
        Row::new("file", "200", "| hello", files.clone()).path("/hello.txt"),
        Row::new("file, HEAD", "200", "content-length: 5", files.clone()).path("/hello.txt").method(Method::HEAD),
        Row::new("file, a part", "206", "content-range: bytes 1-3/5", files.clone())
            .path("/hello.txt")
            .fields(&[("range", "bytes=1-3")]),
        Row::new("file, not modified", "304", "304", files.clone())
            .path("/hello.txt")
            .fields(&[("if-modified-since", "Fri, 31 Dec 2100 23:59:59 GMT")]),
        Row::new("file, not found", "404", "404", files.clone()).path("/none.txt"),
        Row::new("file, a part that is not there", "416", "content-range: bytes */5", files.clone())
            .path("/hello.txt")
            .fields(&[("range", "bytes=9-")]),
        Row::new("file, large", "200", "content-length: 300000", files).path("/large"),
    ]
}

/// What `ServeDir` is given; removed by whoever has asked for it.
///
/// One for each of the tests, which run side by side.
pub(crate) fn directory(is_held: bool) -> PathBuf {
    let directory = std::env::temp_dir().join(format!("tower-bad-gateway-healthy-{}-{is_held}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("hello.txt"), "hello").unwrap();
    fs::write(directory.join("large"), "0123456789".repeat(30_000)).unwrap();
    directory
}

const ACCEPT_GZIP: &[(&str, &str)] = &[("accept-encoding", "gzip")];

/// Long enough to be worth compressing.
fn long() -> Response<Full<Bytes>> {
    with(Response::new(Full::from("hello ".repeat(20))), header::CONTENT_TYPE, "text/plain")
}

fn compressed() -> impl Subject + Sync {
    ServiceBuilder::new().layer(CompressionLayer::new()).service(answers(long))
}

fn gzipped(body: Full<Bytes>) -> Response<Full<Bytes>> {
    with(Response::new(body), header::CONTENT_ENCODING, "gzip")
}

fn decompressed<S>(service: S) -> impl Subject + Sync
where
    S: Subject<Content: Sync> + Sync,
{
    ServiceBuilder::new().layer(DecompressionLayer::new()).service(service)
}

/// Its body holds a timer, and has to be boxed.
fn patient(service: impl Subject + Sync) -> impl Subject + Sync {
    ServiceBuilder::new()
        .map_response(|response: Response<_>| response.map(BodyExt::boxed_unsync))
        .layer(ResponseBodyTimeoutLayer::new(Duration::from_secs(30)))
        .service(service)
}
