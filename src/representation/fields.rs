//! Which fields of formats, users, intercepted responses and fallbacks an answer has, beside those of the layer.

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{
        CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_RANGE,
        CONTENT_SECURITY_POLICY, CONTENT_TYPE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, VARY, X_CONTENT_TYPE_OPTIONS,
    },
};

/// Adds the fields that the user adds to every answer.
pub(super) fn add_users_fields(headers: &mut HeaderMap, users: &[(HeaderName, HeaderValue)]) {
    // Browsers enforce every policy that they receive: a user's policy beside that of the page would block the style of the page.
    let has_policy = headers.get(CONTENT_SECURITY_POLICY).is_some();
    let fields = users.iter().filter(|(name, _)| !(has_policy && *name == CONTENT_SECURITY_POLICY));
    add_fields(headers, fields.cloned());
}

/// Adds fields of a format or a user to those of the layer.
///
/// `Cache-Control`, `Content-Language` and `X-Content-Type-Options` replace the present value, because two values of them would
/// contradict each other; any other field becomes one more line. Fields of the [framing](FRAMING) are dropped, because a wrong
/// length or a `Connection: close` would disturb the server's own handling of the connection.
pub(crate) fn add_fields(headers: &mut HeaderMap, fields: impl IntoIterator<Item = (HeaderName, HeaderValue)>) {
    for (name, value) in fields {
        if is_framing(&name) {
            continue;
        }
        if name == CACHE_CONTROL || name == X_CONTENT_TYPE_OPTIONS || name == CONTENT_LANGUAGE {
            headers.insert(name, value);
        } else {
            headers.append(name, value);
        }
    }
}

/// Says on which fields of the request the answer depends
/// ([RFC 9110, section 12.5.5](https://www.rfc-editor.org/rfc/rfc9110#section-12.5.5)).
pub(super) fn vary(headers: &mut HeaderMap, is_by_accept: bool, is_by_language: bool) {
    for (depends, name) in [(is_by_accept, &BY_ACCEPT), (is_by_language, &BY_LANGUAGE)] {
        if depends && !headers.get_all(VARY).iter().any(|line| line == name) {
            headers.append(VARY, name.clone());
        }
    }
}

/// Puts the fields of an intercepted response in the place of those of the same name. `Vary` stays as well: the content is ours. What describes
/// the message that was not forwarded is left out.
pub(super) fn keep(headers: &mut HeaderMap, kept: &HeaderMap) {
    let is_kept = |name: &HeaderName| !describes_message(name);
    for name in kept.keys().filter(|name| **name != VARY && is_kept(name)) {
        headers.remove(name);
    }
    let kept = kept.iter().filter(|(name, _)| is_kept(name));
    add_fields(headers, kept.map(|(name, value)| (name.clone(), value.clone())));
}

/// Whether a field says how long its message is, how it is coded, or which part it is: it is true of no other message.
pub(crate) fn describes_message(name: &HeaderName) -> bool {
    is_framing(name) || [CONTENT_ENCODING, CONTENT_RANGE].contains(name)
}

/// Whether the field belongs to the [framing](FRAMING).
pub(super) fn is_framing(name: &HeaderName) -> bool {
    FRAMING.contains(name) || OTHER_FRAMING.contains(&name.as_str())
}

/// The value of `Vary` after a negotiation.
pub(super) const BY_ACCEPT: HeaderValue = HeaderValue::from_static("accept");
/// The same where there is a choice of languages ([section 12.5.5](https://www.rfc-editor.org/rfc/rfc9110#section-12.5.5)).
const BY_LANGUAGE: HeaderValue = HeaderValue::from_static("accept-language");
/// The fields that describe the connection or the content, which are the server's or this module's to set.
pub(super) const FRAMING: [HeaderName; 7] =
    [CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE];
/// The two fields of the framing for which the `http` crate has no constant.
pub(super) const OTHER_FRAMING: [&str; 2] = ["keep-alive", "proxy-connection"];
