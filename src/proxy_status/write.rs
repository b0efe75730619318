//! What we write: those who came before us, and then ourselves.

use std::{array, sync::OnceLock};

use http::{HeaderValue, StatusCode};
use sfv::{Integer, KeyRef, ListSerializer, ParameterSerializer, RefBareItem, StringRef, TokenRef, key_ref};

use super::{
    Intermediary, LONGEST_TEXT,
    parameter::{belongs_to, is_public},
};
use crate::{
    failure::{Failure, FailureKind, Parameter},
    gateway_name::GatewayName,
};

/// Writes the field of one gateway.
pub(crate) struct Writer {
    name: String,
    /// What depends on the kind alone: while an upstream is down, all are the same.
    usual: Box<[OnceLock<Option<HeaderValue>>; FailureKind::ALL.len()]>,
}

impl Writer {
    pub(crate) fn new(name: &GatewayName) -> Self {
        Self { name: name.as_str().to_owned(), usual: Box::new(array::from_fn(|_| OnceLock::new())) }
    }

    /// `status` is what is answered, but for gRPC, where that says nothing. `carries`: those who have told of the response that was refused are named, too. `discloses`:
    /// so is all that is not for everyone.
    pub(crate) fn write(
        &self,
        failure: &Failure,
        status: StatusCode,
        carries: bool,
        upstream: Option<&str>,
        discloses: bool,
    ) -> Option<HeaderValue> {
        let received = if carries { failure.intermediaries() } else { &[] };
        let is_usual = received.is_empty()
            && !discloses
            && failure.upstream_status().is_none()
            && !failure.parameters().iter().any(is_public);
        let ours = || value(received, &self.ours(failure, status, upstream, discloses), discloses);
        match self.usual.get(failure.kind().index()).filter(|_| is_usual) {
            Some(usual) => usual.get_or_init(ours).clone(),
            None => ours(),
        }
    }

    fn ours(&self, failure: &Failure, status: StatusCode, upstream: Option<&str>, discloses: bool) -> Intermediary {
        let kind = failure.kind();
        // Users may have it answered otherwise.
        let answered = |parameter: &Parameter| match parameter {
            Parameter::StatusCode(_) => Parameter::StatusCode(status),
            other => other.clone(),
        };
        Intermediary {
            name: self.name.clone(),
            error: kind.proxy_error_type().map(Into::into),
            received_status: failure.upstream_status().map(|status| status.as_u16()),
            next_hop: upstream.filter(|_| discloses).map(str::to_owned),
            next_protocol: None,
            details: discloses.then(|| failure.private_chain().to_string()),
            parameters: failure
                .parameters()
                .iter()
                .filter(|parameter| belongs_to(parameter, kind))
                .map(answered)
                .collect(),
        }
    }
}

fn value(received: &[Intermediary], ours: &Intermediary, discloses: bool) -> Option<HeaderValue> {
    let mut list = ListSerializer::new();
    for intermediary in received.iter().chain([ours]) {
        let name = visible(&intermediary.name);
        let Some(name) = token_or_string(&name) else { continue };
        write(list.bare_item(name), intermediary, discloses);
    }
    HeaderValue::try_from(list.finish()?).ok()
}

fn write(mut member: ParameterSerializer<&mut String>, intermediary: &Intermediary, discloses: bool) {
    // Of others' words only those that everyone knows.
    let error = if discloses { intermediary.error() } else { intermediary.kind().map(FailureKind::token) };
    if let Some(error) = error.and_then(|error| TokenRef::from_str(error).ok()) {
        member = member.parameter(ERROR, error);
    }
    if let Some(status) = intermediary.received_status {
        member = member.parameter(RECEIVED_STATUS, integer(u64::from(status)));
    }
    for parameter in intermediary.parameters.iter().filter(|parameter| discloses || is_public(parameter)) {
        member = extra(member, parameter);
    }
    if !discloses {
        return;
    }
    let next_hop = intermediary.next_hop().map(visible);
    if let Some(next_hop) = next_hop.as_deref().and_then(token_or_string) {
        member = member.parameter(NEXT_HOP, next_hop);
    }
    if let Some(protocol) = intermediary.next_protocol() {
        member = match TokenRef::from_str(protocol) {
            Ok(token) => member.parameter(NEXT_PROTOCOL, token),
            Err(_) => member.parameter(NEXT_PROTOCOL, protocol.as_bytes()),
        };
    }
    let details = intermediary.details().map(visible);
    if let Some(details) = details.as_deref().and_then(string) {
        let _ = member.parameter(DETAILS, details);
    }
}

fn extra<'a>(
    member: ParameterSerializer<&'a mut String>,
    parameter: &Parameter,
) -> ParameterSerializer<&'a mut String> {
    let text;
    let value: Option<RefBareItem<'_>> = match parameter {
        Parameter::Rcode(phrase) | Parameter::StatusPhrase(phrase) => {
            text = visible(phrase);
            string(&text)
        }
        Parameter::AlertMessage(name) => {
            text = visible(name);
            token_or_string(&text)
        }
        Parameter::HeaderName(name) | Parameter::TrailerName(name) => string(name.as_str()),
        // It has to be a token (RFC 9209, section 2.3.23).
        Parameter::Coding(name) => TokenRef::from_str(name).ok().map(Into::into),
        Parameter::InfoCode(number) => Some(integer(u64::from(*number))),
        Parameter::AlertId(number) => Some(integer(u64::from(*number))),
        Parameter::StatusCode(status) => Some(integer(u64::from(status.as_u16()))),
        Parameter::HeaderSectionSize(size)
        | Parameter::HeaderSize(size)
        | Parameter::BodySize(size)
        | Parameter::TrailerSectionSize(size)
        | Parameter::TrailerSize(size) => Some(integer(*size)),
    };
    match (KeyRef::from_str(parameter.name()), value) {
        (Ok(name), Some(value)) => member.parameter(name, value),
        _ => member,
    }
}

fn integer(number: u64) -> RefBareItem<'static> {
    Integer::try_from(number).unwrap_or(Integer::MAX).into()
}

fn string(text: &str) -> Option<RefBareItem<'_>> {
    StringRef::from_str(text).ok().map(Into::into)
}

/// A token if it can be one, as most names can: it is shorter.
fn token_or_string(text: &str) -> Option<RefBareItem<'_>> {
    TokenRef::from_str(text).ok().map(Into::into).or_else(|| string(text))
}

/// What may stand in a string (RFC 9651, section 3.3.3), and not too much of it.
fn visible(text: &str) -> String {
    let is_visible = |character: &char| (' '..='~').contains(character);
    text.chars().take(LONGEST_TEXT).map(|character| if is_visible(&character) { character } else { '?' }).collect()
}

const ERROR: &KeyRef = key_ref("error");
const RECEIVED_STATUS: &KeyRef = key_ref("received-status");
const NEXT_HOP: &KeyRef = key_ref("next-hop");
const NEXT_PROTOCOL: &KeyRef = key_ref("next-protocol");
const DETAILS: &KeyRef = key_ref("details");

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName};

    use super::*;
    use crate::{fields::PROXY_STATUS, proxy_status::ProxyStatus};

    fn written(failure: &Failure, discloses: bool) -> String {
        let writer = Writer::new(&GatewayName::from_static("edge-1"));
        let value = writer.write(failure, failure.status(), true, Some("billing"), discloses).unwrap();
        value.to_str().unwrap().to_owned()
    }

    fn told(by: &str) -> Vec<Intermediary> {
        let mut headers = HeaderMap::new();
        headers.insert(PROXY_STATUS, HeaderValue::from_str(by).unwrap());
        ProxyStatus::of(&headers).unwrap().intermediaries().to_vec()
    }

    #[test]
    fn every_kind_names_its_type() {
        for kind in FailureKind::ALL {
            let expected = match kind.proxy_error_type() {
                Some(name) => format!("edge-1;error={name}"),
                None => "edge-1".to_owned(),
            };
            assert_eq!(written(&Failure::new(*kind), false), expected);
        }
    }

    #[test]
    fn the_parameters_of_a_type_are_written_with_it_and_texts_of_the_upstream_to_few() {
        use FailureKind::{
            DnsError, HttpRequestError, HttpResponseBodySize, HttpResponseHeaderSize, HttpResponseTransferCoding,
            TlsAlertReceived, Unclassified,
        };
        let details = "details=\"";
        let wrong: Vec<_> = [
            (DnsError, Parameter::Rcode("NX\u{fc}\"".into()), "", ";rcode=\"NX?\\\"\""),
            (DnsError, Parameter::InfoCode(9), "", ";info-code=9"),
            (TlsAlertReceived, Parameter::AlertId(40), "", ";alert-id=40"),
            (TlsAlertReceived, Parameter::AlertMessage("close notify".into()), "", ";alert-message=\"close notify\""),
            (TlsAlertReceived, Parameter::AlertMessage("close_notify".into()), "", ";alert-message=close_notify"),
            (
                HttpRequestError,
                Parameter::StatusCode(StatusCode::REQUEST_TIMEOUT),
                ";status-code=408",
                ";status-code=408",
            ),
            (HttpRequestError, Parameter::StatusPhrase("Late".into()), "", ";status-phrase=\"Late\""),
            (
                HttpResponseHeaderSize,
                Parameter::HeaderSize(u64::MAX),
                ";header-size=999999999999999",
                ";header-size=999999999999999",
            ),
            (HttpResponseHeaderSize, Parameter::HeaderName(HeaderName::from_static("x-a")), "", ";header-name=\"x-a\""),
            (HttpResponseBodySize, Parameter::BodySize(7), ";body-size=7", ";body-size=7"),
            (HttpResponseTransferCoding, Parameter::Coding("gzip".into()), ";coding=gzip", ";coding=gzip"),
            (HttpResponseTransferCoding, Parameter::Coding("x-own".into()), "", ";coding=x-own"),
            (HttpResponseTransferCoding, Parameter::Coding("1st".into()), "", ""), // can be no token
            // Not theirs.
            (DnsError, Parameter::AlertId(40), "", ""),
            (Unclassified, Parameter::BodySize(7), "", ""),
        ]
        .into_iter()
        .filter_map(|(kind, parameter, public, disclosed)| {
            let failure = Failure::new(kind).with_parameter(parameter);
            let head = kind.proxy_error_type().map_or("edge-1".to_owned(), |name| format!("edge-1;error={name}"));
            let (few, all) = (written(&failure, false), written(&failure, true));
            let right = few == format!("{head}{public}")
                && all.starts_with(&format!("{head}{disclosed};next-hop=billing;{details}"));
            (!right).then_some((few, all))
        })
        .collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn those_who_came_before_stand_first_and_lose_their_own_words() {
        let received = told(
            "\"gw 0\";error=dns_error;rcode=\"NXDOMAIN\";details=\"secret\";next-hop=secret;next-protocol=secret, \
             b;error=secret;received-status=502, c;error=http_response_body_size;body-size=7;secret=1",
        );
        let failure = Failure::new(FailureKind::ReceivedStatus)
            .with_upstream_status(StatusCode::BAD_GATEWAY)
            .with_intermediaries(received);
        assert_eq!(
            written(&failure, false),
            "\"gw 0\";error=dns_error, b;received-status=502, c;error=http_response_body_size;body-size=7, edge-1;received-status=502"
        );
        assert_eq!(
            written(&failure, true),
            "\"gw 0\";error=dns_error;rcode=\"NXDOMAIN\";next-hop=secret;next-protocol=secret;details=\"secret\", \
             b;error=secret;received-status=502, c;error=http_response_body_size;body-size=7, \
             edge-1;received-status=502;next-hop=billing;details=\"received_status in unknown\""
        );
        let writer = Writer::new(&GatewayName::from_static("10.0.0.1"));
        let value = writer.write(&failure, failure.status(), false, None, false).unwrap();
        assert_eq!(value, "\"10.0.0.1\";received-status=502");
    }

    #[test]
    fn whatever_is_told_can_be_read_again() {
        let text: String = (0..600).filter_map(char::from_u32).collect();
        let failure = Failure::new(FailureKind::ConnectionRefused).with_source(text.clone());
        let writer = Writer::new(&GatewayName::from_static("edge-1"));
        let mut headers = HeaderMap::new();
        let written = writer.write(&failure, failure.status(), true, Some(&text), true).unwrap();
        assert!(written.len() < 2 * LONGEST_TEXT + 300, "{written:?}");
        headers.insert(PROXY_STATUS, writer.write(&failure, failure.status(), true, Some(&text), true).unwrap());
        let status = ProxyStatus::of(&headers).unwrap();
        let ours = &status.intermediaries()[0];
        assert_eq!((ours.name(), ours.kind()), ("edge-1", Some(FailureKind::ConnectionRefused)));
        assert_eq!(ours.details().unwrap().len(), LONGEST_TEXT);
        assert_eq!(ours.next_hop().unwrap().len(), LONGEST_TEXT);
    }
}
