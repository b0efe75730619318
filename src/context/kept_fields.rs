//! The fields of a request that are kept for formats, hooks and fallbacks.

use std::fmt;

use http::{HeaderName, HeaderValue};

/// Fields of a request that are kept until its call has ended, line by line. A map would cost more than the few there are.
#[derive(Clone, Default)]
pub(crate) struct KeptFields(Vec<(HeaderName, HeaderValue)>);

impl KeptFields {
    /// Adds a line.
    pub(crate) fn push(&mut self, name: HeaderName, value: HeaderValue) {
        self.0.push((name, value));
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The lines of a field.
    pub(crate) fn lines<'a>(&'a self, name: &HeaderName) -> impl Iterator<Item = &'a HeaderValue> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value)
    }
}

/// Names alone: a value may identify a person.
impl fmt::Debug for KeptFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}
