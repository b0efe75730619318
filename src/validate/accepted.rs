//! What a response head that was accepted means for the body behind it.
//!
//! [`Rules`](super::Rules) and the policy fill it in, and `body` copies it into the call.

use super::NotForTrailers;
use crate::body_kind::BodyKind;

/// What `body` needs to know of an accepted head to watch the body after it.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) body_kind: BodyKind,
    pub(crate) content: Content,
    /// Whether the body has to keep to `content`: fewer or more bytes than it says are a failure, and what comes in spite of `Absent` is dropped.
    pub(crate) enforces_length: bool,
    /// Whether a body was cut short if it ends while its `is_end_stream` is `false`.
    pub(crate) detects_early_end: bool,
    /// The fields that `Connection` has named, which may not come as trailers either. `None` where no field is removed because it may not be a
    /// trailer: in a router, in a tunnel, and in the answer of a layer further in.
    pub(crate) trailers: Option<NotForTrailers>,
    /// Whether this is the answer to a failure that a layer further in has made and reported.
    pub(crate) is_answered: bool,
    /// What a gRPC body still owes its caller; set by the policy.
    pub(crate) grpc_status: GrpcStatus,
}

/// Whether a body has to bring the status of a gRPC call.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum GrpcStatus {
    /// It does not have to: the call is no gRPC call, the head ends it, or the trailers have brought the status.
    #[default]
    NotDue,
    /// It has to as soon as there is content, although the head has said success: only trailers say that all of it has come.
    DueAfterContent(Trailers),
    /// It has to, in its trailers.
    Due(Trailers),
}

/// Which trailers reach the client.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Trailers {
    /// None: its server would drop them.
    Lost,
    /// Those of the upstream. Ours might contradict a length that was announced, so that a failure ends in an abort.
    Theirs,
    /// Those of the upstream, and ours.
    Any,
}

/// What the head says of the content of its message.
///
/// | state | when | the length is |
/// | --- | --- | --- |
/// | `Absent` | after HEAD, in 204, 205 and 304, and in a gRPC response that is trailers only; in a tunnel and in the answer of a layer further in, which are not watched | not counted |
/// | `Exactly` | there is a valid `Content-Length`; in a router, if the body does not know its size | the number |
/// | `NotStated` | otherwise | that of the body's `size_hint`, if it is exact |
///
/// A body in spite of `Absent` is dropped unread if the [length is enforced](Accepted::enforces_length), and forwarded unwatched otherwise. In a
/// router a 205 is no exception: it has the content that its body has.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Content {
    /// There is none, even if the body has frames
    /// ([RFC 9110, section 6.4.1](https://www.rfc-editor.org/rfc/rfc9110#section-6.4.1)); or there may be some that is not watched.
    Absent,
    /// This many bytes.
    Exactly(u64),
    /// The fields do not say.
    NotStated,
}

impl Accepted {
    /// A response whose body is forwarded without being watched.
    pub(crate) fn unwatched(body_kind: BodyKind) -> Self {
        Self {
            body_kind,
            content: Content::Absent,
            enforces_length: false,
            detects_early_end: false,
            trailers: None,
            is_answered: false,
            grpc_status: GrpcStatus::NotDue,
        }
    }

    /// The answer of a layer further in, which has reported its failure: this layer must not report a second one.
    pub(crate) fn answered_further_in() -> Self {
        Self { is_answered: true, ..Self::unwatched(BodyKind::MayPause) }
    }
}
