//! In a tonic server, and around a tonic client.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::{io, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::Request;
use http_body::Frame;
use http_body_util::StreamBody;
use tokio::net::TcpSocket;
use tonic::{
    Code,
    body::Body,
    transport::{Channel, Endpoint, Server, server::TcpIncoming},
};
use tonic_health::{
    pb::{HealthCheckRequest, health_client::HealthClient},
    server::health_reporter,
};
use tower::{BoxError, Layer, ServiceBuilder, layer::layer_fn, service_fn};
use tower_bad_gateway::BadGatewayLayer;

fn channel(address: SocketAddr) -> Channel {
    Endpoint::from_shared(format!("http://{address}")).unwrap().connect_lazy()
}

async fn check<S>(service: S) -> Result<i32, tonic::Status>
where
    S: tonic::client::GrpcService<Body>,
    S::ResponseBody: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    <S::ResponseBody as http_body::Body>::Error: Into<BoxError> + Send,
{
    let mut client = HealthClient::new(service);
    let response = client.check(HealthCheckRequest { service: String::new() }).await?;
    Ok(response.into_inner().status)
}

#[tokio::test]
async fn a_client_whose_server_is_not_there_gets_a_status() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let channel = channel(socket.local_addr().unwrap());
    let status = check(BadGatewayLayer::new().layer(channel)).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Unavailable, "the upstream refused the connection"));
}

/// A server with the layer around its services, and something that fails inside.
#[tokio::test]
async fn a_server_answers_what_fails_inside_of_it() {
    let incoming = TcpIncoming::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let address = incoming.local_addr().unwrap();
    let (_reporter, health) = health_reporter();
    let failing = layer_fn(|_inner| {
        service_fn(|_: Request<Body>| async {
            Err::<http::Response<Body>, BoxError>(io::Error::from(io::ErrorKind::TimedOut).into())
        })
    });
    let server = Server::builder()
        .layer(ServiceBuilder::new().layer(BadGatewayLayer::for_router()).layer(failing).into_inner())
        .add_service(health);
    tokio::spawn(server.serve_with_incoming(incoming));
    let status = check(channel(address)).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::DeadlineExceeded, "the upstream did not answer in time"));
}

/// Layers on both sides, and a call that works.
#[tokio::test]
async fn a_healthy_call_passes_both_layers() {
    const SERVING: i32 = 1;
    let incoming = TcpIncoming::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let address = incoming.local_addr().unwrap();
    let (_reporter, health) = health_reporter();
    let server = Server::builder().layer(BadGatewayLayer::for_router()).add_service(health);
    tokio::spawn(server.serve_with_incoming(incoming));
    let layer = BadGatewayLayer::new().head_timeout(Duration::from_secs(30));
    assert_eq!(check(layer.layer(channel(address))).await.unwrap(), SERVING);
}

/// The layer around a client's channel: what breaks after the head reaches tonic as a status it can act on.
#[tokio::test]
async fn a_stream_that_breaks_reaches_a_client_as_a_status() {
    const SERVING: &[u8] = &[0, 0, 0, 0, 2, 8, 1];
    const REFUSED: &str = "the upstream closed the connection before its response was complete";
    // Between two messages, inside of one, inside of a prefix.
    for cut in [&[][..], &SERVING[..6], &SERVING[..3]] {
        let channel = service_fn(move |_: Request<Body>| async move {
            let frames = [Ok(SERVING), Ok(cut), Err(io::Error::from(io::ErrorKind::ConnectionReset))];
            let frames = frames.into_iter().filter(|frame| !matches!(frame, Ok([])));
            let frames = frames.map(|frame| frame.map(|data| Frame::data(Bytes::from_static(data))));
            let body = StreamBody::new(futures_util::stream::iter(frames.collect::<Vec<_>>()));
            let response = http::Response::builder().header("content-type", "application/grpc").body(body).unwrap();
            Ok::<_, BoxError>(response)
        });
        let mut client = HealthClient::new(BadGatewayLayer::new().layer(channel));
        let request = HealthCheckRequest { service: String::new() };
        let mut stream = client.watch(request).await.unwrap().into_inner();
        assert_eq!(stream.message().await.unwrap().unwrap().status, 1, "{cut:?}");
        let status = stream.message().await.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::Unavailable, REFUSED), "{cut:?}");
    }
}
