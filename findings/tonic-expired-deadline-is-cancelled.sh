#!/usr/bin/env bash
# Finding: tonic's client reports its own expired deadline as Cancelled.
#
# What is surprising
#   A server accepts the connection and never answers. When the limit of
#   Endpoint::timeout is over, the client's Status has the code Cancelled. The
#   same happens with Request::set_timeout, which sends the deadline of gRPC to
#   the server in the field grpc-timeout.
#
# Why one would expect otherwise
#   gRPC has the code DEADLINE_EXCEEDED for this. Its table of the codes that
#   libraries generate gives DEADLINE_EXCEEDED for "No response received before
#   Deadline expires", at the client as well as at the server, and CANCELLED
#   for a call that the application cancelled. tonic's own enum describes
#   DeadlineExceeded as "Deadline expired before operation could complete".
#
# What it means for whoever writes a gateway
#   The code alone makes a slow upstream look like a caller who went away. Such
#   calls are not counted as timeouts, and monitoring that leaves cancelled
#   calls out of the error rate does not see them at all.
#   Look for tonic::TimeoutExpired in the chain of sources before the code is
#   read, and answer 504 or DEADLINE_EXCEEDED when it is there.
#
# Versions: tonic 0.14.9, tonic-health 0.14.9 (for a ready-made client).
# Date: 2026-11-28.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
mkdir src

cat >Cargo.toml <<'TOML'
[package]
name = "tonic-expired-deadline-is-cancelled"
version = "0.0.0"
edition = "2024"
publish = false

[workspace]

[dependencies]
tokio = { version = "=1.54.1", features = ["macros", "rt"] }
tonic = { version = "=0.14.9", default-features = false, features = ["channel"] }
tonic-health = { version = "=0.14.9", default-features = false }
# Pinned because the behaviour comes from them; not used by name.
hyper = "=1.12.0"
hyper-util = "=0.1.21"
TOML

cat >src/main.rs <<'RUST'
use std::{error::Error, iter, net::TcpListener, time::Duration};

use tonic::{Request, Status, TimeoutExpired, transport::Endpoint};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

fn show(limit: &str, status: &Status) {
    let expired = iter::successors(Some(status as &(dyn Error + 'static)), |e| (*e).source())
        .any(|e| e.is::<TimeoutExpired>());
    println!("{limit}: code = {:?}", status.code());
    println!("{limit}: message = {:?}", status.message());
    println!("{limit}: TimeoutExpired is in the source chain = {expired}");
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    // The kernel completes the connection, and nobody ever answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let short = Duration::from_millis(300);

    let endpoint = Endpoint::from_shared(url).unwrap();
    let channel = endpoint.clone().timeout(short).connect_lazy();
    let request = Request::new(HealthCheckRequest::default());
    let status = HealthClient::new(channel).check(request).await.unwrap_err();
    show("Endpoint::timeout", &status);

    let mut request = Request::new(HealthCheckRequest::default());
    request.set_timeout(short);
    let channel = endpoint.connect_lazy();
    let status = HealthClient::new(channel).check(request).await.unwrap_err();
    show("Request::set_timeout", &status);
}
RUST

cat >expected <<'TEXT'
Endpoint::timeout: code = Cancelled
Endpoint::timeout: message = "Timeout expired"
Endpoint::timeout: TimeoutExpired is in the source chain = true
Request::set_timeout: code = Cancelled
Request::set_timeout: message = "Timeout expired"
Request::set_timeout: TimeoutExpired is in the source chain = true
TEXT

cargo build --quiet

echo "Versions:"
rustc --version
crates="tonic tonic-health hyper hyper-util tokio"
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
