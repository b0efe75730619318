#!/usr/bin/env bash
# Finding: the error of hyper-util's SOCKS connector holds its cause and has
# no source().
#
# What is surprising
#   hyper-util has two connectors for proxies that wrap another connector. If
#   the proxy refuses the connection, the error of Tunnel (HTTP CONNECT) leads
#   along source() to the io::Error of kind ConnectionRefused. The error of
#   SocksV5 holds the very same cause, and its source() is None. The io::Error
#   of a SOCKS proxy that closes after the greeting cannot be reached along
#   source() either.
#
# Why one would expect otherwise
#   Both connectors are in one module and wrap the same HttpConnector, and an
#   error that holds another error is expected to return it from source(). The
#   text of the error does not name the cause either: it is "SOCKS error:
#   failed to create underlying connection".
#
# What it means for whoever writes a gateway
#   A refused connection, a failed name lookup and a connect timeout of the
#   proxy all look the same to whoever walks along the chain of sources. The
#   enum has no public name, but the connector's associated type Error is this
#   enum and its variants can be matched, as is done below. Nobody promises
#   that this stays possible, so keep a fallback that says only "could not
#   connect".
#
# Versions: hyper-util 0.1.21. Date: 2026-11-28.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
mkdir src

cat >Cargo.toml <<'TOML'
[package]
name = "hyper-util-socks-error-has-no-source"
version = "0.0.0"
edition = "2024"
publish = false

[workspace]

[dependencies]
http = "=1.5.0"
hyper-util = { version = "=0.1.21", features = ["client-legacy", "client-proxy", "tokio"] }
tokio = { version = "=1.54.1", features = ["io-util", "macros", "net", "rt"] }
tower-service = "=0.3.3"
TOML

cat >src/main.rs <<'RUST'
use std::{error::Error, io, iter};

use http::Uri;
use hyper_util::client::legacy::connect::{
    HttpConnector,
    proxy::{SocksV5, Tunnel},
};
use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpSocket},
};
use tower_service::Service;

/// The enum has no public name, but the connector's error type can be asked for.
type SocksError = <SocksV5<HttpConnector> as Service<Uri>>::Error;

/// The kind of the first `io::Error` in a chain of sources.
fn kind(error: &(dyn Error + 'static)) -> Option<io::ErrorKind> {
    iter::successors(Some(error), |e| (*e).source())
        .find_map(|e| e.downcast_ref::<io::Error>())
        .map(io::Error::kind)
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let destination = Uri::from_static("http://upstream.invalid:80/");

    // A bound socket that does not listen: connections to it are refused.
    let refusing = TcpSocket::new_v4().unwrap();
    refusing.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = refusing.local_addr().unwrap();

    let proxy: Uri = format!("http://{address}").parse().unwrap();
    let mut tunnel = Tunnel::new(proxy, HttpConnector::new());
    let Err(error) = tunnel.call(destination.clone()).await else {
        panic!("connected")
    };
    println!(
        "HTTP proxy that refuses: io::Error in the chain = {:?}",
        kind(&error)
    );

    let proxy: Uri = format!("socks5://{address}").parse().unwrap();
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    let mut socks = SocksV5::new(proxy, connector.clone());
    let Err(error) = socks.call(destination.clone()).await else {
        panic!("connected")
    };
    println!("SOCKS proxy that refuses: text = {:?}", error.to_string());
    println!(
        "SOCKS proxy that refuses: source() is None = {}",
        error.source().is_none()
    );
    let SocksError::Inner(inner) = error else {
        panic!("another variant: {error:?}")
    };
    println!(
        "SOCKS proxy that refuses: io::Error inside the variant = {:?}",
        kind(&inner)
    );

    let closing = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy: Uri = format!("socks5://{}", closing.local_addr().unwrap())
        .parse()
        .unwrap();
    let mut socks = SocksV5::new(proxy, connector);
    let call = socks.call(destination);
    let close = async {
        let (mut stream, _) = closing.accept().await.unwrap();
        let mut greeting = [0; 3];
        stream.read_exact(&mut greeting).await.unwrap();
    };
    let (result, ()) = tokio::join!(call, close);
    let Err(error) = result else {
        panic!("connected")
    };
    println!(
        "SOCKS proxy that closes: source() is None = {}",
        error.source().is_none()
    );
    let SocksError::Io(inner) = error else {
        panic!("another variant: {error:?}")
    };
    println!(
        "SOCKS proxy that closes: io::Error inside the variant = {:?}",
        kind(&inner)
    );
}
RUST

cat >expected <<'TEXT'
HTTP proxy that refuses: io::Error in the chain = Some(ConnectionRefused)
SOCKS proxy that refuses: text = "SOCKS error: failed to create underlying connection"
SOCKS proxy that refuses: source() is None = true
SOCKS proxy that refuses: io::Error inside the variant = Some(ConnectionRefused)
SOCKS proxy that closes: source() is None = true
SOCKS proxy that closes: io::Error inside the variant = Some(UnexpectedEof)
TEXT

cargo build --quiet

echo "Versions:"
rustc --version
crates="hyper-util http tokio tower-service"
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
