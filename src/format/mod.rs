//! What a client is shown of a failure.
//!
//! By default the layer [negotiates](Negotiate) between problem details (`Problem`), `Json`, a page (`Html`) and
//! [one line of text](PlainText). A single format is set with [`BadGatewayLayer::format`](crate::BadGatewayLayer::format), one for
//! some failures with [`format_for`](crate::BadGatewayLayer::format_for). A closure is a format:
//!
//! ```
//! use http::HeaderValue;
//! use tower_bad_gateway::{BadGatewayLayer, format::{PublicFailure, Representation}};
//!
//! let layer = BadGatewayLayer::new().format(|failure: &PublicFailure<'_>| {
//!     let text = format!("Sorry, {}.\n", failure.summary());
//!     Representation::new(HeaderValue::from_static("text/plain; charset=utf-8"), text)
//! });
//! ```
//!
//! Every format of this crate escapes all it is given. A sentence is cut after 1 KiB, and content of more than
//! [1 MiB](Representation::MAX_CONTENT) is not sent.
//!
//! A format is not for gRPC: gRPC requests are answered with a gRPC status whatever the format is.

mod accept;
#[cfg(feature = "json")]
mod document;
mod fixed;
#[cfg(feature = "html")]
mod html;
#[cfg(feature = "json")]
mod json;
mod negotiate;
mod plain_text;
#[cfg(feature = "json")]
mod problem;
mod scope;

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, StatusCode};

#[cfg(feature = "html")]
pub use self::html::{Html, Palette};
pub(crate) use self::scope::FormatOverrides;
pub use self::{
    fixed::{Empty, Static},
    negotiate::Negotiate,
    plain_text::PlainText,
    scope::Scope,
};
#[cfg(feature = "json")]
pub use self::{json::Json, problem::Problem};
pub use crate::representation::Representation;
use crate::{
    caught::caught,
    context::RequestId,
    failure::{Failure, FailureKind, Intermediary},
    gateway_name::GatewayName,
    representation::shortened,
};

/// Writes the representation of a failure.
///
/// It runs only after something failed, and if it panics the client is shown [`PlainText`]. It must not block: it runs in
/// the task that serves the request.
pub trait Format: Send + Sync {
    /// Writes what the client is shown of one failure; status and framing are the layer's.
    fn write(&self, failure: &PublicFailure<'_>) -> Representation;
}

impl<F> Format for F
where
    F: Fn(&PublicFailure<'_>) -> Representation + Send + Sync,
{
    fn write(&self, failure: &PublicFailure<'_>) -> Representation {
        self(failure)
    }
}

/// A failure as far as anyone may see it.
#[derive(Clone, Copy, Debug)]
pub struct PublicFailure<'a> {
    pub(crate) failure: &'a Failure,
    pub(crate) status: StatusCode,
    pub(crate) message: Option<&'a str>,
    pub(crate) gateway: Option<&'a GatewayName>,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) request_id: Option<&'a RequestId>,
    pub(crate) accept: Option<&'a HeaderValue>,
    pub(crate) is_safe: bool,
    pub(crate) discloses: bool,
}

impl<'a> PublicFailure<'a> {
    /// Without a layer that would know more.
    #[cfg(any(all(test, feature = "html"), feature = "axum"))]
    pub(crate) fn of(failure: &'a Failure) -> Self {
        let (status, message) = (failure.status(), failure.message());
        Self {
            failure,
            status,
            message,
            gateway: None,
            retry_after: None,
            request_id: None,
            accept: None,
            is_safe: false,
            discloses: false,
        }
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> FailureKind {
        self.failure.kind()
    }

    /// The status of the answer.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The heading of the kind.
    #[must_use]
    pub fn title(&self) -> &'static str {
        self.kind().title()
    }

    /// The sentence to show: the one that was set for this failure, this request or the layer, in this order, or else the
    /// summary of the kind. At most 1 KiB of it.
    #[must_use]
    pub fn summary(&self) -> &'a str {
        self.message.map_or(self.kind().summary(), shortened)
    }

    /// Whether the method of the request promises to change nothing
    /// ([RFC 9110, section 9.2.1](https://www.rfc-editor.org/rfc/rfc9110#section-9.2.1)): asking again does no harm then.
    #[must_use]
    pub fn is_safe(&self) -> bool {
        self.is_safe
    }

    /// The identifier the request came with.
    #[must_use]
    pub fn request_id(&self) -> Option<&'a RequestId> {
        self.request_id
    }

    /// The name of the gateway, if it has one.
    #[must_use]
    pub fn gateway(&self) -> Option<&'a GatewayName> {
        self.gateway
    }

    /// After what time another attempt makes sense, in whole seconds, if the answer says so.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Who failed behind the upstream, by its own account ([`Failure::origin`]); only where the layer
    /// [discloses](crate::BadGatewayLayer::disclose) it.
    #[must_use]
    pub fn origin(&self) -> Option<&'a Intermediary> {
        self.failure.origin().filter(|_| self.discloses)
    }

    /// The private cause as one line ([`Failure::private_chain`]); only where the layer
    /// [discloses](crate::BadGatewayLayer::disclose) it.
    #[must_use]
    pub fn cause(&self) -> Option<String> {
        self.discloses.then(|| self.failure.private_chain().to_string())
    }

    /// The door to everything **private**: what is taken from here and written into a representation reaches strangers.
    #[must_use]
    pub fn failure(&self) -> &'a Failure {
        self.failure
    }

    /// The summary of the kind is English; of a user's sentence we do not know.
    pub(crate) fn language(&self) -> Option<HeaderValue> {
        self.message.is_none().then_some(ENGLISH)
    }

    /// Whether everything shown follows from the kind: then it was the same the last time.
    #[cfg(feature = "json")]
    fn is_usual(&self) -> bool {
        self.message.is_none()
            && self.retry_after.is_none()
            && self.request_id.is_none()
            && !self.discloses
            && self.status == self.kind().status()
    }

    pub(crate) fn reason_phrase(&self) -> &'static str {
        self.status.canonical_reason().unwrap_or(self.title())
    }
}

/// What a format writes, or one line of text if it panics or writes more than may be sent.
pub(crate) fn written_by(format: &dyn Format, failure: &PublicFailure<'_>) -> Representation {
    caught(|| format.write(failure))
        .filter(|representation| !representation.is_too_large())
        .unwrap_or_else(|| PlainText.write(failure))
}

/// A representation in our own words.
fn written(failure: &PublicFailure<'_>, media_type: HeaderValue, content: impl Into<Bytes>) -> Representation {
    let representation = Representation::new(media_type, content);
    match failure.language() {
        Some(language) => representation.language(language),
        None => representation,
    }
}

const ENGLISH: HeaderValue = HeaderValue::from_static("en");
