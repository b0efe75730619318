//! Runs code that users gave us.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// `None` if it panicked. What it was working on is thrown away then, so nobody sees it half done.
pub(crate) fn caught<T>(work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}
