//! What the layer keeps of a request, and what a request may bring along for the layer.

pub(crate) mod capture;
mod request_head;
mod request_id;

use std::{any::Any, fmt, num::NonZero, sync::Arc, time::Duration};

use http::{Extensions, HeaderName, HeaderValue, Method, Version, uri::PathAndQuery};

pub use self::{
    request_head::RequestHead,
    request_id::{InvalidRequestId, RequestId},
};
use crate::upstream::Upstream;

/// The head of a request, as far as an answer depends on it.
///
/// It is captured before the request is handed on and costs no allocation, except for methods that are none of the nine of HTTP (with PATCH),
/// requests with more than one `Accept` line, those that ask for an upgrade, those that carry [`Timeouts`], a [`Message`]
/// or an [identifier](RequestId), or are counted, and those whose response names its [`Upstream`].
///
/// Formats do not see it; [hooks](crate::BadGatewayLayer::on_failure) do:
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
    /// Its place among the [well-known](METHODS); any other is among the overrides. A byte moves with every call, not 24.
    pub(crate) method: KnownMethod,
    pub(crate) target: Option<PathAndQuery>,
    pub(crate) accept: Option<HeaderValue>,
    pub(crate) overrides: Option<Box<Overrides>>,
    /// In nanoseconds: half the size of a `Duration`, and this moves with every call.
    pub(crate) client_nanos: Option<NonZero<u64>>,
    /// How much of its time readiness has taken, in whole seconds: here is room for one byte.
    pub(crate) waited_seconds: u8,
    pub(crate) version: Version,
    pub(crate) protocol: Protocol,
    pub(crate) flags: RequestFlags,
}

/// Yes-or-no facts of a request that decide about time limits and framing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RequestFlags {
    /// It has a body.
    pub(crate) has_content: bool,
    /// Its body is of unknown length, or long enough to take its time.
    pub(crate) long_upload: bool,
    /// It may see what is not for everyone.
    pub(crate) discloses: bool,
    /// It has been waited for.
    pub(crate) has_waited: bool,
}

/// What is known of a request's content when its call has failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum RequestContent {
    /// The request had none: the client cannot have failed it.
    Absent,
    /// Somebody has watched it, and has seen nothing go wrong.
    Sound,
    /// Nobody has watched it.
    Unwatched,
}

/// What is asked of a request that hardly any layer wants to know.
#[derive(Clone, Default)]
pub(crate) struct CaptureOptions {
    /// Where an identifier may be, first one first.
    pub(crate) request_ids: Vec<HeaderName>,
    pub(crate) disclose: Option<Arc<Disclose>>,
}

pub(crate) type Disclose = dyn Fn(&RequestHead<'_>) -> bool + Send + Sync;

/// What few requests bring along, most of it in their extensions; boxed for that reason.
#[derive(Clone, Debug, Default)]
pub(crate) struct Overrides {
    pub(crate) in_flight_guard: InFlightGuard,
    pub(crate) message: Option<Message>,
    pub(crate) request_id: Option<RequestId>,
    pub(crate) timeouts: Option<Timeouts>,
    /// The protocols it asks to switch to, as one list.
    pub(crate) upgrade: Option<HeaderValue>,
    /// Who has answered, if the response says so.
    pub(crate) upstream: Option<Upstream>,
    /// If it is none of the well-known.
    pub(crate) method: Option<Method>,
}

/// A place among the [well-known](METHODS), or none.
#[derive(Clone, Copy)]
pub(crate) struct KnownMethod(pub(crate) u8);

impl KnownMethod {
    fn get(self) -> Option<&'static Method> {
        METHODS.get(usize::from(self.0))
    }
}

impl fmt::Debug for KnownMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.get(), f)
    }
}

/// The methods of HTTP ([RFC 9110, section 9.3](https://www.rfc-editor.org/rfc/rfc9110#section-9.3)) and PATCH.
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

/// What is dropped with the call, and is no part of its clones.
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
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Protocol {
    /// Plain HTTP.
    #[default]
    Http,
    /// gRPC: an answer is HTTP 200 with `grpc-status`.
    Grpc,
}

impl RequestContext {
    /// The method.
    #[must_use]
    pub fn method(&self) -> &Method {
        let known = self.method.get();
        let other = || self.overrides.as_ref().and_then(|overrides| overrides.method.as_ref());
        known.or_else(other).unwrap_or(&Method::GET)
    }

    /// The path, without the query; `*` or empty where the request has none.
    #[must_use]
    pub fn path(&self) -> &str {
        self.target.as_ref().map_or("", PathAndQuery::path)
    }

    /// The HTTP version the client speaks to us.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// The protocol on top of HTTP.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// The identifier the request came with: in its extensions, or in a field that the layer was told to
    /// [read](crate::BadGatewayLayer::request_id_header).
    #[must_use]
    pub fn request_id(&self) -> Option<&RequestId> {
        self.overrides.as_ref()?.request_id.as_ref()
    }

    /// Is dropped when the call has come to its end.
    pub(crate) fn keep_in_flight_guard(&mut self, in_flight_guard: Box<dyn Any + Send + Sync>) {
        self.overrides.get_or_insert_default().in_flight_guard = InFlightGuard(Some(in_flight_guard));
    }

    /// What is known of its content, of which the tap has not said that it failed. `tapped`: there is a tap.
    pub(crate) fn content(&self, tapped: bool) -> RequestContent {
        match (self.flags.has_content, tapped) {
            (false, _) => RequestContent::Absent,
            (true, true) => RequestContent::Sound,
            (true, false) => RequestContent::Unwatched,
        }
    }

    pub(crate) fn message(&self) -> Option<&str> {
        self.overrides.as_ref()?.message.as_ref().map(|message| &*message.0)
    }

    pub(crate) fn client_deadline(&self) -> Option<Duration> {
        self.client_nanos.map(|nanos| Duration::from_nanos(nanos.get()))
    }

    /// The protocols it asks to switch to, if it does.
    pub(crate) fn upgrade(&self) -> Option<&HeaderValue> {
        self.overrides.as_ref()?.upgrade.as_ref()
    }

    /// Remembers which upstream has answered: the response is handed on, and what becomes of its body is reported later.
    #[inline]
    pub(crate) fn note_upstream(&mut self, response: &Extensions) {
        if let Some(upstream) = response.get::<Upstream>() {
            self.overrides.get_or_insert_default().upstream = Some(upstream.clone());
        }
    }

    pub(crate) fn upstream(&self) -> Option<&Upstream> {
        self.overrides.as_ref()?.upstream.as_ref()
    }

    pub(crate) fn timeouts(&self) -> Option<&Timeouts> {
        self.overrides.as_ref()?.timeouts.as_ref()
    }
}

/// A request extension: the sentence the client is shown if this request fails, instead of the layer's.
///
/// **Public**: put nothing in it that a stranger may not read.
///
/// ```
/// use tower_bad_gateway::context::Message;
///
/// let mut request = http::Request::new(());
/// request.extensions_mut().insert(Message::new("Failed to load the profile picture."));
/// ```
#[derive(Clone, Debug)]
pub struct Message(Arc<str>);

impl Message {
    /// Takes the sentence.
    #[must_use]
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }
}

/// A request extension: time limits of this request, which *replace* those of the layer.
///
/// What is not set here stays as the layer has it. A limit set here applies to everything, to an upgrade until its 101, and `None`
/// waits for ever. The client's own deadline (`grpc-timeout`) can still shorten it.
///
/// ```
/// use std::time::Duration;
/// use tower_bad_gateway::context::Timeouts;
///
/// let mut request = http::Request::new(());
/// request.extensions_mut().insert(Timeouts::new().head(Duration::from_secs(300)).idle(None));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Timeouts {
    pub(crate) head: Option<Option<Duration>>,
    pub(crate) idle: Option<Option<Duration>>,
    pub(crate) total: Option<Option<Duration>>,
}

impl Timeouts {
    /// Replaces nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Replaces [`head_timeout`](crate::BadGatewayLayer::head_timeout) for this request.
    #[must_use]
    pub fn head(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.head = Some(limit.into());
        self
    }

    /// Replaces [`idle_timeout`](crate::BadGatewayLayer::idle_timeout) for this request.
    #[must_use]
    pub fn idle(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.idle = Some(limit.into());
        self
    }

    /// Replaces [`total_timeout`](crate::BadGatewayLayer::total_timeout) for this request.
    #[must_use]
    pub fn total(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.total = Some(limit.into());
        self
    }
}
