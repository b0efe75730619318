//! The response around content that comes from a fallback.
//!
//! The fields that describe the content go along with it, and those that were asked for; the others are those of an answer with a
//! [`Representation`](super::Representation). They are written in this order, and a later one takes the place of an earlier one: the layer's own, the
//! user's, `Retry-After`, those of an intercepted response, those of the fallback, `Proxy-Status`; `Vary` is added to.

use http::{
    HeaderMap, HeaderName, Response,
    header::{
        AGE, ALLOW, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH,
        CONTENT_RANGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, EXPIRES, LAST_MODIFIED, LOCATION, RETRY_AFTER,
        TRAILER, VARY, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
    },
};

use super::{
    Envelope, NO_STORE, NOSNIFF,
    fields::{add_users_fields, is_framing, keep, vary},
};
use crate::fields::PROXY_STATUS;

/// Which fields of the fallback's response the answer has, besides those of the content.
pub(crate) struct KeptOfFallback<'a> {
    /// All of them: it is the response of a second upstream.
    pub(crate) all: bool,
    /// Those without which its status says half.
    pub(crate) of_status: bool,
    /// Those that a cache goes by.
    pub(crate) caching: bool,
    /// Those that the user has named.
    pub(crate) named: &'a [HeaderName],
}

/// Makes the answer.
pub(crate) fn respond_by_fallback<B>(
    response: Response<B>,
    kept: KeptOfFallback<'_>,
    envelope: Envelope<'_>,
) -> Response<B> {
    let (from, body) = response.into_parts();
    let mut headers = HeaderMap::with_capacity(from.headers.len() + 4);
    // Without a word of its server about caching a response that may be cached has none.
    if !kept.caching {
        headers.insert(CACHE_CONTROL, NO_STORE);
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, NOSNIFF);
    add_users_fields(&mut headers, envelope.fields);
    if let Some(retry_after) = &envelope.retry_after {
        headers.insert(RETRY_AFTER, retry_after.clone());
    }
    if let Some(kept) = envelope.kept {
        keep(&mut headers, kept);
    }
    let list = |is_kept, names: &'static [HeaderName]| if is_kept { names } else { &[] };
    let fields = OF_CONTENT.iter().chain(list(kept.of_status, &OF_STATUS)).chain(list(kept.caching, &CACHING));
    let named = kept.named.iter().chain(from.headers.keys().filter(|_| kept.all));
    // The length is that of the content; the rest of the framing is the server's.
    // Of a second upstream trailers go out as well, which some servers drop unless they are announced.
    let trailer = (kept.all).then_some(&TRAILER);
    for name in fields.chain(named.filter(|name| !is_framing(name))).chain(trailer) {
        copy(&from.headers, name, &mut headers);
    }
    vary(&mut headers, envelope.is_by_accept, envelope.is_by_language);
    if let Some(proxy_status) = envelope.proxy_status {
        headers.insert(PROXY_STATUS, proxy_status);
    }
    let mut response = Response::new(body);
    *response.status_mut() = envelope.status;
    *response.headers_mut() = headers;
    response
}

/// Copies all lines of a field, in the place of those that are there; `Vary` beside them, since the answer depends on both.
fn copy(from: &HeaderMap, name: &HeaderName, to: &mut HeaderMap) {
    let mut lines = from.get_all(name).iter();
    if *name == VARY {
        lines.for_each(|line| {
            if !to.get_all(VARY).iter().any(|known| known == line) {
                to.append(VARY, line.clone());
            }
        });
        return;
    }
    if let Some(first) = lines.next() {
        to.insert(name.clone(), first.clone());
        lines.for_each(|line| {
            to.append(name.clone(), line.clone());
        });
    }
}

/// What describes the content, and what it needs to be shown.
static OF_CONTENT: [HeaderName; 7] = [
    CONTENT_TYPE,
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    CONTENT_LENGTH,
    CONTENT_DISPOSITION,
    CONTENT_SECURITY_POLICY,
    VARY,
];
/// What a redirect, a 401, a 405, a 429, and a 206 or 416 need.
static OF_STATUS: [HeaderName; 5] = [LOCATION, WWW_AUTHENTICATE, ALLOW, RETRY_AFTER, CONTENT_RANGE];
/// What a cache goes by.
static CACHING: [HeaderName; 5] = [CACHE_CONTROL, AGE, ETAG, EXPIRES, LAST_MODIFIED];
