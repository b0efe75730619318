#!/usr/bin/env bash
# Finding: reqwest's is_connect() can be true although the request was
# received and answered.
#
# What is surprising
#   A POST is received whole and answered with 303. The URL in the location
#   field belongs to a port that refuses connections. The error answers
#   is_connect() with true, is_redirect() with false and status() with None.
#   Its url() is the URL of the POST, where the connection succeeded, and not
#   the URL that could not be reached.
#
# Why one would expect otherwise
#   "Could not connect" usually means that nothing was sent, and retry policies
#   treat such errors as safe to repeat for any method. A failure on the way
#   along a redirect could be expected to be is_redirect(), or at least to name
#   the URL that failed.
#
# What it means for whoever writes a gateway
#   is_connect() speaks of the last hop only. While the client follows
#   redirects it does not show that nothing was sent, and repeating the request
#   can place the same order twice. url() does not help to tell the two cases
#   apart. Switch redirects off in a gateway, which should pass them to its own
#   client anyway, or do not treat is_connect() as "safe to repeat".
#
# Versions: reqwest 0.13.5, hyper-util 0.1.21. Date: 2026-11-28.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
mkdir src

cat >Cargo.toml <<'TOML'
[package]
name = "reqwest-connect-error-after-a-delivered-post"
version = "0.0.0"
edition = "2024"
publish = false

[workspace]

[dependencies]
reqwest = { version = "=0.13.5", default-features = false }
tokio = { version = "=1.54.1", features = ["macros", "net", "rt"] }
# Pinned because the behaviour comes from them; not used by name.
hyper = "=1.12.0"
hyper-util = "=0.1.21"
TOML

cat >src/main.rs <<'RUST'
use std::{
    io::{Read, Write},
    net::TcpListener,
    thread,
};

use tokio::net::TcpSocket;

const ORDER: &str = "one bicycle";

#[tokio::main(flavor = "current_thread")]
async fn main() {
    // A bound socket that does not listen: connections to it are refused.
    let refusing = TcpSocket::new_v4().unwrap();
    refusing.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let receipt = format!("http://{}/receipt", refusing.local_addr().unwrap());

    let shop = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/orders", shop.local_addr().unwrap());
    let location = receipt.clone();
    let shop = thread::spawn(move || {
        let (mut stream, _) = shop.accept().unwrap();
        let mut request = Vec::new();
        while !request.ends_with(ORDER.as_bytes()) {
            let mut part = [0; 1024];
            let length = stream.read(&mut part).unwrap();
            assert_ne!(length, 0, "the request is not complete");
            request.extend_from_slice(&part[..length]);
        }
        let answer =
            format!("HTTP/1.1 303 See Other\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
        stream.write_all(answer.as_bytes()).unwrap();
        String::from_utf8(request).unwrap()
    });

    let client = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::limited(5))
        .build()
        .unwrap();
    let error = client.post(&url).body(ORDER).send().await.unwrap_err();
    let request = shop.join().unwrap();

    println!(
        "first line the shop received: {}",
        request.lines().next().unwrap()
    );
    println!(
        "body the shop received: {}",
        request.rsplit("\r\n").next().unwrap()
    );
    println!("is_connect() = {}", error.is_connect());
    println!("is_redirect() = {}", error.is_redirect());
    println!("status() = {:?}", error.status());
    let named = error.url().unwrap().as_str();
    println!("url() is the URL of the request: {}", named == url);
    println!("url() is the URL in location: {}", named == receipt);
}
RUST

cat >expected <<'TEXT'
first line the shop received: POST /orders HTTP/1.1
body the shop received: one bicycle
is_connect() = true
is_redirect() = false
status() = None
url() is the URL of the request: true
url() is the URL in location: false
TEXT

cargo build --quiet

echo "Versions:"
rustc --version
crates="reqwest hyper hyper-util tokio"
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
