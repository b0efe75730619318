//! Bodies that break inside of other layers: what these make of a body, they must not make whole again.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "a test that panics has failed"
)]
#![allow(dead_code, reason = "the tests of the layer alone use more of it")]

#[path = "../../tests/wire/cells.rs"]
mod cells;
#[path = "../../tests/wire/client.rs"]
mod client;
#[path = "../../tests/wire/ending.rs"]
mod ending;
#[path = "../../tests/wire/gateway.rs"]
mod gateway;
#[path = "../../tests/wire/h2_frames.rs"]
mod h2_frames;
#[path = "../../tests/wire/matrix.rs"]
mod matrix;
#[path = "../../tests/wire/row.rs"]
mod row;
#[path = "../../tests/wire/upstream.rs"]
mod upstream;

use tower::Layer;
use tower_http::{catch_panic::CatchPanicLayer, compression::CompressionLayer, trace::TraceLayer};

use crate::{
    gateway::relay,
    matrix::{Stack, check},
};

const ALONE: Stack = Stack { name: "", gzip: false, holds: false, runs: 20 };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn catching_panics_hides_no_broken_body() {
    let stack = Stack { name: "panics", ..ALONE };
    check(stack, |gateway| relay(CatchPanicLayer::new().layer(gateway))).await;
}

/// A part of a gzip stream must not look like all of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compression_ends_no_broken_body() {
    let stack = Stack { name: "gzip", gzip: true, ..ALONE };
    check(stack, |gateway| relay(CompressionLayer::new().gzip(true).layer(gateway))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tracing_hides_no_broken_body() {
    let stack = Stack { name: "trace", ..ALONE };
    check(stack, |gateway| relay(TraceLayer::new_for_http().layer(gateway))).await;
}
