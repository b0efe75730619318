//! The log of a test: what feature `tracing` writes, line by line.

use std::{cell::RefCell, io, io::Write, sync::Once};

thread_local! {
    static LINES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Writes into the thread's own lines: each test has its thread, and one subscriber for all cannot get in the way of another's.
struct Lines;

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LINES.with_borrow_mut(|lines| lines.extend_from_slice(bytes));
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Begins anew, with nothing written.
pub(crate) fn begin() {
    static SUBSCRIBER: Once = Once::new();
    SUBSCRIBER.call_once(|| {
        let lines = tracing_subscriber::fmt().with_ansi(false).without_time().with_writer(|| Lines);
        lines.with_max_level(tracing::Level::DEBUG).init();
    });
    take();
}

/// What was written since.
pub(crate) fn take() -> String {
    String::from_utf8(LINES.take()).unwrap()
}
