//! Errors of the `http` crate: a request that could not be made.
//!
//! Such an error comes from code inside of the layer that builds the request to the upstream: a URI that does not parse, or a
//! field name or value that is not allowed. Neither the client nor the upstream had a part in it, so the kind is
//! proxy_configuration_error and the answer a 500. The verdict does not say that nothing was sent: a handler may have made other calls
//! before.

use http::{
    Error,
    uri::{InvalidUri, InvalidUriParts},
};

use super::{Cause, Verdict};
use crate::failure::FailureKind;

/// The verdict on `http::Error`, `InvalidUri` and `InvalidUriParts`, wherever they stand in the chain. `http::Error` wraps the errors
/// of names, values, methods and statuses.
pub(super) fn read(cause: &Cause<'_>) -> Option<Verdict> {
    let is_of_http = cause.find::<Error>().is_some()
        || cause.find::<InvalidUri>().is_some()
        || cause.find::<InvalidUriParts>().is_some();
    is_of_http.then(|| Verdict::new(FailureKind::ProxyConfigurationError))
}
