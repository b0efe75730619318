//! Texts of users and clients, made safe for the page, and times, made readable.
//!
//! The page calls these while it writes. [`Text`] is for every text that is no literal of the page: a user's title, label, target
//! and sentence, the name of the gateway, and the identifier of the request, which the client may have chosen. [`is_link`] comes
//! before it: escaping does not make a `javascript:` target harmless. Nothing here knows where in the page a text stands, so
//! [`Text`] is safe in content and in quoted attributes alike, and in no other place.

use std::{
    fmt::{self, Display, Write},
    time::Duration,
};

use html_escape::encode_quoted_attribute;

use crate::format::english::{HOURS, MINUTES, ONE_SECOND, SECONDS};

/// The summary of a kind as a sentence of its own: with a capital at its start and a period at its end, if it has none.
pub(super) fn sentence(summary: &str) -> String {
    let mut characters = summary.chars();
    let first = characters.next().into_iter().flat_map(char::to_uppercase);
    let end = (!summary.ends_with(['.', '!', '?', '\u{3002}'])).then_some('.');
    first.chain(characters.clone()).chain(end).collect()
}

/// Whether a target may become a link: `https:`, `http:`, `mailto:`, `tel:`, or a path from the root of the same host.
///
/// Everything else is refused rather than cleaned. The case of the scheme does not matter
/// ([RFC 3986, section 3.1](https://www.rfc-editor.org/rfc/rfc3986#section-3.1)).
pub(super) fn is_link(target: &str) -> bool {
    let starts_with = |start: &str| target.get(..start.len()).is_some_and(|found| found.eq_ignore_ascii_case(start));
    // Browsers take both for the start of another host, so neither is a path from the root.
    let leaves = ["//", "/\\"].into_iter().any(starts_with);
    ["https:", "http:", "mailto:", "tel:", "/"].into_iter().any(starts_with) && !leaves
}

/// A text that may hold anything, displayed for content and for attributes in quotes: escaped, in one line, and without control
/// characters, each of which becomes a space.
pub(super) struct Text<'a>(pub(super) &'a str);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, part) in self.0.split(char::is_control).enumerate() {
            if number > 0 {
                f.write_char(' ')?;
            }
            f.write_str(&encode_quoted_attribute(part))?;
        }
        Ok(())
    }
}

/// A time as people say it, rounded up, so that the reader does not come back too early.
///
/// | seconds | unit |
/// | --- | --- |
/// | less than 120 | seconds |
/// | less than 7200 | minutes |
/// | from 7200 | hours |
pub(super) struct Delay<'a, F>(pub(super) Duration, pub(super) &'a F);

impl<'a, F: Fn(&'static str) -> Text<'a>> Display for Delay<'_, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (text, number) = match self.0.as_secs() {
            1 => return self.1(ONE_SECOND).fmt(f),
            seconds @ 0..120 => (SECONDS, seconds),
            seconds @ 120..7200 => (MINUTES, seconds.div_ceil(60)),
            seconds => (HOURS, seconds.div_ceil(3600)),
        };
        Filled(self.1(text), number).fmt(f)
    }
}

/// A text with something in the place of its first `{}`, which is displayed as it is; at the end if the text has none, so that a translation
/// cannot lose it.
pub(super) struct Filled<'a, T>(pub(super) Text<'a>, pub(super) T);

impl<T: Display> Display for Filled<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(Text(text), filling) = self;
        let (before, after) = text.split_once("{}").unwrap_or((text, ""));
        write!(f, "{}{filling}{}", Text(before), Text(after))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_leads_where_links_may_lead() {
        let wrong: Vec<_> = [
            ("https://help.example/a?b=c&d", true),
            ("HTTP://help.example", true),
            ("mailto:help@shop.example", true),
            ("tel:+49", true),
            ("/help", true),
            ("//elsewhere.example", false),
            ("/\\elsewhere.example", false),
            ("javascript:alert(1)", false),
            (" javascript:alert(1)", false),
            ("data:text/html,hello", false),
            ("ftp://help.example", false),
            ("\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}", false),
            ("", false),
        ]
        .into_iter()
        .filter(|(target, expected)| is_link(target) != *expected)
        .collect();
        assert!(wrong.is_empty(), "(target, expected): {wrong:?}");
    }

    #[test]
    fn a_summary_becomes_a_sentence() {
        let rows = [("it is so", "It is so."), ("\u{e4}h.", "\u{c4}h."), ("no!", "No!"), ("", ".")];
        let wrong: Vec<_> = rows.into_iter().filter(|(text, expected)| sentence(text) != *expected).collect();
        assert!(wrong.is_empty(), "(text, expected): {wrong:?}");
    }

    #[test]
    fn a_delay_is_said_as_people_say_it() {
        let said = |seconds| Delay(Duration::from_secs(seconds), &Text).to_string();
        assert_eq!(
            [1, 2, 119, 120, 121, 7199, 7200, u64::MAX].map(said),
            [
                "1 second",
                "2 seconds",
                "119 seconds",
                "2 minutes",
                "3 minutes",
                "120 minutes",
                "2 hours",
                "5124095576030432 hours"
            ]
        );
    }
}
