//! How long the error of a body waits before a server gets it: until the head is out, since a client would get an empty reply otherwise.

use std::{pin::Pin, time::Duration};

use tokio::time::{Sleep, sleep};

use crate::caught::caught;

/// The time that an error waits over HTTP/2, counted from the failure. `None` outside a tokio runtime with its timer
/// enabled: then the error waits for the polls alone.
pub(super) fn error_delay() -> Option<Pin<Box<Sleep>>> {
    caught(|| Box::pin(sleep(ERROR_DELAY_HTTP2)))
}

/// How many polls are pending before an error is returned. One would do for hyper over HTTP/1, which sends the head after
/// the first. But tower-http's compression answers the first pending poll with the content it has gathered, so that the
/// server behind it does not see it.
pub(super) const ERROR_DELAY_POLLS: u8 = 8;
/// How long an error waits over HTTP/2, where another task, perhaps on another thread, sends the head, and a reset
/// discards what has not been sent. Pending polls take microseconds: with them alone one head in a hundred was lost on a
/// busy machine.
const ERROR_DELAY_HTTP2: Duration = Duration::from_millis(20);
