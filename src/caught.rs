//! Runs code that may panic: that of users (readers, validators, formats, hooks and metrics), and that of tokio's timer where there is no runtime.
//!
//! A panic in such code must not take the answer to a client with it, nor end the process from a destructor. The caller gets `None` then, and
//! decides what takes the place of the result. With `panic = "abort"` nothing can be caught, and the process ends.

use std::{
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// What `work` returns, or `None` if it panicked. The panic hook has run by then, so the message is where the program prints its panics.
///
/// A value that `work` was changing may be half done after a panic. The compiler does not check this here: a caller must not look at such a
/// value again.
pub(crate) fn caught<T>(work: impl FnOnce() -> T) -> Option<T> {
    // The payload of a panic is a value of the user's. If it were dropped here, its destructor could panic outside of `catch_unwind`.
    catch_unwind(AssertUnwindSafe(work)).map_err(mem::forget).ok()
}
