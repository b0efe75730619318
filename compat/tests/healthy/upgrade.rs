//! Responses after which the connection is no longer HTTP. HTTP/2 has no Upgrade (RFC 9113, section 8.6), so these rows
//! have one downstream.

use http::{Request, Version};
use hyper::{body::Incoming, upgrade};
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional;
use tower::service_fn;

use crate::{
    row::{Downstream::*, Row, Subject},
    upstream::{self, Then::*},
};

const SWITCHING: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\nx-a: b\r\n\r\n";
const WEBSOCKET: &[(&str, &str)] = &[("upgrade", "websocket")];

pub(crate) fn rows() -> Vec<Row> {
    let address = upstream::http1(&[SWITCHING], Echo);
    vec![
        Row::new("upgrade, bytes both ways", "101", "| hello", joined(upstream::client(address, Version::HTTP_11)))
            .fields(WEBSOCKET)
            .http1_only()
            // The order alone: what makes it an upgrade is written anew.
            .differs(Http1, &[], &[]),
    ]
}

/// Joins the two connections once both sides have switched.
fn joined<S>(client: S) -> impl Subject + Sync
where
    S: Subject<Content = Incoming> + Sync,
{
    service_fn(move |mut request: Request<Incoming>| {
        let from_client = upgrade::on(&mut request);
        let mut client = client.clone();
        async move {
            let mut response = client.call(request).await?;
            let to_upstream = upgrade::on(&mut response);
            tokio::spawn(async move {
                let (mut client, mut upstream) =
                    (TokioIo::new(from_client.await.unwrap()), TokioIo::new(to_upstream.await.unwrap()));
                copy_bidirectional(&mut client, &mut upstream).await
            });
            Ok::<_, S::Error>(response)
        }
    })
}
