//! The command line.

use std::{error::Error, net::SocketAddr, path::PathBuf, time::Duration};

use http::{Uri, uri::Scheme};
use lexopt::{
    Arg::{Long, Short},
    Parser, ValueExt,
};
use tower_bad_gateway::GatewayName;

const HELP: &str = "\
A reverse proxy that always answers.

Usage: gateway [--upstream URL] [options]

  --upstream URL          where requests go, such as http://127.0.0.1:9000 or https://example.org;
                          without it an embedded upstream offers a fault under each path
  --listen ADDR           address and port [127.0.0.1:8080, or a free port if that is taken]; port 0: a free one
  --name NAME             the name of this gateway, also in Via [gateway]
  --head-timeout TIME     how long the head of a response may take [1m; 2s with the embedded upstream]
  --idle-timeout TIME     how long a body may be silent [1m or 5m; 2s with the embedded upstream]
  --connect-timeout TIME  how long a connection may take, TLS included [3s; 1s with the embedded upstream]
  --pool-idle TIME        how long an unused connection is kept [4s]
  --notice TIME           how long /-/ready says no before connections are refused, after SIGINT or SIGTERM [0s]
  --drain TIME            how long requests and tunnels may go on after that [10s]
  --format FORMAT         what clients are shown: auto (by Accept), problem, json, html, text or empty [auto]
  --error-page FILE       an HTML page instead of the built-in one
  --retry-after TIME      when to come back after a 503 [not said]
  --max-requests N        how many requests may wait for the upstream at once; the next is answered 503 [no limit]
  --trust-forwarded       add to X-Forwarded-* instead of replacing them, keep X-Request-Id
  --quiet                 no line in the log for every request
  --http2-prior-knowledge speak HTTP/2 to the upstream
  --ca FILE               trust the certificates of this PEM file instead of the system's
  --help                  this text

GET /-/live and /-/ready are answered by the gateway itself: 200, or 503 once it is told to end.

TIME is a number with a unit, such as 500ms, 10s or 1m 30s. 0s is no limit, except for --pool-idle, --notice and --drain: not at all.
";

/// What the command line asks for.
pub(crate) struct Options {
    pub(crate) upstream: Option<Uri>,
    pub(crate) listen: Option<SocketAddr>,
    pub(crate) name: GatewayName,
    /// `None`: the layer's default. `Some(None)`: no limit.
    pub(crate) head_timeout: Option<Option<Duration>>,
    pub(crate) idle_timeout: Option<Option<Duration>>,
    /// `None`: the usual one. `Some(None)`: no limit.
    pub(crate) connect_timeout: Option<Option<Duration>>,
    pub(crate) pool_idle: Duration,
    pub(crate) notice: Duration,
    pub(crate) drain: Duration,
    pub(crate) format: Shown,
    pub(crate) error_page: Option<PathBuf>,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) max_requests: Option<usize>,
    pub(crate) trust_forwarded: bool,
    pub(crate) quiet: bool,
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

/// More than any machine has connections for.
const MOST_REQUESTS: usize = 1_000_000;

impl Options {
    /// Reads the command line; `None` when it only asked for help.
    pub(crate) fn parse() -> Result<Option<Self>, Box<dyn Error>> {
        let mut options = Self {
            upstream: None,
            listen: None,
            name: GatewayName::from_static("gateway"),
            head_timeout: None,
            idle_timeout: None,
            connect_timeout: None,
            pool_idle: Duration::from_secs(4),
            notice: Duration::ZERO,
            drain: Duration::from_secs(10),
            format: Shown::Auto,
            error_page: None,
            retry_after: None,
            max_requests: None,
            trust_forwarded: false,
            quiet: false,
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
                    options.name = GatewayName::try_from(&*name).map_err(|error| format!("--name {name}: {error}"))?;
                }
                Long("head-timeout") => options.head_timeout = Some(limit(time(&mut parser, "--head-timeout")?)),
                Long("idle-timeout") => options.idle_timeout = Some(limit(time(&mut parser, "--idle-timeout")?)),
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
                Long("quiet") => options.quiet = true,
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

fn limit(time: Duration) -> Option<Duration> {
    (!time.is_zero()).then_some(time)
}

/// An origin and nothing else.
fn upstream(url: &str) -> Result<Uri, String> {
    let uri: Uri = url.parse().map_err(|error| format!("--upstream {url}: {error}"))?;
    let known = [Scheme::HTTP, Scheme::HTTPS];
    if !uri.scheme().is_some_and(|scheme| known.contains(scheme)) || uri.authority().is_none() {
        return Err(format!("--upstream {url}: http:// or https:// and a host are needed"));
    }
    if uri.path() != "/" || uri.query().is_some() {
        return Err(format!("--upstream {url}: a path or query has no meaning here"));
    }
    Ok(uri)
}
