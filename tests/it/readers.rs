//! Errors and what they are taken for.

use std::{error::Error, fmt, io};

use tower::{Layer, ServiceExt};
use tower_bad_gateway::{
    BadGatewayLayer, Failure, FailureKind,
    classify::{Cause, Verdict},
    failure::{Blame, BodyError, Parameter, Phase, RetrySafety},
};

use crate::mock::{Mock, get};

#[derive(Debug)]
struct Wrapped<E>(E);

impl<E> fmt::Display for Wrapped<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("wrapped")
    }
}

impl<E: Error + 'static> Error for Wrapped<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

#[derive(Debug)]
struct Mine;

impl fmt::Display for Mine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("mine")
    }
}

impl Error for Mine {}

async fn failure(layer: BadGatewayLayer, error: impl Fn() -> io::Error + Send + Sync + 'static) -> Failure {
    let Ok(response) = layer.layer(Mock::failing(error)).oneshot(get()).await;
    response.extensions().get::<Failure>().unwrap().clone()
}

#[test]
fn an_error_is_found_however_deep_it_is_wrapped() {
    let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
    let kinds = [
        Failure::from_error(refused()).kind(),
        Failure::from_error(Wrapped(refused())).kind(),
        Failure::from_error(Wrapped(Wrapped(refused()))).kind(),
        Failure::from_error(io::Error::other(Wrapped(refused()))).kind(),
        Failure::from_error(Wrapped(io::Error::other(io::Error::other(refused())))).kind(),
    ];
    assert_eq!(kinds, [FailureKind::ConnectionRefused; 5]);
}

#[test]
fn what_nobody_knows_is_unclassified_and_a_502() {
    let failure = Failure::from_error(Wrapped(Mine));
    assert_eq!((failure.kind(), failure.status().as_u16()), (FailureKind::Unclassified, 502));
    assert_eq!(failure.retry_safety(), RetrySafety::Unknown);
    assert_eq!(failure.blame(), Blame::Upstream);
}

#[test]
fn a_failure_is_returned_as_it_is() {
    let failure = Failure::new(FailureKind::HttpRequestDenied).with_phase(Phase::RequestBody).with_message("no");
    let back = Failure::from_error(failure.clone());
    assert_eq!((back.kind(), back.phase(), back.message()), (failure.kind(), failure.phase(), failure.message()));
    let back = Failure::from_error(BodyError::from(failure.clone()));
    assert_eq!((back.kind(), back.message()), (failure.kind(), Some("no")));
    let back = Failure::from_error(Wrapped(failure));
    assert_eq!(
        (back.kind(), back.phase(), back.message()),
        (FailureKind::HttpRequestDenied, Phase::RequestBody, Some("no"))
    );
}

#[tokio::test]
async fn a_users_reader_wins_on_what_it_sets_and_ours_fills_in_the_rest() {
    let kind_only = BadGatewayLayer::new()
        .single_attempt()
        .classify(|cause: &Cause<'_>| cause.find::<io::Error>().map(|_| FailureKind::DestinationUnavailable));
    let got = failure(kind_only, || io::ErrorKind::ConnectionRefused.into()).await;
    assert_eq!((got.kind(), got.phase()), (FailureKind::DestinationUnavailable, Phase::Connect));
    assert_eq!((got.retry_safety(), got.blame()), (RetrySafety::NotSent, Blame::Upstream));

    let everything = BadGatewayLayer::new().single_attempt().classify(|_: &Cause<'_>| {
        Some(
            Verdict::new(FailureKind::DnsError)
                .phase(Phase::Resolve)
                .blame(Blame::Gateway)
                .retry_safety(RetrySafety::NotProcessed)
                .parameter(Parameter::Rcode("SERVFAIL".into())),
        )
    });
    let got = failure(everything, || io::ErrorKind::ConnectionRefused.into()).await;
    assert_eq!((got.kind(), got.phase(), got.blame()), (FailureKind::DnsError, Phase::Resolve, Blame::Gateway));
    assert_eq!(got.retry_safety(), RetrySafety::NotProcessed);
    assert_eq!(got.parameters(), [Parameter::Rcode("SERVFAIL".into())]);
}

#[tokio::test]
async fn the_first_of_several_readers_wins() {
    let layer = BadGatewayLayer::new()
        .classify(|_: &Cause<'_>| None::<FailureKind>)
        .classify(|_: &Cause<'_>| Some(FailureKind::DnsError))
        .classify(|_: &Cause<'_>| Some(FailureKind::DnsTimeout));
    assert_eq!(failure(layer, || io::ErrorKind::TimedOut.into()).await.kind(), FailureKind::DnsError);
}

#[tokio::test]
async fn a_limit_that_somebody_else_had_set_is_lateness() {
    let elapsed = tokio::time::timeout(std::time::Duration::ZERO, std::future::pending::<()>()).await.unwrap_err();
    let failure = Failure::from_error(io::Error::other(Wrapped(elapsed)));
    assert_eq!((failure.kind(), failure.limit()), (FailureKind::HttpResponseTimeout, None));
}

/// Errors that no upstream has a part in.
#[tokio::test]
async fn what_failed_before_a_request_was_made_is_the_gateways() {
    let panicked = tokio::spawn(async { panic!("boom") }).await.unwrap_err();
    let pending = tokio::spawn(std::future::pending::<()>());
    pending.abort();
    let cancelled = pending.await.unwrap_err();
    let full = tokio::sync::Semaphore::new(0).try_acquire().unwrap_err();
    let uri = || "http://[".parse::<http::Uri>().unwrap_err();
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(http::uri::Scheme::HTTP);
    let parts = http::Uri::from_parts(parts).unwrap_err();
    let request = http::Request::builder().header("name", "line\nbreak").body(()).unwrap_err();
    let rows = [
        (Failure::from_error(panicked), FailureKind::ProxyInternalError, 500),
        (Failure::from_error(cancelled), FailureKind::DestinationUnavailable, 503),
        (Failure::from_error(full), FailureKind::ConnectionLimitReached, 503),
        (Failure::from_error(uri()), FailureKind::ProxyConfigurationError, 500),
        (Failure::from_error(Wrapped(uri())), FailureKind::ProxyConfigurationError, 500),
        (Failure::from_error(parts), FailureKind::ProxyConfigurationError, 500),
        (Failure::from_error(request), FailureKind::ProxyConfigurationError, 500),
    ];
    let wrong: Vec<_> = rows
        .iter()
        .filter(|(failure, kind, status)| {
            (failure.kind(), failure.status().as_u16(), failure.blame()) != (*kind, *status, Blame::Gateway)
        })
        .collect();
    assert!(wrong.is_empty(), "(failure, kind, status): {wrong:#?}");
}

#[cfg(feature = "hyper-util")]
mod through_a_client {
    use std::task::{Context, Poll};

    use super::*;
    use bytes::Bytes;
    use http::{Request, Uri};
    use http_body_util::Empty;
    use hyper_util::{
        client::legacy::Client,
        rt::{TokioExecutor, TokioIo},
    };

    /// A client whose connector fails with this.
    async fn connect_failure<E: Error + Send + Sync + 'static>(
        error: impl Fn() -> E + Clone + Send + Sync + 'static,
    ) -> Failure {
        #[derive(Clone)]
        struct Connector<F>(F);
        impl<F: Fn() -> E + Clone + Send, E: Error + Send + Sync + 'static> tower::Service<Uri> for Connector<F> {
            type Response = TokioIo<tokio::net::TcpStream>;
            type Error = E;
            type Future = std::future::Ready<Result<Self::Response, E>>;
            fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), E>> {
                Poll::Ready(Ok(()))
            }
            fn call(&mut self, _: Uri) -> Self::Future {
                std::future::ready(Err((self.0)()))
            }
        }
        let client = Client::builder(TokioExecutor::new()).build::<_, Empty<Bytes>>(Connector(error));
        let request = Request::builder().uri("http://upstream/").body(Empty::new()).unwrap();
        Failure::from_error(client.request(request).await.unwrap_err())
    }

    /// The same errors as at the response, but while connecting: nothing was sent.
    #[tokio::test]
    async fn errors_of_a_connector_are_errors_of_connecting() {
        let io = |kind: io::ErrorKind| move || io::Error::from(kind);
        let os = |number| move || io::Error::from_raw_os_error(number);
        let tls = |kind: io::ErrorKind| move || io::Error::other(io::Error::from(kind));
        let rows = [
            (
                connect_failure(io(io::ErrorKind::ConnectionRefused)).await,
                FailureKind::ConnectionRefused,
                Phase::Connect,
            ),
            (
                connect_failure(io(io::ErrorKind::ConnectionReset)).await,
                FailureKind::ConnectionTerminated,
                Phase::Connect,
            ),
            (connect_failure(io(io::ErrorKind::NotFound)).await, FailureKind::ConnectionRefused, Phase::Connect),
            (connect_failure(io(io::ErrorKind::TimedOut)).await, FailureKind::ConnectionTimeout, Phase::Connect),
            (connect_failure(os(110)).await, FailureKind::ConnectionTimeout, Phase::Connect),
            (connect_failure(os(113)).await, FailureKind::DestinationIpUnroutable, Phase::Connect),
            (connect_failure(os(101)).await, FailureKind::DestinationIpUnroutable, Phase::Connect),
            (connect_failure(os(13)).await, FailureKind::DestinationIpProhibited, Phase::Connect),
            (connect_failure(os(1)).await, FailureKind::DestinationIpProhibited, Phase::Connect),
            (connect_failure(os(99)).await, FailureKind::ConnectionLimitReached, Phase::Connect),
            (connect_failure(os(24)).await, FailureKind::ConnectionLimitReached, Phase::Connect),
            (connect_failure(tls(io::ErrorKind::UnexpectedEof)).await, FailureKind::TlsProtocolError, Phase::Tls),
            (connect_failure(tls(io::ErrorKind::ConnectionReset)).await, FailureKind::ConnectionTerminated, Phase::Tls),
            // What TLS has to say of data stands in a type of its own, if anybody reads that.
            if cfg!(feature = "rustls") {
                (connect_failure(tls(io::ErrorKind::InvalidData)).await, FailureKind::Unclassified, Phase::Connect)
            } else {
                (connect_failure(tls(io::ErrorKind::InvalidData)).await, FailureKind::TlsProtocolError, Phase::Tls)
            },
            (connect_failure(tls(io::ErrorKind::NotFound)).await, FailureKind::ConnectionRefused, Phase::Connect),
            (connect_failure(|| Mine).await, FailureKind::Unclassified, Phase::Connect),
            // A Unix socket: a full queue, a file in the way, a datagram socket; numbers of Linux.
            (connect_failure(os(11)).await, FailureKind::DestinationUnavailable, Phase::Connect),
            (connect_failure(os(20)).await, FailureKind::ConnectionRefused, Phase::Connect),
            #[cfg(target_os = "linux")]
            (connect_failure(os(91)).await, FailureKind::ConnectionRefused, Phase::Connect),
            // Nothing that has to do with TLS: a path that is too long, an address without its scope, a header of a proxy.
            (
                connect_failure(io(io::ErrorKind::InvalidInput)).await,
                FailureKind::ProxyConfigurationError,
                Phase::Connect,
            ),
            (connect_failure(os(22)).await, FailureKind::ProxyConfigurationError, Phase::Connect),
            (
                connect_failure(tls(io::ErrorKind::InvalidInput)).await,
                FailureKind::ProxyConfigurationError,
                Phase::Connect,
            ),
            (connect_failure(io(io::ErrorKind::InvalidData)).await, FailureKind::Unclassified, Phase::Connect),
        ];
        let wrong: Vec<_> = rows
            .iter()
            .filter(|(failure, kind, phase)| {
                (failure.kind(), failure.phase(), failure.retry_safety()) != (*kind, *phase, RetrySafety::NotSent)
            })
            .collect();
        assert!(wrong.is_empty(), "(failure, kind, phase): {wrong:#?}");
    }

    #[cfg(feature = "tower")]
    #[tokio::test]
    async fn a_limit_around_a_connector_is_a_connect_timeout() {
        let connector =
            tower::service_fn(|_: Uri| Box::pin(std::future::pending::<io::Result<TokioIo<tokio::net::TcpStream>>>()));
        let connector = tower::ServiceBuilder::new()
            .boxed_clone_sync()
            .layer(tower::timeout::TimeoutLayer::new(std::time::Duration::ZERO))
            .service(connector);
        let client = Client::builder(TokioExecutor::new()).build::<_, Empty<Bytes>>(connector);
        let request = Request::builder().uri("http://upstream/").body(Empty::new()).unwrap();
        let failure = Failure::from_error(client.request(request).await.unwrap_err());
        assert_eq!((failure.kind(), failure.phase()), (FailureKind::ConnectionTimeout, Phase::Connect));
    }
}

/// A hyper connection over a pipe: the errors that a pooled client would wrap.
#[cfg(feature = "hyper-util")]
mod through_a_connection {
    use http::{Request, StatusCode};
    use http_body_util::BodyExt;
    use hyper::client::conn::http1::{SendRequest, handshake};
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;
    use crate::mock::{MockBody, Step};

    async fn connect<B>() -> (SendRequest<B>, tokio::task::JoinHandle<hyper::Result<()>>, DuplexStream)
    where
        B: http_body::Body<Data = bytes::Bytes, Error: Into<tower_bad_gateway::BoxError>> + Send + 'static,
    {
        let (client, server) = duplex(1024);
        let (sender, connection) = handshake(TokioIo::new(client)).await.unwrap();
        (sender, tokio::spawn(connection), server)
    }

    fn post(body: MockBody) -> Request<MockBody> {
        Request::builder().method("POST").uri("/").header("host", "upstream").body(body).unwrap()
    }

    /// Below an error of the user's stands what went wrong with the client, in the types of an upstream's faults.
    #[tokio::test]
    async fn the_clients_own_faults_are_never_the_upstreams() {
        let rows = [
            (io::ErrorKind::ConnectionReset, 400),
            (io::ErrorKind::UnexpectedEof, 400),
            (io::ErrorKind::InvalidInput, 400),
            (io::ErrorKind::ConnectionRefused, 400),
            (io::ErrorKind::TimedOut, 408),
        ];
        for (kind, status) in rows {
            let (mut sender, _connection, _server) = connect().await;
            let upload = MockBody::steps([Step::Data("half"), Step::Fail(kind)]);
            let failure = Failure::from_error(sender.send_request(post(upload)).await.unwrap_err());
            assert_eq!((failure.kind(), failure.status().as_u16()), (FailureKind::HttpRequestError, status), "{kind}");
            assert_eq!((failure.blame(), failure.phase()), (Blame::Client, Phase::RequestBody), "{kind}");
            let late = [Parameter::StatusCode(StatusCode::REQUEST_TIMEOUT)];
            assert_eq!(failure.parameters(), if status == 408 { &late[..] } else { &[] }, "{kind}");
            assert!(failure.private_chain().to_string().contains(&kind.to_string()), "logs see what verdicts do not");
        }
    }

    /// No reader looks below such an error, but the name of an upstream is found there: the response of one call may be the request of another.
    #[tokio::test]
    async fn the_name_of_an_upstream_is_found_below_the_error_of_an_upload() {
        let (mut sender, _connection, _server) = connect().await;
        let upload = MockBody::steps([Step::Data("half"), Step::Fail(io::ErrorKind::ConnectionReset)]);
        let upload = upload.map_err(|error| tower_bad_gateway::Upstream::new("billing").error(error));
        let request = Request::builder().method("POST").uri("/").header("host", "upstream").body(upload).unwrap();
        let failure = Failure::from_error(sender.send_request(request).await.unwrap_err());
        assert_eq!(failure.kind(), FailureKind::HttpRequestError);
        assert_eq!(failure.upstream().map(tower_bad_gateway::Upstream::name), Some("billing"));
    }

    /// The task of the connection is aborted: hyper says that the user is at fault, as it does of a body that failed.
    #[tokio::test]
    async fn a_client_is_not_blamed_for_a_connection_whose_task_is_gone() {
        let rows = [
            ("nothing to send", "POST", false, false, FailureKind::ProxyInternalError, Blame::Gateway),
            // As a wrapper that does not pass on what it wraps.
            ("a body that does not say so", "GET", true, false, FailureKind::ProxyInternalError, Blame::Gateway),
            ("nobody watched what was sent", "POST", true, false, FailureKind::HttpRequestError, Blame::Client),
            ("what was sent was sound", "POST", true, true, FailureKind::ProxyInternalError, Blame::Gateway),
        ];
        let mut wrong = Vec::new();
        for (row, method, has_content, tapped, kind, blame) in rows {
            let (sender, connection, mut server) = connect().await;
            let upload = MockBody::steps([Step::Data("half"), Step::Silence]);
            let mut request = if has_content { post(upload) } else { post(MockBody::of([]).ended()) };
            *request.method_mut() = method.parse().unwrap();
            let sender = std::sync::Arc::new(tokio::sync::Mutex::new(sender));
            let client = move |request| {
                let sender = std::sync::Arc::clone(&sender);
                async move { sender.lock().await.send_request(request).await }
            };
            let silent = BadGatewayLayer::new().silent();
            let call = if tapped {
                use tower_bad_gateway::{RequestBodyTap, body::RequestBody};
                let unwrapped = move |request: Request<RequestBody<MockBody>>| {
                    client(request.map(|body| BodyExt::map_err(body, io::Error::other).boxed_unsync()))
                };
                tokio::spawn(RequestBodyTap::new().layer(silent.layer(tower::service_fn(unwrapped))).oneshot(request))
            } else {
                let boxed = move |request: Request<MockBody>| client(request.map(BodyExt::boxed_unsync));
                tokio::spawn(silent.layer(tower::service_fn(boxed)).oneshot(request))
            };
            assert!(server.read(&mut [0; 1024]).await.unwrap() > 0);
            connection.abort();
            let Ok(response) = call.await.unwrap();
            let failure = response.extensions().get::<Failure>().unwrap();
            if (failure.kind(), failure.blame()) != (kind, blame) {
                wrong.push((row, failure.clone()));
            }
        }
        assert!(wrong.is_empty(), "(row, failure): {wrong:#?}");
    }

    #[tokio::test]
    async fn a_request_that_was_never_written_was_not_sent() {
        let (mut sender, connection, server) = connect().await;
        drop(server);
        let _ = connection.await;
        let failure = Failure::from_error(sender.send_request(post(MockBody::of([]).ended())).await.unwrap_err());
        assert_eq!((failure.kind(), failure.retry_safety()), (FailureKind::ConnectionTerminated, RetrySafety::NotSent));
    }

    #[tokio::test]
    async fn a_request_that_was_read_may_have_been_processed() {
        let (mut sender, _connection, mut server) = connect().await;
        let answer = tokio::spawn(async move { sender.send_request(post(MockBody::of([]).ended())).await });
        let mut buffer = [0; 1024];
        assert!(server.read(&mut buffer).await.unwrap() > 0);
        drop(server);
        let failure = Failure::from_error(answer.await.unwrap().unwrap_err());
        assert_eq!((failure.kind(), failure.retry_safety()), (FailureKind::ConnectionTerminated, RetrySafety::Unknown));
    }

    /// With and without being told that it is a body's.
    #[tokio::test]
    async fn an_error_of_a_body_is_one_without_a_client_around_it() {
        let rows = [
            (&b"transfer-encoding: chunked\r\n\r\nxyz\r\n"[..], FailureKind::HttpResponseTransferCoding),
            (b"content-length: 10\r\n\r\nhalf", FailureKind::HttpResponseIncomplete),
        ];
        for (rest, kind) in rows {
            let error = || async {
                let (mut sender, _connection, mut server) = connect().await;
                let call = tokio::spawn(async move { sender.send_request(post(MockBody::of([]).ended())).await });
                assert!(server.read(&mut [0; 1024]).await.unwrap() > 0);
                server.write_all(b"HTTP/1.1 200 OK\r\n").await.unwrap();
                server.write_all(rest).await.unwrap();
                drop(server);
                let response = call.await.unwrap().unwrap();
                response.into_body().collect().await.unwrap_err()
            };
            for failure in [Failure::from_error(error().await), Failure::from_body_error(error().await)] {
                assert_eq!((failure.kind(), failure.retry_safety()), (kind, RetrySafety::Unknown));
            }
        }
    }
}
