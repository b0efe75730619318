//! The name of one upstream among several.
//!
//! The wrapped service gives it, in a response or in an error; `context` and `classify` take it from there, and `hooks` writes it into
//! events. This module only carries it: it stands below `failure`, which holds one.

use std::{borrow::Cow, error::Error, fmt, sync::Arc};

/// The same type as the public `BoxError`, written out: `failure` imports this module, which therefore cannot import `failure`.
type BoxError = Box<dyn Error + Send + Sync>;

/// Which upstream a call went to, where routing or balancing stands *inside* of the layer and the layer cannot know.
///
/// The service that chooses the upstream puts this name into the extensions of the response, and wraps an error into one that
/// [names](Self::error) it. Where both do, the error counts; of several errors around each other, the innermost.
///
/// | where | what becomes of the name |
/// | --- | --- |
/// | events and hooks | it stands in place of the [layer's](crate::BadGatewayLayer::upstream) name |
/// | metrics, where upstreams were declared | the label `endpoint` is this name, or `other` for an undeclared one: requests add no labels |
/// | `Proxy-Status` | it is `next-hop`, for requests to which the layer [discloses](crate::BadGatewayLayer::disclose) it |
///
/// A call without response and error has the layer's name: a limit of the layer ran out, or the client left.
///
/// **Private**: clients see the name only where it is disclosed to them, and the address never. It is cheap to clone (one reference
/// count): make one for each upstream, once. A response that has one costs an allocation.
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

/// What an upstream is known by. [`Upstream::server`] copies it if another clone shares it.
#[derive(Clone, Debug)]
struct Inner {
    name: Cow<'static, str>,
    /// Address and port.
    server: Option<(Cow<'static, str>, Option<u16>)>,
}

impl Upstream {
    /// Takes the name, for events, hooks and metrics. There is no address until [`server`](Self::server) sets one.
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

    /// Says of an error that it is of this upstream. The layer reads the error as it would without the name.
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

/// An error of a call, and the [`Upstream`] the call went to; made by [`Upstream::error`].
///
/// It prints the name alone, and the error of the call is its source. The layer takes it apart again: readers of errors see the source,
/// and [`Failure::upstream`](crate::Failure::upstream) is the name.
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

    /// The error of the call, without the name.
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
