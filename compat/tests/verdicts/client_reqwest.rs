//! D2: reqwest. XM, XT: what stands around it.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use reqwest::{Client, ClientBuilder, Proxy};
use tokio::io::AsyncWriteExt;
use tower_bad_gateway::{
    FailureKind::{self, *},
    failure::Phase,
};

use crate::{
    row::{Row, body, call, check},
    upstream::{self, End, Tls},
};

/// Where a timeout is expected.
const SOON: Duration = Duration::from_millis(300);
/// Where it is expected after a head, which has to come before.
const AFTER_THE_HEAD: Duration = Duration::from_secs(3);

fn builder() -> ClientBuilder {
    let _ = rustls::crypto::ring::default_provider().install_default();
    // Those of the system take their time to be read, and nobody here has a certificate of theirs.
    Client::builder().no_proxy().tls_certs_only([])
}

async fn failed(client: ClientBuilder, uri: String) -> reqwest::Error {
    client.build().unwrap().get(uri).send().await.unwrap_err()
}

/// The error of a body whose head was good.
async fn broken(client: ClientBuilder, uri: String) -> reqwest::Error {
    client.build().unwrap().get(uri).send().await.unwrap().bytes().await.unwrap_err()
}

const CONNECT: &[Phase] = &[Phase::Connect];
const TLS: &[Phase] = &[Phase::Tls];
const HEAD: &[Phase] = &[Phase::ResponseHead];

/// reqwest may have followed a redirect or sent again: below it no attempt is known to be the only one.
fn before_the_head() -> Vec<Row> {
    vec![
        call("D2a", &[ConnectionRefused], || async {
            failed(builder(), format!("http://{}", upstream::refusing())).await
        })
        .phase(CONNECT),
        call("D2b", &[HttpResponseTimeout], || async {
            let silent = upstream::answering(b"", End::Silence).await;
            failed(builder().timeout(SOON), format!("http://{silent}")).await
        }),
        call("D2c", &[HttpResponseTimeout], || async {
            let silent = upstream::answering(b"", End::Silence).await;
            failed(builder().read_timeout(SOON), format!("http://{silent}")).await
        }),
        call("D2b2", &[HttpResponseTimeout], || async {
            failed(builder().timeout(SOON), format!("http://{}", upstream::black_hole().await)).await
        }),
        // Two timers of one length, of which either may be first.
        call("D2d", &[ConnectionTimeout], || async {
            failed(builder().connect_timeout(SOON), format!("http://{}", upstream::black_hole().await)).await
        })
        .phase(CONNECT),
        call("D2d2", &[ConnectionTimeout], || async {
            let silent = upstream::hanging_up(End::Silence).await;
            failed(builder().connect_timeout(SOON), format!("https://{silent}")).await
        })
        .phase(CONNECT),
        call("D2e", &[DnsError], || async { failed(builder(), "http://nowhere.invalid/".to_owned()).await })
            .phase(&[Phase::Resolve]),
        call("D2f", &[HttpProtocolError], || async {
            let looping = upstream::answering(
                b"HTTP/1.1 302 Found\r\nlocation: /\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
                End::Close,
            );
            failed(builder(), format!("http://{}/", looping.await)).await
        }),
        call("D2f3", &[ProxyConfigurationError], || async { failed(builder(), "ftp://127.0.0.1/".to_owned()).await }),
        call("D2k", &[ProxyConfigurationError], || async { failed(builder(), "/relative".to_owned()).await }),
        call("D2k2", &[ProxyConfigurationError], || async { failed(builder(), "http://[".to_owned()).await }),
        call("D2g", &[ConnectionTerminated], || async {
            failed(builder(), format!("http://{}", upstream::answering(b"", End::Close).await)).await
        })
        .phase(HEAD),
        call("D2g2", &[ConnectionTerminated], || async {
            failed(builder(), format!("http://{}", upstream::answering(b"", End::Reset).await)).await
        }),
        call("D2g3", &[HttpProtocolError], || async {
            failed(builder(), format!("http://{}", upstream::answering(b"no HTTP\r\n\r\n", End::Close).await)).await
        })
        .phase(HEAD),
    ]
}

fn through_tls() -> Vec<Row> {
    async fn trusting(fault: Tls) -> reqwest::Error {
        let (address, trusted) = upstream::tls(fault).await;
        let trusted = reqwest::Certificate::from_der(&trusted).unwrap();
        failed(builder().tls_certs_only([trusted]), format!("https://{address}")).await
    }
    vec![
        call("D2h", &[TlsProtocolError], || async {
            let plain = upstream::answering_anything(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await;
            failed(builder(), format!("https://{plain}")).await
        })
        .phase(TLS),
        call("D2i", &[TlsCertificateError], || trusting(Tls::UnknownAuthority)).phase(TLS),
        call("D2i2", &[TlsCertificateError], || trusting(Tls::WrongName)).phase(TLS),
        call("D2i/expired", &[TlsCertificateError], || trusting(Tls::Expired)).phase(TLS),
        call("D2j", &[HttpProtocolError], || async {
            failed(builder(), format!("http://{}", upstream::tls(Tls::Expired).await.0)).await
        })
        .phase(HEAD),
        // By race: the connection is closed before, while or after the request is written.
        call("D2k3", &[ConnectionTerminated, HttpProtocolError], || async {
            let old = upstream::answering_anything(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await;
            failed(builder().http2_prior_knowledge(), format!("http://{old}")).await
        })
        .phase(&[Phase::ResponseHead, Phase::Unknown]),
    ]
}

fn through_proxies() -> Vec<Row> {
    fn behind(proxy: String) -> ClientBuilder {
        builder().proxy(Proxy::all(proxy).unwrap())
    }
    async fn answered(status: &'static str) -> reqwest::Error {
        let proxy = upstream::listen(move |mut stream| async move {
            upstream::read_head(&mut stream).await?;
            stream.write_all(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").as_bytes()).await?;
            End::Close.of(stream).await
        });
        failed(behind(format!("http://{}", proxy.await)), "https://upstream.example".to_owned()).await
    }
    vec![
        call("D2l", &[ConnectionRefused], || async {
            failed(behind(format!("http://{}", upstream::refusing())), "http://upstream.example".to_owned()).await
        })
        .phase(CONNECT),
        call("D2l2", &[ConnectionRefused], || async {
            failed(behind(format!("http://{}", upstream::refusing())), "https://upstream.example".to_owned()).await
        })
        .phase(CONNECT),
        call("D2l3", &[ProxyConfigurationError], || answered("407 Proxy Authentication Required")).phase(CONNECT),
        // hyper-util does not keep the status.
        call("D2l4", &[Unclassified], || answered("502 Bad Gateway")).phase(CONNECT),
        call("D2m", &[ConnectionRefused], || async {
            failed(behind(format!("socks5://{}", upstream::refusing())), "http://127.0.0.1:1".to_owned()).await
        })
        .phase(CONNECT),
        call("D2m2", &[ConnectionTimeout], || async {
            let proxy = behind(format!("socks5://{}", upstream::black_hole().await));
            failed(proxy.connect_timeout(SOON), "http://127.0.0.1:1".to_owned()).await
        })
        .phase(CONNECT),
        // What the proxy answers cannot be read: its type stands in a private module, and is no variant of a type that does not.
        call("D2m3", &[Unclassified], || async {
            failed(behind(format!("socks5://{}", upstream::socks5(4).await)), "http://127.0.0.1:1".to_owned()).await
        })
        .phase(CONNECT),
    ]
}

fn bodies() -> Vec<Row> {
    const HALF: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf";
    const NO_GZIP: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 7\r\n\r\nno gzip";
    const SHORT_GZIP: &[u8] =
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 10\r\n\r\n\x1f\x8b\x08\0\0\0\0\0\0\x03";
    const HTML: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 15\r\n\r\n<!doctype html>";
    async fn from(answer: &'static [u8], end: End, client: ClientBuilder) -> reqwest::Error {
        broken(client, format!("http://{}", upstream::answering(answer, end).await)).await
    }
    const IN_BODY: &[Phase] = &[Phase::ResponseBody];
    vec![
        body("D2n", &[HttpResponseIncomplete], || from(HALF, End::Close, builder())),
        body("D2n5", &[ConnectionTerminated], || from(HALF, End::Reset, builder())),
        body("D2n2", &[HttpResponseContentCoding], || from(NO_GZIP, End::Close, builder())),
        body("D2n2/early", &[HttpResponseContentCoding], || from(SHORT_GZIP, End::Close, builder())),
        body("D2n3", &[ConnectionReadTimeout], || from(HALF, End::Silence, builder().timeout(AFTER_THE_HEAD))),
        body("D2n4", &[ConnectionReadTimeout], || from(HALF, End::Silence, builder().read_timeout(AFTER_THE_HEAD))),
        // The same where a handler reads the body, and nobody says that it is one.
        call("D2n/h", &[HttpResponseIncomplete], || from(HALF, End::Close, builder())).phase(IN_BODY),
        call("D2n2/h", &[HttpResponseContentCoding], || from(NO_GZIP, End::Close, builder())).phase(IN_BODY),
        call("D2n2/early/h", &[HttpResponseContentCoding], || from(SHORT_GZIP, End::Close, builder())).phase(IN_BODY),
        call("D2n3/h", &[ConnectionReadTimeout], || from(HALF, End::Silence, builder().timeout(AFTER_THE_HEAD)))
            .phase(IN_BODY),
        // Whole, and not what was expected. No type says more.
        call("D2o", &[HttpProtocolError], || async {
            let address = upstream::answering(HTML, End::Close).await;
            let response = builder().build().unwrap().get(format!("http://{address}")).send().await.unwrap();
            response.json::<serde_json::Value>().await.unwrap_err()
        })
        .phase(IN_BODY),
    ]
}

fn statuses() -> Vec<Row> {
    async fn of(status: u16) -> reqwest::Error {
        let address = upstream::listen(move |mut stream| async move {
            upstream::read_head(&mut stream).await?;
            stream.write_all(format!("HTTP/1.1 {status} Status\r\ncontent-length: 0\r\n\r\n").as_bytes()).await?;
            End::Close.of(stream).await
        });
        let response = builder().build().unwrap().get(format!("http://{}", address.await)).send().await.unwrap();
        response.error_for_status().unwrap_err()
    }
    const RECEIVED: &[FailureKind] = &[ReceivedStatus];
    vec![
        call("D2p/404", RECEIVED, || of(404)).received(404).code(&[12]),
        call("D2p/429", RECEIVED, || of(429)).received(429),
        call("D2p/502", RECEIVED, || of(502)).received(502),
        call("D2p/503", RECEIVED, || of(503)).received(503),
        call("D2p/504", RECEIVED, || of(504)).received(504),
    ]
}

fn requests() -> Vec<Row> {
    async fn failing(kind: std::io::ErrorKind) -> reqwest::Error {
        let address = upstream::answering(b"", End::Silence).await;
        let parts = [Ok(Bytes::from_static(b"half")), Err(std::io::Error::from(kind))];
        let upload = reqwest::Body::wrap_stream(stream::iter(parts));
        builder().build().unwrap().post(format!("http://{address}")).body(upload).send().await.unwrap_err()
    }
    vec![
        call("D2q", &[HttpRequestError], || failing(std::io::ErrorKind::ConnectionReset))
            .phase(&[Phase::RequestBody])
            .with_content(),
        call("D2q2", &[HttpRequestError], || failing(std::io::ErrorKind::TimedOut))
            .phase(&[Phase::RequestBody])
            .with_content()
            .status(408),
    ]
}

#[cfg(unix)]
fn unix_sockets() -> Vec<Row> {
    async fn at(file: Option<&'static str>) -> reqwest::Error {
        let folder = crate::folder();
        let path = folder.join("socket");
        if let Some(content) = file {
            std::fs::write(&path, content).unwrap();
        }
        let error = failed(builder().unix_socket(path), "http://upstream.example".to_owned()).await;
        std::fs::remove_dir_all(folder).unwrap();
        error
    }
    vec![
        call("D2r", &[ConnectionRefused], || at(None)).phase(CONNECT),
        call("D2r2", &[ConnectionRefused], || at(Some("no socket"))).phase(CONNECT),
    ]
}

#[tokio::test]
async fn before_the_head_of_reqwest() {
    check(
        [before_the_head(), through_tls(), through_proxies(), statuses(), requests()].into_iter().flatten().collect(),
    )
    .await;
}

#[tokio::test]
async fn in_the_body_of_reqwest() {
    check(bodies()).await;
}

#[cfg(unix)]
#[tokio::test]
async fn through_unix_sockets_of_reqwest() {
    check(unix_sockets()).await;
}

pub(crate) use self::middleware::retrying;

mod middleware {
    use std::io;

    use reqwest_middleware::{ClientBuilder, ClientWithMiddleware, Middleware, Next};
    use reqwest_retry::{RetryTransientMiddleware, policies::ExponentialBackoff};

    use super::*;

    fn plain(client: reqwest::ClientBuilder) -> ClientWithMiddleware {
        ClientBuilder::new(client.build().unwrap()).build()
    }

    pub(crate) fn retrying(client: reqwest::ClientBuilder) -> ClientWithMiddleware {
        let policy = ExponentialBackoff::builder()
            .retry_bounds(Duration::from_millis(1), Duration::from_millis(1))
            .build_with_max_retries(1);
        ClientBuilder::new(client.build().unwrap()).with(RetryTransientMiddleware::new_with_policy(policy)).build()
    }

    async fn failed(client: ClientWithMiddleware, uri: String) -> reqwest_middleware::Error {
        client.get(uri).send().await.unwrap_err()
    }

    struct Failing;

    #[async_trait::async_trait]
    impl Middleware for Failing {
        async fn handle(
            &self,
            _: reqwest::Request,
            _: &mut http::Extensions,
            _: Next<'_>,
        ) -> reqwest_middleware::Result<reqwest::Response> {
            Err(reqwest_middleware::Error::middleware(io::Error::from(io::ErrorKind::ConnectionReset)))
        }
    }

    #[tokio::test]
    async fn around_reqwest() {
        check(vec![
            call("XMa", &[ConnectionRefused], || async {
                failed(plain(builder()), format!("http://{}", upstream::refusing())).await
            })
            .phase(CONNECT),
            call("XMb", &[ConnectionRefused], || async {
                failed(retrying(builder()), format!("http://{}", upstream::refusing())).await
            })
            .phase(CONNECT),
            call("XMd", &[DnsError], || async {
                failed(retrying(builder()), "http://nowhere.invalid/".to_owned()).await
            })
            .phase(&[Phase::Resolve]),
            call("XMc", &[HttpResponseTimeout], || async {
                let silent = upstream::answering(b"", End::Silence).await;
                failed(retrying(builder().timeout(SOON)), format!("http://{silent}")).await
            }),
            call("XMc/plain", &[HttpResponseTimeout], || async {
                let silent = upstream::answering(b"", End::Silence).await;
                failed(plain(builder().timeout(SOON)), format!("http://{silent}")).await
            }),
            call("XMe", &[ConnectionTerminated], || async {
                let client = ClientBuilder::new(builder().build().unwrap()).with(Failing).build();
                failed(client, format!("http://{}", upstream::refusing())).await
            }),
        ])
        .await;
    }
}
