//! The writer of `Proxy-Status`: the members that were received with a refused response, and then our own.
//!
//! A member is written in this order: the name, `error`, `received-status`, the extra parameters of the error type, `next-hop`,
//! `next-protocol`, `details`. The first line is for a client to whom private parameters are disclosed, the second for any other:
//!
//! ```text
//! edge-1;error=dns_error;rcode="NXDOMAIN";next-hop=billing;details="dns_error in resolve: no such name"
//! edge-1;error=dns_error
//! ```
//!
//! The policy calls it once for each failure that is answered by a gateway with a name. What it writes can always be read by `read`:
//! characters that may not stand in a structured field become `?`, and texts are cut after 512 characters. It must not know requests
//! or responses; who may see what is decided by the policy, and handed in as `discloses`.

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
///
/// The layer makes one when it is given a name, and its services share it. It fills its cache as failures occur; two threads that meet
/// the first failure of a kind at the same time write it once.
pub(crate) struct Writer {
    /// The name of the gateway.
    name: String,
    /// One place for each kind of failure, for the field of failures that have nothing public but their kind. While an upstream is down
    /// all failures are of that sort, and each costs a clone of a value that shares its bytes.
    cached_by_kind: Box<[OnceLock<Option<HeaderValue>>; FailureKind::ALL.len()]>,
}

impl Writer {
    /// A writer for the gateway with this name, with nothing in its cache.
    pub(crate) fn new(name: &GatewayName) -> Self {
        Self { name: name.as_str().to_owned(), cached_by_kind: Box::new(array::from_fn(|_| OnceLock::new())) }
    }

    /// The value of the field for one failure.
    ///
    /// | argument | meaning |
    /// | --- | --- |
    /// | `status` | the status of the answer; for gRPC that of the failure, since the answer is always 200 |
    /// | `includes_received` | whether the members of the refused response come before our own |
    /// | `upstream` | the name for `next-hop` |
    /// | `discloses` | whether the client may see the private parameters |
    ///
    /// `None` only if the value would not be a valid field, which the writing rules out.
    ///
    /// # Panics
    ///
    /// With `discloses` the chain of causes is printed, and the `Display` of a user's error may panic; the caller catches that.
    pub(crate) fn write(
        &self,
        failure: &Failure,
        status: StatusCode,
        includes_received: bool,
        upstream: Option<&str>,
        discloses: bool,
    ) -> Option<HeaderValue> {
        let received = if includes_received { failure.intermediaries() } else { &[] };
        let depends_on_kind_alone = received.is_empty()
            && !discloses
            && failure.upstream_status().is_none()
            && !failure.parameters().iter().any(is_public);
        let ours = || value(received, &self.ours(failure, status, upstream, discloses), discloses);
        match self.cached_by_kind.get(failure.kind().index()).filter(|_| depends_on_kind_alone) {
            Some(cached) => cached.get_or_init(ours).clone(),
            None => ours(),
        }
    }

    /// Our own member, as data. Private parameters are still in it; [`write`] leaves them out.
    fn ours(&self, failure: &Failure, status: StatusCode, upstream: Option<&str>, discloses: bool) -> Intermediary {
        let kind = failure.kind();
        // With `map_status` the answer may have another status than the failure, and the field would contradict the status line.
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

/// The list of the received members and our own, in this order. A member without a name that can be written is left out.
fn value(received: &[Intermediary], ours: &Intermediary, discloses: bool) -> Option<HeaderValue> {
    let mut list = ListSerializer::new();
    for intermediary in received.iter().chain([ours]) {
        let name = visible(&intermediary.name);
        let Some(name) = token_or_string(&name) else { continue };
        write(list.bare_item(name), intermediary, discloses);
    }
    HeaderValue::try_from(list.finish()?).ok()
}

/// Writes the parameters of one member after its name.
fn write(mut member: ParameterSerializer<&mut String>, intermediary: &Intermediary, discloses: bool) {
    // An error type that is not registered is free text of another gateway, and would reach every client.
    let error = if discloses { intermediary.error() } else { intermediary.kind().map(FailureKind::token) };
    if let Some(error) = error.and_then(|error| TokenRef::from_str(error).ok()) {
        member = member.parameter(ERROR, error);
    }
    if let Some(status) = intermediary.received_status {
        member = member.parameter(RECEIVED_STATUS, integer(u64::from(status)));
    }
    for parameter in intermediary.parameters.iter().filter(|parameter| discloses || is_public(parameter)) {
        member = add_parameter(member, parameter);
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

/// Writes one extra parameter in the type that it has in RFC 9209, or nothing if its value cannot be written in that type.
fn add_parameter<'a>(
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
        // RFC 9209, section 2.3.23 has a token here: a name that is none must not be written as a string, which recipients ignore.
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

/// An integer of a structured field, at most 999,999,999,999,999
/// ([RFC 9651, section 3.3.1](https://www.rfc-editor.org/rfc/rfc9651#section-3.3.1)). A larger size is written as that.
fn integer(number: u64) -> RefBareItem<'static> {
    Integer::try_from(number).unwrap_or(Integer::MAX).into()
}

/// A string, if the text has only characters that may stand in one.
fn string(text: &str) -> Option<RefBareItem<'_>> {
    StringRef::from_str(text).ok().map(Into::into)
}

/// A token if the text can be one, as most names can, and otherwise a string: a token is shorter and needs no quotes.
fn token_or_string(text: &str) -> Option<RefBareItem<'_>> {
    TokenRef::from_str(text).ok().map(Into::into).or_else(|| string(text))
}

/// The start of a text, with `?` for each character that may not stand in a string
/// ([RFC 9651, section 3.3.3](https://www.rfc-editor.org/rfc/rfc9651#section-3.3.3)): all but printable ASCII.
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

    fn field_of(failure: &Failure, discloses: bool) -> String {
        let writer = Writer::new(&GatewayName::from_static("edge-1"));
        let value = writer.write(failure, failure.status(), true, Some("billing"), discloses).unwrap();
        value.to_str().unwrap().to_owned()
    }

    fn members_of(line: &str) -> Vec<Intermediary> {
        let mut headers = HeaderMap::new();
        headers.insert(PROXY_STATUS, HeaderValue::from_str(line).unwrap());
        ProxyStatus::of(&headers).unwrap().intermediaries().to_vec()
    }

    #[test]
    fn every_kind_names_its_type() {
        for kind in FailureKind::ALL {
            let expected = match kind.proxy_error_type() {
                Some(name) => format!("edge-1;error={name}"),
                None => "edge-1".to_owned(),
            };
            assert_eq!(field_of(&Failure::new(*kind), false), expected);
        }
    }

    #[test]
    fn each_type_has_its_parameters_and_texts_of_the_upstream_are_disclosed_only() {
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
            (HttpResponseTransferCoding, Parameter::Coding("1st".into()), "", ""), // a token cannot begin with a digit
            // Parameters that the error type does not have.
            (DnsError, Parameter::AlertId(40), "", ""),
            (Unclassified, Parameter::BodySize(7), "", ""),
        ]
        .into_iter()
        .filter_map(|(kind, parameter, public, disclosed)| {
            let failure = Failure::new(kind).with_parameter(parameter);
            let head = kind.proxy_error_type().map_or("edge-1".to_owned(), |name| format!("edge-1;error={name}"));
            let (few, all) = (field_of(&failure, false), field_of(&failure, true));
            let right = few == format!("{head}{public}")
                && all.starts_with(&format!("{head}{disclosed};next-hop=billing;{details}"));
            (!right).then_some((few, all))
        })
        .collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn received_members_come_first_and_lose_their_private_parameters() {
        let received = members_of(
            "\"gw 0\";error=dns_error;rcode=\"NXDOMAIN\";details=\"secret\";next-hop=secret;next-protocol=secret, \
             b;error=secret;received-status=502, c;error=http_response_body_size;body-size=7;secret=1",
        );
        let failure = Failure::new(FailureKind::ReceivedStatus)
            .with_upstream_status(StatusCode::BAD_GATEWAY)
            .with_intermediaries(received);
        assert_eq!(
            field_of(&failure, false),
            "\"gw 0\";error=dns_error, b;received-status=502, c;error=http_response_body_size;body-size=7, edge-1;received-status=502"
        );
        assert_eq!(
            field_of(&failure, true),
            "\"gw 0\";error=dns_error;rcode=\"NXDOMAIN\";next-hop=secret;next-protocol=secret;details=\"secret\", \
             b;error=secret;received-status=502, c;error=http_response_body_size;body-size=7, \
             edge-1;received-status=502;next-hop=billing;details=\"received_status in unknown\""
        );
        let writer = Writer::new(&GatewayName::from_static("10.0.0.1"));
        let value = writer.write(&failure, failure.status(), false, None, false).unwrap();
        assert_eq!(value, "\"10.0.0.1\";received-status=502");
    }

    #[test]
    fn every_field_that_is_written_can_be_read_again() {
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
