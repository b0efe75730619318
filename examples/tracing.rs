//! The events of the layer as lines of JSON, with the names of OpenTelemetry: what failed, for whom, how long it took, whose fault
//! it was, and the private cause.
//!
//! ```text
//! $ cargo run --example tracing
//! {"timestamp":"...","level":"WARN","message":"upstream call failed: the upstream refused the connection","http.request.method":"GET",
//!  "url.path":"/invoices/1","request_id":"4bf92f3577b34da6a3ce929d0e0e4736","upstream":"billing","gateway":"edge-1",
//!  "http.response.status_code":502,"error.type":"connection_refused","phase":"connect",...,"target":"tower_bad_gateway"}
//! ...
//! ```
//!
//! (Each on one line.) The other two are a gateway behind this one that has failed, and a client that did not wait.

use std::{error::Error, io, time::Duration};

use bytes::Bytes;
use http::{HeaderName, Request, Response};
use http_body_util::Empty;
use tower::{Layer, ServiceExt, service_fn};
use tower_bad_gateway::{BadGatewayLayer, BoxError, GatewayName, validate::Intercept};
use tracing_subscriber::filter::LevelFilter;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().json().flatten_event(true).with_max_level(LevelFilter::DEBUG).init();

    let layer = BadGatewayLayer::new()
        .gateway_name(GatewayName::from_static("edge-1"))
        .upstream("billing")
        .request_id_header(HeaderName::from_static("traceparent"))
        // A gateway that intercepts is told whose fault it was by the one behind it.
        .intercept(Intercept::server_errors());
    let gateway = layer.layer(service_fn(upstream));

    let Ok(_) = gateway.clone().oneshot(request("/invoices/1")?).await;
    let Ok(_) = gateway.clone().oneshot(request("/behind-another-gateway")?).await;
    let _ = tokio::time::timeout(Duration::from_millis(100), gateway.oneshot(request("/slow")?)).await;
    Ok(())
}

async fn upstream(request: Request<Empty<Bytes>>) -> Result<Response<Empty<Bytes>>, BoxError> {
    match request.uri().path() {
        "/behind-another-gateway" => {
            let told = "cdn;error=tls_certificate_error, lb;received-status=502";
            Ok(Response::builder().status(502).header("proxy-status", told).body(Empty::new())?)
        }
        "/slow" => std::future::pending().await,
        _ => Err(io::Error::new(io::ErrorKind::ConnectionRefused, "10.1.2.3:443 refused").into()),
    }
}

fn request(path: &str) -> http::Result<Request<Empty<Bytes>>> {
    let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    Request::builder().uri(path).header("traceparent", traceparent).body(Empty::new())
}
