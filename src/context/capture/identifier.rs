//! Reads the identifier of a request: from a field, or from the extension of tower-http.

use http::{Extensions, HeaderMap, HeaderName};

use crate::context::RequestId;

/// The identifier of tower-http's `SetRequestIdLayer`. Each version of tower-http has a type of its own, so each is asked for.
pub(super) fn tower_http_request_id(extensions: &Extensions) -> Option<RequestId> {
    type Reader = fn(&Extensions) -> Option<RequestId>;
    const READERS: &[Reader] = &[
        #[cfg(feature = "tower-http")]
        |extensions| extensions.get::<tower_http::request_id::RequestId>()?.header_value().try_into().ok(),
        #[cfg(feature = "tower-http-0_6")]
        |extensions| extensions.get::<tower_http_0_6::request_id::RequestId>()?.header_value().try_into().ok(),
    ];
    READERS.iter().find_map(|read| read(extensions))
}

impl RequestId {
    /// Reads the identifier from a field, as [`request_id_header`](crate::BadGatewayLayer::request_id_header) does: of `traceparent`
    /// the trace identifier, of any other field the whole value. `None` if the field is absent, has several lines, or is not valid.
    ///
    /// ```
    /// use http::{HeaderMap, HeaderName, HeaderValue};
    /// use tower_bad_gateway::context::RequestId;
    ///
    /// const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
    /// let trace = HeaderValue::from_static("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    /// let fields = HeaderMap::from_iter([(TRACEPARENT, trace)]);
    /// assert_eq!(RequestId::from_field(&fields, &TRACEPARENT).unwrap().as_str(), "4bf92f3577b34da6a3ce929d0e0e4736");
    /// ```
    #[must_use]
    pub fn from_field(headers: &HeaderMap, name: &HeaderName) -> Option<Self> {
        let mut lines = headers.get_all(name).iter();
        // Without this filter one of several identifiers would be taken by chance.
        let line = lines.next().filter(|_| lines.next().is_none())?;
        if name == TRACEPARENT { trace_id(line.to_str().ok()?)?.try_into().ok() } else { line.try_into().ok() }
    }
}

/// The trace identifier of a `traceparent`
/// ([Trace Context, section 3.2](https://www.w3.org/TR/trace-context/#traceparent-header)). Of a version above 00 only the part that
/// version 00 has is read, and more may follow after a hyphen.
fn trace_id(traceparent: &str) -> Option<&str> {
    let (known, rest) = traceparent.split_at_checked(TRACEPARENT_LENGTH)?;
    let mut parts = known.split('-');
    let (version, id, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_hex = |part: &str, length| {
        part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    let is_id = |part: &str, length| is_hex(part, length) && part.bytes().any(|byte| byte != b'0');
    let is_known = is_hex(version, 2) && version != "ff" && is_id(id, 32) && is_id(parent, 16) && is_hex(flags, 2);
    let ends = rest.is_empty() || (version != "00" && rest.starts_with('-'));
    (is_known && ends).then_some(id)
}

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// The length of a `traceparent` of version 00, in bytes.
const TRACEPARENT_LENGTH: usize = 55;
