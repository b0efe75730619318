//! A site behind axum: a shop of two upstreams whose pages are replaced by those of a folder while both are away, an API that speaks problem
//! details, and a handler that calls the shop itself.
//!
//! ```text
//! $ cargo run --package tower-bad-gateway-compat --example site -- 127.0.0.1:8081 127.0.0.1:8082 examples/site
//! http://127.0.0.1:33333
//! ```
//!
//! | path | upstreams are there | both are away |
//! | --- | --- | --- |
//! | `/` | a handler's page of what the shop has said | a template |
//! | `/api/...` | the answer of the shop | problem details |
//! | others | the answer of the shop | `502.html` of the folder |
//! | `/metrics` | what was counted | the same |
//!
//! `scripts/site` kills and restores the upstreams under load, and compares log, metrics and what the clients got.

use std::{error::Error, path::Path};

use axum::{Router, body::Body, extract::Request, response::Html, routing::get};
use http::{Response, uri::PathAndQuery};
use http_body_util::BodyExt;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tokio::net::TcpListener;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, retry::RetryLayer};
use tower_bad_gateway::{
    BadGatewayLayer, BoxError, Failure, FailureKind, Metrics,
    fallback::Fallback,
    format::{Negotiate, Problem, Template},
    retry::{ReplayBody, RetryPolicy},
};
use tower_http::services::ServeDir;

#[path = "../../examples/shared/in_turn.rs"]
mod in_turn;
#[path = "../../examples/shared/to_upstream.rs"]
mod to_upstream;

use self::{in_turn::InTurn, to_upstream::to_upstream};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().json().with_writer(std::io::stderr).init();
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().install_recorder()?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [first, second, folder] = &arguments[..] else { return Err("site UPSTREAM UPSTREAM FOLDER".into()) };

    // One attempt, at the next of the two; and a second one where that is safe.
    let client = Client::builder(TokioExecutor::new()).build_http();
    let upstream = |authority: &str| -> Result<_, Box<dyn Error>> {
        Ok(ServiceBuilder::new().map_request(to_upstream(authority.parse()?)).service(client.clone()))
    };
    let shop = ServiceBuilder::new()
        .map_request(|request: Request| request.map(ReplayBody::new))
        .layer(RetryLayer::new(RetryPolicy::new()))
        .map_err(Failure::from_error)
        .service(InTurn::new(upstream(first)?, upstream(second)?));

    // Every failure, in the log and in the metrics.
    let layer = BadGatewayLayer::new().upstream("shop").event_limit(None).metrics(Metrics::new().requests());
    let pages = Fallback::new(ServeDir::new(folder)).path(PathAndQuery::from_static("/{status}.html"));
    let page = Template::from_file(Path::new(folder).join("template.html"))?;

    let handler = {
        let shop = shop.clone();
        get(move || home(shop.clone()))
    };
    let app = Router::new()
        .route("/", handler)
        .layer(layer.clone().upstream("home").format(Negotiate::new().html(page)))
        .route_service("/api/{*rest}", layer.clone().upstream("api").format(Problem::new()).layer(shop.clone()))
        .fallback_service(layer.fallback(pages).layer(shop))
        .route("/metrics", get(move || async move { recorder.render() }));

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("http://{}", listener.local_addr()?);
    Ok(axum::serve(listener, app).await?)
}

/// A handler ends in `?`: what has failed is written by the layer around it.
async fn home<S, B>(shop: S) -> Result<Html<String>, Failure>
where
    S: Service<Request, Response = Response<B>, Error = Failure>,
    B: http_body::Body<Error: Into<BoxError>>,
{
    let response = shop.oneshot(Request::get("/").body(Body::empty()).unwrap_or_default()).await?;
    // A 404 or 500 of the upstream is no error to a client.
    if !response.status().is_success() {
        return Err(Failure::new(FailureKind::ReceivedStatus).with_upstream_status(response.status()));
    }
    let said = response.into_body().collect().await.map_err(|error| Failure::from_body_error(error.into()))?;
    Ok(Html(format!("<!doctype html><title>Shop</title><p>{}", String::from_utf8_lossy(&said.to_bytes()))))
}
