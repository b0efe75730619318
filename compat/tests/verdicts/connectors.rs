//! D1, D6, D7: what stands between a client and a connection: TLS, Unix sockets, proxies and pools.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Uri};
use http_body_util::Full;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::{
    client::legacy::{
        Client, Error,
        connect::{
            Connect, HttpConnector,
            proxy::{SocksV4, SocksV5, Tunnel},
        },
    },
    rt::TokioExecutor,
};
use rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::CertificateDer};
use tokio::io::AsyncWriteExt;
use tower::{Service, ServiceExt};
use tower_bad_gateway::{
    FailureKind::*,
    failure::{Phase, RetrySafety},
};

use crate::{
    row::{call, check},
    upstream::{self, End, Tls},
};

/// Where a timeout is expected.
const SOON: Duration = Duration::from_millis(300);
const CONNECT: &[Phase] = &[Phase::Connect];
const TLS: &[Phase] = &[Phase::Tls];

async fn failed<C: Connect + Clone + Send + Sync + 'static>(connector: C, uri: impl ToString) -> Error {
    let client = Client::builder(TokioExecutor::new()).build::<_, Full<Bytes>>(connector);
    let request = Request::builder().uri(uri.to_string()).body(Full::default()).unwrap();
    client.request(request).await.unwrap_err()
}

type Pipe = hyper_util::rt::TokioIo<tokio::net::TcpStream>;
type Limited<C> = tower::timeout::Timeout<C>;

/// With tower's limit around it.
fn limited<C>(connector: C) -> impl Connect + Clone + Send + Sync + 'static
where
    C: Service<Uri, Error: Into<tower_bad_gateway::BoxError>, Future: Send + 'static> + Clone + Send + Sync + 'static,
    C::Response: hyper::rt::Read + hyper::rt::Write + hyper_util::client::legacy::connect::Connection + Unpin + Send,
{
    tower::service_fn(move |to: Uri| Box::pin(Limited::new(connector.clone(), SOON).call(to)))
}

/// With `connect_timeout`, as people set it.
fn http() -> HttpConnector {
    within(Duration::from_secs(30))
}

fn within(limit: Duration) -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_connect_timeout(Some(limit));
    connector
}

fn https(trusted: Option<CertificateDer<'static>>) -> hyper_rustls::HttpsConnector<HttpConnector> {
    let mut roots = RootCertStore::empty();
    trusted.into_iter().for_each(|certificate| roots.add(certificate).unwrap());
    let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let tls = tls.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots).with_no_client_auth();
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(connector)
}

#[tokio::test]
async fn through_rustls() {
    async fn trusting(fault: Tls) -> Error {
        let (address, trusted) = upstream::tls(fault).await;
        failed(https(Some(trusted)), format!("https://{address}")).await
    }
    async fn at(address: std::net::SocketAddr) -> Error {
        failed(https(None), format!("https://{address}")).await
    }
    check(vec![
        call("D1r-a", &[TlsCertificateError], || trusting(Tls::UnknownAuthority)).not_sent(TLS),
        call("D1r-b", &[TlsCertificateError], || trusting(Tls::WrongName)).not_sent(TLS),
        call("D1r-c", &[TlsCertificateError], || trusting(Tls::Expired)).not_sent(TLS),
        // By race: the alert may come before the request is written, or after.
        call("D1r-e", &[TlsAlertReceived], || trusting(Tls::WantsCertificate))
            .phase(TLS)
            .retry(&[RetrySafety::NotSent, RetrySafety::Unknown]),
        call("D1r-f", &[TlsProtocolError], || async {
            at(upstream::answering_anything(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await).await
        })
        .not_sent(TLS),
        call("D1r-g", &[TlsProtocolError], || async { at(upstream::hanging_up(End::Close).await).await }).not_sent(TLS),
        call("D1r-h", &[ConnectionTerminated], || async { at(upstream::hanging_up(End::Reset).await).await })
            .not_sent(TLS),
        call("D1r-i", &[TlsAlertReceived], || async { at(upstream::alerting().await).await }).not_sent(TLS),
        call("D1r-j", &[ConnectionRefused], || async { at(upstream::refusing()).await }).not_sent(CONNECT),
        call("D1r-k", &[DnsError], || failed(https(None), "https://nowhere.invalid")).not_sent(&[Phase::Resolve]),
        call("D1r-l", &[HttpProtocolError], || async {
            failed(https(None), format!("http://{}", upstream::tls(Tls::Expired).await.0)).await
        })
        .phase(&[Phase::ResponseHead]),
        call("D1r-n", &[ProxyConfigurationError], || failed(https(None), "https://a..b")).not_sent(CONNECT),
        call("D1r-t", &[ConnectionTimeout], || async {
            let silent = upstream::hanging_up(End::Silence).await;
            let connector = limited(https(None));
            failed(connector, format!("https://{silent}")).await
        })
        .not_sent(CONNECT),
        call("D1r-t2", &[ConnectionTimeout], || async {
            let silent = upstream::hanging_up(End::Silence).await;
            let mut connector = hyper_timeout::TimeoutConnector::new(https(None));
            connector.set_connect_timeout(Some(SOON));
            failed(connector, format!("https://{silent}")).await
        })
        .not_sent(CONNECT),
        call("D1r-t3", &[HttpResponseTimeout], || async {
            let silent = upstream::answering(b"", End::Silence).await;
            let mut connector = hyper_timeout::TimeoutConnector::new(https(None));
            connector.set_read_timeout(Some(SOON));
            failed(connector, format!("http://{silent}")).await
        }),
    ])
    .await;
}

#[cfg(unix)]
mod unix_sockets {
    use std::{
        io,
        os::unix::net::{UnixDatagram, UnixListener},
        path::PathBuf,
    };

    use hyperlocal::UnixConnector;

    use super::*;

    /// A folder that goes when it is dropped.
    struct Folder(PathBuf);

    impl Drop for Folder {
        fn drop(&mut self) {
            std::fs::remove_dir_all(&self.0).unwrap();
        }
    }

    /// What the connector says of a path, after it was made what it is; what `made` returns lives as long.
    async fn at<T>(name: &'static str, made: impl FnOnce(&PathBuf) -> T) -> Error {
        let folder = Folder(crate::folder());
        let path = folder.0.join("socket");
        let _made = made(&path);
        failed(UnixConnector, http::Uri::from(hyperlocal::Uri::new(folder.0.join(name), "/"))).await
    }

    /// Listens without ever accepting, its queue full.
    fn full(path: &PathBuf) -> Vec<socket2::Socket> {
        let listener = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
        let address = socket2::SockAddr::unix(path).unwrap();
        listener.bind(&address).unwrap();
        listener.listen(0).unwrap();
        let mut sockets = vec![listener];
        loop {
            let waiting = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
            waiting.set_nonblocking(true).unwrap();
            match waiting.connect(&address) {
                Ok(()) => sockets.push(waiting),
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                    return sockets;
                }
            }
        }
    }

    #[tokio::test]
    async fn through_hyperlocal() {
        check(vec![
            call("D6a", &[ConnectionRefused], || at("missing", |_| ())).not_sent(CONNECT),
            #[cfg(target_os = "linux")]
            call("D6c", &[DestinationUnavailable], || at("socket", full)).not_sent(CONNECT),
            call("D6d", &[ConnectionRefused], || at("socket", |path| std::fs::write(path, "no socket").unwrap()))
                .not_sent(CONNECT),
            call("D6h", &[ConnectionRefused], || at("socket", |path| drop(UnixListener::bind(path).unwrap())))
                .not_sent(CONNECT),
            call("D6e", &[ProxyConfigurationError], || {
                at("a-path-that-is-longer-than-the-address-of-a-unix-socket-can-be-on-any-system-that-has-them-which-is-108-bytes-or-fewer", |_| ())
            })
            .not_sent(CONNECT),
            call("D6i", &[ProxyConfigurationError], || at("nul\0byte", |_| ())).not_sent(CONNECT),
            call("D6j", &[ProxyConfigurationError], || failed(UnixConnector, "http://upstream.example/"))
                .not_sent(CONNECT),
            call("D6k", &[ProxyConfigurationError], || failed(UnixConnector, "unix://no-hex/")).not_sent(CONNECT),
            call("D6f", &[ConnectionRefused], || at("socket", |path| UnixDatagram::bind(path).unwrap()))
                .not_sent(CONNECT),
            call("D6g", &[ConnectionRefused], || {
                at("socket/inside", |path| std::fs::write(path, "a file in the way").unwrap())
            })
            .not_sent(CONNECT),
            // Root may do everything; the number is that of the system either way.
            call("D6b", &[DestinationIpProhibited], || async {
                let denied = || std::future::ready(Err::<Pipe, _>(io::Error::from_raw_os_error(13)));
                failed(tower::service_fn(move |_: Uri| denied()), "http://upstream.example").await
            })
            .not_sent(CONNECT),
            // Alone these say too little: a file of anybody's may be missing.
            call("D6a/bare", &[Unclassified], || async {
                tokio::net::UnixStream::connect("/nowhere/at/all").await.unwrap_err()
            }),
        ])
        .await;
    }
}

fn uri(address: std::net::SocketAddr) -> Uri {
    format!("http://{address}").parse().unwrap()
}

/// A proxy that answers CONNECT so.
async fn connect_answered(answer: &'static str, end: End) -> Error {
    let proxy = upstream::listen(move |mut stream| async move {
        upstream::read_head(&mut stream).await?;
        stream.write_all(answer.as_bytes()).await?;
        end.of(stream).await
    });
    failed(Tunnel::new(uri(proxy.await), http()), "http://upstream.example").await
}

#[tokio::test]
async fn through_tunnels() {
    const DENIED: &str = "HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n";
    check(vec![
        call("D7a", &[ConnectionRefused], || async {
            failed(Tunnel::new(uri(upstream::refusing()), http()), "http://upstream.example").await
        })
        .not_sent(CONNECT),
        call("D7a2", &[DnsError], || async {
            failed(Tunnel::new(Uri::from_static("http://nowhere.invalid"), http()), "http://upstream.example").await
        })
        .not_sent(&[Phase::Resolve]),
        call("D7a3", &[ConnectionTimeout], || async {
            failed(Tunnel::new(uri(upstream::black_hole().await), within(SOON)), "http://upstream.example").await
        })
        .not_sent(CONNECT),
        call("D7b", &[ProxyConfigurationError], || connect_answered(DENIED, End::Close)).not_sent(CONNECT),
        // hyper-util does not keep the status.
        call("D7c", &[Unclassified], || connect_answered("HTTP/1.1 502 Bad Gateway\r\n\r\n", End::Close))
            .not_sent(CONNECT),
        call("D7d", &[ConnectionTerminated], || connect_answered("", End::Close)).not_sent(CONNECT),
        call("D7d2", &[ConnectionTerminated], || connect_answered("", End::Reset)).not_sent(CONNECT),
        call("D7d3", &[Unclassified], || connect_answered("220 mail.example ready\r\n\r\n", End::Close))
            .not_sent(CONNECT),
        call("D7d4", &[Unclassified], || connect_answered(LONG_HEAD, End::Close)).not_sent(CONNECT),
        call("D7d5", &[ConnectionTimeout], || async {
            let silent = upstream::answering(b"", End::Silence).await;
            let connector = Tunnel::new(uri(silent), http());
            failed(limited(connector), "http://upstream.example").await
        })
        .not_sent(CONNECT),
    ])
    .await;
}

const LONG_HEAD: &str = const {
    const HEAD: [u8; 16 * 1024] = {
        let mut head = [b'a'; 16 * 1024];
        let start = b"HTTP/1.1 200 ";
        let mut at = 0;
        while at < start.len() {
            head[at] = start[at];
            at += 1;
        }
        head
    };
    match str::from_utf8(&HEAD) {
        Ok(head) => head,
        Err(_) => panic!("it is ASCII"),
    }
};

#[tokio::test]
async fn through_socks() {
    fn socks5(proxy: Uri) -> SocksV5<HttpConnector> {
        SocksV5::new(proxy, http())
    }
    check(vec![
        call("D7e", &[ConnectionRefused], || failed(socks5(uri(upstream::refusing())), "http://127.0.0.1:1"))
            .not_sent(CONNECT),
        call("D7e/4", &[ConnectionRefused], || {
            failed(SocksV4::new(uri(upstream::refusing()), http()), "http://127.0.0.1:1")
        })
        .not_sent(CONNECT),
        call("D7e2", &[ConnectionTimeout], || async {
            failed(SocksV5::new(uri(upstream::black_hole().await), within(SOON)), "http://127.0.0.1:1").await
        })
        .not_sent(CONNECT),
        call("D7e3", &[DnsError], || failed(socks5(Uri::from_static("http://nowhere.invalid")), "http://127.0.0.1:1"))
            .not_sent(&[Phase::Resolve]),
        call("D7g2", &[ConnectionTerminated], || async {
            failed(socks5(uri(upstream::hanging_up(End::Close).await)), "http://127.0.0.1:1").await
        })
        .not_sent(CONNECT),
        call("D7h", &[ConnectionTerminated], || async {
            let proxy = uri(upstream::hanging_up(End::Close).await);
            failed(SocksV4::new(proxy, http()), "http://127.0.0.1:1").await
        })
        .not_sent(CONNECT),
        // What the proxy replies stands in a type that cannot be named.
        call("D7f5", &[Unclassified], || async {
            failed(socks5(uri(upstream::socks5(5).await)), "http://127.0.0.1:1").await
        })
        .not_sent(CONNECT),
        call("D7i", &[ConnectionRefused], || async {
            let proxy = format!("socks5://{}", upstream::refusing()).parse().unwrap();
            let connector = hyper_socks2::SocksConnector { proxy_addr: proxy, auth: None, connector: http() };
            failed(connector, "http://127.0.0.1:1").await
        })
        .not_sent(CONNECT),
    ])
    .await;
}

#[tokio::test]
async fn through_pools() {
    use hyper_util::client::pool;

    check(vec![
        call("D7l", &[ConnectionRefused], || async {
            pool::singleton::Singleton::new(http().map_response(drop))
                .call(uri(upstream::refusing()))
                .await
                .err()
                .unwrap()
        })
        .not_sent(CONNECT),
        call("D7l/dns", &[DnsError], || async {
            let singleton = &mut pool::singleton::Singleton::new(http().map_response(drop));
            singleton.call(Uri::from_static("http://nowhere.invalid")).await.err().unwrap()
        })
        .not_sent(&[Phase::Resolve]),
        call("D7m", &[ConnectionRefused], || async {
            pool::cache::builder().build(http()).call(uri(upstream::refusing())).await.err().unwrap()
        })
        .not_sent(CONNECT),
        call("D7m/late", &[ConnectionTimeout], || async {
            let hole = uri(upstream::black_hole().await);
            pool::cache::builder().build(within(SOON)).call(hole).await.err().unwrap()
        })
        .not_sent(CONNECT),
    ])
    .await;
}
