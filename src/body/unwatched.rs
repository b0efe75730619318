//! A default body, which no call has brought.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame};

use super::BrokenBody;
use crate::{
    classify::already_reported,
    failure::{BoxError, Failure},
};

/// Polls a body that no call has brought. Its errors are read by the readers of this crate alone, and no hook sees them.
pub(super) fn poll_unwatched<B>(
    body: Pin<&mut B>,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, BrokenBody>>>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    body.poll_frame(cx).map(|next| {
        next.map(|frame| {
            frame.map_err(|error| match already_reported(error.into()) {
                Ok(error) => BrokenBody::ReportedInside(error),
                Err(error) => BrokenBody::New(Failure::from_body_error(error)),
            })
        })
    })
}
