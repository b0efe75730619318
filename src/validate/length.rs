//! The `Content-Length` of a response: one number, none, or a reason to refuse the response.
//!
//! The parent module gives every line of the field to [`Length::add`] while it walks over the header section, then asks
//! [`Length::rule`], and writes the field anew where it was not [canonical](Length::is_canonical). Whether this response
//! may have a length at all, by its status and method, is decided there and not here. The body is counted against the
//! number in `body`; nothing here knows of that.

use http::HeaderValue;

use crate::{
    failure::{Failure, FailureKind},
    fields::elements,
};

/// What all lines of the field that were added so far say together.
///
/// | state | the lines | [`rule`](Self::rule) |
/// | --- | --- | --- |
/// | `Absent` | none | no length |
/// | `Canonical` | one, with one number in its shortest form | the number |
/// | `NonCanonical` | the same number several times, with zeros in front, or with white space around it | the number |
/// | `Invalid` | two different numbers, or anything that is no number, an empty element included | refused |
///
/// `Invalid` is final: no line that is added later changes it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Length {
    /// The response has no such field.
    #[default]
    Absent,
    /// One number in its shortest form: the field is forwarded as it is.
    Canonical(u64),
    /// One number in any other form: the field is replaced by its shortest form.
    NonCanonical(u64),
    /// Not a length.
    Invalid,
}

impl Length {
    /// Adds one line of the field, which may be a list.
    pub(super) fn add(&mut self, line: &HeaderValue) {
        if let (Self::Absent, Some(number), true) = (*self, decimal(line.as_bytes()), is_canonical(line)) {
            *self = Self::Canonical(number);
            return;
        }
        for element in elements(line) {
            *self = match (*self, decimal(element)) {
                (Self::Absent, Some(number)) if is_canonical(line) => Self::Canonical(number),
                (Self::Absent, Some(number)) => Self::NonCanonical(number),
                (Self::Canonical(earlier) | Self::NonCanonical(earlier), Some(number)) if earlier == number => {
                    Self::NonCanonical(earlier)
                }
                _ => Self::Invalid,
            };
        }
    }

    /// The length in bytes, if the field is there.
    ///
    /// The same number several times counts as one
    /// ([RFC 9110, section 8.6](https://www.rfc-editor.org/rfc/rfc9110#section-8.6)).
    ///
    /// # Errors
    ///
    /// [`FailureKind::HttpProtocolError`] if the field is not one number: a gateway has to refuse such a response
    /// ([RFC 9112, section 6.3](https://www.rfc-editor.org/rfc/rfc9112#section-6.3)). Client libraries let the field pass where
    /// it does not frame the message, as after HEAD and in 204 and 304. It is refused there as well: after HEAD and in a 304
    /// it describes the content of another response, and would describe that wrongly.
    pub(super) fn rule(self) -> Result<Option<u64>, Failure> {
        match self {
            Self::Absent => Ok(None),
            Self::Canonical(number) | Self::NonCanonical(number) => Ok(Some(number)),
            Self::Invalid => {
                let reason = "Content-Length is no number, or several";
                Err(Failure::new(FailureKind::HttpProtocolError).with_reason(reason))
            }
        }
    }

    /// Whether the field may be forwarded as it is.
    pub(super) fn is_canonical(self) -> bool {
        matches!(self, Self::Canonical(_))
    }
}

/// Reads `1*DIGIT`. A sign, white space or an empty text is no number, and neither is one above `u64::MAX`.
fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 { None } else { number.checked_mul(10)?.checked_add(u64::from(digit)) }
    })
}

/// Whether a line is digits alone, without a zero in front; `0` itself is canonical.
///
/// An empty line passes here, so callers ask [`decimal`] as well.
fn is_canonical(line: &HeaderValue) -> bool {
    let line = line.as_bytes();
    line.iter().all(u8::is_ascii_digit) && (line.len() == 1 || line.first() != Some(&b'0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_one_number_however_often_it_is_said() {
        use Length::{Absent, Canonical, Invalid, NonCanonical};
        let wrong: Vec<_> = [
            (&[][..], Absent),
            (&["0"], Canonical(0)),
            (&["5"], Canonical(5)),
            (&["18446744073709551615"], Canonical(u64::MAX)),
            (&["0005"], NonCanonical(5)),
            (&["00"], NonCanonical(0)),
            (&["5", "5"], NonCanonical(5)),
            (&["5, 5"], NonCanonical(5)),
            (&["5,05 , 5"], NonCanonical(5)),
            (&[" 5 "], NonCanonical(5)),
            (&["5", "6"], Invalid),
            (&["5, 6"], Invalid),
            (&["5,"], Invalid),
            (&[""], Invalid),
            (&["", "5"], Invalid),
            (&["5", "five", "5"], Invalid),
            (&["+5"], Invalid),
            (&["-5"], Invalid),
            (&["0x5"], Invalid),
            (&["5 5"], Invalid),
            (&["18446744073709551616"], Invalid),
        ]
        .into_iter()
        .map(|(lines, expected)| {
            let mut length = Length::default();
            lines.iter().for_each(|line| length.add(&HeaderValue::from_static(line)));
            (lines, length, expected)
        })
        .filter(|(_, got, expected)| got != expected)
        .collect();
        assert!(wrong.is_empty(), "(lines, got, expected): {wrong:?}");
    }
}
