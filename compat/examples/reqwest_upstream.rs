//! reqwest as the upstream call: two small conversions around its client.
//!
//! ```text
//! $ cargo run -p tower-bad-gateway-compat --example reqwest_upstream
//! 502 {"type":"about:blank","title":"Bad Gateway","detail":"the upstream refused the connection","code":"connection_refused","status":502}
//! ```

use std::{error::Error, net::SocketAddr};

use http_body_util::BodyExt;
use tokio::net::TcpSocket;
use tower::{ServiceBuilder, ServiceExt};
use tower_bad_gateway::BadGatewayLayer;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    // Bound, but not listening: it refuses every connection.
    let nowhere = TcpSocket::new_v4()?;
    nowhere.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;

    // With reqwest's own choice of a provider, its feature `rustls`, this line is not needed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().build()?;
    let gateway = ServiceBuilder::new()
        .layer(BadGatewayLayer::new())
        // A URI that reqwest does not take is an error like any other.
        .filter(|request: http::Request<reqwest::Body>| reqwest::Request::try_from(request))
        .map_response(http::Response::<reqwest::Body>::from)
        .service(client);

    let request =
        http::Request::builder().uri(format!("http://{}/", nowhere.local_addr()?)).body(reqwest::Body::from(""))?;
    let response = gateway.oneshot(request).await?;
    let status = response.status();
    let content = response.into_body().collect().await?.to_bytes();
    println!("{} {}", status.as_u16(), String::from_utf8_lossy(&content));
    Ok(())
}
