//! JSON for programs that know no problem details.

use std::{borrow::Cow, fmt, sync::Arc};

use http::HeaderValue;
use serde_json::Value;

use super::{
    Format, PublicFailure, Representation,
    document::{Document, Member, Members, Usual, usual},
};

/// `application/json`: `error` (a sentence), `code` (the token), `status`, and where they are known `retry_after` (seconds)
/// and `request_id`; for those who may [see](crate::BadGatewayLayer::disclose) it `cause`, and `origin` if another hop has failed.
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
    members: Members,
}

impl Json {
    /// The members named above.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a member. A member of the format itself or of [`Problem`](super::Problem) keeps its value whatever is set.
    #[must_use]
    pub fn member(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Value>) -> Self {
        self.members.set(name.into(), Member::Fixed(value.into()));
        self
    }

    /// Adds a member that depends on the failure; `None` leaves it out.
    #[must_use]
    pub fn member_with(
        mut self,
        name: impl Into<Cow<'static, str>>,
        value: impl Fn(&PublicFailure<'_>) -> Option<Value> + Send + Sync + 'static,
    ) -> Self {
        self.members.set(name.into(), Member::Made(Arc::new(value)));
        self
    }
}

impl Format for Json {
    fn write(&self, failure: &PublicFailure<'_>) -> Representation {
        static USUAL: Usual = usual();
        const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/json");
        let document = Document { own: &[("error", Some(failure.summary()))], failure, members: &self.members };
        document.write(MEDIA_TYPE, self.members.is_empty().then_some(&USUAL))
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.members.names()).finish()
    }
}
