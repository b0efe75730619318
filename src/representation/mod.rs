//! The content of an answer, and the response around it.
//!
//! A format writes a [`Representation`]; [`respond`] makes the response from it and from the [`Envelope`] that the policy fills
//! in. The failed response is not an input: no field of the upstream can reach the client through this module, but for those that an
//! interception keeps. The module must not know where a failure came from, which format was chosen, or how a body is polled.
//!
//! | caller | what it uses |
//! | --- | --- |
//! | `policy::presentation` | [`respond`], for every answer that is not gRPC, or [`respond_by_fallback`] |
//! | `axum` | [`respond`], for a `Failure` that a handler returns |
//! | `dialect::grpc` | [`add_fields`] and [`shortened`] |
//! | `format` | [`Representation`], [`ReadyFields`] and [`shortened`] |
//! | `hooks::trace` | [`shortened`], for what it logs |
//!
//! Fields are written in the order of this table (`accept-language` after `Retry-After`), and the last column says what happens to a field of the same name that comes
//! from a format ([`Representation::field`]) or from the user ([`BadGatewayLayer::header`](crate::BadGatewayLayer::header)):
//!
//! | field | value | the same field from a format or a user |
//! | --- | --- | --- |
//! | `Content-Type` | the media type, if there is one | is dropped |
//! | `Content-Language` | the language, if there is one | replaces the value |
//! | `Cache-Control` | `no-store` | replaces the value |
//! | `X-Content-Type-Options` | `nosniff` | replaces the value |
//! | `Vary` | `accept`, after a negotiation or with a fallback for browsers; `accept-language`, where there are several languages | is added as another line |
//! | `Content-Security-Policy` | the one of the format | that of the user is dropped if the format has one |
//! | `Content-Length` | the length of the content, for HEAD as well | is dropped |
//! | `Retry-After` | that of the envelope, if there is one | is replaced |
//! | those that an [`Intercept`](crate::validate::Intercept) keeps | those of an intercepted response, but for the framing | is replaced |
//! | `Proxy-Status` | that of the envelope, if there is one | is replaced |

mod fields;
mod of_fallback;
mod shortened;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode,
    header::{
        CACHE_CONTROL, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, VARY, X_CONTENT_TYPE_OPTIONS,
    },
};

use self::fields::{BY_ACCEPT, add_users_fields, keep, vary};
pub(crate) use self::{
    fields::{add_fields, describes_message},
    of_fallback::{KeptOfFallback, respond_by_fallback},
    shortened::shortened,
};
use crate::fields::PROXY_STATUS;

/// What a [`Format`](crate::format::Format) writes: a media type, content, and fields that go with it
/// ([RFC 9110, section 8](https://www.rfc-editor.org/rfc/rfc9110#section-8)).
///
/// Status and framing are the layer's: it sets `Content-Length`, answers HEAD without content, and drops fields that would
/// disturb either. Content of more than [`MAX_CONTENT`](Self::MAX_CONTENT) is not sent; the client is shown
/// [`PlainText`](crate::format::PlainText) then. The size of fields is not limited.
///
/// The layer adds `Cache-Control: no-store` and `X-Content-Type-Options: nosniff` to every representation; a field of the same
/// name replaces them. After [`Negotiate`](crate::format::Negotiate) the answer has `Vary: accept` as well.
///
/// Content is sent as it is. Escaping is the task of the format, also where a text comes from the user or the client, such as
/// [`summary`](crate::format::PublicFailure::summary) and [`request_id`](crate::format::PublicFailure::request_id).
///
/// ```
/// use http::{HeaderValue, header};
/// use tower_bad_gateway::format::Representation;
///
/// let csv = Representation::new(HeaderValue::from_static("text/csv"), "status\r\n502\r\n")
///     .field(header::CONTENT_DISPOSITION, HeaderValue::from_static("inline"));
/// ```
#[derive(Clone, Debug)]
pub struct Representation {
    /// The value of `Content-Type`; `None` leaves the field out.
    media_type: Option<HeaderValue>,
    /// The value of `Content-Language`; `None` leaves the field out.
    language: Option<HeaderValue>,
    /// The content as GET receives it, also where the request is a HEAD.
    content: Bytes,
    /// The fields that the format has added, in the order in which it did, with those that [`add_fields`] will drop.
    fields: Vec<(HeaderName, HeaderValue)>,
    /// Whether the format was chosen by `Accept`, so that the answer needs `Vary`.
    negotiated: bool,
    /// A header map to clone, valid as long as no format and no user adds a field.
    ready_fields: Option<&'static ReadyFields>,
}

/// The header map of an earlier answer with the same representation, which one clone copies.
///
/// There are two maps because a cloned map has no room for one more field: the insertion of `Proxy-Status` would allocate again.
#[derive(Debug)]
pub(crate) struct ReadyFields {
    /// For a gateway without a name.
    without_proxy_status: HeaderMap,
    /// The same fields and an empty `Proxy-Status`, which [`respond`] overwrites.
    with_proxy_status: HeaderMap,
}

impl Representation {
    /// The most content that is sent, in bytes: 1 MiB.
    ///
    /// Content of exactly this length is sent. Of a longer one nothing is sent: the client is shown
    /// [`PlainText`](crate::format::PlainText) with the same status.
    pub const MAX_CONTENT: usize = 1024 * 1024;

    /// Content of this media type.
    ///
    /// `media_type` becomes `Content-Type` to the byte
    /// ([RFC 9110, section 8.3](https://www.rfc-editor.org/rfc/rfc9110#section-8.3)); text should name its charset there, as in
    /// `text/plain; charset=utf-8`. There is no language and no further field until one is set.
    #[must_use]
    pub fn new(media_type: HeaderValue, content: impl Into<Bytes>) -> Self {
        Self::in_language(media_type, content.into(), None)
    }

    /// Content of this media type, in this language if it is known.
    pub(crate) fn in_language(media_type: HeaderValue, content: Bytes, language: Option<HeaderValue>) -> Self {
        let (media_type, fields) = (Some(media_type), Vec::new());
        Self { media_type, language, content, fields, negotiated: false, ready_fields: None }
    }

    /// No content, and no media type.
    ///
    /// The answer says `Content-Length: 0` and has no `Content-Type`. [`Empty`](crate::format::Empty) is the format that always
    /// writes this; a closure may write it for some failures only:
    ///
    /// ```
    /// use http::HeaderValue;
    /// use tower_bad_gateway::{BadGatewayLayer, format::{PublicFailure, Representation}};
    ///
    /// let layer = BadGatewayLayer::new().format(|failure: &PublicFailure<'_>| match failure.status().as_u16() {
    ///     503 => Representation::empty(),
    ///     _ => Representation::new(HeaderValue::from_static("text/plain"), failure.title().to_owned()),
    /// });
    /// ```
    #[must_use]
    pub fn empty() -> Self {
        Self {
            media_type: None,
            language: None,
            content: Bytes::new(),
            fields: Vec::new(),
            negotiated: false,
            ready_fields: None,
        }
    }

    /// Sets `Content-Language`, the language of the readers whom the content is for
    /// ([RFC 9110, section 8.5](https://www.rfc-editor.org/rfc/rfc9110#section-8.5)).
    ///
    /// By default the field is absent. The formats of this crate say `en`, and problem details, JSON and text leave the field out
    /// where the sentence is not the [summary of the kind](crate::FailureKind::summary), whose language is English.
    #[must_use]
    pub fn language(mut self, language: HeaderValue) -> Self {
        self.language = Some(language);
        // The ready fields hold the language of the cached document, which must not win over this one.
        self.ready_fields = None;
        self
    }

    /// Adds a field.
    ///
    /// A name that is added twice is sent as two lines, except for `Cache-Control`, `Content-Language` and
    /// `X-Content-Type-Options`, of which the last value counts. A field of the framing is ignored: `Connection`,
    /// `Content-Length`, `Content-Type`, `Keep-Alive`, `Proxy-Connection`, `TE`, `Trailer`, `Transfer-Encoding` and `Upgrade`. So
    /// are `Retry-After` and `Proxy-Status` where the layer sends one of its own.
    #[must_use]
    pub fn field(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.fields.push((name, value));
        self
    }

    /// Attaches the header map that [`to_ready_fields`](Self::to_ready_fields) has made of an equal representation.
    ///
    /// [`respond`] ignores it when a format or a user has added a field.
    #[cfg(feature = "json")]
    pub(crate) fn attach_ready_fields(&mut self, fields: &'static ReadyFields) {
        self.ready_fields = Some(fields);
    }

    /// The header map of a negotiated answer with this representation, to be kept for later answers.
    ///
    /// It holds `Vary`, which [`respond`] removes again from an answer that was not negotiated. The fields of the envelope
    /// (`Retry-After`, `Proxy-Status`) depend on the request and the layer, and are not in it.
    #[cfg(feature = "json")]
    pub(crate) fn to_ready_fields(&self) -> ReadyFields {
        let (without_proxy_status, _) = fields(self.clone().negotiated(), &[], 0);
        let mut with_proxy_status = without_proxy_status.clone();
        with_proxy_status.insert(PROXY_STATUS, HeaderValue::from_static(""));
        ReadyFields { without_proxy_status, with_proxy_status }
    }

    /// Whether the content is longer than [`MAX_CONTENT`](Self::MAX_CONTENT) and must not be sent.
    pub(crate) fn is_too_large(&self) -> bool {
        self.content.len() > Self::MAX_CONTENT
    }

    /// Marks a representation that was chosen by `Accept`: its answer has to say `Vary: Accept`
    /// ([RFC 9110, section 12.5.5](https://www.rfc-editor.org/rfc/rfc9110#section-12.5.5)).
    pub(crate) fn negotiated(mut self) -> Self {
        self.negotiated = true;
        self
    }
}

/// What the layer adds to a representation.
pub(crate) struct Envelope<'a> {
    /// The status of the answer, as the failure or the user's `map_status` has decided it.
    pub(crate) status: StatusCode,
    /// The method of the request: HEAD is answered without content.
    pub(crate) method: &'a Method,
    /// The value of `Retry-After`, in seconds.
    pub(crate) retry_after: Option<HeaderValue>,
    /// The value of `Proxy-Status`; `None` for a gateway without a name.
    pub(crate) proxy_status: Option<HeaderValue>,
    /// The fields that the user adds to every answer of the layer.
    pub(crate) fields: &'a [(HeaderName, HeaderValue)],
    /// The fields that an intercepted response leaves to the answer in its place.
    pub(crate) kept: Option<&'a HeaderMap>,
    /// Whether `Accept` decides who writes the answer.
    pub(crate) is_by_accept: bool,
    /// Whether the answer depends on `Accept-Language`.
    pub(crate) is_by_language: bool,
}

/// Makes the response of a representation and an envelope; to HEAD, one without content and with the fields of GET.
pub(crate) fn respond(representation: Representation, envelope: Envelope<'_>) -> Response<Bytes> {
    let ready = representation.ready_fields.filter(|_| representation.fields.is_empty() && envelope.fields.is_empty());
    let (mut headers, content) = match ready {
        Some(ready) => {
            let ready =
                if envelope.proxy_status.is_some() { &ready.with_proxy_status } else { &ready.without_proxy_status };
            let mut headers = ready.clone();
            if !representation.negotiated {
                headers.remove(VARY);
            }
            (headers, representation.content)
        }
        None => fields(representation, envelope.fields, usize::from(envelope.proxy_status.is_some())),
    };
    if let Some(retry_after) = envelope.retry_after {
        headers.insert(RETRY_AFTER, retry_after);
    }
    vary(&mut headers, envelope.is_by_accept, envelope.is_by_language);
    if let Some(kept) = envelope.kept {
        keep(&mut headers, kept);
    }
    if let Some(proxy_status) = envelope.proxy_status {
        headers.insert(PROXY_STATUS, proxy_status);
    }
    let content = if envelope.method == Method::HEAD { Bytes::new() } else { content };
    let (mut head, content) = Response::new(content).into_parts();
    head.status = envelope.status;
    head.headers = headers;
    Response::from_parts(head, content)
}

/// The header map of a representation, and its content.
///
/// `users` are the fields that the user adds to every answer; `more` is the number of fields for which the map keeps room.
fn fields(representation: Representation, users: &[(HeaderName, HeaderValue)], more: usize) -> (HeaderMap, Bytes) {
    let Representation { media_type, language, content, fields, negotiated, ready_fields: _ } = representation;
    let mut headers = HeaderMap::with_capacity(6 + more + fields.len() + users.len());
    if let Some(media_type) = media_type {
        headers.insert(CONTENT_TYPE, media_type);
    }
    if let Some(language) = language {
        headers.insert(CONTENT_LANGUAGE, language);
    }
    headers.insert(CACHE_CONTROL, NO_STORE);
    headers.insert(X_CONTENT_TYPE_OPTIONS, NOSNIFF);
    if negotiated {
        headers.insert(VARY, BY_ACCEPT);
    }
    add_fields(&mut headers, fields);
    add_users_fields(&mut headers, users);
    // HEAD has the fields of GET (RFC 9110, section 9.3.2): a length of 0 would say that GET is answered without content.
    headers.insert(CONTENT_LENGTH, HeaderValue::from(content.len()));
    (headers, content)
}

/// No cache may keep the answer to a failure
/// ([RFC 9111, section 5.2.2.5](https://www.rfc-editor.org/rfc/rfc9111#section-5.2.2.5)).
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
/// A browser must not guess another media type than the one that is sent
/// ([Fetch](https://fetch.spec.whatwg.org/#x-content-type-options-header)).
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
#[cfg(test)]
mod tests {
    use http::header::{CONNECTION, CONTENT_SECURITY_POLICY, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};

    use super::{
        fields::{FRAMING, OTHER_FRAMING},
        *,
    };

    fn envelope<'a>(method: &'a Method, fields: &'a [(HeaderName, HeaderValue)]) -> Envelope<'a> {
        Envelope {
            status: StatusCode::BAD_GATEWAY,
            method,
            retry_after: None,
            proxy_status: None,
            fields,
            kept: None,
            is_by_accept: false,
            is_by_language: false,
        }
    }

    #[test]
    fn no_field_of_a_user_disturbs_the_framing() {
        let text = HeaderValue::from_static("text/plain");
        let framing = FRAMING.iter().cloned().chain(OTHER_FRAMING.map(HeaderName::from_static));
        let fields: Vec<_> = framing.map(|name| (name, HeaderValue::from_static("5"))).collect();
        let written = fields
            .iter()
            .cloned()
            .fold(Representation::new(text, "hello, world"), |written, (name, value)| written.field(name, value));
        let response = respond(written, envelope(&Method::GET, &fields));
        let headers = response.headers();
        assert_eq!(headers.get_all(CONTENT_LENGTH).iter().collect::<Vec<_>>(), ["12"]);
        assert_eq!(headers.get_all(CONTENT_TYPE).iter().collect::<Vec<_>>(), ["text/plain"]);
        let others: Vec<_> = [CONNECTION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE]
            .into_iter()
            .filter(|name| headers.contains_key(name))
            .collect();
        assert!(others.is_empty(), "{others:?}");
    }

    #[test]
    fn a_users_field_replaces_a_default_and_joins_others() {
        let fields = [
            (CACHE_CONTROL, HeaderValue::from_static("private")),
            (VARY, HeaderValue::from_static("origin")),
            (HeaderName::from_static("x-a"), HeaderValue::from_static("1")),
            (HeaderName::from_static("x-a"), HeaderValue::from_static("2")),
        ];
        let written = Representation::new(HeaderValue::from_static("text/plain"), "").negotiated();
        let response = respond(written, envelope(&Method::GET, &fields));
        let all = |name: &str| response.headers().get_all(name).iter().cloned().collect::<Vec<_>>();
        assert_eq!(all("cache-control"), ["private"]);
        assert_eq!(all("vary"), ["accept", "origin"]);
        assert_eq!(all("x-a"), ["1", "2"]);
    }

    #[test]
    fn a_page_keeps_the_policy_it_needs() {
        let policy = |text| (CONTENT_SECURITY_POLICY, HeaderValue::from_static(text));
        let page = Representation::new(HeaderValue::from_static("text/html"), "");
        let fields = [policy("default-src 'self'")];
        let with = |page: Representation| {
            let response = respond(page, envelope(&Method::GET, &fields));
            response.headers().get_all(CONTENT_SECURITY_POLICY).iter().cloned().collect::<Vec<_>>()
        };
        assert_eq!(with(page.clone()), ["default-src 'self'"]);
        let (name, value) = policy("style-src 'sha256-x'");
        assert_eq!(with(page.field(name, value)), ["style-src 'sha256-x'"]);
    }

    #[test]
    fn head_has_the_fields_of_get_and_no_content() {
        let written = Representation::new(HeaderValue::from_static("text/plain"), "hello");
        let get = respond(written.clone(), envelope(&Method::GET, &[]));
        let head = respond(written, envelope(&Method::HEAD, &[]));
        assert_eq!(get.headers(), head.headers());
        assert_eq!((get.body().len(), head.body().len()), (5, 0));
    }
}
