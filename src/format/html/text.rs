//! Somebody's words, made fit for the page.

use std::{
    fmt::{self, Display, Write},
    time::Duration,
};

use html_escape::encode_quoted_attribute;

/// The summary of a kind as a sentence of its own.
pub(super) fn sentence(summary: &str) -> String {
    let mut characters = summary.chars();
    let first = characters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(characters).chain(['.']).collect()
}

pub(super) fn is_link(target: &str) -> bool {
    let starts_with = |start: &str| target.get(..start.len()).is_some_and(|found| found.eq_ignore_ascii_case(start));
    // Two slashes, or what browsers take for them, lead to another host.
    let leaves = ["//", "/\\"].into_iter().any(starts_with);
    ["https:", "http:", "mailto:", "tel:", "/"].into_iter().any(starts_with) && !leaves
}

/// Somebody's text, for content and for attributes in quotes: escaped, in one line, and without control characters.
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

/// A time as people say it.
pub(super) struct Delay(pub(super) Duration);

impl Display for Delay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_secs() {
            1 => f.write_str("1 second"),
            seconds @ 0..120 => write!(f, "{seconds} seconds"),
            seconds @ 120..7200 => write!(f, "{} minutes", seconds.div_ceil(60)),
            seconds => write!(f, "{} hours", seconds.div_ceil(3600)),
        }
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
    fn a_delay_is_said_as_people_say_it() {
        let said = |seconds| Delay(Duration::from_secs(seconds)).to_string();
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
