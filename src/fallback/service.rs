//! A user's service as a fallback: its settings, and the layer around it.
//!
//! `layer` has set up a service of this crate that stands around that of the user and watches it as any upstream: its readiness, its time, its head,
//! the length and the end of its body. So a fallback that fails before its head makes no answer worse than it would be without one.

use std::{fmt, future::poll_fn, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderName, Request, Response, uri::PathAndQuery};
use http_body::Body;
use tokio::sync::Semaphore;
use tower_service::Service;

use crate::{
    failure::BoxError,
    fallback_service::{
        EmptyBody, FallbackBody, FallbackFuture, FallbackOptions, FallbackService, Settings, USUAL_FIELDS,
    },
    policy::Policy,
    service::BadGateway,
};

/// A service that is asked for the content of an answer, and how: see the [module](super).
///
/// A service becomes a `Fallback` by `Into`, so it has to be named only where something is set:
///
/// ```
/// # use std::convert::Infallible;
/// use std::time::Duration;
///
/// use http::{Request, Response};
/// use tower_bad_gateway::{BadGatewayLayer, fallback::{EmptyBody, Fallback}};
///
/// # let pages = tower::service_fn(|_: Request<EmptyBody>| async {
/// #     Ok::<_, Infallible>(Response::new(http_body_util::Full::<bytes::Bytes>::default()))
/// # });
/// // `/502.html`, `/503.html` and so on, of a folder, for browsers.
/// let pages = Fallback::by_status(pages).time_limit(Duration::from_millis(500));
/// let layer = BadGatewayLayer::new().fallback(pages);
/// ```
pub struct Fallback {
    /// Wraps the service, when all is set.
    wrap: Box<Wrap>,
    time_limit: Option<Duration>,
    concurrency_limit: Option<usize>,
    options: FallbackOptions,
}

/// Makes the service that is asked of the one of the user, with the policy of the layer around it.
type Wrap = dyn FnOnce(Arc<Policy>) -> Box<dyn FallbackService> + Send + Sync;

impl Fallback {
    /// A service with the default settings.
    ///
    /// It is cloned for every failure, and called once it is ready. Its errors need no handling: they are a failure of the fallback.
    #[must_use]
    pub fn new<S, B>(service: S) -> Self
    where
        S: Service<Request<EmptyBody>, Response = Response<B>> + Clone + Send + Sync + 'static,
        S::Future: Send,
        S::Error: Into<BoxError> + Send,
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        Self {
            wrap: Box::new(|policy| Box::new(InLayer(BadGateway::new(service, policy)))),
            time_limit: Some(TIME_LIMIT),
            concurrency_limit: Some(CONCURRENCY_LIMIT),
            options: FallbackOptions::default(),
        }
    }

    /// A service of pages by status, such as tower-http's `ServeDir`: it is asked for `/502.html`, `/503.html` and so on, for
    /// [browsers](Self::for_browsers) alone.
    #[must_use]
    pub fn by_status<S, B>(service: S) -> Self
    where
        S: Service<Request<EmptyBody>, Response = Response<B>> + Clone + Send + Sync + 'static,
        S::Future: Send,
        S::Error: Into<BoxError> + Send,
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        Self::new(service).path(PathAndQuery::from_static("/{status}.html")).for_browsers()
    }

    /// A second upstream, which can do the work of the first: it is asked with the [query](Self::forward_query) of the request, and its response is the
    /// answer with status, fields and caching, but for `Proxy-Status`, which in the [name](crate::BadGatewayLayer::gateway_name) of a gateway tells that
    /// the first has failed. A 5xx of it is a failure of the fallback. What identifies a person is forwarded only if it is [named](Self::forward_fields).
    ///
    /// Its head may take [2 seconds](Self::time_limit), and its body has the limits that bodies of an upstream have
    /// [by default](crate::BadGatewayLayer::idle_timeout). It is not asked for a request with content, nor, unless by
    /// [`fallback_for`](crate::BadGatewayLayer::fallback_for), for what was refused: see [`keep_status`](Self::keep_status).
    ///
    /// ```
    /// use bytes::Bytes;
    /// use http::Request;
    /// use http_body_util::Full;
    /// use hyper_util::{client::legacy::Client, rt::TokioExecutor};
    /// use tower::ServiceBuilder;
    /// use tower_bad_gateway::{BadGatewayLayer, fallback::{EmptyBody, Fallback}};
    ///
    /// let second = ServiceBuilder::new()
    ///     // A client needs a whole URI, and has a type of body of its own.
    ///     .map_request(|request: Request<EmptyBody>| {
    ///         let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    ///         let uri = format!("http://127.0.0.1:8081{path}").parse().unwrap_or_default();
    ///         let mut request = request.map(|_| Full::<Bytes>::default());
    ///         *request.uri_mut() = uri;
    ///         request
    ///     })
    ///     .service(Client::builder(TokioExecutor::new()).build_http());
    /// let layer = BadGatewayLayer::new().fallback(Fallback::upstream(second));
    /// ```
    #[must_use]
    pub fn upstream<S, B>(service: S) -> Self
    where
        S: Service<Request<EmptyBody>, Response = Response<B>> + Clone + Send + Sync + 'static,
        S::Future: Send,
        S::Error: Into<BoxError> + Send,
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        let mut fallback = Self::new(service).forward_query().keep_status().keep_caching();
        fallback.options.keeps_all_fields = true;
        fallback
    }

    /// Asks with the query of the request as well, unless a [path](Self::path) was set. By default it is left out: there may be a secret in it that is
    /// not for every service.
    #[must_use]
    pub fn forward_query(mut self) -> Self {
        self.options.forwards_query = true;
        self
    }

    /// Asks for those clients alone that name HTML in `Accept`, with any weight but 0, as browsers do; the format answers all others. By default the
    /// fallback is asked for every client, and what it sends is sent to a program that wants JSON as well.
    #[must_use]
    pub fn for_browsers(mut self) -> Self {
        self.options.is_for_browsers = true;
        self
    }

    /// Sets how long the fallback may take to its head, and how long its body may be silent; 2 seconds by default, and `None` waits for ever. For
    /// the body of a [second upstream](Self::upstream) it does not count.
    ///
    /// It counts from the failure on. Of the limits of the layer only [`total_timeout`](crate::BadGatewayLayer::total_timeout) goes on, with what is left of it,
    /// unless it is what has run out; a client waits for head and fallback, one after the other. When the limit runs out before the head the format
    /// answers; a body that is silent for too long is aborted.
    #[must_use]
    pub fn time_limit(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.time_limit = limit.into();
        self
    }

    /// Sets how many requests may be asking at once, until the head of the answer; 256 by default, and `None` for any number.
    ///
    /// While an upstream is down every request fails, and would ask: beyond this number the format answers at once. The number is shared by all
    /// services and clones of the layer.
    #[must_use]
    pub fn concurrency_limit(mut self, limit: impl Into<Option<usize>>) -> Self {
        self.concurrency_limit = limit.into();
        self
    }

    /// Sets what is asked for, in the place of the path of the request. In it `{status}` stands for the status of the answer, and `{code}` for the
    /// [token](crate::FailureKind::token) of the failure.
    ///
    /// ```
    /// use http::uri::PathAndQuery;
    /// # fn with(pages: tower_bad_gateway::fallback::Fallback) -> tower_bad_gateway::fallback::Fallback {
    /// pages.path(PathAndQuery::from_static("/errors/{status}.html?code={code}"))
    /// # }
    /// ```
    #[must_use]
    pub fn path(mut self, path: PathAndQuery) -> Self {
        self.options.path = Some(path);
        self
    }

    /// Adds fields of the request that the fallback is asked with. What identifies a person, `Authorization` and `Cookie`, is not forwarded unless
    /// it is named here. What describes a message, such as `Content-Length`, is ignored: there is no content.
    #[must_use]
    pub fn forward_fields(mut self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        self.options.forwarded_fields.extend(names);
        self
    }

    /// Adds fields of the fallback's response that the answer has as well, in the place of the layer's own of the same name, but for the `Proxy-Status` of a
    /// gateway with a name.
    /// Fields of the framing are ignored.
    #[must_use]
    pub fn keep_fields(mut self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        self.options.kept_fields.extend(names);
        self
    }

    /// Answers with the status of the fallback instead of that of the failure, and with `Location`, `WWW-Authenticate`, `Allow`, `Retry-After` and
    /// `Content-Range`, without which some statuses say half.
    ///
    /// A 5xx counts as a failure of the fallback, and anything else as its answer. For a second upstream there is [`upstream`](Self::upstream).
    ///
    /// Such a fallback does the work of the upstream, so it is asked less often: not for a request with content, which it would not get, and not where
    /// the call was refused, by a rule of the gateway (`http_request_denied`, `destination_ip_prohibited`, `proxy_loop_detected`) or since the client is
    /// to blame, unless [`fallback_for`](crate::BadGatewayLayer::fallback_for) names that.
    ///
    /// By default a client, and a cache, is told by the status that something has failed, and everything but a 2xx, or a part (206), is a failure of
    /// the fallback.
    #[must_use]
    pub fn keep_status(mut self) -> Self {
        self.options.keeps_status = true;
        self
    }

    /// Leaves it to the fallback whether its answer may be cached. By default no cache may keep the answer to a failure.
    #[must_use]
    pub fn keep_caching(mut self) -> Self {
        self.options.keeps_caching = true;
        self
    }

    /// The fields of requests that are needed to ask.
    pub(crate) fn fields(&self) -> impl Iterator<Item = HeaderName> {
        USUAL_FIELDS.iter().chain(&self.options.forwarded_fields).cloned()
    }

    /// How long the fallback may take to its head.
    pub(crate) fn head_limit(&self) -> Option<Duration> {
        self.time_limit
    }

    /// How long its body may be silent. `None` stands for what is usual for the body of an upstream.
    pub(crate) fn idle_limit(&self) -> Option<Option<Duration>> {
        (!self.options.keeps_all_fields).then_some(self.time_limit)
    }

    /// Ends the setting: `policy` is that of the layer around the service.
    pub(crate) fn into_settings(self, policy: Arc<Policy>) -> Settings {
        Settings {
            service: (self.wrap)(policy),
            permits: self.concurrency_limit.map(|limit| Arc::new(Semaphore::new(limit.min(Semaphore::MAX_PERMITS)))),
            options: self.options,
        }
    }
}

impl<S, B> From<S> for Fallback
where
    S: Service<Request<EmptyBody>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Future: Send,
    S::Error: Into<BoxError> + Send,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    fn from(service: S) -> Self {
        Self::new(service)
    }
}

impl fmt::Debug for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fallback")
            .field("time_limit", &self.time_limit)
            .field("concurrency_limit", &self.concurrency_limit)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// A service in its layer.
struct InLayer<S>(BadGateway<S>);

impl<S, B> FallbackService for InLayer<S>
where
    S: Service<Request<EmptyBody>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Future: Send,
    S::Error: Into<BoxError> + Send,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    fn ask(&self, request: Request<EmptyBody>) -> FallbackFuture {
        let mut service = self.0.clone();
        FallbackFuture::new(async move {
            // The error type of both is `Infallible`.
            let Ok(()) = poll_fn(|cx| service.poll_ready(cx)).await;
            let Ok(response) = service.call(request).await;
            response.map(FallbackBody::new)
        })
    }
}

/// The default of the time limit: a client has waited for the upstream already.
const TIME_LIMIT: Duration = Duration::from_secs(2);
/// The default of the number at once.
const CONCURRENCY_LIMIT: usize = 256;
