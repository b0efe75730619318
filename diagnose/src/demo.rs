//! A chain of two gateways on this machine, broken in one place after the other.

mod gateway;
#[expect(dead_code, reason = "the gateway of the other example lists its paths")]
#[path = "../../examples/gateway/upstream.rs"]
mod upstream;

use std::{error::Error, fmt::Write, net::SocketAddr, sync::Arc, time::Duration};

use http::Uri;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tower_bad_gateway::{FailureKind, GatewayName};

use self::gateway::{Gateway, Ways};
use crate::{
    ask::Ask,
    connector, options,
    read::{self, Place},
    report,
    trust::{self, Trust},
};

/// One fault, and what was said of it.
pub(crate) struct Row {
    fault: &'static str,
    broken: &'static str,
    named: String,
    verdict: String,
    report: Value,
    pub(crate) is_right: bool,
}

use FailureKind as Kind;

/// What is wrong, where that is asked, which hop is broken, and how it is to be called.
#[rustfmt::skip] // a table
const FAULTS: &[(&str, &str, &str, Option<FailureKind>)] = &[
    ("nothing", "/ok", NONE, None),
    ("nothing, and TLS to the upstream", "/tls/ok", NONE, None),
    ("the upstream refuses connections", "/refused", UPSTREAM, Some(Kind::ConnectionRefused)),
    ("the name of the upstream is unknown", "/unknown-name", UPSTREAM, Some(Kind::DnsError)),
    ("the upstream never answers", "/slow", UPSTREAM, Some(Kind::HttpResponseTimeout)),
    ("the upstream resets the connection", "/reset", UPSTREAM, Some(Kind::ConnectionTerminated)),
    ("the upstream closes it without a word", "/eof", UPSTREAM, Some(Kind::ConnectionTerminated)),
    ("the upstream does not speak HTTP", "/garbage", UPSTREAM, Some(Kind::HttpProtocolError)),
    ("the upstream sends a header field of half a megabyte", "/huge-field", UPSTREAM, Some(Kind::HttpResponseHeaderSectionSize)),
    ("nobody trusts the certificate of the upstream", "/tls/unknown-ca", UPSTREAM, Some(Kind::TlsCertificateError)),
    ("the certificate of the upstream has expired", "/tls/expired", UPSTREAM, Some(Kind::TlsCertificateError)),
    ("the certificate of the upstream is for another name", "/tls/wrong-name", UPSTREAM, Some(Kind::TlsCertificateError)),
    ("the upstream wants a client certificate", "/tls/client-certificate", UPSTREAM, Some(Kind::TlsAlertReceived)),
    ("the upstream does not speak TLS", "/tls/plaintext", UPSTREAM, Some(Kind::TlsProtocolError)),
    ("the upstream sends half of the body", "/truncated", UPSTREAM, Some(Kind::HttpResponseIncomplete)),
    ("the upstream leaves out the last chunk", "/truncated-chunks", UPSTREAM, Some(Kind::HttpResponseIncomplete)),
    ("the upstream falls silent half-way", "/stall", UPSTREAM, Some(Kind::HttpResponseIncomplete)),
    ("the application answers 500", "/app-500", UPSTREAM, None),
    ("origin sheds load", "/busy", ORIGIN, Some(Kind::ConnectionLimitReached)),
    ("origin sends the request back to edge", "/loop", ORIGIN, Some(Kind::ProxyLoopDetected)),
    ("origin is not running", "/origin-down", ORIGIN, Some(Kind::ConnectionRefused)),
    ("the name of origin is unknown", "/origin-unknown", ORIGIN, Some(Kind::DnsError)),
    ("origin never answers", "/origin-silent", ORIGIN, Some(Kind::HttpResponseTimeout)),
    ("edge is not running", "http://{refusing}/", EDGE, Some(Kind::ConnectionRefused)),
    ("the name of edge is unknown", "http://edge.invalid/", EDGE, Some(Kind::DnsError)),
    ("edge never answers", "http://{silent}/", EDGE, Some(Kind::HttpResponseTimeout)),
    ("nobody trusts the certificate of edge", "https://{untrusted}/", EDGE, Some(Kind::TlsCertificateError)),
    ("edge does not speak TLS", "https://{plaintext}/", EDGE, Some(Kind::TlsProtocolError)),
];

const NONE: &str = "none";
const EDGE: &str = "edge";
const ORIGIN: &str = "origin";
const UPSTREAM: &str = "upstream";

/// Nobody waits longer for a hop that is silent; those that are to answer have all the time they need.
const SHORT: Duration = Duration::from_millis(300);

const LONG: Duration = Duration::from_secs(30);

/// What runs, and stays while it is asked.
struct Chain {
    edge: SocketAddr,
    silent: TcpListener,
    upstream: upstream::Embedded,
}

pub(crate) async fn run() -> Result<Vec<Row>, Box<dyn Error>> {
    let chain = Arc::new(start().await?);
    let tls = connector(trust::config(Trust::One(&chain.upstream.tls.authority))?);
    let mut asking = Vec::new();
    for &(fault, target, broken, kind) in FAULTS {
        let (url, tls) = (chain.url(target)?, tls.clone());
        let timeout = if target.contains("{silent}") { Duration::from_secs(1) } else { LONG };
        let ask = Ask { timeout, tls: Some(tls), headers: Vec::new() };
        asking.push(tokio::spawn(async move {
            let asked = ask.ask(&url).await;
            let diagnosis = read::diagnose(&asked);
            let is_right = hops(&diagnosis.place).contains(&broken) && diagnosis.kind == kind;
            let report = report::json(&asked, &diagnosis);
            Row { fault, broken, named: diagnosis.place.hop(), verdict: diagnosis.verdict, report, is_right }
        }));
    }
    let mut rows = Vec::new();
    for row in asking {
        rows.push(row.await?);
    }
    drop(chain);
    Ok(rows)
}

/// The hops of this chain that are meant.
fn hops(place: &Place) -> &'static [&'static str] {
    match place {
        Place::Nowhere => &[NONE],
        Place::First(_) => &[EDGE],
        Place::FirstOrBehind(_) => &[EDGE, ORIGIN, UPSTREAM],
        Place::At(name) if name == EDGE => &[EDGE],
        Place::At(name) if name == ORIGIN => &[ORIGIN],
        Place::Behind(name) if name == EDGE => &[ORIGIN],
        Place::Behind(name) if name == ORIGIN => &[UPSTREAM],
        // Everybody behind the client may have made it.
        Place::Somewhere => &[EDGE, ORIGIN, UPSTREAM],
        _ => &[],
    }
}

async fn start() -> Result<Chain, Box<dyn Error>> {
    let upstream = upstream::start().await?;
    let application = gateway::application().await?;
    let silent = TcpListener::bind(("127.0.0.1", 0)).await?;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let edge = listener.local_addr()?;
    let tls = |path: &'static str, address: &SocketAddr| (path, format!("https://{address}"));
    let mut detours: Vec<_> = upstream.tls.paths.iter().map(|(path, address)| tls(path, address)).collect();
    detours.extend([
        ("/refused", format!("http://{}", upstream.refusing)),
        ("/unknown-name", "http://upstream.invalid".to_owned()),
        ("/app-500", format!("http://{application}")),
        ("/loop", format!("http://{edge}")),
    ]);
    let ways =
        Ways { usual: format!("http://{}", upstream.address), detours, silent: &["/slow"], stalling: &["/stall"] };
    let name = GatewayName::from_static(ORIGIN);
    let authority = &upstream.tls.authority;
    let origin = Gateway { name: name.clone(), ways: ways.clone(), most: 1000 }.start(authority).await?;
    let busy = Gateway { name, ways, most: 0 }.start(authority).await?;

    let ways = Ways {
        usual: format!("http://{origin}"),
        detours: vec![
            ("/busy", format!("http://{busy}")),
            ("/origin-down", format!("http://{}", upstream.refusing)),
            ("/origin-unknown", "http://origin.invalid".to_owned()),
            ("/origin-silent", format!("http://{}", silent.local_addr()?)),
        ],
        silent: &["/origin-silent"],
        stalling: &[],
    };
    Gateway { name: GatewayName::from_static(EDGE), ways, most: 1000 }.serve(listener, authority)?;
    Ok(Chain { edge, silent, upstream })
}

impl Chain {
    fn url(&self, target: &str) -> Result<Uri, Box<dyn Error>> {
        if target.starts_with('/') {
            return Ok(options::url(&format!("http://{}{target}", self.edge))?);
        }
        let mut url = target
            .replace("{refusing}", &self.upstream.refusing.to_string())
            .replace("{silent}", &self.silent.local_addr()?.to_string());
        for (what, path) in [("{untrusted}", "/tls/unknown-ca"), ("{plaintext}", "/tls/plaintext")] {
            let found = self.upstream.tls.paths.iter().find(|(known, _)| *known == path);
            url = url.replace(what, &found.map_or(String::new(), |(_, address)| address.to_string()));
        }
        Ok(options::url(&url)?)
    }
}

pub(crate) fn text(rows: &[Row]) -> String {
    let mut text = format!("client -> {EDGE} -> {ORIGIN} -> {UPSTREAM}, one of them broken\n\n");
    for Row { fault, broken, named, verdict, is_right, .. } in rows {
        let right = if *is_right { "right" } else { "WRONG" };
        let _ = write!(text, "{right}  {fault}\n       {verdict}\n       broken: {broken}, named: {named}\n\n");
    }
    let right = rows.iter().filter(|row| row.is_right).count();
    let _ = writeln!(text, "{right} of {} right", rows.len());
    text
}

pub(crate) fn json(rows: &[Row]) -> Value {
    let row = |row: &Row| json!({ "fault": row.fault, "broken": row.broken, "named": row.named, "right": row.is_right, "diagnosis": row.report });
    rows.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn the_hop_that_is_named_is_the_one_that_is_broken() {
        let rows = run().await.unwrap();
        let wrong: Vec<_> = rows.iter().filter(|row| !row.is_right).map(|row| format!("{:#}", row.report)).collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        // Only where the head had left, or nobody tells, is it not one hop.
        let is_vague = |row: &&Row| row.named.contains("or behind it") || row.named == "not told";
        let vague: Vec<_> = rows.iter().filter(is_vague).map(|row| row.fault).collect();
        let expected = [
            "the upstream sends half of the body",
            "the upstream leaves out the last chunk",
            "the upstream falls silent half-way",
            "the application answers 500",
        ];
        assert_eq!(vague, expected);
    }

    #[test]
    fn a_hop_is_right_only_where_it_is_the_one_that_is_meant() {
        let name = |name: &str| name.to_owned();
        let wrong: Vec<_> = [
            (Place::Nowhere, &[NONE][..]),
            (Place::First(name("127.0.0.1:1")), &[EDGE]),
            (Place::FirstOrBehind(name("127.0.0.1:1")), &[EDGE, ORIGIN, UPSTREAM]),
            (Place::At(name(EDGE)), &[EDGE]),
            (Place::At(name(ORIGIN)), &[ORIGIN]),
            (Place::Behind(name(EDGE)), &[ORIGIN]),
            (Place::Behind(name(ORIGIN)), &[UPSTREAM]),
            (Place::Somewhere, &[EDGE, ORIGIN, UPSTREAM]),
            (Place::At(name("nginx")), &[]),
            (Place::Behind(name("nginx")), &[]),
            (Place::AtOrBehind(name(EDGE)), &[]),
            (Place::NoneKnown, &[]),
            (Place::Here, &[]),
            (Place::Client, &[]),
        ]
        .into_iter()
        .filter(|(place, expected)| hops(place) != *expected)
        .collect();
        assert!(wrong.is_empty(), "{wrong:?}");
    }
}
