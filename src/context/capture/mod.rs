//! Reads the head of a request into a [`RequestContext`].
//!
//! `service` calls [`RequestContext::capture_with`] for every request before it is forwarded, then, if the layer has such options,
//! [`RequestContext::apply_capture_options`]. Nothing is refused here: a field that cannot be read counts as absent. What a field means
//! for limits and answers is decided by `policy`; this module knows neither.

mod identifier;

use std::{num::NonZero, time::Duration};

use http::{
    Extensions, HeaderMap, HeaderName, HeaderValue, Method, Request, Version,
    header::{ACCEPT, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, TE, TRANSFER_ENCODING, UPGRADE},
};
use http_body::Body;

use self::identifier::tower_http_request_id;
use super::{
    CaptureOptions, KeptFields, METHODS, MethodIndex, Overrides, Protocol, RequestContext, RequestFlags, RequestHead,
    RequestId,
};
use crate::{
    caught::caught,
    fields::{elements, is_grpc, is_grpc_web, list},
};

impl RequestContext {
    /// Keeps what an answer to this request may depend on, and nothing of a floor above.
    #[cfg(test)]
    pub(crate) fn capture<A: Body>(request: &Request<A>) -> Self {
        Self::capture_with(request, |(): &(), _| {})
    }

    /// Keeps what an answer to this request may depend on.
    ///
    /// `S` is what a floor above reads among the extensions, and `apply` notes what it says.
    #[inline(always)] // without it the context would be moved once more; there is one caller
    pub(crate) fn capture_with<A: Body, S: Send + Sync + 'static>(request: &Request<A>, apply: Apply<S>) -> Self {
        let headers = request.headers();
        let accept = joined_lines(headers, ACCEPT);
        let protocol = protocol(request.method(), headers);
        let upgrade = requested_upgrade(request.version(), headers);
        let has_body = !request.body().is_end_stream();
        let has_content = has_body && !is_without_content(request);
        let mut overrides = overrides(request.extensions(), upgrade, apply);
        let method = METHODS.iter().position(|known| known == request.method()).and_then(|at| u8::try_from(at).ok());
        let method = method.unwrap_or_else(|| {
            overrides.get_or_insert_default().method = Some(request.method().clone());
            u8::MAX
        });
        Self {
            method: MethodIndex(method),
            target: request.uri().path_and_query().cloned(),
            client_nanos: if protocol == Protocol::Grpc { grpc_timeout(headers).map(saturating_nanos) } else { None },
            readiness_seconds: 0,
            version: request.version(),
            protocol,
            flags: RequestFlags {
                has_content,
                long_upload: has_content && is_long_upload(request.body()),
                accepts_trailers: protocol == Protocol::Grpc && accepts_trailers(headers),
                discloses: false,
            },
            overrides,
            accept,
        }
    }

    /// Asks the user's predicate, and looks for an identifier in the fields if the extensions have none. A predicate that panics
    /// counts as `false`.
    pub(crate) fn apply_capture_options(&mut self, head: &RequestHead<'_>, options: &CaptureOptions) {
        self.flags.discloses = options.disclose.as_ref().and_then(|disclose| caught(|| disclose(head))) == Some(true);
        if self.request_id().is_none() {
            let found = options.request_ids.iter().find_map(|name| RequestId::from_field(head.headers(), name));
            if found.is_some() {
                self.overrides.get_or_insert_default().request_id = found;
            }
        }
        let may_ask = [Method::GET, Method::HEAD].contains(head.method()) && !options.fallback_fields.is_empty();
        let kept = kept_fields(head, &options.fields);
        if !kept.is_empty() {
            self.overrides.get_or_insert_default().fields = kept;
        }
        if may_ask {
            // With the identifier, a fallback is asked in the name of the same request.
            let kept = kept_fields(head, options.fallback_fields.iter().chain(&options.request_ids));
            if !kept.is_empty() {
                self.overrides.get_or_insert_default().fallback_fields = kept;
            }
        }
    }

    /// Whether `Accept` names `text/event-stream` itself: a wildcard does not ask for a stream without end, and a weight of 0 excludes
    /// the type ([RFC 9110, section 12.4.2](https://www.rfc-editor.org/rfc/rfc9110#section-12.4.2)).
    pub(crate) fn accepts_event_stream(&self) -> bool {
        let Some(accept) = &self.accept else { return false };
        // Without this search for a hyphen, which few media types have, every list would be split. A fold compares many bytes at once.
        accept.as_bytes().iter().fold(false, |found, &byte| found | (byte == b'-'))
            && elements(accept).any(|element| {
                let mut parts = element.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
                parts.next().is_some_and(|name| name.eq_ignore_ascii_case(EVENT_STREAM)) && !parts.any(is_zero_weight)
            })
    }
}

/// Copies these fields of a request. A target with a host goes before the field `Host`; its user information is left out, since no one but the
/// client may see it ([RFC 9110, section 4.2.4](https://www.rfc-editor.org/rfc/rfc9110#section-4.2.4)).
fn kept_fields<'a>(head: &RequestHead<'_>, names: impl IntoIterator<Item = &'a HeaderName>) -> KeptFields {
    let mut kept = KeptFields::default();
    for name in names {
        // A name may be there twice.
        if kept.lines(name).next().is_some() {
            continue;
        }
        let authority = head.uri().authority().filter(|_| *name == HOST).map(|authority| authority.as_str());
        let host = authority.map(|authority| authority.rsplit_once('@').map_or(authority, |(_, host)| host));
        match host.and_then(|host| HeaderValue::from_str(host).ok()) {
            Some(host) => {
                kept.push(HOST, host);
            }
            None => {
                for value in head.headers().get_all(name) {
                    kept.push(name.clone(), value.clone());
                }
            }
        }
    }
    kept
}

/// Whether a parameter is `q=0` in any spelling, such as `Q=0.000`.
fn is_zero_weight(parameter: &[u8]) -> bool {
    let Some((name, value)) = parameter.split_at_checked(2) else { return false };
    name.eq_ignore_ascii_case(b"q=") && value.first() == Some(&b'0') && value.iter().all(|byte| b"0.".contains(byte))
}

/// All lines of a field as one list
/// ([RFC 9110, section 5.3](https://www.rfc-editor.org/rfc/rfc9110#section-5.3)). Only several lines cost an allocation.
#[inline]
fn joined_lines(headers: &HeaderMap, name: HeaderName) -> Option<HeaderValue> {
    let first = headers.get(&name)?;
    // The first comparison spares nearly every request a second lookup: it holds if no field at all has two lines.
    if headers.len() == headers.keys_len() || headers.get_all(&name).iter().nth(1).is_none() {
        return Some(first.clone());
    }
    let lines: Vec<_> = headers.get_all(&name).iter().map(HeaderValue::as_bytes).collect();
    HeaderValue::from_bytes(&lines.join(&b", "[..])).ok()
}

/// The protocols in `Upgrade`, if `Connection` names that field: otherwise it means nothing
/// ([RFC 9110, section 7.8](https://www.rfc-editor.org/rfc/rfc9110#section-7.8)). `h2c` alone does not count, since curl and old
/// browsers offer it with requests that need no upgrade.
#[inline]
fn requested_upgrade(version: Version, headers: &HeaderMap) -> Option<HeaderValue> {
    if version != Version::HTTP_11 || !headers.contains_key(UPGRADE) {
        return None;
    }
    let protocols = joined_lines(headers, UPGRADE)?;
    let asks = list(headers, CONNECTION).any(|option| option.eq_ignore_ascii_case(b"upgrade"))
        && elements(&protocols).any(|protocol| !protocol.is_empty() && !protocol.eq_ignore_ascii_case(b"h2c"));
    asks.then_some(protocols)
}

/// gRPC is a POST of `application/grpc`, alone or followed by `+`, `;` or a space
/// ([gRPC over HTTP/2](https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md)). gRPC-Web is another protocol.
fn protocol(method: &Method, headers: &HeaderMap) -> Protocol {
    if method != Method::POST {
        return Protocol::Http;
    }
    let content_type = headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    if is_grpc(content_type) {
        Protocol::Grpc
    } else if is_grpc_web(content_type) {
        Protocol::GrpcWeb
    } else {
        Protocol::Http
    }
}

/// Whether the client reads trailers, by its own account
/// ([RFC 9110, section 10.1.4](https://www.rfc-editor.org/rfc/rfc9110#section-10.1.4)).
fn accepts_trailers(headers: &HeaderMap) -> bool {
    list(headers, TE).any(|coding| coding.eq_ignore_ascii_case(b"trailers"))
}

/// Reads `grpc-timeout`: one to eight digits, then the unit. A value of any other form counts as absent, as in tonic.
fn grpc_timeout(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = value.split_at_checked(value.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let amount = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(amount * 3600)),
        "M" => Some(Duration::from_secs(amount * 60)),
        "S" => Some(Duration::from_secs(amount)),
        "m" => Some(Duration::from_millis(amount)),
        "u" => Some(Duration::from_micros(amount)),
        "n" => Some(Duration::from_nanos(amount)),
        _ => None,
    }
}

/// A timeout in nanoseconds. Zero, which the type cannot hold, becomes 1 ns, and more than 584 years become the longest
/// time that the type holds.
fn saturating_nanos(timeout: Duration) -> NonZero<u64> {
    u64::try_from(timeout.as_nanos())
        .ok()
        .map_or(NonZero::<u64>::MAX, |nanos| nanos.try_into().unwrap_or(NonZero::<u64>::MIN))
}

/// Notes what the setting of a floor above says of a request.
type Apply<S> = fn(&S, &mut Overrides);

/// Reads the extensions; allocates only if one of them is for the layer, or if there is an `upgrade`.
///
/// Servers put extensions of their own into every request, so that it is usual to find none that is for the layer: nothing is made before.
#[inline]
fn overrides<S: Send + Sync + 'static>(
    extensions: &Extensions,
    upgrade: Option<HeaderValue>,
    apply: Apply<S>,
) -> Option<Box<Overrides>> {
    let mut request_id = None;
    let mut timeouts = None;
    let mut setting = None;
    if !extensions.is_empty() {
        request_id = extensions.get().cloned().or_else(|| tower_http_request_id(extensions));
        timeouts = extensions.get().copied();
        setting = extensions.get::<S>();
    }
    if request_id.is_none() && timeouts.is_none() && setting.is_none() && upgrade.is_none() {
        return None;
    }
    let mut overrides = Box::new(Overrides { request_id, timeouts, upgrade, ..Overrides::default() });
    if let Some(setting) = setting {
        apply(setting, &mut overrides);
    }
    Some(overrides)
}

/// Whether a request has no content although its body has not ended: a wrapper may hide that it is empty. A request with a safe
/// method has content only where the fields say so
/// ([RFC 9110, section 9.3.1](https://www.rfc-editor.org/rfc/rfc9110#section-9.3.1)).
#[cold]
fn is_without_content<A>(request: &Request<A>) -> bool {
    let headers = request.headers();
    // Without this line a GET with content over HTTP/2, where no field has to announce content, would count as empty.
    request.version() < Version::HTTP_2
        && request.method().is_safe()
        && !headers.contains_key(CONTENT_LENGTH)
        && !headers.contains_key(TRANSFER_ENCODING)
}

/// Whether a body may be longer than [`SHORT_UPLOAD`].
fn is_long_upload(body: &impl Body) -> bool {
    body.size_hint().upper().is_none_or(|upper| upper > SHORT_UPLOAD)
}

const EVENT_STREAM: &[u8] = b"text/event-stream";
/// The length in bytes up to which an upload is assumed to be sent with the head of its request.
const SHORT_UPLOAD: u64 = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn request(fields: &[(&'static str, &str)]) -> Request<String> {
        let mut request = Request::builder().method(Method::POST).uri("http://host/path?query");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(String::new()).unwrap()
    }

    #[test]
    fn grpc_web_is_not_grpc() {
        let wrong: Vec<_> = [
            ("application/grpc", Protocol::Grpc),
            ("application/grpc+proto", Protocol::Grpc),
            ("application/grpc;charset=utf-8", Protocol::Grpc),
            ("Application/GRPC+json", Protocol::Grpc),
            ("application/grpc-web", Protocol::GrpcWeb),
            ("application/grpc-web+proto", Protocol::GrpcWeb),
            ("application/grpc-web-text", Protocol::GrpcWeb),
            ("application/grpc-web-text+proto", Protocol::GrpcWeb),
            ("application/grpc-webfoo", Protocol::Http),
            ("application/grpcfoo", Protocol::Http),
            ("application/json", Protocol::Http),
            ("", Protocol::Http),
        ]
        .into_iter()
        .map(|(value, expected)| {
            (value, RequestContext::capture(&request(&[("content-type", value)])).protocol(), expected)
        })
        .filter(|(_, got, expected)| got != expected)
        .collect();
        assert!(wrong.is_empty(), "(content-type, got, expected): {wrong:?}");

        let get = Request::builder().header("content-type", "application/grpc").body(String::new()).unwrap();
        assert_eq!(RequestContext::capture(&get).protocol(), Protocol::Http);
    }

    #[test]
    fn a_grpc_timeout_is_read_by_the_letter() {
        let wrong: Vec<_> = [
            ("1H", Some(Duration::from_secs(3600))),
            ("2M", Some(Duration::from_secs(120))),
            ("3S", Some(Duration::from_secs(3))),
            ("250m", Some(Duration::from_millis(250))),
            ("5u", Some(Duration::from_micros(5))),
            ("7n", Some(Duration::from_nanos(7))),
            ("0S", Some(Duration::from_nanos(1))),
            ("99999999H", Some(Duration::from_nanos(u64::MAX))),
            ("100000000S", None),
            ("S", None),
            ("", None),
            ("1", None),
            ("1s", None),
            ("-1S", None),
            ("+1S", None),
            ("1.5S", None),
            ("1 S", None),
        ]
        .into_iter()
        .map(|(value, expected)| {
            let request = request(&[("content-type", "application/grpc"), ("grpc-timeout", value)]);
            (value, RequestContext::capture(&request).client_deadline(), expected)
        })
        .filter(|(_, got, expected)| got != expected)
        .collect();
        assert!(wrong.is_empty(), "(grpc-timeout, got, expected): {wrong:?}");
    }

    #[test]
    fn a_grpc_timeout_counts_for_grpc_only() {
        let request = request(&[("content-type", "application/json"), ("grpc-timeout", "1S")]);
        assert_eq!(RequestContext::capture(&request).client_deadline(), None);
    }

    #[test]
    fn several_accept_lines_are_one_list() {
        let context = RequestContext::capture(&request(&[("accept", "text/html"), ("accept", "text/event-stream")]));
        assert!(context.accepts_event_stream());
        assert_eq!(context.accept.unwrap(), "text/html, text/event-stream");
    }

    #[test]
    fn only_a_complete_request_for_another_protocol_is_one() {
        let wrong: Vec<_> = [
            (&[("connection", "upgrade"), ("upgrade", "websocket")][..], true),
            (&[("connection", "keep-alive, Upgrade"), ("upgrade", "h2c, websocket")], true),
            (&[("connection", "keep-alive"), ("connection", "upgrade"), ("upgrade", "foo/2")], true),
            (&[("upgrade", "websocket")], false),
            (&[("connection", "upgrade")], false),
            (&[("connection", "upgrade"), ("upgrade", "")], false),
            // curl and old browsers send this without need.
            (&[("connection", "Upgrade, HTTP2-Settings"), ("upgrade", "h2c")], false),
        ]
        .into_iter()
        .filter(|(fields, expected)| RequestContext::capture(&request(fields)).upgrade().is_some() != *expected)
        .collect();
        assert!(wrong.is_empty(), "(fields, expected): {wrong:?}");
    }

    /// A wrapper may hide that there is no content; over HTTP/2 no field has to announce any.
    #[test]
    fn content_is_what_the_fields_say_where_a_body_does_not() {
        let wrong: Vec<_> = [
            (Method::GET, Version::HTTP_11, None, false),
            (Method::GET, Version::HTTP_11, Some("content-length"), true),
            (Method::GET, Version::HTTP_11, Some("transfer-encoding"), true),
            (Method::GET, Version::HTTP_2, None, true),
            (Method::POST, Version::HTTP_11, None, true),
        ]
        .into_iter()
        .filter(|(method, version, field, expected)| {
            let request = Request::builder().method(method).version(*version);
            let request = if let Some(name) = field { request.header(*name, "7") } else { request };
            // With an empty text the body would have ended, and the fields would not be looked at.
            let request = request.body("content".to_owned()).unwrap();
            RequestContext::capture(&request).flags.has_content != *expected
        })
        .collect();
        assert!(wrong.is_empty(), "(method, version, field, expected): {wrong:?}");
    }

    #[test]
    fn the_query_is_not_part_of_the_path() {
        assert_eq!(RequestContext::capture(&request(&[])).path(), "/path");
    }
}
