//! Why this layer itself has decided that a call has failed.
//!
//! The rules of `validate`, the limits of `policy` and the checks of `body` set it by `Failure::with_reason`. A reason is an error
//! type, so that it stands in the chain of sources, where logs look.

use std::{borrow::Cow, error::Error, fmt};

/// A rule or a limit, and what the layer saw instead: names, lengths and numbers, never the value of a field, which may be a secret.
/// The text is private, as any source of a failure.
#[derive(Debug)]
pub(crate) struct Reason(Cow<'static, str>);

impl Reason {
    /// Takes the text, written as that of any error: without a final period.
    pub(crate) fn new(text: impl Into<Cow<'static, str>>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Reason {}
