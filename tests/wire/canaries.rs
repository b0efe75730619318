//! Redaction: secrets in every place that an upstream or a client controls, and none of them in any answer the layer makes.
//!
//! Every place of every exchange has a secret of its own, so that a finding names the place. It is looked for in all that came
//! over the client's connection: as it is, percent-encoded, in base64 and in hexadecimal digits. That the scanner would find it is
//! shown by the same matrix with a door open: there each place must be found.

mod anyone;
mod asking;
mod doors;
mod faults;
mod laden;
mod mint;
mod scan;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tower_bad_gateway::{FailureKind, context::RequestContext, validate::ResponseHead};

use self::{
    asking::{Answer, Asked, Format},
    doors::Door,
    faults::Fault,
    mint::{MARK, Mint, Secret},
    scan::{Encoding, Haystack},
};
use crate::{
    client,
    gateway::{Gateway, patient},
    upstream::{self, Act::*},
};

/// One request, and what came of it.
struct Exchange {
    fault: &'static str,
    is_cut: bool,
    door: Door,
    format: Format,
    http2: bool,
    secrets: Vec<Secret>,
    /// What the upstream sent.
    sent: Vec<u8>,
    answer: Answer,
    /// What the layer told: the kind, and whether it came after the head.
    told: Vec<(FailureKind, bool)>,
}

impl fmt::Display for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = if self.http2 { "h2" } else { "h1" };
        write!(f, "{} for {:?} over {version}, {:?}", self.fault, self.format, self.door)
    }
}

/// The whole matrix: faults, formats, versions of the client, doors. An open door is tried by one version after the other: what
/// it is for is to find every place.
fn run(doors: &[Door]) -> Vec<Exchange> {
    let faults = faults::all();
    let mut cases = Vec::new();
    for (fault, door) in faults.iter().flat_map(|fault| doors.iter().map(move |door| (fault, *door))) {
        for format in Format::ALL.into_iter().filter(|format| !fault.not_by.contains(format)) {
            let other = cases.len() % 2 == 1;
            let versions: &[bool] = match door {
                _ if fault.is_upload => &[false],
                Door::Closed => &[false, true],
                _ if other => &[true],
                _ => &[false],
            };
            cases.extend(versions.iter().map(|http2| (fault, door, format, *http2)));
        }
    }
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                while let Some(&(fault, door, format, http2)) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    // One runtime each: with it end all servers.
                    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                    let exchange = exchange(fault, door, format, http2);
                    let exchange =
                        runtime.block_on(async { tokio::time::timeout(Duration::from_secs(60), exchange).await });
                    runtime.shutdown_background();
                    let exchange =
                        exchange.unwrap_or_else(|_| panic!("{} hangs: {door:?} {format:?} h2 {http2}", fault.id));
                    done.lock().unwrap().push(exchange);
                }
            });
        }
    });
    done.into_inner().unwrap()
}

async fn exchange(fault: &Fault, door: Door, format: Format, http2: bool) -> Exchange {
    let mut mint = Mint::default();
    let asked = Asked::new(&mut mint, format, fault.is_upload);
    let scene = (fault.make)(&mut mint);
    let opened = doors::open(door, scene, &mut mint).await;
    let answer = asked.ask(opened.gateway.address, http2, &opened.gateway.seen).await;
    let told = std::mem::take(&mut *opened.gateway.failures.lock().unwrap());
    Exchange {
        fault: fault.id,
        // What is no gRPC is answered before its body can break.
        is_cut: fault.is_cut && format != Format::Grpc,
        door,
        format,
        http2,
        secrets: mint.secrets(),
        sent: opened.sent,
        answer,
        told: told.into_iter().map(|(failure, after_head)| (failure.kind(), after_head)).collect(),
    }
}

/// What is wrong with an answer behind closed doors.
fn wrong(exchange: &Exchange) -> Vec<String> {
    let (answer, haystack) = (&exchange.answer, Haystack::of(&exchange.answer.bytes));
    let mut wrong = Vec::new();
    if !matches!(exchange.told[..], [(_, after_head)] if after_head == exchange.is_cut) || answer.status == 0 {
        wrong.push(format!("not the failure it should be: {} {:?}", answer.status, exchange.told));
    }
    for secret in exchange.secrets.iter().filter(|secret| !(exchange.is_cut && secret.passes)) {
        let found = haystack.find(&secret.text);
        if !found.is_empty() {
            wrong.push(format!("FOUND {}: {found:?}", secret.place));
        }
    }
    if exchange.is_cut {
        // The head is the upstream's: nothing is added but what a server says of itself.
        let sent = Haystack::of(&exchange.sent);
        let own = ["connection", "date", "transfer-encoding"];
        let fields = answer.fields.iter().filter(|(name, _)| !own.contains(&&**name));
        let is_theirs = |text: &str| sent.find(text).contains(&Encoding::Raw);
        let added: Vec<_> = fields.filter(|(name, value)| !(is_theirs(name) && is_theirs(value))).collect();
        if !added.is_empty() {
            wrong.push(format!("ADDED {added:?}"));
        }
    } else if !haystack.find(MARK).is_empty() && wrong.is_empty() {
        wrong.push("FOUND a part of a secret".to_owned());
    }
    wrong
}

#[test]
fn nothing_that_others_control_is_in_an_answer_of_ours() {
    let exchanges = run(&[Door::Closed, Door::Set]);
    let mut all_wrong: Vec<String> = Vec::new();
    let mut kinds = BTreeSet::new();
    for exchange in &exchanges {
        kinds.extend(exchange.told.iter().map(|(kind, _)| kind.token()));
        all_wrong.extend(wrong(exchange).into_iter().map(|wrong| format!("{exchange}: {wrong}")));
    }
    let places: BTreeSet<_> =
        exchanges.iter().flat_map(|exchange| &exchange.secrets).map(|secret| secret.place).collect();
    let faults: BTreeSet<_> = exchanges.iter().map(|exchange| exchange.fault).collect();
    for format in Format::ALL {
        let of = exchanges.iter().filter(|exchange| exchange.format == format && !exchange.is_cut);
        let (answers, bytes) =
            of.fold((0, 0), |(count, bytes), exchange| (count + 1, bytes + exchange.answer.bytes.len()));
        println!("{answers:4} answers for {format:?}, {bytes} bytes");
    }
    println!(
        "{} faults, {} places, {} kinds: {}",
        faults.len(),
        places.len(),
        kinds.len(),
        Vec::from_iter(kinds).join(" ")
    );
    let secrets: usize = exchanges.iter().map(|exchange| exchange.secrets.len()).sum();
    let bytes: usize = exchanges.iter().map(|exchange| exchange.answer.bytes.len()).sum();
    let (cut, answered): (Vec<_>, Vec<_>) = exchanges.iter().partition(|exchange| exchange.is_cut);
    println!(
        "{} answers and {} messages that were cut, {bytes} bytes, {secrets} secrets; found: {}",
        answered.len(),
        cut.len(),
        all_wrong.iter().filter(|wrong| wrong.contains("FOUND")).count()
    );
    let by_fallback = |exchange: &&Exchange| exchange.answer.fields.iter().any(|(name, _)| name == "x-told");
    let asked = exchanges.iter().filter(by_fallback).count();
    println!("{asked} answers of the fallback");
    // For GET and HEAD, in the place of the format.
    let due = |exchange: &&Exchange| {
        exchange.door == Door::Set && !exchange.is_cut && matches!(exchange.format, Format::Problem | Format::Head)
    };
    assert_eq!(asked, exchanges.iter().filter(due).count(), "a fallback was left out");
    assert!(all_wrong.is_empty(), "{} wrong:\n{}", all_wrong.len(), all_wrong.join("\n"));
}

#[test]
fn every_secret_is_found_once_a_door_is_open() {
    const OPEN: [Door; 4] = [Door::Disclose, Door::Format, Door::Router, Door::Echo];
    let exchanges = run(&OPEN);
    let mut found = BTreeMap::<_, (BTreeMap<Door, usize>, BTreeSet<Encoding>)>::new();
    for exchange in &exchanges {
        let haystack = Haystack::of(&exchange.answer.bytes);
        let marked = haystack.find(MARK);
        for secret in &exchange.secrets {
            let (doors, encodings) = found.entry(secret.place).or_default();
            let among = if secret.text.starts_with(MARK) { &marked } else { &Encoding::ALL.into() };
            let here = haystack.find_in(&secret.text, among);
            if !here.is_empty() {
                *doors.entry(exchange.door).or_default() += 1;
            }
            encodings.extend(here);
        }
    }
    for (place, (doors, encodings)) in &found {
        let doors: Vec<_> = doors.iter().map(|(door, times)| format!("{door:?} x {times}")).collect();
        println!("{place:40} {:60} {encodings:?}", doors.join(", "));
    }
    println!("{} answers, {} places", exchanges.len(), found.len());
    let never: Vec<_> = found.iter().filter(|(_, (doors, _))| doors.is_empty()).map(|(place, _)| place).collect();
    assert!(never.is_empty(), "never found: {never:?}");
    let useless: Vec<_> =
        OPEN.iter().filter(|door| !found.values().any(|(doors, _)| doors.contains_key(door))).collect();
    assert!(useless.is_empty(), "doors that open nothing: {useless:?}");
}

/// The one thing that comes out by default: the name by which an intermediary goes in `Proxy-Status`. It is there to be told.
#[tokio::test]
async fn the_names_of_other_gateways_are_told_unless_they_are_to_be_stripped() {
    for strips in [false, true] {
        let mut mint = Mint::default();
        let name = mint.at("Proxy-Status name");
        let response = format!("HTTP/1.1 503 X\r\nproxy-status: {name};error=dns_error\r\ncontent-length: 0\r\n\r\n");
        let layer =
            patient().validate(|_: &ResponseHead<'_>, _: &RequestContext| Err::<(), _>(FailureKind::ReceivedStatus));
        let layer = if strips { layer.strip_proxy_status() } else { layer };
        let upstream = upstream::h1(Vec::leak(vec![laden::send(response), Fin]), false).await;
        let gateway = Gateway::start(upstream, false, layer).await;
        let received = client::get(gateway.address, "/fault", &gateway.seen).await;
        assert_eq!(received.status(), 503);
        let told = if strips { String::new() } else { format!("{name};error=dns_error, ") };
        assert_eq!(received.fields("proxy-status"), [format!("{told}edge;received-status=503")]);
        let times = String::from_utf8(received.bytes).unwrap().matches(&name).count();
        assert_eq!(times, usize::from(!strips));
    }
}
