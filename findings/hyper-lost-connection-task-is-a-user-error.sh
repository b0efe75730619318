#!/usr/bin/env bash
# Finding: hyper calls a lost connection task a user error, even for a GET
# without a body.
#
# What is surprising
#   With hyper's HTTP/1 client, one task drives the connection and another one
#   sends a GET without a body. If the driving task ends while the answer is
#   awaited, send_request() fails with an error whose is_user() is true, and
#   neither is_canceled() nor is_closed() is. If the same task ends a moment
#   earlier, before the request is handed over, the error is is_canceled() and
#   not is_user().
#
# Why one would expect otherwise
#   The examples that the documentation of is_user() gives are a service that
#   returns an error, a body that yields an error and an unexpected combination
#   of fields. The caller of send_request() did none of these: the request is
#   valid and has no body. The same event one step earlier is "canceled", so
#   one expects "canceled" or "closed" here too.
#
# What it means for whoever writes a gateway
#   In a gateway the body of the request comes from the gateway's own client,
#   so is_user() looks like a good sign that this client is to blame, and like
#   a reason to answer 400. It is not: a connection task also ends when its
#   runtime shuts down or when it is aborted. Ask first whether the request had
#   a body at all, and do not blame the client when it had none.
#
# Versions: hyper 1.12.0, hyper-util 0.1.21. Date: 2026-11-28.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
mkdir src

cat >Cargo.toml <<'TOML'
[package]
name = "hyper-lost-connection-task-is-a-user-error"
version = "0.0.0"
edition = "2024"
publish = false

[workspace]

[dependencies]
http-body-util = "=0.1.5"
hyper = { version = "=1.12.0", features = ["client", "http1"] }
hyper-util = { version = "=0.1.21", features = ["tokio"] }
tokio = { version = "=1.54.1", features = ["io-util", "macros", "net", "rt"] }
TOML

cat >src/main.rs <<'RUST'
use http_body_util::Empty;
use hyper::{Error, Request, body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream},
};

fn show(when: &str, error: &Error) {
    let predicates = [
        ("is_user", error.is_user()),
        ("is_canceled", error.is_canceled()),
        ("is_closed", error.is_closed()),
        ("is_incomplete_message", error.is_incomplete_message()),
    ];
    let holding: Vec<_> = predicates
        .iter()
        .filter(|(_, holds)| *holds)
        .map(|(n, _)| *n)
        .collect();
    println!("{when}: true of the error: {}", holding.join(", "));
}

fn get() -> Request<Empty<Bytes>> {
    Request::get("/")
        .header("host", "localhost")
        .body(Empty::new())
        .unwrap()
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr().unwrap();

    // The task that drives the connection ends before the request is given to it.
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    let _peer = server.accept().await.unwrap();
    drop(connection);
    show(
        "task gone before the GET",
        &sender.send_request(get()).await.unwrap_err(),
    );

    // The same, once the server has the whole request.
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    let driver = tokio::spawn(connection);
    let call = tokio::spawn(async move { sender.send_request(get()).await });
    let (mut peer, _) = server.accept().await.unwrap();
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(peer.read_u8().await.unwrap());
    }
    driver.abort();
    show(
        "task gone during the GET",
        &call.await.unwrap().unwrap_err(),
    );

    // For comparison: the server closes the connection at the same point.
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let call = tokio::spawn(async move { sender.send_request(get()).await });
    let (mut peer, _) = server.accept().await.unwrap();
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(peer.read_u8().await.unwrap());
    }
    drop(peer);
    show(
        "server closes during the GET",
        &call.await.unwrap().unwrap_err(),
    );
}
RUST

cat >expected <<'TEXT'
task gone before the GET: true of the error: is_canceled
task gone during the GET: true of the error: is_user
server closes during the GET: true of the error: is_incomplete_message
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
