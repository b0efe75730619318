//! From the request of a client to the one that an upstream gets: the least that a proxy has to do, once for all examples.
//!
//! A proxy of yours may have to add `X-Forwarded-For` or `Forwarded`, and to keep `Host`. `examples/gateway` adds `X-Forwarded-For` and
//! `X-Forwarded-Host`, forwards upgrades, and calls upstreams by TLS.

use http::{
    HeaderName, HeaderValue, Method, Request, Uri, Version,
    header::{CONNECTION, CONTENT_LENGTH, HOST, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE},
    uri::{Authority, Parts, PathAndQuery, Scheme},
};
use http_body::Body;

/// Rewrites requests for this upstream, over HTTP/1.1: for `ServiceBuilder::map_request`, inside of the layer.
///
/// The target becomes absolute, as a client needs it, and `Host` follows from it. What is meant for one connection is dropped: the fields that
/// `Connection` names and those that always are (RFC 9110, section 7.6.1). Not for gRPC, whose servers want `TE: trailers`. An upgrade is not
/// forwarded; where clients ask for some, remove `Upgrade` outside of the layer, so that it does not take them for such.
pub(crate) fn to_upstream<B: Body>(authority: Authority) -> impl Fn(Request<B>) -> Request<B> + Clone {
    move |mut request| {
        let mut target = Parts::default();
        target.scheme = Some(Scheme::HTTP);
        target.authority = Some(authority.clone());
        // The `*` of OPTIONS stays (RFC 9112, section 3.2.4). CONNECT has no path.
        let path =
            request.uri().path_and_query().filter(|path| path.as_str() != "*" || *request.method() == Method::OPTIONS);
        target.path_and_query = Some(path.cloned().unwrap_or(PathAndQuery::from_static("/")));
        *request.uri_mut() = Uri::from_parts(target).unwrap_or_default();
        *request.version_mut() = Version::HTTP_11;
        let headers = request.headers_mut();
        let named: Vec<HeaderName> = headers
            .get_all(CONNECTION)
            .iter()
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.split(','))
            .filter_map(|name| name.trim().parse().ok())
            .collect();
        let always = [CONNECTION, HOST, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE];
        let other = ["keep-alive", "proxy-connection"].map(HeaderName::from_static);
        for name in named.iter().chain(&always).chain(&other) {
            headers.remove(name);
        }
        let has_length = headers.contains_key(CONTENT_LENGTH) || request.body().size_hint().exact().is_some();
        let is_get = [Method::GET, Method::HEAD].contains(request.method());
        if is_get && !has_length && !request.body().is_end_stream() {
            // hyper sends none with these, unless it is told to.
            request.headers_mut().insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        request
    }
}
