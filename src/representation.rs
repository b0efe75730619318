//! The content of an answer, and the response around it.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode,
    header::{
        CACHE_CONTROL, CONNECTION, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE,
        RETRY_AFTER, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, VARY, X_CONTENT_TYPE_OPTIONS,
    },
};

use crate::fields::PROXY_STATUS;

/// What a [`Format`](crate::format::Format) writes: a media type, content, and fields that go with it
/// ([RFC 9110, section 8](https://www.rfc-editor.org/rfc/rfc9110#section-8)).
///
/// Status and framing are the layer's: it sets `Content-Length`, answers HEAD without content, and drops fields that would
/// disturb either. Content of more than [`MAX_CONTENT`](Self::MAX_CONTENT) is not sent; the client is shown
/// [`PlainText`](crate::format::PlainText) then. What fields hold is not limited.
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
    media_type: Option<HeaderValue>,
    language: Option<HeaderValue>,
    content: Bytes,
    fields: Vec<(HeaderName, HeaderValue)>,
    negotiated: bool,
    ready: Option<&'static ReadyFields>,
}

/// The fields of an answer that was made before, to be cloned at once: without `Proxy-Status`, and with a place for it, since a clone has
/// no room for another.
#[derive(Debug)]
pub(crate) struct ReadyFields {
    without: HeaderMap,
    with: HeaderMap,
}

impl Representation {
    /// The most content that is sent, in bytes: 1 MiB.
    pub const MAX_CONTENT: usize = 1024 * 1024;

    /// Content of this media type.
    #[must_use]
    pub fn new(media_type: HeaderValue, content: impl Into<Bytes>) -> Self {
        Self { media_type: Some(media_type), content: content.into(), ..Self::empty() }
    }

    /// No content, and no media type.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            media_type: None,
            language: None,
            content: Bytes::new(),
            fields: Vec::new(),
            negotiated: false,
            ready: None,
        }
    }

    /// Sets `Content-Language`.
    #[must_use]
    pub fn language(mut self, language: HeaderValue) -> Self {
        self.language = Some(language);
        self.ready = None;
        self
    }

    /// Adds a field.
    #[must_use]
    pub fn field(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.fields.push((name, value));
        self
    }

    /// The fields that an answer with it has, where nobody adds one: what was [made](Self::fields) of the same representation before.
    #[cfg(feature = "json")]
    pub(crate) fn ready(mut self, fields: &'static ReadyFields) -> Self {
        self.ready = Some(fields);
        self
    }

    /// The fields of an answer with it that was chosen by `Accept`, as far as it is the representation that says them.
    #[cfg(feature = "json")]
    pub(crate) fn fields(&self) -> ReadyFields {
        let (without, _) = fields(self.clone().negotiated(), &[], 0);
        let mut with = without.clone();
        with.insert(PROXY_STATUS, HeaderValue::from_static(""));
        ReadyFields { without, with }
    }

    pub(crate) fn is_too_large(&self) -> bool {
        self.content.len() > Self::MAX_CONTENT
    }

    /// It was chosen by `Accept`: caches must know.
    pub(crate) fn negotiated(mut self) -> Self {
        self.negotiated = true;
        self
    }
}

/// What the layer adds to a representation.
pub(crate) struct Envelope<'a> {
    pub(crate) status: StatusCode,
    pub(crate) method: &'a Method,
    pub(crate) retry_after: Option<HeaderValue>,
    pub(crate) proxy_status: Option<HeaderValue>,
    pub(crate) fields: &'a [(HeaderName, HeaderValue)],
}

/// A response built from scratch: nothing of the failed one can be in it.
pub(crate) fn respond(representation: Representation, envelope: Envelope<'_>) -> Response<Bytes> {
    let ready = representation.ready.filter(|_| representation.fields.is_empty() && envelope.fields.is_empty());
    let (mut headers, content) = match ready {
        Some(ready) => {
            let ready = if envelope.proxy_status.is_some() { &ready.with } else { &ready.without };
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
    if let Some(proxy_status) = envelope.proxy_status {
        headers.insert(PROXY_STATUS, proxy_status);
    }
    let mut response = Response::new(if envelope.method == Method::HEAD { Bytes::new() } else { content });
    *response.status_mut() = envelope.status;
    *response.headers_mut() = headers;
    response
}

/// The fields of a representation, with room for more, and its content.
fn fields(representation: Representation, users: &[(HeaderName, HeaderValue)], more: usize) -> (HeaderMap, Bytes) {
    let Representation { media_type, language, content, fields, negotiated, ready: _ } = representation;
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
    // Browsers obey every policy they are sent: one for the rest of a site would take a page its own style.
    let has_policy = headers.contains_key(CONTENT_SECURITY_POLICY);
    let ours = users.iter().filter(|(name, _)| !(has_policy && *name == CONTENT_SECURITY_POLICY));
    add_fields(&mut headers, ours.cloned());
    // A representation's length also where none of it is sent (RFC 9110, section 9.3.2).
    headers.insert(CONTENT_LENGTH, HeaderValue::from(content.len()));
    (headers, content)
}

/// A sentence of somebody else's that is not longer than an answer can bear: 1 KiB.
pub(crate) fn shortened(sentence: &str) -> &str {
    if sentence.len() <= LONGEST_SENTENCE {
        return sentence;
    }
    let ends = sentence.char_indices().map(|(at, character)| at + character.len_utf8());
    let end = ends.take_while(|&end| end <= LONGEST_SENTENCE).last().unwrap_or(0);
    sentence.get(..end).unwrap_or_default()
}

/// Replaces a field the layer has set, adds any other, and keeps out what belongs to framing.
pub(crate) fn add_fields(headers: &mut HeaderMap, fields: impl IntoIterator<Item = (HeaderName, HeaderValue)>) {
    for (name, value) in fields {
        if FRAMING.contains(&name) || FRAMING_BY_HABIT.contains(&name.as_str()) {
            continue;
        }
        if name == CACHE_CONTROL || name == X_CONTENT_TYPE_OPTIONS || name == CONTENT_LANGUAGE {
            headers.insert(name, value);
        } else {
            headers.append(name, value);
        }
    }
}

/// In bytes.
const LONGEST_SENTENCE: usize = 1024;
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
const BY_ACCEPT: HeaderValue = HeaderValue::from_static("accept");
const FRAMING: [HeaderName; 7] = [CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE];
const FRAMING_BY_HABIT: [&str; 2] = ["keep-alive", "proxy-connection"];

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope<'a>(method: &'a Method, fields: &'a [(HeaderName, HeaderValue)]) -> Envelope<'a> {
        Envelope { status: StatusCode::BAD_GATEWAY, method, retry_after: None, proxy_status: None, fields }
    }

    #[test]
    fn no_field_of_a_user_disturbs_the_framing() {
        let text = HeaderValue::from_static("text/plain");
        let framing = FRAMING.iter().cloned().chain(FRAMING_BY_HABIT.map(HeaderName::from_static));
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
    fn a_sentence_is_cut_between_characters() {
        assert_eq!(shortened("short"), "short");
        assert_eq!(shortened(&"a".repeat(1024)).len(), 1024);
        assert_eq!(shortened(&"a".repeat(1025)).len(), 1024);
        assert_eq!(shortened(&format!("a{}", "\u{20ac}".repeat(1024))).len(), 1 + 341 * 3);
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
