//! The command line.

use std::{error::Error, net::SocketAddr, path::PathBuf, time::Duration};

use bytesize::ByteSize;
use http::{HeaderName, Uri, uri::Scheme};
use lexopt::{
    Arg::{Long, Short},
    Parser, ValueExt,
};
use tower_bad_gateway::GatewayName;

use crate::log;

const HELP: &str = "\
A reverse proxy that always answers.

Usage: gateway [--upstream URL] [options]

  --upstream URL          where requests go, such as http://127.0.0.1:9000 or https://example.org;
                          without it an embedded upstream offers a fault under each path
  --listen ADDR           address and port [127.0.0.1:8080, or a free port if that is taken]; port 0: a free one
  --name NAME             the name of this gateway, also in Via [gateway]; with a name of its own it knows its own requests
                          when they come round in a loop
  --head-timeout TIME     how long the head of a response may take [45s; 2s with the embedded upstream]
  --idle-timeout TIME     how long a body may be silent [45s or 5m; 2s with the embedded upstream]
  --total-timeout TIME    how long a response may take, head and body together [no limit]
  --stream-idle TIME      how long both sides of a gRPC call together may be silent [no limit]
  --upload-timeout TIME   how long a client may send nothing in the middle of an upload [1m; 2s with the embedded upstream]
  --hold-head TIME        how long the head of a response waits for its body to begin, so that what breaks meanwhile is a
                          502 [not at all]
  --hold-body SIZE        how much of a response is held with its head, so that what breaks meanwhile is a 502, and what has
                          ended meanwhile gets a length [nothing]
  --hold-body-time TIME   for how long, from the first byte of the body on [1s]
  --connect-timeout TIME  how long a connection may take, from its name to TLS [3s; 1s with the embedded upstream]
  --pool-idle TIME        how long an unused connection is kept [4s]
  --notice TIME           how long /-/ready says no before connections are refused, after SIGINT or SIGTERM [0s]
  --drain TIME            how long requests and tunnels may go on after that [10s]
  --format FORMAT         what clients are shown: auto (by Accept), problem, json, html, text or empty [auto]
  --error-page FILE       an HTML page instead of the built-in one
  --retry-after TIME      when to come back after a 503, in whole seconds [not said]
  --max-requests N        how many requests may wait for the head of a response at once; the next is answered
                          503 [no limit]
  --intercept             answer in place of the upstream where its status is 500 or above, with that status
  --strip-proxy-status    pass on no Proxy-Status, and name nobody behind this gateway in its own
  --disclose-to TOKEN     requests with X-Debug: TOKEN see the private cause and the address of the upstream; the field is
                          passed on, so that gateways in a row may share a token
  --trust-forwarded       add to X-Forwarded-* instead of replacing them, keep X-Request-Id
  --request-id-header NAME
                          believe clients that name a request in this field (of traceparent it is the trace identifier); given
                          several times, the first field that has a name counts [every request gets a new one]
  --send-timeout TIME     how long a client may take nothing of a response before its connection is closed, or over HTTP/2 the
                          upstream of that response is let go; not for tunnels [1m]
  --log WHAT              all (a line for every request, and failures), failures, or off [all]
  --quiet                 the same as --log failures
  --http2-prior-knowledge speak HTTP/2 to the upstream
  --ca FILE               trust the certificates of this PEM file instead of the system's
  --help                  this text

GET /-/live is answered 200 by the gateway itself, and so is /-/ready until it is told to end: 503 from then on.

TIME is a number with a unit, such as 500ms, 10s or 1m 30s. 0s is no limit, except for --pool-idle, --retry-after, --notice,
--drain, --hold-head and --hold-body-time: not at all. SIZE is a number of bytes, or one with a unit, such as 64KiB.
";

/// What the command line asks for.
pub(crate) struct Options {
    pub(crate) upstream: Option<Uri>,
    pub(crate) listen: Option<SocketAddr>,
    /// `None`: the usual one.
    pub(crate) name: Option<GatewayName>,
    /// `None`: the layer's default. `Some(None)`: no limit.
    pub(crate) head_timeout: Option<Option<Duration>>,
    pub(crate) idle_timeout: Option<Option<Duration>>,
    pub(crate) total_timeout: Option<Duration>,
    pub(crate) stream_idle: Option<Duration>,
    /// `None`: the tap's default. `Some(None)`: no limit.
    pub(crate) upload_timeout: Option<Option<Duration>>,
    pub(crate) hold_head: Option<Duration>,
    /// In bytes; 0 holds nothing.
    pub(crate) hold_body: usize,
    pub(crate) hold_body_time: Duration,
    /// `None`: the usual one. `Some(None)`: no limit.
    pub(crate) connect_timeout: Option<Option<Duration>>,
    pub(crate) pool_idle: Duration,
    pub(crate) notice: Duration,
    pub(crate) drain: Duration,
    pub(crate) format: Shown,
    pub(crate) error_page: Option<PathBuf>,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) max_requests: Option<usize>,
    pub(crate) intercept: bool,
    pub(crate) strip_proxy_status: bool,
    pub(crate) disclose_to: Option<String>,
    pub(crate) trust_forwarded: bool,
    pub(crate) request_id_headers: Vec<HeaderName>,
    /// How long a client may take nothing of what there is for it.
    pub(crate) send_timeout: Option<Duration>,
    pub(crate) log: log::Lines,
    pub(crate) http2: bool,
    pub(crate) ca: Option<PathBuf>,
}

/// What clients are shown of a failure.
#[derive(Clone, Copy)]
pub(crate) enum Shown {
    Auto,
    Problem,
    Json,
    Html,
    Text,
    Empty,
}

const FORMATS: [(&str, Shown); 6] = [
    ("auto", Shown::Auto),
    ("problem", Shown::Problem),
    ("json", Shown::Json),
    ("html", Shown::Html),
    ("text", Shown::Text),
    ("empty", Shown::Empty),
];

const LOGS: [(&str, log::Lines); 3] =
    [("all", log::Lines::All), ("failures", log::Lines::Failures), ("off", log::Lines::Nothing)];

/// More than any machine has connections for.
const MOST_REQUESTS: usize = 1_000_000;

impl Options {
    pub(crate) fn name(&self) -> GatewayName {
        self.name.clone().unwrap_or(GatewayName::from_static("gateway"))
    }

    /// Reads the command line; `None` when it only asked for help.
    pub(crate) fn parse() -> Result<Option<Self>, Box<dyn Error>> {
        let mut options = Self {
            upstream: None,
            listen: None,
            name: None,
            head_timeout: None,
            idle_timeout: None,
            total_timeout: None,
            stream_idle: None,
            upload_timeout: None,
            hold_head: None,
            hold_body: 0,
            hold_body_time: Duration::from_secs(1),
            connect_timeout: None,
            pool_idle: Duration::from_secs(4),
            notice: Duration::ZERO,
            drain: Duration::from_secs(10),
            format: Shown::Auto,
            error_page: None,
            retry_after: None,
            max_requests: None,
            intercept: false,
            strip_proxy_status: false,
            disclose_to: None,
            trust_forwarded: false,
            request_id_headers: Vec::new(),
            send_timeout: Some(Duration::from_secs(60)),
            log: log::Lines::All,
            http2: false,
            ca: None,
        };
        let mut parser = Parser::from_env();
        while let Some(argument) = parser.next()? {
            match argument {
                Long("upstream") => options.upstream = Some(upstream(&text(&mut parser)?)?),
                Long("listen") => {
                    let address = text(&mut parser)?;
                    let parsed = address.parse().map_err(|_| format!("--listen {address}: no address with a port"))?;
                    options.listen = Some(parsed);
                }
                Long("name") => {
                    let name = text(&mut parser)?;
                    let named = GatewayName::try_from(&*name).map_err(|error| format!("--name {name}: {error}"))?;
                    options.name = Some(named);
                }
                Long("head-timeout") => options.head_timeout = Some(limit(time(&mut parser, "--head-timeout")?)),
                Long("idle-timeout") => options.idle_timeout = Some(limit(time(&mut parser, "--idle-timeout")?)),
                Long("total-timeout") => options.total_timeout = limit(time(&mut parser, "--total-timeout")?),
                Long("stream-idle") => options.stream_idle = limit(time(&mut parser, "--stream-idle")?),
                Long("upload-timeout") => options.upload_timeout = Some(limit(time(&mut parser, "--upload-timeout")?)),
                Long("hold-head") => options.hold_head = limit(time(&mut parser, "--hold-head")?),
                Long("hold-body") => options.hold_body = size(&mut parser, "--hold-body")?,
                Long("hold-body-time") => options.hold_body_time = time(&mut parser, "--hold-body-time")?,
                Long("connect-timeout") => {
                    options.connect_timeout = Some(limit(time(&mut parser, "--connect-timeout")?));
                }
                Long("pool-idle") => options.pool_idle = time(&mut parser, "--pool-idle")?,
                Long("notice") => options.notice = time(&mut parser, "--notice")?,
                Long("drain") => options.drain = time(&mut parser, "--drain")?,
                Long("format") => {
                    let format = text(&mut parser)?;
                    let known = FORMATS.iter().find(|(name, _)| *name == format);
                    let (_, shown) = known.ok_or_else(|| format!("--format {format}: no such format"))?;
                    options.format = *shown;
                }
                Long("error-page") => options.error_page = Some(parser.value()?.into()),
                Long("retry-after") => options.retry_after = limit(time(&mut parser, "--retry-after")?),
                Long("max-requests") => {
                    let number = text(&mut parser)?;
                    let parsed = number.parse().ok().filter(|number| (1..=MOST_REQUESTS).contains(number));
                    let wrong = || format!("--max-requests {number}: a number between 1 and {MOST_REQUESTS} is needed");
                    options.max_requests = Some(parsed.ok_or_else(wrong)?);
                }
                Long("send-timeout") => options.send_timeout = limit(time(&mut parser, "--send-timeout")?),
                Long("log") => {
                    let what = text(&mut parser)?;
                    let known = LOGS.iter().find(|(name, _)| *name == what);
                    let (_, shown) = known.ok_or_else(|| format!("--log {what}: all, failures or off"))?;
                    options.log = *shown;
                }
                Long("quiet") => options.log = log::Lines::Failures,
                Long("intercept") => options.intercept = true,
                Long("strip-proxy-status") => options.strip_proxy_status = true,
                Long("disclose-to") => options.disclose_to = Some(token(text(&mut parser)?)?),
                Long("request-id-header") => {
                    let name = text(&mut parser)?;
                    let parsed = name.parse().map_err(|_| format!("--request-id-header {name}: no name of a field"))?;
                    options.request_id_headers.push(parsed);
                }
                Long("trust-forwarded") => options.trust_forwarded = true,
                Long("http2-prior-knowledge") => options.http2 = true,
                Long("ca") => options.ca = Some(parser.value()?.into()),
                Long("help") | Short('h') => {
                    print!("{HELP}");
                    return Ok(None);
                }
                other => return Err(format!("{}; --help lists the options", other.unexpected()).into()),
            }
        }
        if options.http2 && options.upstream.is_none() {
            return Err("--http2-prior-knowledge needs an --upstream: the embedded one speaks HTTP/1.1".into());
        }
        if options.error_page.is_some() && !matches!(options.format, Shown::Auto | Shown::Html) {
            return Err("--error-page is for --format auto and html".into());
        }
        if options.ca.is_some() && options.upstream.is_none() {
            return Err("--ca needs an --upstream: the embedded one has a CA of its own".into());
        }
        Ok(Some(options))
    }
}

fn text(parser: &mut Parser) -> Result<String, lexopt::Error> {
    parser.value()?.string()
}

fn time(parser: &mut Parser, option: &str) -> Result<Duration, Box<dyn Error>> {
    let time = text(parser)?;
    humantime::parse_duration(&time).map_err(|error| format!("{option} {time}: {error}").into())
}

fn size(parser: &mut Parser, option: &str) -> Result<usize, Box<dyn Error>> {
    let size = text(parser)?;
    let parsed: ByteSize = size.parse().map_err(|error| format!("{option} {size}: {error}"))?;
    usize::try_from(parsed.as_u64()).map_err(|error| format!("{option} {size}: {error}").into())
}

fn limit(time: Duration) -> Option<Duration> {
    (!time.is_zero()).then_some(time)
}

/// What a field can hold, and nobody has by accident. A wrong one is not repeated: it may be right but for one character.
fn token(token: String) -> Result<String, &'static str> {
    let is_visible = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    if is_visible { Ok(token) } else { Err("--disclose-to: a token of visible ASCII characters is needed") }
}

/// An origin and nothing else.
fn upstream(url: &str) -> Result<Uri, String> {
    let wrong = |what: &str| format!("--upstream {url}: {what}");
    let uri: Uri = url.parse().map_err(|error: http::uri::InvalidUri| wrong(&error.to_string()))?;
    let is_known = uri.scheme().is_some_and(|scheme| [Scheme::HTTP, Scheme::HTTPS].contains(scheme));
    let Some(authority) = uri.authority().filter(|authority| is_known && !authority.host().is_empty()) else {
        return Err(wrong("http:// or https:// and a host are needed"));
    };
    if uri.path() != "/" || uri.query().is_some() || url.contains('#') {
        return Err(wrong("a path, query or fragment has no meaning here"));
    }
    if authority.as_str().contains('@') {
        return Err(wrong("a name and password have no meaning here"));
    }
    // A port that is none reads as no port.
    let port = authority.as_str().get(authority.host().len()..).unwrap_or_default();
    if !port.is_empty() && authority.port_u16().is_none_or(|port| port == 0) {
        return Err(wrong("a port between 1 and 65535 is needed"));
    }
    Ok(uri)
}
