//! Connections that are used again, and that may be gone by then.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::{io::AsyncWriteExt, sync::Notify};
use tower_bad_gateway::{
    BadGatewayLayer, Failure,
    FailureKind::{self, *},
    failure::RetrySafety,
};

use crate::{
    client::{self, Connection},
    gateway::{Gateway, impatient, patient},
    h2_frames::*,
    h2_upstream,
    row::Row,
    upstream::{self, Act, Act::*},
};

/// The fault comes in answer to the second request of a connection.
fn reused(id: &'static str, kinds: &'static [FailureKind], acts: &'static [Act], layer: BadGatewayLayer) -> Row {
    Row::new("pool", id, kinds[0].status().as_u16(), kinds, async move {
        let gateway = Gateway::start(upstream::h1(acts, false).await, false, layer).await;
        assert_eq!(client::get(gateway.address, "/ok", &Notify::new()).await.status(), 200);
        gateway.ask().await
    })
    // It was written on a connection that worked: whoever closes it may have read the request.
    .retry(RetrySafety::Unknown)
}

fn healthy(id: &'static str, acts: &'static [Act]) -> Row {
    Row::new("pool", id, 200, &[], async move {
        Gateway::start(upstream::h1(acts, false).await, false, patient()).await.ask().await
    })
}

pub(crate) fn rows() -> Vec<Row> {
    vec![
        reused("reused-fin", &[ConnectionTerminated], &[Fin], patient()),
        reused("reused-rst", &[ConnectionTerminated], &[Rst], patient()),
        reused("reused-fin-mid-head", &[ConnectionTerminated], &[Send(b"HTTP/1.1 200 OK\r\ncont"), Fin], patient()),
        reused("reused-garbage", &[HttpProtocolError], &[Send(b"\x00\x01\x02\x03\r\n\r\n"), Fin], patient()),
        reused("reused-silent", &[HttpResponseTimeout], &[Wait], impatient()),
        // What is left over is never taken for the answer to the next request.
        healthy(
            "leftover-response",
            &[
                Send(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhelloHTTP/1.1 408 X\r\ncontent-length: 0\r\n\r\n"),
                Fin,
            ],
        ),
        healthy("leftover-bytes", &[Send(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello and more"), Wait]),
        healthy("closed-after-response", &[Send(upstream::OK), Fin]),
        Row::new("pool", "h2-goaway-after-response", 200, &[], async {
            let response =
                [headers(1, 0, STATUS_200), frame(DATA, END_STREAM, 1, b"hello"), goaway(1, 0, b"")].concat();
            let upstream = h2_upstream::start(vec![Send(Vec::leak(response)), Fin]).await;
            Gateway::start(upstream, true, patient()).await.ask().await
        }),
    ]
}

const ROUNDS: usize = 300;

/// What an upstream does to the connection right after each answer.
enum Parting {
    Fin,
    Rst,
    /// As servers that give up on an idle client do.
    Timeout,
}

/// The next request and the end of the connection cross on the way. There are several lawful outcomes, and these are all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_crosses_the_end_of_its_connection_is_answered() {
    let mut wrong = Vec::new();
    for (name, parting) in [("fin", Parting::Fin), ("rst", Parting::Rst), ("408", Parting::Timeout)] {
        let parting = Arc::new(parting);
        let address = upstream::listen({
            let parting = Arc::clone(&parting);
            move |mut stream, number| {
                let parting = Arc::clone(&parting);
                async move {
                    upstream::read_head(&mut stream).await?;
                    stream.write_all(upstream::OK).await?;
                    // Now sooner, now later, so that they do cross.
                    for _ in 0..number % 50 {
                        tokio::task::yield_now().await;
                    }
                    match *parting {
                        Parting::Fin => {
                            stream.shutdown().await?;
                            upstream::drain(stream).await
                        }
                        Parting::Rst => stream.set_zero_linger(),
                        Parting::Timeout => {
                            stream
                                .write_all(b"HTTP/1.1 408 X\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
                                .await?;
                            stream.shutdown().await?;
                            upstream::drain(stream).await
                        }
                    }
                }
            }
        })
        .await;
        let gateway = Gateway::start(address, false, patient()).await;
        let mut met = BTreeMap::<String, usize>::new();
        let mut client = Connection::open(gateway.address).await;
        for _ in 0..ROUNDS {
            let received = tokio::time::timeout(Duration::from_secs(60), client.get("/ok"));
            let received = received.await.unwrap_or_else(|_| panic!("{name}: no end"));
            let failure = std::mem::take(&mut *gateway.failures.lock().unwrap()).pop().map(|(failure, _)| failure);
            let outcome = (received.status(), received.is_whole(), failure.as_ref().map(Failure::kind));
            let lawful = match (&outcome, &*parting) {
                ((200, true, None), _) => true,
                ((502, true, Some(ConnectionTerminated)), _) => true,
                // The reset may take the end of a body with it that has not been read.
                ((200, false, Some(ConnectionTerminated)), Parting::Rst) => true,
                // hyper can lose a request to a connection that is being reset: then only the limit answers.
                ((504, true, Some(HttpResponseTimeout)), Parting::Rst) => true,
                // It came when a request was under way already: nobody can tell it from an answer. Or with the one before.
                ((408, true, None) | (502, true, Some(HttpProtocolError)), Parting::Timeout) => true,
                _ => false,
            };
            if !received.is_whole() {
                client = Connection::open(gateway.address).await;
            }
            let shown = format!("{name}: {outcome:?}");
            *met.entry(shown.clone()).or_default() += 1;
            if !lawful {
                wrong.push(shown);
            }
        }
        for (outcome, count) in met {
            println!("{count:4} of {ROUNDS}  {outcome}");
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
