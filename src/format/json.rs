//! JSON for programs that know no problem details.
//!
//! This module names the two members of its own, `error` and `message`, and keeps the members that a user adds; `document` does everything
//! else. The negotiation offers it as `application/json`, behind problem details.

use std::{borrow::Cow, fmt, sync::Arc};

use http::HeaderValue;
use serde_json::Value;

use super::{
    Format, PublicFailure, Representation,
    document::{Document, DocumentCache, Member, Members, empty_cache},
};

/// `application/json`: `error` (a sentence) and the same as `message`, which callers of Connect are shown
/// ([Connect](https://connectrpc.com/docs/protocol#error-end-stream)), `code` (the token), `status`, and where they are known `retry_after` (seconds)
/// and `request_id`; for those who may [see](crate::BadGatewayLayer::disclose) it `cause`, and `origin` if another hop has failed.
///
/// An answer to a request with an identifier:
///
/// ```json
/// {"error":"the upstream refused the connection","message":"the upstream refused the connection","code":"connection_refused","status":502,"request_id":"7f3a-12"}
/// ```
///
/// Programs should look at `code`, which never changes, rather than at the sentence. The members of a user stand behind those of
/// the format, in the order in which they were added.
///
/// Not for clients that know problem details: [`Problem`](struct@super::Problem) is a standard. Not for a document of another shape: a
/// closure is a [`Format`] as well.
///
/// ```
/// use tower_bad_gateway::{BadGatewayLayer, format::{Json, Negotiate}};
///
/// let json = Json::new()
///     .member("service", "billing")
///     .member_with("retryable", |failure| Some((failure.status() == 503).into()));
/// let layer = BadGatewayLayer::new().format(Negotiate::new().offer("application/json", json));
/// ```
#[derive(Clone, Default)]
pub struct Json {
    /// The members that the user has added.
    members: Members,
}

/// The document of the members named [above](struct@Json), and no others, so that `format(Json)` is written as `format(PlainText)` is.
#[allow(non_upper_case_globals, reason = "it stands for a value of the type, as the name of a unit struct does")]
pub const Json: Json = Json { members: Members::NONE };

impl Json {
    /// A document of the members named [above](Self), and no others.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a member. A member of the format itself or of [`Problem`](struct@super::Problem) keeps its value, and a member
    /// of the same name that is set here is left out.
    ///
    /// Of two members of the same name the last one counts. The value is **public**, and the same in every answer.
    ///
    /// ```
    /// use tower_bad_gateway::{BadGatewayLayer, format::Json};
    ///
    /// let json = Json::new().member("docs", "https://docs.example/errors").member("team", 7);
    /// let layer = BadGatewayLayer::new().format(json);
    /// ```
    #[must_use]
    pub fn member(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Value>) -> Self {
        self.members.set(name.into(), Member::Fixed(value.into()));
        self
    }

    /// Adds a member that depends on the failure; `None` leaves it out.
    ///
    /// The closure runs for every answer in this format, in the task that serves the request: it must not block. If it panics, the
    /// client is shown [`PlainText`](super::PlainText) with the same status. The name of a member of the format itself or of
    /// [`Problem`](struct@super::Problem) is ignored, and of two members of the same name the last one counts.
    ///
    /// ```
    /// use tower_bad_gateway::{BadGatewayLayer, format::Json};
    ///
    /// let json = Json::new().member_with("title_for_people", |failure| Some(failure.title().into()));
    /// let layer = BadGatewayLayer::new().format(json);
    /// ```
    #[must_use]
    pub fn member_with(
        mut self,
        name: impl Into<Cow<'static, str>>,
        value: impl Fn(&PublicFailure<'_>) -> Option<Value> + Send + Sync + 'static,
    ) -> Self {
        self.members.set(name.into(), Member::Computed(Arc::new(value)));
        self
    }
}

impl Format for Json {
    fn write(&self, failure: &PublicFailure<'_>) -> Representation {
        static CACHE: DocumentCache = empty_cache();
        const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/json");
        let sentence = Some(failure.summary());
        let document = Document { own: &[("error", sentence), ("message", sentence)], failure, members: &self.members };
        document.write(MEDIA_TYPE, self.members.is_empty().then_some(&CACHE))
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.members.names()).finish()
    }
}
