#!/usr/bin/env bash
# Finding: tower's concurrency limits count a call until its response head. The
# bodies that are being sent are in no limit.
#
# What is surprising
#   Of a service with ConcurrencyLimitLayer::new(2), or with
#   GlobalConcurrencyLimitLayer::new(2), two calls wait for their heads at once,
#   and a third waits for a place. Once the heads are there both places are free
#   again, whatever becomes of the bodies: ten downloads, none of which has
#   ended, run under a limit of two. load_shed around it turns nobody away.
#
# Why one would expect otherwise
#   The limit is described as one on the number of requests in flight, and a
#   request whose response is still being sent is in flight by any other count:
#   that of hyper's connections, of HAProxy's maxconn, of nginx's limit_conn.
#   Only the type tells it: the place is kept by the future of the response, and
#   that is ready with the head.
#
# What it means for whoever limits an upstream or a server
#   For short answers it is the same. For downloads, event streams and gRPC
#   streams the limit is on how many begin at once, and memory, descriptors and
#   connections are bounded by nothing. Limit connections, or keep a permit of a
#   Semaphore in the body. A limit that counts bodies is proposed to tower-http
#   (pull request 447).
#
# Versions: tower 0.5.3, http-body-util 0.1.5. Date: 2026-11-29.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
mkdir src

cat >Cargo.toml <<'TOML'
[package]
name = "tower-concurrency-limit-counts-no-bodies"
version = "0.0.0"
edition = "2024"
publish = false

[workspace]

[dependencies]
bytes = "=1.12.1"
http = "=1.5.0"
http-body-util = { version = "=0.1.5", features = ["channel"] }
tokio = { version = "=1.54.1", features = ["macros", "rt", "test-util", "time"] }
tower = { version = "=0.5.3", features = ["limit", "load-shed", "util"] }
TOML

cat >src/main.rs <<'RUST'
use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::channel::Channel;
use tower::{Service, ServiceBuilder, ServiceExt, limit::GlobalConcurrencyLimitLayer, service_fn};

const LIMIT: usize = 2;

// A response whose body has not ended as long as its sender lives.
async fn download(_: Request<()>) -> Result<Response<Channel<Bytes, Infallible>>, Infallible> {
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (sender, body) = Channel::new(1);
    std::mem::forget(sender);
    Ok(Response::new(body))
}

async fn heads_at_once<S>(service: S) -> usize
where
    S: Service<Request<()>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    S::Response: Send,
{
    for _ in 0..10 {
        let call = service.clone().oneshot(Request::new(()));
        tokio::spawn(async move { std::mem::forget(call.await) });
    }
    tokio::time::sleep(Duration::from_millis(1500)).await;
    // In the first second the places were taken; their bodies are unfinished now.
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

async fn unfinished_bodies<S, B>(service: S) -> usize
where
    S: Service<Request<()>, Response = Response<B>> + Clone,
    S::Error: std::fmt::Debug,
{
    let mut bodies = Vec::new();
    while bodies.len() < 10 {
        // One after the other, so that no more than one head is waited for.
        match service.clone().oneshot(Request::new(())).await {
            Ok(response) => bodies.push(response.into_body()),
            Err(error) => panic!("turned away with {} bodies: {error:?}", bodies.len()),
        }
    }
    bodies.len()
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() {
    let limited = ServiceBuilder::new().concurrency_limit(LIMIT).service(service_fn(download));
    let global = ServiceBuilder::new().layer(GlobalConcurrencyLimitLayer::new(LIMIT)).service(service_fn(download));
    let shedding = ServiceBuilder::new().load_shed().concurrency_limit(LIMIT).service(service_fn(download));

    println!("ConcurrencyLimit of {LIMIT}: {} bodies at once", unfinished_bodies(limited.clone()).await);
    println!("GlobalConcurrencyLimit of {LIMIT}: {} bodies at once", unfinished_bodies(global).await);
    println!("LoadShed and ConcurrencyLimit of {LIMIT}: {} bodies at once, none turned away", unfinished_bodies(shedding).await);
    println!("ConcurrencyLimit of {LIMIT}, ten calls at once: {} still wait after 1.5 s", heads_at_once(limited).await);
}
RUST

cat >expected <<'TEXT'
ConcurrencyLimit of 2: 10 bodies at once
GlobalConcurrencyLimit of 2: 10 bodies at once
LoadShed and ConcurrencyLimit of 2: 10 bodies at once, none turned away
ConcurrencyLimit of 2, ten calls at once: 8 still wait after 1.5 s
TEXT

cargo build --quiet

echo "Versions:"
rustc --version
crates="tower tokio http http-body-util"
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
