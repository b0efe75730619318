//! Errors of `http`: a request that could not even be made.

use http::{
    Error,
    uri::{InvalidUri, InvalidUriParts},
};

use super::{Cause, Verdict};
use crate::failure::FailureKind;

pub(super) fn read(cause: &Cause<'_>) -> Option<Verdict> {
    let is_of_http = |error: &(dyn std::error::Error + 'static)| {
        error.is::<Error>() || error.is::<InvalidUri>() || error.is::<InvalidUriParts>()
    };
    cause.iter().any(is_of_http).then(|| Verdict::new(FailureKind::ProxyConfigurationError))
}
