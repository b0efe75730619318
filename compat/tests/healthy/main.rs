//! What a healthy upstream says passes the default layer as it is: the same service, asked with the layer and without
//! it, over real sockets.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a test that panics has failed"
)]

mod bodies;
mod client;
mod clients;
mod incoming;
mod large;
mod middleware;
mod row;
mod silence;
mod upgrade;
mod upstream;

use std::collections::BTreeSet;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_healthy_response_passes_as_it_is() {
    check(false).await;
}

/// All of it comes, and nothing is told; a length may have taken the place of chunks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_healthy_response_that_is_held_passes_as_it_is() {
    check(true).await;
}

async fn check(is_held: bool) {
    let directory = middleware::directory(is_held);
    let mut rows = Vec::new();
    rows.extend(incoming::from_http1());
    rows.extend(incoming::from_http2());
    rows.extend(bodies::rows());
    rows.extend(clients::rows());
    rows.extend(middleware::rows(&directory));
    rows.extend(upgrade::rows());
    assert_eq!(rows.iter().map(|row| row.name).collect::<BTreeSet<_>>().len(), rows.len(), "a name of its own each");

    let (mut met, mut wrong) = (BTreeSet::new(), Vec::new());
    for row in &rows {
        let mut line = format!("{:50}", row.name);
        for &downstream in row.downstreams {
            met.insert(format!("{downstream:?}"));
            let result = row.run(downstream, is_held).await;
            line += &format!(" {downstream:?} {}", if result.is_ok() { "ok" } else { "WRONG" });
            wrong.extend(result.err().map(|why| format!("{}, {downstream:?}: {why}", row.name)));
        }
        println!("{line}");
    }
    std::fs::remove_dir_all(directory).unwrap();
    println!("{} rows, {} downstreams, {} wrong", rows.len(), met.len(), wrong.len());
    assert!(wrong.is_empty(), "wrong rows:\n{}", wrong.join("\n"));
}
