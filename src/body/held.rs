//! A body that is held with its head.
//!
//! Behind a hop that passes on a cut as if it were an end, or before a client that does not notice, a body that breaks can be seen to be
//! broken only while its head is still here. So [`HeldBody`] gathers what the body gives, frame by frame as `peek` reads it, until the body has ended
//! or as much has come as the layer is willing to hold ([`hold_body`](crate::BadGatewayLayer::hold_body)). Of a body that has ended the length is
//! known, and every hop behind can tell whether all of it has come.
//!
//! The future drives it, together with the limits. This file must not know the clock.

use std::mem;

use bytes::Bytes;
use http_body::SizeHint;

use super::{
    Call,
    peek::{PeekedBody, PeekedFrame, WholeBody},
};
use crate::policy::HoldBody;

/// What a held body has given so far.
#[derive(Debug, Default)]
pub(crate) struct HeldBody {
    /// The content, while it is one frame: most bodies that are held to their end are one, and need no copy.
    first: Bytes,
    /// The content, once there is a second frame. One buffer, because each slice that a client library gives may keep a larger one alive.
    joined: Vec<u8>,
    /// What the body has said of its length before its first frame.
    size_hint: SizeHint,
}

impl HeldBody {
    /// Whether a byte has come.
    pub(crate) fn has_begun(&self) -> bool {
        self.length() > 0
    }

    /// How many bytes have come.
    fn length(&self) -> usize {
        self.first.len().max(self.joined.len())
    }

    /// Adds what was read of the body. Returns what goes out with the head, if that need not wait any longer: there is no limit for the
    /// body, as much has come as is held, all of a known length has come, or the body has ended. `has_ended`: after
    /// `read` the body calls itself ended, and nothing that it owes is missing.
    pub(crate) fn add(
        &mut self,
        read: PeekedBody,
        limit: Option<HoldBody>,
        has_ended: bool,
        call: &Call,
    ) -> Option<PeekedBody> {
        let Some(limit) = limit else { return Some(read) };
        if !self.has_begun() {
            self.size_hint = read.size_hint;
        }
        let trailers = match read.frame {
            PeekedFrame::Data(data) => {
                self.push(data, limit.bytes);
                if !has_ended {
                    // With all promised bytes here nothing is left to hold: an upstream that does not end its stream then would be waited
                    // for.
                    let is_enough = self.length() >= limit.bytes || call.has_all_content();
                    return is_enough.then(|| self.take());
                }
                None
            }
            PeekedFrame::Trailers(trailers) => Some(trailers),
            PeekedFrame::End => None,
            PeekedFrame::Nothing if self.has_begun() => None,
            // A body that had ended before it was read goes out as it is.
            frame @ (PeekedFrame::Nothing | PeekedFrame::Whole(_)) => {
                return Some(PeekedBody { frame, size_hint: self.size_hint });
            }
        };
        let content = self.take_content();
        let may_have_length = trailers.is_none() || may_have_length_and_trailers(call);
        let size_hint = if may_have_length && !call.knows_length() {
            SizeHint::with_exact(u64::try_from(content.len()).unwrap_or(u64::MAX))
        } else {
            self.size_hint
        };
        let frame = match trailers {
            trailers if !content.is_empty() => PeekedFrame::Whole(Box::new(WholeBody { content, trailers })),
            Some(trailers) => PeekedFrame::Trailers(trailers),
            None => PeekedFrame::End,
        };
        Some(PeekedBody { frame, size_hint })
    }

    /// Takes what has come of a body that goes on. Nothing, if no byte has come.
    pub(crate) fn take(&mut self) -> PeekedBody {
        if !self.has_begun() {
            return PeekedBody::default();
        }
        PeekedBody { frame: PeekedFrame::Data(self.take_content()), size_hint: self.size_hint }
    }

    /// Adds content, of at least one byte. The buffer doubles, but not beyond what is held at most.
    fn push(&mut self, data: Bytes, most: usize) {
        if !self.has_begun() {
            self.first = data;
            return;
        }
        // Let go of with the copy: it may be a slice of a larger buffer.
        let before = mem::take(&mut self.first);
        let length = self.joined.len().saturating_add(before.len()).saturating_add(data.len());
        if self.joined.capacity() < length {
            let room = length.saturating_mul(2).min(most).max(length);
            self.joined.reserve_exact(room.saturating_sub(self.joined.len()));
        }
        self.joined.extend_from_slice(&before);
        self.joined.extend_from_slice(&data);
    }

    /// Takes the content out.
    fn take_content(&mut self) -> Bytes {
        let first = mem::take(&mut self.first);
        if self.joined.is_empty() { first } else { mem::take(&mut self.joined).into() }
    }
}

/// Whether a response with trailers may get a length. Over HTTP/1.1 the trailers would be lost: they come after chunks, and there are no chunks
/// where there is a length ([RFC 9112, section 6.3](https://www.rfc-editor.org/rfc/rfc9112#section-6.3)). HTTP/1.0 has no trailers to lose.
fn may_have_length_and_trailers(call: &Call) -> bool {
    call.is_multiplexed() || call.is_http_1_0()
}
