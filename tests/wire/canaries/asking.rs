//! A client that puts a secret into everything it may choose, and keeps every byte that comes back.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::Notify,
};

use super::mint::Mint;
use crate::client;

/// What the client asks for, and how.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Format {
    Problem,
    Json,
    Html,
    Text,
    Grpc,
    Head,
}

impl Format {
    pub(crate) const ALL: [Self; 6] = [Self::Problem, Self::Json, Self::Html, Self::Text, Self::Grpc, Self::Head];

    fn accept(self) -> &'static str {
        match self {
            Self::Problem => "application/problem+json",
            Self::Json => "application/json",
            Self::Html => "text/html",
            Self::Text => "text/plain",
            Self::Grpc | Self::Head => "*/*",
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Asked {
    method: String,
    path: String,
    authority: String,
    fields: Vec<(&'static str, String)>,
    body: String,
    /// Ends the upload in the middle of a chunk.
    breaks_off: bool,
}

impl Asked {
    pub(crate) fn new(mint: &mut Mint, format: Format, breaks_off: bool) -> Self {
        let method = match format {
            Format::Problem => "GET".to_owned(),
            Format::Html => mint.at("client: method"),
            Format::Json | Format::Text | Format::Grpc => "POST".to_owned(),
            Format::Head => "HEAD".to_owned(),
        };
        let content_type = mint.at("client: Content-Type");
        let grpc = if format == Format::Grpc { "grpc+" } else { "x-" };
        let fields = vec![
            ("accept", format!("{}, application/x-{};q=0.1", format.accept(), mint.at("client: Accept"))),
            ("accept-language", mint.at("client: Accept-Language")),
            ("authorization", format!("Bearer {}", mint.at("client: Authorization"))),
            ("content-type", format!("application/{grpc}{content_type}")),
            ("cookie", format!("sid={}", mint.at("client: Cookie"))),
            ("forwarded", format!("for={}", mint.at("client: Forwarded"))),
            ("origin", format!("http://{}.example", mint.at("client: Origin"))),
            ("referer", format!("http://gateway/{}", mint.at("client: Referer"))),
            ("te", "trailers".to_owned()),
            ("traceparent", format!("00-{}-00f067aa0ba902b7-01", mint.number("client: traceparent"))),
            ("user-agent", mint.at("client: User-Agent")),
            ("x-request-id", mint.at("client: X-Request-Id")),
        ];
        Self {
            method,
            path: format!("/{}?q={}", mint.at("client: path"), mint.at("client: query")),
            authority: format!("{}.example", mint.at("client: Host")),
            fields,
            body: format!("say={}", mint.at("client: body")),
            breaks_off,
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let Self { method, path, authority, fields, body, .. } = self;
        let mut text = format!("{method} {path} HTTP/1.1\r\nhost: {authority}\r\nconnection: close, te\r\n");
        for (name, value) in fields {
            text += &format!("{name}: {value}\r\n");
        }
        text += &match self.breaks_off {
            true => format!("transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n{body}\r\n"),
            false => format!("content-length: {}\r\n\r\n{body}", body.len()),
        };
        text.into_bytes()
    }

    pub(crate) async fn ask(&self, gateway: SocketAddr, http2: bool, seen: &Notify) -> Answer {
        if http2 { self.over_http2(gateway, seen).await } else { self.over_http1(gateway, seen).await }
    }

    async fn over_http1(&self, gateway: SocketAddr, seen: &Notify) -> Answer {
        let received = client::send(gateway, &self.bytes(), seen).await;
        let head = received.head();
        let lines = head.lines().filter_map(|line| line.split_once(": "));
        let fields = lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Answer { status: received.status(), fields, bytes: received.bytes }
    }

    /// What was compressed is searched in plain, too.
    async fn over_http2(&self, gateway: SocketAddr, seen: &Notify) -> Answer {
        let stream = TcpStream::connect(gateway).await.unwrap();
        // As in `client::send`.
        stream.set_zero_linger().unwrap();
        let recorder = Recorder { stream, bytes: Arc::default() };
        let recorded = Arc::clone(&recorder.bytes);
        let (mut sender, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
            .max_header_list_size(1 << 20)
            .handshake(TokioIo::new(recorder))
            .await
            .unwrap();
        let connection = tokio::spawn(connection);
        let mut request =
            Request::builder().method(&*self.method).uri(format!("http://{}{}", self.authority, self.path));
        for (name, value) in &self.fields {
            request = request.header(*name, value);
        }
        let body = Full::new(Bytes::from(self.body.clone()));
        let mut answer = Answer::default();
        if let Ok(response) = sender.send_request(request.body(body).unwrap()).await {
            seen.notify_one();
            answer.status = response.status().as_u16();
            answer.fields(response.headers());
            let mut body = response.into_body();
            while let Some(Ok(frame)) = body.frame().await {
                match frame.into_data() {
                    Ok(data) => answer.bytes.extend_from_slice(&data),
                    Err(frame) => answer.fields(&frame.into_trailers().unwrap()),
                }
            }
        }
        connection.abort();
        answer.bytes.extend(recorded.lock().unwrap().iter());
        answer
    }
}

#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Of the head, and over HTTP/2 of the trailers.
    pub(crate) fields: Vec<(String, String)>,
    /// All that came.
    pub(crate) bytes: Vec<u8>,
}

impl Answer {
    fn fields(&mut self, fields: &http::HeaderMap) {
        for (name, value) in fields {
            let value: String = value.as_bytes().iter().map(|&byte| char::from(byte)).collect();
            self.bytes.extend(format!("{name}: {value}\n").bytes());
            self.fields.push((name.as_str().to_owned(), value));
        }
    }
}

/// Keeps what is read.
struct Recorder {
    stream: TcpStream,
    bytes: Arc<Mutex<Vec<u8>>>,
}

impl AsyncRead for Recorder {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, into);
        self.bytes.lock().unwrap().extend_from_slice(&into.filled()[before..]);
        polled
    }
}

impl AsyncWrite for Recorder {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
