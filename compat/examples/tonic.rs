//! A tonic server behind a gateway, called in all four ways, and the layer around a channel. No protoc: the messages are bytes.
//!
//! ```text
//! $ cargo run --package tower-bad-gateway-compat --example tonic
//! unary             ["a"]
//! server streaming  ["a", "a", "a"]
//! client streaming  ["abc"]
//! bidirectional     ["a", "b", "c"]
//! breaks off        ["a", "a"], then Unavailable: the response of the upstream was cut short
//! no server         Unavailable: the upstream refused the connection
//! ```

use std::{
    error::Error,
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use http::{Request, Response, Uri, uri::PathAndQuery};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpSocket},
    time::{Sleep, sleep},
};
use tonic::{
    Status, Streaming,
    body::Body,
    client::{Grpc, GrpcService},
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    transport::{Channel, Endpoint},
};
use tower::{Layer, ServiceBuilder, service_fn};
use tower_bad_gateway::{BadGatewayLayer, BoxError, RequestBodyTap};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Outcome<()> {
    let server = listen(service_fn(echo)).await?;
    let client = Client::builder(TokioExecutor::new()).http2_only(true).build(HttpConnector::new());
    let gateway = ServiceBuilder::new()
        .layer(RequestBodyTap::new())
        .layer(BadGatewayLayer::new().single_attempt())
        .map_request(move |mut request: Request<_>| {
            let path = request.uri().path_and_query().map_or("/", PathAndQuery::as_str);
            *request.uri_mut() = Uri::try_from(format!("http://{server}{path}")).unwrap_or_default();
            request
        })
        .service(client);
    let channel = channel(listen(gateway).await?)?;

    println!("unary             {}", call(channel.clone(), "/echo/unary", &["a"]).await);
    println!("server streaming  {}", call(channel.clone(), "/echo/server", &["a"]).await);
    println!("client streaming  {}", call(channel.clone(), "/echo/client", &["a", "b", "c"]).await);
    println!("bidirectional     {}", call(channel.clone(), "/echo/bidi", &["a", "b", "c"]).await);
    println!("breaks off        {}", call(channel, "/echo/break", &["a"]).await);

    // A port that nothing listens on, and the layer where calls leave.
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let nothing = BadGatewayLayer::new().layer(self::channel(socket.local_addr()?)?);
    println!("no server         {}", call(nothing, "/echo/unary", &["a"]).await);
    Ok(())
}

fn channel(address: SocketAddr) -> Outcome<Channel> {
    Ok(Endpoint::from_shared(format!("http://{address}"))?.connect_lazy())
}

/// Every kind of call is a special case of this one: a stream there, a stream back.
async fn call<S>(service: S, path: &'static str, messages: &[&'static str]) -> String
where
    S: GrpcService<Body>,
    S::ResponseBody: http_body::Body<Data = Bytes> + Send + 'static,
    <S::ResponseBody as http_body::Body>::Error: Into<BoxError> + Send,
{
    let mut client = Grpc::new(service);
    let messages: Vec<_> = messages.iter().map(|message| Bytes::from_static(message.as_bytes())).collect();
    if client.ready().await.is_err() {
        return "not ready".to_owned();
    }
    let request = tonic::Request::new(stream::iter(messages));
    let mut answers: Streaming<Bytes> = match client.streaming(request, PathAndQuery::from_static(path), Raw).await {
        Ok(response) => response.into_inner(),
        Err(status) => return format!("{:?}: {}", status.code(), status.message()),
    };
    let mut seen = Vec::new();
    loop {
        match answers.message().await {
            Ok(Some(message)) => seen.push(String::from_utf8_lossy(&message).into_owned()),
            Ok(None) => return format!("{seen:?}"),
            Err(status) => return format!("{seen:?}, then {:?}: {}", status.code(), status.message()),
        }
    }
}

/// What protoc would write the frame of: the server's four methods, and one that breaks off.
async fn echo<B>(request: Request<B>) -> Result<Response<Body>, io::Error>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError> + Send,
{
    let mut server = tonic::server::Grpc::new(Raw);
    let same = service_fn(|request: tonic::Request<Bytes>| async { Ok(tonic::Response::new(request.into_inner())) });
    Ok(match request.uri().path() {
        "/echo/unary" => server.unary(same, request).await,
        "/echo/client" => server.client_streaming(service_fn(join), request).await,
        "/echo/server" => server.server_streaming(service_fn(|request| repeat(request, 3)), request).await,
        "/echo/bidi" => server.streaming(service_fn(back), request).await,
        // Two of three messages, and then the connection is gone, as far as the gateway can tell.
        _ => {
            let whole = server.server_streaming(service_fn(|request| repeat(request, 2)), request).await;
            whole.map(|body| Body::new(Broken(body, Box::pin(sleep(Duration::from_millis(100))))))
        }
    })
}

async fn join(request: tonic::Request<Streaming<Bytes>>) -> Result<tonic::Response<Bytes>, Status> {
    let parts: Vec<Bytes> = request.into_inner().try_collect().await?;
    Ok(tonic::Response::new(parts.concat().into()))
}

type Answers = Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>;

async fn repeat(request: tonic::Request<Bytes>, times: usize) -> Result<tonic::Response<Answers>, Status> {
    Ok(tonic::Response::new(stream::repeat(Ok(request.into_inner())).take(times).boxed()))
}

async fn back(request: tonic::Request<Streaming<Bytes>>) -> Result<tonic::Response<Answers>, Status> {
    Ok(tonic::Response::new(request.into_inner().boxed()))
}

/// Fails a moment after its last message, where its trailers should come, so that hyper resets the stream.
struct Broken(Body, Pin<Box<Sleep>>);

impl http_body::Body for Broken {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, BoxError>>> {
        if !self.0.is_end_stream() {
            match ready!(Pin::new(&mut self.0).poll_frame(cx)) {
                Some(Ok(frame)) if frame.is_data() => return Poll::Ready(Some(Ok(frame))),
                _ => self.0 = Body::empty(),
            }
        }
        ready!(self.1.as_mut().poll(cx));
        Poll::Ready(Some(Err("broken on purpose".into())))
    }
}

/// Messages as they are.
#[derive(Clone, Copy, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        let mut message = BytesMut::with_capacity(buffer.remaining());
        message.put(buffer);
        Ok(Some(message.freeze()))
    }
}

async fn listen<S, B>(service: S) -> Outcome<SocketAddr>
where
    S: tower::Service<Request<hyper::body::Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError> + Send,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = TowerToHyperService::new(service.clone());
            tokio::spawn(async move {
                let server = auto::Builder::new(TokioExecutor::new()).http2_only();
                drop(server.serve_connection(TokioIo::new(stream), service).await);
            });
        }
    });
    Ok(address)
}
