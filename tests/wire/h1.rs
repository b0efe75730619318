//! What an HTTP/1 upstream may do.

use std::sync::LazyLock;

use tower_bad_gateway::{
    BadGatewayLayer,
    FailureKind::{self, *},
    failure::RetrySafety,
};

use crate::{
    gateway::{Gateway, impatient, patient, restless},
    row::Row,
    upstream::{self, Act, Act::*},
};

/// A head that is no good.
fn refused(id: &'static str, kinds: &'static [FailureKind], acts: &'static [Act]) -> Row {
    row(id, kinds[0].status().as_u16(), kinds, acts, patient())
}

/// A body that breaks after a good head.
fn cut(id: &'static str, kinds: &'static [FailureKind], acts: &'static [Act]) -> Row {
    row(id, 200, kinds, acts, patient()).cut()
}

fn row(
    id: &'static str,
    status: u16,
    kinds: &'static [FailureKind],
    acts: &'static [Act],
    layer: BadGatewayLayer,
) -> Row {
    let row = Row::new("h1", id, status, kinds, async move {
        Gateway::start(upstream::h1(acts, false).await, false, layer).await.ask().await
    });
    // The request was written: whatever comes then, it may have been processed.
    if kinds.is_empty() { row } else { row.retry(RetrySafety::Unknown) }
}

/// Sends bytes that are no response, and closes.
macro_rules! invalid {
    ($($id:literal $bytes:literal)+) => {
        [$(refused($id, &[HttpProtocolError], &[Send($bytes), Fin])),+]
    };
}

/// Sends a head that stands between a good status line and a good end.
macro_rules! field {
    ($($id:literal $bytes:literal)+) => {
        [$(refused($id, &[HttpProtocolError], &[Send(b"HTTP/1.1 200 OK\r\n"), Send($bytes), Send(b"\r\n\r\nhello"), Fin])),+]
    };
}

/// Sends a body after a chunked head, and closes.
macro_rules! chunks {
    ($($id:literal $kind:ident $bytes:literal)+) => {
        [$(cut($id, &[$kind], &[Send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"), Send($bytes), Fin]).early()),+]
    };
}

pub(crate) fn rows() -> Vec<Row> {
    let mut rows = vec![
        refused("eof-before-any-byte", &[ConnectionTerminated], &[Fin]),
        refused("eof-mid-status-line", &[ConnectionTerminated], &[Send(b"HTTP/1.1 20"), Fin]),
        refused("eof-mid-head", &[ConnectionTerminated], &[Send(b"HTTP/1.1 200 OK\r\ncontent-le"), Fin]),
        refused("eof-after-1xx", &[ConnectionTerminated], &[Send(b"HTTP/1.1 100 Continue\r\n\r\n"), Fin]),
        refused("rst-before-any-byte", &[ConnectionTerminated], &[Rst]),
        refused("rst-mid-status-line", &[ConnectionTerminated], &[Send(b"HTTP/1.1 20"), Rst]),
        refused("rst-mid-head", &[ConnectionTerminated], &[Send(b"HTTP/1.1 200 OK\r\ncontent-le"), Rst]),
        Row::new("h1", "banner-before-request", 502, &[HttpProtocolError, ConnectionTerminated], async {
            let upstream = upstream::h1(&[Send(b"220 mail.example ESMTP\r\n"), Fin], true).await;
            Gateway::start(upstream, false, patient()).await.ask().await
        })
        .why("the banner may be read before the request is written, with it, or as its answer"),
        Row::new("h1", "too-many-fields", 502, &[HttpResponseHeaderSectionSize], async {
            let acts: &'static [Act] = Vec::leak(vec![Send(MANY_FIELDS.as_bytes()), Fin]);
            Gateway::start(upstream::h1(acts, false).await, false, patient()).await.ask().await
        }),
        row("no-first-byte", 504, &[HttpResponseTimeout], &[Wait], impatient()).retry(RetrySafety::Unknown),
        row("silent-mid-head", 504, &[HttpResponseTimeout], &[Send(b"HTTP/1.1 200 OK\r\n"), Wait], impatient()),
        row("silent-mid-body", 200, &[ConnectionReadTimeout], &[Send(TEN), Send(b"five5"), Wait], restless()).cut(),
        row("silent-before-body", 200, &[ConnectionReadTimeout], &[Send(TEN), Wait], restless()).cut(),
        cut("length-short", &[HttpResponseIncomplete], &[Send(TEN), Send(b"five5"), Fin]),
        cut("length-nothing", &[HttpResponseIncomplete], &[Send(TEN), Seen, Fin]),
        cut("length-nothing-at-once", &[HttpResponseIncomplete], &[Send(TEN), Fin]).early(),
        cut("length-rst", &[ConnectionTerminated], &[Send(TEN), Send(b"five5"), Seen, Rst]),
        cut(
            "chunks-rst",
            &[ConnectionTerminated],
            &[Send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n"), Seen, Rst],
        ),
        cut("close-delimited-rst", &[ConnectionTerminated], &[Send(b"HTTP/1.1 200 OK\r\n\r\nhello"), Seen, Rst]),
        // What our own rules refuse: the client library lets all of these pass.
        refused(
            "101-unasked",
            &[HttpUpgradeFailed],
            &[Send(b"HTTP/1.1 101 X\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n"), Wait],
        ),
        refused("101-bare", &[HttpUpgradeFailed], &[Send(b"HTTP/1.1 101 X\r\n\r\n"), Wait]),
        refused(
            "coding-and-length",
            &[HttpProtocolError],
            &[Send(
                b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            )],
        ),
        refused(
            "coding-gzip",
            &[HttpResponseTransferCoding],
            &[Send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nhello"), Fin],
        ),
        refused(
            "coding-gzip-chunked",
            &[HttpResponseTransferCoding],
            &[Send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")],
        ),
        refused(
            "coding-chunked-gzip",
            &[HttpResponseTransferCoding],
            &[Send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, gzip\r\n\r\n5\r\nhello\r\n0\r\n\r\n"), Fin],
        ),
        refused(
            "coding-chunked-twice",
            &[HttpResponseTransferCoding],
            &[Send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")],
        ),
        refused(
            "coding-identity",
            &[HttpResponseTransferCoding],
            &[Send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: identity\r\ncontent-length: 5\r\n\r\nhello"), Fin],
        ),
        refused(
            "coding-of-their-own",
            &[HttpResponseTransferCoding],
            &[Send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: x-own\r\n\r\nhello"), Fin],
        ),
        refused("status-600", &[HttpProtocolError], &[Send(b"HTTP/1.1 600 X\r\ncontent-length: 0\r\n\r\n")]),
        refused("status-999", &[HttpProtocolError], &[Send(b"HTTP/1.1 999 X\r\ncontent-length: 0\r\n\r\n")]),
        // Healthy ones, so that the table can tell.
        row("healthy", 200, &[], &[Send(upstream::OK)], patient()),
        row(
            "healthy-chunks",
            200,
            &[],
            &[Send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")],
            patient(),
        ),
        row("healthy-close-delimited", 200, &[], &[Send(b"HTTP/1.1 200 OK\r\n\r\nhello"), Fin], patient()),
        row("healthy-404", 404, &[], &[Send(b"HTTP/1.1 404 X\r\ncontent-length: 0\r\n\r\n")], patient()),
        row("own-502", 502, &[], &[Send(b"HTTP/1.1 502 X\r\ncontent-length: 0\r\n\r\n")], patient()),
    ];
    rows.extend(invalid! {
        "garbage-text" b"this is not HTTP at all\r\n\r\n"
        "garbage-binary" b"\x00\x01\x02\x03\xff\xfe\r\n\r\n"
        "tls-alert" b"\x15\x03\x01\x00\x02\x02\x28\r\n\r\n"
        "h2-settings" b"\x00\x00\x00\x04\x00\x00\x00\x00\x00\r\n\r\n"
        "ssh-banner" b"SSH-2.0-OpenSSH_9.2\r\n\r\n"
        "http-0.9" b"<html>hello</html>\r\n\r\n"
        "version-2.0" b"HTTP/2.0 200 OK\r\ncontent-length: 0\r\n\r\n"
        "version-1.2" b"HTTP/1.2 200 OK\r\ncontent-length: 0\r\n\r\n"
        "version-lower-case" b"http/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
        "icy" b"ICY 200 OK\r\n\r\n"
        "status-099" b"HTTP/1.1 099 X\r\ncontent-length: 0\r\n\r\n"
        "status-000" b"HTTP/1.1 000 X\r\ncontent-length: 0\r\n\r\n"
        "status-1000" b"HTTP/1.1 1000 X\r\ncontent-length: 0\r\n\r\n"
        "status-abc" b"HTTP/1.1 abc X\r\ncontent-length: 0\r\n\r\n"
        "status-20" b"HTTP/1.1 20 X\r\ncontent-length: 0\r\n\r\n"
        "status-missing" b"HTTP/1.1\r\ncontent-length: 0\r\n\r\n"
        "status-two-spaces" b"HTTP/1.1  200 OK\r\ncontent-length: 0\r\n\r\n"
        "reason-nul" b"HTTP/1.1 200 O\x00K\r\ncontent-length: 0\r\n\r\n"
        "coding-in-1.0" b"HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"
        "1xx-with-content" b"HTTP/1.1 103 X\r\ncontent-length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
    });
    rows.extend(field! {
        "field-nul" b"x-a: a\x00b"
        "field-control" b"x-a: a\x01b"
        "field-bare-cr" b"x-a: a\rb"
        "field-folded" b"x-a: a\r\n b"
        "field-space-before-colon" b"x-a : a"
        "field-space-first" b" x-a: a"
        "field-no-colon" b"x-a"
        "field-no-name" b": a"
        "field-name-nul" b"x\x00a: a"
        "length-twice" b"content-length: 5\r\ncontent-length: 6"
        "length-list" b"content-length: 5, 6"
        "length-negative" b"content-length: -5"
        "length-plus" b"content-length: +5"
        "length-text" b"content-length: five"
        "length-empty" b"content-length: "
        "length-hex" b"content-length: 0x5"
        "length-2^64" b"content-length: 18446744073709551616"
    });
    rows.extend(chunks! {
        "chunk-size-bad" HttpResponseTransferCoding b"xyz\r\nhello\r\n0\r\n\r\n"
        "chunk-size-negative" HttpResponseTransferCoding b"-5\r\nhello\r\n0\r\n\r\n"
        "chunk-size-overflow" HttpResponseTransferCoding b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n"
        "chunk-bare-lf" HttpResponseTransferCoding b"5\nhello\n0\n\n"
        "chunk-without-end" HttpResponseTransferCoding b"5\r\nhelloXX0\r\n\r\n"
        "chunk-bad-trailer" HttpResponseTransferCoding b"5\r\nhello\r\n0\r\nbad trailer\r\n\r\n"
        "chunk-short" HttpResponseIncomplete b"5\r\nhel"
        "chunk-missing" HttpResponseIncomplete b"5\r\nhello\r\n"
        "chunk-last-short" HttpResponseIncomplete b"5\r\nhello\r\n0\r\n"
    });
    rows
}

const TEN: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n";

/// 101 fields, one more than hyper takes.
static MANY_FIELDS: LazyLock<String> =
    LazyLock::new(|| format!("HTTP/1.1 200 OK\r\n{}content-length: 0\r\n\r\n", "a: 1\r\n".repeat(100)));
