//! What an upstream may do by TLS: in the handshake, and after it.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, LazyLock},
    time::Duration,
};

use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion,
    crypto::ring,
    pki_types::PrivateKeyDer,
    server::WebPkiClientVerifier,
    version::{TLS12, TLS13},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Notify,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tower::{Layer, util::BoxCloneSyncService};
use tower_bad_gateway::{
    BadGatewayLayer,
    FailureKind::{self, *},
    failure::{Phase, RetrySafety},
};

use crate::{
    connecting,
    gateway::{Gateway, patient, restless},
    row::Row,
    upstream::{self, Act, Upstream},
};

type Issuer = CertifiedIssuer<'static, KeyPair>;
type Versions = &'static [&'static SupportedProtocolVersion];

/// The one the client trusts, and another one.
pub(crate) static TRUSTED: LazyLock<Issuer> = LazyLock::new(authority);
pub(crate) static FOREIGN: LazyLock<Issuer> = LazyLock::new(authority);
pub(crate) const BOTH: Versions = &[&TLS12, &TLS13];
const OLD: Versions = &[&TLS12];
const NEW: Versions = &[&TLS13];

fn authority() -> Issuer {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

pub(crate) fn params(name: &str) -> CertificateParams {
    CertificateParams::new(vec![name.to_owned()]).unwrap()
}

fn good() -> CertificateParams {
    params("127.0.0.1")
}

fn between(from: i32, until: i32) -> CertificateParams {
    let mut params = good();
    (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(until, 1, 1));
    params
}

/// Whom the server asks for a certificate, and what it offers by ALPN.
#[derive(Clone, Copy, Default)]
pub(crate) struct Wants {
    certificate: bool,
    protocol: Option<&'static [u8]>,
}

pub(crate) fn server(
    params: &CertificateParams,
    issuer: &Issuer,
    versions: Versions,
    wants: Wants,
) -> Arc<ServerConfig> {
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, issuer).unwrap();
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(versions).unwrap();
    let builder = if wants.certificate {
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots()), provider).build().unwrap();
        builder.with_client_cert_verifier(verifier)
    } else {
        builder.with_no_client_auth()
    };
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let mut config = builder.with_single_cert(vec![certificate.der().clone()], key).unwrap();
    config.alpn_protocols.extend(wants.protocol.map(<[u8]>::to_vec));
    Arc::new(config)
}

fn healthy() -> Arc<ServerConfig> {
    server(&good(), &TRUSTED, BOTH, Wants::default())
}

fn roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(TRUSTED.der().clone()).unwrap();
    roots
}

pub(crate) fn connector(versions: Versions, http2: bool) -> HttpsConnector<HttpConnector> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots())
        .with_no_client_auth();
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    let https = HttpsConnectorBuilder::new().with_tls_config(config).https_only();
    if http2 { https.enable_http2().wrap_connector(tcp) } else { https.enable_http1().wrap_connector(tcp) }
}

/// What happens on the first connection; all others are good.
#[derive(Clone)]
pub(crate) enum Fault {
    /// Never gets as far as TLS.
    Raw(&'static [Act]),
    /// Says hello as this server; the rest follows.
    Hello(Arc<ServerConfig>),
    /// After the handshake, in answer to the request.
    After(Arc<ServerConfig>, &'static [After]),
}

#[derive(Clone, Copy)]
pub(crate) enum After {
    /// Through TLS.
    Send(&'static [u8]),
    Seen,
    /// Says that no more will come, as TLS asks for.
    CloseNotify,
    /// What happens to the connection below.
    Below(&'static [Act]),
}

pub(crate) async fn start(fault: Fault) -> Upstream {
    let seen = Arc::<Notify>::default();
    let (told, good) = (Arc::clone(&seen), healthy());
    let address = upstream::listen(move |stream, number| {
        let (fault, good, seen) = ((number == 0).then(|| fault.clone()), Arc::clone(&good), Arc::clone(&told));
        async move {
            match fault {
                Some(Fault::Raw(acts)) => raw(stream, acts, &seen).await,
                Some(Fault::Hello(config)) => serve(stream, config, &[], &seen).await,
                Some(Fault::After(config, acts)) => serve(stream, config, acts, &seen).await,
                None => serve(stream, good, &[], &seen).await,
            }
        }
    });
    Upstream { address: address.await, seen }
}

/// Once the client has said hello: what comes before it might be seen before the connection is.
async fn raw(mut stream: TcpStream, acts: &[Act], seen: &Notify) -> io::Result<()> {
    let mut record = [0; 5];
    stream.read_exact(&mut record).await?;
    let mut hello = vec![0; usize::from(u16::from_be_bytes([record[3], record[4]]))];
    stream.read_exact(&mut hello).await?;
    upstream::perform(stream, acts, seen).await
}

async fn serve(stream: TcpStream, config: Arc<ServerConfig>, acts: &[After], seen: &Notify) -> io::Result<()> {
    let mut stream = match TlsAcceptor::from(config).accept(stream).into_fallible().await {
        Ok(stream) => stream,
        // Bytes unread would turn the alert into a reset.
        Err((_, stream)) => return upstream::drain(stream).await,
    };
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        if !acts.is_empty() && !head.starts_with(b"GET /ok ") {
            return misbehave(stream, acts, seen).await;
        }
        stream.write_all(upstream::OK).await?;
        stream.flush().await?;
    }
}

async fn misbehave(mut stream: TlsStream<TcpStream>, acts: &[After], seen: &Notify) -> io::Result<()> {
    for act in acts {
        match act {
            After::Send(bytes) => {
                stream.write_all(bytes).await?;
                stream.flush().await?;
            }
            After::Seen => seen.notified().await,
            After::CloseNotify => {
                stream.shutdown().await?;
                break;
            }
            After::Below(acts) => return upstream::perform(stream.into_inner().0, acts, seen).await,
        }
    }
    upstream::drain(stream.into_inner().0).await
}

fn row(id: &'static str, status: u16, kinds: &'static [FailureKind], fault: Fault, layer: BadGatewayLayer) -> Row {
    Row::new("tls", id, status, kinds, async move {
        Gateway::over(connector(BOTH, false), "https", start(fault).await, false, layer).await.ask().await
    })
}

/// Before there was anything to send a request on.
fn handshake(id: &'static str, kinds: &'static [FailureKind], fault: Fault) -> Row {
    row(id, kinds[0].status().as_u16(), kinds, fault, patient()).retry(RetrySafety::NotSent).phase(Phase::Tls)
}

fn certificate(id: &'static str, params: &CertificateParams, issuer: &Issuer) -> Row {
    handshake(id, &[TlsCertificateError], Fault::Hello(server(params, issuer, BOTH, Wants::default())))
}

/// After the request, in place of a head.
fn late(id: &'static str, kinds: &'static [FailureKind], acts: &'static [After]) -> Row {
    let row = row(id, kinds[0].status().as_u16(), kinds, Fault::After(healthy(), acts), patient());
    row.retry(RetrySafety::Unknown).phase(if kinds == [TlsProtocolError] { Phase::Tls } else { Phase::ResponseHead })
}

/// After a good head and some of a body.
fn cut(id: &'static str, kinds: &'static [FailureKind], acts: &'static [After]) -> Row {
    row(id, 200, kinds, Fault::After(healthy(), acts), patient()).retry(RetrySafety::Unknown).cut()
}

/// Of a client that is given a limit for all of connecting, or speaks in its own way; every connection fails.
fn client<C>(id: &'static str, kinds: &'static [FailureKind], connector: C, fault: Fault) -> Row
where
    C: hyper_util::client::legacy::connect::Connect + Clone + Send + Sync + 'static,
{
    Row::new("tls", id, kinds[0].status().as_u16(), kinds, async move {
        let address: SocketAddr = upstream::listen(move |stream, _| {
            let fault = fault.clone();
            async move {
                match fault {
                    Fault::Raw(acts) => raw(stream, acts, &Notify::new()).await,
                    Fault::Hello(config) | Fault::After(config, _) => serve(stream, config, &[], &Notify::new()).await,
                }
            }
        })
        .await;
        connecting::ask(connecting::with(connector), connecting::get(format!("https://{address}/"))).await
    })
    .retry(RetrySafety::NotSent)
}

pub(crate) fn rows() -> Vec<Row> {
    use After::{Below, CloseNotify, Seen, Send};

    let wants_certificate = Wants { certificate: true, protocol: None };
    let speaks_http_1 = Wants { certificate: false, protocol: Some(b"http/1.1") };
    let limited = tower::timeout::TimeoutLayer::new(Duration::from_millis(300)).layer(connector(BOTH, false));
    let mut own = good();
    own.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    vec![
        certificate("unknown-ca", &good(), &FOREIGN),
        certificate(
            "self-signed",
            &own,
            &CertifiedIssuer::self_signed(own.clone(), KeyPair::generate().unwrap()).unwrap(),
        ),
        certificate("expired", &between(2001, 2002), &TRUSTED),
        certificate("not-yet-valid", &between(2090, 2091), &TRUSTED),
        certificate("wrong-name", &params("other.example"), &TRUSTED),
        certificate("wrong-address", &params("127.0.0.2"), &TRUSTED),
        handshake(
            "alert-handshake-failure",
            &[TlsAlertReceived],
            Fault::Raw(&[Act::Send(b"\x15\x03\x03\x00\x02\x02\x28"), Act::Fin]),
        ),
        handshake(
            "alert-internal-error",
            &[TlsAlertReceived],
            Fault::Raw(&[Act::Send(b"\x15\x03\x03\x00\x02\x02\x50"), Act::Fin]),
        ),
        handshake(
            "alert-unrecognized-name",
            &[TlsAlertReceived],
            Fault::Raw(&[Act::Send(b"\x15\x03\x03\x00\x02\x02\x70"), Act::Fin]),
        ),
        handshake(
            "wants-certificate-1.2",
            &[TlsAlertReceived],
            Fault::Hello(server(&good(), &TRUSTED, OLD, wants_certificate)),
        ),
        // In TLS 1.3 the client has finished, and sent its request, before it learns of that.
        handshake(
            "wants-certificate-1.3",
            &[TlsAlertReceived],
            Fault::Hello(server(&good(), &TRUSTED, NEW, wants_certificate)),
        )
        .retry(RetrySafety::Unknown),
        client(
            "no-common-version",
            &[TlsAlertReceived],
            connector(NEW, false),
            Fault::Hello(server(&good(), &TRUSTED, OLD, Wants::default())),
        ),
        client(
            "no-common-protocol",
            &[TlsAlertReceived],
            connector(BOTH, true),
            Fault::Hello(server(&good(), &TRUSTED, BOTH, speaks_http_1)),
        ),
        client("silence", &[ConnectionTimeout], BoxCloneSyncService::new(limited), Fault::Raw(&[Act::Wait])),
        handshake(
            "plain-http",
            &[TlsProtocolError],
            Fault::Raw(&[Act::Send(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"), Act::Fin]),
        ),
        handshake(
            "nonsense",
            &[TlsProtocolError],
            Fault::Raw(&[Act::Send(b"\xff\xff\xff\xff\xff\xff\xff\xff"), Act::Fin]),
        ),
        handshake(
            "data-before-hello",
            &[TlsProtocolError],
            Fault::Raw(&[Act::Send(b"\x17\x03\x03\x00\x05hello"), Act::Fin]),
        ),
        handshake("fin-in-handshake", &[TlsProtocolError], Fault::Raw(&[Act::Fin])),
        handshake(
            "fin-in-record",
            &[TlsProtocolError],
            Fault::Raw(&[Act::Send(b"\x16\x03\x03\x00\x7a\x02"), Act::Fin]),
        ),
        handshake("rst-in-handshake", &[ConnectionTerminated], Fault::Raw(&[Act::Rst])),
        late("close-notify-instead-of-head", &[ConnectionTerminated], &[CloseNotify]),
        late("fin-instead-of-head", &[ConnectionTerminated], &[Below(&[Act::Fin])]),
        late("fin-mid-head", &[ConnectionTerminated], &[Send(b"HTTP/1.1 200 OK\r\nconte"), Below(&[Act::Fin])]),
        late("rst-instead-of-head", &[ConnectionTerminated], &[Below(&[Act::Rst])]),
        late("forged-record-instead-of-head", &[TlsProtocolError], &[Below(&[Act::Send(FORGED), Act::Fin])]),
        late("garbage-through-tls", &[HttpProtocolError], &[Send(b"220 mail.example ESMTP\r\n\r\n"), CloseNotify]),
        cut("length-short", &[HttpResponseIncomplete], &[Send(TEN), Send(b"five5"), Seen, CloseNotify]),
        cut("length-short-fin", &[HttpResponseIncomplete], &[Send(TEN), Send(b"five5"), Seen, Below(&[Act::Fin])]),
        cut("length-short-rst", &[ConnectionTerminated], &[Send(TEN), Send(b"five5"), Seen, Below(&[Act::Rst])]),
        // By plain TCP nobody could tell: TLS says whether the end is the end (RFC 9112, section 9.8).
        cut("close-delimited-fin", &[HttpResponseIncomplete], &[Send(CLOSE), Send(b"five5"), Seen, Below(&[Act::Fin])]),
        cut(
            "forged-record",
            &[TlsProtocolError],
            &[Send(TEN), Send(b"five5"), Seen, Below(&[Act::Send(FORGED), Act::Fin])],
        ),
        row(
            "silent-mid-body",
            200,
            &[ConnectionReadTimeout],
            Fault::After(healthy(), &[Send(TEN), Send(b"five5"), Below(&[Act::Wait])]),
            restless(),
        )
        .cut(),
        row("healthy", 200, &[], Fault::After(healthy(), &[Send(upstream::OK)]), patient()),
        row(
            "healthy-1.2",
            200,
            &[],
            Fault::After(server(&good(), &TRUSTED, OLD, Wants::default()), &[Send(upstream::OK)]),
            patient(),
        ),
        row(
            "healthy-close-delimited",
            200,
            &[],
            Fault::After(healthy(), &[Send(CLOSE), Send(b"five5"), CloseNotify]),
            patient(),
        ),
    ]
}

const TEN: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n";
const CLOSE: &[u8] = b"HTTP/1.1 200 OK\r\n\r\n";
/// A record that nobody who knows the keys has made.
const FORGED: &[u8] = b"\x17\x03\x03\x00\x20forged forged forged forged forg";
