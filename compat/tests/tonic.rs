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

/// The same faults in the place of a client's channel, (name, head, frames, code); a call without a head is an error of the channel.
#[tokio::test]
async fn every_fault_reaches_a_client_as_a_status() {
    type Frames = Vec<Result<Frame<Bytes>, io::ErrorKind>>;
    let data = |bytes: &'static [u8]| Ok(Frame::data(Bytes::from_static(bytes)));
    let trailers = |code: &'static str| {
        let value = http::HeaderValue::from_static(code);
        Ok(Frame::trailers(http::HeaderMap::from_iter([(http::HeaderName::from_static("grpc-status"), value)])))
    };
    let (whole, half): (&[u8], &[u8]) = (&[0, 0, 0, 0, 2, 8, 1], &[0, 0, 0, 0, 2, 8]);
    let grpc = Some((200, "application/grpc"));
    let reset = || Err(io::ErrorKind::ConnectionReset);
    type Row = (&'static str, Option<(u16, &'static str)>, Frames, Code);
    let rows: Vec<Row> = vec![
        ("refused", None, vec![], Code::Unavailable),
        ("reset after the head", grpc, vec![reset()], Code::Unavailable),
        ("reset after a message", grpc, vec![data(whole), reset()], Code::Unavailable),
        ("reset inside of one", grpc, vec![data(half), reset()], Code::Unavailable),
        ("silent", grpc, vec![data(whole), Err(io::ErrorKind::TimedOut)], Code::DeadlineExceeded),
        ("no status", grpc, vec![data(whole)], Code::Internal),
        ("a status that is none", grpc, vec![data(whole), trailers("17")], Code::Internal),
        ("success inside of a message", grpc, vec![data(half), trailers("0")], Code::Unavailable),
        ("its own", grpc, vec![data(whole), trailers("5")], Code::NotFound),
        ("502", Some((502, "text/html")), vec![data(b"<html>")], Code::Unavailable),
        ("401", Some((401, "text/html")), vec![data(b"<html>")], Code::Unauthenticated),
        ("404", Some((404, "text/html")), vec![data(b"<html>")], Code::Unimplemented),
        ("a page with 200", Some((200, "text/html")), vec![data(b"<html>")], Code::Internal),
    ];
    let mut wrong = Vec::new();
    for (name, head, frames, expected) in rows {
        let frames = std::sync::Arc::new(std::sync::Mutex::new(Some(frames)));
        let channel = service_fn(move |_: Request<Body>| {
            let frames = frames.lock().unwrap().take().unwrap();
            async move {
                let Some((status, media_type)) = head else {
                    return Err::<_, BoxError>(io::Error::from(io::ErrorKind::ConnectionRefused).into());
                };
                let frames = frames.into_iter().map(|frame| frame.map_err(io::Error::from));
                let body = StreamBody::new(futures_util::stream::iter(frames.collect::<Vec<_>>()));
                Ok(http::Response::builder().status(status).header("content-type", media_type).body(body).unwrap())
            }
        });
        let mut client = HealthClient::new(BadGatewayLayer::new().layer(channel));
        let answer = client.watch(HealthCheckRequest { service: String::new() }).await;
        let status = match answer {
            Ok(stream) => {
                let mut stream = stream.into_inner();
                loop {
                    match stream.message().await {
                        Ok(Some(_)) => {}
                        Ok(None) => break None,
                        Err(status) => break Some(status.code()),
                    }
                }
            }
            Err(status) => Some(status.code()),
        };
        if status != Some(expected) {
            wrong.push((name, status, expected));
        }
    }
    assert!(wrong.is_empty(), "(name, code, expected): {wrong:?}");
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
