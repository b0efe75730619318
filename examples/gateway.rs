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

#[path = "gateway/client.rs"]
mod client;
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
#[path = "gateway/tls.rs"]
mod tls;
#[path = "gateway/tunnel.rs"]
mod tunnel;
#[path = "gateway/upstream.rs"]
mod upstream;

use std::{
    error::Error,
    io::{ErrorKind, Write, stderr, stdout},
    net::SocketAddr,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use http::{
    HeaderName, HeaderValue, Request, Uri,
    header::UPGRADE,
    uri::{Authority, Scheme},
};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy,
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use subtle::ConstantTimeEq;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::Instant,
};
use tower::{ServiceBuilder, ServiceExt, limit::ConcurrencyLimitLayer, load_shed::LoadShedLayer};
use tower_bad_gateway::{
    BadGatewayLayer, BoxError, FailureKind, RequestBodyTap,
    body::RequestBody,
    context::RequestContext,
    format::{Empty, Html, Json, Negotiate, PlainText, Problem, Static},
    validate::ResponseHead,
};

use crate::{
    client::Client,
    forward::Forward,
    front::{Door, Front},
    io::{ClientStream, Ending},
    log::{ACCESS, Log},
    options::{Options, Shown},
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
    let outcome = runtime.block_on(serve(options));
    // The last requests go down with the runtime, and each of them leaves a line.
    drop(runtime);
    log.end();
    outcome
}

async fn serve(mut options: Options) -> Result<(), Box<dyn Error>> {
    let listener = listen(&options).await?;
    let address = listener.local_addr()?;

    let (forward, trust) = match &options.upstream {
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
    let client = legacy::Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(options.pool_idle)
        .http2_only(options.http2)
        .build::<_, Upload>(tls::connector(&options, trust)?);
    let front = Front::new(&options);
    let (open, mut tunnels) = mpsc::channel(1);
    let gateway = ServiceBuilder::new()
        .layer(tap(&options))
        .layer(layer(&options)?)
        .option_layer(options.max_requests.map(|_| LoadShedLayer::new()))
        .option_layer(options.max_requests.map(ConcurrencyLimitLayer::new))
        .filter({
            let forward = Arc::new(forward);
            move |request: Request<Upload>| forward.rewrite(request)
        })
        .service(Tunnel { inner: client, front: Arc::clone(&front), open });

    // Whoever reads this may have read enough after the first line.
    let table = if options.upstream.is_none() { upstream::table(address) } else { String::new() };
    let _ = write!(stdout(), "listening on http://{address}\n{table}");

    let server = server();
    let graceful = GracefulShutdown::new();
    let mut end = Signals::new()?;
    let mut notice = None;
    loop {
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of descriptors, or the client was gone again: neither ends a server.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
            () = end.next() => {
                front.drain();
                if options.notice.is_zero() || notice.is_some() {
                    break;
                }
                // Beyond what the clock can hold is for ever.
                notice = Some(Instant::now().checked_add(options.notice));
                continue;
            }
            () = until(notice.flatten()) => break,
        };
        let _ = stream.set_nodelay(true);
        let no_upgrades = options.http2;
        let gateway = gateway.clone().map_request(move |mut request: Request<Content>| {
            if no_upgrades {
                // What cannot be passed on must not look asked for to the layer.
                request.headers_mut().remove(UPGRADE);
            }
            request
        });
        let (client, stream) = (Client::new(peer.ip()), Arc::new(stream));
        let door = Door { front: Arc::clone(&front), client: Arc::clone(&client), gateway };
        let socket = TokioIo::new(ClientStream::new(Arc::clone(&stream), Arc::clone(&client)));
        let connection = server.serve_connection_with_upgrades(socket, TowerToHyperService::new(door)).into_owned();
        serve_to_the_end(graceful.watch(connection), stream, client, options.send_timeout);
    }

    drop(listener);
    drop(gateway);
    tracing::warn!("finishing what is under way, for {} at most", humantime::format_duration(options.drain));
    let all = async {
        graceful.shutdown().await;
        // It ends when the last tunnel has let go of the other half.
        tunnels.recv().await;
    };
    tokio::select! {
        () = all => {}
        () = tokio::time::sleep(options.drain) => tracing::warn!("some connections had to be cut"),
        () = end.next() => tracing::warn!("cut short"),
    }
    // What is still there goes down with the runtime.
    front.cut();
    Ok(())
}

/// The body of a request on its way to the upstream.
type Upload = RequestBody<Content>;
/// The body of a request as it comes from a client.
type Content = client::Upload<Incoming>;

fn tap(options: &Options) -> RequestBodyTap {
    match options.upload_timeout {
        Some(limit) => RequestBodyTap::new().idle_timeout(limit),
        None => RequestBodyTap::new(),
    }
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

fn layer(options: &Options) -> Result<BadGatewayLayer, Box<dyn Error>> {
    const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
    const DEBUG: HeaderName = HeaderName::from_static("x-debug");
    let upstream = options.upstream.as_ref().and_then(Uri::authority).map_or("embedded", Authority::as_str);
    let layer = BadGatewayLayer::new()
        // Nothing below redirects or repeats a call, so that a page can say that nothing was sent.
        .single_attempt()
        .gateway_name(options.name())
        .upstream(upstream.to_owned())
        .retry_after(options.retry_after)
        .total_timeout(options.total_timeout)
        .stream_idle_timeout(options.stream_idle)
        .hold_head(options.hold_head)
        .hold_body(options.hold_body, options.hold_body_time);
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
    let layer = if options.intercept { layer.validate(no_server_error) } else { layer };
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

/// What the upstream says of its own failures stays where it is; its status is kept.
fn no_server_error(head: &ResponseHead<'_>, _: &RequestContext) -> Result<(), FailureKind> {
    if head.status().is_server_error() { Err(FailureKind::ReceivedStatus) } else { Ok(()) }
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

/// Until the connection ends, the client has left, or it takes nothing for too long. What is dropped with the connection lets go of the
/// upstream.
fn serve_to_the_end(
    connection: impl Future<Output = Result<(), BoxError>> + Send + 'static,
    socket: Arc<TcpStream>,
    client: Arc<Client>,
    send_timeout: Option<Duration>,
) {
    tokio::spawn(async move {
        let ending = Ending { socket, client };
        let (peer, client) = (ending.client.peer, &ending.client);
        tokio::select! {
            // The connection first: a client that has all of its response may leave.
            biased;
            outcome = connection => if let Err(error) = outcome {
                // What hyper refuses by itself reaches no service, and would leave no line in the log.
                tracing::info!(target: ACCESS, client = %peer, error, "connection broken");
            },
            () = client.left(&ending.socket) => {}
            () = client.stalled(send_timeout) => {
                tracing::info!(target: ACCESS, client = %peer, "connection closed: its client takes nothing");
            }
        }
    });
}

fn server() -> auto::Builder<TokioExecutor> {
    let mut server = auto::Builder::new(TokioExecutor::new());
    server.http1().timer(TokioTimer::new());
    // Whoever answers no ping for so long is gone.
    let (interval, patience) = (Duration::from_secs(30), Duration::from_secs(20));
    server.http2().timer(TokioTimer::new()).keep_alive_interval(interval).keep_alive_timeout(patience);
    server
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

impl Signals {
    #[cfg(unix)]
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    #[cfg(unix)]
    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    #[cfg(not(unix))]
    fn new() -> std::io::Result<Self> {
        Ok(Self {})
    }

    #[cfg(not(unix))]
    async fn next(&mut self) {
        let _ = tokio::signal::ctrl_c().await;
    }
}
