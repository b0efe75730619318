//! The error of a body that broke.
//!
//! The bodies and the policy make it, servers and other layers receive it, and `classify` finds the failure in it again. What broke the body
//! is decided before: this module knows no error but the failure.

use std::{error::Error, fmt, sync::Arc};

use super::Failure;

/// The error of a [`ResponseBody`](crate::body::ResponseBody) or a [`RequestBody`](crate::body::RequestBody) that could not be
/// completed.
///
/// It has no [`source`](Error::source) on purpose: hyper looks among the sources for an `h2::Error` and sends its code to the other side,
/// so that an upstream's `REFUSED_STREAM`, which means "safe to send again", would reach a client whose request may
/// have been processed ([RFC 9113, section 8.7](https://www.rfc-editor.org/rfc/rfc9113#section-8.7)). The cause is at
/// [`failure`](Self::failure). Where a body of another type has wrapped the error, [`Failure::find`] finds the failure in it.
///
/// There is one exception, with feature `tonic-0_14`: the error of a gRPC response has a `tonic::Status` as its source, which has none itself. A
/// tonic client has no other way to learn the code of a body that broke inside of a message.
///
/// Its [`Display`](fmt::Display) is the public summary of the failure, as that of the failure itself. A clone is one reference count.
///
/// ```
/// use std::error::Error;
/// use tower_bad_gateway::{Failure, FailureKind, body::BodyError};
///
/// let error = BodyError::from(Failure::new(FailureKind::HttpResponseIncomplete));
/// assert_eq!(error.failure().kind(), FailureKind::HttpResponseIncomplete);
/// assert!(error.source().is_none());
/// ```
#[derive(Clone)]
pub struct BodyError {
    failure: Failure,
    /// Whether a layer has reported the failure: an outer layer would write the same event once more.
    reported: bool,
    /// What a client library understands, and nothing that was in the upstream's error.
    source: Option<Arc<dyn Error + Send + Sync>>,
}

impl BodyError {
    /// What went wrong, with everything private about it.
    #[must_use]
    pub fn failure(&self) -> &Failure {
        &self.failure
    }

    /// The error of a failure that the layer has just reported, so that a layer around it does not report it again.
    pub(crate) fn reported(failure: Failure) -> Self {
        Self { failure, reported: true, source: None }
    }

    /// Sets what a client library looks for among the sources. It must not be, or hold, an error of the upstream.
    pub(crate) fn with_source(mut self, source: Option<Arc<dyn Error + Send + Sync>>) -> Self {
        self.source = source;
        self
    }

    /// Whether a layer has reported the failure already.
    pub(crate) fn is_reported(&self) -> bool {
        self.reported
    }
}

impl From<Failure> for BodyError {
    /// The error of a failure that no layer has reported yet: the first layer whose body meets it does.
    fn from(failure: Failure) -> Self {
        Self { failure, reported: false, source: None }
    }
}

impl fmt::Debug for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BodyError").field(&self.failure).finish()
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.failure, f)
    }
}

impl Error for BodyError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|source| &**source as &(dyn Error + 'static))
    }
}
