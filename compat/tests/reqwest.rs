//! Around a reqwest client.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::net::SocketAddr;

use http_body_util::BodyExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket},
};
use tower::{ServiceBuilder, ServiceExt};
use tower_bad_gateway::{BadGatewayLayer, Failure, FailureKind, body::ResponseBody, failure::RetrySafety};

async fn ask(uri: String) -> http::Response<ResponseBody<reqwest::Body>> {
    // Other tests of this package ask for TLS without a provider.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let gateway = ServiceBuilder::new()
        .layer(BadGatewayLayer::new())
        .filter(|request: http::Request<reqwest::Body>| reqwest::Request::try_from(request))
        .map_response(http::Response::<reqwest::Body>::from)
        .service(reqwest::Client::builder().no_proxy().build().unwrap());
    let Ok(response) = gateway.oneshot(http::Request::builder().uri(uri).body(reqwest::Body::from("")).unwrap()).await;
    response
}

#[tokio::test]
async fn a_refused_connection_is_known_through_all_its_wrappers() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let response = ask(format!("http://{}/", socket.local_addr().unwrap())).await;
    let failure = response.extensions().get::<Failure>().unwrap();
    assert_eq!((response.status().as_u16(), failure.kind()), (502, FailureKind::ConnectionRefused));
    assert_eq!(failure.retry_safety(), RetrySafety::Unknown, "it may have followed a redirect");
}

#[tokio::test]
async fn a_body_that_is_cut_short_ends_in_an_error() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut buffer = [0; 1024];
        let _ = stream.read(&mut buffer).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").await.unwrap();
    });
    let response = ask(format!("http://{address}/")).await;
    assert_eq!(response.status(), 200);
    let error = response.into_body().collect().await.unwrap_err();
    assert_eq!(error.failure().kind(), FailureKind::HttpResponseIncomplete);
}
