//! The client's own faults, which look like an upstream's.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::sync::Notify;
use tower_bad_gateway::{
    FailureKind::{ConnectionTerminated, HttpRequestError},
    classify::Cause,
    failure::Blame,
};

use crate::{
    client,
    gateway::{Gateway, patient},
    h2_upstream,
    row::Row,
    upstream::{self, Act::*},
};

const CHUNKED: &str = "POST /fault HTTP/1.1\r\nhost: gateway\r\ntransfer-encoding: chunked\r\n\r\n";

/// An upload that breaks off while the upstream waits for the rest of it.
fn row(id: &'static str, http2: bool, upload: &'static str) -> Row {
    Row::new("upload", id, 400, &[HttpRequestError], async move {
        let upstream = if http2 { h2_upstream::start(Vec::new()).await } else { upstream::h1(&[Wait], false).await };
        let gateway = Gateway::start(upstream, http2, patient()).await;
        let received = client::send(gateway.address, format!("{CHUNKED}{upload}").as_bytes(), &gateway.seen).await;
        gateway.outcome(received).await
    })
    .blame(Blame::Client)
}

/// A user's reader that blames the upstream for every I/O error: those of the client must not reach it.
fn behind_a_reader() -> Row {
    Row::new("upload", "bad-chunk-and-a-reader", 400, &[HttpRequestError], async move {
        let layer = patient().classify(|cause: &Cause<'_>| cause.find::<io::Error>().map(|_| ConnectionTerminated));
        let gateway = Gateway::start(upstream::h1(&[Wait], false).await, false, layer).await;
        let upload = format!("{CHUNKED}5\r\nhello\r\nxyz\r\n");
        let received = client::send(gateway.address, upload.as_bytes(), &gateway.seen).await;
        gateway.outcome(received).await
    })
    .blame(Blame::Client)
}

pub(crate) fn rows() -> Vec<Row> {
    vec![
        behind_a_reader(),
        row("bad-chunk-to-h1", false, "5\r\nhello\r\nxyz\r\n"),
        row("bad-chunk-to-h2", true, "5\r\nhello\r\nxyz\r\n"),
        row("chunk-overflow-to-h1", false, "5\r\nhello\r\nfffffffffffffffff\r\n"),
    ]
}

/// The client ends its side in the middle of an upload: whether it still reads an answer is its business, whose fault it was
/// is ours.
#[tokio::test]
async fn an_upload_that_breaks_off_is_the_clients_fault() {
    let told = Arc::new(Notify::new());
    let tell = Arc::clone(&told);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let hook = Arc::clone(&seen);
    let layer = patient().on_failure(|_| {});
    let layer = layer.map_status(move |failure| {
        hook.lock().unwrap().push((failure.kind(), failure.blame()));
        tell.notify_one();
        failure.status()
    });
    let gateway = Gateway::start(upstream::h1(&[Wait], false).await, false, layer).await;
    client::break_off(gateway.address, format!("{CHUNKED}5\r\nhello\r\n").as_bytes()).await;
    tokio::time::timeout(Duration::from_secs(30), told.notified()).await.unwrap();
    assert_eq!(*seen.lock().unwrap(), [(HttpRequestError, Blame::Client)]);
}
