//! A client that looks at the bytes.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Notify,
};

/// A response as it came, until the connection ended.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) bytes: Vec<u8>,
}

impl Received {
    /// 0 where there was no status line.
    pub(crate) fn status(&self) -> u16 {
        self.head().split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
    }

    pub(crate) fn head(&self) -> String {
        // Every byte is a character.
        self.bytes[..self.end_of_head().unwrap_or(self.bytes.len())].iter().map(|&byte| char::from(byte)).collect()
    }

    pub(crate) fn content(&self) -> &[u8] {
        self.end_of_head().map_or(&[], |end| &self.bytes[end..])
    }

    pub(crate) fn field(&self, name: &str) -> Option<String> {
        self.fields(name).into_iter().next()
    }

    /// All lines of it.
    pub(crate) fn fields(&self, name: &str) -> Vec<String> {
        let head = self.head();
        let lines = head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned()).collect()
    }

    /// Whether the framing's own end was reached.
    pub(crate) fn is_whole(&self) -> bool {
        if self.end_of_head().is_none() {
            return false;
        }
        match (self.field("content-length"), self.field("transfer-encoding")) {
            (Some(length), None) => length == self.content().len().to_string(),
            (None, Some(coding)) => coding == "chunked" && self.content().ends_with(b"0\r\n\r\n"),
            (None, None) => true,
            (Some(_), Some(_)) => false,
        }
    }

    fn end_of_head(&self) -> Option<usize> {
        self.bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
    }
}

/// A connection that is kept.
pub(crate) struct Connection(TcpStream);

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self(stream)
    }

    /// One response that says how long it is, or what came of it before the connection ended.
    pub(crate) async fn get(&mut self, path: &str) -> Received {
        let request = format!("GET {path} HTTP/1.1\r\nhost: gateway\r\n\r\n");
        let mut received = Received { bytes: Vec::new() };
        if self.0.write_all(request.as_bytes()).await.is_err() {
            return received;
        }
        let mut buffer = [0; 4096];
        while !received.is_whole() {
            match self.0.read(&mut buffer).await {
                Ok(count @ 1..) => received.bytes.extend_from_slice(&buffer[..count]),
                _ => break,
            }
        }
        received
    }
}

pub(crate) async fn get(address: SocketAddr, path: &str, seen: &Notify) -> Received {
    let request = format!("GET {path} HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n\r\n");
    send(address, request.as_bytes(), seen).await
}

/// Sends this, says that no more will come, and reads to the end.
pub(crate) async fn break_off(address: SocketAddr, request: &[u8]) -> Received {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes).await;
    Received { bytes }
}

/// Sends this and reads to the end, whichever way it comes; tells when the first bytes have.
pub(crate) async fn send(address: SocketAddr, request: &[u8], seen: &Notify) -> Received {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        bytes.extend_from_slice(&buffer[..count]);
        seen.notify_one();
    }
    // It is over, and thousands follow: a reset leaves no port behind that waits for a minute.
    let _ = stream.set_zero_linger();
    Received { bytes }
}
