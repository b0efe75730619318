//! The elements of `Accept-Language` ([RFC 9110, section 12.5.4](https://www.rfc-editor.org/rfc/rfc9110#section-12.5.4)).

use super::{
    MOST_RANGES,
    syntax::{cut, split, thousandths},
};

/// The language ranges among the first 64 elements of a field, with their weights in thousandths. An element that is malformed is skipped.
pub(in crate::format) fn language_weights(field: &[u8]) -> impl Iterator<Item = (&[u8], u16)> {
    split(field, b',').take(MOST_RANGES).filter_map(|element| {
        let mut parts = split(element, b';');
        let range = parts.next().filter(|range| !range.is_empty())?;
        let weight = match parts.next() {
            Some(part) => {
                let (name, value) = cut(part, b'=')?;
                if name.eq_ignore_ascii_case(b"q") { thousandths(value)? } else { return None }
            }
            None => 1000,
        };
        Some((range, weight))
    })
}
