//! The socket of a client, with what a server needs and hyper does not give.
//!
//! | what | why |
//! | --- | --- |
//! | writes are noted | a client that takes nothing for a long time can be told from a slow one (`client`) |
//! | a reset instead of a FIN, where `client` asks for it | to HTTP/1.0 the end of the connection is the end of the body: after a FIN a part would look whole |
//! | reading on after an early answer | a client that is still sending would be reset, and lose an answer that it has not read yet |
//!
//! For a server of one's own: with `axum::serve` a `Listener` of one's own can give out [`ClientStream`]s, and a middleware that finds the [`Client`] by
//! `into_make_service_with_connect_info` can make an `Exchange` of each request, as `front` does. That gives lingering and the reset of a body that
//! breaks. Whether a client has left or takes nothing is for who holds the connection's future, which a loop over hyper does (`server`), and
//! `axum::serve` does not.

use std::{
    io::{self, IoSlice},
    net::Shutdown,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::{Semaphore, SemaphorePermit},
    time::{Sleep, sleep},
};

use crate::{client::Client, server::Place};

/// How many bytes the system keeps unsent at most: a client of which less is taken within the limit counts as one that takes nothing.
#[cfg(any(target_os = "linux", target_os = "android"))]
const MOST_UNSENT: u32 = 64 * 1024;
/// How much is read on at most after an answer that came before the end of the upload.
const MOST_READ_ON: usize = 256 * 1024;
/// For how long at most.
const LINGER: Duration = Duration::from_secs(1);
/// How many connections may do so at once; any other is closed at once.
static LINGERING: Semaphore = Semaphore::const_new(256);

/// A connection from a client.
pub(crate) struct ClientStream {
    /// Shared with the future that waits for the client to leave ([`Client::left`]).
    socket: Arc<TcpStream>,
    client: Arc<Client>,
    frames: Frames,
    closing: Closing,
    _place: Place,
}

/// How far the end of the connection has come.
enum Closing {
    Open,
    /// Nothing more is written, and what the client still sends is dropped.
    Lingering {
        bytes_left: usize,
        sleep: Pin<Box<Sleep>>,
        _permit: SemaphorePermit<'static>,
    },
    Closed,
}

impl ClientStream {
    pub(crate) fn new(socket: Arc<TcpStream>, client: Arc<Client>, place: Place) -> Self {
        // The system tells of room only when much of its buffer is free. A client that reads slowly would look like one that takes nothing.
        #[cfg(any(target_os = "linux", target_os = "android"))]
        let _ = SockRef::from(&*socket).set_tcp_notsent_lowat(MOST_UNSENT);
        Self { socket, client, frames: Frames::default(), closing: Closing::Open, _place: place }
    }

    /// Shuts the connection for writing, and begins to linger if the client was answered before it had sent all.
    fn shut(&self) -> Closing {
        // An error means that the connection is gone already.
        let _ = SockRef::from(&*self.socket).shutdown(Shutdown::Write);
        match LINGERING.try_acquire() {
            Ok(permit) if self.client.may_still_send() => {
                Closing::Lingering { bytes_left: MOST_READ_ON, sleep: Box::pin(sleep(LINGER)), _permit: permit }
            }
            _ => Closing::Closed,
        }
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.socket.poll_read_ready(cx))?;
            let before = buffer.filled().len();
            match self.socket.try_read_buf(buffer) {
                Ok(_) => {
                    self.client.note_read(buffer.filled().get(before..).unwrap_or_default());
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            if self.socket.poll_write_ready(cx)?.is_pending() {
                self.client.note_blocked();
                return Poll::Pending;
            }
            match self.socket.try_write_vectored(parts) {
                Ok(length) => {
                    let has_content = self.frames.have_content(parts, length);
                    if self.frames.is_http2 == Some(true) {
                        self.client.note_shared();
                    }
                    self.client.note_written(has_content);
                    return Poll::Ready(Ok(length));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Ready when the connection may be closed: at once, or when a client that was answered early has sent the rest, has sent too much of
    /// it, or has taken too long.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if let Closing::Open = this.closing {
            this.closing = this.shut();
        }
        if let Closing::Lingering { bytes_left, sleep, .. } = &mut this.closing {
            let mut dropped = [0; 8192];
            while *bytes_left > 0 && sleep.as_mut().poll(cx).is_pending() {
                ready!(this.socket.poll_read_ready(cx))?;
                match this.socket.try_read(&mut dropped) {
                    Ok(0) => break,
                    Ok(length) => *bytes_left = bytes_left.saturating_sub(length),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(_) => break,
                }
            }
        }
        this.closing = Closing::Closed;
        Poll::Ready(Ok(()))
    }
}

/// Ends the connection in a reset where that is asked for. It is to be dropped after the connection: what the connection was doing says how it is to end.
pub(crate) struct Ending {
    pub(crate) socket: Arc<TcpStream>,
    pub(crate) client: Arc<Client>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        if self.client.is_to_be_reset() {
            // An error means that the connection is gone already.
            let _ = self.socket.set_zero_linger();
        }
    }
}

/// Follows the frames of HTTP/2 that are written, to tell the content of responses from what keeps a connection alive. Of HTTP/1 all is
/// content.
#[derive(Default)]
struct Frames {
    /// Whether the connection speaks HTTP/2, once a byte was written.
    is_http2: Option<bool>,
    /// What has been written of the head of a frame.
    head: Vec<u8>,
    /// How much of the payload of the current frame is to come.
    payload_left: usize,
    /// Whether that frame belongs to a response.
    is_content: bool,
}

impl Frames {
    /// Whether among the first `length` bytes of these parts, which were written, is a byte of a response.
    fn have_content(&mut self, parts: &[IoSlice<'_>], mut length: usize) -> bool {
        let mut has_content = false;
        for part in parts {
            let written = part.get(..length).unwrap_or(part);
            length = length.saturating_sub(written.len());
            has_content |= self.follow(written);
        }
        has_content
    }

    fn follow(&mut self, mut bytes: &[u8]) -> bool {
        let Some(first) = bytes.first() else { return false };
        // A response of HTTP/1 begins with its name; a server of HTTP/2 begins with SETTINGS, whose length is below 64 KiB.
        if !*self.is_http2.get_or_insert(*first == 0) {
            return true;
        }
        let mut has_content = false;
        while !bytes.is_empty() {
            if self.payload_left > 0 {
                let (payload, rest) = bytes.split_at(self.payload_left.min(bytes.len()));
                self.payload_left = self.payload_left.saturating_sub(payload.len());
                has_content |= self.is_content;
                bytes = rest;
                continue;
            }
            let (head, rest) = bytes.split_at(HEAD.saturating_sub(self.head.len()).min(bytes.len()));
            self.head.extend_from_slice(head);
            bytes = rest;
            if let [a, b, c, kind, _, _, _, _, _] = *self.head {
                self.payload_left = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
                self.is_content = [DATA, HEADERS, CONTINUATION].contains(&kind);
                self.head.clear();
            }
        }
        has_content
    }
}

/// The length of the head of a frame ([RFC 9113, section 4.1](https://www.rfc-editor.org/rfc/rfc9113#section-4.1)).
const HEAD: usize = 9;
/// The types of the frames that responses consist of.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let length = u8::try_from(payload.len()).unwrap();
        [&[0, 0, length, kind, 0, 0, 0, 0, 1][..], payload].concat()
    }

    #[test]
    fn what_keeps_a_connection_alive_is_no_content() {
        let bytes =
            [frame(4, b"settings"), frame(6, b"ping1234"), frame(DATA, b"content"), frame(6, b"ping1234")].concat();
        let data = 2 * (HEAD + 8) + HEAD..2 * (HEAD + 8) + HEAD + 7;
        for size in 1..bytes.len() {
            let mut frames = Frames::default();
            let mut at = 0;
            for part in bytes.chunks(size) {
                let has_content = at < data.end && at + part.len() > data.start;
                assert_eq!(frames.have_content(&[IoSlice::new(part)], part.len()), has_content, "{size} {at}");
                at += part.len();
            }
        }
        let mut frames = Frames::default();
        assert!(frames.have_content(&[IoSlice::new(b"HTTP/1.1 200 OK"), IoSlice::new(b"\r\n")], 10));
        assert!(frames.have_content(&[IoSlice::new(&[0, 0])], 2));
    }
}
