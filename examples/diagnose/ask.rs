//! Asks a URL once, one step after the other, and keeps the time of each.

use std::{
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri, Version, header, uri::Scheme};
use http_body_util::{BodyExt, Empty};
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use tower_bad_gateway::{BoxError, Failure, FailureKind, failure::Phase};

use crate::trust;

/// How a URL is asked.
#[derive(Clone)]
pub(crate) struct Ask {
    /// All of it may take so long.
    pub(crate) timeout: Duration,
    /// Needed for `https` alone.
    pub(crate) tls: Option<TlsConnector>,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
}

/// What came of it.
pub(crate) struct Asked {
    pub(crate) url: Uri,
    pub(crate) times: Times,
    /// `Err`: not even a head.
    pub(crate) outcome: Result<Answer, Failure>,
}

/// A head, and as much of the body as came.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) end: End,
}

/// How the body ended.
pub(crate) enum End {
    Whole,
    /// There is more than anyone wants to read.
    Unread,
    Broken(Failure),
}

/// How long each step took; one that was not taken, or not finished, has none.
#[derive(Default)]
pub(crate) struct Times {
    pub(crate) dns: Option<Duration>,
    pub(crate) connect: Option<Duration>,
    pub(crate) tls: Option<Duration>,
    /// From the request to the end of the head.
    pub(crate) head: Option<Duration>,
    /// From the start to the end, however it ended.
    pub(crate) whole: Duration,
}

/// In bytes.
const LONGEST_BODY: usize = 1024 * 1024;

impl Ask {
    pub(crate) async fn ask(&self, url: &Uri) -> Asked {
        let start = Instant::now();
        let mut times = Times::default();
        let outcome = match self.head(url, start, &mut times).await {
            Ok(response) => Ok(self.read(response, start).await),
            Err(failure) => Err(failure),
        };
        times.whole = start.elapsed();
        Asked { url: url.clone(), times, outcome }
    }

    async fn head(&self, url: &Uri, start: Instant, times: &mut Times) -> Result<Response<Incoming>, Failure> {
        use FailureKind::{ConnectionTimeout, DnsTimeout, HttpResponseTimeout};
        let is_tls = url.scheme() == Some(&Scheme::HTTPS);
        let host = url.host().unwrap_or_default();
        let port = url.port_u16().unwrap_or(if is_tls { 443 } else { 80 });

        let addresses = self.step(start, &mut times.dns, Phase::Resolve, DnsTimeout, resolve(host, port)).await?;
        let connecting = self.connect(&addresses, start);
        let stream = self.step(start, &mut times.connect, Phase::Connect, ConnectionTimeout, connecting).await?;
        let _ = stream.set_nodelay(true);
        if !is_tls {
            let sending = send_http1(stream, self.request(url));
            return self.step(start, &mut times.head, Phase::ResponseHead, HttpResponseTimeout, sending).await;
        }
        let handshake = async {
            let tls = self.tls.as_ref().ok_or_else(|| Failure::new(FailureKind::ProxyConfigurationError))?;
            let name = ServerName::try_from(host.trim_matches(['[', ']'])).map_err(Failure::from_error)?;
            tls.connect(name.to_owned(), stream).await.map_err(handshake_failed)
        };
        let stream = self.step(start, &mut times.tls, Phase::Tls, ConnectionTimeout, handshake).await?;
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let request = self.request(url);
        let sending =
            async { if is_http2 { send_http2(stream, request).await } else { send_http1(stream, request).await } };
        self.step(start, &mut times.head, Phase::ResponseHead, HttpResponseTimeout, sending).await
    }

    /// Keeps the time, ends at the limit, and says in which phase it failed.
    async fn step<T>(
        &self,
        start: Instant,
        time: &mut Option<Duration>,
        phase: Phase,
        late: FailureKind,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let begin = Instant::now();
        let done = timeout(self.left(start), work).await.unwrap_or_else(|_| Err(Failure::new(late)));
        *time = done.is_ok().then(|| begin.elapsed());
        done.map_err(|failure| failure.with_phase(phase))
    }

    fn left(&self, start: Instant) -> Duration {
        self.timeout.saturating_sub(start.elapsed())
    }

    /// The first address that takes the connection; one that is silent leaves some of the time to the others.
    async fn connect(&self, addresses: &[SocketAddr], start: Instant) -> Result<TcpStream, Failure> {
        let mut failure = Failure::new(FailureKind::DnsError);
        for (others, address) in (1..=addresses.len()).rev().zip(addresses) {
            let share = self.left(start) / u32::try_from(others).unwrap_or(u32::MAX);
            failure = match timeout(share, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                // The system's own limit; the error does not know what it was that took so long.
                Ok(Err(error)) if error.kind() == io::ErrorKind::TimedOut => {
                    Failure::new(FailureKind::ConnectionTimeout).with_source(error)
                }
                Ok(Err(error)) => Failure::from_error(error),
                Err(_) => Failure::new(FailureKind::ConnectionTimeout),
            };
        }
        Err(failure)
    }

    fn request(&self, url: &Uri) -> Request<Empty<Bytes>> {
        const ACCEPT: HeaderValue =
            HeaderValue::from_static("application/problem+json, application/json;q=0.9, */*;q=0.5");
        const AGENT: HeaderValue = HeaderValue::from_static("tower-bad-gateway-diagnose");
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = url.clone();
        request.headers_mut().insert(header::ACCEPT, ACCEPT);
        request.headers_mut().insert(header::USER_AGENT, AGENT);
        for (name, value) in &self.headers {
            request.headers_mut().insert(name, value.clone());
        }
        request
    }

    async fn read(&self, response: Response<Incoming>, start: Instant) -> Answer {
        let (head, mut incoming) = response.into_parts();
        let mut body = Vec::new();
        let end = loop {
            match timeout(self.left(start), incoming.frame()).await {
                Ok(None) => break End::Whole,
                Ok(Some(Ok(frame))) => {
                    let data = frame.into_data().unwrap_or_default();
                    let room = LONGEST_BODY.saturating_sub(body.len());
                    body.extend(data.iter().take(room));
                    if data.len() > room {
                        break End::Unread;
                    }
                }
                Ok(Some(Err(error))) => break End::Broken(Failure::from_body_error(error)),
                Err(_) => {
                    let late = Failure::new(FailureKind::ConnectionReadTimeout);
                    break End::Broken(late.with_phase(Phase::ResponseBody));
                }
            }
        };
        Answer { status: head.status, version: head.version, headers: head.headers, body, end }
    }
}

/// As the system does, but for names that are made not to be known (RFC 6761, section 6.4): for them nobody has to be asked.
pub(crate) async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, Failure> {
    let unknown = |source: BoxError| Failure::new(FailureKind::DnsError).with_source(source);
    let host = host.trim_matches(['[', ']']);
    if host.trim_end_matches('.').rsplit('.').next().is_some_and(|last| last.eq_ignore_ascii_case("invalid")) {
        return Err(unknown("no such name".into()));
    }
    let addresses: Vec<_> =
        tokio::net::lookup_host((host, port)).await.map_err(|error| unknown(error.into()))?.collect();
    if addresses.is_empty() { Err(unknown("it has no address".into())) } else { Ok(addresses) }
}

/// What nobody knows of a handshake that failed is still TLS.
fn handshake_failed(error: io::Error) -> Failure {
    if let Some(kind) = error.get_ref().and_then(|error| error.downcast_ref()).map(trust::kind) {
        return Failure::new(kind).with_source(error);
    }
    let failure = Failure::from_error(error);
    if failure.kind() == FailureKind::Unclassified {
        return Failure::new(FailureKind::TlsProtocolError).with_source(failure);
    }
    failure
}

async fn send_http1(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    mut request: Request<Empty<Bytes>>,
) -> Result<Response<Incoming>, Failure> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(Failure::from_error)?;
    tokio::spawn(connection);
    // HTTP/1.1 has the host in a field of its own (RFC 9112, section 3.2.1).
    let host = request.uri().authority().and_then(|authority| HeaderValue::try_from(authority.as_str()).ok());
    if let Some(host) = host {
        request.headers_mut().entry(header::HOST).or_insert(host);
    }
    let path = request.uri().path_and_query().cloned();
    *request.uri_mut() = path.map_or(Uri::default(), Uri::from);
    sender.send_request(request).await.map_err(Failure::from_error)
}

async fn send_http2(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    mut request: Request<Empty<Bytes>>,
) -> Result<Response<Incoming>, Failure> {
    let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(Failure::from_error)?;
    tokio::spawn(connection);
    *request.version_mut() = Version::HTTP_2;
    sender.send_request(request).await.map_err(Failure::from_error)
}
