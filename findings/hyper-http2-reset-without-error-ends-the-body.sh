#!/usr/bin/env bash
# Finding: hyper's HTTP/2 client takes RST_STREAM(NO_ERROR) in the middle of a
# body for the end of the body.
#
# What is surprising
#   A server sends a head and five bytes, no END_STREAM flag, and then resets
#   the stream with NO_ERROR. The body at the client ends without an error.
#   This is so even if content-length promised ten bytes: the body then ends
#   while its own exact size hint still says that five bytes are to come. A
#   reset with CANCEL or INTERNAL_ERROR at the same place is an error.
#
# Why one would expect otherwise
#   RFC 9113, section 8.1, allows this reset after a complete response, that is
#   after a frame with END_STREAM, so that a server can decline the rest of a
#   request. Here the response is not complete, and the request has no body
#   that could be declined. Section 8.1.1 calls a response malformed if its
#   content-length differs from the length of its DATA frames.
#
# What it means for whoever writes a gateway
#   "The body ended without an error" does not mean that it is complete, and a
#   shortened response would be relayed as a whole one. Count the bytes and
#   compare them with the exact size hint of the beginning. Without a
#   content-length nothing shows the difference; for gRPC the missing trailers
#   do.
#
# Versions: hyper 1.12.0, h2 0.4.20. Date: 2026-11-28.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
mkdir src

cat >Cargo.toml <<'TOML'
[package]
name = "hyper-http2-reset-without-error-ends-the-body"
version = "0.0.0"
edition = "2024"
publish = false

[workspace]

[dependencies]
bytes = "=1.12.1"
h2 = "=0.4.20"
http = "=1.5.0"
http-body-util = "=0.1.5"
hyper = { version = "=1.12.0", features = ["client", "http2"] }
hyper-util = { version = "=0.1.21", features = ["tokio"] }
tokio = { version = "=1.54.1", features = ["macros", "net", "rt", "sync"] }
TOML

cat >src/main.rs <<'RUST'
use bytes::Bytes;
use h2::Reason;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::{body::Body, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::oneshot,
};

/// Sends a head and five bytes, and resets the stream as soon as the client has them.
async fn serve(
    stream: TcpStream,
    length: Option<u64>,
    reason: Reason,
    arrived: oneshot::Receiver<()>,
) {
    let mut connection = h2::server::handshake(stream).await.unwrap();
    let (_request, mut respond) = connection.accept().await.unwrap().unwrap();
    tokio::spawn(async move { while connection.accept().await.is_some() {} });
    let mut head = Response::builder();
    if let Some(length) = length {
        head = head.header("content-length", length);
    }
    let mut body = respond
        .send_response(head.body(()).unwrap(), false)
        .unwrap();
    body.send_data(Bytes::from_static(b"hello"), false).unwrap();
    arrived.await.unwrap();
    body.send_reset(reason);
}

async fn get(length: Option<u64>, reason: Reason) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let (peer, _) = listener.accept().await.unwrap();
    let (tell, arrived) = oneshot::channel();
    tokio::spawn(serve(peer, length, reason, arrived));

    let io = TokioIo::new(stream);
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get("http://localhost/")
        .body(Empty::<Bytes>::new())
        .unwrap();
    let mut body = sender.send_request(request).await.unwrap().into_body();
    let promised = body.size_hint().exact();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    tell.send(()).unwrap();
    let end = match body.frame().await {
        None => "the end",
        Some(Ok(_)) => "another frame",
        Some(Err(_)) => "an error",
    };
    let left = body.size_hint().exact();
    println!(
        "{reason:?}: length {promised:?}, {} bytes, then {end}; exact size hint now {left:?}",
        first.len()
    );
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    for reason in [Reason::NO_ERROR, Reason::CANCEL, Reason::INTERNAL_ERROR] {
        get(None, reason).await;
        get(Some(10), reason).await;
    }
}
RUST

cat >expected <<'TEXT'
NO_ERROR: length None, 5 bytes, then the end; exact size hint now None
NO_ERROR: length Some(10), 5 bytes, then the end; exact size hint now Some(5)
CANCEL: length None, 5 bytes, then an error; exact size hint now None
CANCEL: length Some(10), 5 bytes, then an error; exact size hint now Some(5)
INTERNAL_ERROR: length None, 5 bytes, then an error; exact size hint now None
INTERNAL_ERROR: length Some(10), 5 bytes, then an error; exact size hint now Some(5)
TEXT

cargo build --quiet

echo "Versions:"
rustc --version
crates="hyper hyper-util h2 http-body-util tokio"
awk -v crates=" $crates " '
    { gsub(/"/, "") }
    $1 == "name" { name = $3 }
    $1 == "version" && index(crates, " " name " ") { print name, $3 }
' Cargo.lock

echo "Seen:"
timeout 30 cargo run --quiet | tee seen

if ! diff -u expected seen; then
    echo "The behaviour has changed: expected is -, seen is +." >&2
    exit 1
fi
echo "The behaviour is the one described above."
