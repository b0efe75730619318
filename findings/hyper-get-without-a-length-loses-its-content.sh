#!/usr/bin/env bash
# Finding: hyper's HTTP/1 client sends a GET without its content when the
# length is not known, and says nothing.
#
# What is surprising
#   A request with a body whose length is unknown is sent in chunks, if its
#   method is POST or DELETE. If it is GET or HEAD, hyper leaves the body out:
#   nothing of it is sent, no field of the framing is written, no error
#   comes, and the answer looks like any other. With a body of known length,
#   or with the field "Transfer-Encoding: chunked" set by hand, the same GET is
#   sent whole.
#
# Why one would expect otherwise
#   The caller has given the request a body, and a client that cannot send it
#   could return an error. Nothing in the documentation of send_request() or
#   of the client builder says that the method decides. RFC 9112, section 6.3,
#   knows no method whose content is to be ignored by its framing, and
#   RFC 9110, section 9.3.1, allows content in a GET by agreement.
#
# What it means for whoever writes a gateway
#   The body of a request that came in chunks, or over HTTP/2 without a length,
#   has no known length. So a search that is asked by GET with content reaches
#   the upstream as another question, and its answer is a 200. Set
#   "Transfer-Encoding: chunked" towards HTTP/1.1 where such a request has
#   content, after the fields of the connection were removed.
#
# Versions: hyper 1.12.0, hyper-util 0.1.21. Date: 2026-11-29.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
mkdir src

cat >Cargo.toml <<'TOML'
[package]
name = "hyper-get-without-a-length-loses-its-content"
version = "0.0.0"
edition = "2024"
publish = false

[workspace]

[dependencies]
bytes = "=1.12.1"
futures-util = { version = "=0.3.33", default-features = false }
http-body-util = "=0.1.5"
hyper = { version = "=1.12.0", features = ["client", "http1"] }
hyper-util = { version = "=0.1.21", features = ["tokio"] }
tokio = { version = "=1.54.1", features = ["io-util", "macros", "net", "rt"] }
TOML

cat >src/main.rs <<'RUST'
use std::{convert::Infallible, pin::pin};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::{Request, body::Frame, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

const CONTENT: Bytes = Bytes::from_static(b"query");

fn of_unknown_length() -> BoxBody<Bytes, Infallible> {
    StreamBody::new(stream::iter([Ok(Frame::data(CONTENT))])).boxed()
}

/// Sends one request to a server that answers it, then reads to the end: the content, without chunks.
async fn sent(request: Request<BoxBody<Bytes, Infallible>>) -> String {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stream = TcpStream::connect(server.local_addr().unwrap())
        .await
        .unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    let (mut peer, _) = server.accept().await.unwrap();
    let serve = async {
        let mut seen = Vec::new();
        while !seen.windows(4).any(|four| four == b"\r\n\r\n") {
            seen.push(peer.read_u8().await.unwrap());
        }
        peer.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            .await
            .unwrap();
        // Until the client closes: what it has to send comes before that.
        peer.read_to_end(&mut seen).await.unwrap();
        String::from_utf8(seen).unwrap()
    };
    let call = async move {
        let status = sender.send_request(request).await.unwrap().status();
        drop(sender);
        status
    };
    let (status, seen, _) = tokio::join!(call, serve, async { pin!(connection).await });
    let framing = ["content-length", "transfer-encoding"].map(|name| seen.contains(name));
    let framing = match framing {
        [true, _] => "a length",
        [_, true] => "chunks",
        _ => "no framing",
    };
    let content = if seen.contains("query") { "its content" } else { "no content" };
    format!("{}, sent with {framing} and {content}", status.as_u16())
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    for method in ["POST", "DELETE", "GET", "HEAD"] {
        let request = Request::builder().method(method).uri("/").header("host", "localhost");
        println!("{method}, unknown length: {}", sent(request.body(of_unknown_length()).unwrap()).await);
    }
    let request = Request::get("/").header("host", "localhost");
    println!("GET, known length: {}", sent(request.body(Full::new(CONTENT).boxed()).unwrap()).await);
    let request = Request::get("/").header("host", "localhost").header("transfer-encoding", "chunked");
    println!("GET, unknown length and the field: {}", sent(request.body(of_unknown_length()).unwrap()).await);
}
RUST

cat >expected <<'TEXT'
POST, unknown length: 200, sent with chunks and its content
DELETE, unknown length: 200, sent with chunks and its content
GET, unknown length: 200, sent with no framing and no content
HEAD, unknown length: 200, sent with no framing and no content
GET, known length: 200, sent with a length and its content
GET, unknown length and the field: 200, sent with chunks and its content
TEXT

cargo build --quiet

echo "Versions:"
rustc --version
crates="hyper hyper-util http-body-util tokio"
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
