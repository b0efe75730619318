#!/usr/bin/env bash
# Finding: tokio's Sleep::is_elapsed() does not say whether the time is over. It
# is true an hour early when the runtime of the Sleep has ended, and false long
# after the deadline if the Sleep was never polled.
#
# What is surprising
#   A Sleep of one hour is polled once, and its runtime is dropped: a moment
#   later is_elapsed() is true. To poll that Sleep again, in a runtime that
#   lives, is a panic. The other way round, a Sleep of one millisecond that
#   nobody has polled is not elapsed after fifty, as if it had all its time.
#   What is_elapsed() tells is whether the Sleep is still in the timer of its
#   runtime: one that ends takes all of them out, and the first poll puts them
#   in.
#
# Why one would expect otherwise
#   The documentation says that a Sleep is elapsed when the requested duration
#   has elapsed. The deadline stands in the Sleep and the clock is at hand, so
#   one expects the two to be compared.
#
# What it means for whoever keeps a Sleep
#   Who moves a future, a body or a pool of timers between runtimes must not
#   take is_elapsed() for a time limit that is over: compare deadline() with the
#   clock, and make a new Sleep instead of polling one that ran out early. The
#   other half is a help there: of a Sleep that was polled, is_elapsed() tells
#   that its runtime has ended, where the clock says that it cannot be over.
#
# Versions: tokio 1.54.1. Date: 2026-11-29.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
mkdir src

cat >Cargo.toml <<'TOML'
[package]
name = "tokio-sleep-is-elapsed-when-its-runtime-ends"
version = "0.0.0"
edition = "2024"
publish = false

[workspace]

[dependencies]
tokio = { version = "=1.54.1", features = ["rt", "time"] }
TOML

cat >src/main.rs <<'RUST'
use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind, set_hook},
    pin::Pin,
    process::ExitCode,
    task::{Context, Waker},
    thread,
    time::Duration,
};

use tokio::{
    runtime::{Builder, Runtime},
    time::{Instant, Sleep, sleep},
};

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().build().unwrap()
}

fn poll(sleep: &mut Pin<Box<Sleep>>) -> bool {
    sleep.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready()
}

fn main() -> ExitCode {
    set_hook(Box::new(|_| {}));

    let first = runtime();
    let mut hour = first.block_on(async {
        let mut hour = Box::pin(sleep(Duration::from_secs(3600)));
        assert!(!poll(&mut hour));
        hour
    });
    let while_it_lives = hour.is_elapsed();
    drop(first);
    let after_its_end = hour.is_elapsed();
    let is_early = hour.deadline() > Instant::now();
    let panics = runtime().block_on(async { catch_unwind(AssertUnwindSafe(|| poll(&mut hour))).is_err() });

    let (of_never_polled, is_over) = runtime().block_on(async {
        let short = Box::pin(sleep(Duration::from_millis(1)));
        thread::sleep(Duration::from_millis(50));
        // Another one runs out meanwhile, so the timer has been looked at.
        sleep(Duration::from_millis(1)).await;
        (short.is_elapsed(), short.deadline() <= Instant::now())
    });

    println!("one hour, its runtime lives: is_elapsed() is {while_it_lives}");
    println!("one hour, its runtime has ended: is_elapsed() is {after_its_end}, the deadline is still to come: {is_early}");
    println!("the same, polled in another runtime: panics: {panics}");
    println!("one millisecond, never polled, after fifty: is_elapsed() is {of_never_polled}, the deadline is over: {is_over}");

    let is_as_found = !while_it_lives && after_its_end && is_early && panics && !of_never_polled && is_over;
    println!("{}", if is_as_found { "as found" } else { "CHANGED" });
    ExitCode::from(u8::from(!is_as_found))
}
RUST

cargo run --quiet
