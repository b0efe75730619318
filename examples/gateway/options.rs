//! The command line.

use std::{
    error::Error,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use bytesize::ByteSize;
use http::{HeaderName, Uri, uri::Scheme};
use lexopt::{
    Arg::{Long, Short},
    Parser, ValueExt,
};
use tower_bad_gateway::GatewayName;

use crate::{descriptors::MOST_CONNECTIONS, log};

const HELP: &str = "\
A reverse proxy that always answers.

Usage: gateway [--upstream URL] [options]

  --upstream URL          where requests go, such as http://127.0.0.1:9000 or https://example.org;
                          without it an embedded upstream offers a fault under each path
  --listen ADDR           address and port [127.0.0.1:8080, or a free port if that is taken]; port 0: a free one
  --name NAME             the name of this gateway, also in Via, where no other on the way may have it, or its requests count as a loop
                          [gateway, with a number in Via that no other has]
  --head-timeout TIME     how long the head of a response may take [45s; 2s with the embedded upstream]; an upstream that takes
                          nothing of what is sent for 30s longer loses the connection
  --idle-timeout TIME     how long a body may be silent [45s or 5m; 2s with the embedded upstream]
  --total-timeout TIME    how long a response may take, head and body together [no limit]
  --stream-idle TIME      how long both sides of a gRPC call together may be silent [no limit]
  --upload-timeout TIME   how long a client may send nothing in the middle of an upload [1m; 2s with the embedded upstream]
  --hold-head TIME        how long the head of a response waits for its body to begin, so that what breaks meanwhile is a
                          502 [not at all]
  --hold-body SIZE        how much of a response is held with its head, so that what breaks meanwhile is a 502, and what has
                          ended meanwhile gets a length [nothing]
  --hold-body-time TIME   for how long, from the first byte of the body on [1s]
  --connect-timeout TIME  how long a connection may take, from its name, for half of it at most, to TLS [3s; 1s with the embedded
                          upstream]
  --pool-idle TIME        how long an unused connection is kept [4s]
  --pool-age TIME         the age of a connection that gives its last answer, so that the name of the upstream is looked up again [5m]
  --retry                 send a request again, once, if it was refused or not processed, or if its method allows that and
                          its connection broke before the head [needs the feature retry]
  --keep-alive TIME       how long a client's connection may be at rest [75s]
  --client-head-timeout TIME
                          how long a client may take for the head of a request [30s]
  --max-connections N     how many clients may be connected at once; the next ones wait [10000, but never more than half of what the
                          system has descriptors for: the rest is for the upstream]
  --admin ADDR            address and port that answer /-/live, /-/ready and /metrics, however many clients there are
  --notice TIME           how long /-/ready says no before connections are refused, after SIGTERM [5s]; not after Ctrl-C
  --drain TIME            how long requests and tunnels may go on after that [10s]
  --format FORMAT         what clients are shown: auto (by Accept), problem, json, html, text or empty [auto]
  --error-page FILE       an HTML page instead of the built-in one
  --retry-after TIME      when to come back after a 503, in whole seconds [not said]
  --max-requests N        how many requests may wait for the head of a response at once; the next is answered
                          503 [no limit]
  --intercept             answer in place of the upstream where its status is 500 or above, with that status and its Retry-After
  --strip-proxy-status    pass on no Proxy-Status, and name nobody behind this gateway in its own
  --disclose-to FILE      requests whose X-Debug is the token in this file see the private cause and the address of the upstream;
                          the field is not passed on
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

GET /-/live is answered 200 by the gateway itself, and so is /-/ready until it is told to end: 503 from then on. Requests with more
than 100 fields, or 64 KiB of them, are answered 431, and such responses 502.

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
    pub(crate) pool_age: Option<Duration>,
    pub(crate) retry: bool,
    pub(crate) keep_alive: Option<Duration>,
    pub(crate) client_head_timeout: Option<Duration>,
    /// `None`: as many as there are descriptors for.
    pub(crate) max_connections: Option<usize>,
    pub(crate) admin: Option<SocketAddr>,
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
            pool_age: Some(Duration::from_secs(5 * 60)),
            retry: false,
            keep_alive: Some(Duration::from_secs(75)),
            client_head_timeout: Some(Duration::from_secs(30)),
            max_connections: None,
            admin: None,
            notice: Duration::from_secs(5),
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
                Long("listen") => options.listen = Some(address(&mut parser, "--listen")?),
                Long("admin") => options.admin = Some(address(&mut parser, "--admin")?),
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
                Long("pool-age") => options.pool_age = limit(time(&mut parser, "--pool-age")?),
                Long("retry") if cfg!(feature = "retry") => options.retry = true,
                Long("retry") => return Err("--retry: built without the feature retry".into()),
                Long("keep-alive") => options.keep_alive = limit(time(&mut parser, "--keep-alive")?),
                Long("client-head-timeout") => {
                    options.client_head_timeout = limit(time(&mut parser, "--client-head-timeout")?);
                }
                Long("max-connections") => {
                    options.max_connections = Some(number(&mut parser, "--max-connections", MOST_CONNECTIONS)?);
                }
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
                    options.max_requests = Some(number(&mut parser, "--max-requests", MOST_CONNECTIONS)?);
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
                Long("disclose-to") => options.disclose_to = Some(token(&PathBuf::from(parser.value()?))?),
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

fn address(parser: &mut Parser, option: &str) -> Result<SocketAddr, Box<dyn Error>> {
    let address = text(parser)?;
    address.parse().map_err(|_| format!("{option} {address}: no address with a port").into())
}

fn number(parser: &mut Parser, option: &str, most: usize) -> Result<usize, Box<dyn Error>> {
    let number = text(parser)?;
    let parsed = number.parse().ok().filter(|number| (1..=most).contains(number));
    parsed.ok_or_else(|| format!("{option} {number}: a number between 1 and {most} is needed").into())
}

/// What a field can hold, and nobody has by accident. It stands in a file, since every process can read the command lines of all. A wrong
/// one is not repeated: it may be right but for one character.
fn token(file: &Path) -> Result<String, Box<dyn Error>> {
    let content = fs::read_to_string(file).map_err(|error| format!("--disclose-to {}: {error}", file.display()))?;
    let token = content.trim();
    let is_visible = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    let wrong = || format!("--disclose-to {}: a token of visible ASCII characters is needed", file.display());
    is_visible.then(|| token.to_owned()).ok_or_else(|| wrong().into())
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
