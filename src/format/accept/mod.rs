//! The elements of `Accept`
//! ([RFC 9110, section 12.5.1](https://www.rfc-editor.org/rfc/rfc9110#section-12.5.1)).

mod syntax;

use self::syntax::{cut, first, is_same, is_same_name, is_token, is_value, split, thousandths, token};

/// A media range and its weight; without a wildcard, a media type.
#[derive(Clone, Copy, Debug)]
pub(super) struct Range<'a> {
    main: &'a [u8],
    sub: &'a [u8],
    /// What stands behind the name, if more than a weight does; well-formed.
    parameters: &'a [u8],
    /// In thousandths.
    weight: u16,
    wildcards: Wildcards,
}

#[derive(Clone, Copy, Debug)]
enum Wildcards {
    None,
    /// `text/*`
    Sub,
    /// `*/*`
    Both,
}

impl Wildcards {
    #[inline]
    fn of(main: &[u8], sub: &[u8]) -> Self {
        match (main, sub) {
            (b"*", b"*") => Self::Both,
            (_, b"*") => Self::Sub,
            _ => Self::None,
        }
    }
}

/// How exactly a range names a media type, and then its weight: by wildcards, by parameters, in thousandths. 0 if it does not.
pub(super) type Fit = u64;

/// The elements that are well-formed, of the first 64.
pub(super) fn ranges(field: &[u8]) -> Ranges<'_> {
    Ranges { rest: Some(field), has_quotes: field.contains(&b'"'), left: MOST_RANGES }
}

pub(super) struct Ranges<'a> {
    rest: Option<&'a [u8]>,
    has_quotes: bool,
    left: usize,
}

impl<'a> Iterator for Ranges<'a> {
    type Item = Range<'a>;

    #[inline]
    fn next(&mut self) -> Option<Range<'a>> {
        loop {
            let text = self.rest?;
            self.left = self.left.checked_sub(1)?;
            // Nearly all of them, in one pass.
            let plain = if self.has_quotes { None } else { Range::plain(text) };
            if let Some((range, rest)) = plain {
                self.rest = rest;
                return Some(range);
            }
            let (element, rest) = first(text, b',', self.has_quotes);
            self.rest = rest;
            if let Some(range) = Range::read(element) {
                return Some(range);
            }
        }
    }
}

impl<'a> Range<'a> {
    /// The first element if it is a name and at most a weight, as in `text/html;q=0.8`, and what stands behind its comma.
    fn plain(text: &'a [u8]) -> Option<(Self, Option<&'a [u8]>)> {
        let (main, rest) = token(text.trim_ascii_start());
        let (sub, rest) = token(rest.strip_prefix(b"/")?);
        if main.is_empty() || sub.is_empty() {
            return None;
        }
        let (weight, rest) = match rest {
            [b';', b'q', b'=', rest @ ..] => {
                let (weight, rest) = token(rest);
                (thousandths(weight)?, rest)
            }
            rest => (1000, rest),
        };
        let others = match rest {
            [] => None,
            [b',', others @ ..] => Some(others),
            // White space, another parameter, or nothing that may stand here.
            _ => return None,
        };
        Some((Self { main, sub, parameters: b"", weight, wildcards: Wildcards::of(main, sub) }, others))
    }

    pub(super) fn read(element: &'a [u8]) -> Option<Self> {
        let mut parts = split(element, b';');
        let name = parts.next()?;
        let (main, sub) = cut(name, b'/').filter(|(main, sub)| is_token(main) && is_token(sub))?;
        let mut weight = None;
        let mut parameters = &b""[..];
        for part in parts.filter(|part| !part.is_empty()) {
            let (name, value) = cut(part, b'=').filter(|(name, value)| is_token(name) && is_value(value))?;
            if !name.eq_ignore_ascii_case(b"q") {
                parameters = element;
            } else if weight.is_none() {
                weight = Some(thousandths(value)?);
            }
        }
        let parameters = parameters.get(name.len()..).unwrap_or_default();
        Some(Self { main, sub, parameters, weight: weight.unwrap_or(1000), wildcards: Wildcards::of(main, sub) })
    }

    pub(super) fn is_wild(&self) -> bool {
        self.main == b"*" || self.sub == b"*"
    }

    /// Whether and how exactly this range names a media type.
    #[inline]
    pub(super) fn fit(&self, offer: &Range<'_>) -> Fit {
        let exactness = match self.wildcards {
            Wildcards::Both => 1,
            Wildcards::Sub if is_same_name(self.main, offer.main) => 2,
            Wildcards::None if self.is_named_like(offer) => 3,
            Wildcards::Sub | Wildcards::None => return 0,
        };
        let parameters = if self.parameters.is_empty() { Some(0) } else { self.common_parameters(offer) };
        parameters.map_or(0, |parameters| (exactness << 32) | (parameters << 16) | u64::from(self.weight))
    }

    /// The weight by which an offer was named so.
    pub(super) fn weight_of(fit: Fit) -> u64 {
        fit & 0xFFFF
    }

    /// How many parameters both have; `None` if the offer has not all of them.
    fn common_parameters(&self, offer: &Range<'_>) -> Option<u64> {
        let mut parameters = 0;
        for (name, value) in self.parameters() {
            let offered = offer.parameter(name);
            if name.eq_ignore_ascii_case(b"charset") && is_same(value, b"utf-8") && offered.is_none() {
                // Asking for what is sent anyway is not asking for something else.
                continue;
            }
            if !is_same(offered?, value) {
                return None;
            }
            parameters += 1;
        }
        // An element has no more than 4 KiB.
        Some(parameters)
    }

    /// The same media type, with the same parameters.
    pub(super) fn is(&self, other: &Range<'_>) -> bool {
        let has_all = |one: &Range<'_>, other: &Range<'_>| {
            one.parameters().all(|(name, value)| other.parameter(name).is_some_and(|other| is_same(value, other)))
        };
        self.is_named_like(other) && has_all(self, other) && has_all(other, self)
    }

    #[inline]
    fn is_named_like(&self, other: &Range<'_>) -> bool {
        // The lengths tell most media types from each other.
        (self.sub.len(), self.main.len()) == (other.sub.len(), other.main.len())
            && is_same_name(self.sub, other.sub)
            && is_same_name(self.main, other.main)
    }

    /// All but the weight.
    fn parameters(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let all = split(self.parameters, b';').filter_map(|part| cut(part, b'='));
        all.filter(|(name, _)| !name.eq_ignore_ascii_case(b"q"))
    }

    fn parameter(&self, name: &[u8]) -> Option<&'a [u8]> {
        self.parameters().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// More is not a preference, it is an attack.
const MOST_RANGES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_read_by_the_letter() {
        let wrong: Vec<_> = [
            ("text/html", Some(1000)),
            ("*/*", Some(1000)),
            ("text/html;q=0", Some(0)),
            ("text/html;q=0.", Some(0)),
            ("text/html;q=0.1", Some(100)),
            ("text/html;q=0.12", Some(120)),
            ("text/html;q=0.123", Some(123)),
            ("text/html;q=1.", Some(1000)),
            ("text/html;q=1.000", Some(1000)),
            ("text/html \t; \tQ=0.5", Some(500)),
            ("text/html;q=0.5;q=0.9", Some(500)),
            ("text/html;level=1;q=0.5;ext", None),
            ("text/html;level=1;q=0.5;ext=\"a;b\\\"c\"", Some(500)),
            ("text/html;;;q=0.5;", Some(500)),
            ("text/html;a=\"b", None),
            ("text/html;a=\"b\\\"", None),
            ("text/html;a=\"b\"c\"", None),
            ("text/html;a=\"", None),
            ("text/html;a=\"\"", Some(1000)),
            ("text/html;=b", None),
            ("text/html;a=", None),
            ("text/html;a= b", None),
            ("text/html;q=2", None),
            ("text/html;q=0.5x", None),
            ("text/html;q=1.001", None),
            ("text//html", None),
            ("text/ht ml", None),
            ("text/", None),
            ("/html", None),
            ("text", None),
            ("", None),
        ]
        .into_iter()
        .map(|(element, expected)| (element, Range::read(element.as_bytes()).map(|range| range.weight), expected))
        .filter(|(_, got, expected)| got != expected)
        .collect();
        assert!(wrong.is_empty(), "(element, got, expected): {wrong:?}");
    }

    /// What is read in one pass is read as any other.
    #[test]
    fn a_plain_range_is_read_as_it_is_the_long_way() {
        let wrong: Vec<_> = [
            "text/html",
            "text/html;q=0.8",
            " text/html",
            "text/html ",
            "text/html; q=0.8",
            "text/html;Q=0.8",
            "text/html;q=0.8;level=1",
            "text/html;level=1",
            "text/html;q=2",
            "text/html;q=",
            "text/html;",
            "*/*;q=0.1",
            "text/*",
            "text",
            "/",
            "",
            "te xt/html",
            "text/html/x",
            "text/html=x",
        ]
        .into_iter()
        .flat_map(|element| {
            [element.to_owned(), format!("{element},a/b"), format!(",{element}, */*;q=0"), format!("{element},")]
        })
        .filter(|field| {
            let seen: Vec<_> = ranges(field.as_bytes()).map(|range| format!("{range:?}")).collect();
            let long = split(field.as_bytes(), b',').filter_map(Range::read);
            seen != long.map(|range| format!("{range:?}")).collect::<Vec<_>>()
        })
        .collect();
        assert!(wrong.is_empty(), "{wrong:?}");
    }

    #[test]
    fn a_media_type_is_the_same_however_it_is_written() {
        let wrong: Vec<_> = [
            ("text/plain", "TEXT/Plain", true),
            ("text/plain", "text/plain;q=0.5", true),
            ("text/plain;a=b;c=d", "text/plain; C=\"D\"; a=\"\\b\"", true),
            ("text/plain;a=b", "text/plain", false),
            ("text/plain", "text/plain;a=b", false),
            ("text/plain;a=b", "text/plain;a=bc", false),
            ("text/plain", "text/html", false),
        ]
        .into_iter()
        .filter(|(one, other, expected)| {
            let [one, other] = [one, other].map(|text| Range::read(text.as_bytes()).unwrap());
            (one.is(&other), other.is(&one)) != (*expected, *expected)
        })
        .collect();
        assert!(wrong.is_empty(), "(one, other, expected): {wrong:?}");
    }
}
