//! An upstream that does wrong on request.

#[path = "upstream/tls.rs"]
mod tls;

use std::{error::Error, io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
};

pub(crate) use self::tls::Tls;

/// The upstream, its TLS side, and a port that refuses connections for as long as this lives.
pub(crate) struct Embedded {
    pub(crate) address: SocketAddr,
    pub(crate) refusing: SocketAddr,
    pub(crate) tls: Tls,
}

/// What the upstream does after it has read a request.
enum Act {
    /// Sends this and closes the connection.
    Send(&'static str),
    /// Sends this, waits a moment, and resets the connection.
    SendAndReset(&'static str),
    /// Sends this, and nothing more for as long as the other side waits.
    SendAndWait(&'static str),
    /// Sends a head with a hundred and one fields.
    ManyFields,
    /// Sends a head with a field of half a megabyte.
    HugeField,
    /// Switches to another protocol if asked to, and sends back what it is sent then.
    Echo,
    /// Is never asked: the gateway goes elsewhere.
    Elsewhere,
}

/// Path, what happens there, what a client sees, and how it is done.
#[rustfmt::skip] // a table
const FAULTS: &[(&str, &str, &str, Act)] = &[
    ("/ok", "answers properly", "200", Act::Send(OK)),
    ("/hop-by-hop", "sends fields meant for one connection", "200 without them", Act::Send(HOP_BY_HOP)),
    ("/refused", "refuses the connection", "502 connection_refused", Act::Elsewhere),
    ("/unknown-name", "has a name nobody knows", "502 dns_error", Act::Elsewhere),
    ("/slow", "never answers", "504 http_response_timeout", Act::SendAndWait("")),
    ("/reset", "resets the connection", "502 connection_terminated", Act::SendAndReset("")),
    ("/eof", "closes the connection without a word", "502 connection_terminated", Act::Send("")),
    ("/half-head", "closes it in the middle of the head", "502 connection_terminated", Act::Send("HTTP/1.1 200 OK\r\nconte")),
    ("/garbage", "does not speak HTTP", "502 http_protocol_error", Act::Send("220 mail.example ESMTP\r\n\r\n")),
    ("/status-999", "invents a status", "502 http_protocol_error", Act::Send("HTTP/1.1 999 What\r\ncontent-length: 0\r\n\r\n")),
    ("/status-abc", "has letters for a status", "502 http_protocol_error", Act::Send("HTTP/1.1 abc OK\r\n\r\n")),
    ("/two-lengths", "sends two lengths", "502 http_protocol_error", Act::Send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nhi!")),
    ("/length-twice", "says its length twice", "200, and says it once", Act::Send("HTTP/1.1 200 OK\r\ncontent-length: 6, 6\r\nconnection: close\r\n\r\nhello\n")),
    ("/length-and-chunks", "sends a length and chunks", "502 http_protocol_error", Act::Send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n")),
    ("/gzip-chunked", "codes the transfer twice", "502 http_response_transfer_coding", Act::Send("HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n")),
    ("/many-fields", "sends 101 header fields", "502 http_response_header_section_size", Act::ManyFields),
    ("/huge-field", "sends a field of half a megabyte", "502 http_response_header_section_size", Act::HugeField),
    ("/echo", "switches protocols if asked, and echoes", "426, or 101 to an upgrade", Act::Echo),
    ("/unasked-101", "switches protocols unasked", "502 http_upgrade_failed", Act::SendAndWait("HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n")),
    ("/truncated", "sends half of the body", "200, then cut off", Act::Send("HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\nten bytes!")),
    ("/truncated-chunks", "leaves out the last chunk", "200, then cut off", Act::Send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n")),
    ("/bad-chunk", "sends a chunk that is none", "200, then cut off", Act::Send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\nxyz\r\n")),
    ("/reset-body", "resets the connection half-way", "200, then cut off", Act::SendAndReset("HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\nten bytes!")),
    ("/stall", "falls silent half-way", "200, then cut off", Act::SendAndWait("HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\nten bytes!")),
];

const OK: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: text/plain\r\ncontent-length: 6\r\n\r\nhello\n";
const HOP_BY_HOP: &str = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\nconnection: close, x-internal\r\nx-internal: secret\r\n\
                          keep-alive: timeout=5\r\n\r\nhello\n";
const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";
const UPGRADE_REQUIRED: &str =
    "HTTP/1.1 426 Upgrade Required\r\nconnection: close, upgrade\r\nupgrade: echo\r\ncontent-length: 0\r\n\r\n";
const NOT_FOUND: &str = "HTTP/1.1 404 Not Found\r\nconnection: close\r\ncontent-type: text/plain\r\ncontent-length: 15\r\n\r\nno such fault.\n";

/// Starts the upstream on a free port.
pub(crate) async fn start() -> Result<Embedded, Box<dyn Error>> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    // Bound but not listening: nobody else can take the port, and it refuses.
    let silent = TcpSocket::new_v4()?;
    silent.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let refusing = silent.local_addr()?;
    tokio::spawn(async move {
        let _silent = silent;
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    Ok(Embedded { address, refusing, tls: tls::start().await? })
}

/// What there is to try.
pub(crate) fn table(gateway: SocketAddr) -> String {
    let head = "no --upstream given: an embedded one offers a fault under each path\n";
    let mut lines = vec![head.to_owned(), format!("  {:<24} {:<42} expect", "path", "what the upstream does")];
    let plain = FAULTS.iter().map(|(path, what, expect, _)| (path, what, expect));
    let all = plain.chain(tls::FAULTS.iter().map(|(path, what, expect)| (path, what, expect)));
    lines.extend(all.map(|(path, what, expect)| format!("  {path:<24} {what:<42} {expect}")));
    lines.push(format!("\ntry: curl -i http://{gateway}/refused\n"));
    lines.join("\n")
}

async fn serve(mut stream: TcpStream) -> io::Result<()> {
    let request = read_head(&mut stream).await?;
    let path = request.split(' ').nth(1).and_then(|target| target.split('?').next()).unwrap_or("/");
    let act = FAULTS.iter().find(|(known, ..)| *known == path).map_or(&Act::Send(NOT_FOUND), |(.., act)| act);
    match act {
        Act::Send(bytes) => {
            stream.write_all(bytes.as_bytes()).await?;
            close(stream).await
        }
        Act::SendAndReset(bytes) => {
            stream.write_all(bytes.as_bytes()).await?;
            // Long enough for the other side to read what was sent.
            tokio::time::sleep(Duration::from_millis(500)).await;
            stream.set_zero_linger()
        }
        Act::SendAndWait(bytes) => {
            stream.write_all(bytes.as_bytes()).await?;
            drain(&mut stream).await
        }
        Act::HugeField => {
            let field = "x".repeat(512 * 1024);
            stream
                .write_all(format!("HTTP/1.1 200 OK\r\nx-field: {field}\r\ncontent-length: 0\r\n\r\n").as_bytes())
                .await?;
            close(stream).await
        }
        Act::Echo if request.to_ascii_lowercase().contains("\r\nupgrade:") => {
            stream.write_all(SWITCHING.as_bytes()).await?;
            let (mut reader, mut writer) = stream.split();
            tokio::io::copy(&mut reader, &mut writer).await?;
            writer.shutdown().await
        }
        Act::Echo => {
            stream.write_all(UPGRADE_REQUIRED.as_bytes()).await?;
            close(stream).await
        }
        Act::ManyFields => {
            let fields: String = (0..101).map(|number| format!("x-field-{number}: 1\r\n")).collect();
            stream.write_all(format!("HTTP/1.1 200 OK\r\n{fields}content-length: 0\r\n\r\n").as_bytes()).await?;
            close(stream).await
        }
        Act::Elsewhere => Ok(()),
    }
}

async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < 64 * 1024 {
        head.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// Sends a FIN, and reads until the other side does: unread bytes would turn it into a reset.
async fn close(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    stream.shutdown().await?;
    drain(&mut stream).await
}

async fn drain(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
    let mut buffer = [0; 4096];
    while stream.read(&mut buffer).await? > 0 {}
    Ok(())
}
