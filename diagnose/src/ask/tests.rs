//! What is made of servers on sockets. No limit is short where something is to come.

use std::{io, sync::Arc};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer},
    server::WebPkiClientVerifier,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    net::{TcpListener, TcpSocket},
};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::{
    connector, read,
    trust::{self, Trust},
};

const LONG: Duration = Duration::from_secs(60);

fn asks(tls: Option<TlsConnector>) -> Ask {
    Ask { timeout: LONG, tls, headers: Vec::new() }
}

fn request() -> Request<Empty<Bytes>> {
    asks(None).request(&Uri::from_static("http://www.example/"))
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A port that refuses for as long as the socket lives.
fn refusing() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

async fn read_head(stream: &mut (impl AsyncReadExt + Unpin)) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// Answers one request with this, and shows it.
async fn served(ask: Ask, answer: &'static [u8]) -> (Asked, String) {
    let (listener, address) = listen().await;
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await?;
        let head = read_head(&mut stream).await?;
        stream.write_all(answer).await?;
        stream.shutdown().await?;
        io::Result::Ok(head)
    });
    let asked = ask.ask(&format!("http://{address}/path?query").parse().unwrap()).await;
    (asked, server.await.unwrap().unwrap())
}

#[tokio::test]
async fn the_next_address_is_asked_when_one_refuses() {
    let ((_socket, refuses), (_listener, takes)) = (refusing(), listen().await);
    let until = Instant::now() + LONG;
    let mut missed = Vec::new();
    let stream = connect(&[refuses, takes], until, &mut missed).await.unwrap();
    assert_eq!((stream.peer_addr().unwrap(), missed.len(), missed[0].0), (takes, 1, refuses));
    let failure = connect(&[refuses, refuses], until, &mut missed).await.unwrap_err();
    assert_eq!((failure.kind(), missed.len()), (FailureKind::ConnectionRefused, 3));
    assert_eq!(connect(&[], until, &mut Vec::new()).await.unwrap_err().kind(), FailureKind::DnsError);
}

#[test]
fn the_most_telling_failure_counts_whichever_came_last() {
    use FailureKind as Kind;
    let address = SocketAddr::from(([127, 0, 0, 1], 1));
    // The last two weigh the same.
    for least_telling in [Kind::ProxyInternalError, Kind::ConnectionLimitReached] {
        let order = [
            Kind::ConnectionRefused,
            Kind::ConnectionTerminated,
            Kind::Unclassified,
            Kind::ConnectionTimeout,
            Kind::DestinationIpProhibited,
            Kind::DestinationIpUnroutable,
            least_telling,
        ];
        for pair in order.windows(2) {
            let mut missed: Vec<_> = pair.iter().map(|kind| (address, Failure::new(*kind))).collect();
            assert_eq!(connect::most_telling(&missed).kind(), pair[0]);
            missed.reverse();
            assert_eq!(connect::most_telling(&missed).kind(), pair[0]);
        }
    }
    // What this computer lacks: an address of its own, a descriptor.
    for error in [io::Error::from(io::ErrorKind::AddrNotAvailable), io::Error::from_raw_os_error(24)] {
        let missed = [(address, Failure::from_error(error)), (address, Failure::new(Kind::ConnectionTimeout))];
        assert_eq!(connect::most_telling(&missed).kind(), Kind::ConnectionTimeout);
    }
}

#[tokio::test]
async fn names_that_are_never_known_are_not_asked_for() {
    for name in ["www.invalid", "INVALID", "www.invalid."] {
        let failure = resolve(name, 80).await.unwrap_err();
        assert_eq!(failure.private_chain().to_string().matches("no such name").count(), 1, "{name}");
    }
    assert_eq!(resolve("[::1]", 80).await.unwrap(), ["[::1]:80".parse().unwrap()]);
    let usual = ["http://a", "https://a", "http://a:8080", "https://a:8080"].map(|url| port(&url.parse().unwrap()));
    assert_eq!(usual, [80, 443, 8080, 8080]);
}

#[tokio::test]
async fn a_request_says_what_it_was_told_to_say() {
    let header = |name, value| (HeaderName::from_static(name), HeaderValue::from_static(value));
    let headers = vec![header("x-debug", "1"), header("x-debug", "2"), header("accept", "text/plain")];
    let (asked, head) = served(Ask { headers, ..asks(None) }, b"HTTP/1.1 204 No Content\r\n\r\n").await;
    let host = asked.url.authority().unwrap().clone();
    for line in [
        "GET /path?query HTTP/1.1",
        &format!("host: {host}"),
        "x-debug: 1",
        "x-debug: 2",
        "accept: text/plain",
        "user-agent: tower-bad-gateway-diagnose",
    ] {
        assert_eq!(head.lines().filter(|found| *found == line).count(), 1, "{line}: {head}");
    }
    assert_eq!(head.matches("accept:").count(), 1);
    let headers = vec![header("host", "other.example")];
    let (_, head) = served(Ask { headers, ..asks(None) }, b"HTTP/1.1 204 No Content\r\n\r\n").await;
    assert!(head.contains("host: other.example\r\n") && head.matches("host:").count() == 1, "{head}");
}

#[tokio::test]
async fn a_body_is_whole_cut_off_or_ended_with_the_connection() {
    let mut wrong = Vec::new();
    for (answer, expected, exit) in [
        (&b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfour"[..], "and the body is complete.", 0),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nfour", "was cut off after 4 bytes", 1),
        (
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nfour\r\n0\r\n\r\n",
            "and the body is complete.",
            0,
        ),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nfour\r\n", "was cut off after 4 bytes", 1),
        (b"HTTP/1.1 200 OK\r\n\r\nfour", "so its end cannot be checked", 0),
        (b"HTTP/1.0 200 OK\r\n\r\nfour", "so its end cannot be checked", 0),
        (b"", "closed the connection before there was a complete answer", 1),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "got no valid HTTP", 1),
    ] {
        let (asked, _) = served(asks(None), answer).await;
        let diagnosis = read::diagnose(&asked);
        if !diagnosis.verdict.contains(expected) || read::exit(&diagnosis) != exit {
            wrong.push(diagnosis.verdict);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn a_banner_is_no_http_whoever_sees_it_first() {
    let (listener, address) = listen().await;
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await?;
        stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n").await?;
        read_head(&mut stream).await
    });
    let stream = TcpStream::connect(address).await.unwrap();
    // It is there before anything is asked.
    stream.readable().await.unwrap();
    let failure = send::http1(stream, request()).await.unwrap_err();
    assert_eq!(failure.kind(), FailureKind::HttpProtocolError, "{}", failure.private_chain());
    drop(server.await);
}

/// A server of HTTP/2 without TLS that does with the stream what it is told to.
async fn h2(act: impl FnOnce(h2::server::SendResponse<Bytes>) + Send + 'static) -> DuplexStream {
    let (client, server) = tokio::io::duplex(64 * 1024);
    tokio::spawn(async move {
        let mut connection = h2::server::handshake(server).await.unwrap();
        let (_, respond) = connection.accept().await.unwrap().unwrap();
        act(respond);
        while connection.accept().await.is_some() {}
    });
    client
}

#[tokio::test]
async fn a_stream_that_is_reset_without_an_error_has_no_whole_body() {
    let mut wrong = Vec::new();
    for (length, is_reset, expected) in
        [(Some("100"), true, "Broken"), (None, true, "Broken"), (Some("4"), false, "Whole"), (None, false, "Whole")]
    {
        let stream = h2(move |mut respond| {
            let mut response = Response::new(());
            if let Some(length) = length {
                response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from_static(length));
            }
            let mut body = respond.send_response(response, false).unwrap();
            body.send_data(Bytes::from_static(b"four"), !is_reset).unwrap();
            if is_reset {
                // After the data, which a reset would throw away.
                tokio::spawn(async move {
                    tokio::task::yield_now().await;
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    body.send_reset(h2::Reason::NO_ERROR);
                });
            }
        })
        .await;
        let (head, incoming) = send::http2(stream, request()).await.unwrap().into_parts();
        let (.., end) = body::read(&head, incoming, Instant::now(), LONG).await;
        if !format!("{end:?}").starts_with(expected) {
            wrong.push(format!("{length:?} {is_reset}: {end:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn the_host_that_was_asked_for_is_the_authority_of_http2() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let (client, server) = tokio::io::duplex(64 * 1024);
    tokio::spawn(async move {
        let mut connection = h2::server::handshake(server).await.unwrap();
        let (asked, mut respond) = connection.accept().await.unwrap().unwrap();
        sender.send(asked).unwrap();
        respond.send_response(Response::new(()), true).unwrap();
        while connection.accept().await.is_some() {}
    });
    let mut request = request();
    request.headers_mut().insert(header::HOST, HeaderValue::from_static("other.example"));
    send::http2(client, request).await.unwrap();
    let asked = receiver.recv().unwrap();
    assert_eq!(asked.uri().authority().unwrap(), "other.example");
    assert!(!asked.headers().contains_key(header::HOST));
}

fn identity() -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    (cert.der().clone(), PrivateKeyDer::Pkcs8(signing_key.serialize_der().into()))
}

/// TLS 1.3 lets the client ask before it learns that its certificate is missing.
#[tokio::test]
async fn a_client_certificate_that_is_missing_is_an_alert_in_any_version() {
    for alpn in [&b"h2"[..], b"http/1.1"] {
        let (certificate, key) = identity();
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).unwrap();
        let provider = Arc::new(ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build();
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_client_cert_verifier(verifier.unwrap())
            .with_single_cert(vec![certificate.clone()], key)
            .unwrap();
        config.alpn_protocols = vec![alpn.to_vec()];
        let (listener, address) = listen().await;
        let server = tokio::spawn(async move {
            let (stream, _) = listener.accept().await?;
            // The alert is sent, and what the client has asked is read, or a reset would overtake the alert.
            let (_, mut stream) = match TlsAcceptor::from(Arc::new(config)).accept(stream).into_fallible().await {
                Ok(_) => return io::Result::Ok(()),
                Err(failed) => failed,
            };
            stream.shutdown().await?;
            stream.read_to_end(&mut Vec::new()).await.map(drop)
        });
        let tls = connector(trust::config(Trust::One(&certificate)).unwrap());
        let asked = asks(Some(tls)).ask(&format!("https://{address}/").parse().unwrap()).await;
        let failure = asked.outcome.err().unwrap();
        let chain = failure.private_chain();
        assert_eq!((failure.kind(), failure.phase()), (FailureKind::TlsAlertReceived, Phase::Tls), "{chain}");
        drop(server.await);
    }
}

#[tokio::test]
async fn a_handshake_that_does_not_go_on_is_told_from_a_connection_that_does_not() {
    let tls = || Some(connector(trust::config(Trust::One(&identity().0)).unwrap()));
    // Silent for as long as anyone waits.
    let (_silent, address) = listen().await;
    let stream = TcpStream::connect(address).await.unwrap();
    let handshake = async {
        let name = ServerName::try_from("127.0.0.1").unwrap();
        tls().unwrap().connect(name, stream).await.map_err(send::handshake_failed)
    };
    let until = Instant::now() + Duration::from_millis(50);
    let shaking = within(until, FailureKind::ConnectionTimeout, handshake);
    let failure = step(&mut None, Phase::Tls, shaking).await.unwrap_err();
    assert_eq!((failure.kind(), failure.phase()), (FailureKind::ConnectionTimeout, Phase::Tls));

    // Closed.
    let (listener, address) = listen().await;
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await?;
        stream.read_u8().await?;
        stream.shutdown().await?;
        stream.read_to_end(&mut Vec::new()).await
    });
    let asked = asks(tls()).ask(&format!("https://{address}/").parse().unwrap()).await;
    let verdict = read::diagnose(&asked).verdict;
    assert!(verdict.contains("closed the connection in the middle of the TLS handshake"), "{verdict}");
    drop(server.await);
}
