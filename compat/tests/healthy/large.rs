//! More than fits in memory.

use std::time::Instant;

use bytes::Bytes;
use http::{Response, Version};
use http_body::Frame;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tower::Layer;

use crate::{
    incoming::frames,
    row::{Server, answers, watched},
    upstream,
};

const PART: usize = 1 << 20;
const PARTS: usize = 1 << 10;
const TOTAL: usize = PART * PARTS;
/// A prime, so that no two parts are at the same place in it: what is swallowed or told twice is seen.
const PERIOD: usize = 65_537;

/// From an upstream to a client, by way of the layer. Every byte is compared: that is cheaper than a checksum.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gibibyte_passes_in_little_memory() {
    let pattern: Vec<u8> = (0..PERIOD).map(|at| u8::try_from((at * at) % 251).unwrap()).collect();
    let pattern: Bytes = pattern.into_iter().cycle().take(PERIOD + PART).collect();
    let content = pattern.clone();
    let upstream = Server::start(answers(move || {
        let content = content.clone();
        let part = move |number| content.slice(number * PART % PERIOD..).slice(..PART);
        let body = frames((0..PARTS).map(move |number| Frame::data(part(number))));
        Response::builder().header("content-length", TOTAL).body(body).unwrap()
    }));
    let (layer, mut told) = watched();
    let server = Server::start(layer.layer(upstream::client(upstream.address, Version::HTTP_11)));
    drop(layer);

    let before = peak_memory();
    let start = Instant::now();
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let (mut received, mut buffer) = (0, vec![0; PART]);
    while let count @ 1.. = stream.read(&mut buffer).await.unwrap() {
        assert!(buffer[..count] == pattern[received % PERIOD..][..count], "within {count} bytes after {received}");
        received += count;
    }
    let grown = peak_memory().zip(before).map(|(after, before)| (after - before) >> 10);
    println!("{received} bytes in {:.1} s, at most {grown:?} MiB more memory", start.elapsed().as_secs_f64());
    assert_eq!(received, TOTAL);
    assert!(grown.is_none_or(|grown| grown < 64), "{grown:?} MiB");
    drop((server, stream));
    assert_eq!(told.recv().await, None);
}

/// In KiB, where the system tells.
fn peak_memory() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok())
}
