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
//! Every format of this crate escapes all texts as its media type needs it. A sentence is cut after 1 KiB, and content of more than
//! [1 MiB](Representation::MAX_CONTENT) is not sent.
//!
//! # Which format a client gets
//!
//! With the default features, and unless a format was set:
//!
//! | `Accept` of the request | format | media type of the answer |
//! | --- | --- | --- |
//! | absent, `*/*`, `application/*`, or without a match | `Problem` | `application/problem+json` |
//! | `application/problem+json` | `Problem` | `application/problem+json` |
//! | `application/json` | `Json` | `application/json` |
//! | `text/html`, `application/xhtml+xml` | `Html` | `text/html; charset=utf-8` |
//! | `text/plain` | [`PlainText`] | `text/plain; charset=utf-8` |
//!
//! Without feature `json`, [`PlainText`] takes the place of the first three rows; without feature `html` there is no page.
//!
//! # What happens after a failure
//!
//! 1. The status is chosen: that of the [failure](Failure::status), or what
//!    [`map_status`](crate::BadGatewayLayer::map_status) makes of it.
//! 2. A [fallback](crate::fallback) is asked, if one is set for the failure and the request; if it answers, no format does.
//! 3. The sentence is chosen: see [`summary`](PublicFailure::summary).
//! 4. The format is chosen: that of the [request](crate::RequestPolicy::format), or by [`Scope`], for the kind, then for the class, then for the
//!    status; otherwise the layer's own.
//! 5. The format writes a [`Representation`]. If it panics, or if there is too much content, [`PlainText`] writes it instead.
//! 6. The layer adds status, `Content-Length`, `Cache-Control`, `Vary`, `Retry-After`, `Proxy-Status` and the
//!    [fields of the user](crate::BadGatewayLayer::header), and leaves the content out in answers to HEAD.
//!
//! All of it happens in the task of the call, before the head is returned. A failure of a body *after* its head has no format:
//! the body ends in an error then, or for gRPC in trailers.
//!
//! # When not to use a format
//!
//! Not for gRPC: gRPC requests are answered with a gRPC status, and no format is asked. Not for error responses of the upstream:
//! a 404 or a 500 passes with its own content, unless a [validator](crate::BadGatewayLayer::validate) refuses it. Not to log or
//! count failures: [`on_failure`](crate::BadGatewayLayer::on_failure) runs for gRPC as well, and
//! [`on_body_failure`](crate::BadGatewayLayer::on_body_failure) when a body breaks.

mod accept;
#[cfg(feature = "json")]
mod document;
mod english;
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
#[cfg(feature = "template")]
mod template;
mod texts;

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};

#[cfg(feature = "html")]
pub use self::html::{Html, Palette};
#[cfg(feature = "template")]
pub use self::template::{Template, TemplateError};
pub use self::{
    fixed::{Empty, Static},
    negotiate::Negotiate,
    plain_text::PlainText,
    scope::Scope,
    texts::{InvalidLanguageTag, Texts},
};
#[cfg(feature = "json")]
pub use self::{json::Json, problem::Problem};
pub(crate) use self::{negotiate::names_html, scope::ByScope, texts::Languages};
pub use crate::representation::Representation;
use crate::{
    caught::caught,
    context::{RequestContext, RequestId},
    failure::{Failure, FailureKind, Intermediary},
    gateway_name::GatewayName,
    representation::shortened,
};

/// Writes the representation of a failure.
///
/// A format is called when the layer answers a failure, gRPC excepted, and never for a healthy response. It must not block,
/// because it runs in the task that serves the request. One value serves all requests of the layer and of its clones.
///
/// A closure is a format (see the [module](self)); a type of one's own is worth it where there are settings or a cache:
///
/// ```
/// use http::HeaderValue;
/// use tower_bad_gateway::{BadGatewayLayer, format::{Format, Negotiate, PublicFailure, Representation}};
///
/// struct Csv {
///     separator: char,
/// }
///
/// impl Format for Csv {
///     fn write(&self, failure: &PublicFailure<'_>) -> Representation {
///         let line = format!("{}{}{}\r\n", failure.status().as_u16(), self.separator, failure.kind().token());
///         Representation::new(HeaderValue::from_static("text/csv; charset=utf-8"), line)
///     }
/// }
///
/// let layer = BadGatewayLayer::new().format(Negotiate::new().offer("text/csv", Csv { separator: ';' }));
/// ```
pub trait Format: Send + Sync {
    /// Writes what the client is shown of one failure; status and framing are the layer's.
    ///
    /// # Panics
    ///
    /// An implementation may panic: the panic is caught, and the client is shown [`PlainText`] with the same status. A program
    /// that is built with `panic = "abort"` ends all the same.
    fn write(&self, failure: &PublicFailure<'_>) -> Representation;

    /// The fields of the request that the format reads, from [`PublicFailure::request`]: the layer keeps them for it. None by default.
    ///
    /// It is asked once, when the format is set. A closure has no such method: see
    /// [`capture_fields`](crate::BadGatewayLayer::capture_fields).
    ///
    /// ```
    /// use http::{HeaderName, HeaderValue, header::HOST};
    /// use tower_bad_gateway::format::{Format, PublicFailure, Representation};
    ///
    /// struct ByHost;
    ///
    /// impl Format for ByHost {
    ///     fn write(&self, failure: &PublicFailure<'_>) -> Representation {
    ///         let host = failure.request().and_then(|request| request.field(&HOST)?.to_str().ok());
    ///         let text = format!("{} is not there now.\n", host.unwrap_or("The site"));
    ///         Representation::new(HeaderValue::from_static("text/plain; charset=utf-8"), text)
    ///     }
    ///
    ///     fn reads(&self) -> Vec<HeaderName> {
    ///         vec![HOST]
    ///     }
    /// }
    /// ```
    fn reads(&self) -> Vec<HeaderName> {
        Vec::new()
    }
}

impl<F> Format for F
where
    F: Fn(&PublicFailure<'_>) -> Representation + Send + Sync,
{
    fn write(&self, failure: &PublicFailure<'_>) -> Representation {
        self(failure)
    }
}

/// What may be shown of a failure to the client that is answered.
///
/// Everything but [`failure`](Self::failure) may be written into a representation: what [`origin`](Self::origin) and
/// [`cause`](Self::cause) return has been disclosed to this client. Texts are not escaped, and a user's sentence may hold any
/// character.
///
/// ```
/// use http::HeaderValue;
/// use tower_bad_gateway::{BadGatewayLayer, format::{PublicFailure, Representation}};
///
/// let layer = BadGatewayLayer::new().format(|failure: &PublicFailure<'_>| {
///     let id = failure.request_id().map_or("-", |id| id.as_str());
///     let again = if failure.is_safe() { "Try again." } else { "Check whether your request was processed." };
///     let text = format!("{} ({id})\n{again}\n", failure.title());
///     Representation::new(HeaderValue::from_static("text/plain; charset=utf-8"), text)
/// });
/// ```
#[derive(Clone, Copy, Debug)]
pub struct PublicFailure<'a> {
    /// The failure with its private parts.
    pub(crate) failure: &'a Failure,
    /// The status of the answer, which `map_status` may have changed.
    pub(crate) status: StatusCode,
    /// The sentence that was set for the failure, the request or the layer; `None` stands for the summary of the kind.
    pub(crate) message: Option<&'a str>,
    /// The name of the gateway, if the layer has one.
    pub(crate) gateway: Option<&'a GatewayName>,
    /// The value of `Retry-After`; `None` if the answer does not have the field.
    pub(crate) retry_after: Option<Duration>,
    /// The identifier of the request, if it has one.
    pub(crate) request_id: Option<&'a RequestId>,
    /// The `Accept` field of the request, several lines joined; only [`Negotiate`] reads it.
    pub(crate) accept: Option<&'a HeaderValue>,
    /// The request; `None` of a failure that no layer answers.
    pub(crate) request: Option<&'a RequestContext>,
    /// Whether the method of the request is safe.
    pub(crate) is_safe: bool,
    /// The texts in the language of the client; `None` for English.
    pub(crate) texts: Option<&'a Texts>,
    /// Whether the user's [`disclose`](crate::BadGatewayLayer::disclose) lets this client see the private cause.
    pub(crate) discloses: bool,
}

impl<'a> PublicFailure<'a> {
    /// A failure without a request and without a layer: an error that an axum handler returns, or one in a test.
    ///
    /// The method counts as not safe, and nothing is disclosed.
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
            request: None,
            is_safe: false,
            texts: None,
            discloses: false,
        }
    }

    /// What went wrong. Its [token](FailureKind::token) never changes, and suits programs better than any sentence.
    #[must_use]
    pub fn kind(&self) -> FailureKind {
        self.failure.kind()
    }

    /// The status of the answer: that of the failure, or the one that [`map_status`](crate::BadGatewayLayer::map_status) has
    /// chosen.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The heading of the kind, without a final period, such as `Connection refused`: in English, or in the language of the client if the layer has
    /// its [texts](crate::BadGatewayLayer::texts). It is the same for every failure of the [kind](Self::kind), also where a user has set a
    /// sentence.
    #[must_use]
    pub fn title(&self) -> &'a str {
        self.say(self.kind().title())
    }

    /// The sentence to show: the one that was set for this failure, this request or the layer, in this order, or else the
    /// [summary of the kind](FailureKind::summary). At most 1 KiB of it, cut between two characters.
    #[must_use]
    pub fn summary(&self) -> &'a str {
        self.message.map_or_else(|| self.say(self.kind().summary()), shortened)
    }

    /// The language of the [title](Self::title): `en`, or the tag of [texts](crate::BadGatewayLayer::texts) that have it.
    #[must_use]
    pub fn title_language(&self) -> &'a str {
        self.texts.filter(|texts| texts.has(self.kind().title())).map_or("en", Texts::tag)
    }

    /// Whether the method of the request promises to change nothing
    /// ([RFC 9110, section 9.2.1](https://www.rfc-editor.org/rfc/rfc9110#section-9.2.1)): asking again does no harm then.
    #[must_use]
    pub fn is_safe(&self) -> bool {
        self.is_safe
    }

    /// The request: its method, its path, and the fields that were [kept](Format::reads). `None` of a failure that an axum handler returns
    /// without a layer around it.
    ///
    /// All of it was chosen by the client. It may be shown to that client, **escaped** as the media type needs it.
    #[must_use]
    pub fn request(&self) -> Option<&'a RequestContext> {
        self.request
    }

    /// The identifier of the request: the one in its extensions, or the one in a field that the layer was
    /// [configured](crate::BadGatewayLayer::request_id_header) to read. It may have been chosen by the client; it is short and
    /// visible ASCII, which includes `<` and `&`.
    #[must_use]
    pub fn request_id(&self) -> Option<&'a RequestId> {
        self.request_id
    }

    /// The name of the gateway, if the layer [has one](crate::BadGatewayLayer::gateway_name). By default there is none.
    #[must_use]
    pub fn gateway(&self) -> Option<&'a GatewayName> {
        self.gateway
    }

    /// After what time another attempt makes sense, in whole seconds, if the answer says so in `Retry-After`.
    ///
    /// It does if the status is 503 or 429 and a [delay](crate::BadGatewayLayer::retry_after) was set, or if an intercepted response has said so and
    /// [keeps](crate::validate::Intercept::keep_fields) it. The layer writes the field; a format need not.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// The hop behind the upstream that failed, by its own account ([`Failure::origin`]); only where the layer
    /// [discloses](crate::BadGatewayLayer::disclose) it, and otherwise `None`.
    #[must_use]
    pub fn origin(&self) -> Option<&'a Intermediary> {
        self.failure.origin().filter(|_| self.discloses)
    }

    /// The private cause as one line ([`Failure::private_chain`]); only where the layer
    /// [discloses](crate::BadGatewayLayer::disclose) it, and otherwise `None`. It holds error texts and addresses of the inside.
    #[must_use]
    pub fn cause(&self) -> Option<String> {
        self.discloses.then(|| self.failure.private_chain().to_string())
    }

    /// The whole failure, with all that is **private**: a text from here that is written into a representation reaches strangers.
    ///
    /// Its [blame](Failure::blame) and [retry safety](Failure::retry_safety) are words of this crate, and safe to show.
    #[must_use]
    pub fn failure(&self) -> &'a Failure {
        self.failure
    }

    /// The language of the [sentence](Self::summary): that of the summary of the kind, and `None` for a user's sentence, whose language is not
    /// known.
    pub(crate) fn language(&self) -> Option<HeaderValue> {
        let texts = self.texts.filter(|texts| texts.has(self.kind().summary()));
        self.message.is_none().then(|| texts.and_then(Texts::language).unwrap_or(ENGLISH))
    }

    /// A text of this crate in the language of the client, or in English where it has no translation.
    pub(crate) fn say(&self, english: &'static str) -> &'a str {
        self.texts.map_or(english, |texts| texts.say(english))
    }

    /// Whether JSON and problem details show nothing but what follows from the kind, so that a cached document is right.
    ///
    /// A condition that is missing here would show the data of one request to the client of another.
    #[cfg(feature = "json")]
    fn follows_from_kind(&self) -> bool {
        self.message.is_none()
            && self.texts.is_none()
            && self.retry_after.is_none()
            && self.request_id.is_none()
            && !self.discloses
            && self.status == self.kind().status()
    }

    /// The registered reason phrase of the status, or the title of the kind for a status that has none.
    pub(crate) fn reason_phrase(&self) -> &'a str {
        self.status.canonical_reason().map_or_else(|| self.title(), |phrase| self.say(phrase))
    }
}

/// What a format writes, or one line of text if the format panics or writes more than may be sent.
///
/// The policy calls this for the format of the layer, and [`Negotiate`] once more for the offer that it has chosen, so that a
/// panic of an offer keeps the mark of a negotiation and the answer its `Vary`.
pub(crate) fn written_by(format: &dyn Format, failure: &PublicFailure<'_>) -> Representation {
    caught(|| format.write(failure))
        .filter(|representation| !representation.is_too_large())
        .unwrap_or_else(|| PlainText.write(failure))
}

/// A representation of the [sentence](PublicFailure::summary), with its language where that is known.
fn with_language(failure: &PublicFailure<'_>, media_type: HeaderValue, content: impl Into<Bytes>) -> Representation {
    Representation::in_language(media_type, content.into(), failure.language())
}

/// The language of everything that this crate says by itself.
const ENGLISH: HeaderValue = HeaderValue::from_static("en");
