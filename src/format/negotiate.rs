//! The choice between formats by `Accept`.

use std::{fmt, sync::Arc};

use http::HeaderValue;

use super::{Format, PlainText, PublicFailure, Representation};
#[cfg(feature = "json")]
use super::{Json, Problem};
use crate::fields::elements;

/// Chooses a format by the `Accept` field of the request
/// ([RFC 9110, section 12.5.1](https://www.rfc-editor.org/rfc/rfc9110#section-12.5.1)).
///
/// The media ranges are tried as the client listed them, and the offers in the order they were made; weights are not
/// weighed yet, except that `q=0` rules a range out. Without `Accept`, or when nothing fits, the first offer is sent:
/// a client that cannot read the reason can still read the status.
///
/// ```
/// use tower_bad_gateway::{BadGatewayLayer, format::{Negotiate, PlainText}};
///
/// // Text to everyone who does not ask for one of the usual formats.
/// let layer = BadGatewayLayer::new().format(Negotiate::new().offer("text/plain", PlainText).usual());
/// ```
#[derive(Clone)]
pub struct Negotiate {
    offers: Vec<(&'static str, Arc<dyn Format>)>,
}

impl Negotiate {
    /// No offers: [`PlainText`] is sent until there is one.
    #[must_use]
    pub fn new() -> Self {
        Self { offers: Vec::new() }
    }

    /// Offers a format under a media type, without parameters, such as `text/csv`.
    #[must_use]
    pub fn offer(mut self, media_type: &'static str, format: impl Format + 'static) -> Self {
        self.offers.push((media_type, Arc::new(format)));
        self
    }

    /// Offers the formats of this crate: problem details, JSON, one line of text.
    #[must_use]
    pub fn usual(self) -> Self {
        #[cfg(feature = "json")]
        let this = self.offer("application/problem+json", Problem).offer("application/json", Json);
        #[cfg(not(feature = "json"))]
        let this = self;
        this.offer("text/plain", PlainText)
    }

    fn choose(&self, accept: Option<&HeaderValue>) -> Option<&dyn Format> {
        let ranges = accept.into_iter().flat_map(elements).take(MOST_RANGES).filter_map(range);
        let chosen = ranges.into_iter().find_map(|range| self.offers.iter().find(|(offer, _)| fits(offer, range)));
        chosen.or(self.offers.first()).map(|(_, format)| &**format)
    }
}

impl Default for Negotiate {
    /// The [usual](Negotiate::usual) offers.
    fn default() -> Self {
        Self::new().usual()
    }
}

impl Format for Negotiate {
    fn write(&self, failure: &PublicFailure<'_>) -> Representation {
        self.choose(failure.accept).unwrap_or(&PlainText).write(failure).negotiated()
    }
}

impl fmt::Debug for Negotiate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.offers.iter().map(|(media_type, _)| media_type)).finish()
    }
}

/// The media range of one element of the list, without parameters, unless it is ruled out.
fn range(element: &[u8]) -> Option<&[u8]> {
    let mut parts = element.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
    let range = parts.next()?;
    (!parts.any(is_zero_weight)).then_some(range)
}

fn is_zero_weight(parameter: &[u8]) -> bool {
    match parameter {
        [b'q' | b'Q', b'=', b'0', rest @ ..] => rest.iter().all(|byte| matches!(byte, b'0' | b'.')),
        _ => false,
    }
}

fn fits(offer: &str, range: &[u8]) -> bool {
    match range {
        b"*/*" => true,
        [main @ .., b'*'] => {
            main.ends_with(b"/")
                && offer.as_bytes().get(..main.len()).is_some_and(|start| start.eq_ignore_ascii_case(main))
        }
        _ => offer.as_bytes().eq_ignore_ascii_case(range),
    }
}

/// More is not a preference, it is an attack.
const MOST_RANGES: usize = 64;

#[cfg(feature = "json")]
#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        failure::{Failure, FailureKind},
        representation::{Envelope, respond},
    };

    fn media_type(accept: Option<&str>) -> String {
        let failure = Failure::new(FailureKind::ConnectionRefused);
        let accept = accept.map(|accept| HeaderValue::from_bytes(accept.as_bytes()).unwrap());
        let mut failure = PublicFailure::of(&failure);
        failure.accept = accept.as_ref();
        let envelope =
            Envelope { status: failure.status(), method: &http::Method::GET, retry_after: None, fields: &[] };
        let response = respond(Negotiate::default().write(&failure), envelope);
        assert_eq!(response.headers()["vary"], "accept");
        response.headers()["content-type"].to_str().unwrap().to_owned()
    }

    #[test]
    fn every_client_gets_a_format_it_can_read() {
        const PROBLEM: &str = "application/problem+json";
        const JSON: &str = "application/json";
        const TEXT: &str = "text/plain; charset=utf-8";
        let flood = format!("{}text/plain", "a/b,".repeat(1000));
        let wrong: Vec<_> = [
            (None, PROBLEM),
            (Some(""), PROBLEM),
            (Some("*/*"), PROBLEM),
            (Some("application/*"), PROBLEM),
            (Some("application/problem+json"), PROBLEM),
            (Some("application/json"), JSON),
            (Some("APPLICATION/JSON;charset=utf-8"), JSON),
            (Some("application/json, text/plain, */*"), JSON),
            (Some("text/plain"), TEXT),
            (Some("text/*"), TEXT),
            (Some("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"), PROBLEM),
            (Some("application/json;q=0, text/plain"), TEXT),
            (Some("application/json; q=0.000, text/plain"), TEXT),
            (Some("application/json;q=0.001, text/plain"), JSON),
            (Some("image/png"), PROBLEM),
            (Some(",,/,;q=,garbage, text/plain"), TEXT),
            (Some("*/json"), PROBLEM),
            (Some("\u{fc}/\u{fc}, text/plain"), TEXT),
            (Some(&flood), PROBLEM),
        ]
        .into_iter()
        .map(|(accept, expected)| (accept, media_type(accept), expected))
        .filter(|(_, got, expected)| got != expected)
        .collect();
        assert!(wrong.is_empty(), "(accept, got, expected): {wrong:?}");
    }
}
