//! Problem details.
//!
//! This module decides the members of [RFC 9457](https://www.rfc-editor.org/rfc/rfc9457) (`type`, `title`, `detail`, `instance`)
//! and keeps the members that a user adds; `document` does everything else, `status` included. The negotiation offers it first,
//! so it is what clients without `Accept` get.

use std::{borrow::Cow, fmt, sync::Arc};

use http::HeaderValue;
use serde_json::Value;

use super::{
    Format, PublicFailure, Representation,
    document::{Document, DocumentCache, Member, Members, empty_cache},
};

/// `application/problem+json`: problem details ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)).
///
/// `type` is `about:blank`, so `title` is the reason phrase of the status; `detail` is the sentence. The extension members
/// are `code` (the token) and, where they are known, `retry_after` (seconds) and `request_id`; for those who may
/// [see](crate::BadGatewayLayer::disclose) it `cause`, and `origin` if another hop has failed.
///
/// An answer of the default format, without an identifier of the request:
///
/// ```json
/// {"type":"about:blank","title":"Bad Gateway","detail":"the upstream refused the connection",
///  "code":"connection_refused","status":502}
/// ```
///
/// The real one has no line break. Programs should look at `code` or `type`, and not at the texts: `title` and `detail` are for
/// people ([RFC 9457, section 3.1](https://www.rfc-editor.org/rfc/rfc9457#section-3.1)).
///
/// Not for problem details as XML ([appendix B](https://www.rfc-editor.org/rfc/rfc9457#appendix-B)): a closure is a [`Format`] as
/// well.
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
    /// What stands before the token in `type`; `None` stands for `about:blank`.
    base: Option<Cow<'static, str>>,
    /// What makes `instance`; `None` leaves the member out.
    instance: Option<Arc<MakeInstance>>,
    /// The extension members that the user has added.
    members: Members,
}

/// The document of the members named [above](struct@Problem), and no others, so that `format(Problem)` is written as `format(PlainText)` is.
#[allow(non_upper_case_globals, reason = "it stands for a value of the type, as the name of a unit struct does")]
pub const Problem: Problem = Problem { base: None, instance: None, members: Members::NONE };

/// A user's closure that is called for every document.
type MakeInstance = dyn Fn(&PublicFailure<'_>) -> Option<String> + Send + Sync;

impl Problem {
    /// A document of the members named [above](Self), and no others.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives every kind a `type` of its own: this URI with the token right behind it, such as
    /// `https://errors.example/connection_refused`. `title` is the heading of the kind then.
    ///
    /// There should be something to read under these URIs
    /// ([RFC 9457, section 4](https://www.rfc-editor.org/rfc/rfc9457#section-4)). The base is used to the letter: it should end in
    /// `/`, `#` or another separator.
    ///
    /// By default `type` is `about:blank`, and `title` the reason phrase
    /// ([section 4.2.1](https://www.rfc-editor.org/rfc/rfc9457#section-4.2.1)).
    #[must_use]
    pub fn types_under(mut self, base: impl Into<Cow<'static, str>>) -> Self {
        self.base = Some(base.into());
        self
    }

    /// Sets `instance`, a URI reference that names this one occurrence
    /// ([RFC 9457, section 3.1.5](https://www.rfc-editor.org/rfc/rfc9457#section-3.1.5)); `None` leaves it out. There is none by
    /// default.
    ///
    /// The closure runs for every answer in this format, in the task that serves the request: it must not block. If it panics, the
    /// client is shown [`PlainText`](super::PlainText) with the same status. The text is sent as it is, so it has to be a valid
    /// reference by itself.
    #[must_use]
    pub fn instance(mut self, instance: impl Fn(&PublicFailure<'_>) -> Option<String> + Send + Sync + 'static) -> Self {
        self.instance = Some(Arc::new(instance));
        self
    }

    /// Adds an extension member. Its name should have three or more letters, digits or underscores, a letter first
    /// ([RFC 9457, section 3.2](https://www.rfc-editor.org/rfc/rfc9457#section-3.2)). A member of the format itself or of
    /// [`Json`](struct@super::Json) keeps its value, and a member of the same name that is set here is left out. Of two members of the same
    /// name the last one counts.
    #[must_use]
    pub fn member(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Value>) -> Self {
        self.members.set(name.into(), Member::Fixed(value.into()));
        self
    }

    /// Adds an extension member that depends on the failure; `None` leaves it out. For its name the same holds as for that of a
    /// [`member`](Self::member), and for the closure the same as for [`instance`](Self::instance).
    ///
    /// ```
    /// use tower_bad_gateway::{BadGatewayLayer, format::Problem};
    ///
    /// let problem = Problem::new().member_with("gateway", |failure| Some(failure.gateway()?.as_str().into()));
    /// let layer = BadGatewayLayer::new().format(problem);
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

impl Format for Problem {
    fn write(&self, failure: &PublicFailure<'_>) -> Representation {
        static CACHE: DocumentCache = empty_cache();
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
        let is_unchanged = self.base.is_none() && self.instance.is_none() && self.members.is_empty();
        Document { own: &own, failure, members: &self.members }.write(MEDIA_TYPE, is_unchanged.then_some(&CACHE))
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
