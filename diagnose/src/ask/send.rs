//! Sends the request, and finds out why there is no head.

use std::{
    error::Error,
    io, iter,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, Uri, Version, header, uri::Authority};
use http_body_util::Empty;
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    task::JoinHandle,
    time::timeout,
};
use tower_bad_gateway::{Failure, FailureKind};

/// What nobody knows of a handshake that failed is still TLS.
pub(super) fn handshake_failed(error: io::Error) -> Failure {
    let failure = Failure::from_error(error);
    if failure.kind() == FailureKind::Unclassified {
        return Failure::new(FailureKind::TlsProtocolError).with_source(failure);
    }
    failure
}

pub(super) async fn http1(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    mut request: Request<Empty<Bytes>>,
) -> Result<Response<Incoming>, Failure> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(Failure::from_error)?;
    let connection = tokio::spawn(connection);
    // HTTP/1.1 has the host in a field of its own (RFC 9112, section 3.2.1).
    let host = request.uri().authority().and_then(|authority| HeaderValue::try_from(authority.as_str()).ok());
    if let Some(host) = host {
        request.headers_mut().entry(header::HOST).or_insert(host);
    }
    let path = request.uri().path_and_query().cloned();
    *request.uri_mut() = path.map_or(Uri::default(), Uri::from);
    let sent = sender.send_request(request).await;
    drop(sender);
    match sent {
        Ok(response) => Ok(response),
        Err(error) => Err(failed(error, connection).await),
    }
}

pub(super) async fn http2(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    mut request: Request<Empty<Bytes>>,
) -> Result<Response<Incoming>, Failure> {
    let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(Failure::from_error)?;
    let connection = tokio::spawn(connection);
    *request.version_mut() = Version::HTTP_2;
    // HTTP/2 has it in `:authority` (RFC 9113, section 8.3.1).
    if let Some(host) = request.headers_mut().remove(header::HOST) {
        let mut parts = request.uri().clone().into_parts();
        parts.authority = Some(Authority::try_from(host.as_bytes()).map_err(Failure::from_error)?);
        *request.uri_mut() = Uri::from_parts(parts).map_err(Failure::from_error)?;
    }
    let sent = sender.send_request(request).await;
    drop(sender);
    match sent {
        Ok(response) => Ok(response),
        Err(error) => Err(failed(error, connection).await),
    }
}

/// Which of them learns why, the request or the connection, is a race.
async fn failed(error: hyper::Error, connection: JoinHandle<hyper::Result<()>>) -> Failure {
    if !error.is_canceled() && !error.is_closed() {
        return Failure::from_error(error);
    }
    if iter::successors(error.source(), |&error| error.source()).any(|error| {
        // What is no parse error and has no source is a message that nobody had asked for, such as a banner.
        error.downcast_ref::<hyper::Error>().is_some_and(|error| {
            let is_end = error.is_canceled() || error.is_closed() || error.is_incomplete_message();
            error.is_parse() || (error.source().is_none() && !is_end)
        })
    }) {
        return Failure::new(FailureKind::HttpProtocolError).with_source(error);
    }
    match timeout(LINGERS, connection).await {
        Ok(Ok(Err(error))) => Failure::from_error(error),
        _ => Failure::from_error(error),
    }
}

/// A connection that says it is closed is all but done.
const LINGERS: Duration = Duration::from_secs(1);

/// Keeps the first error of TLS on a stream, which HTTP/2 passes on as text alone.
pub(super) struct Witness<S> {
    stream: S,
    seen: Witnessed,
}

#[derive(Clone, Default)]
pub(super) struct Witnessed(Arc<OnceLock<rustls::Error>>);

impl Witnessed {
    pub(super) fn failure(&self) -> Option<Failure> {
        let error = self.0.get()?;
        Some(Failure::from_error(error.clone()))
    }

    fn look<T>(&self, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if let Poll::Ready(Err(error)) = &outcome {
            if let Some(error) = tls_error(error) {
                let _ = self.0.set(error.clone());
            }
        }
        outcome
    }
}

impl<S> Witness<S> {
    pub(super) fn of(stream: S) -> (Self, Witnessed) {
        let seen = Witnessed::default();
        (Self { stream, seen: seen.clone() }, seen)
    }
}

/// rustls stands inside of an error of the stream.
fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

impl<S: AsyncRead + Unpin> AsyncRead for Witness<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.seen.look(outcome)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Witness<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.seen.look(outcome)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_flush(cx);
        self.seen.look(outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.seen.look(outcome)
    }
}
