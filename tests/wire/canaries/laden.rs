//! Heads and trailers with a secret in every place.

use super::mint::Mint;
use crate::{h2_frames::field, upstream::Act};

pub(crate) fn send(bytes: impl Into<Vec<u8>>) -> Act {
    Act::Send(Vec::leak(bytes.into()))
}

/// What an intermediary may pass on. In `Proxy-Status` only the names of others are for everyone.
fn end_to_end(mint: &mut Mint) -> Vec<(String, String)> {
    let mut own = |place| mint.through(place);
    let mut fields = vec![(format!("x-{}", own("field name")), own("field value"))];
    let mut add = |name: &str, value: String| fields.push((name.to_owned(), value));
    add("allow", own("Allow"));
    add("cache-control", format!("private, {}", own("Cache-Control")));
    add("content-disposition", format!("attachment; filename={}", own("Content-Disposition")));
    add("content-language", own("Content-Language"));
    add("content-security-policy", format!("default-src https://{}.example", own("Content-Security-Policy")));
    add("content-type", format!("text/plain; charset={}", own("Content-Type")));
    add("etag", format!("\"{}\"", own("ETag")));
    add("grpc-message", own("grpc-message"));
    add("link", format!("</{}>; rel=preload", own("Link")));
    add("location", format!("http://10.0.0.1/{}", own("Location")));
    add("retry-after", own("Retry-After"));
    add("server", own("Server"));
    add("set-cookie", format!("sid={}; path=/", own("Set-Cookie")));
    add("vary", own("Vary"));
    add("via", format!("1.1 {}", own("Via")));
    add("www-authenticate", format!("Basic realm=\"{}\"", own("WWW-Authenticate")));
    add("x-request-id", own("X-Request-Id of the upstream"));
    add(
        "proxy-status",
        format!(
            "origin-gw;error=dns_error;rcode=\"{}\";details=\"{}\";next-hop={};next-protocol={};received-status=502;\
             {}={};next-hop-aliases=\"{}\"",
            own("Proxy-Status rcode"),
            own("Proxy-Status details"),
            own("Proxy-Status next-hop"),
            own("Proxy-Status next-protocol"),
            own("Proxy-Status parameter name"),
            own("Proxy-Status parameter value"),
            own("Proxy-Status next-hop-aliases"),
        ),
    );
    add(
        "proxy-status",
        format!(
            "two;error={}, three;error=tls_alert_received;alert-message={}, \
             four;error=http_response_header_size;header-name=\"{}\", five;error=http_response_transfer_coding;coding={}, \
             six;error=http_request_error;status-phrase=\"{}\"",
            own("Proxy-Status error"),
            own("Proxy-Status alert-message"),
            own("Proxy-Status header-name"),
            own("Proxy-Status coding"),
            own("Proxy-Status status-phrase"),
        ),
    );
    fields
}

/// What was for one connection, and goes no further.
fn hop_by_hop(mint: &mut Mint) -> Vec<(String, String)> {
    let named = format!("x-{}", mint.at("name in Connection"));
    vec![
        ("connection".to_owned(), named.clone()),
        (named, mint.at("field that Connection names")),
        ("keep-alive".to_owned(), format!("timeout=5, {}", mint.at("Keep-Alive"))),
        ("proxy-connection".to_owned(), mint.at("Proxy-Connection")),
        ("upgrade".to_owned(), mint.at("Upgrade")),
    ]
}

fn lines(fields: Vec<(String, String)>) -> String {
    fields.into_iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect()
}

/// Up to the empty line, which is not there yet.
pub(crate) fn open_head(mint: &mut Mint, status: u16) -> String {
    let status_line = format!("HTTP/1.1 {status} {}\r\n", mint.at("reason phrase"));
    status_line + &lines(end_to_end(mint)) + &lines(hop_by_hop(mint))
}

pub(crate) fn head(mint: &mut Mint, status: u16, framing: &str) -> String {
    open_head(mint, status) + framing + "\r\n"
}

/// With content, and its length.
pub(crate) fn whole(mint: &mut Mint, status: u16) -> String {
    let content = mint.through("content");
    head(mint, status, &format!("content-length: {}\r\n", content.len())) + &content
}

/// Small, for where the size of fields is limited.
pub(crate) fn plain_chunked(mint: &mut Mint) -> String {
    format!("HTTP/1.1 200 {}\r\ntransfer-encoding: chunked\r\n\r\n", mint.at("reason phrase"))
}

/// A chunk with an extension, which is for one connection.
pub(crate) fn chunk(mint: &mut Mint) -> String {
    let (name, value, content) = (mint.at("chunk extension"), mint.at("chunk extension"), mint.through("content"));
    format!("{:x};{name}={value}\r\n{content}\r\n", content.len())
}

pub(crate) fn trailers(mint: &mut Mint, length: usize) -> String {
    format!("x-{}: {}{}\r\n", mint.at("trailer name"), mint.at("trailer value"), "a".repeat(length))
}

/// The same as HTTP/2 has it.
pub(crate) fn block(mint: &mut Mint, status: u16) -> Vec<u8> {
    let mut block = field(b":status", status.to_string().as_bytes());
    for (name, value) in end_to_end(mint) {
        block.extend(field(name.as_bytes(), value.as_bytes()));
    }
    block
}

pub(crate) fn trailer_block(mint: &mut Mint) -> Vec<u8> {
    field(format!("x-{}", mint.at("trailer name")).as_bytes(), mint.at("trailer value").as_bytes())
}
