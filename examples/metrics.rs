//! Failures as Prometheus sees them: a gateway whose upstream is not there, with an endpoint that is really scraped.
//!
//! ```text
//! $ cargo run --example metrics --features metrics
//! http://127.0.0.1:.../metrics
//! # HELP bad_gateway_failures_total Failures of upstream calls, by proxy error type.
//! # TYPE bad_gateway_failures_total counter
//! bad_gateway_failures_total{upstream="billing",error="connection_refused",phase="connect",blame="upstream",status="502",...} 3
//! bad_gateway_failures_total{upstream="billing",error="dns_error",phase="resolve",blame="upstream",status="502",...} 0
//! ...
//! ```
//!
//! With `-- --serve` it goes on until it is ended, for a Prometheus of yours; an URL after that is its upstream.

use std::{error::Error, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{Request, Response, Uri, header::HOST};
use http_body_util::{BodyExt, Either, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioIo},
};
use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
};
use tower::{ServiceBuilder, ServiceExt};
use tower_bad_gateway::{BadGatewayLayer, Metrics};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    // Installed before the layer wraps a service: so every kind of failure stands at 0 from the start.
    let prometheus = PrometheusBuilder::new().set_buckets(&[0.005, 0.05, 0.5, 5.0, 50.0])?.install_recorder()?;
    let upkeep = prometheus.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(5)).await;
            upkeep.run_upkeep();
        }
    });

    tracing_subscriber::fmt().with_ansi(false).with_writer(std::io::stderr).init();

    // Bound, but not listening: it refuses every connection.
    let nowhere = TcpSocket::new_v4()?;
    nowhere.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let mut arguments = std::env::args().skip(1);
    let serves = arguments.next().is_some_and(|argument| argument == "--serve");
    let upstream = Uri::try_from(arguments.next().unwrap_or(format!("http://{}/", nowhere.local_addr()?)))?;
    let gateway = ServiceBuilder::new()
        .layer(BadGatewayLayer::new().upstream("billing").metrics(Metrics::new().requests()))
        .map_request(move |mut request: Request<Incoming>| {
            *request.uri_mut() = upstream.clone();
            request.headers_mut().remove(HOST);
            request
        })
        .service(Client::builder(TokioExecutor::new()).build_http::<Incoming>());

    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (gateway, prometheus) = (gateway.clone(), prometheus.clone());
            let service = service_fn(move |request: Request<Incoming>| {
                let (gateway, prometheus) = (gateway.clone(), prometheus.clone());
                async move {
                    if request.uri().path() == "/metrics" {
                        let scrape = Full::new(Bytes::from(prometheus.render()));
                        return Ok::<_, Box<dyn Error + Send + Sync>>(Response::new(Either::Left(scrape)));
                    }
                    let Ok(response) = gateway.oneshot(request).await;
                    Ok(response.map(|body| Either::Right(body.map_err(Box::new))))
                }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });

    println!("http://{address}/metrics");
    if serves {
        std::future::pending::<()>().await;
    }
    for _ in 0..3 {
        get(address, "/invoices/1").await?;
    }
    println!("{}", get(address, "/metrics").await?);
    Ok(())
}

async fn get(address: SocketAddr, path: &str) -> Result<String, Box<dyn Error>> {
    let mut client = TcpStream::connect(address).await?;
    client.write_all(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").as_bytes()).await?;
    let mut answer = String::new();
    client.read_to_string(&mut answer).await?;
    Ok(answer.split_once("\r\n\r\n").map(|(_, content)| content.to_owned()).unwrap_or_default())
}
