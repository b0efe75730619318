//! The programs of the guide that need axum, reqwest or tonic: what it shows stands here to the letter, and runs.
//!
//! ```text
//! $ cargo run --package tower-bad-gateway-compat --example guide
//! GET /profile  502 Bad Gateway: the upstream refused the connection
//! say hello     Unavailable: the upstream refused the connection
//! forwarded     grpc-status 14
//! ```

use std::{error::Error, net::SocketAddr};

use axum::{Router, extract::State, routing::get};
use http_body_util::BodyExt;
use tokio::net::TcpSocket;
use tonic::{
    Request, Response, Status,
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{
    HealthCheckRequest as HelloRequest, HealthCheckResponse as HelloReply, health_client::HealthClient,
};
use tower::{ServiceBuilder, ServiceExt};
use tower_bad_gateway::{BadGatewayLayer, Failure, RequestBodyTap};

async fn profile(State(client): State<reqwest::Client>) -> Result<String, Failure> {
    let response = client.get("http://billing/profile").send().await.map_err(reqwest::Error::without_url)?;
    Ok(response.error_for_status()?.text().await?)
}

struct Greeter {
    upstream: Upstream,
}

impl Greeter {
    async fn say_hello(&self, request: Request<HelloRequest>) -> Result<Response<HelloReply>, Status> {
        let reply = self.upstream.clone().say_hello(request).await.map_err(Failure::from_error)?;
        Ok(reply)
    }
}

/// The client that tonic would have made for a `Greeter`.
#[derive(Clone)]
struct Upstream(HealthClient<Channel>);

impl Upstream {
    async fn say_hello(&mut self, request: Request<HelloRequest>) -> Result<Response<HelloReply>, Status> {
        self.0.check(request).await
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    // With reqwest's own choice of a provider, its feature `rustls`, this line is not needed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client =
        reqwest::Client::builder().no_proxy().resolve("billing", SocketAddr::from(([127, 0, 0, 1], 1))).build()?;

    let app = Router::new().route("/profile", get(profile)).layer(BadGatewayLayer::for_router().upstream("billing"));
    let request = http::Request::get("/profile").header("accept", "text/plain").body(axum::body::Body::empty())?;
    let response = app.with_state(client).oneshot(request).await?;
    let shown = response.into_body().collect().await?.to_bytes();
    print!("GET /profile  {}", String::from_utf8_lossy(&shown));

    // Bound, but not listening: it refuses every connection.
    let nowhere = TcpSocket::new_v4()?;
    nowhere.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let channel = Endpoint::from_shared(format!("http://{}", nowhere.local_addr()?))?.connect_lazy();
    let gateway = ServiceBuilder::new()
        .layer(RequestBodyTap::new())
        .layer(BadGatewayLayer::new().single_attempt())
        .map_request(|request: http::Request<_>| request.map(tonic::body::Body::new))
        .service(channel.clone());
    let greeter = Greeter { upstream: Upstream(HealthClient::new(channel)) };
    match greeter.say_hello(Request::new(HelloRequest::default())).await {
        Ok(_) => println!("say hello     ok"),
        Err(status) => println!("say hello     {:?}: {}", status.code(), status.message()),
    }
    let call = http::Request::post("/").header("content-type", "application/grpc").body(axum::body::Body::empty())?;
    let Ok(response) = gateway.oneshot(call).await;
    let code = response.headers().get("grpc-status").and_then(|code| code.to_str().ok());
    println!("forwarded     grpc-status {}", code.unwrap_or("is missing"));
    Ok(())
}
