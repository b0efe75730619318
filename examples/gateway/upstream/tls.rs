//! The TLS side of the embedded upstream: certificates made at start-up, most of them wrong.

use std::{error::Error, io, net::SocketAddr, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer},
    server::WebPkiClientVerifier,
    version::TLS12,
};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

use super::{OK, close, drain, read_head};

/// One listener for each way to fail.
pub(crate) struct Tls {
    /// Trusted by the gateway.
    pub(crate) authority: CertificateDer<'static>,
    pub(crate) paths: Vec<(&'static str, SocketAddr)>,
}

/// Path, what happens there, what a client sees.
#[rustfmt::skip] // a table
pub(super) const FAULTS: &[(&str, &str, &str)] = &[
    ("/tls/ok", "answers properly, by TLS", "200"),
    ("/tls/unknown-ca", "has a certificate of an unknown CA", "502 tls_certificate_error"),
    ("/tls/expired", "has a certificate that has expired", "502 tls_certificate_error"),
    ("/tls/wrong-name", "has a certificate for another name", "502 tls_certificate_error"),
    ("/tls/client-certificate", "wants a certificate of the gateway", "502 tls_alert_received"),
    ("/tls/plaintext", "does not speak TLS", "502 tls_protocol_error"),
    ("/tls/silence", "does not finish the handshake", "504 connection_timeout"),
];

#[derive(Clone)]
enum Act {
    Handshake(TlsAcceptor),
    Silence,
    Plaintext,
}

pub(super) async fn start() -> Result<Tls, Box<dyn Error>> {
    let known = authority("embedded CA")?;
    let foreign = authority("somebody else's CA")?;
    let good = || CertificateParams::new(vec!["127.0.0.1".to_owned()]);
    let mut expired = good()?;
    (expired.not_before, expired.not_after) = (date_time_ymd(2001, 1, 1), date_time_ymd(2002, 1, 1));
    let wrong_name = CertificateParams::new(vec!["other.example".to_owned()])?;

    let acts = [
        ("/tls/ok", Act::Handshake(acceptor(good()?, &known, false)?)),
        ("/tls/unknown-ca", Act::Handshake(acceptor(good()?, &foreign, false)?)),
        ("/tls/expired", Act::Handshake(acceptor(expired, &known, false)?)),
        ("/tls/wrong-name", Act::Handshake(acceptor(wrong_name, &known, false)?)),
        ("/tls/client-certificate", Act::Handshake(acceptor(good()?, &known, true)?)),
        ("/tls/plaintext", Act::Plaintext),
        ("/tls/silence", Act::Silence),
    ];
    let mut paths = Vec::new();
    for (path, act) in acts {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        paths.push((path, listener.local_addr()?));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, act.clone()));
            }
        });
    }
    Ok(Tls { authority: known.der().clone(), paths })
}

async fn serve(mut stream: TcpStream, act: Act) -> io::Result<()> {
    match act {
        Act::Handshake(acceptor) => {
            let mut stream = acceptor.accept(stream).await?;
            read_head(&mut stream).await?;
            stream.write_all(OK.as_bytes()).await?;
            close(stream).await
        }
        Act::Silence => drain(&mut stream).await,
        Act::Plaintext => {
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await?;
            drain(&mut stream).await
        }
    }
}

fn authority(name: &str) -> Result<CertifiedIssuer<'static, KeyPair>, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    CertifiedIssuer::self_signed(params, KeyPair::generate()?)
}

fn acceptor(
    params: CertificateParams,
    issuer: &CertifiedIssuer<'static, KeyPair>,
    asks_for_certificate: bool,
) -> Result<TlsAcceptor, Box<dyn Error>> {
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, issuer)?;
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
    let builder = if asks_for_certificate {
        let mut roots = RootCertStore::empty();
        roots.add(issuer.der().clone())?;
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build()?;
        // In TLS 1.3 the client would only learn of it after its request.
        builder.with_protocol_versions(&[&TLS12])?.with_client_cert_verifier(verifier)
    } else {
        builder.with_safe_default_protocol_versions()?.with_no_client_auth()
    };
    let key = PrivateKeyDer::try_from(key.serialize_der())?;
    Ok(TlsAcceptor::from(Arc::new(builder.with_single_cert(vec![certificate.der().clone()], key)?)))
}
