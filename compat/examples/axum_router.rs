//! The layer in axum, both ways: a client mounted as a service, and handlers that call upstreams themselves.
//!
//! ```text
//! $ cargo run -p tower-bad-gateway-compat --example axum_router
//! GET /                -> 200 hello from a handler
//! GET /profile         -> 502 {"type":"about:blank",...,"detail":"Failed to load the profile.","code":"connection_refused",...}
//! GET /api/anything    -> 502 {"type":"about:blank",...,"code":"connection_refused","status":502}
//! ```

use std::{error::Error, net::SocketAddr};

use axum::{Router, body::Body, extract::Request, response::Response, routing::get};
use http_body_util::BodyExt;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::net::TcpSocket;
use tower::{ServiceBuilder, ServiceExt};
use tower_bad_gateway::{BadGatewayLayer, Failure};

#[path = "../../examples/shared/to_upstream.rs"]
mod to_upstream;

use self::to_upstream::to_upstream;

type Upstream = Client<HttpConnector, Body>;

/// A handler ends in `?`: what failed is written in the format the client asked for.
async fn profile(upstream: Upstream, authority: String) -> Result<Response, Failure> {
    let request = Request::builder().uri(format!("http://{authority}/profile")).body(Body::empty());
    let request = request.map_err(Failure::from_error)?;
    let failed = |error| Failure::from_error(error).with_message("Failed to load the profile.");
    Ok(upstream.request(request).await.map_err(failed)?.map(Body::new))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    // Bound, but not listening: it refuses every connection.
    let nowhere = TcpSocket::new_v4()?;
    nowhere.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let authority = nowhere.local_addr()?.to_string();
    let upstream: Upstream = Client::builder(TokioExecutor::new()).build_http();

    let (client, to) = (upstream.clone(), authority.clone());
    let handlers = Router::new()
        .route("/", get(|| async { "hello from a handler" }))
        .route("/profile", get(move || profile(client.clone(), to.clone())))
        .layer(BadGatewayLayer::for_router());

    let mounted = ServiceBuilder::new()
        .layer(BadGatewayLayer::new().upstream("api"))
        .map_request(to_upstream(authority.parse()?))
        .service(upstream);
    let app = handlers.route_service("/api/{*rest}", mounted);

    for path in ["/", "/profile", "/api/anything"] {
        let response = app.clone().oneshot(Request::builder().uri(path).body(Body::empty())?).await?;
        let status = response.status();
        let content = response.into_body().collect().await?.to_bytes();
        println!("GET {path:<16} -> {} {}", status.as_u16(), String::from_utf8_lossy(&content));
    }
    Ok(())
}
