//! Upstreams that fail in one way each, on loopback.

use std::{
    future::pending,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer},
    server::WebPkiClientVerifier,
    version::TLS13,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
};
use tokio_rustls::TlsAcceptor;

const HERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A port that is taken and refuses, for as long as the program runs.
pub(crate) fn refusing() -> SocketAddr {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(HERE).unwrap();
    let address = socket.local_addr().unwrap();
    std::mem::forget(socket);
    address
}

/// Drops every packet that would open a connection, as a firewall does: its queue is full, and nobody accepts.
pub(crate) async fn black_hole() -> SocketAddr {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(HERE).unwrap();
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let first = TcpStream::connect(address).await.unwrap();
    // What came with the first is in the queue, or about to be: one more takes what room there may be left.
    let more = tokio::spawn(TcpStream::connect(address));
    tokio::spawn(async move {
        let _held = (listener, first, more);
        pending::<()>().await;
    });
    address
}

/// Gives each connection to `serve`.
pub(crate) async fn listen<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = std::io::Result<()>> + Send + 'static,
{
    let listener = TcpListener::bind(HERE).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    address
}

/// How a connection ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    Close,
    Reset,
    Silence,
}

impl End {
    pub(crate) async fn of(self, mut stream: TcpStream) -> std::io::Result<()> {
        match self {
            Self::Close => {
                stream.shutdown().await?;
                drain(&mut stream).await
            }
            Self::Reset => stream.set_zero_linger(),
            Self::Silence => drain(&mut stream).await,
        }
    }
}

/// Reads the head of a request, sends this, and ends.
pub(crate) async fn answering(answer: &'static [u8], end: End) -> SocketAddr {
    listen(move |mut stream| async move {
        read_head(&mut stream).await?;
        stream.write_all(answer).await?;
        end.of(stream).await
    })
    .await
}

/// Reads until the other side has no more: a socket closed with bytes unread would send a reset.
pub(crate) async fn drain(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<()> {
    let mut buffer = [0; 4096];
    while stream.read(&mut buffer).await? > 0 {}
    Ok(())
}

pub(crate) async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// The length of what an HTTP/2 client says before its first frame, in bytes.
pub(crate) const PREFACE: usize = 24;

/// Reads an HTTP/2 frame, and returns its head.
pub(crate) async fn read_frame(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<[u8; 9]> {
    let mut head = [0; 9];
    stream.read_exact(&mut head).await?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    stream.read_exact(&mut vec![0; length as usize]).await?;
    Ok(head)
}

/// What is wrong with the TLS of an upstream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Tls {
    Expired,
    UnknownAuthority,
    WrongName,
    WantsCertificate,
}

/// An upstream with that fault, and what its client trusts.
pub(crate) async fn tls(fault: Tls) -> (SocketAddr, CertificateDer<'static>) {
    let authority = |name: &str| {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    };
    let (known, foreign) = (authority("known"), authority("foreign"));
    let name = if fault == Tls::WrongName { "other.example" } else { "127.0.0.1" };
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    if fault == Tls::Expired {
        (params.not_before, params.not_after) = (date_time_ymd(2001, 1, 1), date_time_ymd(2002, 1, 1));
    }
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, if fault == Tls::UnknownAuthority { &foreign } else { &known }).unwrap();
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(&[&TLS13]).unwrap();
    let builder = if fault == Tls::WantsCertificate {
        let mut roots = RootCertStore::empty();
        roots.add(known.der().clone()).unwrap();
        builder.with_client_cert_verifier(
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap(),
        )
    } else {
        builder.with_no_client_auth()
    };
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(builder.with_single_cert(vec![certificate.der().clone()], key).unwrap()));
    let address = listen(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let mut stream = acceptor.accept(stream).await?;
            drain(&mut stream).await
        }
    });
    (address.await, known.der().clone())
}

/// A TLS alert in place of an answer to the client's first message.
pub(crate) async fn alerting() -> SocketAddr {
    const HANDSHAKE_FAILURE: &[u8] = b"\x15\x03\x03\x00\x02\x02\x28";
    listen(|mut stream| async move {
        let _ = stream.read(&mut [0; 4096]).await?;
        stream.write_all(HANDSHAKE_FAILURE).await?;
        End::Close.of(stream).await
    })
    .await
}

/// Reads what a client says first, and ends.
pub(crate) async fn hanging_up(end: End) -> SocketAddr {
    listen(move |mut stream| async move {
        let _ = stream.read(&mut [0; 4096]).await?;
        end.of(stream).await
    })
    .await
}

/// Sends this whatever a client says first, and ends.
pub(crate) async fn answering_anything(answer: &'static [u8]) -> SocketAddr {
    listen(move |mut stream| async move {
        let _ = stream.read(&mut [0; 4096]).await?;
        stream.write_all(answer).await?;
        End::Close.of(stream).await
    })
    .await
}

/// A SOCKS5 proxy that needs no password, and answers every request with this reply (RFC 1928, section 6).
pub(crate) async fn socks5(reply: u8) -> SocketAddr {
    listen(move |mut stream| async move {
        let _ = stream.read(&mut [0; 512]).await?;
        stream.write_all(&[5, 0]).await?;
        let _ = stream.read(&mut [0; 512]).await?;
        stream.write_all(&[5, reply, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
        End::Close.of(stream).await
    })
    .await
}
