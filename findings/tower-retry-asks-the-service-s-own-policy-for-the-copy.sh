#!/usr/bin/env bash
# Finding: tower's Retry asks the service's own policy for the first copy of a
# request, and only the call's own policy for all that follows.
#
# What is surprising
#   A policy allows each call two repeats and counts them down. If it counts in
#   retry(), each of four calls is sent three times, as intended. If it counts
#   in clone_request(), where it hands out the copies, the four calls are sent
#   three times, twice, once and once: the count of one call is taken from all
#   the later ones, until nothing is repeated any more. Each call's first copy
#   is taken before the policy is cloned for the call, so that clone_request()
#   changes the policy inside the service, for good.
#
# Why one would expect otherwise
#   The documentation of Retry says that the policy is cloned for each request
#   session, and that any state stored in it is for that session only. It names
#   no exception for one of the two methods, and both of them get &mut self.
#
# What it means for whoever writes a retry
#   Keep clone_request() free of state and count in retry(). A test that calls
#   service.clone().oneshot(...) does not show the mistake, because each clone
#   begins with an untouched policy. It appears where one instance serves many
#   calls, as a worker of Buffer does, and then as repeats that stop after a
#   while, without an error.
#
# Versions: tower 0.5.3. Date: 2026-11-29.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
mkdir src

cat >Cargo.toml <<'TOML'
[package]
name = "tower-retry-asks-the-service-s-own-policy-for-the-copy"
version = "0.0.0"
edition = "2024"
publish = false

[workspace]

[dependencies]
tokio = { version = "=1.54.1", features = ["macros", "rt"] }
tower = { version = "=0.5.3", features = ["buffer", "retry", "util"] }
TOML

cat >src/main.rs <<'RUST'
use std::{
    future::{Ready, ready},
    io,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use tower::{
    Service, ServiceExt,
    buffer::Buffer,
    retry::{Policy, Retry},
    service_fn,
};

type Answer = io::Result<()>;

/// Two repeats, counted down where the policy is asked whether to repeat.
#[derive(Clone)]
struct CountsInRetry(u32);

impl Policy<(), (), io::Error> for CountsInRetry {
    type Future = Ready<()>;

    fn retry(&mut self, (): &mut (), answer: &mut Answer) -> Option<Ready<()>> {
        if answer.is_ok() {
            return None;
        }
        self.0 = self.0.checked_sub(1)?;
        Some(ready(()))
    }

    fn clone_request(&mut self, (): &()) -> Option<()> {
        Some(())
    }
}

/// The same, but counted down where the policy is asked for a copy.
#[derive(Clone)]
struct CountsInCloneRequest(u32);

impl Policy<(), (), io::Error> for CountsInCloneRequest {
    type Future = Ready<()>;

    fn retry(&mut self, (): &mut (), answer: &mut Answer) -> Option<Ready<()>> {
        answer.is_err().then(|| ready(()))
    }

    fn clone_request(&mut self, (): &()) -> Option<()> {
        self.0 = self.0.checked_sub(1)?;
        Some(())
    }
}

/// Makes four calls in turn to an upstream that always fails, and shows how
/// often each was sent: by a clone for each call, by one instance, and by a
/// Buffer.
async fn show<P>(name: &str, policy: P)
where
    P: Policy<(), (), io::Error, Future = Ready<()>> + Clone + Send + 'static,
{
    let sent = Arc::new(AtomicU32::new(0));
    let counter = sent.clone();
    let upstream = service_fn(move |()| {
        counter.fetch_add(1, Ordering::Relaxed);
        ready(Answer::Err(io::ErrorKind::ConnectionRefused.into()))
    });

    let untouched = Retry::new(policy, upstream);
    let mut seen = Vec::new();
    for _ in 0..4 {
        untouched.clone().oneshot(()).await.unwrap_err();
        seen.push(sent.swap(0, Ordering::Relaxed));
    }
    println!("{name}, a clone for each call: sent {seen:?} times");

    let mut one = untouched.clone();
    let mut seen = Vec::new();
    for _ in 0..4 {
        one.ready().await.unwrap().call(()).await.unwrap_err();
        seen.push(sent.swap(0, Ordering::Relaxed));
    }
    println!("{name}, one instance: sent {seen:?} times");

    let buffer = Buffer::new(untouched, 1);
    let mut seen = Vec::new();
    for _ in 0..4 {
        buffer.clone().oneshot(()).await.unwrap_err();
        seen.push(sent.swap(0, Ordering::Relaxed));
    }
    println!("{name}, a clone of a Buffer for each call: sent {seen:?} times");
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    show("counted in retry()", CountsInRetry(2)).await;
    show("counted in clone_request()", CountsInCloneRequest(2)).await;
}
RUST

cat >expected <<'TEXT'
counted in retry(), a clone for each call: sent [3, 3, 3, 3] times
counted in retry(), one instance: sent [3, 3, 3, 3] times
counted in retry(), a clone of a Buffer for each call: sent [3, 3, 3, 3] times
counted in clone_request(), a clone for each call: sent [3, 3, 3, 3] times
counted in clone_request(), one instance: sent [3, 2, 1, 1] times
counted in clone_request(), a clone of a Buffer for each call: sent [3, 2, 1, 1] times
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
