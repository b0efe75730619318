#!/usr/bin/env bash
# Finding: hyper's HTTP/2 client sends a request after its call was dropped, as
# soon as a stream is free.
#
# What is surprising
#   A server allows one stream at a time, and that one is in use. The next
#   request waits, and its call is dropped: by a time limit, or for a client
#   that has left. When the first stream ends, maybe minutes later, the server
#   still receives the request: a POST without content is complete, with
#   END_STREAM, and a reset with CANCEL follows. With content its HEADERS are
#   sent and then, on a runtime with one thread as here, all of the content as
#   well; with several threads it is a matter of chance whether the content or
#   the reset is first. The requests behind it in the line that were dropped
#   are not sent: these are in hyper's own queue, where hyper looks whether
#   anyone still wants the answer. The one in front has been given to h2.
#
# Why one would expect otherwise
#   The documentation of send_request() says that dropping its future is the
#   way to cancel, that the stream is reset and that the peer is told at once.
#   Here no stream is open yet and the peer knows of nothing, so one expects
#   that nothing is sent. That is what happens to all the others in the line.
#
# What it means for whoever writes a gateway
#   "No stream was free within the time limit" does not mean that the request
#   was not sent and will not be: if it is answered with 503 and repeated on
#   another connection, an order can be placed twice. The reset does not call
#   it back, since a server may act on a complete request as soon as it has
#   read it. Count the requests of a connection in front of hyper and give it
#   no more than its peer allows: those that wait there can be given up.
#
# Versions: hyper 1.12.0, hyper-util 0.1.21, h2 0.4.20. Date: 2026-11-29.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
mkdir src

cat >Cargo.toml <<'TOML'
[package]
name = "hyper-dropped-call-is-sent-when-a-stream-is-free"
version = "0.0.0"
edition = "2024"
publish = false

[workspace]

[dependencies]
bytes = "=1.12.1"
# For the server, which reads the frames by itself.
hpack = "=0.3.0"
http = "=1.5.0"
http-body = "=1.1.0"
http-body-util = "=0.1.5"
hyper = { version = "=1.12.0", features = ["client", "http2"] }
hyper-util = { version = "=0.1.21", features = ["tokio"] }
tokio = { version = "=1.54.1", features = ["macros", "net", "rt", "sync"] }
# Pinned because the behaviour comes from it; not used by name.
h2 = "=0.4.20"
TOML

cat >src/main.rs <<'RUST'
use std::{
    convert::Infallible,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    pin::Pin,
    sync::{Arc, mpsc},
    task::{Context, Poll},
    thread,
};

use bytes::Bytes;
use http::Request;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::sync::Notify;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

/// Content that tells when hyper has taken the request out of its queue: hyper
/// asks then whether there is any content.
struct Content {
    inner: Full<Bytes>,
    taken: Arc<Notify>,
}

impl Body for Content {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.inner).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.taken.notify_one();
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

fn request(method: &str, path: &str, content: &'static str) -> (Request<Content>, Arc<Notify>) {
    let taken = Arc::new(Notify::new());
    let content = Content {
        inner: Full::from(content),
        taken: taken.clone(),
    };
    let request = Request::builder()
        .method(method)
        .uri(format!("http://localhost{path}"))
        .body(content)
        .unwrap();
    (request, taken)
}

fn write(stream: &mut TcpStream, kind: u8, flags: u8, id: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(id.to_be_bytes());
    frame.extend(payload);
    stream.write_all(&frame).unwrap();
}

/// A server that allows one stream at a time. It answers /first at once, ends
/// this answer when told to, and says what it receives, up to and with /last.
fn serve(listener: TcpListener, end_first: mpsc::Receiver<()>) {
    let (mut stream, _) = listener.accept().unwrap();
    stream.read_exact(&mut [0; 24]).unwrap();
    // SETTINGS_MAX_CONCURRENT_STREAMS (3) is 1.
    write(&mut stream, SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 1]);
    // The field line ":status: 200" in the static table of HPACK.
    let ok = [0x88];
    let mut fields = hpack::Decoder::new();
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).unwrap();
        let [a, b, c, kind, flags, id @ ..] = head;
        let id = u32::from_be_bytes(id);
        let length = u32::from_be_bytes([0, a, b, c]);
        let mut payload = vec![0; length.try_into().unwrap()];
        stream.read_exact(&mut payload).unwrap();
        let end = match flags & END_STREAM {
            0 => "",
            _ => ", END_STREAM",
        };
        match kind {
            HEADERS => {
                assert_eq!(flags & !END_STREAM, END_HEADERS);
                let fields = fields.decode(&payload).unwrap();
                let field = |name: &[u8]| {
                    let (_, value) = fields.iter().find(|(n, _)| n == name).unwrap();
                    String::from_utf8(value.clone()).unwrap()
                };
                let path = field(b":path");
                println!(
                    "    stream {id}: HEADERS, {} {path}{end}",
                    field(b":method")
                );
                match path.as_str() {
                    "/first" => {
                        write(&mut stream, HEADERS, END_HEADERS, id, &ok);
                        end_first.recv().unwrap();
                        println!("    (the server ends stream {id})");
                        write(&mut stream, DATA, END_STREAM, id, b"");
                    }
                    "/last" => {
                        write(&mut stream, HEADERS, END_HEADERS | END_STREAM, id, &ok);
                        return;
                    }
                    _ => {}
                }
            }
            DATA => println!("    stream {id}: DATA, {length} bytes{end}"),
            RST_STREAM => {
                let code = match payload[..] {
                    [0, 0, 0, 8] => "CANCEL",
                    _ => "another code",
                };
                println!("    stream {id}: RST_STREAM, {code}");
            }
            SETTINGS if flags & ACK == 0 => write(&mut stream, SETTINGS, ACK, 0, b""),
            _ => {}
        }
    }
}

async fn show(title: &str, content: &'static str) {
    println!("{title}: the server receives");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (end_first, wait) = mpsc::channel();
    let server = thread::spawn(move || serve(listener, wait));

    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let stream = TokioIo::new(stream);
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), stream)
        .await
        .unwrap();
    tokio::spawn(connection);

    // From the answer on the limit of the server is known too.
    let (first, _) = request("GET", "/first", "");
    let first = sender.send_request(first).await.unwrap();

    // Three more wait for a stream. When hyper has taken the first of them,
    // all are given up.
    let (second, taken) = request("POST", "/second", content);
    let (third, _) = request("POST", "/third", content);
    let (fourth, _) = request("POST", "/fourth", content);
    let second = sender.send_request(second);
    let third = sender.send_request(third);
    let fourth = sender.send_request(fourth);
    tokio::select! {
        biased;
        _ = second => panic!("no stream is free"),
        _ = third => panic!("no stream is free"),
        _ = fourth => panic!("no stream is free"),
        () = taken.notified() => println!("    (the three calls are dropped)"),
    }

    let (last, _) = request("GET", "/last", "");
    let last = sender.send_request(last);
    end_first.send(()).unwrap();
    first.into_body().collect().await.unwrap();
    last.await.unwrap();
    server.join().unwrap();
}

// With more threads it would be a matter of chance whether the content of the
// dropped request is sent.
#[tokio::main(flavor = "current_thread")]
async fn main() {
    show("POST without content", "").await;
    show("POST with content", "one bicycle").await;
}
RUST

cat >expected <<'TEXT'
POST without content: the server receives
    stream 1: HEADERS, GET /first, END_STREAM
    (the three calls are dropped)
    (the server ends stream 1)
    stream 3: HEADERS, POST /second, END_STREAM
    stream 3: RST_STREAM, CANCEL
    stream 5: HEADERS, GET /last, END_STREAM
POST with content: the server receives
    stream 1: HEADERS, GET /first, END_STREAM
    (the three calls are dropped)
    (the server ends stream 1)
    stream 3: HEADERS, POST /second
    stream 3: DATA, 11 bytes, END_STREAM
    stream 3: RST_STREAM, CANCEL
    stream 5: HEADERS, GET /last, END_STREAM
TEXT

cargo build --quiet

echo "Versions:"
rustc --version
crates="hyper hyper-util h2 tokio"
awk -v crates=" $crates " '
    { gsub(/"/, "") }
    $1 == "name" { name = $3 }
    $1 == "version" && index(crates, " " name " ") { print name, $3 }
' Cargo.lock

echo "Seen:"
timeout 30 cargo run --quiet | tee seen

if ! diff -u expected seen; then
    echo "The behaviour has changed: expected is -, seen is +." >&2
    exit 1
fi
echo "The behaviour is the one described above."
