//! The client's own faults, which look like an upstream's.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, header::CONTENT_LENGTH};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::connect::HttpConnector,
    rt::{TokioExecutor, TokioIo},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Notify,
};
use tower::service_fn;
use tower_bad_gateway::{
    BadGatewayLayer, BoxError,
    FailureKind::{ConnectionTerminated, ConnectionWriteTimeout, HttpRequestError},
    RequestBodyTap,
    classify::Cause,
    failure::Blame,
};

use crate::{
    client,
    gateway::{Gateway, patient, relay},
    h2_frames::*,
    h2_upstream,
    row::Row,
    upstream::{self, Act::*, Upstream},
};

const CHUNKED: &str = "POST /fault HTTP/1.1\r\nhost: gateway\r\ntransfer-encoding: chunked\r\n\r\n";

/// An upload that breaks off while the upstream waits for the rest of it.
fn row(id: &'static str, http2: bool, upload: &'static str) -> Row {
    Row::new("upload", id, 400, &[HttpRequestError], async move {
        let upstream = if http2 { h2_upstream::start(Vec::new()).await } else { upstream::h1(&[Wait], false).await };
        let gateway = Gateway::start(upstream, http2, patient()).await;
        let received = client::send(gateway.address, format!("{CHUNKED}{upload}").as_bytes(), &gateway.seen).await;
        gateway.outcome(received).await
    })
    .blame(Blame::Client)
}

/// A user's reader that blames the upstream for every I/O error: those of the client must not reach it.
fn behind_a_reader() -> Row {
    Row::new("upload", "bad-chunk-and-a-reader", 400, &[HttpRequestError], async move {
        let layer = patient().classify(|cause: &Cause<'_>| cause.find::<io::Error>().map(|_| ConnectionTerminated));
        let gateway = Gateway::start(upstream::h1(&[Wait], false).await, false, layer).await;
        let upload = format!("{CHUNKED}5\r\nhello\r\nxyz\r\n");
        let received = client::send(gateway.address, upload.as_bytes(), &gateway.seen).await;
        gateway.outcome(received).await
    })
    .blame(Blame::Client)
}

/// The client has more to send than all buffers hold, and nobody takes it. There is a connection by then, and the limit is long:
/// before anything of the upload has been taken, it would be another failure.
fn not_taken() -> Row {
    Row::new("upload", "upstream-takes-no-more", 504, &[ConnectionWriteTimeout], async {
        let address = upstream::listen(|mut stream, _| async move {
            while upstream::read_head(&mut stream).await?.contains(" /ok ") {
                stream.write_all(upstream::OK).await?;
            }
            std::future::pending().await
        });
        let layer = patient().head_timeout(Duration::from_secs(2));
        let gateway = started(address.await.into(), false, layer, Some(RequestBodyTap::new())).await;
        assert_eq!(client::get(gateway.address, "/ok", &Notify::new()).await.status(), 200);
        let (mut read, mut write) = TcpStream::connect(gateway.address).await.unwrap().into_split();
        let upload = tokio::spawn(async move {
            let _ = write.write_all(CHUNKED.as_bytes()).await;
            let chunk = [&b"10000\r\n"[..], &[b'x'; 0x1_0000], b"\r\n"].concat();
            while write.write_all(&chunk).await.is_ok() {}
        });
        let mut received = client::Received { bytes: Vec::new() };
        // The end may be a reset: the server does not read the rest either.
        while !received.is_whole() && read.read_buf(&mut received.bytes).await.is_ok_and(|count| count > 0) {}
        upload.abort();
        gateway.outcome(received).await
    })
}

pub(crate) fn rows() -> Vec<Row> {
    vec![
        behind_a_reader(),
        not_taken(),
        row("bad-chunk-to-h1", false, "5\r\nhello\r\nxyz\r\n"),
        row("bad-chunk-to-h2", true, "5\r\nhello\r\nxyz\r\n"),
        row("chunk-overflow-to-h1", false, "5\r\nhello\r\nfffffffffffffffff\r\n"),
    ]
}

/// The client ends its side in the middle of an upload: whether it still reads an answer is its business, whose fault it was
/// is ours.
#[tokio::test]
async fn an_upload_that_breaks_off_is_the_clients_fault() {
    let told = Arc::new(Notify::new());
    let tell = Arc::clone(&told);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let hook = Arc::clone(&seen);
    let layer = patient().on_failure(|_| {});
    let layer = layer.map_status(move |failure| {
        hook.lock().unwrap().push((failure.kind(), failure.blame()));
        tell.notify_one();
        failure.status()
    });
    let gateway = Gateway::start(upstream::h1(&[Wait], false).await, false, layer).await;
    client::break_off(gateway.address, format!("{CHUNKED}5\r\nhello\r\n").as_bytes()).await;
    tokio::time::timeout(Duration::from_secs(30), told.notified()).await.unwrap();
    assert_eq!(*seen.lock().unwrap(), [(HttpRequestError, Blame::Client)]);
}

/// What a client does with an upload of ten bytes.
#[derive(Clone, Copy, Debug)]
enum Client {
    /// A second between its parts, four in all.
    Slow,
    /// Says no more after half of it.
    Stalls,
    /// Ends its side of the connection, or resets the stream.
    BreaksOff,
    /// Says how much will come, and ends before.
    TooLittle,
}

/// Which status the client saw, if it still looked; who was told of what.
type Outcome = (Option<u16>, Vec<(&'static str, Blame)>, bool);

/// A hyper server that reads everything and says hello, over whichever version it is asked; it tells when a request has come.
async fn reading() -> Upstream {
    let seen = Arc::<Notify>::default();
    let came = Arc::clone(&seen);
    let address = relay(service_fn(move |request: Request<Incoming>| {
        came.notify_one();
        async {
            request.into_body().collect().await?;
            Ok::<_, BoxError>(Response::new(Full::new(Bytes::from_static(b"hello"))))
        }
    }));
    Upstream { address: address.await, seen }
}

async fn upload(client: Client, tapped: bool, http2: bool, from_http2: bool) -> Outcome {
    let (layer, tap) = match client {
        Client::Slow => (patient().head_timeout(Duration::from_secs(3)), RequestBodyTap::new()),
        // A limit of the head that blames the upstream is all there is without the tap.
        Client::Stalls => (
            if tapped { patient() } else { patient().head_timeout(Duration::from_millis(300)) },
            RequestBodyTap::new().idle_timeout(Duration::from_millis(300)),
        ),
        Client::BreaksOff | Client::TooLittle => (patient(), RequestBodyTap::new()),
    };
    let gateway = started(reading().await, http2, layer, tapped.then_some(tap)).await;
    let status = if from_http2 { over_http2(&gateway, client).await } else { over_http1(&gateway, client).await };
    // Whoever has left sees nothing, and somebody is told all the same.
    let failures = || gateway.failures.lock().unwrap().clone();
    let abandoned = || gateway.abandoned.load(std::sync::atomic::Ordering::SeqCst) > 0;
    while status != Some(200) && failures().is_empty() && !abandoned() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let told = failures().iter().map(|(failure, _)| (failure.kind().token(), failure.blame())).collect();
    (status, told, abandoned())
}

async fn started(upstream: Upstream, http2: bool, layer: BadGatewayLayer, tap: Option<RequestBodyTap>) -> Gateway {
    let connector = HttpConnector::new();
    match tap {
        Some(tap) => Gateway::wrapped(connector, "http", upstream, http2, layer, move |request| tap.tap(request)).await,
        None => Gateway::over(connector, "http", upstream, http2, layer).await,
    }
}

async fn over_http1(gateway: &Gateway, client: Client) -> Option<u16> {
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    let head = "POST /fault HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\ncontent-length: 10\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(b"hello").await.unwrap();
    gateway.seen.notified().await;
    match client {
        Client::Slow => {
            for part in [b"w", b"o", b"r", b"l", b"d"] {
                tokio::time::sleep(Duration::from_millis(800)).await;
                // It may have been answered by now.
                let _ = stream.write_all(part).await;
            }
        }
        Client::Stalls => {}
        Client::BreaksOff => {
            stream.set_zero_linger().unwrap();
            return None;
        }
        Client::TooLittle => stream.shutdown().await.unwrap(),
    }
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes).await;
    Some(client::Received { bytes }.status()).filter(|status| *status != 0)
}

async fn over_http2(gateway: &Gateway, client: Client) -> Option<u16> {
    let stream = TokioIo::new(TcpStream::connect(gateway.address).await.unwrap());
    let executor = TokioExecutor::new();
    let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, stream).await.unwrap();
    let connection = tokio::spawn(connection);
    let (send, mut receive) = tokio::sync::mpsc::unbounded_channel::<Result<Frame<Bytes>, BoxError>>();
    let frames = async_stream(move |cx| receive.poll_recv(cx));
    let mut request = Request::new(StreamBody::new(frames));
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = "http://gateway/fault".parse().unwrap();
    request.headers_mut().insert(CONTENT_LENGTH, 10.into());
    let frame = |text: &'static str| Ok(Frame::data(Bytes::from_static(text.as_bytes())));
    send.send(frame("hello")).unwrap();
    let response = tokio::spawn(sender.send_request(request));
    gateway.seen.notified().await;
    let mut kept = Some(send);
    match client {
        Client::Slow => {
            for part in ["w", "o", "r", "l", "d"] {
                tokio::time::sleep(Duration::from_millis(800)).await;
                let _ = kept.as_ref().unwrap().send(frame(part));
            }
            kept = None;
        }
        Client::Stalls => {}
        Client::BreaksOff => drop(kept.take().unwrap().send(Err("enough".into()))),
        Client::TooLittle => kept = None,
    }
    let status = response.await.unwrap().ok().map(|response| response.status().as_u16());
    drop(kept);
    connection.abort();
    status
}

/// A stream from a function that is polled.
fn async_stream<T>(
    poll: impl FnMut(&mut std::task::Context<'_>) -> std::task::Poll<Option<T>>,
) -> impl futures_core::Stream<Item = T> {
    struct Stream<F>(F);
    impl<T, F: FnMut(&mut std::task::Context<'_>) -> std::task::Poll<Option<T>> + Unpin> futures_core::Stream
        for Stream<F>
    {
        type Item = T;
        fn poll_next(
            mut self: std::pin::Pin<&mut Self>,
            cx: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<T>> {
            (self.0)(cx)
        }
    }
    Stream(Box::new(poll))
}

/// With the tap nobody but the client is blamed for its upload, and a slow one is healthy. Without it a limit that was set
/// blames the upstream for a client that is slow.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_fails_an_upload_is_blamed_for_it() {
    const LATE: (&str, Blame) = ("http_response_timeout", Blame::Upstream);
    const CLIENT: (&str, Blame) = ("http_request_error", Blame::Client);
    let mut running = Vec::new();
    for client in [Client::Slow, Client::Stalls, Client::BreaksOff, Client::TooLittle] {
        for tapped in [true, false] {
            for http2 in [false, true] {
                for from_http2 in [false, true] {
                    let outcome =
                        tokio::time::timeout(Duration::from_secs(60), upload(client, tapped, http2, from_http2));
                    running.push((client, tapped, http2, from_http2, tokio::spawn(outcome)));
                }
            }
        }
    }
    let (mut wrong, cases) = (Vec::new(), running.len());
    for (client, tapped, http2, from_http2, outcome) in running {
        let got = outcome.await.unwrap();
        let right = match (&got, client, tapped) {
            (Ok((Some(200), told, false)), Client::Slow, true) => told.is_empty(),
            (Ok((Some(504), told, _)), Client::Slow | Client::Stalls, false) => *told == [LATE],
            (Ok((Some(408), told, _)), Client::Stalls, true) => *told == [CLIENT],
            // Over HTTP/2 a stream that is not what it said is reset by the server: the call is dropped, or fails before.
            (Ok((None, told, abandoned)), Client::BreaksOff | Client::TooLittle, _) if from_http2 => {
                *told == [CLIENT] || (told.is_empty() && *abandoned)
            }
            (Ok((None, told, false)), Client::BreaksOff, _) => *told == [CLIENT],
            (Ok((Some(400), told, _)), Client::TooLittle, _) => *told == [CLIENT],
            _ => false,
        };
        let version = |http2: bool| if http2 { "h2" } else { "h1" };
        println!(
            "{:5} {:10} {:11} {} to {}  {got:?}",
            if right { "ok" } else { "WRONG" },
            format!("{client:?}"),
            if tapped { "tapped" } else { "without tap" },
            version(from_http2),
            version(http2),
        );
        if !right {
            wrong.push((client, tapped, from_http2, http2, got));
        }
    }
    println!("{cases} uploads, {} wrong", wrong.len());
    assert!(wrong.is_empty(), "(client, tapped, from h2, to h2, got): {wrong:#?}");
}

/// RFC 9113, section 8.1: a complete response, and then NO_ERROR to stop the upload. The response must not be discarded.
#[tokio::test]
async fn a_complete_response_before_the_end_of_an_upload_is_whole() {
    for length in [false, true] {
        let mut block = STATUS_200.to_vec();
        if length {
            block.extend(field(b"content-length", b"5"));
        }
        let bytes = [headers(1, 0, &block), frame(DATA, END_STREAM, 1, b"hello"), rst_stream(1, 0)].concat();
        for _ in 0..20 {
            let upstream = h2_upstream::start(vec![Send(Vec::leak(bytes.clone()))]).await;
            let gateway = Gateway::start(upstream, true, patient()).await;
            let received =
                client::send(gateway.address, format!("{CHUNKED}5\r\nhello\r\n").as_bytes(), &gateway.seen).await;
            let failures = gateway.failures.lock().unwrap().clone();
            let whole = received.status() == 200 && received.is_whole();
            assert!(whole && failures.is_empty(), "length: {length} {received:?} {failures:?}");
        }
    }
}

/// The client breaks its upload once the head of the response has come: what comes of the response is its fault as well.
#[tokio::test]
async fn an_upload_that_breaks_after_an_early_head_is_the_clients_fault() {
    for http2 in [false, true] {
        let echo = relay(service_fn(|request: Request<Incoming>| async {
            Ok::<_, BoxError>(Response::new(request.into_body()))
        }));
        let upstream = Upstream { address: echo.await, seen: Arc::default() };
        let gateway = started(upstream, http2, patient(), Some(RequestBodyTap::new())).await;
        let mut stream = TcpStream::connect(gateway.address).await.unwrap();
        stream.write_all(format!("{CHUNKED}5\r\nhello\r\n").as_bytes()).await.unwrap();
        let head = upstream::read_head(&mut stream).await.unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        stream.write_all(b"xyz\r\n").await.unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        assert!(!rest.ends_with(b"0\r\n\r\n"));
        let failures = gateway.failures.lock().unwrap().clone();
        let told: Vec<_> = failures.iter().map(|(failure, after)| (failure.kind(), failure.blame(), *after)).collect();
        assert_eq!(told, [(HttpRequestError, Blame::Client, true)], "to h2: {http2}");
    }
}
