//! Why this layer itself has decided that a call has failed.

use std::{borrow::Cow, error::Error, fmt};

/// The rule, and what was seen: names, lengths and numbers, never the value of a field. It is private, as any source of a failure.
#[derive(Debug)]
pub(crate) struct Reason(Cow<'static, str>);

impl Reason {
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
