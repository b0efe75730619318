//! A reverse proxy in front of one upstream, which always answers.
//!
//! ```text
//! $ cargo run --example gateway
//! listening on http://127.0.0.1:8080
//! no --upstream given: an embedded one offers a fault under each path
//!
//!   path                     what the upstream does                     expect
//!   /ok                      answers properly                           200
//!   /refused                 refuses the connection                     502 connection_refused
//!   ...
//! $ curl -i http://127.0.0.1:8080/refused
//! HTTP/1.1 502 Bad Gateway
//! ...
//! ```
//!
//! With `--upstream http://127.0.0.1:9000` it stands in front of that; `--help` lists the rest.

#[path = "gateway/admin.rs"]
mod admin;
#[path = "gateway/attempts.rs"]
mod attempts;
#[path = "gateway/client.rs"]
mod client;
#[path = "gateway/descriptors.rs"]
mod descriptors;
#[path = "gateway/fields.rs"]
mod fields;
#[path = "gateway/forward.rs"]
mod forward;
#[path = "gateway/front.rs"]
mod front;
#[path = "gateway/io.rs"]
mod io;
#[path = "gateway/log.rs"]
mod log;
#[path = "gateway/options.rs"]
mod options;
#[path = "gateway/pool.rs"]
mod pool;
#[path = "gateway/resolver.rs"]
mod resolver;
#[path = "gateway/server.rs"]
mod server;
#[path = "gateway/tls.rs"]
mod tls;
#[path = "gateway/tunnel.rs"]
mod tunnel;
#[path = "gateway/upstream.rs"]
mod upstream;

use std::{
    error::Error,
    io::{ErrorKind, Write, stderr, stdout},
    net::{IpAddr, SocketAddr},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use http::{
    HeaderValue, Request, Uri,
    uri::{Authority, Scheme},
};
use hyper::body::Incoming;
use subtle::ConstantTimeEq;
use tokio::net::TcpListener;
use tower::{ServiceBuilder, limit::ConcurrencyLimitLayer, load_shed::LoadShedLayer};
use tower_bad_gateway::{
    BadGatewayLayer, RequestBodyTap,
    body::RequestBody,
    format::{Empty, Html, Json, Negotiate, PlainText, Problem, Static},
    validate::Intercept,
};

use crate::{
    forward::{DEBUG, Forward},
    front::Front,
    log::{Dropped, Log},
    options::{Options, Shown},
    pool::Pool,
    server::Server,
    tls::Trust,
    tunnel::Tunnel,
};

fn main() -> ExitCode {
    let outcome = match Options::parse() {
        Ok(Some(options)) => run(options),
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    };
    match outcome.map_err(|error| error.to_string()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::at_most(Duration::from_secs(2), move || writeln!(stderr(), "gateway: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn run(options: Options) -> Result<(), Box<dyn Error>> {
    let log = Log::start(options.log);
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.spawn(log.dropped().tell());
    let outcome = runtime.block_on(serve(options, log.dropped()));
    // The last requests go down with the runtime, and each of them leaves a line. A resolver that is silent is not waited for.
    runtime.shutdown_timeout(Duration::from_secs(1));
    log.end();
    outcome
}

async fn serve(mut options: Options, dropped: Dropped) -> Result<(), Box<dyn Error>> {
    let listener = listen(&options).await?;
    let address = listener.local_addr()?;

    let (forward, trust) = match &options.upstream {
        Some(upstream) if is_own(upstream, address) => {
            return Err(format!("--upstream {upstream}: this gateway").into());
        }
        Some(upstream) => (Forward::to(upstream, &options)?, trust(&options)),
        None => {
            // Nobody wants to wait a minute to see that it waits a minute.
            options.head_timeout.get_or_insert(Some(Duration::from_secs(2)));
            options.idle_timeout.get_or_insert(Some(Duration::from_secs(2)));
            options.connect_timeout.get_or_insert(Some(Duration::from_secs(1)));
            options.upload_timeout.get_or_insert(Some(Duration::from_secs(2)));
            let embedded = upstream::start().await?;
            (Forward::to_embedded(&embedded, &options)?, Trust::One(embedded.tls.authority))
        }
    };
    let front = Front::new(&options);
    if let Some(address) = options.admin {
        let admin = TcpListener::bind(address).await.map_err(|error| format!("--admin {address}: {error}"))?;
        tokio::spawn(admin::serve(admin, Arc::clone(&front), dropped, admin::recorder()?));
    }
    let share = descriptors::share(options.max_connections);
    let client = pool::client(&options, tls::connector(&options, trust, share.upstreams)?);
    let pool = Pool::new(&options, client);
    let gateway = ServiceBuilder::new()
        .layer(tap(&options))
        .layer(layer(&options)?)
        .option_layer(options.max_requests.map(|_| LoadShedLayer::new()))
        .option_layer(options.max_requests.map(ConcurrencyLimitLayer::new))
        .filter({
            let forward = Arc::new(forward);
            move |request: Request<Upload>| forward.rewrite(request)
        })
        .service(attempts::of(options.retry, Tunnel { inner: pool, front: Arc::clone(&front) }));
    let server = Server::new(&options, Arc::clone(&front), gateway, share.clients);

    // Before anybody can know that it runs.
    let mut end = Signals::new()?;
    // Whoever reads this may have read enough after the first line.
    let table = if options.upstream.is_none() { upstream::table(address) } else { String::new() };
    let _ = write!(stdout(), "listening on http://{address}\n{table}");

    tokio::select! {
        () = server.accept(&listener) => {}
        () = notice(&mut end, &options, &front) => {}
    }

    drop(listener);
    tracing::warn!("finishing what is under way, for {} at most", humantime::format_duration(options.drain));
    tokio::select! {
        () = server.drain() => {}
        () = tokio::time::sleep(options.drain) => tracing::warn!("some connections had to be cut"),
        _ = end.next() => tracing::warn!("cut short"),
    }
    // What is still there goes down with the runtime.
    front.cut();
    Ok(())
}

/// Until the gateway is to end, and has said so for long enough that load balancers have noticed.
async fn notice(end: &mut Signals, options: &Options, front: &Front) {
    let signal = end.next().await;
    front.drain();
    // Whoever presses Ctrl-C does not want to wait.
    if matches!(signal, Stop::Terminate) {
        tokio::select! {
            () = tokio::time::sleep(options.notice) => {}
            _ = end.next() => {}
        }
    }
}

/// The body of a request on its way to the upstream.
pub(crate) type Upload = RequestBody<Content>;
/// The body of a request as it comes from a client.
type Content = client::Upload<Incoming>;

fn tap(options: &Options) -> RequestBodyTap {
    match options.upload_timeout {
        Some(limit) => RequestBodyTap::new().idle_timeout(limit),
        None => RequestBodyTap::new(),
    }
}

fn layer(options: &Options) -> Result<BadGatewayLayer, Box<dyn Error>> {
    const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
    let upstream = options.upstream.as_ref().and_then(Uri::authority).map_or("embedded", Authority::as_str);
    let layer = BadGatewayLayer::new()
        .limit_fields(fields::limits())
        .validate(fields::accept)
        .gateway_name(options.name())
        .upstream(upstream.to_owned())
        .retry_after(options.retry_after)
        .total_timeout(options.total_timeout)
        .stream_idle_timeout(options.stream_idle)
        .hold_head(options.hold_head)
        .hold_body(options.hold_body, options.hold_body_time);
    // Nothing else below redirects or repeats a call, so that a page can say that nothing was sent.
    let layer = if options.retry { layer } else { layer.single_attempt() };
    #[cfg(feature = "metrics")]
    let layer = layer.metrics(tower_bad_gateway::Metrics::new().requests());
    let layer = match options.head_timeout {
        Some(limit) => layer.head_timeout(limit),
        None => layer,
    };
    let layer = match options.idle_timeout {
        Some(limit) => layer.idle_timeout(limit),
        None => layer,
    };
    let layer = if options.strip_proxy_status { layer.strip_proxy_status() } else { layer };
    let layer = match options.disclose_to.clone() {
        // How long it takes to compare them tells nothing of the token but its length.
        Some(token) => layer.disclose(move |request| {
            let sent = request.headers().get(DEBUG).map_or(&b""[..], HeaderValue::as_bytes);
            sent.ct_eq(token.as_bytes()).into()
        }),
        None => layer,
    };
    let layer = if options.intercept {
        // What the upstream says of its own failures stays where it is; its status is kept.
        layer.intercept(Intercept::server_errors())
    } else {
        layer
    };
    let page = match &options.error_page {
        Some(file) => {
            let page = Static::from_file(HTML, file);
            Some(page.map_err(|error| format!("--error-page {}: {error}", file.display()))?)
        }
        None => None,
    };
    Ok(match (options.format, page) {
        (Shown::Auto, None) => layer,
        (Shown::Auto, Some(page)) => layer.format(Negotiate::new().html(page)),
        (Shown::Problem, _) => layer.format(Problem::new()),
        (Shown::Json, _) => layer.format(Json::new()),
        (Shown::Html, None) => layer.format(Html::new()),
        (Shown::Html, Some(page)) => layer.format(page),
        (Shown::Text, _) => layer.format(PlainText),
        (Shown::Empty, _) => layer.format(Empty),
    })
}

fn trust(options: &Options) -> Trust<'_> {
    let is_tls = options.upstream.as_ref().and_then(Uri::scheme) == Some(&Scheme::HTTPS);
    match &options.ca {
        Some(file) => Trust::File(file),
        // A machine without certificates is no reason not to start where none are needed.
        None if is_tls => Trust::System,
        None => Trust::None,
    }
}

/// Whether requests for the upstream would come to this gateway itself. Under another name or address they come round once, and `Forward`
/// knows them.
fn is_own(upstream: &Uri, own: SocketAddr) -> bool {
    let Some(authority) = upstream.authority() else { return false };
    let usual = if upstream.scheme() == Some(&Scheme::HTTPS) { 443 } else { 80 };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let is_here = match host.parse::<IpAddr>() {
        Ok(address) => address.to_canonical() == own.ip() || (own.ip().is_unspecified() && address.is_loopback()),
        Err(_) => host.eq_ignore_ascii_case("localhost") && (own.ip().is_loopback() || own.ip().is_unspecified()),
    };
    is_here && authority.port_u16().unwrap_or(usual) == own.port()
}

/// The port asked for; the usual one may give way to any other.
async fn listen(options: &Options) -> Result<TcpListener, Box<dyn Error>> {
    let usual = SocketAddr::from(([127, 0, 0, 1], 8080));
    let address = options.listen.unwrap_or(usual);
    match TcpListener::bind(address).await {
        Err(error) if options.listen.is_none() && error.kind() == ErrorKind::AddrInUse => {
            Ok(TcpListener::bind((address.ip(), 0)).await?)
        }
        Err(error) => Err(format!("cannot listen on {address}: {error}").into()),
        Ok(listener) => Ok(listener),
    }
}

/// Ctrl-C and, on Unix, SIGTERM.
struct Signals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

/// How the gateway is told to end.
enum Stop {
    /// By whatever started it.
    #[cfg_attr(not(unix), expect(dead_code, reason = "there is no such signal"))]
    Terminate,
    /// By a person.
    Interrupt,
}

impl Signals {
    #[cfg(unix)]
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    #[cfg(unix)]
    async fn next(&mut self) -> Stop {
        tokio::select! {
            _ = self.terminate.recv() => Stop::Terminate,
            _ = self.interrupt.recv() => Stop::Interrupt,
        }
    }

    #[cfg(not(unix))]
    fn new() -> std::io::Result<Self> {
        Ok(Self {})
    }

    #[cfg(not(unix))]
    async fn next(&mut self) -> Stop {
        let _ = tokio::signal::ctrl_c().await;
        Stop::Interrupt
    }
}
