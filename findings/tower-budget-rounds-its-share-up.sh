#!/usr/bin/env bash
# Finding: tower's TpsBudget rounds the share of requests that may be repeated
# up: with every share above one half all of them may.
#
# What is surprising
#   A TpsBudget without a reserve gets 1000 deposits, and then withdrawals are
#   made until one is refused. With the share 0.1, 0.2, 0.25, 0.5 or 1.0 as many
#   are allowed as one expects. With 0.3 there are 333, with 0.35 and 0.4 there
#   are 500, and with 0.51, 0.6 and 0.9 all 1000, as if there were no limit. A
#   share up to 1.0 is turned into the price of a repeat in whole deposits: what
#   comes after the point of 1.0 / share is cut off, so that a repeat is never
#   dearer than asked for and often cheaper. Above 1.0 a deposit counts as 1000,
#   and the error is small but at the upper end: with 600 each deposit pays for
#   1000 repeats.
#
# Why one would expect otherwise
#   The parameter is an f32 and is described as the percentage of the calls to
#   deposit() that can be retried, from 0 to 1000, without a word on steps. With
#   1.5 the number is right to one in a thousand. And a limit that cannot be met
#   exactly is expected to err on the side of fewer repeats.
#
# What it means for whoever writes a retry
#   Such a budget is there to keep a failing upstream from being flooded, and
#   set to 0.6 it lets the load on that upstream double. A change from 0.35 to
#   0.4, or from 0.6 to 0.9, changes nothing. Use a share such as 0.1, 0.2, 0.25
#   or 0.5, or a Budget of your own, and test how many repeats it allows. The
#   project knows of it as issue 857.
#
# Versions: tower 0.5.3. Date: 2026-11-29.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
mkdir src

cat >Cargo.toml <<'TOML'
[package]
name = "tower-budget-rounds-its-share-up"
version = "0.0.0"
edition = "2024"
publish = false

[workspace]

[dependencies]
tokio = { version = "=1.54.1", features = ["macros", "rt", "test-util", "time"] }
tower = { version = "=0.5.3", features = ["retry"] }
TOML

cat >src/main.rs <<'RUST'
use std::time::Duration;

use tower::retry::budget::{Budget, TpsBudget};

const DEPOSITS: u32 = 1000;

// The clock that the budget reads stands still: all happens in one window.
#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() {
    for share in [
        0.0, 0.1, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.51, 0.6, 0.9, 1.0, 1.5, 600.0,
    ] {
        let budget = TpsBudget::new(Duration::from_secs(10), 0, share);
        for _ in 0..DEPOSITS {
            budget.deposit();
        }
        let mut allowed = 0;
        while budget.withdraw() {
            allowed += 1;
        }
        let expected = f64::from(DEPOSITS) * f64::from(share);
        println!("share {share:?}: {expected:.0} repeats expected, {allowed} allowed");
    }
}
RUST

cat >expected <<'TEXT'
share 0.0: 0 repeats expected, 0 allowed
share 0.1: 100 repeats expected, 100 allowed
share 0.2: 200 repeats expected, 200 allowed
share 0.25: 250 repeats expected, 250 allowed
share 0.3: 300 repeats expected, 333 allowed
share 0.35: 350 repeats expected, 500 allowed
share 0.4: 400 repeats expected, 500 allowed
share 0.5: 500 repeats expected, 500 allowed
share 0.51: 510 repeats expected, 1000 allowed
share 0.6: 600 repeats expected, 1000 allowed
share 0.9: 900 repeats expected, 1000 allowed
share 1.0: 1000 repeats expected, 1000 allowed
share 1.5: 1500 repeats expected, 1501 allowed
share 600.0: 600000 repeats expected, 1000000 allowed
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
