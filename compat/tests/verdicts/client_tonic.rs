//! D4: a channel of tonic, and the statuses that its clients make of its errors.

use std::time::Duration;

use http::Request;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tonic::{
    Code, Status,
    body::Body,
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tower::{Service, ServiceExt};
use tower_bad_gateway::{
    Failure,
    FailureKind::*,
    failure::{Blame, Phase, RetrySafety},
};

use crate::{
    row::{call, check},
    upstream::{self, End},
};

/// Where a timeout is expected.
const SOON: Duration = Duration::from_millis(300);
const CONNECT: &[Phase] = &[Phase::Connect];

fn endpoint(to: impl std::fmt::Display) -> Endpoint {
    Endpoint::from_shared(format!("http://{to}")).unwrap()
}

/// The error of the channel itself, as a layer around it gets it.
async fn failed(mut channel: Channel) -> tonic::transport::Error {
    let request = Request::builder().method("POST").uri("/grpc.health.v1.Health/Check").body(Body::empty()).unwrap();
    // The channel is a buffer: what has failed in it may come out before it is called.
    match channel.ready().await {
        Ok(ready) => ready.call(request).await.unwrap_err(),
        Err(error) => error,
    }
}

/// What a handler gets.
async fn status(channel: Channel) -> Status {
    let request = HealthCheckRequest { service: String::new() };
    HealthClient::new(channel).check(request).await.unwrap_err()
}

/// Speaks HTTP/2 as far as it has to, and never answers a request.
async fn silent_h2() -> std::net::SocketAddr {
    upstream::listen(|mut stream| async move {
        stream.write_all(SETTINGS).await?;
        upstream::drain(&mut stream).await
    })
    .await
}

/// An empty SETTINGS frame and the acknowledgement of the client's.
const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0\0\0\0\x04\x01\0\0\0\0";

const HEADERS: u8 = 1;

/// Reads the head of a request, and ends.
async fn ending_h2(end: End) -> std::net::SocketAddr {
    upstream::listen(move |mut stream| async move {
        stream.write_all(SETTINGS).await?;
        stream.read_exact(&mut [0; upstream::PREFACE]).await?;
        while upstream::read_frame(&mut stream).await?[3] != HEADERS {}
        end.of(stream).await
    })
    .await
}

#[tokio::test]
async fn a_channel() {
    check(vec![
        call("D4a", &[ConnectionRefused], || async { failed(endpoint(upstream::refusing()).connect_lazy()).await })
            .not_sent(CONNECT),
        call("D4a/s", &[ConnectionRefused], || async { status(endpoint(upstream::refusing()).connect_lazy()).await })
            .not_sent(CONNECT),
        call("D4g", &[ConnectionRefused], || async {
            let refusing = [upstream::refusing(), upstream::refusing()].map(endpoint);
            failed(Channel::balance_list(refusing.into_iter())).await
        })
        .not_sent(CONNECT),
        call("D4b", &[DnsError], || async { failed(endpoint("nowhere.invalid").connect_lazy()).await })
            .not_sent(&[Phase::Resolve]),
        // By race: what the server says is read before the connection is lost, or not.
        call("D4c", &[HttpProtocolError, ConnectionTerminated], || async {
            let old = upstream::answering_anything(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await;
            failed(endpoint(old).connect_lazy()).await
        })
        .phase(&[Phase::Unknown, Phase::ResponseHead])
        .retry(&[RetrySafety::Unknown, RetrySafety::NotSent]),
        call("D4e", &[HttpResponseTimeout], || async {
            failed(endpoint(silent_h2().await).timeout(SOON).connect_lazy()).await
        }),
        call("D4e/s", &[HttpResponseTimeout], || async {
            status(endpoint(silent_h2().await).timeout(SOON).connect_lazy()).await
        }),
        call("D4m", &[HttpResponseTimeout], || async {
            let mut request = tonic::Request::new(HealthCheckRequest { service: String::new() });
            request.set_timeout(SOON);
            HealthClient::new(endpoint(silent_h2().await).connect_lazy()).check(request).await.unwrap_err()
        }),
        call("D4f3", &[HttpResponseTimeout], || async {
            let silent = upstream::hanging_up(End::Silence).await;
            failed(endpoint(silent).timeout(SOON).connect_lazy()).await
        }),
        call("D4f", &[ConnectionTimeout], || async {
            failed(endpoint(upstream::black_hole().await).connect_timeout(SOON).connect_lazy()).await
        })
        .not_sent(CONNECT),
        // A connection that is lost, to gRPC: no deadline has passed.
        call("D4h", &[ConnectionReadTimeout], || async {
            let keep_alive = endpoint(silent_h2().await)
                .http2_keep_alive_interval(SOON)
                .keep_alive_timeout(SOON)
                .keep_alive_while_idle(true);
            failed(keep_alive.connect_lazy()).await
        })
        .code(&[14]),
        call("D4i", &[ConnectionTerminated], || async {
            failed(endpoint(ending_h2(End::Close).await).connect_lazy()).await
        })
        .phase(&[Phase::Unknown, Phase::ResponseHead])
        .retry(&[RetrySafety::Unknown]),
        call("D4j", &[ConnectionTerminated], || async {
            failed(endpoint(ending_h2(End::Reset).await).connect_lazy()).await
        })
        .phase(&[Phase::Unknown, Phase::ResponseHead])
        .retry(&[RetrySafety::Unknown]),
    ])
    .await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_channel_over_a_unix_socket() {
    use hyper_util::rt::TokioIo;

    check(vec![
        call("D4k", &[ConnectionRefused], || async {
            let path = crate::folder().join("missing");
            let connector = tower::service_fn(move |_: http::Uri| {
                let path = path.clone();
                async move { tokio::net::UnixStream::connect(path).await.map(TokioIo::new) }
            });
            failed(endpoint("upstream.example").connect_with_connector_lazy(connector)).await
        })
        .not_sent(CONNECT),
        call("D4k/long", &[ProxyConfigurationError], || async {
            let path = "a-path-too-long-for-the-address-of-a-socket".repeat(4);
            let connector = tower::service_fn(move |_: http::Uri| {
                let path = path.clone();
                async move { tokio::net::UnixStream::connect(path).await.map(TokioIo::new) }
            });
            failed(endpoint("upstream.example").connect_with_connector_lazy(connector)).await
        })
        .not_sent(CONNECT),
    ])
    .await;
}

/// No source: what an upstream has said, or tonic's client of what it could not read.
#[tokio::test]
async fn a_status_by_its_code() {
    const HTML: &[u8] = b"<!doctype html><title>Maintenance</title>";
    check(vec![
        call("D4l/4", &[HttpResponseTimeout], || async { Status::deadline_exceeded("") }),
        call("D4l/14", &[DestinationUnavailable], || async { Status::unavailable("") }),
        call("D4l/8", &[ConnectionLimitReached], || async { Status::resource_exhausted("") })
            .blame(Blame::Upstream)
            .code(&[8]),
        // Nobody but who has called may cancel, and that was not us.
        call("D4l/1", &[ReceivedStatus], || async { Status::cancelled("") }).code(&[14]),
        call("D4l/0", &[ReceivedStatus], || async { Status::ok("") }).code(&[14]),
        call("D4l/5", &[ReceivedStatus], || async { Status::not_found("") }).code(&[5]),
        call("D4l/16", &[ReceivedStatus], || async { Status::unauthenticated("") }).code(&[16]),
        call("D4d2", &[ReceivedStatus], || async {
            let service = tower::service_fn(|_: Request<Body>| async {
                let content = http_body_util::Full::from(HTML);
                let response = http::Response::builder().header("content-type", "text/html").body(content);
                Ok::<_, std::convert::Infallible>(response.unwrap())
            });
            let request = HealthCheckRequest { service: String::new() };
            HealthClient::new(service).check(request).await.unwrap_err()
        })
        .code(&[13]),
    ])
    .await;
}

/// And back again: a handler of tonic's own that ends in `?`.
#[tokio::test]
async fn a_failure_becomes_the_status_it_was_or_one_that_says_nothing_private() {
    let answer = Status::from(Failure::from_error(failed(endpoint(upstream::refusing()).connect_lazy()).await));
    assert_eq!((answer.code(), answer.message()), (Code::Unavailable, "the upstream refused the connection"));
    assert_eq!(Failure::from_error(answer).kind(), ConnectionRefused, "its source is the failure");

    let keep_alive = endpoint(silent_h2().await).http2_keep_alive_interval(SOON).keep_alive_timeout(SOON);
    let failure = Failure::from_error(failed(keep_alive.connect_lazy()).await);
    assert_eq!(Status::from(failure).code(), Code::Unavailable);

    // tonic's clients call their own limit `Cancelled`, and print addresses.
    let late = status(endpoint(silent_h2().await).timeout(SOON).connect_lazy()).await;
    assert_eq!(late.code(), Code::Cancelled);
    let late = Status::from(Failure::from_error(late));
    assert_eq!((late.code(), late.message()), (Code::DeadlineExceeded, "the upstream did not answer in time"));
    let refused = status(endpoint(upstream::refusing()).connect_lazy()).await;
    assert_eq!(Status::from(Failure::from_error(refused)).message(), "the upstream refused the connection");

    let said = Failure::from_error(Status::not_found("no such invoice")).with_message("Sorry.");
    assert_eq!((Status::from(said.clone()).code(), Status::from(said).message()), (Code::NotFound, "Sorry."));

    let with_message = Failure::new(DnsError).with_message("No luck.");
    assert_eq!(Status::from(with_message).message(), "No luck.");

    let said = Status::with_details(Code::FailedPrecondition, "no credit", bytes::Bytes::from_static(b"details"));
    let again = Status::from(Failure::from_error(said));
    assert_eq!(
        (again.code(), again.message(), again.details()),
        (Code::FailedPrecondition, "no credit", &b"details"[..])
    );
}

/// What the limit on the head makes of a channel that balances over nothing: it says that it is ready.
#[tokio::test]
async fn a_channel_without_endpoints_is_late() {
    let (channel, changes) = Channel::balance_channel::<u8>(1);
    let layer = tower_bad_gateway::BadGatewayLayer::new().head_timeout(SOON).silent();
    let request = Request::builder().method("POST").uri("/a/B").body(Body::empty()).unwrap();
    let gateway = tower::Layer::layer(&layer, channel);
    let Ok(response) = gateway.oneshot(request).await;
    // D4g3, D4g4: 503 would be right, but no type tells.
    assert_eq!(response.extensions().get::<Failure>().unwrap().kind(), HttpResponseTimeout);
    drop(changes);
}
