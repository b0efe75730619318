//! The layer in a plain hyper server: every path goes to an upstream that is not there.
//!
//! ```text
//! $ cargo run --example hyper_server
//! HTTP/1.1 502 Bad Gateway
//! content-type: application/problem+json
//! content-language: en
//! cache-control: no-store
//! x-content-type-options: nosniff
//! vary: accept
//! content-length: 132
//! connection: close
//! date: ...
//!
//! {"type":"about:blank","title":"Bad Gateway","detail":"the upstream refused the connection","code":"connection_refused","status":502}
//! ```

use std::{error::Error, net::SocketAddr};

use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioIo},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
};
use tower::ServiceBuilder;
use tower_bad_gateway::BadGatewayLayer;

#[path = "shared/to_upstream.rs"]
mod to_upstream;

use self::to_upstream::to_upstream;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    // Bound, but not listening: it refuses every connection.
    let upstream = TcpSocket::new_v4()?;
    upstream.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let authority = upstream.local_addr()?.to_string();

    // The layer stands outside the rewriting: it answers in the protocol of the client.
    let gateway = ServiceBuilder::new()
        .layer(BadGatewayLayer::new().upstream("nowhere"))
        .map_request(to_upstream::<Incoming>(authority.parse()?))
        .service(Client::builder(TokioExecutor::new()).build_http::<Incoming>());

    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = TowerToHyperService::new(gateway.clone());
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });

    let mut client = TcpStream::connect(address).await?;
    client.write_all(b"GET / HTTP/1.1\r\nhost: example.org\r\nconnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    client.read_to_string(&mut answer).await?;
    println!("{answer}");
    Ok(())
}
