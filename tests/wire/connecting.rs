//! What may happen before there is a connection.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, Uri, Version};
use http_body_util::{BodyExt, Empty};
use hyper_util::{
    client::legacy::{
        Client,
        connect::{Connect, HttpConnector, dns::Name},
    },
    rt::{TokioExecutor, TokioIo},
};
use tokio::net::{TcpSocket, TcpStream};
use tower::{Layer, Service, ServiceExt, service_fn, util::BoxCloneSyncService};
use tower_bad_gateway::{
    BoxError, Failure,
    FailureKind::*,
    body::ResponseBody,
    failure::{Blame, RetrySafety},
};

use crate::{
    gateway::patient,
    row::{Outcome, Row, Running},
    upstream,
};

type Answer = Response<ResponseBody<hyper::body::Incoming>>;

fn client() -> Client<HttpConnector, Empty<Bytes>> {
    Client::builder(TokioExecutor::new()).build_http()
}

pub(crate) fn with<C: Connect + Clone>(connector: C) -> Client<C, Empty<Bytes>> {
    Client::builder(TokioExecutor::new()).build(connector)
}

pub(crate) fn get(uri: impl ToString) -> Request<Empty<Bytes>> {
    Request::builder().uri(uri.to_string()).body(Empty::new()).unwrap()
}

/// Asks twice: a failure to connect says nothing about the next request.
///
/// Boxed here, where the error is any type: in an async block around a `BoxError` rustc loses sight of `'static`.
pub(crate) fn ask<S>(service: S, request: Request<Empty<Bytes>>) -> Running
where
    S: Service<Request<Empty<Bytes>>, Response = Response<hyper::body::Incoming>> + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError> + Send,
{
    Box::pin(async move {
        let mut gateway = patient().layer(service);
        let Ok(first) = gateway.ready().await.unwrap().call(request.clone()).await;
        let Ok(second) = gateway.ready().await.unwrap().call(request).await;
        let failure = |answer: &Answer| answer.extensions().get::<Failure>().cloned();
        let (first_failure, second_failure) = (failure(&first), failure(&second));
        let status = first.status().as_u16();
        let length = first.headers()["content-length"].to_str().unwrap().to_owned();
        let lines = first.headers().get_all("proxy-status").iter();
        let proxy_status = lines.map(|line| line.to_str().unwrap().to_owned()).collect();
        let content = first.into_body().collect().await.unwrap().to_bytes();
        Outcome {
            status,
            whole: content.len().to_string() == length,
            proxy_status,
            next: second_failure.map(|failure| failure.kind()) == first_failure.as_ref().map(Failure::kind),
            ..Outcome::told(first_failure.as_ref())
        }
    })
}

/// A port that is taken and refuses.
pub(crate) fn refusing() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// Resolves names in its own way.
async fn resolving<F, E>(resolve: impl Fn() -> F + Clone + Send + Sync + 'static) -> Outcome
where
    F: Future<Output = Result<std::vec::IntoIter<SocketAddr>, E>> + Send + 'static,
    E: Into<BoxError> + Send + 'static,
{
    let resolver = service_fn(move |_: Name| {
        let answer = resolve();
        Box::pin(answer)
    });
    ask(with(HttpConnector::new_with_resolver(resolver)), get("http://upstream.example/")).await
}

pub(crate) fn rows() -> Vec<Row> {
    let mut rows = vec![
        Row::new("connect", "refused", 502, &[ConnectionRefused], async {
            let (_socket, address) = refusing();
            ask(client(), get(format!("http://{address}/"))).await
        }),
        // The system says the same where no port is left.
        Row::new("connect", "local-address-not-ours", 503, &[ConnectionLimitReached], async {
            let mut connector = HttpConnector::new();
            // From the block for documentation: no machine has it.
            connector.set_local_address(Some(Ipv4Addr::new(192, 0, 2, 1).into()));
            ask(with(connector), get("http://127.0.0.1:9/")).await
        })
        .blame(Blame::Gateway),
        Row::new("connect", "scheme-not-taken", 500, &[ProxyConfigurationError], async {
            ask(client(), get("https://127.0.0.1:9/")).await
        })
        .blame(Blame::Gateway),
        Row::new("connect", "relative-uri", 500, &[ProxyConfigurationError], async { ask(client(), get("/")).await })
            .blame(Blame::Gateway),
        Row::new("connect", "version-not-spoken", 500, &[ProxyConfigurationError], async {
            let mut request = get("http://127.0.0.1:9/");
            *request.version_mut() = Version::HTTP_09;
            ask(client(), request).await
        })
        .blame(Blame::Gateway),
        Row::new("connect", "limit-around-connector", 504, &[ConnectionTimeout], {
            let connector = service_fn(|_: Uri| Box::pin(std::future::pending::<io::Result<TokioIo<TcpStream>>>()));
            let limited = tower::timeout::TimeoutLayer::new(Duration::from_millis(300)).layer(connector);
            ask(with(BoxCloneSyncService::new(limited)), get("http://upstream.example/"))
        }),
        Row::new("dns", "unknown-name", 502, &[DnsError], async {
            ask(client(), get("http://upstream.invalid/")).await
        }),
        Row::new("dns", "unknown-name-with-dot", 502, &[DnsError], async {
            ask(client(), get("http://upstream.invalid./")).await
        }),
        Row::new("dns", "label-of-64-letters", 502, &[DnsError], async {
            ask(client(), get(format!("http://{}.invalid/", "a".repeat(64)))).await
        }),
        Row::new("dns", "name-with-underscore", 502, &[DnsError], async {
            ask(client(), get("http://_up_stream_.invalid/")).await
        }),
        Row::new("dns", "resolver-error", 502, &[DnsError], resolving(|| async { Err(std::fmt::Error) })),
        Row::new(
            "dns",
            "resolver-without-answer",
            502,
            &[DnsError],
            resolving(|| async { Ok::<_, io::Error>(Vec::new().into_iter()) }),
        ),
        Row::new(
            "dns",
            "resolver-late",
            504,
            &[DnsTimeout],
            resolving(|| {
                tokio::time::timeout(
                    Duration::from_millis(300),
                    std::future::pending::<std::vec::IntoIter<SocketAddr>>(),
                )
            }),
        ),
    ];
    rows.extend(unix());
    rows.extend(linux());
    for row in &mut rows {
        row.retry_safety = Some(RetrySafety::NotSent);
    }
    rows.push(Row::new("connect", "rst-on-accept", 502, &[ConnectionTerminated], async {
        let address = upstream::listen(|stream, _| async move { stream.set_zero_linger() }).await;
        ask(client(), get(format!("http://{address}/"))).await
    }));
    rows
}

#[cfg(unix)]
fn unix() -> Vec<Row> {
    use std::{env, os::unix::net::UnixListener, path::PathBuf, process};

    use tokio::net::UnixStream;

    async fn connect(path: PathBuf) -> Outcome {
        let connector = service_fn(move |_: Uri| {
            let path = path.clone();
            Box::pin(async move { UnixStream::connect(path).await.map(TokioIo::new) })
        });
        ask(with(connector), get("http://upstream.example/")).await
    }
    let path = |name: &str| env::temp_dir().join(format!("bad-gateway-{}-{name}.sock", process::id()));
    let (absent, deserted) = (path("absent"), path("deserted"));
    vec![
        Row::new("connect", "unix-path-absent", 502, &[ConnectionRefused], connect(absent)),
        Row::new("connect", "unix-nobody-listens", 502, &[ConnectionRefused], async move {
            drop(UnixListener::bind(&deserted).unwrap());
            let outcome = connect(deserted.clone()).await;
            std::fs::remove_file(deserted).unwrap();
            outcome
        }),
    ]
}

#[cfg(not(unix))]
fn unix() -> Vec<Row> {
    Vec::new()
}

/// A listener with a full queue: Linux drops what comes then, and the client waits.
#[cfg(target_os = "linux")]
fn linux() -> Vec<Row> {
    vec![Row::new("connect", "queue-full", 504, &[ConnectionTimeout], async {
        let (socket, address) = refusing();
        let _listener = socket.listen(1).unwrap();
        let limit = Duration::from_millis(300);
        let mut waiting = Vec::new();
        while let Ok(stream) = tokio::time::timeout(limit, TcpStream::connect(address)).await {
            waiting.push(stream);
        }
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(limit));
        ask(with(connector), get(format!("http://{address}/"))).await
    })]
}

#[cfg(not(target_os = "linux"))]
fn linux() -> Vec<Row> {
    Vec::new()
}
