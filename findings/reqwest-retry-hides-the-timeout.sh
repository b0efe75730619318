#!/usr/bin/env bash
# Finding: reqwest-retry takes away is_timeout() and the reqwest::Error.
#
# What is surprising
#   A request through reqwest-middleware with the retry middleware runs into
#   the timeout of reqwest. The error that comes out answers is_timeout() with
#   false, and no link of its chain of sources is a reqwest::Error. After a
#   retry a deeper link is a reqwest_middleware::Error that answers true. When
#   no retry was made there is no such link either: the chain then has nothing
#   left that could be asked.
#
# Why one would expect otherwise
#   reqwest_middleware::Error::is_timeout() is documented as true "if the error
#   is related to a timeout", and reqwest alone answers true for the same
#   request. A walk along Error::source() is the usual way to find a cause, so
#   one expects to meet the reqwest::Error there. The variants are transparent,
#   so each of them passes on the source of what it holds and leaves out what
#   it holds.
#
# What it means for whoever writes a gateway
#   Do not ask the outermost error only, and do not search for reqwest::Error
#   only: ask every reqwest_middleware::Error in the chain. For a request that
#   was not retried even this finds nothing, and the timeout would become 502
#   in place of 504. Where the concrete type is at hand, match
#   Error::Middleware, downcast it to RetryError and ask the error inside.
#
# Versions: reqwest 0.13.5, reqwest-middleware 0.5.2, reqwest-retry 0.9.1.
# Date: 2026-11-28.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
mkdir src

cat >Cargo.toml <<'TOML'
[package]
name = "reqwest-retry-hides-the-timeout"
version = "0.0.0"
edition = "2024"
publish = false

[workspace]

[dependencies]
reqwest = { version = "=0.13.5", default-features = false }
reqwest-middleware = { version = "=0.5.2", default-features = false }
reqwest-retry = { version = "=0.9.1", default-features = false }
tokio = { version = "=1.54.1", features = ["macros", "rt", "time"] }
# Pinned because the behaviour comes from them; not used by name.
hyper = "=1.12.0"
hyper-util = "=0.1.21"
TOML

cat >src/main.rs <<'RUST'
use std::{error::Error, iter, net::TcpListener, time::Duration};

use reqwest_middleware::ClientBuilder;
use reqwest_retry::{RetryError, RetryTransientMiddleware, policies::ExponentialBackoff};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    // The kernel completes the connection, and nobody ever answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());

    let plain = reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_millis(300))
        .build()
        .unwrap();
    let error = plain.get(&url).send().await.unwrap_err();
    println!("reqwest alone: is_timeout() = {}", error.is_timeout());

    for retries in [0, 1] {
        let policy = ExponentialBackoff::builder()
            .retry_bounds(Duration::from_millis(1), Duration::from_millis(2))
            .build_with_max_retries(retries);
        let retrying = ClientBuilder::new(plain.clone())
            .with(RetryTransientMiddleware::new_with_policy(policy))
            .build();
        let error = retrying.get(&url).send().await.unwrap_err();
        println!(
            "reqwest-retry, retries {retries}: is_timeout() = {}",
            error.is_timeout()
        );
        show_chain(&error);
    }
}

fn show_chain(error: &reqwest_middleware::Error) {
    let chain = iter::successors(Some(error as &(dyn Error + 'static)), |e| (*e).source());
    for (depth, link) in chain.enumerate() {
        let link = if link.is::<reqwest::Error>() {
            "reqwest::Error".to_owned()
        } else if let Some(error) = link.downcast_ref::<reqwest_middleware::Error>() {
            format!(
                "reqwest_middleware::Error, is_timeout() = {}",
                error.is_timeout()
            )
        } else {
            format!("another type, text {:?}", link.to_string())
        };
        println!("    link {depth}: {link}");
    }
    // Only whoever holds the concrete type can look into the middleware's variant.
    let reqwest_middleware::Error::Middleware(inner) = error else {
        panic!("another variant")
    };
    let (RetryError::Error(inner) | RetryError::WithRetries { err: inner, .. }) =
        inner.downcast_ref().unwrap();
    println!(
        "    inside Error::Middleware, RetryError: is_timeout() = {}",
        inner.is_timeout()
    );
}
RUST

cat >expected <<'TEXT'
reqwest alone: is_timeout() = true
reqwest-retry, retries 0: is_timeout() = false
    link 0: reqwest_middleware::Error, is_timeout() = false
    link 1: another type, text "operation timed out"
    inside Error::Middleware, RetryError: is_timeout() = true
reqwest-retry, retries 1: is_timeout() = false
    link 0: reqwest_middleware::Error, is_timeout() = false
    link 1: reqwest_middleware::Error, is_timeout() = true
    link 2: another type, text "operation timed out"
    inside Error::Middleware, RetryError: is_timeout() = true
TEXT

cargo build --quiet

echo "Versions:"
rustc --version
crates="reqwest reqwest-middleware reqwest-retry hyper hyper-util tokio"
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
