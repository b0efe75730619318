//! The settings that are times.
//!
//! | setting | default of `new` | default of `for_router` | when it runs out |
//! | --- | --- | --- | --- |
//! | `ready_timeout` | 10 s, or a shorter `head_timeout` | none | the answer is 503 |
//! | `head_timeout` | 45 s, with exceptions | none | the answer is 504 |
//! | `idle_timeout` | 45 s or 5 min, with exceptions | none | the body ends in an error |
//! | `stream_idle_timeout` | none | none | the answer of a gRPC call is DEADLINE_EXCEEDED |
//! | `total_timeout` | none | none | the answer is 504; after the head the body ends in an error |
//! | `hold_head`, `hold_body` | none | none | the head is forwarded, with what has come of the body |
//!
//! The defaults stand in `policy::limits`, and so do their exceptions; the timers run in `service`, `future` and `body`. A limit that a user has
//! set is stored as such, even if it is equal to the default: it has no exceptions. A fallback and a tap have limits of their own.

use std::time::Duration;

use super::BadGatewayLayer;
use crate::policy::{HoldBody, Limit};

impl BadGatewayLayer {
    /// Sets how long to wait for the upstream's response head.
    ///
    /// The clock runs from the first wait for the wrapped service to become [ready](Self::ready_timeout), or else from the call or its first
    /// poll, until the head is complete; the body is not included. Of an upgrade it is the head of its 101, of CONNECT that of
    /// the 2xx. The default is 45 seconds, below the 60 of nginx and of load balancers and the 50 of HAProxy's packaged template: a hop
    /// in front that gives up first answers by itself.
    ///
    /// The default is one hour for requests that accept `text/event-stream`, and there is none where waiting is lawful: for gRPC, and
    /// for requests with a body of more than 64 KiB or of unknown length, which may still be on its way from the client. A limit set
    /// here applies to all of these as well. `None` waits for ever. In [`for_router`](Self::for_router) there is no limit by default.
    ///
    /// With [`RequestBodyTap`](crate::RequestBodyTap) outside of the layer the clock runs only while it is the upstream's
    /// turn, from the end of the upload above all, and long uploads are no exception any more.
    ///
    /// A request may bring its own limit ([`Timeouts`](crate::context::Timeouts)), and a gRPC client's `grpc-timeout` can
    /// end the call before it. A response that is ready in the same poll as the timer wins.
    ///
    /// When it runs out the upstream call is dropped and the client is answered `504 Gateway Timeout`
    /// ([RFC 9110, section 15.6.5](https://www.rfc-editor.org/rfc/rfc9110#section-15.6.5)). hyper's client keeps the connection
    /// of a dropped call until the upstream has taken what was written: against an upstream that takes nothing any more give the
    /// connector a limit as well, such as `HttpConnector::set_tcp_user_timeout`. It has to be longer than this one, and than an upstream may pause in
    /// the middle of an upload or a tunnel: it ends the connections of those as well.
    ///
    /// # Panics
    ///
    /// The returned future panics when a call has to be waited for outside a tokio runtime with its timer enabled.
    #[must_use]
    pub fn head_timeout(self, limit: impl Into<Option<Duration>>) -> Self {
        let limit = limit.into();
        self.edit(|policy| policy.limits.head = Limit::Set(limit))
    }

    /// Sets how long a body may be silent while it is waited for.
    ///
    /// The clock runs only while the server asks for the body and the upstream has nothing, from a poll that found no frame until the next
    /// frame. While the server does not ask, because its client does not read, it stands still: a slow reader never trips it, and one
    /// that never reads again keeps the upstream until its server closes the connection. The default is 45 seconds for a body of known length and 5 minutes for others, except
    /// where silence is lawful: `text/event-stream`, `multipart/x-mixed-replace`, lines of JSON, Docker's streams, gRPC and its relatives. A limit set here
    /// applies to all of these as well. `None` waits for ever. There is no limit after a 101 or a 2xx to CONNECT, and in
    /// [`for_router`](Self::for_router) none by default.
    ///
    /// A hop in front has a limit of its own for silence, mostly 60 seconds: a body of unknown length that pauses for longer is cut
    /// off there, even if the limit here is longer. Raise it there (`proxy_read_timeout` of nginx, `timeout server` of HAProxy) for those.
    ///
    /// When it runs out the upstream's body is dropped and the body ends in an error (`connection_read_timeout`), so that the server
    /// aborts the message; the status has been sent by then. While [`hold_head`](Self::hold_head) or [`hold_body`](Self::hold_body) still
    /// holds the head, the client is answered 504.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_bad_gateway::BadGatewayLayer;
    ///
    /// let layer = BadGatewayLayer::new().idle_timeout(Duration::from_secs(20));
    /// ```
    ///
    /// # Panics
    ///
    /// The body panics when it has to be waited for outside a tokio runtime with its timer enabled.
    #[must_use]
    pub fn idle_timeout(self, limit: impl Into<Option<Duration>>) -> Self {
        let limit = limit.into();
        self.edit(|policy| policy.limits.idle = Limit::Set(limit))
    }

    /// Sets how long a gRPC call may be silent in both directions together.
    ///
    /// It counts while the upstream is waited for, from the last frame of either side, head or body: a message a minute from the client
    /// keeps a call alive whose server has nothing to say, and the other way round. With [`RequestBodyTap`](crate::RequestBodyTap) outside of
    /// the layer the client's frames are seen; without it the limit counts from those of the server alone. In gRPC calls
    /// [`idle_timeout`](Self::idle_timeout), which counts the silence of the upstream alone, does not count beside it; one that a request
    /// brings ([`Timeouts`](crate::context::Timeouts)) counts in its place. There is none by default, since
    /// silence is lawful; `None` removes it. Plain HTTP has no such limit.
    ///
    /// When it runs out the caller gets DEADLINE_EXCEEDED (4) or, inside of a message, a reset, which is INTERNAL; the upstream is blamed,
    /// `connection_read_timeout`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_bad_gateway::BadGatewayLayer;
    ///
    /// let layer = BadGatewayLayer::new().stream_idle_timeout(Duration::from_secs(60 * 60));
    /// ```
    ///
    /// # Panics
    ///
    /// As [`head_timeout`](Self::head_timeout).
    #[must_use]
    pub fn stream_idle_timeout(self, limit: impl Into<Option<Duration>>) -> Self {
        let limit = limit.into();
        self.edit(|policy| policy.limits.stream_idle = limit)
    }

    /// Sets how long to wait for the wrapped service to become ready.
    ///
    /// The clock runs from the first `poll_ready` that found it not ready, and never beyond a [`head_timeout`](Self::head_timeout)
    /// that is set: the wait for readiness shortens the time for the head. A request that has no time left for its head is answered
    /// 503 and not sent. The default is 10 seconds, and none in [`for_router`](Self::for_router); `None` waits for ever, and takes
    /// nothing from the time for the head.
    ///
    /// When it runs out one call is answered `503 Service Unavailable`
    /// ([RFC 9110, section 15.6.4](https://www.rfc-editor.org/rfc/rfc9110#section-15.6.4)); the wrapped service keeps the
    /// progress it has made and is asked again for the next call.
    ///
    /// # Panics
    ///
    /// `poll_ready` panics when the wrapped service is not ready, outside a tokio runtime with its timer enabled.
    #[must_use]
    pub fn ready_timeout(self, limit: impl Into<Option<Duration>>) -> Self {
        let limit = limit.into();
        self.edit(|policy| policy.limits.ready = limit)
    }

    /// Sets how long head and body may take together.
    ///
    /// One clock runs from the call to the end of the body, and does not stop while the client is the slow one. After the head it is read
    /// only when the server asks for the body: so a client that reads slowly is cut off, with the next frame that its server asks for after the
    /// time is up, and one that never reads again is not, since its server never asks again. That is for the server to end
    /// (`examples/gateway/client.rs`). A response that is complete when it is asked for is in time. There is no such limit by default, and `None` removes it; a gRPC client's `grpc-timeout` is one, and the shorter of the two counts. It ends with a 101
    /// or a 2xx to CONNECT. For a [fallback](Self::fallback) that is asked it goes on, unless it is what has run out.
    ///
    /// When it runs out before the head, the client is answered `504 Gateway Timeout`, or 408 where
    /// [`RequestBodyTap`](crate::RequestBodyTap) knows that the rest of the upload is missing; after the head the body ends in an
    /// error, so that the server aborts the message. That error is blamed on the client if it had left content unread by then.
    ///
    /// # Panics
    ///
    /// As [`head_timeout`](Self::head_timeout), and the body as well.
    #[must_use]
    pub fn total_timeout(self, limit: impl Into<Option<Duration>>) -> Self {
        let limit = limit.into();
        self.edit(|policy| policy.limits.total = limit)
    }

    /// Sets how long the head of a response is held back for its body to begin.
    ///
    /// The head is forwarded with the first byte, with trailers, at the end, or when this time is up. A body that breaks before that
    /// becomes a real 502 or 504. By default, and with `None`, the head does not wait: see [`peek`](Self::peek) for the one look that
    /// costs no time.
    ///
    /// This decides the race between a head and an end that come in one segment. Without it, most clients get a 200 that is cut at 0
    /// bytes (19 of 20 calls to a server of Go), and some a 502; with 200 ms all got a 502.
    ///
    /// **This costs latency**: the client learns status and fields only when the content begins, up to this much later; and one
    /// heap allocation where the body has to be waited for. The head is never held for event streams, `multipart/x-mixed-replace`, gRPC and its
    /// relatives, upgrades and CONNECT, nor where there is no content.
    /// Frames without a byte are no beginning, and are dropped.
    ///
    /// # Panics
    ///
    /// As [`head_timeout`](Self::head_timeout).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_bad_gateway::BadGatewayLayer;
    ///
    /// let layer = BadGatewayLayer::new().hold_head(Duration::from_millis(50));
    /// ```
    #[must_use]
    pub fn hold_head(self, limit: impl Into<Option<Duration>>) -> Self {
        let limit = limit.into();
        self.edit(|policy| policy.limits.hold_head = limit)
    }

    /// Sets how much of a response is held back, head and body, so that a body which breaks meanwhile can still be answered.
    ///
    /// Many hops and clients take a body that was cut for a whole one: `ABORTS.md` in the repository names them. What is held goes out when the body has ended or all of its
    /// `Content-Length` has come, when `bytes` have come, or when `time` has passed since the first byte of the body:
    ///
    /// | meanwhile the body | what the client gets |
    /// | --- | --- |
    /// | ends | the whole response, with an exact length in its [size hint](http_body::Body::size_hint), of which servers make a `Content-Length`: clients of HTTP/1.1 see a later cut behind every hop |
    /// | breaks, or reaches a limit of the layer | a real 502 or 504 in its place |
    /// | goes on | the head and what has come, and the rest as it comes; what breaks then is aborted |
    ///
    /// Before the first byte the head waits for the time that [`hold_head`](Self::hold_head) sets, or else as long as the body may be silent: by
    /// the [`idle_timeout`](Self::idle_timeout), and for ever where there is none, as in [`for_router`](Self::for_router). Set `hold_head` beside
    /// it there, and where a response may begin late, such as one that waits for the next event. By default nothing is held, and 0 bytes hold nothing.
    ///
    /// **This costs latency and memory**: the client gets its first byte up to `time` after the upstream has sent it, and each call keeps up
    /// to `bytes` and one frame more (1,000 calls with 64 KiB are 64 MiB). What is held goes out as one frame.
    ///
    /// Never held are event streams, `multipart/x-mixed-replace`, gRPC and its relatives, upgrades and CONNECT, responses without content (to HEAD, 204, 304),
    /// and what is read while it is made: JSON by lines (`application/x-ndjson` and its other names), the streams of Docker, and every
    /// response that says `X-Accel-Buffering: no`.
    ///
    /// A `Content-Length` of the upstream is never changed. Over HTTP/1.1 a body with trailers gets no length, since the trailers would be
    /// lost. A layer outside that compresses takes the length away again, and with it what a hop behind can see; it may leave small bodies
    /// alone once it knows that they are small.
    ///
    /// # Panics
    ///
    /// As [`head_timeout`](Self::head_timeout).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_bad_gateway::BadGatewayLayer;
    ///
    /// let layer = BadGatewayLayer::new().hold_body(64 * 1024, Duration::from_secs(1));
    /// ```
    #[must_use]
    pub fn hold_body(self, bytes: usize, time: Duration) -> Self {
        self.edit(|policy| policy.limits.hold_body = (bytes > 0).then_some(HoldBody { bytes, time }))
    }
}
