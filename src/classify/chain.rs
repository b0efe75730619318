//! A failure and all its causes on one line, for logs.
//!
//! This module stands beside the readers since it needs the walk along the sources. It knows nothing of log levels, fields or
//! rates: the writers of events ask for the line. What it prints never reaches a client.

use std::fmt::{self, Write};

use super::cause::whole_chain;
use crate::failure::Failure;

impl Failure {
    /// Everything known of the failure on one line: its kind and phase, and the texts of the whole chain of causes.
    ///
    /// The form is `kind in phase: cause: cause of the cause`, by the [token](crate::FailureKind::token) and the
    /// [word](crate::failure::Phase::as_str) of each. The texts are those of [`Display`](fmt::Display), from the outermost error
    /// to the innermost, at most fifteen. A text that the error above already ends with is left out, since many errors print
    /// their source as well; so is an empty one.
    ///
    /// **Private**: the line holds addresses, names and what the upstream sent. It is for logs, never for a client; the sentence
    /// for a client is the failure's own `Display`.
    ///
    /// Control characters and the line and paragraph separators of Unicode are escaped as in a Rust string, so that no error can
    /// forge a second line. The line ends in `...` after about 2 KiB. An error whose `Display` fails is named as one that
    /// cannot be printed.
    ///
    /// # Panics
    ///
    /// Printing panics if the `Display` of an error in the chain panics.
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

/// Prints a failure and its causes on one line; made by [`Failure::private_chain`]. Nothing is formatted before it is printed.
#[derive(Clone, Copy, Debug)]
pub struct PrivateChain<'a>(&'a Failure);

impl fmt::Display for PrivateChain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = OneLine { out: f, bytes_left: MAX_BYTES };
        write!(line, "{} in {}", self.0.kind().token(), self.0.phase().as_str())?;
        let mut previous = String::new();
        for error in whole_chain(self.0).skip(1) {
            let text = text(error);
            // Many errors print their source as well: without this check the same text would stand in the line twice.
            if text.is_empty() || previous.ends_with(&text) {
                continue;
            }
            write!(line, ": {text}")?;
            previous = text;
        }
        Ok(())
    }
}

/// The text of one error. If its `Display` fails, a fixed text takes its place: an error that was handed on would make
/// [`to_string`](ToString::to_string) panic.
fn text(error: &dyn std::error::Error) -> String {
    let mut text = String::new();
    match write!(text, "{error}") {
        Ok(()) => text,
        Err(fmt::Error) => "(an error that cannot be printed)".to_owned(),
    }
}

/// A writer that escapes what could end the line or steer a terminal, and that drops what is too long.
struct OneLine<'a, 'b> {
    /// Where the line goes.
    out: &'a mut fmt::Formatter<'b>,
    /// How many bytes may still be written; at 0 the `...` has been written, and all that follows is dropped.
    bytes_left: usize,
}

impl Write for OneLine<'_, '_> {
    /// Writes one character after another. It never fails for its length: an error would end the formatting of the caller.
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            if self.bytes_left == 0 {
                return Ok(());
            }
            let escaped = character.is_control() || matches!(character, '\u{2028}' | '\u{2029}');
            let length = if escaped { character.escape_default().len() } else { character.len_utf8() };
            self.bytes_left = self.bytes_left.saturating_sub(length);
            if self.bytes_left == 0 {
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

/// How long the line may get, in bytes, before the `...`.
const MAX_BYTES: usize = 2048;

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
