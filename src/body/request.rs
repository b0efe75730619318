//! The body of a request whose upload is watched.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::upload::{Reader, Upload};
use crate::{
    caught::caught,
    classify,
    failure::{BodyError, BoxError},
    timer::Timer,
};

pin_project! {
    /// The client's body, passed on frame by frame, while [`RequestBodyTap`](crate::RequestBodyTap) learns how it ends.
    ///
    /// Frames, trailers, size hints and the end of the stream are those of the client. The first error is the last word.
    ///
    /// See [`RequestBodyTap`](crate::RequestBodyTap) for an example.
    pub struct RequestBody<B> {
        #[pin]
        inner: B,
        upload: Option<Upload>,
        idle_limit: Option<Duration>,
        timer: Timer,
        reader: Option<(Arc<Reader>, Waker)>,
        failed: bool,
    }

    impl<B> PinnedDrop for RequestBody<B> {
        fn drop(this: Pin<&mut Self>) {
            // Whoever drops a body has had enough of it. Where a thread ends there may be no clock any more.
            caught(|| end(this.project().upload));
        }
    }
}

impl<B> RequestBody<B> {
    /// Without an upload there is nothing that need be known of the body.
    pub(crate) fn new(inner: B, upload: Option<Upload>, idle_limit: Option<Duration>) -> Self {
        Self { inner, upload, idle_limit, timer: Timer::default(), reader: None, failed: false }
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
        if let (Some(upload), None) = (&this.upload, &this.reader) {
            let reader = Reader::new(upload.clone(), cx.waker().clone());
            *this.reader = Some((Arc::clone(&reader), Waker::from(reader)));
        }
        let mut through = match this.reader {
            Some((reader, waker)) => {
                reader.moved(cx.waker());
                Context::from_waker(waker)
            }
            None => Context::from_waker(cx.waker()),
        };
        let cx = &mut through;
        if let Some(upload) = this.upload {
            // Before it is asked: a wake that comes at once must not be lost.
            upload.client();
        }
        let failure = match this.inner.as_mut().poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                this.timer.disarm();
                if !this.inner.is_end_stream() {
                    if let Some(upload) = this.upload {
                        upload.upstream();
                    }
                } else if let Some(upload) = this.upload.take() {
                    upload.last();
                }
                return Poll::Ready(Some(Ok(frame)));
            }
            Poll::Ready(None) => {
                end(this.upload);
                return Poll::Ready(None);
            }
            Poll::Ready(Some(Err(error))) => classify::upload(error.into()),
            Poll::Pending => {
                ready!(this.timer.poll_within(|| *this.idle_limit, None, cx));
                classify::stalled_upload(this.idle_limit.unwrap_or_default())
            }
        };
        *this.failed = true;
        if let Some(upload) = this.upload.take() {
            upload.failed(failure.clone());
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

fn end(upload: &mut Option<Upload>) {
    if let Some(upload) = upload.take() {
        upload.over();
    }
}

/// An unwatched default body.
impl<B: Default> Default for RequestBody<B> {
    fn default() -> Self {
        Self::new(B::default(), None, None)
    }
}

impl<B> fmt::Debug for RequestBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBody").field("failed", &self.failed).finish_non_exhaustive()
    }
}
