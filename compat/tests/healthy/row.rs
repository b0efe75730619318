//! A row: one service, asked with the layer and without it.

use std::{convert::Infallible, fmt, future::Future, io::Read, net::SocketAddr, time::Duration};

use bytes::Bytes;
use flate2::read::GzDecoder;
use http::{Method, Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{net::TcpListener, sync::mpsc, task::AbortHandle};
use tower::{Layer, Service, service_fn};
use tower_bad_gateway::{BadGateway, BadGatewayLayer, BoxError};

use crate::client;

/// What a server can serve with the layer around it.
pub(crate) trait Subject:
    Service<Request<Incoming>, Response = Response<Self::Content>, Error: Into<BoxError> + Send, Future: Send>
    + Clone
    + Send
    + 'static
{
    type Content: Body<Data = Bytes, Error: Into<BoxError> + Send> + Send + Unpin + 'static;
}

impl<S, B> Subject for S
where
    S: Service<Request<Incoming>, Response = Response<B>, Error: Into<BoxError> + Send, Future: Send>,
    S: Clone + Send + 'static,
    B: Body<Data = Bytes, Error: Into<BoxError> + Send> + Send + Unpin + 'static,
{
    type Content = B;
}

/// A service that answers whatever it is asked.
pub(crate) fn answers<B>(make: impl Fn() -> Response<B> + Clone + Send + 'static) -> impl Subject<Content = B>
where
    B: Body<Data = Bytes, Error: Into<BoxError> + Send> + Send + Unpin + 'static,
{
    service_fn(move |_| std::future::ready(Ok::<_, Infallible>(make())))
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Downstream {
    Http1,
    Http2,
}

#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) fields: &'static [(&'static str, &'static str)],
    pub(crate) content: &'static str,
}

/// What a client has seen: status line, fields, trailers and end, but for the time of day.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) lines: Vec<String>,
    pub(crate) content: Vec<u8>,
}

/// Lines that only one of the two has, and has lawfully.
struct Difference {
    downstream: Downstream,
    bare: &'static [&'static str],
    layered: &'static [&'static str],
}

pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) downstreams: &'static [Downstream],
    status: &'static str,
    /// A part of what must be seen: two empty replies are the same as well.
    shows: &'static str,
    ask: Ask,
    differences: Vec<Difference>,
    is_decoded: bool,
    serve: Box<dyn Fn(Option<BadGatewayLayer>) -> Server + Send + Sync>,
}

impl Row {
    pub(crate) fn new(
        name: &'static str,
        status: &'static str,
        shows: &'static str,
        service: impl Subject + Sync,
    ) -> Self {
        Self::serving(name, status, shows, move |layer| match layer {
            None => Server::start(service.clone()),
            Some(layer) => Server::start(layer.layer(service.clone())),
        })
    }

    /// With another layer outside of both.
    pub(crate) fn inside<S, L>(
        outer: L,
        name: &'static str,
        status: &'static str,
        shows: &'static str,
        service: S,
    ) -> Self
    where
        S: Subject + Sync,
        L: Layer<S, Service: Subject> + Layer<BadGateway<S>, Service: Subject> + Send + Sync + 'static,
    {
        Self::serving(name, status, shows, move |layer| match layer {
            None => Server::start(outer.layer(service.clone())),
            Some(layer) => Server::start(outer.layer(layer.layer(service.clone()))),
        })
    }

    fn serving(
        name: &'static str,
        status: &'static str,
        shows: &'static str,
        serve: impl Fn(Option<BadGatewayLayer>) -> Server + Send + Sync + 'static,
    ) -> Self {
        Self {
            name,
            downstreams: &[Downstream::Http1, Downstream::Http2],
            status,
            shows,
            ask: Ask { method: Method::GET, path: "/", fields: &[], content: "" },
            differences: Vec::new(),
            is_decoded: false,
            serve: Box::new(serve),
        }
    }

    pub(crate) fn method(mut self, method: Method) -> Self {
        self.ask.method = method;
        self
    }

    pub(crate) fn path(mut self, path: &'static str) -> Self {
        self.ask.path = path;
        self
    }

    pub(crate) fn fields(mut self, fields: &'static [(&'static str, &'static str)]) -> Self {
        self.ask.fields = fields;
        self
    }

    pub(crate) fn content(mut self, content: &'static str) -> Self {
        self.ask.content = content;
        self
    }

    pub(crate) fn http1_only(mut self) -> Self {
        self.downstreams = &[Downstream::Http1];
        self
    }

    /// Compares what the content means: a compressor writes what it has whenever it has to wait, so that its bytes are
    /// another each time.
    pub(crate) fn decoded(mut self) -> Self {
        self.is_decoded = true;
        self
    }

    /// These lines, and no others, are only in the one or only in the other.
    pub(crate) fn differs(
        mut self,
        downstream: Downstream,
        bare: &'static [&'static str],
        layered: &'static [&'static str],
    ) -> Self {
        self.differences.push(Difference { downstream, bare, layered });
        self
    }

    /// What is wrong, if anything. Where bodies are held, a length may have taken the place of chunks.
    pub(crate) async fn run(&self, downstream: Downstream, is_held: bool) -> Result<(), String> {
        let (layer, mut told) = watched();
        let layer = if is_held { layer.hold_body(64 * 1024, Duration::from_secs(1)) } else { layer };
        let bare = self.see(None, downstream).await?;
        let layered = self.see(Some(layer), downstream).await?;
        if bare.lines[0].split(' ').nth(1) != Some(self.status) || !bare.to_string().contains(self.shows) {
            return Err(format!("the row itself: expected {} with {:?}\n  bare    {bare}", self.status, self.shows));
        }
        let may_have_length = is_held && !bare.has_length();
        let (bare, layered) = if may_have_length {
            let wrong = "no chunks, or another length";
            (bare.without_framing().ok_or(wrong)?, layered.without_framing().ok_or(wrong)?)
        } else {
            (bare, layered)
        };
        let events = within(async {
            let mut events = Vec::new();
            // Nobody is left who could tell of anything once the last sender is gone.
            while let Some(event) = told.recv().await {
                events.push(event);
            }
            events
        })
        .await?;
        let wrong = |what: &str| Err(format!("{what}\n  bare    {bare}\n  layered {layered}"));
        if !events.is_empty() {
            return wrong(&format!("told: {}", events.join(", ")));
        }
        let difference = self.differences.iter().find(|difference| difference.downstream == downstream);
        let (only_bare, only_layered) =
            difference.map_or((&[][..], &[][..]), |difference| (difference.bare, difference.layered));
        let known = |listed: &[&'static str]| -> Vec<&'static str> {
            listed.iter().copied().filter(|line| !(may_have_length && FRAMING.contains(line))).collect()
        };
        let same = match (without(&bare.lines, &known(only_bare)), without(&layered.lines, &known(only_layered))) {
            (Some(mut bare), Some(mut layered)) => {
                if difference.is_some() {
                    // A field that is removed from a map of fields lets the last one take its place: the order among
                    // fields of different names means nothing (RFC 9110, section 5.3).
                    let name = |line: &String| line.split(':').next().map(str::to_owned);
                    bare.sort_by_key(name);
                    layered.sort_by_key(name);
                }
                bare == layered
            }
            _ => false,
        };
        let same_content = if self.is_decoded && !may_have_length {
            bare.decoded().is_some() && bare.decoded() == layered.decoded()
        } else {
            bare.content == layered.content
        };
        if same && same_content { Ok(()) } else { wrong("different") }
    }

    async fn see(&self, layer: Option<BadGatewayLayer>, downstream: Downstream) -> Result<Seen, String> {
        let server = (self.serve)(layer);
        within(client::ask(server.address, downstream, &self.ask)).await
    }
}

/// The default layer, and all it has to tell.
pub(crate) fn watched() -> (BadGatewayLayer, mpsc::UnboundedReceiver<String>) {
    let (told, events) = mpsc::unbounded_channel();
    let (later, left) = (told.clone(), told.clone());
    let layer = BadGatewayLayer::new()
        .silent()
        .on_failure(move |event| told.send(format!("failure: {:?}", event.failure())).unwrap())
        .on_body_failure(move |event| later.send(format!("body failure: {:?}", event.failure())).unwrap())
        .on_abandoned(move |event| left.send(format!("abandoned after {:?}", event.status())).unwrap());
    (layer, events)
}

/// Nothing here takes long; what hangs is wrong.
async fn within<T>(future: impl Future<Output = T>) -> Result<T, String> {
    tokio::time::timeout(Duration::from_secs(30), future).await.map_err(|_| "no end".to_owned())
}

/// What is left without these, each of which has to be there.
fn without(lines: &[String], listed: &[&str]) -> Option<Vec<String>> {
    let mut lines = lines.to_vec();
    for line in listed {
        let at = lines.iter().position(|other| other == line)?;
        lines.remove(at);
    }
    Some(lines)
}

/// What HTTP/1 says of a body without a length.
const FRAMING: [&str; 2] = ["transfer-encoding: chunked", "end of chunks: true"];
/// What a compressor says of its work.
const COMPRESSION: [&str; 2] = ["content-encoding: gzip", "vary: accept-encoding"];

impl Seen {
    fn has_length(&self) -> bool {
        self.lines.iter().any(|line| line.starts_with("content-length: "))
    }

    /// Without chunks, if they are whole.
    fn unchunked(&self) -> Option<Vec<u8>> {
        if !self.lines.iter().any(|line| line == "transfer-encoding: chunked") {
            return Some(self.content.clone());
        }
        let mut content = Vec::new();
        let mut rest = &self.content[..];
        while let Some(end) = rest.iter().position(|&byte| byte == b'\r') {
            let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).ok()?, 16).ok()?;
            content.extend_from_slice(rest.get(end + 2..)?.get(..size)?);
            rest = rest.get(end + 2 + size + 2..).unwrap_or_default();
        }
        Some(content)
    }

    /// Without chunks and gzip, if both are whole.
    fn decoded(&self) -> Option<Vec<u8>> {
        let mut content = Vec::new();
        GzDecoder::new(&self.unchunked()?[..]).read_to_end(&mut content).ok()?;
        Some(content)
    }

    /// Without chunks, if they are whole, and without a length, if it is that of the content. Without gzip, too: a layer outside that
    /// compresses leaves a small body alone once it knows that it is small.
    fn without_framing(&self) -> Option<Self> {
        let content = self.unchunked()?;
        let length = format!("content-length: {}", content.len());
        let is_gzip = self.lines.iter().any(|line| line == "content-encoding: gzip");
        let is_framing = |line: &str| line == length || FRAMING.contains(&line) || COMPRESSION.contains(&line);
        let lines: Vec<_> = self.lines.iter().filter(|line| !is_framing(line)).cloned().collect();
        let seen = Self { lines, content: if is_gzip { self.decoded()? } else { content } };
        (!seen.has_length()).then_some(seen)
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} | {}", self.lines.join(" | "), self.content.escape_ascii())
    }
}

/// Accepts connections until it is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    accepting: AbortHandle,
}

impl Server {
    pub(crate) fn start(service: impl Subject) -> Self {
        let (listener, address) = listener();
        let task = tokio::spawn(async move {
            let server = auto::Builder::new(TokioExecutor::new());
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                let service = TowerToHyperService::new(service.clone());
                tokio::spawn(server.serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned());
            }
        });
        Self { address, accepting: task.abort_handle() }
    }

    /// Accepts connections for as long as the test runs.
    pub(crate) fn stay(self) -> SocketAddr {
        let address = self.address;
        std::mem::forget(self);
        address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// On a port that the system picks.
pub(crate) fn listener() -> (TcpListener, SocketAddr) {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    (TcpListener::from_std(listener).unwrap(), address)
}
