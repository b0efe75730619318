//! Content-Length.

use http::HeaderValue;

use crate::{
    failure::{Failure, FailureKind},
    fields::elements,
};

/// All the lines of the field.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Length {
    #[default]
    Absent,
    /// One number, written as we would.
    Canonical(u64),
    /// One number, said more than once or with zeros in front.
    Untidy(u64),
    Invalid,
}

impl Length {
    pub(super) fn add(&mut self, line: &HeaderValue) {
        if let (Self::Absent, Some(number), true) = (*self, decimal(line.as_bytes()), is_canonical(line)) {
            *self = Self::Canonical(number);
            return;
        }
        for element in elements(line) {
            *self = match (*self, decimal(element)) {
                (Self::Absent, Some(number)) if is_canonical(line) => Self::Canonical(number),
                (Self::Absent, Some(number)) => Self::Untidy(number),
                (Self::Canonical(said) | Self::Untidy(said), Some(number)) if said == number => Self::Untidy(said),
                _ => Self::Invalid,
            };
        }
    }

    /// The same number twice counts as one, anything else is no length
    /// ([RFC 9110, section 8.6](https://www.rfc-editor.org/rfc/rfc9110#section-8.6)).
    ///
    /// A gateway has to refuse such a response
    /// ([RFC 9112, section 6.3](https://www.rfc-editor.org/rfc/rfc9112#section-6.3)). Client libraries let it pass where the
    /// field does not frame the message, as after HEAD and in 204 and 304; there it would be a lie about another message.
    pub(super) fn rule(self) -> Result<Option<u64>, Failure> {
        match self {
            Self::Absent => Ok(None),
            Self::Canonical(number) | Self::Untidy(number) => Ok(Some(number)),
            Self::Invalid => {
                let reason = "Content-Length is no number, or several";
                Err(Failure::new(FailureKind::HttpProtocolError).with_reason(reason))
            }
        }
    }

    pub(super) fn is_canonical(self) -> bool {
        matches!(self, Self::Canonical(_))
    }
}

/// `1*DIGIT`: no sign, and what is too large for us is no number.
fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 { None } else { number.checked_mul(10)?.checked_add(u64::from(digit)) }
    })
}

/// Digits alone, and no zero that says nothing.
fn is_canonical(line: &HeaderValue) -> bool {
    let line = line.as_bytes();
    line.iter().all(u8::is_ascii_digit) && (line.len() == 1 || line.first() != Some(&b'0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_one_number_however_often_it_is_said() {
        use Length::{Absent, Canonical, Invalid, Untidy};
        let wrong: Vec<_> = [
            (&[][..], Absent),
            (&["0"], Canonical(0)),
            (&["5"], Canonical(5)),
            (&["18446744073709551615"], Canonical(u64::MAX)),
            (&["0005"], Untidy(5)),
            (&["00"], Untidy(0)),
            (&["5", "5"], Untidy(5)),
            (&["5, 5"], Untidy(5)),
            (&["5,05 , 5"], Untidy(5)),
            (&[" 5 "], Untidy(5)),
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
