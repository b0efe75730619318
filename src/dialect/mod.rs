//! Protocols on top of HTTP that have their own way of failing.
//!
//! A [format](crate::format) writes the content of an HTTP answer. A dialect writes the whole answer, since status and fields mean
//! something else in its protocol, and says what its protocol asks of responses that are forwarded. The policy chooses one by the protocol of the request
//! ([`Protocol`](crate::context::Protocol)). Dialects are not open to users, and know nothing of error types.

pub(crate) mod grpc;
