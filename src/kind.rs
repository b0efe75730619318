//! What went wrong, in the words of RFC 9209, and the one table of what each kind becomes.
//!
//! Every other module may read the table, and this one imports none of them. A status or a gRPC code that
//! follows from a kind stands nowhere else; `tests/it/kinds.rs` compares the table with the standard. What a single failure says
//! beyond its kind is in `failure`.

use std::fmt;

use http::StatusCode;

/// Whose fault a failure is.
///
/// It decides the level of the event (INFO for the client, WARN for the others) and is a label of the metrics. The default follows
/// from the [kind](FailureKind::blame); a reader of errors may set another one.
///
/// ```
/// use tower_bad_gateway::{FailureKind, failure::Blame};
/// assert_eq!(FailureKind::ConnectionRefused.blame(), Blame::Upstream);
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Blame {
    /// The client: its own request body broke off, stalled or was too long, or it left content unread until a limit ran out.
    Client,
    /// This gateway: its configuration, its policy, its limits, or a bug of ours.
    Gateway,
    /// The upstream, or the way to it.
    Upstream,
    /// No error says whose: a service that was merely not ready in time may be waiting for its upstream, or for itself.
    Unknown,
}

impl Blame {
    /// A stable lower-case word for logs and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Gateway => "gateway",
            Self::Upstream => "upstream",
            Self::Unknown => "unknown",
        }
    }
}

/// A group of kinds that call for the same answer, so that a [format](crate::BadGatewayLayer::format_for) or an alert need not name
/// all 34 kinds.
///
/// ```
/// use tower_bad_gateway::{FailureKind, failure::FailureClass};
/// assert_eq!(FailureKind::DnsTimeout.class(), Some(FailureClass::Timeout));
/// assert_eq!(FailureKind::Unclassified.class(), None);
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum FailureClass {
    /// The client's own request failed: `http_request_error`.
    Client,
    /// No connection could be had, or it broke: `dns_error`, `destination_ip_*`, `connection_refused`, `connection_terminated` and
    /// `tls_*`.
    Connection,
    /// The gateway itself, its configuration, its policy, or a bug of ours: `destination_not_found`, `http_request_denied`,
    /// `proxy_internal_*` and `proxy_configuration_error`.
    Gateway,
    /// What the upstream sent is not a response that may be forwarded, or not all of one: `http_response_*` but for the timeout,
    /// `http_upgrade_failed`, `http_protocol_error` and `proxy_loop_detected`.
    InvalidResponse,
    /// The upstream or a limit of the gateway does not take the request at the moment: `destination_unavailable` and
    /// `connection_limit_reached`.
    Overload,
    /// A step took too long: `dns_timeout`, `connection_timeout`, `connection_read_timeout`, `connection_write_timeout` and
    /// `http_response_timeout`.
    Timeout,
}

impl FailureClass {
    /// A stable lower-case word for logs and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Connection => "connection",
            Self::Gateway => "gateway",
            Self::InvalidResponse => "invalid_response",
            Self::Overload => "overload",
            Self::Timeout => "timeout",
        }
    }
}

/// Makes the enum and its getters of one row a kind: status, RFC 9209 token, gRPC code, blame, class, title, public summary.
///
/// A new kind is one row here and one in the metrics (`hooks/metrics/labels.rs`), which the compiler asks for; the tests ask for it in the README.
macro_rules! failure_kinds {
    ($($(#[$doc:meta])* $kind:ident => $status:ident, $token:literal, $grpc:literal, $blame:ident, $class:expr, $title:literal, $summary:literal;)+) => {
        /// What went wrong: one variant per proxy error type of
        /// [RFC 9209, section 2.3](https://www.rfc-editor.org/rfc/rfc9209#section-2.3), plus
        /// [`ReceivedStatus`](Self::ReceivedStatus) and [`Unclassified`](Self::Unclassified).
        ///
        /// Everything a client is shown of a failure by default follows from its kind. Tokens never change. The kinds that the layer
        /// does not give by itself say so: they are for readers, validators and handlers.
        ///
        /// ```
        /// use tower_bad_gateway::FailureKind;
        ///
        /// let kind = FailureKind::HttpResponseTimeout;
        /// assert_eq!(kind.status(), 504);
        /// assert_eq!(kind.token(), "http_response_timeout");
        /// assert_eq!(kind.grpc_code(), 4); // DEADLINE_EXCEEDED
        /// ```
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
        #[non_exhaustive]
        pub enum FailureKind {
            $($(#[$doc])* $kind,)+
        }

        impl FailureKind {
            /// Every kind, in the order of RFC 9209 and then ours. The list grows with the enum.
            pub const ALL: &'static [Self] = &[$(Self::$kind,)+];

            /// The status a client is answered by default.
            ///
            /// [`Failure::status`](crate::Failure::status) may differ: it is the upstream's own status where that was intercepted, and
            /// 408 or 413 for an upload that stalled or was too long.
            #[must_use]
            pub fn status(self) -> StatusCode {
                match self { $(Self::$kind => StatusCode::$status,)+ }
            }

            /// The stable name, for logs, metrics and JSON: the RFC 9209 token, or `received_status` and `unclassified` for the two
            /// kinds of our own.
            #[must_use]
            pub fn token(self) -> &'static str {
                match self { $(Self::$kind => $token,)+ }
            }

            /// The [gRPC status code](https://grpc.io/docs/guides/status-codes/) a gRPC client is answered, unless the error names a
            /// better one, as a status of the upstream does.
            #[must_use]
            pub fn grpc_code(self) -> u8 {
                match self { $(Self::$kind => $grpc,)+ }
            }

            /// Who is blamed unless a reader of errors knows better.
            #[must_use]
            pub fn blame(self) -> Blame {
                match self { $(Self::$kind => Blame::$blame,)+ }
            }

            /// The class of the kind; `None` for [`ReceivedStatus`](Self::ReceivedStatus) and [`Unclassified`](Self::Unclassified).
            #[must_use]
            pub fn class(self) -> Option<FailureClass> {
                use FailureClass::{Client, Connection, Gateway, InvalidResponse, Overload, Timeout};
                match self { $(Self::$kind => $class,)+ }
            }

            /// A short heading for people. **Public**, as the summary.
            #[must_use]
            pub fn title(self) -> &'static str {
                match self { $(Self::$kind => $title,)+ }
            }

            /// One sentence that may be shown to anyone: it holds nothing of the failed call. Lower case, without a final period.
            #[must_use]
            pub fn summary(self) -> &'static str {
                match self { $(Self::$kind => $summary,)+ }
            }
        }
    };
}

failure_kinds! {
    /// The name of the upstream was not resolved in time: a limit of the resolver ran out.
    DnsTimeout => GATEWAY_TIMEOUT, "dns_timeout", 14, Upstream, Some(Timeout), "DNS timeout", "the name of the upstream could not be resolved in time";
    /// The name of the upstream could not be resolved.
    DnsError => BAD_GATEWAY, "dns_error", 14, Upstream, Some(Connection), "DNS error", "the name of the upstream could not be resolved";
    /// The gateway does not know which upstream to use: the discovery of a balancer failed, for example.
    DestinationNotFound => INTERNAL_SERVER_ERROR, "destination_not_found", 13, Gateway, Some(Gateway), "Destination not found", "the gateway knows no upstream for this request";
    /// The upstream is considered down: nothing was ready in time, the buffer is closed, or it refused the stream unprocessed.
    DestinationUnavailable => SERVICE_UNAVAILABLE, "destination_unavailable", 14, Upstream, Some(Overload), "Destination unavailable", "the upstream is not available at the moment";
    /// Policy forbids connecting to that address: a firewall on this machine, or the permissions of a Unix socket.
    DestinationIpProhibited => BAD_GATEWAY, "destination_ip_prohibited", 14, Upstream, Some(Connection), "Destination prohibited", "connecting to the upstream is not permitted";
    /// There is no route to the upstream: its network or its host is unreachable.
    DestinationIpUnroutable => BAD_GATEWAY, "destination_ip_unroutable", 14, Upstream, Some(Connection), "Destination unroutable", "there is no route to the upstream";
    /// The upstream refused the connection, or nothing listens at the path of a Unix socket.
    ConnectionRefused => BAD_GATEWAY, "connection_refused", 14, Upstream, Some(Connection), "Connection refused", "the upstream refused the connection";
    /// The connection closed before the response was complete.
    ConnectionTerminated => BAD_GATEWAY, "connection_terminated", 14, Upstream, Some(Connection), "Connection terminated", "the upstream closed the connection before its response was complete";
    /// Opening the connection took too long.
    ConnectionTimeout => GATEWAY_TIMEOUT, "connection_timeout", 14, Upstream, Some(Timeout), "Connection timeout", "the connection to the upstream was not established in time";
    /// The upstream sent nothing for too long: in a body, or to the keep-alive of an HTTP/2 connection.
    ConnectionReadTimeout => GATEWAY_TIMEOUT, "connection_read_timeout", 4, Upstream, Some(Timeout), "Read timeout", "the upstream stopped sending";
    /// The upstream accepted nothing of an upload for too long. Seen with a [`RequestBodyTap`](crate::RequestBodyTap) only.
    ConnectionWriteTimeout => GATEWAY_TIMEOUT, "connection_write_timeout", 4, Upstream, Some(Timeout), "Write timeout", "the upstream stopped accepting the request";
    /// A limit of the gateway was reached: load was shed, the upstream asked for calm, or no file descriptor or port is left.
    ConnectionLimitReached => SERVICE_UNAVAILABLE, "connection_limit_reached", 14, Gateway, Some(Overload), "Limit reached", "too many requests to the upstream at the moment";
    /// TLS failed for another reason than the certificate or an alert.
    TlsProtocolError => BAD_GATEWAY, "tls_protocol_error", 14, Upstream, Some(Connection), "TLS error", "the secure connection to the upstream failed";
    /// The certificate of the upstream was not accepted.
    TlsCertificateError => BAD_GATEWAY, "tls_certificate_error", 14, Upstream, Some(Connection), "TLS certificate error", "the certificate of the upstream was not accepted";
    /// The upstream sent a TLS alert; its number is a [parameter](crate::failure::Parameter::AlertId).
    TlsAlertReceived => BAD_GATEWAY, "tls_alert_received", 14, Upstream, Some(Connection), "TLS alert", "the upstream refused the secure connection";
    /// The client's own request failed: its body broke off (400), stalled (408) or was too long (413).
    HttpRequestError => BAD_REQUEST, "http_request_error", 1, Client, Some(Client), "Request error", "the request was not received completely";
    /// Policy forbids the request. The layer does not give this kind by itself.
    HttpRequestDenied => FORBIDDEN, "http_request_denied", 7, Gateway, Some(Gateway), "Request denied", "the request is not permitted";
    /// The response was cut short: its body ended before all that was promised had come, or its stream was reset.
    HttpResponseIncomplete => BAD_GATEWAY, "http_response_incomplete", 14, Upstream, Some(InvalidResponse), "Response incomplete", "the response of the upstream was cut short";
    /// The header section of the response is too large.
    HttpResponseHeaderSectionSize => BAD_GATEWAY, "http_response_header_section_size", 13, Upstream, Some(InvalidResponse), "Header section too large", "the header section of the response was too large";
    /// One field of the header section is too large.
    HttpResponseHeaderSize => BAD_GATEWAY, "http_response_header_size", 13, Upstream, Some(InvalidResponse), "Header field too large", "a header field of the response was too large";
    /// The body of the response is too large for a limit that stands inside of the layer.
    HttpResponseBodySize => BAD_GATEWAY, "http_response_body_size", 8, Upstream, Some(InvalidResponse), "Response too large", "the response of the upstream was too large";
    /// The trailer section of the response is too large.
    HttpResponseTrailerSectionSize => BAD_GATEWAY, "http_response_trailer_section_size", 13, Upstream, Some(InvalidResponse), "Trailer section too large", "the trailer section of the response was too large";
    /// One field of the trailer section is too large.
    HttpResponseTrailerSize => BAD_GATEWAY, "http_response_trailer_size", 13, Upstream, Some(InvalidResponse), "Trailer field too large", "a trailer field of the response was too large";
    /// A transfer coding of the response could not be decoded.
    HttpResponseTransferCoding => BAD_GATEWAY, "http_response_transfer_coding", 13, Upstream, Some(InvalidResponse), "Transfer coding error", "the transfer coding of the response could not be decoded";
    /// A content coding of the response could not be decoded, by a decoder that stands inside of the layer.
    HttpResponseContentCoding => BAD_GATEWAY, "http_response_content_coding", 13, Upstream, Some(InvalidResponse), "Content coding error", "the content coding of the response could not be decoded";
    /// The response was not complete in time: its head or, under a limit for the whole response, its body.
    HttpResponseTimeout => GATEWAY_TIMEOUT, "http_response_timeout", 4, Upstream, Some(Timeout), "Response timeout", "the upstream did not answer in time";
    /// The upstream switched, or failed to switch, to another protocol: a 101 that the request did not ask for, for example.
    HttpUpgradeFailed => BAD_GATEWAY, "http_upgrade_failed", 13, Upstream, Some(InvalidResponse), "Upgrade failed", "the upstream switched protocols in a way that was not asked for";
    /// The upstream broke the rules of HTTP: its response could not be parsed, or may not be forwarded as it is.
    HttpProtocolError => BAD_GATEWAY, "http_protocol_error", 13, Upstream, Some(InvalidResponse), "Invalid response", "the upstream sent an invalid response";
    /// The gateway answered by itself, without asking the upstream. The layer does not give this kind by itself.
    ProxyInternalResponse => INTERNAL_SERVER_ERROR, "proxy_internal_response", 13, Gateway, Some(Gateway), "Internal response", "the gateway answered without asking the upstream";
    /// The gateway itself failed: it has no memory left, or a task or a validator has panicked.
    ProxyInternalError => INTERNAL_SERVER_ERROR, "proxy_internal_error", 13, Gateway, Some(Gateway), "Internal error", "the gateway failed";
    /// The gateway is configured wrongly: a URI or a scheme that the client cannot use, for example.
    ProxyConfigurationError => INTERNAL_SERVER_ERROR, "proxy_configuration_error", 13, Gateway, Some(Gateway), "Configuration error", "the gateway is not configured correctly";
    /// The request has come round in a loop. The layer does not give this kind by itself.
    ProxyLoopDetected => BAD_GATEWAY, "proxy_loop_detected", 13, Upstream, Some(InvalidResponse), "Loop detected", "the request was forwarded in a loop";
    /// The upstream's own status was intercepted; the answer keeps a 4xx or 5xx. Not a type of RFC 9209.
    ReceivedStatus => BAD_GATEWAY, "received_status", 14, Upstream, None, "Upstream error", "the upstream answered with an error";
    /// No reader knows the error. Not a type of RFC 9209.
    Unclassified => BAD_GATEWAY, "unclassified", 14, Upstream, None, "Bad gateway", "the upstream could not be reached or did not answer properly";
}

impl FailureKind {
    /// The place of the kind in [`ALL`](Self::ALL), for tables with one entry a kind.
    #[cfg(any(feature = "json", feature = "proxy-status", feature = "tracing"))]
    pub(crate) fn index(self) -> usize {
        self as usize
    }

    /// The value of the `error` parameter of `Proxy-Status`, or `None` for the two kinds that RFC 9209 does not have.
    ///
    /// ```
    /// # use tower_bad_gateway::FailureKind;
    /// assert_eq!(FailureKind::DnsError.proxy_error_type(), Some("dns_error"));
    /// assert_eq!(FailureKind::Unclassified.proxy_error_type(), None);
    /// ```
    #[must_use]
    pub fn proxy_error_type(self) -> Option<&'static str> {
        match self {
            Self::ReceivedStatus | Self::Unclassified => None,
            kind => Some(kind.token()),
        }
    }

    /// The kind that a proxy error type names, if it is one of
    /// [RFC 9209](https://www.rfc-editor.org/rfc/rfc9209#section-2.3).
    ///
    /// ```
    /// # use tower_bad_gateway::FailureKind;
    /// assert_eq!(FailureKind::from_proxy_error_type("dns_error"), Some(FailureKind::DnsError));
    /// assert_eq!(FailureKind::from_proxy_error_type("unclassified"), None);
    /// ```
    #[must_use]
    pub fn from_proxy_error_type(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.proxy_error_type() == Some(name))
    }
}

impl fmt::Display for FailureKind {
    /// Writes the [token](FailureKind::token).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.token())
    }
}
