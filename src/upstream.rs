//! The name of one upstream among several.

use std::{borrow::Cow, error::Error, fmt, sync::Arc};

/// As [`BoxError`](crate::BoxError).
type BoxError = Box<dyn Error + Send + Sync>;

/// Which upstream a call went to, where routing or balancing stands *inside* of the layer and the layer cannot know.
///
/// Whoever chooses it puts it into the extensions of the response, and wraps an error into one that [names](Self::error) it. In events
/// and hooks it stands in place of the [layer's](crate::BadGatewayLayer::upstream) name, in metrics beside it as the label `endpoint`,
/// but only if it was declared there, so that nobody can make up labels. A call that was never answered, be it that a limit of the
/// layer ran out or that the client left, has the layer's name.
///
/// **Private**: clients see the name only if it is [disclosed](crate::BadGatewayLayer::disclose) to them (`next-hop` in `Proxy-Status`),
/// and the address never. It is cheap to clone (one reference count): make one for each upstream, once. A response that has one costs
/// an allocation.
///
/// ```
/// use bytes::Bytes;
/// use http::{Request, Response};
/// use http_body_util::Full;
/// use tower::{Layer, ServiceExt, service_fn};
/// use tower_bad_gateway::{BadGatewayLayer, BoxError, Upstream};
///
/// # async fn ask(_: &Request<String>) -> Result<Response<Full<Bytes>>, std::io::Error> { Err(std::io::ErrorKind::ConnectionRefused.into()) }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let first = Upstream::new("billing-1").server("10.0.0.7", 8080);
/// let router = service_fn(move |request: Request<String>| {
///     let upstream = first.clone(); // or another, by the path
///     async move {
///         let mut response = ask(&request).await.map_err(|error| upstream.error(error))?;
///         response.extensions_mut().insert(upstream);
///         Ok::<_, BoxError>(response)
///     }
/// });
/// let layer = BadGatewayLayer::new().upstream("billing").on_failure(|event| {
///     assert_eq!(event.upstream(), Some("billing-1"));
///     assert_eq!(event.server(), Some(("10.0.0.7", Some(8080))));
/// });
/// let Ok(response) = layer.layer(router).oneshot(Request::new(String::new())).await;
/// assert_eq!(response.status(), 502);
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Upstream(Arc<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    name: Cow<'static, str>,
    server: Option<(Cow<'static, str>, Option<u16>)>,
}

impl Upstream {
    /// Takes the name, for events, hooks and metrics.
    #[must_use]
    pub fn new(name: impl Into<Cow<'static, str>>) -> Self {
        Self(Arc::new(Inner { name: name.into(), server: None }))
    }

    /// Sets where it is: a host name, an IP address or the path of a socket, and the port, for events and hooks
    /// ([`server.address`](https://opentelemetry.io/docs/specs/semconv/registry/attributes/server/) and `server.port`).
    #[must_use]
    pub fn server(mut self, address: impl Into<Cow<'static, str>>, port: impl Into<Option<u16>>) -> Self {
        Arc::make_mut(&mut self.0).server = Some((address.into(), port.into()));
        self
    }

    /// Says of an error that it is of this upstream. It is read as it would be without the name.
    #[must_use]
    pub fn error(&self, error: impl Into<BoxError>) -> UpstreamError {
        UpstreamError { upstream: self.clone(), source: error.into() }
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Address and port, if they were set.
    #[must_use]
    pub fn address(&self) -> Option<(&str, Option<u16>)> {
        self.0.server.as_ref().map(|(address, port)| (&**address, *port))
    }
}

/// An error of a call, and the [`Upstream`] it went to; made by [`Upstream::error`]. It prints the name, and the error is its source.
#[derive(Debug)]
pub struct UpstreamError {
    upstream: Upstream,
    source: BoxError,
}

impl UpstreamError {
    /// The upstream of the call.
    #[must_use]
    pub fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    /// The error without the name.
    #[must_use]
    pub fn into_source(self) -> BoxError {
        self.source
    }
}

impl fmt::Display for UpstreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "upstream {}", self.upstream.name())
    }
}

impl Error for UpstreamError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}
