//! What is asked, and what the upstream does.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use http::{HeaderName, HeaderValue, Uri, header};
use http_body_util::Empty;
use tower::Service;

use crate::content::{Content, FRAMES, Frames};

/// The request of every call.
pub type Request = http::Request<Empty<Bytes>>;

/// The response of the upstream.
pub(crate) type Response = http::Response<Content>;

/// What the upstream does with a call.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "not published; the benchmarks run all of them")]
pub enum Scenario {
    /// Answers at the first poll; this flatters whoever makes a timer late.
    Ok0,
    /// Answers after it was pending once, as every real upstream does at least.
    Ok1,
    /// Refuses the connection after it was pending once.
    Err1,
    /// Answers at the first poll, with 64 frames of 16 KiB and no length; every frame is ready.
    Frames0,
    /// The same, and every frame is pending once before.
    Frames1,
    /// `Frames0` with a `Content-Length`, for whoever counts bytes.
    Counted0,
}

impl Scenario {
    /// All of them, in the order of the table of results.
    pub const ALL: [Self; 6] = [Self::Ok0, Self::Ok1, Self::Err1, Self::Frames0, Self::Frames1, Self::Counted0];

    /// What a whole call is measured by.
    pub const CALLS: [Self; 3] = [Self::Ok0, Self::Ok1, Self::Err1];

    /// What a frame of a body is measured by.
    pub const BODIES: [Self; 3] = [Self::Frames0, Self::Frames1, Self::Counted0];

    /// Its name in the results.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok0 => "ok0",
            Self::Ok1 => "ok1",
            Self::Err1 => "err1",
            Self::Frames0 => "frames0",
            Self::Frames1 => "frames1",
            Self::Counted0 => "counted0",
        }
    }

    /// How many frames the body of the upstream has, if it answers.
    #[must_use]
    pub fn frames(self) -> u8 {
        if Self::BODIES.contains(&self) { FRAMES } else { 1 }
    }

    /// How many calls the benchmark of instructions counts: fewer where each does much.
    #[must_use]
    pub fn counted_calls(self) -> u32 {
        if Self::BODIES.contains(&self) { 100 } else { 1000 }
    }
}

/// A GET with eight fields. Their values and the URI are slices of one shared buffer, as hyper's parser leaves them, so that
/// a clone of one allocates nothing.
///
/// # Panics
///
/// Never: what is parsed stands below.
#[must_use]
#[expect(clippy::expect_used, reason = "what is parsed stands below")]
pub fn request() -> Request {
    let mut buffer = BytesMut::from(URI);
    FIELDS.iter().for_each(|(_, value)| buffer.extend_from_slice(value.as_bytes()));
    let mut buffer = buffer.freeze();

    let mut request = Request::new(Empty::new());
    *request.uri_mut() = Uri::from_maybe_shared(buffer.split_to(URI.len())).expect("it is a URI");
    for (name, value) in &FIELDS {
        let value = HeaderValue::from_maybe_shared(buffer.split_to(value.len())).expect("it is visible ASCII");
        request.headers_mut().insert(name.clone(), value);
    }
    request
}

/// The kind of service that every contender wraps.
pub(crate) trait Upstream:
    Service<Request, Response = Response, Error = io::Error, Future: Send + 'static> + Clone + Send + 'static
{
}

impl<S> Upstream for S where
    S: Service<Request, Response = Response, Error = io::Error, Future: Send + 'static> + Clone + Send + 'static
{
}

/// That service.
pub(crate) fn upstream(scenario: Scenario) -> impl Upstream {
    tower::service_fn(move |request: Request| async move {
        if matches!(scenario, Scenario::Ok1 | Scenario::Err1) {
            PendingOnce(false).await;
        }
        drop(request);
        let mut response = Response::new(match scenario {
            Scenario::Ok0 | Scenario::Ok1 => Content::full(Bytes::from_static(&[b'x'; 128])),
            Scenario::Err1 => return Err(io::ErrorKind::ConnectionRefused.into()),
            Scenario::Frames0 => Content::Frames(Frames::new(false, false)),
            Scenario::Frames1 => Content::Frames(Frames::new(false, true)),
            Scenario::Counted0 => Content::Frames(Frames::new(true, false)),
        });
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response.headers_mut().insert(header::SERVER, HeaderValue::from_static("upstream"));
        if scenario == Scenario::Counted0 {
            response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from_static("1048576"));
        }
        Ok(response)
    })
}

/// Does not ask to be woken: the drive polls again at once.
struct PendingOnce(bool);

impl Future for PendingOnce {
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) { Poll::Ready(()) } else { Poll::Pending }
    }
}

const URI: &str = "http://upstream.internal:8080/api/v1/items/42?expand=all";

static FIELDS: [(HeaderName, &str); 8] = [
    (header::HOST, "api.example.com"),
    (header::USER_AGENT, "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
    (header::ACCEPT, "application/json, text/html;q=0.9, */*;q=0.8"),
    (header::ACCEPT_LANGUAGE, "en-US,en;q=0.5"),
    (header::ACCEPT_ENCODING, "gzip, deflate, br"),
    (header::CONTENT_TYPE, "application/json"),
    (HeaderName::from_static("x-request-id"), "0af7651916cd43dd8448eb211c80319c"),
    (HeaderName::from_static("traceparent"), "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
];
