//! What reqwest has read.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Method, Request, Response, Version, header};
use http_body::{Body, Frame};
use http_body_util::{Empty, Full};
use hyper::body::Incoming;
use tower::ServiceBuilder;
use tower_bad_gateway::BoxError;

use crate::{
    incoming::{CHUNKED, LENGTH, TE, frames, marked, parts, trailed, with},
    row::{Downstream::*, Row, Server, Subject, answers},
    upstream::{self, Then::*, gzip, rewrite},
};

pub(crate) fn rows() -> Vec<Row> {
    let http1 = |name, status, shows, parts, then| {
        Row::new(name, status, shows, reqwest(upstream::http1(parts, then), Version::HTTP_11))
    };
    vec![
        http1("reqwest h1, length", "200", "| hello", &[LENGTH], Stay),
        http1(
            "reqwest h1, chunks",
            "200",
            "hello",
            &[b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\
                5\r\nhello\r\n0\r\n\r\n"],
            Stay,
        )
        .differs(Http1, CHUNKED, CHUNKED),
        http1(
            "reqwest h1, trailers",
            "200",
            "trailer x-sum: 1",
            &[b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n\
                5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n"],
            Stay,
        )
        .fields(TE)
        .differs(Http1, CHUNKED, CHUNKED),
        http1("reqwest h1, up to the end of the connection", "200", "hello", &[b"HTTP/1.1 200 OK\r\n\r\nhello"], Close),
        http1(
            "reqwest h1, HEAD and length",
            "200",
            "content-length: 5",
            &[b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"],
            Stay,
        )
        .method(Method::HEAD),
        http1("reqwest h1, 204", "204", "x-a: b", &[b"HTTP/1.1 204 No Content\r\nx-a: b\r\n\r\n"], Stay)
            // hyper's server makes a length of reqwest's body; there may be none (RFC 9110, section 8.6).
            .differs(Http2, &["content-length: 0"], &[]),
        http1("reqwest h1, 304", "304", "etag: ", &[b"HTTP/1.1 304 Not Modified\r\netag: \"1\"\r\n\r\n"], Stay)
            // The same; it would be a lie as well.
            .differs(Http2, &["content-length: 0"], &[]),
        Row::new("reqwest h2, length", "200", "| hello", from_http2(answers(|| Response::new(Full::from("hello"))))),
        Row::new("reqwest h2, no length", "200", "world", from_http2(answers(|| Response::new(parts())))),
        Row::new("reqwest h2, empty", "200", "x-a: b", from_http2(answers(|| marked(Empty::new())))),
        Row::new(
            "reqwest h2, trailers",
            "200",
            "trailer x-sum: 1",
            from_http2(answers(|| with(Response::new(trailed()), header::TRAILER, "x-sum"))),
        )
        .fields(TE),
        Row::new(
            "reqwest h2, HEAD and length",
            "200",
            "content-length: 5",
            from_http2(answers(|| with(Response::new(Empty::new()), header::CONTENT_LENGTH, "5"))),
        )
        .method(Method::HEAD),
        Row::new(
            "reqwest gzip, length",
            "200",
            "hello",
            gunzipped(Version::HTTP_11, || Response::new(Full::from(gzip()))),
        ),
        Row::new(
            "reqwest gzip, chunks",
            "200",
            "hello",
            gunzipped(Version::HTTP_11, || Response::new(frames([Frame::data(gzip())]))),
        ),
        Row::new(
            "reqwest gzip over h2",
            "200",
            "hello",
            gunzipped(Version::HTTP_2, || Response::new(Full::from(gzip()))),
        ),
        Row::new("reqwest gzip, HEAD", "200", "x-a: b", gunzipped(Version::HTTP_11, || marked(Empty::new())))
            .method(Method::HEAD),
    ]
}

fn reqwest(address: SocketAddr, version: Version) -> impl Subject<Content = reqwest::Body> + Sync {
    // Other tests of this package ask for TLS without a provider.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0);
    let client = if version == Version::HTTP_2 { client.http2_prior_knowledge() } else { client };
    ServiceBuilder::new()
        .filter(move |request: Request<Incoming>| {
            reqwest::Request::try_from(rewrite(request, address, version).map(reqwest::Body::wrap))
        })
        .map_response(Response::<reqwest::Body>::from)
        .service(client.build().unwrap())
}

fn from_http2(service: impl Subject) -> impl Subject<Content = reqwest::Body> + Sync {
    reqwest(Server::start(service).stay(), Version::HTTP_2)
}

/// reqwest asks for gzip by itself, and undoes it.
fn gunzipped<B>(
    version: Version,
    make: impl Fn() -> Response<B> + Clone + Send + 'static,
) -> impl Subject<Content = reqwest::Body> + Sync
where
    B: Body<Data = Bytes, Error: Into<BoxError> + Send> + Send + Unpin + 'static,
{
    let upstream = answers(move || with(make(), header::CONTENT_ENCODING, "gzip"));
    reqwest(Server::start(upstream).stay(), version)
}
