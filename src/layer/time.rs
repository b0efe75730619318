//! The settings that are times.

use std::time::Duration;

use super::BadGatewayLayer;
use crate::policy::Limit;

impl BadGatewayLayer {
    /// Sets how long to wait for the upstream's response head.
    ///
    /// The clock runs from the first wait for the wrapped service to become [ready](Self::ready_timeout), or else from the first poll
    /// of the call, until the head is complete; the body is not included. Of an upgrade it is the head of its 101, of CONNECT that of
    /// the 2xx. The default is 45 seconds, below the 60 of nginx and of load balancers and the 50 of HAProxy's packaged template: a hop
    /// in front that gives up first answers by itself. It is one hour for requests that accept `text/event-stream`, and there is none
    /// where waiting is lawful: for gRPC, and for requests with a body of more than 64 KiB or of unknown length, which may still be on
    /// its way from the client. A limit set here applies to all of these as well. `None` waits for ever.
    ///
    /// With [`RequestBodyTap`](crate::RequestBodyTap) outside of the layer the clock runs only while it is the upstream's
    /// turn, from the end of the upload above all, and long uploads are no exception any more.
    ///
    /// A request may bring its own limit ([`Timeouts`](crate::context::Timeouts)), and a gRPC client's `grpc-timeout` can
    /// shorten any.
    ///
    /// When it runs out the upstream call is dropped and the client is answered `504 Gateway Timeout`
    /// ([RFC 9110, section 15.6.5](https://www.rfc-editor.org/rfc/rfc9110#section-15.6.5)). hyper's client keeps the connection
    /// of a dropped call until what it has written is taken: against an upstream that takes nothing any more give the connector
    /// a limit as well, such as `HttpConnector::set_tcp_user_timeout`.
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
    /// It counts only while *we* wait for the upstream, from the moment nothing was there until the next frame; a client that
    /// reads slowly never trips it. The default is 45 seconds for a body of known length and 5 minutes for others, except
    /// where silence is lawful: `text/event-stream`, `multipart/x-mixed-replace`, gRPC and its relatives. A limit set here
    /// applies to all of these as well. `None` waits for ever. There is no limit after a 101 or a 2xx to CONNECT.
    ///
    /// A hop in front has a limit of its own for silence, mostly 60 seconds: a body of unknown length that pauses for longer is cut
    /// off there, whatever is set here. Raise it there (`proxy_read_timeout` of nginx, `timeout server` of HAProxy) for those.
    ///
    /// When it runs out the body ends in an error, so that the server aborts the message; the status has been sent by then.
    ///
    /// # Panics
    ///
    /// As [`head_timeout`](Self::head_timeout).
    #[must_use]
    pub fn idle_timeout(self, limit: impl Into<Option<Duration>>) -> Self {
        let limit = limit.into();
        self.edit(|policy| policy.limits.idle = Limit::Set(limit))
    }

    /// Sets how long to wait for the wrapped service to become ready.
    ///
    /// The clock runs from the first `poll_ready` that found it not ready, and never beyond a [`head_timeout`](Self::head_timeout)
    /// that is set: what readiness has taken is taken from that. A request whose time is all over by then is answered 503 and not
    /// sent. The default is 10 seconds; `None` waits for ever, and takes nothing from the head.
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
    /// One clock, from the call to the end of the body, whoever is slow: the client that reads is as well. There is no such
    /// limit by default; a gRPC client's `grpc-timeout` is one, and the shorter of the two counts. It ends with a 101
    /// or a 2xx to CONNECT.
    ///
    /// When it runs out before the head, the client is answered `504 Gateway Timeout`, or 408 where
    /// [`RequestBodyTap`](crate::RequestBodyTap) knows that the client is still waited for; after the head the body ends in an
    /// error, so that the server aborts the message. That is blamed on the client if it had left content unread by then. A
    /// response that is complete when the clock is looked at is in time.
    ///
    /// # Panics
    ///
    /// As [`head_timeout`](Self::head_timeout).
    #[must_use]
    pub fn total_timeout(self, limit: impl Into<Option<Duration>>) -> Self {
        let limit = limit.into();
        self.edit(|policy| policy.limits.total = limit)
    }

    /// Sets how long the head of a response is held back for its body to begin.
    ///
    /// It is passed on with the first byte, with trailers, at the end, or when this time is up; what breaks meanwhile becomes
    /// a real 502 or 504. The default is not to hold it at all.
    ///
    /// **It costs latency**: the client learns status and fields only when the content begins, up to this much later; and one
    /// heap allocation. It is never done for event streams, gRPC, upgrades and CONNECT. Frames without a byte are no
    /// beginning, and are dropped.
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
}
