//! Clients: one that looks at the bytes of HTTP/1, and hyper's over HTTP/2.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, Response, header::DATE};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::row::{Ask, Downstream, Seen};

pub(crate) async fn ask(address: SocketAddr, downstream: Downstream, ask: &Ask) -> Seen {
    match downstream {
        Downstream::Http1 => parse(&bytes(address, ask).await),
        Downstream::Http2 => http2(address, ask).await,
    }
}

/// All bytes until the connection ends.
async fn bytes(address: SocketAddr, ask: &Ask) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let has = |name| ask.fields.iter().any(|(field, _)| *field == name);
    let connection = match (has("upgrade"), has("te")) {
        (true, _) => "upgrade",
        (false, true) => "close, te",
        (false, false) => "close",
    };
    let mut request = format!("{} {} HTTP/1.1\r\nhost: gateway\r\nconnection: {connection}\r\n", ask.method, ask.path);
    for (name, value) in ask.fields {
        request += &format!("{name}: {value}\r\n");
    }
    if !ask.content.is_empty() {
        request += &format!("content-length: {}\r\n", ask.content.len());
    }
    request += "\r\n";
    request += ask.content;
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    if has("upgrade") {
        // What is said in the other protocol, once it is spoken.
        while !bytes.ends_with(b"\r\n\r\n") {
            bytes.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(b"hello").await.unwrap();
        stream.shutdown().await.unwrap();
    }
    if let Err(error) = stream.read_to_end(&mut bytes).await {
        bytes.extend_from_slice(format!("broken: {error}").as_bytes());
    }
    bytes
}

/// Chunks stay as they are; only the trailer section is taken from their end.
fn parse(bytes: &[u8]) -> Seen {
    let Some(end) = find(bytes, b"\r\n\r\n") else {
        return Seen { lines: vec!["no head".to_owned()], content: bytes.to_vec() };
    };
    let mut lines = lines(&bytes[..end]);
    let mut content = bytes[end + 4..].to_vec();
    if lines.iter().any(|line| line == "transfer-encoding: chunked") {
        // The line end in front may be that of the head.
        let last = bytes[end + 2..].windows(5).rposition(|part| part == b"\r\n0\r\n");
        if let Some(last) = last {
            let trailers = content.split_off(last + 3);
            lines.extend(self::lines(&trailers).into_iter().map(|line| format!("trailer {line}")));
        }
        lines.push(format!("end of chunks: {}", last.is_some() && bytes.ends_with(b"\r\n\r\n")));
    }
    Seen { lines, content }
}

fn lines(section: &[u8]) -> Vec<String> {
    let section = section.escape_ascii().to_string();
    let lines = section.split("\\r\\n").filter(|line| !line.is_empty() && !line.starts_with("date: "));
    lines.map(str::to_owned).collect()
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

async fn http2(address: SocketAddr, ask: &Ask) -> Seen {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut request = Request::builder().method(&ask.method).uri(format!("http://gateway{}", ask.path));
    for (name, value) in ask.fields {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::<Bytes>::from(ask.content)).unwrap();
    match sender.send_request(request).await {
        Ok(response) => read(response).await,
        Err(error) => Seen { lines: vec![format!("no head: {error:?}")], content: Vec::new() },
    }
}

async fn read(response: Response<Incoming>) -> Seen {
    let (head, mut body) = response.into_parts();
    let mut seen = Seen { lines: vec![format!("{:?} {}", head.version, head.status.as_u16())], content: Vec::new() };
    let line = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        (*name != DATE).then(|| format!("{name}: {}", value.as_bytes().escape_ascii()))
    };
    seen.lines.extend(head.headers.iter().filter_map(line));
    while let Some(frame) = body.frame().await {
        match frame.map(|frame| frame.into_data().map_err(|frame| frame.into_trailers())) {
            Ok(Ok(data)) => seen.content.extend_from_slice(&data),
            Ok(Err(Ok(trailers))) => {
                seen.lines.extend(trailers.iter().filter_map(line).map(|line| format!("trailer {line}")));
            }
            Ok(Err(Err(frame))) => seen.lines.push(format!("unknown: {frame:?}")),
            Err(error) => {
                seen.lines.push(format!("broken: {error:?}"));
                break;
            }
        }
    }
    // hyper ends a body cleanly that was reset with NO_ERROR; this gives it away.
    seen.lines.push(format!("end of stream: {}", hyper::body::Body::is_end_stream(&body)));
    seen
}
