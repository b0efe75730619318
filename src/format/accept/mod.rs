//! The elements of `Accept`
//! ([RFC 9110, section 12.5.1](https://www.rfc-editor.org/rfc/rfc9110#section-12.5.1)).
//!
//! [`ranges`] reads a field into media ranges, and [`Range::fit`] compares one of them with an offer. `negotiate` calls both,
//! after a failure only, and decides what is sent; this module knows nothing of formats and failures. Nothing here allocates: a
//! range borrows from the field.
//!
//! An element is read in one of two ways with the same result. [`Range::plain`] reads a name and at most a weight in one pass,
//! which is what nearly every client sends. Everything else (other parameters, quotes, white space, errors) goes through
//! [`Range::read`], which splits the element by the grammar of [`syntax`]. An element that is malformed is skipped, because the
//! others still say what the client wants.

mod languages;
mod syntax;

pub(super) use self::languages::language_weights;
use self::syntax::{cut, first, is_same, is_same_name, is_token, is_value, split, thousandths, token};

/// A media range and its weight; without a wildcard, a media type.
#[derive(Clone, Copy, Debug)]
pub(super) struct Range<'a> {
    /// The type, such as `text`, in the case of the client.
    main: &'a [u8],
    /// The subtype, such as `html`, in the case of the client.
    sub: &'a [u8],
    /// Everything behind the name, the weight included, if there is a parameter that is no weight, and nothing otherwise.
    parameters: &'a [u8],
    /// In thousandths, 0 to 1000; 1000 where the element has none.
    weight: u16,
    /// Derived from `main` and `sub` once, since a range is compared with every offer.
    wildcards: Wildcards,
}

/// Which parts of the name of a range are `*`.
///
/// | state | example | fits | exactness in a [`Fit`] |
/// | --- | --- | --- | --- |
/// | `None` | `text/html` | offers of this media type | 3 |
/// | `Sub` | `text/*` | offers of this type, with any subtype | 2 |
/// | `Both` | `*/*` | every offer | 1 |
#[derive(Clone, Copy, Debug)]
enum Wildcards {
    None,
    Sub,
    Both,
}

impl Wildcards {
    /// Reads the state from a name. `*/json` counts as `None`, and fits no offer, as no offer has a wildcard.
    #[inline]
    fn of(main: &[u8], sub: &[u8]) -> Self {
        match (main, sub) {
            (b"*", b"*") => Self::Both,
            (_, b"*") => Self::Sub,
            _ => Self::None,
        }
    }
}

/// How exactly a range names an offer, and with which weight; 0 if the range does not name the offer.
///
/// The parts are ordered by their importance, so that the greater of two fits belongs to the more specific range
/// ([RFC 9110, section 12.5.1](https://www.rfc-editor.org/rfc/rfc9110#section-12.5.1)):
///
/// | bits | part |
/// | --- | --- |
/// | from 32 | exactness of the name, 1 to 3: see [`Wildcards`] |
/// | 16 to 31 | number of parameters that both have |
/// | 0 to 15 | weight in thousandths, which may be 0: the range rules the offer out then |
pub(super) type Fit = u64;

/// The well-formed ranges among the first 64 elements of a field, in their order.
pub(super) fn ranges(field: &[u8]) -> Ranges<'_> {
    Ranges { rest: Some(field), has_quotes: field.contains(&b'"'), left: MOST_RANGES }
}

/// The iterator of [`ranges`].
pub(super) struct Ranges<'a> {
    /// What has not been read yet; `None` behind the last element.
    rest: Option<&'a [u8]>,
    /// Whether there is a quote anywhere in the field, so that a comma may be part of a value.
    has_quotes: bool,
    /// How many elements may still be read, malformed ones included.
    left: usize,
}

impl<'a> Iterator for Ranges<'a> {
    type Item = Range<'a>;

    #[inline]
    fn next(&mut self) -> Option<Range<'a>> {
        loop {
            let text = self.rest?;
            self.left = self.left.checked_sub(1)?;
            // Nearly all elements are a name and a weight: without this pass each of them would be searched several times.
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
    /// The first element of a field, and what stands behind its comma, if the element is a name and at most a weight, as in
    /// `text/html;q=0.8`. `None` stands for everything else, which [`read`](Self::read) has to judge.
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
            // White space, another parameter or an error: this pass cannot tell them apart.
            _ => return None,
        };
        Some((Self { main, sub, parameters: b"", weight, wildcards: Wildcards::of(main, sub) }, others))
    }

    /// One element, without its comma; `None` if it is malformed. An offer is read by it as well.
    ///
    /// White space may surround every semicolon, and empty parameters are skipped
    /// ([RFC 9110, section 5.6.6](https://www.rfc-editor.org/rfc/rfc9110#section-5.6.6)). Of several weights the first one
    /// counts. A parameter without `=` makes the whole element malformed.
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

    /// Whether either part of the name is `*`: such a range cannot be an offer.
    pub(super) fn is_wild(&self) -> bool {
        self.main == b"*" || self.sub == b"*"
    }

    /// Whether and how exactly this range names an offer.
    ///
    /// A range with parameters names only offers that have all of them; a range without parameters names offers with and without
    /// parameters.
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

    /// The weight in a fit, in thousandths.
    pub(super) fn weight_of(fit: Fit) -> u64 {
        fit & 0xFFFF
    }

    /// How many parameters both have; `None` if the offer has not all of this range's.
    fn common_parameters(&self, offer: &Range<'_>) -> Option<u64> {
        let mut parameters = 0;
        for (name, value) in self.parameters() {
            let offered = offer.parameter(name);
            if name.eq_ignore_ascii_case(b"charset") && is_same(value, b"utf-8") && offered.is_none() {
                // An offer without a charset is UTF-8: a client that asks for UTF-8 must not be refused it.
                continue;
            }
            if !is_same(offered?, value) {
                return None;
            }
            parameters += 1;
        }
        // The number cannot overflow its 16 bits in a `Fit`, as a field has at most 4 KiB.
        Some(parameters)
    }

    /// Whether both are the same media type with the same parameters, in any order. Weights are not compared.
    pub(super) fn is(&self, other: &Range<'_>) -> bool {
        let has_all = |one: &Range<'_>, other: &Range<'_>| {
            one.parameters().all(|(name, value)| other.parameter(name).is_some_and(|other| is_same(value, other)))
        };
        self.is_named_like(other) && has_all(self, other) && has_all(other, self)
    }

    /// Whether this range asks for the media type by its name, and does not rule it out.
    pub(super) fn names(&self, offer: &Range<'_>) -> bool {
        self.weight > 0 && self.is_named_like(offer)
    }

    /// Whether type and subtype are the same apart from their case
    /// ([RFC 9110, section 8.3.1](https://www.rfc-editor.org/rfc/rfc9110#section-8.3.1)).
    #[inline]
    fn is_named_like(&self, other: &Range<'_>) -> bool {
        // Most media types differ in their lengths already, and no byte of them has to be compared.
        (self.sub.len(), self.main.len()) == (other.sub.len(), other.main.len())
            && is_same_name(self.sub, other.sub)
            && is_same_name(self.main, other.main)
    }

    /// Names and values of all parameters but the weight; a value may be in quotes.
    fn parameters(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let all = split(self.parameters, b';').filter_map(|part| cut(part, b'='));
        all.filter(|(name, _)| !name.eq_ignore_ascii_case(b"q"))
    }

    /// The value of the first parameter of this name, in any case.
    fn parameter(&self, name: &[u8]) -> Option<&'a [u8]> {
        self.parameters().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// How many elements of a field are read, malformed and empty ones included. No client needs as many, and every one of them is
/// compared with every offer.
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

    /// [`Range::plain`] and [`Range::read`] must agree: an element may not mean something else only because it is short.
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
