//! What hyper's client has read: HTTP/1 byte by byte, HTTP/2 from hyper's own server.

use std::convert::Infallible;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::Incoming;
use tower_bad_gateway::BoxError;

use crate::{
    row::{Downstream::*, Row, Subject, answers},
    upstream::{self, Then::*},
};

/// The plainest of all.
pub(crate) const LENGTH: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

/// What a client over HTTP/1 has to say to be sent trailers.
pub(crate) const TE: &[(&str, &str)] = &[("te", "trailers")];

/// The upstream's own is removed, and the server puts it where it has its place.
pub(crate) const CHUNKED: &[&str] = &["transfer-encoding: chunked"];

pub(crate) fn from_http1() -> Vec<Row> {
    let row = |name, status, shows, parts, then| Row::new(name, status, shows, upstream::from_http1(parts, then));
    vec![
        row("h1, length", "200", "| hello", &[LENGTH], Stay),
        row(
            "h1, chunks",
            "200",
            "world",
            &[b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\
                5\r\nhello\r\n5\r\nworld\r\n0\r\n\r\n"],
            Stay,
        )
        .differs(Http1, CHUNKED, CHUNKED),
        row(
            "h1, chunks and trailers",
            "200",
            "trailer x-sum: 1",
            &[b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum, etag\r\n\r\n\
                5\r\nhello\r\n0\r\nx-sum: 1\r\netag: \"2\"\r\n\r\n"],
            Stay,
        )
        .fields(TE)
        .differs(Http1, CHUNKED, CHUNKED),
        row(
            "h1, trailers the client has not asked for",
            "200",
            "hello",
            &[b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n\
                5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n"],
            Stay,
        )
        .differs(Http1, CHUNKED, CHUNKED),
        row("h1, up to the end of the connection", "200", "hello", &[b"HTTP/1.1 200 OK\r\n\r\nhello"], Close),
        row("h1, length, and an end all the same", "200", "| hello", &[LENGTH], Close),
        row(
            "h1, many small parts",
            "200",
            "| abcdefgh",
            &[b"HTTP/1.1 200 OK\r\n", b"content-length: 8\r\n\r\n", b"a", b"b", b"c", b"d", b"e", b"f", b"g", b"h"],
            Stay,
        ),
        row("h1.0, length", "200", "| hello", &[b"HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nhello"], Close)
            // The version is one's own (RFC 9112, section 2.3).
            .differs(Http1, &["HTTP/1.0 200 OK"], &["HTTP/1.1 200 OK"]),
        row(
            "h1, HEAD and length",
            "200",
            "content-length: 5",
            &[b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"],
            Stay,
        )
        .method(Method::HEAD),
        row("h1, HEAD, no length", "200", "x-a: b", &[b"HTTP/1.1 200 OK\r\nx-a: b\r\n\r\n"], Stay).method(Method::HEAD),
        row(
            "h1, HEAD, chunks",
            "200",
            "x-a: b",
            &[b"HTTP/1.1 200 OK\r\n\
                x-a: b\r\ntransfer-encoding: chunked\r\n\r\n"],
            Stay,
        )
        .method(Method::HEAD),
        row("h1, 204", "204", "x-a: b", &[b"HTTP/1.1 204 No Content\r\nx-a: b\r\n\r\n"], Stay),
        row(
            "h1, 204 and length",
            "204",
            "x-a: b",
            &[b"HTTP/1.1 204 No Content\r\n\
                x-a: b\r\ncontent-length: 0\r\n\r\n"],
            Stay,
        )
        // There may be none (RFC 9110, section 8.6); over HTTP/1 hyper knows that, too.
        .differs(Http2, &["content-length: 0"], &[]),
        row(
            "h1, 205 and length",
            "205",
            "content-length: 0",
            &[b"HTTP/1.1 205 Reset Content\r\ncontent-length: 0\r\n\r\n"],
            Stay,
        ),
        row(
            "h1, 206",
            "206",
            "content-range: bytes 0-4/9",
            &[b"HTTP/1.1 206 Partial Content\r\ncontent-range: bytes 0-4/9\r\ncontent-length: 5\r\n\r\n\
                    hello"],
            Stay,
        ),
        row(
            "h1, 304, validator and length",
            "304",
            "etag: ",
            &[b"HTTP/1.1 304 Not Modified\r\n\
                    etag: \"1\"\r\ncontent-length: 5\r\n\r\n"],
            Stay,
        ),
        row("h1, 304", "304", "etag: ", &[b"HTTP/1.1 304 Not Modified\r\netag: \"1\"\r\n\r\n"], Stay),
        row("h1, length 0", "200", "content-length: 0", &[b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"], Stay),
        row(
            "h1, no chunk but the last",
            "200",
            "x-a: b",
            &[b"HTTP/1.1 200 OK\r\nx-a: b\r\ntransfer-encoding: chunked\r\n\r\n\
                0\r\n\r\n"],
            Stay,
        )
        .differs(Http1, CHUNKED, CHUNKED),
        row(
            "h1, its own 502",
            "502",
            "| hello",
            &[b"HTTP/1.1 502 Bad Gateway\r\ncontent-type: text/html\r\ncontent-length: 5\r\n\r\n\
                    hello"],
            Stay,
        ),
        row(
            "h1, its own 503",
            "503",
            "retry-after: 9",
            &[b"HTTP/1.1 503 Service Unavailable\r\n\
                    retry-after: 9\r\ncontent-length: 0\r\n\r\n"],
            Stay,
        ),
        row("h1, after a 103", "200", "| hello", &[b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n", LENGTH], Stay),
        row(
            "h1, fields of all sorts",
            "200",
            "set-cookie: b=2",
            &[b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\nX-Empty: \r\nx-bytes: \xe4\xff\r\nvary: *\r\n\
                proxy-status: other; error=dns_error\r\nvia: 1.0 other\r\nage: 5\r\nserver: x\r\nx-two: 1\r\n\
                x-two: 2\r\n\
                    content-encoding: gzip\r\ncontent-length: 5\r\n\r\nhello"],
            Stay,
        ),
        row(
            "h1, a phrase of its own",
            "200",
            "| hello",
            &[b"HTTP/1.1 200 Fine\r\ncontent-length: 5\r\n\r\nhello"],
            Stay,
        )
        // Nobody should read it (RFC 9112, section 4).
        .differs(Http1, &["HTTP/1.1 200 Fine"], &["HTTP/1.1 200 OK"]),
        row(
            "h1, fields for one connection",
            "200",
            "| hello",
            &[b"HTTP/1.1 200 OK\r\nconnection: keep-alive, x-hop\r\nkeep-alive: timeout=5\r\nx-hop: 1\r\n\
                proxy-connection: x\r\nx-a: b\r\ncontent-length: 5\r\n\r\nhello"],
            Stay,
        )
        // Over HTTP/2 hyper removes them as well, and the order alone is another.
        .differs(
            Http1,
            &["connection: keep-alive, x-hop, close", "keep-alive: timeout=5", "proxy-connection: x", "x-hop: 1"],
            &["connection: close"],
        )
        .differs(Http2, &[], &[]),
        row(
            "h1, trailers that may not be",
            "200",
            "trailer x-sum: 1",
            &[b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum, set-cookie\r\n\r\n\
                5\r\nhello\r\n0\r\nx-sum: 1\r\nset-cookie: a=1\r\n\r\n"],
            Stay,
        )
        .fields(TE)
        // Response controls come before the content (RFC 9110, section 6.5.1).
        .differs(Http1, CHUNKED, CHUNKED)
        .differs(Http2, &["trailer set-cookie: a=1"], &[]),
    ]
}

pub(crate) fn from_http2() -> Vec<Row> {
    vec![
        Row::new("h2, length, END_STREAM on DATA", "200", "| hello", http2(|| Response::new(Full::from("hello")))),
        Row::new("h2, no length, END_STREAM on an empty DATA", "200", "hello", http2(|| Response::new(parts()))),
        Row::new(
            "h2, length, END_STREAM on an empty DATA",
            "200",
            "content-length: 10",
            http2(|| with(Response::new(parts()), header::CONTENT_LENGTH, "10")),
        ),
        Row::new("h2, END_STREAM on HEADERS", "200", "x-a: b", http2(|| marked(Empty::<Bytes>::new()))),
        Row::new("h2, an empty DATA alone", "200", "x-a: b", http2(|| marked(frames([])))),
        Row::new(
            "h2, trailers, END_STREAM after them",
            "200",
            "trailer x-sum: 1",
            http2(|| with(Response::new(trailed()), header::TRAILER, "x-sum")),
        )
        .fields(TE),
        Row::new(
            "h2, trailers and no content",
            "200",
            "trailer x-sum: 1",
            http2(|| with(Response::new(frames([Frame::trailers(trailers())])), header::TRAILER, "x-sum")),
        )
        .fields(TE),
        Row::new(
            "h2, gRPC",
            "200",
            "trailer grpc-status: 0",
            http2(|| {
                let status =
                    HeaderMap::from_iter([(HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"))]);
                let body = frames([Frame::data(Bytes::from_static(b"\0\0\0\0\x05hello")), Frame::trailers(status)]);
                let response = with(Response::new(body), header::TRAILER, "grpc-status");
                with(response, header::CONTENT_TYPE, "application/grpc")
            }),
        )
        .method(Method::POST)
        .fields(GRPC),
        Row::new(
            "h2, gRPC, a status alone",
            "200",
            "grpc-status: 5",
            http2(|| {
                let response = with(Response::new(Empty::<Bytes>::new()), header::CONTENT_TYPE, "application/grpc");
                with(response, HeaderName::from_static("grpc-status"), "5")
            }),
        )
        .method(Method::POST)
        .fields(GRPC),
        Row::new(
            "h2, HEAD and length",
            "200",
            "content-length: 5",
            http2(|| with(Response::new(Empty::<Bytes>::new()), header::CONTENT_LENGTH, "5")),
        )
        .method(Method::HEAD),
        Row::new("h2, HEAD, no length", "200", "x-a: b", http2(|| marked(Empty::<Bytes>::new()))).method(Method::HEAD),
        Row::new("h2, 204", "204", "x-a: b", http2(|| status(marked(Empty::<Bytes>::new()), 204))),
        Row::new(
            "h2, 304, validator and length",
            "304",
            "etag: ",
            http2(|| {
                let response = with(Response::new(Empty::<Bytes>::new()), header::ETAG, "\"1\"");
                status(with(response, header::CONTENT_LENGTH, "5"), 304)
            }),
        ),
    ]
}

const GRPC: &[(&str, &str)] = &[("te", "trailers"), ("content-type", "application/grpc")];

fn http2<B>(make: impl Fn() -> Response<B> + Clone + Send + Sync + 'static) -> impl Subject<Content = Incoming> + Sync
where
    B: Body<Data = Bytes, Error: Into<BoxError> + Send> + Send + Unpin + 'static,
{
    upstream::from_http2(answers(make))
}

pub(crate) fn with<B>(mut response: Response<B>, name: HeaderName, value: &'static str) -> Response<B> {
    response.headers_mut().insert(name, HeaderValue::from_static(value));
    response
}

/// With a field, so that there is something to see.
pub(crate) fn marked<B>(body: B) -> Response<B> {
    with(Response::new(body), HeaderName::from_static("x-a"), "b")
}

pub(crate) fn status<B>(mut response: Response<B>, status: u16) -> Response<B> {
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

/// Says neither how long it is nor that it has ended.
pub(crate) fn frames(
    frames: impl IntoIterator<Item = Frame<Bytes>, IntoIter: Send + Unpin>,
) -> impl Body<Data = Bytes, Error = Infallible> + Send + Unpin {
    StreamBody::new(futures_util::stream::iter(frames.into_iter().map(Ok)))
}

pub(crate) fn parts() -> impl Body<Data = Bytes, Error = Infallible> + Send + Unpin {
    frames(["hello", "world"].map(|part| Frame::data(Bytes::from(part))))
}

pub(crate) fn trailers() -> HeaderMap {
    HeaderMap::from_iter([(HeaderName::from_static("x-sum"), HeaderValue::from_static("1"))])
}

pub(crate) fn trailed() -> impl Body<Data = Bytes, Error = Infallible> + Send + Unpin {
    // Without a length: over HTTP/1 that would leave no room for them.
    parts().with_trailers(std::future::ready(Some(Ok(trailers()))))
}
