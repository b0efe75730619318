//! The whole head of a request, for the user's predicate that looks at it before the request is forwarded.
//!
//! `service` makes one in `call`, and only if the layer has options that need it. What has to outlive the call of that predicate is
//! kept in a `RequestContext` instead.

use http::{Extensions, HeaderMap, Method, Request, Uri, Version};

/// The whole head of a request, given to the predicate of [`disclose`](crate::BadGatewayLayer::disclose).
///
/// It is the head as the layer received it, before the wrapped service is called, and borrows from the request. Hooks are given
/// a [`RequestContext`](super::RequestContext) instead, since the request is gone by then.
///
/// See [`disclose`](crate::BadGatewayLayer::disclose) for an example.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'a> {
    method: &'a Method,
    uri: &'a Uri,
    version: Version,
    headers: &'a HeaderMap,
    extensions: &'a Extensions,
}

impl<'a> RequestHead<'a> {
    /// Borrows the head of a request.
    pub(crate) fn of<A>(request: &'a Request<A>) -> Self {
        Self {
            method: request.method(),
            uri: request.uri(),
            version: request.version(),
            headers: request.headers(),
            extensions: request.extensions(),
        }
    }

    /// The method of the request.
    #[must_use]
    pub fn method(&self) -> &'a Method {
        self.method
    }

    /// The request target, with its query, but without a prefix that a router outside of the layer has removed.
    #[must_use]
    pub fn uri(&self) -> &'a Uri {
        self.uri
    }

    /// The HTTP version of the request.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// The fields of the header section. The client may have sent any of them: check a secret before you trust one.
    #[must_use]
    pub fn headers(&self) -> &'a HeaderMap {
        self.headers
    }

    /// The extensions of the request, in which the server and outer layers leave what they know, such as the address of the client
    /// (axum: `ConnectInfo`).
    #[must_use]
    pub fn extensions(&self) -> &'a Extensions {
        self.extensions
    }
}
