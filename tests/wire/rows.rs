//! The table of responses that a client library lets through, or cannot see through: what becomes of each, towards clients of
//! HTTP/1 and HTTP/2.
//!
//! `rows.tsv` holds a row for each; `rules.tsv` the rules they come from, with the rows that each must have: what hyper's client
//! lets pass (E), and what is left to an intermediary by RFC 9110, 9112 and 9113 (S). `response` is what the upstream sends: bytes over HTTP/1;
//! frames over HTTP/2, with `~` between them and `+` for END_STREAM; `<seen>` waits until the client has seen something,
//! `<*N text>` repeats. `outcome` is the one that is expected, `undetectable` where nothing above the client library can know.
//! `fields` must be there (`+`, with these values and no others) or not (`-`): of the head, of `trailer/`, or after a bare `/` of the
//! status line, which HTTP/2 has not.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use http::{Method, Request, Uri};
use http_body::Body as _;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tower_bad_gateway::FailureKind;

use crate::{
    client,
    gateway::{Gateway, patient},
    h2_frames::*,
    h2_upstream,
    upstream::{self, Act},
};

const TABLE: &str = include_str!("rows.tsv");
const RULES: &str = include_str!("rules.tsv");

#[derive(Clone, Copy, Debug)]
struct Row {
    id: &'static str,
    from: &'static str,
    http2: bool,
    method: &'static str,
    response: &'static str,
    outcome: &'static str,
    kind: &'static str,
    fields: &'static str,
}

/// Every byte is a character.
fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char::from(byte)).collect()
}

fn rows() -> Vec<Row> {
    let lines = TABLE.lines().skip(1);
    lines
        .map(|line| {
            let columns: Vec<_> = line.split('\t').collect();
            let [id, from, upstream, method, response, outcome, kind, fields, _note] = columns[..] else {
                panic!("nine columns: {line}")
            };
            assert!(["h1", "h2"].contains(&upstream), "{line}");
            Row { id, from, http2: upstream == "h2", method, response, outcome, kind, fields }
        })
        .collect()
}

/// What a client got.
#[derive(Debug, Default)]
struct Received {
    status: u16,
    whole: bool,
    content: Vec<u8>,
    fields: Vec<(String, String)>,
}

impl Received {
    /// Fields of the head as they are, others with where they stood in front.
    fn field(&mut self, place: &str, name: &str, value: &[u8]) {
        self.fields.push((format!("{place}{}", name.to_lowercase()), latin1(value.trim_ascii())));
    }

    fn lines(&mut self, place: &str, lines: &str) {
        for (name, value) in lines.lines().filter_map(|line| line.split_once(':')) {
            self.fields.push((format!("{place}{}", name.to_lowercase()), value.trim().to_owned()));
        }
    }
}

/// Over HTTP/1, by the bytes.
async fn over_http1(gateway: &Gateway, method: &str) -> Received {
    let target = if method == "CONNECT" { "gateway:80" } else { "/fault" };
    let request =
        format!("{method} {target} HTTP/1.1\r\nhost: gateway\r\nte: trailers\r\nconnection: close, te\r\n\r\n");
    let raw = client::send(gateway.address, request.as_bytes(), &gateway.seen).await;
    let mut received = Received { status: raw.status(), ..Received::default() };
    let head = raw.head();
    let Some((line, lines)) = head.split_once("\r\n") else { return received };
    let (version, reason) = (line.split(' ').next().unwrap(), line.splitn(3, ' ').nth(2).unwrap_or_default());
    received.field("/", "version", version.as_bytes());
    received.field("/", "reason", reason.as_bytes());
    received.lines("", lines);
    if method == "HEAD" || method == "CONNECT" || [204, 304].contains(&raw.status()) {
        received.whole = raw.content().is_empty() && head.ends_with("\r\n\r\n");
    } else if raw.field("transfer-encoding").is_some() {
        let (content, trailers) = dechunked(raw.content());
        received.content = content;
        received.whole = trailers.is_some() && raw.field("content-length").is_none();
        received.lines("trailer/", &trailers.unwrap_or_default());
    } else {
        received.content = raw.content().to_vec();
        received.whole = raw.is_whole();
    }
    received
}

/// The content, and the trailers if the last chunk was there.
fn dechunked(mut bytes: &[u8]) -> (Vec<u8>, Option<String>) {
    let mut content = Vec::new();
    while let Some(at) = bytes.windows(2).position(|window| window == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&bytes[..at]).unwrap(), 16).unwrap();
        bytes = &bytes[at + 2..];
        if size == 0 {
            let end = bytes == b"\r\n" || bytes.ends_with(b"\r\n\r\n");
            return (content, end.then(|| String::from_utf8_lossy(bytes).into_owned()));
        }
        let Some((chunk, rest)) = bytes.split_at_checked(size) else { break };
        content.extend_from_slice(chunk);
        bytes = rest.strip_prefix(b"\r\n").unwrap_or_default();
    }
    (content, None)
}

/// Over HTTP/2. A stream that is reset with NO_ERROR would end cleanly here as well, but does not say that it has ended.
async fn over_http2(gateway: &Gateway, method: &str) -> Received {
    let stream = TokioIo::new(TcpStream::connect(gateway.address).await.unwrap());
    let (mut sender, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
        .max_header_list_size(1 << 20)
        .handshake(stream)
        .await
        .unwrap();
    let connection = tokio::spawn(connection);
    let target = if method == "CONNECT" { "gateway:80" } else { "http://gateway/fault" };
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.method_mut() = Method::from_bytes(method.as_bytes()).unwrap();
    *request.uri_mut() = target.parse::<Uri>().unwrap();
    let mut received = Received::default();
    let Ok(response) = sender.send_request(request).await else { return received };
    gateway.seen.notify_one();
    received.status = response.status().as_u16();
    for (name, value) in response.headers() {
        received.field("", name.as_str(), value.as_bytes());
    }
    let mut body = response.into_body();
    loop {
        match body.frame().await {
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => {
                    gateway.seen.notify_one();
                    received.content.extend_from_slice(&data);
                }
                Err(frame) => {
                    for (name, value) in &frame.into_trailers().unwrap() {
                        received.field("trailer/", name.as_str(), value.as_bytes());
                    }
                }
            },
            Some(Err(error)) => {
                let code = std::error::Error::source(&error).and_then(|error| error.downcast_ref::<h2::Error>());
                // An upstream's code would say things about us that are not so.
                assert_eq!(code.and_then(h2::Error::reason), Some(h2::Reason::INTERNAL_ERROR), "{error:?}");
                break;
            }
            None => {
                received.whole = body.is_end_stream();
                break;
            }
        }
    }
    connection.abort();
    received
}

async fn outcome(row: Row, http2: bool) -> (Received, Vec<(FailureKind, bool)>) {
    let script = acts(&row);
    let upstream =
        if row.http2 { h2_upstream::start(script).await } else { upstream::h1(Vec::leak(script), false).await };
    let gateway = Gateway::start(upstream, row.http2, patient()).await;
    let received = if http2 { over_http2(&gateway, row.method).await } else { over_http1(&gateway, row.method).await };
    let failures = std::mem::take(&mut *gateway.failures.lock().unwrap());
    (received, failures.into_iter().map(|(failure, after_head)| (failure.kind(), after_head)).collect())
}

/// What is wrong with it, if anything.
fn wrong(row: &Row, http2: bool, received: &Received, failures: &[(FailureKind, bool)]) -> Option<String> {
    let expected = row.outcome.strip_prefix("undetectable ").unwrap_or(row.outcome);
    let mut words = expected.splitn(3, ' ');
    let (status, end, content) = (words.next().unwrap(), words.next(), words.next());
    let (whole, after_head) = (end != Some("cut"), end == Some("cut"));
    let kinds: Vec<_> = if row.kind == "-" { Vec::new() } else { vec![(row.kind, after_head)] };
    let told: Vec<_> = failures.iter().map(|(kind, after_head)| (kind.token(), *after_head)).collect();
    let own = kinds.iter().any(|(_, after_head)| !after_head);
    let mut wrong = Vec::new();
    if (received.status.to_string() != status) || received.whole != whole {
        wrong.push(format!("{} {}", received.status, if received.whole { "whole" } else { "cut" }));
    }
    let got = String::from_utf8_lossy(&received.content);
    let right = if own && row.method != "HEAD" {
        // The gateway's own, by the same name, and nothing of the upstream's.
        got.contains(&format!("\"code\":\"{}\"", row.kind)) && !got.contains("hello")
    } else {
        got == content.unwrap_or_default()
    };
    if !right {
        wrong.push(format!("content {got:?}"));
    }
    if told != kinds {
        wrong.push(format!("told {told:?}"));
    }
    for field in row.fields.split_whitespace() {
        let (must, field) = field.split_at(1);
        let (name, value) = field.split_once('=').map_or((field, None), |(name, value)| (name, Some(value)));
        if http2 && name.starts_with('/') {
            continue;
        }
        let lines: Vec<_> =
            received.fields.iter().filter(|(other, _)| other == name).map(|(_, value)| &**value).collect();
        let right = match (must, value.map(value_of)) {
            ("+", Some(value)) => lines.join(",") == value,
            ("-", Some(value)) => !lines.contains(&&*value),
            ("-", None) => lines.is_empty(),
            _ => panic!("{field}"),
        };
        if !right {
            wrong.push(format!("{must}{field}: {lines:?}"));
        }
    }
    (!wrong.is_empty()).then(|| wrong.join(", "))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_response_that_slips_through_has_one_outcome() {
    let rows = rows();
    let mut rules = BTreeSet::new();
    for line in RULES.lines().skip(1) {
        let [rule, _what, needed] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("three columns: {line}") };
        rules.insert(rule);
        for id in needed.split(' ') {
            let found = rows.iter().any(|row| row.id == id && row.from.split(' ').any(|from| from == rule));
            assert!(found, "{rule} has no row {id}");
        }
    }
    let known = rows.iter().flat_map(|row| row.from.split(' ')).all(|rule| rules.contains(rule));
    assert!(known, "every row has a rule");
    let ids: BTreeSet<_> = rows.iter().map(|row| row.id).collect();
    assert_eq!(ids.len(), rows.len(), "two rows of one name");

    let mut all = Vec::new();
    for (row, http2) in rows.iter().flat_map(|row| [(*row, false), (*row, true)]) {
        let running = tokio::time::timeout(std::time::Duration::from_secs(60), outcome(row, http2));
        all.push((row, http2, tokio::spawn(running)));
    }
    let (mut bad, mut outcomes) = (Vec::new(), BTreeMap::<_, usize>::new());
    let cases = all.len();
    for (row, http2, running) in all {
        let downstream = if http2 { "h2" } else { "h1" };
        let found = match running.await {
            Ok(Ok((received, failures))) => wrong(&row, http2, &received, &failures),
            Ok(Err(_)) => Some("it hangs".to_owned()),
            Err(error) => Some(error.to_string()),
        };
        println!(
            "{:5} {:30} to {downstream} {:38} {:34} {}",
            if found.is_none() { "ok" } else { "WRONG" },
            row.id,
            row.outcome,
            row.kind,
            row.fields
        );
        let class = match row.outcome.split(' ').collect::<Vec<_>>()[..] {
            ["undetectable", ..] => "undetectable",
            [_, "cut", ..] => "cut",
            [_, "whole", ..] => "passed or tidied",
            _ => "refused",
        };
        *outcomes.entry(class).or_default() += 1;
        bad.extend(found.map(|found| format!("{} to {downstream}: {found}", row.id)));
    }
    println!("{} rows, {} rules, {cases} cases {outcomes:?}, {} wrong", rows.len(), rules.len(), bad.len());
    assert!(bad.is_empty(), "wrong rows:\n{}", bad.join("\n"));
}

/// What the upstream does, out of the text of a row.
fn acts(row: &Row) -> Vec<Act> {
    let mut acts = Vec::new();
    let parts: Vec<_> = if row.http2 { row.response.split(" ~ ").collect() } else { vec![row.response] };
    for part in parts {
        if row.http2 && part != "<seen>" {
            acts.push(Act::Send(Vec::leak(frame_of(part))));
            continue;
        }
        let mut rest = part;
        while !rest.is_empty() {
            let (act, after) = match rest.split_once('<') {
                Some(("", token)) => {
                    let (token, after) = token.split_once('>').unwrap();
                    let act = match token {
                        "seen" => Act::Seen,
                        "fin" => Act::Fin,
                        _ => {
                            let (count, text) =
                                token.strip_prefix('*').and_then(|token| token.split_once(' ')).unwrap();
                            Act::Send(Vec::leak(bytes_of(text).repeat(count.parse().unwrap())))
                        }
                    };
                    (act, after)
                }
                Some((text, _)) => (Act::Send(Vec::leak(bytes_of(text))), &rest[text.len()..]),
                None => (Act::Send(Vec::leak(bytes_of(rest))), ""),
            };
            acts.push(act);
            rest = after;
        }
    }
    acts
}

/// `\r`, `\n` and `\xNN`.
fn bytes_of(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        bytes.extend(before.as_bytes());
        let (byte, length) = match after.as_bytes()[0] {
            b'r' => (b'\r', 1),
            b'n' => (b'\n', 1),
            _ => (u8::from_str_radix(&after[1..3], 16).unwrap(), 3),
        };
        bytes.push(byte);
        rest = &after[length..];
    }
    bytes.extend(rest.as_bytes());
    bytes
}

/// The value of a field, out of the text of a row.
fn value_of(text: &str) -> String {
    match text.strip_prefix("<*").and_then(|text| text.strip_suffix('>')).and_then(|text| text.split_once('_')) {
        Some((count, text)) => text.repeat(count.parse().unwrap()),
        None => latin1(&bytes_of(text)),
    }
}

/// A frame on stream 1, out of its words.
fn frame_of(text: &str) -> Vec<u8> {
    let (name, rest) = text.split_once(' ').unwrap_or((text, ""));
    let (name, end) = name.strip_suffix('+').map_or((name, 0), |name| (name, END_STREAM));
    let number = |text: &str| text.parse::<u32>().unwrap();
    match name {
        "headers" => {
            let block = rest.split(' ').flat_map(|pair| {
                let (name, value) = pair.split_once('=').unwrap();
                field(name.as_bytes(), &bytes_of(value))
            });
            headers(1, end, &block.collect::<Vec<_>>())
        }
        "data" => frame(DATA, end, 1, rest.as_bytes()),
        "rst" => rst_stream(1, number(rest)),
        "goaway" => {
            let (last, code) = rest.split_once(' ').unwrap();
            goaway(number(last), number(code), b"")
        }
        _ => panic!("{text}"),
    }
}
