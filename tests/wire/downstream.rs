//! What a client sees, over HTTP/1 and HTTP/2.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use tower_bad_gateway::BadGatewayLayer;

use crate::{
    client,
    gateway::{Gateway, patient},
    h2_frames::*,
    h2_upstream,
    upstream::{self, Act::*},
};

/// The frames of the answer to one request over HTTP/2, up to the end of its stream.
pub(crate) async fn frames(gateway: &Gateway, fields: &[(&str, &str)]) -> Vec<Frame> {
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    let mut block = [field(b":method", b"POST"), field(b":scheme", b"http"), field(b":authority", b"gateway")].concat();
    block.extend(field(b":path", b"/fault"));
    for (name, value) in fields {
        block.extend(field(name.as_bytes(), value.as_bytes()));
    }
    stream.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[]), &headers(1, END_STREAM, &block)].concat()).await.unwrap();
    let mut frames = Vec::new();
    loop {
        let frame = read(&mut stream).await.unwrap();
        if frame.stream != 1 {
            continue;
        }
        gateway.seen.notify_one();
        let last = frame.kind == RST_STREAM || frame.flags & END_STREAM != 0;
        frames.push(frame);
        if last {
            return frames;
        }
    }
}

/// One HEADERS frame that ends the stream: an empty DATA frame after it would break clients.
#[tokio::test]
async fn a_grpc_client_gets_trailers_only() {
    let gateway = Gateway::start(upstream::h1(&[Fin], false).await, false, patient()).await;
    let frames = frames(&gateway, &[("content-type", "application/grpc"), ("te", "trailers")]).await;
    assert_eq!(frames.len(), 1, "{frames:?}");
    assert_eq!((frames[0].kind, frames[0].flags), (HEADERS, END_HEADERS | END_STREAM));
}

#[tokio::test]
async fn a_grpc_client_over_http_1_gets_a_head_without_content() {
    let gateway = Gateway::start(upstream::h1(&[Fin], false).await, false, patient()).await;
    let request = b"POST /fault HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/grpc\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let received = client::send(gateway.address, request, &gateway.seen).await;
    assert_eq!(received.status(), 200);
    assert_eq!(received.field("content-length").as_deref(), Some("0"));
    assert_eq!(received.field("content-type").as_deref(), Some("application/grpc"));
    assert_eq!(received.field("grpc-status").as_deref(), Some("14"));
    assert!(received.content().is_empty());
}

#[tokio::test]
async fn head_gets_the_fields_of_get_and_no_content() {
    let gateway = Gateway::start(upstream::h1(&[Fin], false).await, false, patient()).await;
    let fields = |head: String| -> Vec<String> {
        head.lines().filter(|line| !line.starts_with("date: ")).map(str::to_owned).collect()
    };
    let get = client::get(gateway.address, "/fault", &gateway.seen).await;
    let head = client::send(
        gateway.address,
        b"HEAD /fault HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n\r\n",
        &gateway.seen,
    )
    .await;
    assert_eq!(fields(get.head()), fields(head.head()));
    assert!(get.content().len() > 50 && head.content().is_empty());
}

/// hyper's server would pass on the code it finds among the sources of a body's error: REFUSED_STREAM says "send it again".
#[tokio::test]
async fn the_code_of_the_upstreams_reset_is_not_passed_on() {
    const REFUSED_STREAM: u32 = 0x7;
    let half = [headers(1, 0, STATUS_200), frame(DATA, 0, 1, b"half")].concat();
    let reset = rst_stream(1, REFUSED_STREAM);
    let upstream = h2_upstream::start(vec![Send(Vec::leak(half)), Seen, Send(Vec::leak(reset))]).await;
    let gateway = Gateway::start(upstream, true, patient()).await;
    let frames = frames(&gateway, &[]).await;
    let last = frames.last().unwrap();
    assert_eq!(last.kind, RST_STREAM, "{frames:?}");
    assert_ne!(last.payload, REFUSED_STREAM.to_be_bytes());
}

/// The bad chunk is in the segment of the head: the body fails at its first poll, before a server has written anything. If the
/// client library has read it by then it is a real 502, otherwise the head comes first.
#[tokio::test]
async fn a_body_that_is_broken_from_the_start_is_never_an_empty_reply() {
    const HEAD_AND_BAD_CHUNK: &[u8] = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n";
    for run in 0..50 {
        let gateway =
            Gateway::start(upstream::h1(&[Send(HEAD_AND_BAD_CHUNK), Fin], false).await, false, patient()).await;
        let received = client::get(gateway.address, "/fault", &gateway.seen).await;
        let seen = (received.status(), received.is_whole());
        assert!([(502, true), (200, false)].contains(&seen), "run {run}: {seen:?}");
    }
}

#[tokio::test]
async fn bodies_stream_both_ways_at_once() {
    let upstream = upstream::listen(|mut stream, _| async move {
        upstream::read_head(&mut stream).await?;
        stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await?;
        // Whatever comes, chunk by chunk, goes back at once; both sides use the same framing.
        let (mut from, mut to) = stream.split();
        tokio::io::copy(&mut from, &mut to).await.map(drop)
    })
    .await;
    let gateway = Gateway::start(upstream, false, patient()).await;
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    stream.write_all(b"POST / HTTP/1.1\r\nhost: gateway\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
    let head = upstream::read_head(&mut stream).await.unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    for chunk in [&b"5\r\nhello\r\n"[..], b"5\r\nworld\r\n", b"0\r\n\r\n"] {
        stream.write_all(chunk).await.unwrap();
        let mut echoed = vec![0; chunk.len()];
        stream.read_exact(&mut echoed).await.unwrap();
        assert_eq!(echoed, chunk);
    }
}

/// The answer that the README shows, to the letter, but for the date.
#[tokio::test]
async fn the_answer_in_the_readme_is_a_real_one() {
    let readme = include_str!("../../README.md");
    let shown = readme.split("```http\n").nth(1).unwrap().split("\n```").next().unwrap();
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(std::net::SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    // The reader of that has given the gateway no name.
    let layer = BadGatewayLayer::new().silent();
    let gateway = Gateway::start(socket.local_addr().unwrap(), false, layer).await;
    let received = client::get(gateway.address, "/fault", &gateway.seen).await;
    let lines = |text: &str| -> Vec<String> {
        let lines = text.lines().map(|line| line.split_once("date: ").map_or(line, |_| "date"));
        lines.filter(|line| *line != "connection: close").map(str::to_owned).collect()
    };
    assert_eq!(lines(shown), lines(&String::from_utf8(received.bytes).unwrap()));
}
