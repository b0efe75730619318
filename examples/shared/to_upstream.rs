//! From the request of a client to the one that an upstream gets: the least that a proxy has to do, once for all examples.
//!
//! A proxy of yours may have to add `X-Forwarded-For` or `Forwarded`, and to keep `Host`. `examples/gateway` does these, forwards upgrades, and calls
//! upstreams by TLS.

use http::{
    HeaderName, Request, Uri, Version,
    header::{CONNECTION, HOST, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE},
    uri::Authority,
};

/// Rewrites requests for this upstream, over HTTP/1.1: for `ServiceBuilder::map_request`, inside of the layer.
///
/// The target becomes absolute, as a client needs it, and `Host` follows from it. What is meant for one connection is dropped: the fields that
/// `Connection` names and those that always are (RFC 9110, section 7.6.1). Not for gRPC, whose servers want `TE: trailers`. An upgrade is not
/// forwarded; where clients ask for some, remove `Upgrade` outside of the layer, so that it does not take them for such.
pub(crate) fn to_upstream<B>(authority: Authority) -> impl Fn(Request<B>) -> Request<B> + Clone {
    move |mut request| {
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        // `OPTIONS *` is forwarded with an empty path (RFC 9112, section 3.2.4); anything else is valid, since its parts are.
        let path = if path == "*" { "" } else { path };
        *request.uri_mut() = Uri::try_from(format!("http://{authority}{path}")).unwrap_or_default();
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
        request
    }
}
