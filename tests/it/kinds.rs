//! The table of kinds against the standard.

use std::collections::BTreeSet;

use http::HeaderName;
use tower_bad_gateway::{
    FailureKind,
    failure::{Blame, FailureClass, Parameter},
};

/// From RFC 9209, section 2.3: name, recommended status, whether only intermediaries generate it, extra parameters.
const STANDARD: &str = include_str!("proxy_error_types.csv");

fn rows() -> impl Iterator<Item = Vec<&'static str>> {
    STANDARD.lines().skip(1).map(|line| line.split(',').collect())
}

#[test]
fn every_proxy_error_type_is_a_kind_with_its_recommended_status() {
    let ours: Vec<_> = FailureKind::ALL.iter().filter_map(|kind| Some((kind.proxy_error_type()?, kind))).collect();
    assert_eq!(ours.len(), 32);
    let wrong: Vec<_> = rows()
        .map(|row| {
            let (name, recommended) = (row[0], row[1]);
            let got = ours.iter().find(|(token, _)| *token == name).map(|(_, kind)| kind.status().as_u16());
            let fits = match (recommended, got) {
                (_, None) => false,
                ("4xx", Some(status)) => (400..500).contains(&status),
                ("most-appropriate", Some(status)) => status == 500,
                (recommended, Some(status)) => recommended == status.to_string(),
            };
            (name, recommended, got, fits)
        })
        .filter(|(.., fits)| !fits)
        .collect();
    assert!(wrong.is_empty(), "(name, recommended, got, fits): {wrong:?}");
    assert_eq!(rows().count(), 32);
}

#[test]
fn the_order_is_that_of_the_standard_and_then_ours() {
    let ours: Vec<_> = FailureKind::ALL.iter().map(|kind| kind.token()).collect();
    let mut standard: Vec<_> = rows().map(|row| row[0]).collect();
    standard.extend(["received_status", "unclassified"]);
    assert_eq!(ours, standard);
}

#[test]
fn every_extra_parameter_has_a_type() {
    let standard: BTreeSet<_> =
        rows().flat_map(|row| row[3].split(';').map(|parameter| parameter.split(':').next().unwrap())).collect();
    let name = HeaderName::from_static("x");
    let ours: BTreeSet<_> = [
        Parameter::Rcode("NXDOMAIN".into()),
        Parameter::InfoCode(1),
        Parameter::AlertId(40),
        Parameter::AlertMessage("handshake_failure".into()),
        Parameter::StatusCode(http::StatusCode::BAD_REQUEST),
        Parameter::StatusPhrase("Bad Request".into()),
        Parameter::HeaderSectionSize(1),
        Parameter::HeaderName(name.clone()),
        Parameter::HeaderSize(1),
        Parameter::BodySize(1),
        Parameter::TrailerSectionSize(1),
        Parameter::TrailerName(name),
        Parameter::TrailerSize(1),
        Parameter::Coding("gzip".into()),
    ]
    .iter()
    .map(Parameter::name)
    .collect();
    assert_eq!(ours, standard.into_iter().filter(|name| !name.is_empty()).collect());
}

#[test]
fn the_words_of_the_table_are_fit_to_be_shown() {
    let wrong: Vec<_> = FailureKind::ALL
        .iter()
        .filter(|kind| {
            let (title, summary) = (kind.title(), kind.summary());
            title.is_empty()
                || !title.starts_with(|first: char| first.is_uppercase())
                || summary.is_empty()
                || summary.ends_with('.')
                || summary.starts_with(|first: char| first.is_uppercase())
                || !summary.is_ascii()
                || kind.grpc_code() > 16
                || kind.grpc_code() == 0
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// A timeout is 504, and its gRPC code tells whether anything had been sent; what is blamed on the client is 4xx.
#[test]
fn status_code_and_blame_tell_the_same_story() {
    let wrong: Vec<_> = FailureKind::ALL
        .iter()
        .filter(|kind| {
            let late = kind.token().ends_with("_timeout");
            let nothing_sent = matches!(kind, FailureKind::DnsTimeout | FailureKind::ConnectionTimeout);
            (kind.status() == 504) != late
                || (late && (kind.grpc_code() == 4) == nothing_sent)
                || (kind.blame() == Blame::Client) != (kind.status() == 400)
                || (kind.status() == 500 && kind.blame() != Blame::Gateway)
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn the_class_fits_status_and_blame() {
    let wrong: Vec<_> = FailureKind::ALL
        .iter()
        .map(|kind| (kind, kind.class(), kind.status().as_u16(), kind.blame()))
        .filter(|(_, class, status, blame)| match class {
            Some(FailureClass::Timeout) => *status != 504,
            Some(FailureClass::Overload) => *status != 503,
            Some(FailureClass::Connection | FailureClass::InvalidResponse) | None => {
                (*status, *blame) != (502, Blame::Upstream)
            }
            Some(FailureClass::Client) => *blame != Blame::Client,
            Some(FailureClass::Gateway) => *blame != Blame::Gateway || *status == 503,
            Some(_) => true,
        })
        .collect();
    assert!(wrong.is_empty(), "(kind, class, status, blame): {wrong:?}");
    assert_eq!(FailureKind::ALL.iter().filter(|kind| kind.class().is_none()).count(), 2);
}
