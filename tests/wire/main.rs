//! Real sockets, byte by byte: what an upstream may do to us, and what a client then sees.
//!
//! Real clock: 300 ms where a limit is expected to run out, 30 s elsewhere, and nothing here measures elapsed time. One upload is
//! slow on purpose: four seconds, against a limit of three.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "a test that panics has failed"
)]

mod canaries;
mod cells;
mod client;
mod connecting;
mod deciding;
mod downstream;
mod ending;
mod gateway;
mod grpc;
mod h1;
mod h2_frames;
mod h2_upstream;
mod held;
mod hops;
mod matrix;
mod pool;
mod router;
mod row;
mod rows;
mod tls;
mod uploads;
mod upstream;

use std::collections::{BTreeSet, HashSet};

use tower_bad_gateway::FailureKind;

use crate::{
    matrix::Stack,
    row::{Row, run},
};

/// All faults at once, then the table: every wrong row is shown, and which kinds were met.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_is_answered_as_it_deserves() {
    let mut rows: Vec<Row> = Vec::new();
    rows.extend(connecting::rows());
    rows.extend(deciding::rows());
    rows.extend(h1::rows());
    rows.extend(h2_upstream::rows());
    rows.extend(pool::rows());
    rows.extend(tls::rows());
    rows.extend(uploads::rows());
    let (families, several): (BTreeSet<_>, Vec<_>) = (
        rows.iter().map(|row| row.family).collect(),
        rows.iter().filter(|row| row.kinds.len() > 1).map(|row| (row.id, row.kinds, row.why)).collect(),
    );
    let mixed: Vec<_> = rows.iter().filter(|row| row.mixes_statuses()).map(|row| row.id).collect();
    assert!(mixed.is_empty(), "rows that would take one status for another: {mixed:?}");
    let unexplained: Vec<_> = several.iter().filter(|(.., why)| why.is_empty()).collect();
    assert!(unexplained.is_empty(), "several kinds without a reason: {unexplained:?}");

    let results = run(rows).await;
    let (mut wrong, mut met, mut types) = (Vec::new(), BTreeSet::new(), HashSet::new());
    for result in &results {
        let hop = hops::judge(result);
        let right = result.is_right() && hop.is_ok();
        let word = if right { "ok" } else { "WRONG" };
        let line = format!("{word:5} {result}  {}", hop.as_ref().unwrap_or_else(|wrong| wrong));
        println!("{line}");
        met.extend(result.outcome.kind.map(FailureKind::token));
        types.extend(hop.as_ref().ok().filter(|line| line.contains("edge;error=")).and(result.outcome.kind));
        if !right {
            wrong.push(line);
        }
    }
    println!();
    for family in families {
        println!("{family}: {} rows", results.iter().filter(|result| result.family == family).count());
    }
    println!(
        "{} rows, {} of {} kinds: {}",
        results.len(),
        met.len(),
        FailureKind::ALL.len(),
        Vec::from_iter(met.iter().copied()).join(" ")
    );
    println!("{} types were read in Proxy-Status", types.len());
    for (kind, why) in hops::UNREACHED {
        println!("not reached: {kind}: {why}");
    }
    for (id, kinds, why) in several {
        println!("several kinds: {id}: {kinds:?}: {why}");
    }
    assert!(wrong.is_empty(), "wrong rows:\n{}", wrong.join("\n"));
    let unaccounted = hops::unaccounted(&met);
    assert!(unaccounted.is_empty(), "kinds that are neither reached nor listed as such, or both: {unaccounted:?}");
}

/// Every way in which a body may break, at every point of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_body_ends_cleanly_before_its_end() {
    matrix::check(Stack { name: "alone", gzip: false, holds: false, runs: 200 }, gateway::relay).await;
}

/// The same bodies while they are held: not one of them may get a head.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_breaks_while_it_is_held_is_answered() {
    matrix::check(Stack { name: "held", gzip: false, holds: true, runs: 60 }, gateway::relay).await;
}
