//! What is asked, and what the upstream does.

use std::{
    cell::RefCell,
    error::Error,
    future::{Future, ready},
    io, iter,
    net::{Ipv4Addr, SocketAddr},
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use http::{HeaderName, HeaderValue, Uri, header};
use http_body_util::Empty;
use hyper_util::{
    client::legacy::{
        self,
        connect::{HttpConnector, dns::Name},
    },
    rt::TokioExecutor,
};
use tower::Service;

use crate::content::{Content, FRAMES, Frames, SHORT_FRAMES};

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
    /// Answers after it was pending once, with content that is there.
    Ok1,
    /// Answers after it was pending once, with ten fields and a length, and content in two frames that both have to be waited for:
    /// **as a real upstream does**.
    Ok2,
    /// `Ok1`, where the request has three extensions, as in an axum router, and the response one, as from hyper-util's client.
    Ext1,
    /// Refuses the connection after it was pending once.
    Err1,
    /// The same with the error that hyper-util's client has then: three errors deep.
    Err2,
    /// Answers at the first poll, with 64 frames of 16 KiB and no length; every frame is ready.
    Frames0,
    /// The same, and every frame is pending once before.
    Frames1,
    /// `Frames0` with a `Content-Length`, for whoever counts bytes.
    Counted0,
}

impl Scenario {
    /// All of them, in the order of the table of results.
    pub const ALL: [Self; 9] = [
        Self::Ok0,
        Self::Ok1,
        Self::Ok2,
        Self::Ext1,
        Self::Err1,
        Self::Err2,
        Self::Frames0,
        Self::Frames1,
        Self::Counted0,
    ];

    /// What a whole call is measured by.
    pub const CALLS: [Self; 6] = [Self::Ok0, Self::Ok1, Self::Ok2, Self::Ext1, Self::Err1, Self::Err2];

    /// What a frame of a body is measured by.
    pub const BODIES: [Self; 3] = [Self::Frames0, Self::Frames1, Self::Counted0];

    /// Its name in the results.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok0 => "ok0",
            Self::Ok1 => "ok1",
            Self::Ok2 => "ok2",
            Self::Ext1 => "ext1",
            Self::Err1 => "err1",
            Self::Err2 => "err2",
            Self::Frames0 => "frames0",
            Self::Frames1 => "frames1",
            Self::Counted0 => "counted0",
        }
    }

    /// How many frames the body of the upstream has, if it answers.
    #[must_use]
    pub fn frames(self) -> u8 {
        match self {
            Self::Ok2 => SHORT_FRAMES,
            _ if Self::BODIES.contains(&self) => FRAMES,
            _ => 1,
        }
    }

    /// Whether it refuses the connection.
    #[must_use]
    pub fn fails(self) -> bool {
        matches!(self, Self::Err1 | Self::Err2)
    }

    /// How many calls the benchmark of instructions counts: fewer where each does much.
    #[must_use]
    pub fn counted_calls(self) -> u32 {
        if Self::BODIES.contains(&self) { 100 } else { 1000 }
    }

    /// The request of a call, made before anything is measured.
    #[must_use]
    pub fn request(self) -> Request {
        let mut request = request();
        if self == Self::Err2 {
            make_refusal();
        }
        if self == Self::Ext1 {
            // Two that are cloned by reference and one that is small, as hyper and axum put there.
            request.extensions_mut().insert(Path("/api/v1/items/{id}"));
            request.extensions_mut().insert(Peer(Ipv4Addr::LOCALHOST, 40_000));
            let uri = request.uri().clone();
            request.extensions_mut().insert(Original(uri));
        }
        request
    }
}

#[derive(Clone)]
struct Path(#[expect(dead_code, reason = "it lies there")] &'static str);
#[derive(Clone)]
struct Peer(
    #[expect(dead_code, reason = "it lies there")] Ipv4Addr,
    #[expect(dead_code, reason = "it lies there")] u16,
);
#[derive(Clone)]
struct Original(#[expect(dead_code, reason = "it lies there")] Uri);

/// A GET with eight fields. Their values and the URI are slices of one shared buffer, as hyper's parser leaves them, so that
/// a clone of one allocates nothing.
#[expect(clippy::expect_used, reason = "what is parsed stands below")]
fn request() -> Request {
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
    Service<Request, Response = Response, Error: Refusal, Future: Send + 'static> + Clone + Send + 'static
{
}

impl<S> Upstream for S where
    S: Service<Request, Response = Response, Error: Refusal, Future: Send + 'static> + Clone + Send + 'static
{
}

/// An error of the upstream.
pub(crate) trait Refusal: Error + Send + Sync + 'static {
    fn refused() -> Self;
}

impl Refusal for io::Error {
    #[inline]
    fn refused() -> Self {
        io::ErrorKind::ConnectionRefused.into()
    }
}

/// That of hyper-util's client, which is made by a client: ahead, and not in the call.
impl Refusal for legacy::Error {
    #[inline]
    #[expect(clippy::expect_used, reason = "each request has brought one")]
    fn refused() -> Self {
        REFUSALS.with_borrow_mut(Vec::pop).expect("a request for a refusal has made one")
    }
}

thread_local! {
    static REFUSALS: RefCell<Vec<legacy::Error>> = const { RefCell::new(Vec::new()) };
}

/// Makes the error of a connection that is refused.
///
/// hyper-util's own connector makes it, of what the resolver says: so the error has the types, and the depth, of one whose socket was
/// refused, and no socket is opened.
#[expect(clippy::expect_used, reason = "a resolver that fails at once lets nobody wait")]
fn make_refusal() {
    let resolver = tower::service_fn(|_: Name| ready(Err::<iter::Empty<SocketAddr>, _>(refused_by_system())));
    let connector = HttpConnector::new_with_resolver(resolver);
    let client = legacy::Client::builder(TokioExecutor::new()).build::<_, Empty<Bytes>>(connector);
    let call = client.request(request());
    let error = call.now_or_never().expect("it fails at once").expect_err("it fails");
    REFUSALS.with_borrow_mut(|refusals| refusals.push(error));
}

/// The error of a socket, with the number of Linux: without one it would be an error of the resolver.
fn refused_by_system() -> io::Error {
    const ECONNREFUSED: i32 = 111;
    io::Error::from_raw_os_error(ECONNREFUSED)
}

/// That service.
pub(crate) fn upstream<E: Refusal>(scenario: Scenario) -> impl Upstream<Error = E> {
    tower::service_fn(move |request: Request| async move {
        if !matches!(scenario, Scenario::Ok0) && !Scenario::BODIES.contains(&scenario) {
            PendingOnce(false).await;
        }
        drop(request);
        let mut response = Response::new(match scenario {
            Scenario::Ok0 | Scenario::Ok1 | Scenario::Ext1 => Content::full(Bytes::from_static(&[b'x'; 128])),
            Scenario::Ok2 => Content::Frames(Frames::waited_for()),
            Scenario::Err1 | Scenario::Err2 => return Err(E::refused()),
            Scenario::Frames0 => Content::Frames(Frames::large(false, false)),
            Scenario::Frames1 => Content::Frames(Frames::large(false, true)),
            Scenario::Counted0 => Content::Frames(Frames::large(true, false)),
        });
        let headers = response.headers_mut();
        // Without this line the map grows on the way, and whether the allocator can do that in place, some 154 instructions, is chance.
        headers.reserve(10);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::SERVER, HeaderValue::from_static("upstream"));
        match scenario {
            Scenario::Counted0 => {
                headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("1048576"));
            }
            Scenario::Ok2 => {
                headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("128"));
                for (name, value) in &MORE_FIELDS {
                    headers.insert(name.clone(), HeaderValue::from_static(value));
                }
            }
            Scenario::Ext1 => {
                response.extensions_mut().insert(Peer(Ipv4Addr::LOCALHOST, 8080));
            }
            _ => {}
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

/// Of a response, with four others.
static MORE_FIELDS: [(HeaderName, &str); 6] = [
    (header::DATE, "Sat, 28 Nov 2026 12:00:00 GMT"),
    (header::ETAG, "\"33a64df551425fcc55e4d42a148795d9\""),
    (header::VARY, "accept-encoding"),
    (header::STRICT_TRANSPORT_SECURITY, "max-age=63072000"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (HeaderName::from_static("x-request-id"), "0af7651916cd43dd8448eb211c80319c"),
];

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
