//! `for_router()` among healthy answers: not a byte is different.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{
    Request, Response, Uri, Version,
    header::{CONTENT_LENGTH, HOST},
};
use http_body::{Body, Frame};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tokio::sync::Notify;
use tower::{Layer, ServiceBuilder, service_fn};
use tower_bad_gateway::{BadGatewayLayer, BoxError};

use crate::{
    client,
    gateway::{Gateway, relay},
    h2_frames::*,
    h2_upstream,
    upstream::{self, Act},
};

/// What the client sees of both, but for the time of day.
async fn both(acts: &'static [Act], request: &[u8]) -> [String; 2] {
    let upstream = upstream::h1(acts, false).await;
    let client = ServiceBuilder::new()
        .map_request(move |mut request: Request<Incoming>| {
            let path = request.uri().path_and_query().unwrap().as_str();
            *request.uri_mut() = format!("http://{}{path}", upstream.address).parse::<Uri>().unwrap();
            *request.version_mut() = Version::HTTP_11;
            request.headers_mut().remove(HOST);
            request
        })
        .service(Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build_http::<Incoming>());
    let layered = BadGatewayLayer::for_router().silent().layer(client.clone());
    let mut texts = Vec::new();
    for address in [relay(client).await, relay(layered).await] {
        let seen = Notify::new();
        let received = tokio::time::timeout(Duration::from_secs(30), client::send(address, request, &seen)).await;
        let received = received.unwrap_or_else(|_| panic!("no end: {}", String::from_utf8_lossy(request)));
        let text = String::from_utf8_lossy(&received.bytes).into_owned();
        let lines = text.split_inclusive("\r\n").filter(|line| !line.starts_with("date: "));
        texts.push(lines.collect());
    }
    texts.try_into().unwrap()
}

const GET: &[u8] = b"GET /fault HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n\r\n";
const HEAD: &[u8] = b"HEAD /fault HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n\r\n";
const OLD: &[u8] = b"GET /fault HTTP/1.0\r\nhost: gateway\r\n\r\n";
const TRAILERS: &[u8] = b"GET /fault HTTP/1.1\r\nhost: gateway\r\nte: trailers\r\nconnection: close, te\r\n\r\n";
const UPGRADE: &[u8] = b"GET /fault HTTP/1.1\r\nhost: gateway\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_healthy_answer_passes_a_router_layer_to_the_byte() {
    use Act::{Fin, Send};

    let mut wrong = Vec::new();
    for (name, request, expected, acts) in [
        ("length", GET, "200", &[Send(upstream::OK)][..]),
        ("chunks", GET, "200", &[Send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")]),
        (
            "trailers",
            TRAILERS,
            "200",
            &[Send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n")],
        ),
        ("close-delimited", GET, "200", &[Send(b"HTTP/1.1 200 OK\r\n\r\nhello"), Fin]),
        ("in parts", GET, "200", &[Send(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nfive5"), Send(b"more5")]),
        ("no content", GET, "204", &[Send(b"HTTP/1.1 204 X\r\nx-a: b\r\n\r\n")]),
        ("not modified", GET, "304", &[Send(b"HTTP/1.1 304 X\r\netag: \"1\"\r\ncontent-length: 5\r\n\r\n")]),
        ("part", GET, "206", &[Send(b"HTTP/1.1 206 X\r\ncontent-range: bytes 0-4/9\r\ncontent-length: 5\r\n\r\nhello")]),
        ("not found", GET, "404", &[Send(b"HTTP/1.1 404 X\r\ncontent-length: 5\r\n\r\nhello")]),
        ("its own 502", GET, "502", &[Send(b"HTTP/1.1 502 X\r\ncontent-type: text/html\r\ncontent-length: 5\r\n\r\nhello")]),
        ("its own 503", GET, "503", &[Send(b"HTTP/1.1 503 X\r\nretry-after: 9\r\ncontent-length: 0\r\n\r\n")]),
        ("a status nobody knows", GET, "599", &[Send(b"HTTP/1.1 599 X\r\ncontent-length: 0\r\n\r\n")]),
        ("a status above all", GET, "999", &[Send(b"HTTP/1.1 999 X\r\ncontent-length: 0\r\n\r\n")]),
        ("HEAD", HEAD, "200", &[Send(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n")]),
        ("to HTTP/1.0", OLD, "200", &[Send(upstream::OK)]),
        ("from HTTP/1.0", GET, "200", &[Send(b"HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nhello")]),
        ("after a 103", GET, "200", &[Send(b"HTTP/1.1 103 X\r\nlink: </a>\r\n\r\n"), Send(upstream::OK)]),
        (
            "fields of all sorts",
            GET,
            "200",
            &[Send(
                b"HTTP/1.1 200 Fine\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\nX-Empty: \r\nx-bytes: \xe4\xff\r\nvary: *\r\n\
                  keep-alive: timeout=5\r\nproxy-status: other; error=dns_error\r\ncontent-length: 5\r\n\r\nhello",
            )],
        ),
        (
            "event stream",
            GET,
            "200",
            &[Send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: 1\n\n"), Fin],
        ),
        ("unasked 101", GET, "101", &[Send(b"HTTP/1.1 101 X\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n"), Fin]),
        ("asked 101", UPGRADE, "101", &[Send(b"HTTP/1.1 101 X\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n"), Fin]),
    ] {
        let [bare, layered] = both(acts, request).await;
        let status = bare.split(' ').nth(1).unwrap_or_default().to_owned();
        if bare != layered || status != expected {
            wrong.push((name, expected, bare, layered));
        }
    }
    assert!(wrong.is_empty(), "(name, status, bare, layered): {wrong:#?}");
}

/// Nor is the end of an HTTP/2 stream judged that was reset with NO_ERROR: a router's handlers answer for their bodies.
#[tokio::test]
async fn a_router_layer_believes_the_end_of_a_stream() {
    let bytes = [headers(1, 0, STATUS_200), frame(DATA, 0, 1, b"half")].concat();
    let acts = vec![Act::Send(Vec::leak(bytes)), Act::Seen, Act::Send(Vec::leak(rst_stream(1, 0)))];
    let layer = BadGatewayLayer::for_router().silent();
    let gateway = Gateway::start(h2_upstream::start(acts).await, true, layer).await;
    let received = client::get(gateway.address, "/fault", &gateway.seen).await;
    assert_eq!((received.status(), received.is_whole()), (200, true));
    assert!(gateway.failures.lock().unwrap().is_empty());
}

/// A file: hyper asks no more once it has written all of a length, nor for what HEAD leaves out. Nobody has left then.
#[tokio::test]
async fn a_whole_response_of_a_router_is_not_abandoned() {
    let left = Arc::<AtomicUsize>::default();
    let hook = Arc::clone(&left);
    let layer = BadGatewayLayer::for_router().on_abandoned(move |_| {
        hook.fetch_add(1, Ordering::SeqCst);
    });
    let file = service_fn(|_: Request<Incoming>| async {
        let body = Full::new(Bytes::from_static(b"hello"));
        Ok::<_, BoxError>(Response::builder().header(CONTENT_LENGTH, 5).body(Unsized(body)).unwrap())
    });
    let address = relay(layer.layer(file)).await;
    for request in [GET, HEAD] {
        let received = client::send(address, request, &Notify::new()).await;
        assert_eq!(received.status(), 200);
    }
    assert_eq!(left.load(Ordering::SeqCst), 0);
}

/// A body that knows neither its length nor its end.
struct Unsized<B>(B);

impl<B: Body + Unpin> Body for Unsized<B> {
    type Data = B::Data;
    type Error = B::Error;
    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }
}
