//! Connections that leave HTTP: WebSocket and whatever else an upstream switches to.

use std::{
    convert::Infallible,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{Request, Response, StatusCode, header::UPGRADE};
use hyper::{
    body::Incoming,
    upgrade::{self, OnUpgrade},
};
use hyper_util::rt::TokioIo;
use pin_project_lite::pin_project;
use tokio::{io::copy_bidirectional, sync::mpsc};
use tower::Service;

/// Lets both sides speak to each other once the upstream has agreed to switch.
#[derive(Clone)]
pub(crate) struct Tunnel<S> {
    pub(crate) inner: S,
    /// Held by every open tunnel: when all are gone its receiver ends.
    pub(crate) open: mpsc::Sender<Infallible>,
}

impl<S> Service<Request<Incoming>> for Tunnel<S>
where
    S: Service<Request<Incoming>, Response = Response<Incoming>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = TunnelFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Incoming>) -> Self::Future {
        // What is left of this field after rewriting is for the upstream.
        let downstream = request.headers().contains_key(UPGRADE).then(|| upgrade::on(&mut request));
        TunnelFuture { inner: self.inner.call(request), downstream, open: self.open.clone() }
    }
}

pin_project! {
    pub(crate) struct TunnelFuture<F> {
        #[pin]
        inner: F,
        downstream: Option<OnUpgrade>,
        open: mpsc::Sender<Infallible>,
    }
}

impl<F, E> Future for TunnelFuture<F>
where
    F: Future<Output = Result<Response<Incoming>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let mut response = ready!(this.inner.poll(cx))?;
        if let (StatusCode::SWITCHING_PROTOCOLS, Some(downstream)) = (response.status(), this.downstream.take()) {
            let (upstream, open) = (upgrade::on(&mut response), this.open.clone());
            tokio::spawn(async move {
                match join(downstream, upstream).await {
                    Ok((up, down)) => tracing::info!(target: "access", up, down, "tunnel closed"),
                    Err(error) => tracing::info!(target: "access", %error, "tunnel broken"),
                }
                drop(open);
            });
        }
        Poll::Ready(Ok(response))
    }
}

/// Bytes from the client, bytes from the upstream.
async fn join(downstream: OnUpgrade, upstream: OnUpgrade) -> io::Result<(u64, u64)> {
    let (downstream, upstream) = tokio::try_join!(downstream, upstream).map_err(io::Error::other)?;
    copy_bidirectional(&mut TokioIo::new(downstream), &mut TokioIo::new(upstream)).await
}
