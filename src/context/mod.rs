//! What the layer keeps of a request, and what a request may bring along for the layer.
//!
//! A request may change what the layer does for it by these extensions. They are read when the layer is called, so the server or a
//! middleware *outside* of the layer inserts them; one that is inserted inside comes too late and has no effect.
//!
//! | extension | replaces, for this request |
//! | --- | --- |
//! | [`Timeouts`] | the time limits that are set in it |
//! | [`RequestPolicy`](crate::RequestPolicy) | the sentence and the format that clients are shown, disclosure, validators, fallback |
//! | [`RequestId`] | the identifier from a field ([`request_id_header`](crate::BadGatewayLayer::request_id_header)) |
//!
//! ```
//! use std::{io, time::Duration};
//!
//! use http::Request;
//! use http_body_util::BodyExt;
//! use tower::{ServiceBuilder, ServiceExt};
//! use tower_bad_gateway::{BadGatewayLayer, RequestPolicy, context::Timeouts, format::PlainText};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let gateway = ServiceBuilder::new()
//!     .map_request(|mut request: Request<String>| {
//!         if request.uri().path().starts_with("/reports/") {
//!             request.extensions_mut().insert(Timeouts::new().head(Duration::from_secs(300)));
//!             request.extensions_mut().insert(RequestPolicy::new().message("Failed to write the report."));
//!         }
//!         request
//!     })
//!     .layer(BadGatewayLayer::new().format(PlainText))
//!     .service_fn(|_: Request<String>| async {
//!         Err::<http::Response<http_body_util::Full<bytes::Bytes>>, _>(io::Error::from(io::ErrorKind::ConnectionRefused))
//!     });
//!
//! let Ok(response) = gateway.oneshot(Request::get("/reports/7").body(String::new()).unwrap()).await;
//! let content = response.into_body().collect().await.unwrap().to_bytes();
//! assert_eq!(content, "502 Bad Gateway: Failed to write the report.\n");
//! # }
//! ```

pub(crate) mod capture;
mod extensions;
mod kept_fields;
mod request_head;
mod request_id;

use std::{any::Any, fmt, num::NonZero, sync::Arc, time::Duration};

use http::{Extensions, HeaderName, HeaderValue, Method, Version, uri::PathAndQuery};

pub(crate) use self::kept_fields::KeptFields;
pub use self::{
    extensions::Timeouts,
    request_head::RequestHead,
    request_id::{InvalidRequestId, RequestId},
};
use crate::upstream::Upstream;

/// The head of a request, as far as an answer depends on it; given to hooks and [validators](crate::validate::Validate).
///
/// It is captured before the request is forwarded and costs no allocation, except for methods other than the eight of HTTP and PATCH,
/// requests with more than one `Accept` line, those of which fields are kept, those that ask for an upgrade, those that carry [`Timeouts`], a
/// [`RequestPolicy`](crate::RequestPolicy) or an [identifier](RequestId), those that are counted while they are in flight, and those whose response names its [`Upstream`].
///
/// Hooks and [formats](crate::format::PublicFailure::request) are given it. Everything in it was chosen by the client: escape it where it is shown.
///
/// ```
/// use tower_bad_gateway::BadGatewayLayer;
///
/// let layer = BadGatewayLayer::new().on_failure(|event| {
///     eprintln!("{} {} failed: {}", event.request().method(), event.request().path(), event.failure().kind());
/// });
/// ```
#[derive(Clone, Debug)]
pub struct RequestContext {
    /// One byte instead of a `Method` of 24, since the context is moved with every call. A method that is not [well-known](METHODS)
    /// is kept in the overrides.
    pub(crate) method: MethodIndex,
    /// Path and query; `None` for the authority form of CONNECT.
    pub(crate) target: Option<PathAndQuery>,
    /// All `Accept` lines as one list.
    pub(crate) accept: Option<HeaderValue>,
    /// `None` for nearly every request.
    pub(crate) overrides: Option<Box<Overrides>>,
    /// The client's deadline from the call on, in nanoseconds: half the size of a `Duration`. From `grpc-timeout`, of gRPC alone.
    pub(crate) client_nanos: Option<NonZero<u64>>,
    /// How long the call waited for readiness, in whole seconds, 255 at most: one byte fits here without making the context larger.
    /// Set by `body` after the capture.
    pub(crate) readiness_seconds: u8,
    pub(crate) version: Version,
    pub(crate) protocol: Protocol,
    pub(crate) flags: RequestFlags,
}

/// Yes-or-no facts of a request: they decide about time limits, blame and disclosure.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RequestFlags {
    /// The request has content: the body has not ended, and the fields do not say that there is none.
    pub(crate) has_content: bool,
    /// The body may still be on its way from the client when the head is forwarded: it is long, or of unknown length.
    pub(crate) long_upload: bool,
    /// The user's predicate has allowed that the client is shown private details.
    pub(crate) discloses: bool,
    /// The client of a gRPC call reads trailers, by its own account. Not looked for in other requests.
    pub(crate) accepts_trailers: bool,
}

/// What is known of a request's content when its call has failed. `classify` decides by it whether the client can be to blame.
///
/// | state | known | a client library that reports a broken request body |
/// | --- | --- | --- |
/// | `Absent` | there was none | cannot mean the client |
/// | `Intact` | [`RequestBodyTap`](crate::RequestBodyTap) has seen no error in it | is judged by the cause of its error |
/// | `Unwatched` | there was some, and no tap | means the client |
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum RequestContent {
    /// The request had no content.
    Absent,
    /// The content was watched, and nothing went wrong in it.
    Intact,
    /// The content was not watched.
    Unwatched,
}

/// What is read of a request only if the user of the layer has asked for that.
#[derive(Clone, Default)]
pub(crate) struct CaptureOptions {
    /// The fields that may hold an identifier; the first with a valid one counts.
    pub(crate) request_ids: Vec<HeaderName>,
    /// The fields that are kept for formats and hooks.
    pub(crate) fields: Vec<HeaderName>,
    /// The fields that fallbacks are asked with besides, which are asked for GET and HEAD alone.
    pub(crate) fallback_fields: Vec<HeaderName>,
    /// Whether the client of this request may be shown private details. A predicate that panics shows nothing.
    pub(crate) disclose: Option<Arc<Disclose>>,
}

/// The user's predicate of [`disclose`](crate::BadGatewayLayer::disclose).
pub(crate) type Disclose = dyn Fn(&RequestHead<'_>) -> bool + Send + Sync;

/// What is kept of few requests: most of it comes in their extensions; an unusual method, the guard of the in-flight metric and the upstream that
/// has answered are kept here as well. Boxed, so that all other calls move one pointer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Overrides {
    pub(crate) in_flight_guard: InFlightGuard,
    /// The sentence that the request brought along.
    pub(crate) message: Option<Arc<str>>,
    pub(crate) request_id: Option<RequestId>,
    pub(crate) timeouts: Option<Timeouts>,
    /// Whether the response is forwarded without the validators' having seen it.
    pub(crate) skips_validators: bool,
    /// Whether the client is shown private details, if the request says so itself.
    pub(crate) discloses: Option<bool>,
    /// What the floors above keep for this request.
    pub(crate) extensions: Extensions,
    /// The fields that the layer was told to keep.
    pub(crate) fields: KeptFields,
    /// The fields that a fallback is asked with. No format and no hook sees them.
    pub(crate) fallback_fields: KeptFields,
    /// The protocols that a complete request for an upgrade offers, as one list.
    pub(crate) upgrade: Option<HeaderValue>,
    /// The upstream that the response has named. Set after the capture.
    pub(crate) upstream: Option<Upstream>,
    /// The method, if it is not well-known.
    pub(crate) method: Option<Method>,
}

/// An index into [`METHODS`]. Any index beyond its end stands for a method that is kept in the overrides.
#[derive(Clone, Copy)]
pub(crate) struct MethodIndex(pub(crate) u8);

impl CaptureOptions {
    /// Adds fields that are kept, each of them once.
    pub(crate) fn add_fields(&mut self, names: impl IntoIterator<Item = HeaderName>) {
        add(&mut self.fields, names);
    }

    /// Adds fields that fallbacks are asked with.
    pub(crate) fn add_fallback_fields(&mut self, names: impl IntoIterator<Item = HeaderName>) {
        add(&mut self.fallback_fields, names);
    }
}

/// Adds names that are not in the list.
fn add(list: &mut Vec<HeaderName>, names: impl IntoIterator<Item = HeaderName>) {
    for name in names {
        if !list.contains(&name) {
            list.push(name);
        }
    }
}

impl MethodIndex {
    /// The method, if it is well-known.
    fn get(self) -> Option<&'static Method> {
        METHODS.get(usize::from(self.0))
    }
}

impl fmt::Debug for MethodIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.get(), f)
    }
}

/// The well-known methods: those of HTTP ([RFC 9110, section 9.3](https://www.rfc-editor.org/rfc/rfc9110#section-9.3)) and PATCH.
pub(crate) static METHODS: [Method; 9] = [
    Method::GET,
    Method::POST,
    Method::HEAD,
    Method::PUT,
    Method::DELETE,
    Method::PATCH,
    Method::OPTIONS,
    Method::CONNECT,
    Method::TRACE,
];

/// A value that is dropped when the call ends: it takes the call off the number of requests in flight.
///
/// A clone of the context, which a hook may keep, has no guard: otherwise a call would count as long as that clone lives.
#[derive(Default)]
pub(crate) struct InFlightGuard(Option<Box<dyn Any + Send + Sync>>);

impl Clone for InFlightGuard {
    fn clone(&self) -> Self {
        Self(None)
    }
}

impl fmt::Debug for InFlightGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("InFlightGuard").field(&self.0.is_some()).finish()
    }
}

/// The protocol spoken on top of HTTP: it decides the shape of an answer.
///
/// ```
/// use tower_bad_gateway::{BadGatewayLayer, context::Protocol};
///
/// let layer = BadGatewayLayer::new().on_failure(|event| {
///     let is_grpc = event.request().protocol() == Protocol::Grpc;
///     eprintln!("{} call failed: {}", if is_grpc { "gRPC" } else { "HTTP" }, event.failure().kind());
/// });
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Protocol {
    /// Everything else: an answer has the status of the failure and content in a [format](mod@crate::format).
    #[default]
    Http,
    /// A POST with a `Content-Type` of `application/grpc`, alone or with a suffix: an answer is HTTP 200 with `grpc-status`.
    Grpc,
    /// A POST with a `Content-Type` of `application/grpc-web` or `application/grpc-web-text`, alone or with a suffix: an answer is HTTP 200 with
    /// `grpc-status` in its head, since a browser sees no trailers, and takes the code of another status for its own. What breaks after the
    /// head is treated as in plain HTTP.
    GrpcWeb,
}

impl RequestContext {
    /// The method of the request, as the layer received it.
    #[must_use]
    pub fn method(&self) -> &Method {
        let known = self.method.get();
        let other = || self.overrides.as_ref().and_then(|overrides| overrides.method.as_ref());
        known.or_else(other).unwrap_or(&Method::GET)
    }

    /// The path, without the query: `*` for `OPTIONS *`, and empty for the authority form of CONNECT.
    #[must_use]
    pub fn path(&self) -> &str {
        self.target.as_ref().map_or("", PathAndQuery::path)
    }

    /// The HTTP version of the request: the one that the client speaks to the server, unless something outside of the layer has set
    /// another.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// The protocol on top of HTTP, by method and `Content-Type` of the request.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// The identifier that the request came with: in its extensions, or in a field that was
    /// [set](crate::BadGatewayLayer::request_id_header) for that. The layer never makes one up.
    #[must_use]
    pub fn request_id(&self) -> Option<&RequestId> {
        self.overrides.as_ref()?.request_id.as_ref()
    }

    /// A field of the request, if the layer was told to keep it: by [`capture_fields`](crate::BadGatewayLayer::capture_fields), or by a
    /// [format](crate::format::Format::reads) that reads it. Of several lines it is the first.
    ///
    /// `Host` is the host that the request is for, over HTTP/2 and in absolute form as well, where a field of that name does not count
    /// ([RFC 9112, section 3.2.2](https://www.rfc-editor.org/rfc/rfc9112#section-3.2.2)); so a target that was rewritten outside of the layer names the
    /// upstream here.
    ///
    /// ```
    /// use http::header::HOST;
    /// use tower_bad_gateway::BadGatewayLayer;
    ///
    /// let layer = BadGatewayLayer::new()
    ///     .capture_fields([HOST])
    ///     .on_failure(|event| eprintln!("{:?}: {}", event.request().field(&HOST), event.failure().kind()));
    /// ```
    #[must_use]
    pub fn field(&self, name: &HeaderName) -> Option<&HeaderValue> {
        self.field_lines(name).next()
    }

    /// Whether the client is shown private details: as the request itself says, or as the predicate of the layer has.
    pub(crate) fn discloses(&self) -> bool {
        let by_request = self.overrides.as_ref().and_then(|overrides| overrides.discloses);
        by_request.unwrap_or(self.flags.discloses)
    }

    /// What a floor above has kept.
    pub(crate) fn extension<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.overrides.as_ref()?.extensions.get()
    }

    /// Whether the response is forwarded without the validators' having seen it.
    pub(crate) fn skips_validators(&self) -> bool {
        self.overrides.as_ref().is_some_and(|overrides| overrides.skips_validators)
    }

    /// All lines of a field that was kept.
    pub(crate) fn field_lines(&self, name: &HeaderName) -> impl Iterator<Item = &HeaderValue> {
        self.overrides.iter().flat_map(move |overrides| overrides.fields.lines(name))
    }

    /// All lines of a field that a fallback is asked with.
    pub(crate) fn fallback_lines(&self, name: &HeaderName) -> impl Iterator<Item = &HeaderValue> {
        self.overrides.iter().flat_map(move |overrides| overrides.fallback_fields.lines(name))
    }

    /// Keeps a value until the call has ended, be it that it is complete, has failed or was dropped.
    pub(crate) fn keep_in_flight_guard(&mut self, in_flight_guard: Box<dyn Any + Send + Sync>) {
        self.overrides.get_or_insert_default().in_flight_guard = InFlightGuard(Some(in_flight_guard));
    }

    /// What is known of the request's content. `tapped`: a tap watches it; an error that the tap has seen takes the place of what is read here.
    pub(crate) fn content(&self, tapped: bool) -> RequestContent {
        match (self.flags.has_content, tapped) {
            (false, _) => RequestContent::Absent,
            (true, true) => RequestContent::Intact,
            (true, false) => RequestContent::Unwatched,
        }
    }

    /// The public sentence that the request brought along.
    pub(crate) fn message(&self) -> Option<&str> {
        self.overrides.as_ref()?.message.as_deref()
    }

    /// How long the client waits for the whole call; only a gRPC client says so.
    pub(crate) fn client_deadline(&self) -> Option<Duration> {
        self.client_nanos.map(|nanos| Duration::from_nanos(nanos.get()))
    }

    /// The protocols that the request offers to switch to, if it asks for an upgrade.
    pub(crate) fn upgrade(&self) -> Option<&HeaderValue> {
        self.overrides.as_ref()?.upgrade.as_ref()
    }

    /// Makes the request one as any other, for a layer that does not speak gRPC.
    #[cold]
    pub(crate) fn forget_grpc(&mut self) {
        self.protocol = Protocol::Http;
        self.client_nanos = None;
    }

    /// Keeps the name of the upstream that has answered: its body may fail after the response was forwarded.
    #[inline]
    pub(crate) fn note_upstream(&mut self, response: &Extensions) {
        if let Some(upstream) = response.get::<Upstream>() {
            self.overrides.get_or_insert_default().upstream = Some(upstream.clone());
        }
    }

    /// The upstream that the response has named.
    pub(crate) fn upstream(&self) -> Option<&Upstream> {
        self.overrides.as_ref()?.upstream.as_ref()
    }

    /// The time limits that the request brought along.
    pub(crate) fn timeouts(&self) -> Option<&Timeouts> {
        self.overrides.as_ref()?.timeouts.as_ref()
    }
}
