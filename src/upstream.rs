//! The name of one upstream among several.

use std::{borrow::Cow, sync::Arc};

/// Which upstream a call went to, where routing or balancing stands *inside* of the layer and the layer cannot know.
///
/// Whoever chooses it puts it into the extensions of the response, and says it of an error by
/// [`Failure::with_upstream`](crate::Failure::with_upstream). In events and hooks it stands in place of the
/// [layer's](crate::BadGatewayLayer::upstream) name; in `Metrics` only if its name was declared, so that nobody can
/// make up labels. An error that says nothing, and a call that was never answered, have the layer's name.
///
/// **Private**: clients see the name only if it is [disclosed](crate::BadGatewayLayer::disclose) to them, and the address never. It
/// is cheap to clone (one reference count): make one for each upstream, once.
///
/// ```
/// use bytes::Bytes;
/// use http::{Request, Response};
/// use http_body_util::Full;
/// use tower::{Layer, ServiceExt, service_fn};
/// use tower_bad_gateway::{BadGatewayLayer, BoxError, Failure, Upstream};
///
/// # async fn ask(_: &Request<String>) -> Result<Response<Full<Bytes>>, BoxError> { Err(std::io::Error::from(std::io::ErrorKind::ConnectionRefused).into()) }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let first = Upstream::new("billing-1").server("10.0.0.7", 8080);
/// let router = service_fn(move |request: Request<String>| {
///     let upstream = first.clone(); // or another, by the path
///     async move {
///         match ask(&request).await {
///             Ok(mut response) => {
///                 response.extensions_mut().insert(upstream);
///                 Ok(response)
///             }
///             Err(error) => Err(Failure::from_error(error).with_upstream(upstream)),
///         }
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

    pub(crate) fn name(&self) -> &str {
        &self.0.name
    }

    pub(crate) fn address(&self) -> Option<(&str, Option<u16>)> {
        self.0.server.as_ref().map(|(address, port)| (&**address, *port))
    }
}
