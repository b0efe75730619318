//! Connections that leave HTTP: WebSocket and whatever else an upstream switches to.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};

use http::{HeaderMap, Request, Response, StatusCode, header::UPGRADE};
use hyper::{
    body::Incoming,
    upgrade::{self, OnUpgrade},
};
use hyper_util::rt::TokioIo;
use pin_project_lite::pin_project;
use tokio::io::copy_bidirectional;
use tower::Service;
use tower_bad_gateway::{BoxError, Failure, FailureKind, context::RequestId};

use crate::{
    forward::{Peer, list},
    front::Front,
    log::ACCESS,
};

/// Lets both sides speak to each other once the upstream has agreed to switch.
#[derive(Clone)]
pub(crate) struct Tunnel<S> {
    pub(crate) inner: S,
    pub(crate) front: Arc<Front>,
}

impl<S, A> Service<Request<A>> for Tunnel<S>
where
    S: Service<Request<A>, Response = Response<Incoming>, Error: Into<BoxError>>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = TunnelFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<A>) -> Self::Future {
        // What is left of this field after rewriting is for the upstream.
        let asked = request.headers().contains_key(UPGRADE).then(|| Asked {
            protocols: list(request.headers(), &UPGRADE),
            downstream: upgrade::on(&mut request),
            client: request.extensions().get().cloned(),
            id: request.extensions().get().cloned(),
            front: Arc::clone(&self.front),
        });
        TunnelFuture { inner: self.inner.call(request), asked }
    }
}

/// A request to switch.
struct Asked {
    protocols: Vec<Vec<u8>>,
    downstream: OnUpgrade,
    client: Option<Peer>,
    id: Option<RequestId>,
    front: Arc<Front>,
}

pin_project! {
    pub(crate) struct TunnelFuture<F> {
        #[pin]
        inner: F,
        asked: Option<Asked>,
    }
}

impl<F, E> Future for TunnelFuture<F>
where
    F: Future<Output = Result<Response<Incoming>, E>>,
    E: Into<BoxError>,
{
    type Output = Result<Response<Incoming>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = ready!(this.inner.poll(cx)).map_err(Into::into)?;
        if let (StatusCode::SWITCHING_PROTOCOLS, Some(asked)) = (response.status(), this.asked.take()) {
            if !is_among(response.headers(), &asked.protocols) {
                // It may not switch to what nobody asked for (RFC 9110, section 7.8).
                return Poll::Ready(Err(Failure::new(FailureKind::HttpUpgradeFailed).into()));
            }
            tokio::spawn(join(asked, upgrade::on(&mut response)));
        }
        Poll::Ready(Ok(response))
    }
}

fn is_among(response: &HeaderMap, asked: &[Vec<u8>]) -> bool {
    let chosen = list(response, &UPGRADE);
    !chosen.is_empty() && chosen.iter().all(|one| asked.iter().any(|other| one.eq_ignore_ascii_case(other)))
}

async fn join(asked: Asked, upstream: OnUpgrade) {
    let Asked { downstream, client, id, front, .. } = asked;
    let mut line = Line { client, id, front, since: Instant::now(), end: None };
    line.end = Some(match tokio::try_join!(downstream, upstream) {
        Ok((downstream, upstream)) => {
            copy_bidirectional(&mut TokioIo::new(downstream), &mut TokioIo::new(upstream)).await
        }
        Err(error) => Err(io::Error::other(error)),
    });
}

/// One tunnel, written to the log when it is over, however that comes.
struct Line {
    client: Option<Peer>,
    id: Option<RequestId>,
    front: Arc<Front>,
    since: Instant,
    /// Bytes from the client, bytes from the upstream.
    end: Option<io::Result<(u64, u64)>>,
}

impl Drop for Line {
    fn drop(&mut self) {
        let (end, up, down, error) = match &self.end {
            Some(Ok((up, down))) => ("tunnel closed", Some(*up), Some(*down), None),
            Some(Err(error)) => ("tunnel broken", None, None, Some(error)),
            None if self.front.is_cutting() => ("tunnel cut by the gateway", None, None, None),
            None => ("tunnel dropped", None, None, None),
        };
        tracing::info!(
            target: ACCESS,
            client = self.client.as_ref().map(tracing::field::display),
            up,
            down,
            error = error.map(tracing::field::display),
            ms = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX),
            request_id = self.id.as_ref().map(tracing::field::display),
            "{end}",
        );
    }
}
