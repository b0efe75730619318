//! Upstreams over real sockets, and hyper's client in front of them.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{
    Request, Uri, Version,
    header::{CONNECTION, HOST},
};
use hyper::body::Incoming;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tokio::{
    io::{self, AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tower::ServiceBuilder;

use crate::row::{Server, Subject, listener};

/// What becomes of a connection once all has been said.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Then {
    Stay,
    Close,
    /// Says what it hears.
    Echo,
}

/// Sends these parts, whatever it is asked.
pub(crate) fn http1(parts: &'static [&'static [u8]], then: Then) -> SocketAddr {
    let (listener, address) = listener();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).unwrap();
            tokio::spawn(speak(stream, parts, then));
        }
    });
    address
}

async fn speak(mut stream: TcpStream, parts: &[&[u8]], then: Then) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    for part in parts {
        stream.write_all(part).await?;
    }
    let (mut from, mut to) = stream.split();
    match then {
        Then::Stay => {}
        Then::Close => to.shutdown().await?,
        Then::Echo => {
            io::copy(&mut from, &mut to).await?;
            return to.shutdown().await;
        }
    }
    // Read to the end: a socket closed with bytes unread would send a reset.
    io::copy(&mut from, &mut io::sink()).await.map(drop)
}

/// hyper's client in front of bytes.
pub(crate) fn from_http1(parts: &'static [&'static [u8]], then: Then) -> impl Subject<Content = Incoming> + Sync {
    client(http1(parts, then), Version::HTTP_11)
}

/// hyper's client in front of hyper's server, over HTTP/2.
pub(crate) fn from_http2(service: impl Subject) -> impl Subject<Content = Incoming> + Sync {
    client(Server::start(service).stay(), Version::HTTP_2)
}

pub(crate) fn client(address: SocketAddr, version: Version) -> impl Subject<Content = Incoming> + Sync {
    let client = Client::builder(TokioExecutor::new())
        .pool_max_idle_per_host(0)
        .http2_only(version == Version::HTTP_2)
        .build_http::<Incoming>();
    ServiceBuilder::new().map_request(move |request| rewrite(request, address, version)).service(client)
}

/// From a server's request to a client's.
pub(crate) fn rewrite<A>(mut request: Request<A>, address: SocketAddr, version: Version) -> Request<A> {
    let path = request.uri().path_and_query().unwrap().as_str();
    *request.uri_mut() = format!("http://{address}{path}").parse::<Uri>().unwrap();
    *request.version_mut() = version;
    request.headers_mut().remove(HOST);
    if version == Version::HTTP_2 {
        request.headers_mut().remove(CONNECTION);
    }
    request
}

/// `hello`, as gzip has it.
pub(crate) const GZIP: &[u8] =
    b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xcb\x48\xcd\xc9\xc9\x07\x00\x86\xa6\x10\x36\x05\x00\x00\x00";

pub(crate) fn gzip() -> Bytes {
    Bytes::from_static(GZIP)
}
