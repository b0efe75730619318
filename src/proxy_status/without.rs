//! Without the feature nothing is read and nothing is written.

use http::{HeaderMap, HeaderValue, StatusCode};

use super::Intermediary;
use crate::{failure::Failure, gateway_name::GatewayName};

pub(crate) struct Writer;

impl Writer {
    pub(crate) fn new(_: &GatewayName) -> Self {
        Self
    }

    #[allow(clippy::unused_self)]
    pub(crate) fn write(&self, _: &Failure, _: StatusCode, _: bool, _: Option<&str>, _: bool) -> Option<HeaderValue> {
        None
    }
}

pub(crate) fn received(_: &HeaderMap) -> Vec<Intermediary> {
    Vec::new()
}
