//! The parts of an element of `Accept`: tokens, quoted strings, parameters, weights.
//!
//! These are functions on bytes, called by the parent module alone, which knows what the parts mean. A field value need not be
//! UTF-8, so nothing here is a `str`. The grammar is that of RFC 9110:
//! [tokens](https://www.rfc-editor.org/rfc/rfc9110#section-5.6.2),
//! [quoted strings](https://www.rfc-editor.org/rfc/rfc9110#section-5.6.4),
//! [parameters](https://www.rfc-editor.org/rfc/rfc9110#section-5.6.6) and
//! [weights](https://www.rfc-editor.org/rfc/rfc9110#section-12.4.2).
//!
//! Splitting comes before checking: [`split`] and [`first`] cut at separators, and [`is_token`], [`is_value`] and
//! [`thousandths`] decide afterwards whether a part is well-formed. So an error spoils one element and not the field.

/// The parts between separators that do not stand in quotes, without the white space around them.
///
/// A part may be empty, and an empty text has one empty part.
pub(super) fn split(text: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(text);
    let has_quotes = text.contains(&b'"');
    std::iter::from_fn(move || {
        let (part, others) = first(rest?, separator, has_quotes);
        rest = others;
        Some(part)
    })
}

/// The part before the first separator, without the white space around it, and all that stands behind the separator.
///
/// Without a separator the whole text is the part, and there is no rest. The caller says whether the text `has_quotes`; if it
/// has none, a plain search finds the separator sooner.
pub(super) fn first(text: &[u8], separator: u8, has_quotes: bool) -> (&[u8], Option<&[u8]>) {
    let end =
        if has_quotes { outside_quotes(text, separator) } else { text.iter().position(|&byte| byte == separator) };
    match end.and_then(|end| text.split_at_checked(end)) {
        Some((part, others)) => (part.trim_ascii(), others.get(1..)),
        None => (text.trim_ascii(), None),
    }
}

/// The index of the first separator that does not stand in a quoted string.
///
/// A quote opens a string only right behind `=`: a stray one breaks its own element, not those behind it. A backslash takes the
/// byte behind it into the string.
fn outside_quotes(text: &[u8], separator: u8) -> Option<usize> {
    let (mut quoted, mut escaped, mut before) = (false, false, b' ');
    text.iter().position(|&byte| {
        let ends = byte == separator && !quoted;
        (quoted, escaped) = match byte {
            _ if escaped => (quoted, false),
            b'\\' => (quoted, quoted),
            b'"' => (!quoted && before == b'=', false),
            _ => (quoted, false),
        };
        before = byte;
        ends
    })
}

/// What stands before and behind the first separator, quotes or not; `None` without a separator.
pub(super) fn cut(text: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let (before, after) = text.split_at_checked(text.iter().position(|&byte| byte == separator)?)?;
    Some((before, after.get(1..)?))
}

/// Whether two names are the same apart from their case. Most clients write both in small letters: then one comparison is enough.
#[inline]
pub(super) fn is_same_name(one: &[u8], other: &[u8]) -> bool {
    one == other || one.eq_ignore_ascii_case(other)
}

/// The token at the start, which may be empty, and the rest.
#[inline]
pub(super) fn token(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|&byte| !is_token_byte(byte)).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, b""))
}

/// Whether all of a text is one token, of one byte at least.
pub(super) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|&byte| is_token_byte(byte))
}

/// A look into [`TOKEN`].
#[inline]
fn is_token_byte(byte: u8) -> bool {
    TOKEN.get(usize::from(byte)).copied().unwrap_or_default()
}

/// Whether a byte may stand in a token (RFC 9110, section 5.6.2).
#[expect(clippy::indexing_slicing, reason = "outside of the table it is an error of the build")]
static TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        table[byte as usize] = byte.is_ascii_alphanumeric()
            || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~');
        byte += 1;
    }
    table
};

/// Whether a text is a token, or a quoted string that ends where the text does (RFC 9110, section 5.6.4).
pub(super) fn is_value(text: &[u8]) -> bool {
    let [b'"', inside @ .., b'"'] = text else { return is_token(text) };
    let mut escaped = false;
    for &byte in inside {
        if byte == b'"' && !escaped {
            return false;
        }
        escaped = byte == b'\\' && !escaped;
    }
    !escaped
}

/// Whether two values are the same apart from quotes, backslashes before quoted bytes, and case.
///
/// Whether the case of a value matters depends on the parameter, and the parameters are not known here.
pub(super) fn is_same(one: &[u8], other: &[u8]) -> bool {
    content(one).eq(content(other))
}

/// The bytes of a value in lower case, without its quotes and the backslashes that escape a byte.
fn content(value: &[u8]) -> impl Iterator<Item = u8> {
    let inside = if let [b'"', inside @ .., b'"'] = value { inside } else { value };
    let mut escaped = false;
    let kept = inside.iter().filter(move |&&byte| {
        escaped = byte == b'\\' && !escaped;
        !escaped
    });
    kept.map(u8::to_ascii_lowercase)
}

/// A weight in thousandths: `0`, `1`, or either with up to three decimals, which must be 0 after a 1
/// (RFC 9110, section 12.4.2). `None` if the text is none of these.
pub(super) fn thousandths(weight: &[u8]) -> Option<u16> {
    let (whole, decimals) = cut(weight, b'.').unwrap_or((weight, b""));
    let digit = |byte: u8| byte.is_ascii_digit().then(|| u16::from(byte - b'0'));
    let part = match *decimals {
        [] => 0,
        [a] => digit(a)? * 100,
        [a, b] => digit(a)? * 100 + digit(b)? * 10,
        [a, b, c] => digit(a)? * 100 + digit(b)? * 10 + digit(c)?,
        _ => return None,
    };
    match (whole, part) {
        (b"0", part) => Some(part),
        (b"1", 0) => Some(1000),
        _ => None,
    }
}
