//! An upstream that sends what it is told, byte by byte.

use std::{future::Future, io, net::SocketAddr, sync::Arc};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
};

use crate::h2_frames::*;

/// What an upstream does with a connection on which a fault was asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    Send(&'static [u8]),
    /// Waits until the client has seen the first byte of the response: what was sent so far has been read.
    Seen,
    /// Sends a FIN and waits for the other side's.
    Fin,
    Rst,
    /// Says nothing for as long as the other side waits.
    Wait,
}

/// Where an upstream is, and how it is told that the client has seen something.
#[derive(Clone)]
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    pub(crate) seen: Arc<Notify>,
}

impl From<SocketAddr> for Upstream {
    fn from(address: SocketAddr) -> Self {
        Self { address, seen: Arc::default() }
    }
}

pub(crate) const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

/// Accepts connections; `serve` is given each and its number.
pub(crate) async fn listen<F>(serve: impl Fn(TcpStream, usize) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for number in 0.. {
            let Ok((stream, _)) = listener.accept().await else { return };
            stream.set_nodelay(true).unwrap();
            tokio::spawn(serve(stream, number));
        }
    });
    address
}

/// HTTP/1: `/ok` is answered, everything else gets the fault. With `greeting` the fault comes before the first request.
pub(crate) async fn h1(acts: &'static [Act], greeting: bool) -> Upstream {
    let seen = Arc::<Notify>::default();
    let told = Arc::clone(&seen);
    let address = listen(move |mut stream, number| {
        let seen = Arc::clone(&told);
        async move {
            if greeting && number == 0 {
                return perform(stream, acts, &seen).await;
            }
            loop {
                let head = read_head(&mut stream).await?;
                if !head.contains(" /ok ") {
                    return perform(stream, acts, &seen).await;
                }
                stream.write_all(OK).await?;
            }
        }
    });
    Upstream { address: address.await, seen }
}

/// HTTP/2: the request on one stream gets the fault, every other one an answer.
pub(crate) async fn serve_h2(
    mut stream: TcpStream,
    fault: Option<(u32, &'static [Act])>,
    seen: &Notify,
) -> io::Result<()> {
    let mut preface = [0; PREFACE.len()];
    stream.read_exact(&mut preface).await?;
    stream.write_all(&frame(SETTINGS, 0, 0, &[])).await?;
    loop {
        let Frame { kind, flags, stream: id, payload } = read(&mut stream).await?;
        match kind {
            SETTINGS if flags & ACK == 0 => stream.write_all(&frame(SETTINGS, ACK, 0, &[])).await?,
            PING if flags & ACK == 0 => stream.write_all(&frame(PING, ACK, 0, &payload)).await?,
            HEADERS => match fault {
                Some((faulty, acts)) if id == faulty => {
                    if let Some(rest) = send_frames(&mut stream, acts, seen).await? {
                        return perform(stream, rest, seen).await;
                    }
                }
                _ => {
                    stream.write_all(&headers(id, 0, STATUS_200)).await?;
                    stream.write_all(&frame(DATA, END_STREAM, id, b"hello")).await?;
                }
            },
            _ => {}
        }
    }
}

/// What is left once the connection itself is to suffer.
async fn send_frames<'a>(stream: &mut TcpStream, acts: &'a [Act], seen: &Notify) -> io::Result<Option<&'a [Act]>> {
    for (at, act) in acts.iter().enumerate() {
        match act {
            Act::Send(bytes) => stream.write_all(bytes).await?,
            Act::Seen => seen.notified().await,
            Act::Fin | Act::Rst | Act::Wait => return Ok(Some(&acts[at..])),
        }
    }
    Ok(None)
}

pub(crate) async fn perform(mut stream: TcpStream, acts: &[Act], seen: &Notify) -> io::Result<()> {
    for act in acts {
        match act {
            Act::Send(bytes) => stream.write_all(bytes).await?,
            Act::Seen => seen.notified().await,
            Act::Fin => {
                stream.shutdown().await?;
                return drain(stream).await;
            }
            Act::Rst => return stream.set_zero_linger(),
            Act::Wait => return drain(stream).await,
        }
    }
    drain(stream).await
}

/// Reads until the other side has no more: a socket closed with bytes unread would send a reset.
pub(crate) async fn drain(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = [0; 4096];
    while stream.read(&mut buffer).await? > 0 {}
    Ok(())
}

pub(crate) async fn read_head(stream: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8(head).unwrap())
}
