//! Runs code that users gave us.

use std::{
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// `None` if it panicked. What it was working on is thrown away then, so nobody sees it half done.
pub(crate) fn caught<T>(work: impl FnOnce() -> T) -> Option<T> {
    // What a panic carries is the user's as well: dropping it could panic once more.
    catch_unwind(AssertUnwindSafe(work)).map_err(mem::forget).ok()
}
