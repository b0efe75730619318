//! A failure and all its causes on one line, for logs.

use std::fmt::{self, Write};

use super::cause::whole_chain;
use crate::failure::Failure;

impl Failure {
    /// Everything known of the failure on one line: its kind and phase, and the texts of the whole chain of causes.
    ///
    /// **Private**: it holds addresses, names and whatever the upstream sent. It is for logs, never for a client. Control
    /// characters are escaped, so that no error can forge a line, and the text ends after about 2 KiB.
    ///
    /// ```
    /// use tower_bad_gateway::Failure;
    ///
    /// let failure = Failure::from_error(std::io::Error::from(std::io::ErrorKind::ConnectionRefused));
    /// assert_eq!(failure.private_chain().to_string(), "connection_refused in connect: connection refused");
    /// ```
    #[must_use]
    pub fn private_chain(&self) -> PrivateChain<'_> {
        PrivateChain(self)
    }
}

/// Prints a failure and its causes; see [`Failure::private_chain`].
#[derive(Clone, Copy, Debug)]
pub struct PrivateChain<'a>(&'a Failure);

impl fmt::Display for PrivateChain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = OneLine { out: f, left: LONGEST };
        write!(line, "{} in {}", self.0.kind().token(), self.0.phase().as_str())?;
        let mut above = String::new();
        for error in whole_chain(self.0).skip(1) {
            let text = text(error);
            // Many errors print their source as well, against the custom: say it once.
            if text.is_empty() || above.ends_with(&text) {
                continue;
            }
            write!(line, ": {text}")?;
            above = text;
        }
        Ok(())
    }
}

/// An error whose `Display` fails must not make ours panic in `to_string`.
fn text(error: &dyn std::error::Error) -> String {
    let mut text = String::new();
    match write!(text, "{error}") {
        Ok(()) => text,
        Err(fmt::Error) => "(an error that cannot be printed)".to_owned(),
    }
}

struct OneLine<'a, 'b> {
    out: &'a mut fmt::Formatter<'b>,
    left: usize,
}

impl Write for OneLine<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            if self.left == 0 {
                return Ok(());
            }
            let escaped = character.is_control() || matches!(character, '\u{2028}' | '\u{2029}');
            let length = if escaped { character.escape_default().len() } else { character.len_utf8() };
            self.left = self.left.saturating_sub(length);
            if self.left == 0 {
                self.out.write_str("...")?;
            } else if escaped {
                write!(self.out, "{}", character.escape_default())?;
            } else {
                self.out.write_char(character)?;
            }
        }
        Ok(())
    }
}

/// In bytes.
const LONGEST: usize = 2048;

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::failure::FailureKind;

    #[test]
    fn a_forged_line_stays_one_line() {
        let failure = Failure::new(FailureKind::DnsError).with_source("a\r\n2026 ERROR root: b\u{1b}[31m\u{2028}c");
        let line = failure.private_chain().to_string();
        assert_eq!(line, r"dns_error in unknown: a\r\n2026 ERROR root: b\u{1b}[31m\u{2028}c");
    }

    #[test]
    fn a_source_that_was_printed_is_not_printed_again() {
        let inner = Failure::from_error(io::Error::other("disk on fire"));
        assert_eq!(inner.private_chain().to_string(), "unclassified in unknown: disk on fire");
    }

    #[test]
    fn a_long_text_ends() {
        for text in ["x", "\u{1b}", "\u{1f980}"] {
            let failure = Failure::new(FailureKind::DnsError).with_source(text.repeat(100_000));
            let line = failure.private_chain().to_string();
            assert!(line.len() < 2100 && line.ends_with("..."), "{text:?}: {} bytes", line.len());
        }
    }
}
