#!/usr/bin/env bash
# Finding: tower's Balance drops failed endpoints without an error and is then
# pending for ever.
#
# What is surprising
#   Three endpoints answer poll_ready() with an error, and a Balance chooses
#   among them. Balance::poll_ready() returns no error. It removes the
#   endpoints (the errors appear in a debug line of tracing only) and stays
#   pending. The list of endpoints is fixed here and its stream has ended, so
#   no endpoint can ever be added and nothing is left that could wake the
#   caller.
#
# Why one would expect otherwise
#   Service::poll_ready() can return an error, and the other wrappers of the
#   crate do so: a Buffer around the same endpoint fails at once with its
#   error. Balance does return an error if the discovery fails. With no
#   endpoint left and none to come, an error would be the only useful answer.
#
# What it means for whoever writes a gateway
#   A balancer whose endpoints are all down looks like one that is busy, and
#   the request waits without a limit: a timeout around call() does not count
#   while poll_ready() is pending. Put a limit of its own around the wait for
#   readiness and answer 503 when it is over. The cause cannot be told any
#   more at that point.
#
# Versions: tower 0.5.3. Date: 2026-11-28.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
mkdir src

cat >Cargo.toml <<'TOML'
[package]
name = "tower-balance-with-failed-endpoints-waits-for-ever"
version = "0.0.0"
edition = "2024"
publish = false

[workspace]

[dependencies]
tokio = { version = "=1.54.1", features = ["macros", "rt", "time"] }
tower = { version = "=0.5.3", features = ["balance", "buffer", "discover", "load", "util"] }
TOML

cat >src/main.rs <<'RUST'
use std::{
    future::{Ready, ready},
    io,
    task::{Context, Poll},
    time::Duration,
};

use tower::{
    Service, ServiceExt, balance::p2c::Balance, buffer::Buffer, discover::ServiceList,
    load::Constant,
};

/// An endpoint that has failed for good and says so.
struct Failed;

impl Service<()> for Failed {
    type Response = ();
    type Error = io::Error;
    type Future = Ready<io::Result<()>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Err(io::ErrorKind::ConnectionRefused.into()))
    }

    fn call(&mut self, (): ()) -> Self::Future {
        ready(Ok(()))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let alone = Failed.oneshot(()).await;
    println!(
        "one endpoint: {}",
        if alone.is_err() {
            "an error"
        } else {
            "an answer"
        }
    );

    let buffered = Buffer::new(Failed, 1).oneshot(()).await;
    println!(
        "one endpoint in a Buffer: {}",
        if buffered.is_err() {
            "an error"
        } else {
            "an answer"
        }
    );

    // The list is fixed: no endpoint can be added to it later.
    let list = ServiceList::new((0..3).map(|_| Constant::new(Failed, 0)));
    let mut balance = Balance::new(list);
    let waited = tokio::time::timeout(Duration::from_millis(300), balance.ready()).await;
    let outcome = match waited {
        Err(_) => "still pending after 300 ms",
        Ok(Err(_)) => "an error",
        Ok(Ok(_)) => "ready",
    };
    println!("three endpoints in a Balance: {outcome}");
    println!("endpoints left in the Balance: {}", balance.len());
}
RUST

cat >expected <<'TEXT'
one endpoint: an error
one endpoint in a Buffer: an error
three endpoints in a Balance: still pending after 300 ms
endpoints left in the Balance: 0
TEXT

cargo build --quiet

echo "Versions:"
rustc --version
crates="tower tokio"
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
