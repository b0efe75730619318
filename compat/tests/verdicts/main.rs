//! What real clients and layers hand to us, and what we make of it. Run with `--nocapture` it prints the table.
//!
//! A row is an error of a real server's making; its id is the one it was first met under. `OPEN.md` has those that cannot be told
//! better, and why.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a test that panics has failed"
)]

mod attempts;
mod client_reqwest;
mod client_tonic;
mod connectors;
mod middleware;
mod row;
mod upstream;

use std::{
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
};

/// A new folder for sockets, with a short path: it must fit the address of one.
#[cfg(unix)]
fn folder() -> PathBuf {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let name = format!("verdicts-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let folder = std::env::temp_dir().join(name);
    std::fs::create_dir(&folder).unwrap();
    folder
}
