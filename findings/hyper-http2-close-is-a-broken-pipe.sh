#!/usr/bin/env bash
# Finding: hyper's HTTP/2 client reports a server that closes as a broken pipe,
# outside of the chain of sources.
#
# What is surprising
#   A server sends five of ten bytes and closes its sending side. The client
#   only reads at that time. With HTTP/1.1 the error of the body leads along
#   source() to an io::Error of kind UnexpectedEof. With HTTP/2 it leads to an
#   h2::Error without a source; the io::Error can only be reached with
#   h2::Error::get_io(), and its kind is BrokenPipe.
#
# Why one would expect otherwise
#   The event is the same: the end of the input came too early, and hyper is
#   meant to hide the version. BrokenPipe is the error of a write to a peer
#   that does not read any more, and here the peer still reads and the client
#   has nothing to write.
#
# What it means for whoever writes a gateway
#   A search for an io::Error along source() finds nothing for HTTP/2, so it
#   has to ask every h2::Error for get_io(). The kind does not show which side
#   was sending: BrokenPipe must not be read as "our upload was refused" while
#   a body is being received. The same upstream fault needs the same verdict
#   for both kinds.
#
# Versions: hyper 1.12.0, h2 0.4.20. Date: 2026-11-28.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
mkdir src

cat >Cargo.toml <<'TOML'
[package]
name = "hyper-http2-close-is-a-broken-pipe"
version = "0.0.0"
edition = "2024"
publish = false

[workspace]

[dependencies]
bytes = "=1.12.1"
h2 = "=0.4.20"
http = "=1.5.0"
http-body-util = "=0.1.5"
hyper = { version = "=1.12.0", features = ["client", "http1", "http2"] }
hyper-util = { version = "=0.1.21", features = ["tokio"] }
tokio = { version = "=1.54.1", features = ["io-util", "macros", "net", "rt", "sync"] }
TOML

cat >src/main.rs <<'RUST'
use std::{error::Error, io, iter, net::Shutdown};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::{body::Incoming, client::conn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// The client's end, the server's end, and a handle that closes the server's sending side.
async fn connect() -> (TokioIo<TcpStream>, TcpStream, std::net::TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let server = listener.accept().await.unwrap().0.into_std().unwrap();
    let close = server.try_clone().unwrap();
    (
        TokioIo::new(client),
        TcpStream::from_std(server).unwrap(),
        close,
    )
}

fn get() -> Request<Empty<Bytes>> {
    Request::get("http://localhost/")
        .header("host", "localhost")
        .body(Empty::new())
        .unwrap()
}

async fn serve_http1(mut server: TcpStream) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(server.read_u8().await.unwrap());
    }
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello";
    server.write_all(answer).await.unwrap();
    std::future::pending().await
}

async fn serve_http2(server: TcpStream) {
    let mut connection = h2::server::handshake(server).await.unwrap();
    let (_request, mut respond) = connection.accept().await.unwrap().unwrap();
    let head = Response::builder()
        .header("content-length", 10)
        .body(())
        .unwrap();
    let mut body = respond.send_response(head, false).unwrap();
    body.send_data(Bytes::from_static(b"hello"), false).unwrap();
    while connection.accept().await.is_some() {}
    std::future::pending().await
}

/// Reads five of ten bytes, lets the server close its sending side, and shows the error.
async fn show(version: &str, mut body: Incoming, close: std::net::TcpStream) {
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(first, "hello");
    close.shutdown(Shutdown::Write).unwrap();
    let error = body.frame().await.unwrap().unwrap_err();
    let links = || iter::successors(Some(&error as &(dyn Error + 'static)), |e| (*e).source());
    let direct = links()
        .find_map(|e| e.downcast_ref::<io::Error>())
        .map(io::Error::kind);
    let inner = links()
        .find_map(|e| e.downcast_ref::<h2::Error>())
        .and_then(h2::Error::get_io)
        .map(io::Error::kind);
    println!("{version}: io::Error in the source chain = {direct:?}");
    println!("{version}: io::Error inside h2::Error = {inner:?}");
    println!(
        "{version}: is_incomplete_message() = {}",
        error.is_incomplete_message()
    );
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let (client, server, close) = connect().await;
    tokio::spawn(serve_http1(server));
    let (mut sender, connection) = conn::http1::handshake(client).await.unwrap();
    tokio::spawn(connection);
    let answer = sender.send_request(get()).await.unwrap();
    show("HTTP/1.1", answer.into_body(), close).await;

    let (client, server, close) = connect().await;
    tokio::spawn(serve_http2(server));
    let executor = TokioExecutor::new();
    let (mut sender, connection) = conn::http2::handshake(executor, client).await.unwrap();
    tokio::spawn(connection);
    let answer = sender.send_request(get()).await.unwrap();
    show("HTTP/2", answer.into_body(), close).await;
}
RUST

cat >expected <<'TEXT'
HTTP/1.1: io::Error in the source chain = Some(UnexpectedEof)
HTTP/1.1: io::Error inside h2::Error = None
HTTP/1.1: is_incomplete_message() = false
HTTP/2: io::Error in the source chain = None
HTTP/2: io::Error inside h2::Error = Some(BrokenPipe)
HTTP/2: is_incomplete_message() = false
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
