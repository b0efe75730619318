//! What an HTTP/2 upstream may do.

use std::sync::Arc;

use tokio::sync::Notify;
use tower_bad_gateway::{
    BadGatewayLayer,
    FailureKind::{self, *},
    failure::RetrySafety,
};

use crate::{
    client,
    gateway::{Gateway, impatient, patient, restless},
    h2_frames::*,
    row::Row,
    upstream::{self, Act, Act::*, Upstream},
};

/// The first request on the first connection gets the fault, every other one an answer. Without an act it gets nothing.
pub(crate) async fn start(acts: Vec<Act>) -> Upstream {
    start_on(1, acts).await
}

/// The same, for the request on another stream.
async fn start_on(stream: u32, acts: Vec<Act>) -> Upstream {
    let faulty = stream;
    let acts: &'static [Act] = Vec::leak(acts);
    let seen = Arc::<Notify>::default();
    let told = Arc::clone(&seen);
    let address = upstream::listen(move |stream, number| {
        let seen = Arc::clone(&told);
        async move { upstream::serve_h2(stream, (number == 0).then_some((faulty, acts)), &seen).await }
    });
    Upstream { address: address.await, seen }
}

fn bytes(frames: Vec<u8>) -> Act {
    Send(Vec::leak(frames))
}

fn row(id: &'static str, status: u16, kinds: &'static [FailureKind], acts: Vec<Act>, layer: BadGatewayLayer) -> Row {
    let row =
        Row::new(
            "h2",
            id,
            status,
            kinds,
            async move { Gateway::start(start(acts).await, true, layer).await.ask().await },
        );
    // Unless the upstream says otherwise, the request may have been processed.
    if kinds.is_empty() { row } else { row.retry(RetrySafety::Unknown) }
}

/// Of a connection that works, the second request, whose limit runs out. The first is asked for with patience: a limit that
/// ended before there was a connection would leave the fault to whoever comes next.
fn late(id: &'static str, acts: Vec<Act>) -> Row {
    Row::new("h2", id, 504, &[HttpResponseTimeout], async move {
        let gateway = Gateway::start(start_on(3, acts).await, true, impatient()).await;
        assert_eq!(client::get(gateway.address, "/ok", &Notify::new()).await.status(), 200);
        gateway.ask().await
    })
    .retry(RetrySafety::Unknown)
}

fn refused(id: &'static str, kinds: &'static [FailureKind], acts: Vec<Act>) -> Row {
    row(id, kinds[0].status().as_u16(), kinds, acts, patient())
}

/// The stream is reset before its head.
fn reset(id: &'static str, kinds: &'static [FailureKind], code: u32) -> Row {
    refused(id, kinds, vec![bytes(rst_stream(1, code))])
}

/// A head that must not be believed.
fn malformed(id: &'static str, block: &[u8]) -> Row {
    refused(id, &[HttpProtocolError], vec![bytes(headers(1, END_STREAM, block))])
}

/// A good head and half of a body, and then this.
fn cut(id: &'static str, kinds: &'static [FailureKind], then: Vec<Act>) -> Row {
    let start = [headers(1, 0, STATUS_200), frame(DATA, 0, 1, b"half")].concat();
    let mut acts = vec![bytes(start), Seen];
    acts.extend(then);
    row(id, 200, kinds, acts, patient()).cut()
}

/// Something else than HTTP/2 on the first connection.
fn stranger(id: &'static str, acts: &'static [Act]) -> Row {
    Row::new("h2", id, 502, &[HttpProtocolError, ConnectionTerminated], async move {
        let address = upstream::listen(move |stream, number| async move {
            let seen = Notify::new();
            if number == 0 {
                upstream::perform(stream, acts, &seen).await
            } else {
                upstream::serve_h2(stream, None, &seen).await
            }
        })
        .await;
        Gateway::start(address, true, patient()).await.ask().await
    })
    .why("the client may find out while it connects, before it sends, or after")
}

pub(crate) fn rows() -> Vec<Row> {
    let status = |status: &[u8]| field(b":status", status);
    let with = |name: &[u8], value: &[u8]| [STATUS_200, &field(name, value)].concat();
    vec![
        reset("rst-no-error", &[ConnectionTerminated], 0x0),
        reset("rst-protocol-error", &[HttpProtocolError], 0x1),
        reset("rst-internal-error", &[ConnectionTerminated], 0x2),
        reset("rst-flow-control-error", &[ConnectionTerminated], 0x3),
        reset("rst-settings-timeout", &[ConnectionTerminated], 0x4),
        reset("rst-stream-closed", &[ConnectionTerminated], 0x5),
        reset("rst-frame-size-error", &[ConnectionTerminated], 0x6),
        reset("rst-compression-error", &[ConnectionTerminated], 0x9),
        reset("rst-connect-error", &[ConnectionTerminated], 0xa),
        reset("rst-inadequate-security", &[ConnectionTerminated], 0xc),
        reset("rst-refused-stream", &[DestinationUnavailable], 0x7).retry(RetrySafety::NotProcessed),
        reset("rst-cancel", &[ConnectionTerminated], 0x8).retry(RetrySafety::Unknown),
        reset("rst-enhance-your-calm", &[ConnectionLimitReached], 0xb).retry(RetrySafety::Unknown),
        reset("rst-http-1.1-required", &[HttpProtocolError], 0xd),
        reset("rst-unknown-code", &[ConnectionTerminated], 0x99),
        refused("goaway-unprocessed", &[DestinationUnavailable], vec![bytes(goaway(0, 0x0, b"")), Fin])
            .retry(RetrySafety::NotProcessed),
        refused("goaway-processed", &[ConnectionTerminated], vec![bytes(goaway(1, 0x0, b"")), Fin])
            .retry(RetrySafety::Unknown),
        refused("goaway-internal-error", &[ConnectionTerminated], vec![bytes(goaway(0, 0x2, b"boom")), Fin])
            .retry(RetrySafety::Unknown),
        refused("goaway-protocol-error", &[HttpProtocolError], vec![bytes(goaway(0, 0x1, b"")), Fin]),
        refused("goaway-http-1.1-required", &[HttpProtocolError], vec![bytes(goaway(0, 0xd, b"")), Fin]),
        refused("goaway-without-fin", &[DestinationUnavailable], vec![bytes(goaway(0, 0x0, b""))])
            .retry(RetrySafety::NotProcessed),
        refused("goaway-calm", &[ConnectionLimitReached], vec![bytes(goaway(0, 0xb, b"too_many_pings")), Fin]),
        refused("fin-instead-of-head", &[ConnectionTerminated], vec![Fin]),
        refused("tcp-rst-instead-of-head", &[ConnectionTerminated], vec![Rst]),
        late("no-head", Vec::new()),
        malformed("status-99", &status(b"99")),
        malformed("status-abc", &status(b"abc")),
        malformed("status-1000", &status(b"1000")),
        malformed("status-101", &status(b"101")),
        malformed("status-103-and-end", &status(b"103")),
        malformed("status-late", &[field(b"x-a", b"1"), STATUS_200.to_vec()].concat()),
        malformed("length-twice", &[with(b"content-length", b"5"), field(b"content-length", b"6")].concat()),
        malformed("length-text", &with(b"content-length", b"five")),
        malformed("name-empty", &with(b"", b"1")),
        malformed("name-with-colon", &with(b"x:a", b"1")),
        malformed("value-nul", &with(b"x-a", b"1\x002")),
        malformed("keep-alive-field", &with(b"keep-alive", b"timeout=5")),
        malformed("upgrade-field", &with(b"upgrade", b"websocket")),
        malformed("te-field", &with(b"te", b"gzip")),
        malformed("list-of-20-kB", &[STATUS_200.to_vec(), field(b"x-a", &[b'a'; 100]).repeat(200)].concat()),
        malformed("status-missing", &field(b"x-a", b"1")),
        malformed("status-twice", &[STATUS_200, STATUS_200].concat()),
        malformed("pseudo-unknown", &with(b":wrong", b"1")),
        malformed("name-upper-case", &with(b"X-A", b"1")),
        malformed("value-with-line-break", &with(b"x-a", b"1\r\nx-b: 2")),
        malformed("connection-field", &with(b"connection", b"close")),
        malformed("coding-field", &with(b"transfer-encoding", b"chunked")),
        malformed("length-not-that", &with(b"content-length", b"5")),
        malformed("hpack-garbage", &[0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]),
        refused("frame-too-large", &[HttpProtocolError], vec![bytes(frame(DATA, 0, 1, &[0; 16_385]))]),
        refused("headers-on-idle-stream", &[HttpProtocolError], vec![bytes(headers(3, 0, STATUS_200))]),
        refused("headers-on-stream-0", &[HttpProtocolError], vec![bytes(headers(0, 0, STATUS_200))]),
        refused("headers-without-end", &[HttpProtocolError], {
            let start = frame(HEADERS, 0, 1, STATUS_200);
            vec![bytes([start, frame(DATA, END_STREAM, 1, b"hello")].concat())]
        }),
        refused("settings-of-5-bytes", &[HttpProtocolError], vec![bytes(frame(SETTINGS, 0, 0, &[0; 5]))]),
        refused("settings-on-a-stream", &[HttpProtocolError], vec![bytes(frame(SETTINGS, 0, 1, &[]))]),
        refused("ping-of-7-bytes", &[HttpProtocolError], vec![bytes(frame(PING, 0, 0, &[0; 7]))]),
        refused("window-update-of-0", &[HttpProtocolError], vec![bytes(frame(WINDOW_UPDATE, 0, 1, &[0; 4]))]),
        refused("connection-window-overflow", &[HttpProtocolError], {
            vec![bytes(frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]))]
        }),
        // The client resets such a stream and tells nobody: only a limit ends it.
        late("stream-window-overflow", vec![bytes(frame(WINDOW_UPDATE, 0, 3, &[0x7f, 0xff, 0xff, 0xff]))]),
        refused("data-first", &[HttpProtocolError], vec![bytes(frame(DATA, 0, 1, b"hello"))]),
        refused(
            "push-promise",
            &[HttpProtocolError],
            vec![bytes(frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2, 0x82]))],
        ),
        cut("body-rst-internal-error", &[HttpResponseIncomplete], vec![bytes(rst_stream(1, 0x2))]),
        cut("body-rst-cancel", &[HttpResponseIncomplete], vec![bytes(rst_stream(1, 0x8))]),
        cut("body-rst-refused-stream", &[HttpResponseIncomplete], vec![bytes(rst_stream(1, 0x7))]),
        cut("body-padding-too-long", &[HttpProtocolError], vec![bytes(frame(DATA, PADDED, 1, b"\x09short"))]),
        cut("body-frame-too-large", &[HttpProtocolError], vec![bytes(frame(DATA, 0, 1, &[0; 16_385]))]),
        cut("body-trailers-without-end", &[HttpProtocolError], vec![bytes(headers(1, 0, &field(b"x-a", b"1")))]),
        cut("body-goaway", &[ConnectionTerminated], vec![bytes(goaway(1, 0x2, b"boom")), Fin]),
        cut("body-fin", &[ConnectionTerminated], vec![Fin]),
        cut("body-tcp-rst", &[ConnectionTerminated], vec![Rst]),
        row(
            "body-too-long",
            200,
            &[HttpProtocolError],
            vec![
                bytes(headers(1, 0, &with(b"content-length", b"5"))),
                bytes(frame(DATA, END_STREAM, 1, b"hello and more")),
            ],
            patient(),
        )
        .cut()
        .early(),
        row(
            "body-silent",
            200,
            &[ConnectionReadTimeout],
            vec![bytes([headers(1, 0, STATUS_200), frame(DATA, 0, 1, b"half")].concat())],
            restless(),
        )
        .cut(),
        stranger("speaks-http-1", &[Send(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"), Fin]),
        stranger("speaks-nonsense", &[Send(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), Fin]),
        row(
            "healthy",
            200,
            &[],
            vec![bytes([headers(1, 0, STATUS_200), frame(DATA, END_STREAM, 1, b"hello")].concat())],
            patient(),
        ),
        // A pseudo-field has no place in trailers, but h2 drops it and says nothing.
        row(
            "trailers-with-status",
            200,
            &[],
            vec![bytes(
                [
                    headers(1, 0, STATUS_200),
                    frame(DATA, 0, 1, b"hello"),
                    headers(1, END_STREAM, &[STATUS_200, &field(b"x-a", b"1")].concat()),
                ]
                .concat(),
            )],
            patient(),
        ),
        row("healthy-no-content", 204, &[], vec![bytes(headers(1, END_STREAM, &status(b"204")))], patient()),
    ]
}
