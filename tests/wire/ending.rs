//! What a client got, and how it ended, over HTTP/1 and HTTP/2.

use std::{io, net::SocketAddr};

use tokio::{io::AsyncWriteExt, net::TcpStream, sync::Notify};

use crate::{client, h2_frames::*};

/// What a client got.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) status: u16,
    pub(crate) end: End,
    pub(crate) content: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum End {
    /// As its framing announces it.
    Whole,
    Cut,
    /// A stream that is reset by NO_ERROR: clients take it for whole.
    Quiet,
    /// Not one byte, or not a whole head.
    Nothing,
    Hangs,
    /// The client has its answer, but the upstream's connection stays open.
    Open,
    /// The run itself has failed.
    Lost,
}

impl Received {
    pub(crate) fn new(end: End) -> Self {
        Self { status: 0, end, content: Vec::new() }
    }
}

pub(crate) async fn get_h1(address: SocketAddr, path: &str, gzip: bool, seen: &Notify) -> Received {
    let accept = if gzip { "accept-encoding: gzip\r\n" } else { "" };
    let request = format!("GET {path} HTTP/1.1\r\nhost: gateway\r\n{accept}connection: close\r\n\r\n");
    let received = client::send(address, request.as_bytes(), seen).await;
    if !received.bytes.windows(4).any(|window| window == b"\r\n\r\n") {
        return Received { status: received.status(), ..Received::new(End::Nothing) };
    }
    let content = received.content();
    let (content, whole) = match (received.field("content-length"), received.field("transfer-encoding")) {
        (Some(length), None) => (content.to_vec(), content.len().to_string() == length),
        (None, Some(coding)) if coding == "chunked" => unchunked(content),
        // By the end of the connection: the client could not see that it was cut.
        _ => (content.to_vec(), true),
    };
    let end = if whole { End::Whole } else { End::Cut };
    Received { status: received.status(), end, content }
}

/// The content of chunks, and whether there was a last one.
fn unchunked(mut bytes: &[u8]) -> (Vec<u8>, bool) {
    let mut content = Vec::new();
    loop {
        let Some(line) = bytes.windows(2).position(|window| window == b"\r\n") else { return (content, false) };
        let size = usize::from_str_radix(&String::from_utf8_lossy(&bytes[..line]), 16).unwrap();
        bytes = &bytes[line + 2..];
        if size == 0 {
            return (content, bytes == b"\r\n");
        }
        let Some(chunk) = bytes.get(..size) else {
            content.extend(bytes);
            return (content, false);
        };
        content.extend(chunk);
        bytes = bytes.get(size + 2..).unwrap_or_default();
    }
}

/// By the frames: hyper's client would take a stream that was reset by NO_ERROR for whole.
pub(crate) async fn get_h2(address: SocketAddr, path: &str, gzip: bool, seen: &Notify) -> io::Result<Received> {
    let mut stream = TcpStream::connect(address).await?;
    let mut block = [field(b":method", b"GET"), field(b":scheme", b"http"), field(b":authority", b"gateway")].concat();
    block.extend(field(b":path", path.as_bytes()));
    if gzip {
        block.extend(field(b"accept-encoding", b"gzip"));
    }
    stream.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[]), &headers(1, END_STREAM, &block)].concat()).await?;
    let (mut status, mut content) = (0, Vec::new());
    let end = loop {
        // The end of the connection is no end of a stream.
        let Ok(frame) = read(&mut stream).await else { break End::Cut };
        if frame.stream != 1 {
            continue;
        }
        seen.notify_one();
        match frame.kind {
            HEADERS if status == 0 => status = status_of(&frame.payload),
            DATA => content.extend(&frame.payload),
            RST_STREAM if frame.payload == [0; 4] => break End::Quiet,
            RST_STREAM => break End::Cut,
            _ => {}
        }
        if frame.flags & END_STREAM != 0 {
            break End::Whole;
        }
    };
    // As in `client::send`.
    stream.set_zero_linger()?;
    Ok(Received { status, end: if status == 0 { End::Nothing } else { end }, content })
}

/// The first field of the first response of a connection is its status, as HPACK writes these.
fn status_of(block: &[u8]) -> u16 {
    [(200, STATUS_200), (502, b"\x48\x82\x6c\x02"), (504, b"\x48\x83\x6c\x0d\x7f")]
        .into_iter()
        .find_map(|(status, written)| block.starts_with(written).then_some(status))
        .unwrap_or(0)
}
