//! Among axum and tower-http.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test that panics has failed")]

use std::{io, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::Request,
    response::{IntoResponse, Response},
    routing::{any, any_service, get},
};
use http::{HeaderValue, header};
use http_body_util::BodyExt;
use tower::{ServiceBuilder, ServiceExt, load_shed::LoadShedLayer, service_fn, timeout::TimeoutLayer};
use tower_bad_gateway::{
    BadGatewayLayer, BoxError, Failure, FailureKind, RequestBodyTap, body::RequestBody, failure::Blame,
    format::PlainText,
};
use tower_http::{cors::CorsLayer, trace::TraceLayer};

fn refused() -> io::Error {
    io::ErrorKind::ConnectionRefused.into()
}

fn request(path: &str, accept: &'static str) -> Request {
    Request::builder().uri(path).header(header::ACCEPT, accept).body(Body::empty()).unwrap()
}

async fn text(response: Response) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

#[tokio::test]
async fn a_handler_ends_in_a_question_mark() {
    fn call() -> io::Result<&'static str> {
        Err(refused())
    }
    async fn handler() -> Result<&'static str, Failure> {
        call().map_err(Failure::from_error)
    }
    let app = Router::new().route("/", get(handler)).layer(BadGatewayLayer::for_router());
    for (accept, kind) in [("application/json", "application/json"), ("*/*", "application/problem+json")] {
        let response = app.clone().oneshot(request("/", accept)).await.unwrap();
        assert_eq!(
            (response.status().as_u16(), &response.headers()["content-type"]),
            (502, &HeaderValue::from_static(kind))
        );
        assert_eq!(response.extensions().get::<Failure>().unwrap().kind(), FailureKind::ConnectionRefused);
        assert!(text(response).await.contains("connection_refused"));
    }
}

#[tokio::test]
async fn a_failure_without_a_layer_is_a_bare_answer() {
    let response = Failure::new(FailureKind::DnsTimeout).with_message("Try later.").into_response();
    assert_eq!(response.status(), 504);
    assert_eq!(response.headers()["cache-control"], "no-store");
    assert_eq!(response.headers()["content-length"], "32");
    assert_eq!(text(response).await, "504 Gateway Timeout: Try later.\n");
}

/// In front of a service that takes axum's own body, and around a whole router: the body is wrapped anew.
#[tokio::test(start_paused = true)]
async fn uploads_are_tapped_among_axums_bodies() {
    let rewrap = |request: http::Request<RequestBody<Body>>| request.map(Body::new);
    let reading = |request: Request| async move {
        let whole = request.into_body().collect().await.map_err(|error| Box::new(error) as BoxError)?;
        Ok::<_, BoxError>(whole.to_bytes().into_response())
    };
    let mounted = ServiceBuilder::new()
        .layer(RequestBodyTap::new())
        .layer(BadGatewayLayer::new())
        .map_request(rewrap)
        .service(service_fn(reading));
    let handler = move |request: Request| async move { reading(request).await.map_err(Failure::from_error) };
    let around =
        ServiceBuilder::new().layer(RequestBodyTap::new()).layer(BadGatewayLayer::for_router()).map_request(rewrap);
    let app = Router::new().route_service("/mounted", mounted);
    let app = app.merge(Router::new().route("/router", any(handler)).layer(around));
    for path in ["/mounted", "/router"] {
        let upload = |body| Request::builder().method("POST").uri(path).body(body).unwrap();
        let response = app.clone().oneshot(upload(Body::from("hello"))).await.unwrap();
        assert_eq!(text(response).await, "hello", "{path}");

        let parts = futures_util::stream::iter([Ok("half"), Err(io::Error::from(io::ErrorKind::UnexpectedEof))]);
        let response = app.clone().oneshot(upload(Body::from_stream(parts))).await.unwrap();
        assert_eq!(response.status(), 400, "{path}");
        assert_eq!(response.extensions().get::<Failure>().unwrap().blame(), Blame::Client, "{path}");

        let silent = futures_util::stream::pending::<io::Result<&str>>();
        let response = app.clone().oneshot(upload(Body::from_stream(silent))).await.unwrap();
        assert_eq!(response.status(), 408, "{path}");
    }
}

#[tokio::test]
async fn a_fallible_service_is_mounted_without_an_error_handler() {
    let upstream = service_fn(|_: Request| async { Err::<Response, BoxError>(refused().into()) });
    let mounted = ServiceBuilder::new().layer(BadGatewayLayer::new()).service(upstream);
    let app = Router::new().route_service("/api/{*rest}", mounted.clone()).route("/any", any_service(mounted));
    for path in ["/api/x", "/any"] {
        let response = app.clone().oneshot(request(path, "text/plain")).await.unwrap();
        assert_eq!(text(response).await, "502 Bad Gateway: the upstream refused the connection\n");
    }
}

#[tokio::test]
async fn what_an_inner_layer_has_answered_an_outer_one_passes() {
    let upstream = service_fn(|_: Request| async { Err::<Response, BoxError>(refused().into()) });
    let mounted = ServiceBuilder::new().layer(BadGatewayLayer::new().format(PlainText)).service(upstream);
    let app = Router::new().route_service("/api", mounted).layer(BadGatewayLayer::for_router());
    let response = app.oneshot(request("/api", "application/json")).await.unwrap();
    assert_eq!(text(response).await, "502 Bad Gateway: the upstream refused the connection\n");
}

/// A handler may take the failure out of one layer's answer and return it: it is written anew, for this client.
#[tokio::test]
async fn a_failure_that_was_answered_before_is_answered_again() {
    async fn handler() -> Result<Response, Failure> {
        let upstream = service_fn(|_: Request| async { Err::<Response, _>(refused()) });
        let inner = ServiceBuilder::new()
            .layer(BadGatewayLayer::new().format(PlainText))
            // tower's own boxed errors are no trouble in a future that has to be `Send`.
            .layer(TimeoutLayer::new(Duration::from_secs(30)))
            .layer(LoadShedLayer::new())
            .service(upstream);
        let Ok(response) = inner.oneshot(Request::new(Body::empty())).await;
        match response.extensions().get::<Failure>() {
            Some(failure) => Err(failure.clone()),
            None => Ok(response.map(Body::new)),
        }
    }
    let app = Router::new().route("/", get(handler)).layer(BadGatewayLayer::for_router());
    let response = app.oneshot(request("/", "application/json")).await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/json");
}

#[tokio::test]
async fn it_stands_inside_of_cors_and_tracing() {
    let upstream = service_fn(|_: Request| async { Err::<Response, BoxError>(refused().into()) });
    let service = ServiceBuilder::new()
        .layer(TraceLayer::new_for_http())
        .layer(CorsLayer::permissive())
        .layer(BadGatewayLayer::new())
        .service(upstream);
    let mut call = request("/", "*/*");
    call.headers_mut().insert(header::ORIGIN, HeaderValue::from_static("https://example.org"));
    let response = service.clone().oneshot(call).await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["access-control-allow-origin"]),
        (502, &HeaderValue::from_static("*"))
    );
    assert!(response.extensions().get::<Failure>().is_some(), "the outer layers can read the cause");

    // A preflight is answered by CORS with a default body of ours.
    let mut preflight = request("/", "*/*");
    *preflight.method_mut() = http::Method::OPTIONS;
    preflight.headers_mut().insert(header::ORIGIN, HeaderValue::from_static("https://example.org"));
    preflight.headers_mut().insert(header::ACCESS_CONTROL_REQUEST_METHOD, HeaderValue::from_static("GET"));
    let response = service.oneshot(preflight).await.unwrap();
    assert_eq!(response.status(), 200);
}

#[tokio::test]
async fn healthy_handlers_are_left_alone() {
    let app = Router::new()
        .route("/", any(|| async { ([("connection", "x-a"), ("x-a", "1")], "hello") }))
        .layer(BadGatewayLayer::for_router());
    let response = app.oneshot(request("/", "*/*")).await.unwrap();
    assert_eq!((response.status().as_u16(), response.headers().len()), (200, 4), "{:?}", response.headers());
    assert_eq!(text(response).await, "hello");
}
