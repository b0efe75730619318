//! Asks a URL once, one step after the other, and keeps the time of each.

mod body;
mod connect;
mod send;

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri, Version, header, uri::Scheme};
use http_body_util::Empty;
use hyper::body::Incoming;
use rustls::pki_types::ServerName;
use tokio::{
    net::TcpStream,
    time::{Instant, timeout},
};
use tokio_rustls::TlsConnector;
use tower_bad_gateway::{Failure, FailureKind, failure::Phase};

pub(crate) use self::connect::resolve;
use self::{connect::connect, send::Witness};

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
    /// The addresses that did not take the connection, and why.
    pub(crate) missed: Vec<(SocketAddr, Failure)>,
    /// `Err`: not even a head.
    pub(crate) outcome: Result<Answer, Failure>,
}

/// A head, and the start of the body.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    /// So many bytes came of the body, kept or not.
    pub(crate) received: u64,
    pub(crate) end: End,
}

/// How the body ended.
#[derive(Debug)]
pub(crate) enum End {
    Whole,
    /// With the connection, and nobody had said how long it is: it may be all of it.
    Closed,
    /// Not before the time was over; the last of it came so long before.
    Unfinished(Duration),
    /// As `Unfinished`, but that is too long ago for it to be on its way.
    Silent(Duration),
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

impl Ask {
    pub(crate) async fn ask(&self, url: &Uri) -> Asked {
        let start = Instant::now();
        let (mut times, mut missed) = (Times::default(), Vec::new());
        let outcome = match self.head(url, start, &mut times, &mut missed).await {
            Ok(response) => {
                let (head, incoming) = response.into_parts();
                let (body, received, end) = body::read(&head, incoming, start, self.timeout).await;
                Ok(Answer { status: head.status, version: head.version, headers: head.headers, body, received, end })
            }
            Err(failure) => Err(failure),
        };
        times.whole = start.elapsed();
        Asked { url: url.clone(), times, missed, outcome }
    }

    async fn head(
        &self,
        url: &Uri,
        start: Instant,
        times: &mut Times,
        missed: &mut Vec<(SocketAddr, Failure)>,
    ) -> Result<Response<Incoming>, Failure> {
        use FailureKind::{ConnectionTimeout, DnsTimeout, HttpResponseTimeout};
        let is_tls = url.scheme() == Some(&Scheme::HTTPS);
        let host = url.host().unwrap_or_default();
        let port = port(url);
        let until = start + self.timeout;

        let resolving = within(until, DnsTimeout, resolve(host, port));
        let addresses = step(&mut times.dns, Phase::Resolve, resolving).await?;
        // It keeps to the limit by itself, and knows of every address when it is over.
        let connecting = connect(&addresses, until, missed);
        let stream: TcpStream = step(&mut times.connect, Phase::Connect, connecting).await?;
        let _ = stream.set_nodelay(true);
        let request = self.request(url);
        if !is_tls {
            let sending = within(until, HttpResponseTimeout, send::http1(stream, request));
            return step(&mut times.head, Phase::ResponseHead, sending).await;
        }
        let handshake = async {
            let tls = self.tls.as_ref().ok_or_else(|| Failure::new(FailureKind::ProxyConfigurationError))?;
            let name = ServerName::try_from(host.trim_matches(['[', ']'])).map_err(Failure::from_error)?;
            tls.connect(name.to_owned(), stream).await.map_err(send::handshake_failed)
        };
        let shaking = within(until, ConnectionTimeout, handshake);
        let stream = step(&mut times.tls, Phase::Tls, shaking).await?;
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let (stream, witnessed) = Witness::of(stream);
        let sending = async {
            let sent = if is_http2 { send::http2(stream, request).await } else { send::http1(stream, request).await };
            sent.map_err(|failure| witnessed.failure().unwrap_or(failure))
        };
        step(&mut times.head, Phase::ResponseHead, within(until, HttpResponseTimeout, sending)).await
    }

    fn request(&self, url: &Uri) -> Request<Empty<Bytes>> {
        const ACCEPT: HeaderValue =
            HeaderValue::from_static("application/problem+json, application/json;q=0.9, */*;q=0.5");
        const AGENT: HeaderValue = HeaderValue::from_static("tower-bad-gateway-diagnose");
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = url.clone();
        for (name, value) in &self.headers {
            request.headers_mut().append(name, value.clone());
        }
        for (name, value) in [(header::ACCEPT, ACCEPT), (header::USER_AGENT, AGENT)] {
            request.headers_mut().entry(name).or_insert(value);
        }
        request
    }
}

/// The port of a URL, or that of its scheme.
fn port(url: &Uri) -> u16 {
    let usual = if url.scheme() == Some(&Scheme::HTTPS) { 443 } else { 80 };
    url.port_u16().unwrap_or(usual)
}

/// Keeps the time, and says in which phase it failed.
async fn step<T>(
    time: &mut Option<Duration>,
    phase: Phase,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let begin = Instant::now();
    let done = work.await;
    *time = done.is_ok().then(|| begin.elapsed());
    // In TLS 1.3 its alerts may come when the head is waited for.
    done.map_err(|failure| if failure.phase() == Phase::Tls { failure } else { failure.with_phase(phase) })
}

async fn within<T>(
    until: Instant,
    late: FailureKind,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let left = until.saturating_duration_since(Instant::now());
    timeout(left, work).await.unwrap_or_else(|_| Err(Failure::new(late)))
}

#[cfg(test)]
mod tests;
