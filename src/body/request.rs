//! The body of a request whose upload is watched.
//!
//! [`RequestBodyTap`](crate::RequestBodyTap) wraps the client's body in a [`RequestBody`], which the wrapped service or
//! its client library polls, in whichever task. The body writes what happens into its [`Upload`]; the future of the call
//! reads it there, perhaps in another task.
//!
//! In every poll the order is: note that it is the client's turn, poll the client's body, note what came, and only if
//! nothing came look at the idle limit. This file must not know about responses, nor about limits of the upstream.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::Buf;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::upload::{Upload, UploadWaker};
use crate::{
    caught::caught,
    classify,
    dialect::grpc::Messages,
    failure::{BodyError, BoxError},
    timer::Timer,
};

pin_project! {
    /// The client's body, forwarded frame by frame, while [`RequestBodyTap`](crate::RequestBodyTap) learns how it ends.
    ///
    /// Frames, trailers, size hints and the end of the stream are those of the client. A body that was empty when it was
    /// tapped is not watched: it costs no allocation and has no limit.
    ///
    /// # Errors
    ///
    /// A [`BodyError`], when the client's body fails or sends nothing for the [idle
    /// timeout](crate::RequestBodyTap::idle_timeout) while it is polled. Its failure is blamed on the client, unless the
    /// client's body is that of another gateway and holds a [`Failure`](crate::Failure) of its own. After the first error
    /// the body ends.
    ///
    /// In a layer of [`new`](crate::BadGatewayLayer::new) the call that waits for the response is woken at once and
    /// answers the failure; it need not wait for the client library to notice.
    ///
    /// # Panics
    ///
    /// `poll_frame` panics when the client has to be waited for with a time limit outside a tokio runtime with its timer
    /// enabled.
    ///
    /// # Cancel safety
    ///
    /// A poll that is pending loses no frame. A body that is dropped before its end counts as read to the end: the
    /// upstream needs no more of it, and its time for the response head begins.
    ///
    /// # Examples
    ///
    /// See [`RequestBodyTap`](crate::RequestBodyTap).
    pub struct RequestBody<B> {
        #[pin]
        inner: B,
        upload: Option<Upload>,
        idle_limit: Option<Duration>,
        timer: Timer,
        messages: Option<Messages>,
        upload_waker: Option<(Arc<UploadWaker>, Waker)>,
        failed: bool,
    }

    impl<B> PinnedDrop for RequestBody<B> {
        fn drop(this: Pin<&mut Self>) {
            // A service that drops the body needs no more of it: without this line the client would still be waited for.
            // Caught, because tokio's clock may be gone when a thread ends.
            caught(|| end_upload(this.project().upload));
        }
    }
}

impl<B> RequestBody<B> {
    /// Wraps a client's body. Without an upload the body is forwarded and not watched; without a limit the client is
    /// waited for for ever. The limit of a gRPC body counts only inside of a message.
    pub(crate) fn new(inner: B, upload: Option<Upload>, idle_limit: Option<Duration>, is_grpc: bool) -> Self {
        let messages = is_grpc.then(Messages::default);
        Self { inner, upload, idle_limit, timer: Timer::default(), messages, upload_waker: None, failed: false }
    }
}

impl<B> Body for RequestBody<B>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    type Data = B::Data;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, BodyError>>> {
        let mut this = self.project();
        if *this.failed {
            return Poll::Ready(None);
        }
        if let (Some(upload), None) = (&this.upload, &this.upload_waker) {
            let upload_waker = UploadWaker::new(upload.clone(), cx.waker().clone());
            *this.upload_waker = Some((Arc::clone(&upload_waker), Waker::from(upload_waker)));
        }
        let mut through = match this.upload_waker {
            Some((upload_waker, waker)) => {
                upload_waker.set_waker(cx.waker());
                Context::from_waker(waker)
            }
            None => Context::from_waker(cx.waker()),
        };
        let cx = &mut through;
        if let Some(upload) = this.upload {
            // Noted before the poll: a wake that comes during the poll would otherwise be lost, and it would stay the
            // client's turn.
            upload.wait_for_client();
        }
        let failure = match this.inner.as_mut().poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                this.timer.disarm();
                if let (Some(messages), Some(data)) = (&mut this.messages, frame.data_ref()) {
                    // Of a buffer in several parts the prefixes cannot be read without taking them: its boundaries are not
                    // known, and the limit counts as for any other body.
                    if data.chunk().len() == data.remaining() { messages.read(data.chunk()) } else { messages.lose() }
                }
                if this.inner.is_end_stream() {
                    if let Some(upload) = this.upload.take() {
                        upload.hand_over_last_part();
                    }
                } else if let Some(upload) = this.upload {
                    // Of an announced length the end may still be to come, or trailers; but who has all of the content need not ask again.
                    let is_all = this.inner.size_hint().exact() == Some(0);
                    if is_all { upload.hand_over_last_part() } else { upload.hand_over_part() }
                }
                return Poll::Ready(Some(Ok(frame)));
            }
            Poll::Ready(None) => {
                end_upload(this.upload);
                return Poll::Ready(None);
            }
            Poll::Ready(Some(Err(error))) => classify::upload(error.into()),
            // Between two messages a gRPC client may listen as long as it likes: a limit would kill a healthy call.
            Poll::Pending if this.messages.is_some_and(Messages::is_between) => return Poll::Pending,
            Poll::Pending => {
                ready!(this.timer.poll_within(|| *this.idle_limit, None, cx));
                classify::stalled_upload(this.idle_limit.unwrap_or_default())
            }
        };
        *this.failed = true;
        if let Some(upload) = this.upload.take() {
            upload.fail(failure.clone());
        }
        Poll::Ready(Some(Err(failure.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.failed || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.failed { SizeHint::with_exact(0) } else { self.inner.size_hint() }
    }
}

/// Notes the end of the upload, once.
fn end_upload(upload: &mut Option<Upload>) {
    if let Some(upload) = upload.take() {
        upload.end();
    }
}

/// A default body of the client's type, which is not watched.
impl<B: Default> Default for RequestBody<B> {
    fn default() -> Self {
        Self::new(B::default(), None, None, false)
    }
}

impl<B> fmt::Debug for RequestBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBody").field("failed", &self.failed).finish_non_exhaustive()
    }
}
