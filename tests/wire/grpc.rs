//! What a gRPC caller gets, frame by frame and byte by byte.

use tower_bad_gateway::FailureKind;

use crate::{
    client,
    downstream::frames,
    gateway::{Gateway, patient},
    h2_frames::*,
    h2_upstream,
    upstream::{self, Act, Act::*},
};

const CANCEL: u32 = 0x8;
const INTERNAL_ERROR: u32 = 0x2;
const MESSAGE: &[u8] = b"\0\0\0\0\x03abc";

fn head(flags: u8, fields: &[(&str, &str)]) -> Vec<u8> {
    let status = if fields.iter().any(|(name, _)| *name == ":status") { &[][..] } else { STATUS_200 };
    let fields = fields.iter().flat_map(|(name, value)| field(name.as_bytes(), value.as_bytes()));
    headers(1, flags, &[status, &fields.collect::<Vec<_>>()].concat())
}

fn send(parts: &[Vec<u8>]) -> Act {
    Send(Vec::leak(parts.concat()))
}

/// A frame as far as it tells a client how the call has ended: its kind, whether it is the last, and the code of a reset.
fn shape(frame: &Frame) -> (u8, bool, Option<u32>) {
    let code = (frame.kind == RST_STREAM).then(|| u32::from_be_bytes(frame.payload[..4].try_into().unwrap()));
    (frame.kind, frame.flags & END_STREAM != 0 || code.is_some(), code)
}

#[tokio::test]
async fn each_ending_is_the_one_that_all_clients_understand() {
    const GRPC: (&str, &str) = ("content-type", "application/grpc");
    const TRAILERS_ONLY: &[(u8, bool, Option<u32>)] = &[(HEADERS, true, None)];
    const TRAILERS: &[(u8, bool, Option<u32>)] = &[(HEADERS, false, None), (DATA, false, None), (HEADERS, true, None)];
    const RESET: &[(u8, bool, Option<u32>)] =
        &[(HEADERS, false, None), (DATA, false, None), (RST_STREAM, true, Some(INTERNAL_ERROR))];
    let (begun, data) = (head(0, &[GRPC]), |flags, data: &[u8]| frame(DATA, flags, 1, data));
    let status = |code| headers(1, END_STREAM, &field(b"grpc-status", code));
    let rows = [
        ("success", vec![send(&[begun.clone(), data(0, MESSAGE), status(b"0")])], TRAILERS),
        (
            "reset between messages",
            vec![send(&[begun.clone(), data(0, MESSAGE)]), Seen, send(&[rst_stream(1, CANCEL)])],
            TRAILERS,
        ),
        (
            "reset inside of one",
            vec![send(&[begun.clone(), data(0, &MESSAGE[..6])]), Seen, send(&[rst_stream(1, CANCEL)])],
            RESET,
        ),
        ("an end without a status", vec![send(&[begun.clone(), data(END_STREAM, MESSAGE)])], TRAILERS),
        ("an end inside of a message", vec![send(&[begun.clone(), data(END_STREAM, &MESSAGE[..6])])], RESET),
        ("success inside of a message", vec![send(&[begun.clone(), data(0, &MESSAGE[..6]), status(b"0")])], RESET),
        ("a status that is none", vec![send(&[begun.clone(), data(0, MESSAGE), status(b"abc")])], TRAILERS),
        ("a head that ends", vec![send(&[head(END_STREAM, &[GRPC])])], TRAILERS_ONLY),
        ("Trailers-Only", vec![send(&[head(END_STREAM, &[GRPC, ("grpc-status", "5")])])], TRAILERS_ONLY),
        (
            "a status beside a page",
            vec![send(&[
                head(0, &[(":status", "502"), ("content-type", "text/html"), ("grpc-status", "5")]),
                data(END_STREAM, b"<html>"),
            ])],
            TRAILERS_ONLY,
        ),
        ("a page", vec![send(&[head(0, &[(":status", "502")]), data(END_STREAM, b"<html>")])], TRAILERS_ONLY),
    ];
    let mut wrong = Vec::new();
    for (name, acts, expected) in rows {
        let gateway = Gateway::start(h2_upstream::start(acts).await, true, patient()).await;
        let frames = frames(&gateway, &[GRPC, ("te", "trailers")]).await;
        let seen: Vec<_> = frames.iter().map(shape).collect();
        if seen != expected {
            wrong.push((name, seen, expected));
        }
    }
    assert!(wrong.is_empty(), "(name, frames as (kind, end of the stream, code), expected): {wrong:#?}");
}

/// hyper's server drops trailers that were not asked for or announced, and ends the message cleanly: then ours abort it.
#[tokio::test]
async fn over_http_1_trailers_are_sent_only_where_they_are_asked_for_and_announced() {
    let mut wrong = Vec::new();
    for asked in [false, true] {
        for announced in [false, true] {
            let trailer = if announced { "trailer: grpc-status, grpc-message\r\n" } else { "" };
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\n{trailer}transfer-encoding: chunked\r\n\r\n8\r\n"
            );
            let start = send(&[head.into_bytes(), MESSAGE.to_vec(), b"\r\n".to_vec()]);
            let gateway =
                Gateway::start(upstream::h1(Vec::leak(vec![start, Seen, Fin]), false).await, false, patient()).await;
            let te = if asked { "te: trailers\r\nconnection: te, close\r\n" } else { "connection: close\r\n" };
            let request = format!(
                "POST /fault HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/grpc\r\ncontent-length: 0\r\n{te}\r\n"
            );
            let received = client::send(gateway.address, request.as_bytes(), &gateway.seen).await;
            let text = String::from_utf8_lossy(&received.bytes).into_owned();
            let summary = FailureKind::HttpResponseIncomplete.summary();
            let has_status = text.ends_with(&format!("0\r\ngrpc-status: 14\r\ngrpc-message: {summary}\r\n\r\n"));
            let seen = (received.status(), has_status, text.contains("\r\n0\r\n"));
            let expected = (200, asked && announced, asked && announced);
            if seen != expected || !text.contains("abc") {
                wrong.push((asked, announced, seen, text));
            }
        }
    }
    assert!(wrong.is_empty(), "(asked for, announced, (status, trailers, a last chunk), bytes): {wrong:#?}");
}

/// As `to_upstream` of DESIGN, on the wrong side of the layer: the version that the layer sees is not that of the client. Then it does not send
/// trailers that might be dropped.
#[tokio::test]
async fn a_version_that_was_rewritten_outside_is_no_licence_for_trailers() {
    const GRPC: (&str, &str) = ("content-type", "application/grpc");
    let message = [head(0, &[GRPC]), frame(DATA, 0, 1, MESSAGE)].concat();
    let acts = vec![Send(Vec::leak(message)), Seen, send(&[rst_stream(1, CANCEL)])];
    let upstream = h2_upstream::start(acts).await;
    let gateway = Gateway::wrapped(
        hyper_util::client::legacy::connect::HttpConnector::new(),
        "http",
        upstream,
        true,
        patient(),
        |mut request| {
            *request.version_mut() = http::Version::HTTP_11;
            request
        },
    )
    .await;
    let frames = frames(&gateway, &[GRPC, ("te", "trailers")]).await;
    assert_eq!(frames.last().map(shape), Some((RST_STREAM, true, Some(INTERNAL_ERROR))));
}

/// The other way round: the client speaks HTTP/1.1, which the layer is not told, and has not asked for trailers.
#[tokio::test]
async fn a_version_that_was_raised_outside_is_no_licence_for_trailers_either() {
    let message = [head(0, &[("content-type", "application/grpc")]), frame(DATA, 0, 1, MESSAGE)].concat();
    let acts = vec![Send(Vec::leak(message)), Seen, send(&[rst_stream(1, CANCEL)])];
    let gateway = Gateway::wrapped(
        hyper_util::client::legacy::connect::HttpConnector::new(),
        "http",
        h2_upstream::start(acts).await,
        true,
        patient(),
        |mut request| {
            *request.version_mut() = http::Version::HTTP_2;
            request
        },
    )
    .await;
    let request = b"POST /fault HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/grpc\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let received = client::send(gateway.address, request, &gateway.seen).await;
    let text = String::from_utf8_lossy(&received.bytes).into_owned();
    assert!(text.contains("abc") && !text.contains("\r\n0\r\n"), "{text}");
}
