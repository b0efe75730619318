#!/usr/bin/env bash
# Finding: hyper's server sends 100 (Continue) over HTTP/1.1, and never over
# HTTP/2.
#
# What is surprising
#   A client asks with "Expect: 100-continue" and waits before it sends its
#   content. Over HTTP/1.1 hyper answers 100 as soon as the handler polls the
#   body. Over HTTP/2 the same service on the same server sends nothing: the
#   handler waits for the body, and the client for the server, until the timer
#   of one of them ends.
#
# Why one would expect otherwise
#   HTTP/2 keeps the exchange: RFC 9113, section 8.1, has interim responses,
#   and RFC 9110, section 10.1.1, makes an immediate 100 or a final status a
#   duty of an origin server that gets the expectation by HTTP/1.1 or later. A service
#   of hyper is written once for both versions, and cannot send a 100 itself.
#
# What it means for whoever writes a gateway
#   A gateway that removes the field towards its upstream, because hyper
#   answers it, is right over HTTP/1.1 alone. Over HTTP/2 it depends on the
#   client, which should not wait for ever; a limit on the silence of uploads
#   has to be longer than the time after which clients go on by themselves.
#
# Versions: hyper 1.12.0, hyper-util 0.1.21; Python h2 4.4.1. Date: 2026-11-29.
set -euo pipefail

work=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2> /dev/null || true; rm -rf "$work"' EXIT
cd "$work"
mkdir src

cat >Cargo.toml <<'TOML'
[package]
name = "hyper-http2-server-never-sends-100-continue"
version = "0.0.0"
edition = "2024"
publish = false

[workspace]

[dependencies]
http-body-util = "=0.1.5"
hyper = { version = "=1.12.0", features = ["http1", "http2", "server"] }
hyper-util = { version = "=0.1.21", features = ["server-auto", "tokio"] }
tokio = { version = "=1.54.1", features = ["macros", "net", "rt"] }
TOML

cat >src/main.rs <<'RUST'
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};

/// Answers with the length of the content.
async fn length(request: Request<Incoming>) -> Result<Response<Full<hyper::body::Bytes>>, hyper::Error> {
    let content = request.into_body().collect().await?.to_bytes();
    Ok(Response::new(content.len().to_string().into()))
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", server.local_addr().unwrap().port());
    loop {
        let (stream, _) = server.accept().await.unwrap();
        tokio::spawn(async move {
            Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service_fn(length))
                .await
        });
    }
}
RUST

cat >ask.py <<'PYTHON'
"""Asks for leave to send, waits for it for at most three seconds, and sends."""

import socket
import sys

import h2.config
import h2.connection
import h2.events

address = ("127.0.0.1", int(sys.argv[1]))
WAIT, PATIENCE = 3, 30


def part(connection, seconds):
    connection.settimeout(seconds)
    try:
        return connection.recv(65536)
    except TimeoutError:
        return None


with socket.create_connection(address) as connection:
    connection.sendall(b"POST / HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n")
    first = part(connection, WAIT)
    connection.sendall(b"order")
    answer = part(connection, PATIENCE)
    print("HTTP/1.1:", first.split(b"\r\n")[0].decode() if first else "nothing", "then", answer.split()[1].decode())

with socket.create_connection(address) as connection:
    state = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
    state.initiate_connection()
    head = [(":method", "POST"), (":scheme", "http"), (":authority", "localhost"), (":path", "/"), ("expect", "100-continue"), ("content-length", "5")]
    state.send_headers(1, head)
    seen = []

    def read(seconds, wanted):
        while wanted not in {type(event) for event in seen} and (data := part(connection, seconds)):
            seen.extend(state.receive_data(data))
            connection.sendall(state.data_to_send())

    connection.sendall(state.data_to_send())
    read(WAIT, h2.events.InformationalResponseReceived)
    interim = [event for event in seen if isinstance(event, (h2.events.InformationalResponseReceived, h2.events.ResponseReceived))]
    state.send_data(1, b"order", end_stream=True)
    connection.sendall(state.data_to_send())
    read(PATIENCE, h2.events.ResponseReceived)
    answer = next(dict(event.headers) for event in seen if isinstance(event, h2.events.ResponseReceived))
    print("HTTP/2:", "a response" if interim else "nothing", "then", answer[":status"])
PYTHON

cat >expected <<'TEXT'
HTTP/1.1: HTTP/1.1 100 Continue then 200
HTTP/2: nothing then 200
TEXT

python3 -m venv python
python/bin/pip install --quiet --disable-pip-version-check h2==4.4.1
cargo build --quiet

echo "Versions:"
rustc --version
crates="hyper hyper-util h2 tokio"
awk -v crates=" $crates " '
    { gsub(/"/, "") }
    $1 == "name" { name = $3 }
    $1 == "version" && index(crates, " " name " ") { print name, $3 }
' Cargo.lock

cargo run --quiet >port &
server=$!
for _ in $(seq 300); do
    [ -s port ] && break
    sleep 0.1
done

echo "Seen:"
timeout 60 python/bin/python ask.py "$(cat port)" | tee seen

if ! diff -u expected seen; then
    echo "The behaviour has changed: expected is -, seen is +." >&2
    exit 1
fi
echo "The behaviour is the one described above."
