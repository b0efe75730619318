//! Protocols on top of HTTP that have their own way of failing.

pub(crate) mod grpc;
