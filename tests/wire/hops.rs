//! What the next hop is told in `Proxy-Status` ([RFC 9209](https://www.rfc-editor.org/rfc/rfc9209)), and what it must not be.

use std::collections::BTreeSet;

use http::{HeaderMap, HeaderValue, StatusCode};
use sfv::{BareItem, List, ListEntry, Parser};
use tower_bad_gateway::{
    FailureKind::{self, *},
    failure::Parameter,
    proxy_status::ProxyStatus,
};

use crate::{gateway::NAME, row::Done};

/// What the client read, or what is wrong with it.
pub(crate) fn judge(done: &Done) -> Result<String, String> {
    let outcome = &done.outcome;
    let line = match (&outcome.proxy_status[..], outcome.kind) {
        ([], None) => return Ok("-".to_owned()),
        // A trailer would need a clean end.
        ([], Some(_)) if outcome.after_head => return Ok("-".to_owned()),
        ([line], Some(_)) if !outcome.after_head => line,
        (lines, _) => return Err(format!("PROXY-STATUS {lines:?}")),
    };
    let wrong = wrong(done, line);
    if wrong.is_empty() { Ok(line.clone()) } else { Err(format!("{line} WRONG: {}", wrong.join(", "))) }
}

fn wrong(done: &Done, line: &str) -> Vec<String> {
    let (outcome, mut wrong) = (&done.outcome, Vec::new());
    let mut must = |right: bool, what: &str| {
        if !right {
            wrong.push(what.to_owned());
        }
    };
    let Some(kind) = outcome.kind else { return vec!["nothing had failed".to_owned()] };

    // By the library of the standard.
    let list: Result<List, _> = Parser::new(line).parse();
    let Ok(Some(ListEntry::Item(ours))) = list.as_ref().map(|list| list.last()) else {
        return vec!["no list of members".to_owned()];
    };
    must(ours.bare_item.as_token().is_some_and(|name| name.as_str() == NAME.as_str()), "not our name");
    let error = ours.params.get("error").map(|error| error.as_token().map(|token| token.as_str()));
    must(error == kind.proxy_error_type().map(Some), "not the type of the kind that was told");
    must(error.is_none_or(|_| done.kinds.contains(&kind)), "a type that is not expected");
    let received = ours.params.get("received-status").and_then(BareItem::as_integer).map(i64::from);
    let upstream = outcome.upstream_status.map(|status| i64::from(status.as_u16()));
    must(received == upstream, "another received status");
    let mut keys: BTreeSet<_> =
        outcome.parameters.iter().filter(|parameter| is_public(parameter)).map(Parameter::name).collect();
    keys.extend(error.map(|_| "error"));
    keys.extend(upstream.map(|_| "received-status"));
    must(ours.params.keys().map(|key| key.as_str()).collect::<BTreeSet<_>>() == keys, "other parameters");

    // By our own reader.
    let mut headers = HeaderMap::new();
    headers.insert("proxy-status", HeaderValue::from_str(line).unwrap());
    let status = ProxyStatus::of(&headers);
    let last = status.as_ref().and_then(|status| status.intermediaries().last());
    must(last.is_some_and(|last| (last.name(), last.error()) == (NAME.as_str(), kind.proxy_error_type())), "not read");
    must(last.is_some_and(|last| last.next_hop().is_none() && last.details().is_none()), "too much is told");

    must(outcome.status == recommended(kind, done), "not the status of the type");
    wrong
}

/// The status that the standard recommends for the type; of a stalled upload it is 408, and what was intercepted keeps its own.
fn recommended(kind: FailureKind, done: &Done) -> u16 {
    let outcome = &done.outcome;
    let stalled = outcome.parameters.contains(&Parameter::StatusCode(StatusCode::REQUEST_TIMEOUT));
    match kind {
        HttpRequestError if stalled => 408,
        ReceivedStatus => outcome.upstream_status.map_or(0, |status| status.as_u16()),
        _ => kind.status().as_u16(),
    }
}

/// Numbers, and words that everyone knows, tell of nobody.
fn is_public(parameter: &Parameter) -> bool {
    match parameter {
        Parameter::Coding(coding) => ["chunked", "gzip", "identity"].contains(&&**coding),
        parameter => ["status-code", "header-section-size", "header-size", "body-size"].contains(&parameter.name()),
    }
}

/// Kinds that no row reaches, and why.
pub(crate) const UNREACHED: &[(FailureKind, &str)] = &[
    #[cfg(not(target_os = "linux"))]
    (DestinationIpUnroutable, "systems differ in what they say of an address without a route"),
];

/// What is neither met nor listed, or both.
pub(crate) fn unaccounted(met: &BTreeSet<&'static str>) -> Vec<FailureKind> {
    let listed = |kind| UNREACHED.iter().any(|(unreached, _)| *unreached == kind);
    FailureKind::ALL.iter().copied().filter(|kind| met.contains(kind.token()) == listed(*kind)).collect()
}
