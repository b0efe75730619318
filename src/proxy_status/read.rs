//! The reader of `Proxy-Status`: what other gateways have written about a response.
//!
//! The field comes from the network, so every length has a limit, and a value that does not fit its type is left out rather than
//! guessed at. Nothing here panics or fails: a field that cannot be read is a field that is not there.
//!
//! | what is wrong | what is left out |
//! | --- | --- |
//! | the lines are no list, or longer than 8 KiB together | the whole field |
//! | the name of a member is no token and no string, or empty | the member |
//! | a parameter has the wrong type, or does not belong to the member's error type | the parameter |
//! | a text or a name is too long | the rest of it |
//!
//! It is called by [`ProxyStatus::of`](super::ProxyStatus::of), and by [`received`](super::received) when a response is refused. It must
//! not know who may see what it has read; the writer decides that.

use std::str::FromStr;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use sfv::{BareItem, Item, List, ListEntry, Parser};

use super::{Intermediary, LONGEST_TEXT, parameter::belongs_to};
use crate::{
    failure::{FailureKind, Parameter},
    fields::PROXY_STATUS,
};

/// The members of the field, nearest to the origin first; `None` if there is no field that can be read.
pub(super) fn members(headers: &HeaderMap) -> Option<Vec<Intermediary>> {
    let lines: Vec<_> = headers.get_all(PROXY_STATUS).iter().map(HeaderValue::as_bytes).collect();
    if lines.is_empty() || lines.iter().map(|line| line.len()).sum::<usize>() > LONGEST_FIELD {
        return None;
    }
    // Lines that are parsed one by one would accept fields that are invalid as a whole (RFC 9651, section 4.2: all lines are one list).
    let list: List = Parser::new(&lines.join(&b", "[..])).parse().ok()?;
    Some(list.iter().filter_map(member).take(MOST_MEMBERS).collect())
}

/// One member of the list; `None` if it cannot be the name of an intermediary.
fn member(entry: &ListEntry) -> Option<Intermediary> {
    let ListEntry::Item(item) = entry else { return None };
    let name = shortened(text(&item.bare_item)?, LONGEST_NAME);
    if name.is_empty() {
        return None;
    }
    let parameter = |name: &str| item.params.get(name);
    let string = |name| parameter(name).and_then(text).map(|text| shortened(text, LONGEST_TEXT));
    // RFC 9209, section 2.1.1 has a token here. A string may hold free text, which must not be taken for an error type.
    let error = parameter("error").and_then(BareItem::as_token).map(|token| shortened(token.as_str(), LONGEST_NAME));
    let kind = error.as_deref().and_then(FailureKind::from_proxy_error_type);
    Some(Intermediary {
        name,
        error: error.map(Into::into),
        received_status: parameter("received-status").and_then(integer),
        next_hop: string("next-hop"),
        next_protocol: parameter("next-protocol").and_then(protocol),
        details: parameter("details").and_then(BareItem::as_string).map(|text| shortened(text.as_str(), LONGEST_TEXT)),
        parameters: kind.map_or(Vec::new(), |kind| parameters(item, kind)),
    })
}

/// The extra parameters of a member that its error type has; others are ignored
/// ([RFC 9209, section 2.1.1](https://www.rfc-editor.org/rfc/rfc9209#section-2.1.1)).
fn parameters(item: &Item, kind: FailureKind) -> Vec<Parameter> {
    item.params
        .iter()
        .filter_map(|(name, value)| {
            let string = || value.as_string().map(|text| shortened(text.as_str(), LONGEST_TEXT));
            Some(match name.as_str() {
                "rcode" => Parameter::Rcode(string()?.into()),
                "info-code" => Parameter::InfoCode(integer(value)?),
                "alert-id" => Parameter::AlertId(integer(value)?),
                "alert-message" => Parameter::AlertMessage(shortened(text(value)?, LONGEST_TEXT).into()),
                "status-code" => Parameter::StatusCode(StatusCode::from_u16(integer(value)?).ok()?),
                "status-phrase" => Parameter::StatusPhrase(string()?.into()),
                "header-section-size" => Parameter::HeaderSectionSize(integer(value)?),
                "header-name" => Parameter::HeaderName(HeaderName::from_str(&string()?).ok()?),
                "header-size" => Parameter::HeaderSize(integer(value)?),
                "body-size" => Parameter::BodySize(integer(value)?),
                "trailer-section-size" => Parameter::TrailerSectionSize(integer(value)?),
                "trailer-name" => Parameter::TrailerName(HeaderName::from_str(&string()?).ok()?),
                "trailer-size" => Parameter::TrailerSize(integer(value)?),
                "coding" => Parameter::Coding(shortened(value.as_token()?.as_str(), LONGEST_NAME).into()),
                _ => return None,
            })
        })
        .filter(|parameter| belongs_to(parameter, kind))
        .collect()
}

/// The text of a value that may be a string or a token.
fn text(item: &BareItem) -> Option<&str> {
    match item {
        BareItem::String(text) => Some(text.as_str()),
        BareItem::Token(token) => Some(token.as_str()),
        _ => None,
    }
}

/// The number of a value that has to be an integer; `None` if it is out of the range of `T`.
fn integer<T: TryFrom<i64>>(item: &BareItem) -> Option<T> {
    T::try_from(i64::from(item.as_integer()?)).ok()
}

/// An ALPN identifier: a token where it can be one, and bytes otherwise
/// ([RFC 9209, section 2.1.3](https://www.rfc-editor.org/rfc/rfc9209#section-2.1.3)). Bytes that are not visible ASCII are left out: a
/// line break among them would reach the log.
fn protocol(item: &BareItem) -> Option<String> {
    let bytes = item.as_token().map(|token| token.as_str().as_bytes()).or(item.as_byte_sequence())?;
    let text = std::str::from_utf8(bytes).ok().filter(|text| text.bytes().all(|byte| (b' '..=b'~').contains(&byte)))?;
    Some(shortened(text, LONGEST_NAME))
}

/// The first `longest` characters, which are bytes too: tokens and strings of structured fields are ASCII.
fn shortened(text: &str, longest: usize) -> String {
    text.chars().take(longest).collect()
}

/// The most bytes of all lines together that are read.
const LONGEST_FIELD: usize = 8 * 1024;
/// The most members that are kept, from the one nearest to the origin on.
const MOST_MEMBERS: usize = 16;
/// The most characters of a name, an error type, a protocol or a coding that are kept.
const LONGEST_NAME: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Option<Vec<Intermediary>> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(PROXY_STATUS, HeaderValue::from_str(line).unwrap());
        }
        members(&headers)
    }

    #[test]
    fn what_is_no_list_is_ignored_as_a_whole() {
        assert_eq!(read(&[&format!("a;details=\"{}\"", "x".repeat(LONGEST_FIELD))]), None);
        let wrong: Vec<_> = [
            (&["a"][..], Some(1)),
            (&["a, b", "c"], Some(3)),
            (&["a ,\tb"], Some(2)),
            (&["a, (b c), 1, ?1, :aGk=:, \"d e\""], Some(2)), // an inner list, a number, a boolean, bytes are no names
            (&["\"\""], Some(0)),
            (&[""], Some(0)),
            (&["a", ""], None), // the joined list ends in a comma
            (&["a, b,"], None),
            (&["10.0.0.1;error=x"], None),
            (&["a", "b;"], None),
            (&["a;error=\"x"], None),
            (&[], None),
        ]
        .into_iter()
        .map(|(lines, expected)| (lines, read(lines).map(|members| members.len()), expected))
        .filter(|(_, got, expected)| got != expected)
        .collect();
        assert!(wrong.is_empty(), "(lines, got, expected): {wrong:?}");
    }

    #[test]
    fn members_are_typed() {
        let members = read(&["cdn;error=dns_error;rcode=\"NXDOMAIN\";info-code=9;alert-id=40;next-hop=\"10.0.0.1:80\";\
             next-protocol=h2;received-status=502;details=\"no such name\";new=1, \"a b\";error=\"quoted\";next-protocol=:aDI=:"])
        .unwrap();
        let [first, second] = &members[..] else { panic!("{members:?}") };
        assert_eq!(
            (first.name(), first.error(), first.kind()),
            ("cdn", Some("dns_error"), Some(FailureKind::DnsError))
        );
        assert_eq!(first.parameters(), [Parameter::Rcode("NXDOMAIN".into()), Parameter::InfoCode(9)]);
        assert_eq!((first.next_hop(), first.next_protocol()), (Some("10.0.0.1:80"), Some("h2")));
        assert_eq!((first.received_status(), first.details()), (Some(502), Some("no such name")));
        assert_eq!((second.name(), second.error(), second.next_protocol()), ("a b", None, Some("h2")));
    }

    #[test]
    fn what_is_out_of_range_is_left_out() {
        let wrong: Vec<_> = [
            "a;received-status=-1",
            "a;received-status=70000",
            "a;received-status=\"502\"",
            "a;received-status=502.0",
            "a;error=?1",
            "a;details=token",
            "a;next-protocol=\"h2\"",
            "a;next-protocol=:/w==:",
            "a;next-protocol=:aAo=:",
            "a;next-hop=1",
        ]
        .into_iter()
        .filter(|line| {
            let plain = Intermediary { name: "a".to_owned(), ..Intermediary::default() };
            read(&[line]) != Some(vec![plain])
        })
        .collect();
        assert!(wrong.is_empty(), "{wrong:?}");
        let alert = read(&["a;error=tls_alert_received;alert-id=256;alert-message=close_notify"]).unwrap();
        assert_eq!(alert[0].parameters(), [Parameter::AlertMessage("close_notify".into())]);
    }

    #[test]
    fn every_length_has_an_end() {
        let (name, text) = ("n".repeat(200), "t".repeat(2000));
        let line = format!("{name};error={name};details=\"{text}\";next-hop={name};next-protocol={name}");
        let members = read(&[&line]).unwrap();
        let lengths =
            [members[0].name(), members[0].error().unwrap(), members[0].next_protocol().unwrap()].map(str::len);
        assert_eq!(lengths, [LONGEST_NAME; 3]);
        let next_hop = read(&[&format!("a;next-hop=\"{text}\"")]).unwrap();
        assert_eq!(next_hop[0].next_hop().unwrap().len(), LONGEST_TEXT);
        assert_eq!(members[0].details().unwrap().len(), LONGEST_TEXT);
        assert_eq!(read(&[&["a"; 40].join(", ")]).unwrap().len(), MOST_MEMBERS);
    }
}
