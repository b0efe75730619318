//! Problem details.

use std::{borrow::Cow, fmt, sync::Arc};

use http::HeaderValue;
use serde_json::Value;

use super::{
    Format, PublicFailure, Representation,
    document::{Document, Member, Members, Usual, usual},
};

/// `application/problem+json`: problem details ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)).
///
/// `type` is `about:blank`, so `title` is the reason phrase of the status; `detail` is the sentence. The extension members
/// are `code` (the token) and, where they are known, `retry_after` (seconds) and `request_id`; for those who may
/// [see](crate::BadGatewayLayer::disclose) it `cause`, and `origin` if another hop has failed.
///
/// ```
/// use tower_bad_gateway::{BadGatewayLayer, format::{Negotiate, Problem}};
///
/// let problem = Problem::new()
///     .types_under("https://errors.example/")
///     .instance(|failure| Some(format!("urn:example:request:{}", failure.request_id()?)))
///     .member("service", "billing");
/// let layer = BadGatewayLayer::new().format(Negotiate::new().offer("application/problem+json", problem));
/// ```
#[derive(Clone, Default)]
pub struct Problem {
    base: Option<Cow<'static, str>>,
    instance: Option<Arc<MakeInstance>>,
    members: Members,
}

type MakeInstance = dyn Fn(&PublicFailure<'_>) -> Option<String> + Send + Sync;

impl Problem {
    /// The members named above.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives every kind a `type` of its own: this URI with the token right behind it, such as
    /// `https://errors.example/connection_refused`. `title` is the heading of the kind then.
    ///
    /// There should be something to read under these URIs
    /// ([RFC 9457, section 4](https://www.rfc-editor.org/rfc/rfc9457#section-4)).
    #[must_use]
    pub fn types_under(mut self, base: impl Into<Cow<'static, str>>) -> Self {
        self.base = Some(base.into());
        self
    }

    /// Sets `instance`, a URI reference that names this one occurrence; `None` leaves it out. There is none by default.
    #[must_use]
    pub fn instance(mut self, instance: impl Fn(&PublicFailure<'_>) -> Option<String> + Send + Sync + 'static) -> Self {
        self.instance = Some(Arc::new(instance));
        self
    }

    /// Adds an extension member. Its name should have three or more letters, digits or underscores, a letter first
    /// ([RFC 9457, section 3.2](https://www.rfc-editor.org/rfc/rfc9457#section-3.2)). A member of the format itself or of
    /// [`Json`](super::Json) keeps its value whatever is set.
    #[must_use]
    pub fn member(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Value>) -> Self {
        self.members.set(name.into(), Member::Fixed(value.into()));
        self
    }

    /// Adds an extension member that depends on the failure; `None` leaves it out.
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

impl Format for Problem {
    fn write(&self, failure: &PublicFailure<'_>) -> Representation {
        static USUAL: Usual = usual();
        const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");
        let (uri, title) = match &self.base {
            Some(base) => (Cow::Owned(format!("{base}{}", failure.kind().token())), failure.title()),
            None => (Cow::Borrowed("about:blank"), failure.reason_phrase()),
        };
        let instance = self.instance.as_ref().and_then(|make| make(failure));
        let own = [
            ("type", Some(&*uri)),
            ("title", Some(title)),
            ("detail", Some(failure.summary())),
            ("instance", instance.as_deref()),
        ];
        let is_usual = self.base.is_none() && self.instance.is_none() && self.members.is_empty();
        Document { own: &own, failure, members: &self.members }.write(MEDIA_TYPE, is_usual.then_some(&USUAL))
    }
}

impl fmt::Debug for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Problem")
            .field("base", &self.base)
            .field("instance", &self.instance.is_some())
            .field("members", &self.members.names().collect::<Vec<_>>())
            .finish()
    }
}
