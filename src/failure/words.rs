//! When a failure happened, whether the request may be sent again, which limit ran out.
//!
//! Each of these enums has a word for logs and metrics: dashboards and alerts match on it, so it never changes.

/// When a failure happened.
///
/// The phase is that of the fault, as far as the error shows it, and not that of the call: a connection that was refused fails in
/// [`Connect`](Self::Connect), although the error comes out while the response head is waited for.
///
/// See the [module](super) for an example.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Phase {
    /// While the service was asked whether it is ready: the request was not handed over.
    Readiness,
    /// While the name of the upstream was resolved.
    Resolve,
    /// While the connection was opened: nothing of the request was sent.
    Connect,
    /// While TLS was set up, or by TLS later on.
    Tls,
    /// While the request body was read from the client, or forwarded to the upstream.
    RequestBody,
    /// Between the request and the complete head of the response.
    ResponseHead,
    /// After the head had come. Unless the answer is the layer's own, the status has been sent and cannot change any more.
    ResponseBody,
    /// The error does not show when it happened.
    Unknown,
}

impl Phase {
    /// A stable lower-case word for logs and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Readiness => "readiness",
            Self::Resolve => "resolve",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::RequestBody => "request_body",
            Self::ResponseHead => "response_head",
            Self::ResponseBody => "response_body",
            Self::Unknown => "unknown",
        }
    }
}

/// Whether a request may be sent again without doing its work twice
/// ([RFC 9110, section 9.2.2](https://www.rfc-editor.org/rfc/rfc9110#section-9.2.2)).
///
/// The layer never retries; a `tower::retry::Policy` may ask:
///
/// | policy | reads | which speaks of |
/// | --- | --- | --- |
/// | outside of the layer | the [`Failure`](crate::Failure) in the extensions of the response | the call |
/// | inside | [`Failure::from_error`](crate::Failure::from_error) | the attempt that failed |
///
/// [`NotSent`](Self::NotSent) and [`NotProcessed`](Self::NotProcessed) are promises: where a doubt is left the value is
/// [`Unknown`](Self::Unknown).
///
/// See the [module](super) for an example.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum RetrySafety {
    /// No byte of the request was sent. A request of any method may be sent again.
    NotSent,
    /// The upstream said that it did not process the request: HTTP/2 `REFUSED_STREAM`, or a stream above the last one of `GOAWAY`
    /// ([RFC 9113, section 8.7](https://www.rfc-editor.org/rfc/rfc9113#section-8.7)). A request of any method may be sent again.
    NotProcessed,
    /// The request may have been processed: only an idempotent one may be sent again.
    Unknown,
}

impl RetrySafety {
    /// A stable lower-case word for logs and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotSent => "not_sent",
            Self::NotProcessed => "not_processed",
            Self::Unknown => "unknown",
        }
    }
}

/// Which time limit ran out.
///
/// Set on failures that a limit of the layer caused; see [`Failure::limit`](crate::Failure::limit). A limit that something inside of
/// the layer had set, such as `tower::timeout`, is not among them.
///
/// ```
/// use tower_bad_gateway::failure::TimeLimit;
///
/// assert_eq!(TimeLimit::Head.as_str(), "head_timeout");
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum TimeLimit {
    /// [`head_timeout`](crate::BadGatewayLayer::head_timeout): the response head was not complete in time, or the upstream took no
    /// more of an upload. The kind says which: `http_response_timeout` or `connection_write_timeout`.
    Head,
    /// [`idle_timeout`](crate::BadGatewayLayer::idle_timeout): nothing came for too long. In [`Phase::RequestBody`] the client
    /// sent nothing, and the limit is that of [`RequestBodyTap`](crate::RequestBodyTap::idle_timeout).
    Idle,
    /// [`total_timeout`](crate::BadGatewayLayer::total_timeout): the response was not complete in time.
    Total,
    /// [`ready_timeout`](crate::BadGatewayLayer::ready_timeout): the service was not ready in time. Where a shorter head limit ended the wait it
    /// is [`Head`](Self::Head).
    Ready,
    /// [`stream_idle_timeout`](crate::BadGatewayLayer::stream_idle_timeout): neither side of a gRPC call sent anything for too long.
    StreamIdle,
    /// The client's own deadline (`grpc-timeout`), where it was shorter than [`Total`](Self::Total) or the only one.
    Client,
}

impl TimeLimit {
    /// The name of the setting, or `client_deadline`, for logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Head => "head_timeout",
            Self::Idle => "idle_timeout",
            Self::Total => "total_timeout",
            Self::Ready => "ready_timeout",
            Self::StreamIdle => "stream_idle_timeout",
            Self::Client => "client_deadline",
        }
    }
}
