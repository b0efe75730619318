//! The stand-in for reader and writer without feature `proxy-status`: nothing is read and nothing is written.
//!
//! The policy calls the same functions in both cases, so that no other module asks for the feature.

use http::{HeaderMap, HeaderValue, StatusCode};

use super::Intermediary;
use crate::{failure::Failure, gateway_name::GatewayName};

/// Stands for the writer of a field; a gateway with a name has one, and it writes nothing.
pub(crate) struct Writer;

impl Writer {
    /// Takes the name, and keeps nothing of it.
    pub(crate) fn new(_: &GatewayName) -> Self {
        Self
    }

    /// No field, for any failure.
    #[allow(clippy::unused_self)]
    pub(crate) fn write(&self, _: &Failure, _: StatusCode, _: bool, _: Option<&str>, _: bool) -> Option<HeaderValue> {
        None
    }
}

/// No members, so that [`Failure::origin`] is always `None`.
pub(crate) fn received(_: &HeaderMap) -> Vec<Intermediary> {
    Vec::new()
}
