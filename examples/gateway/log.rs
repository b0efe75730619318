//! The log: best effort, in bounded memory.
//!
//! A reader that is gone, a full disk or a pipe that nobody empties must not hold up an answer, a probe or the end of the process. So lines are
//! handed to threads that write them, by queues of a fixed length; what finds its queue full is dropped and counted. Lines about
//! requests have a queue of their own: however many there are, none of them takes the place of a failure. The threads write a hundred
//! times a second, as much as there is: a write and a wake-up for each line would cost more than the line.

use std::{
    fmt::Write as _,
    io::{self, BufWriter, Stderr, Write},
    panic,
    sync::{OnceLock, mpsc},
    thread,
    time::{Duration, SystemTime},
};

use tracing::Metadata;
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::fmt::MakeWriter;

/// What is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Lines {
    /// A line for every request, and all failures.
    All,
    /// Failures, and what else an operator has to know.
    Failures,
    Nothing,
}

/// How many lines about requests may wait to be written.
const ACCESS_LINES: usize = 6000;
/// How many of all other lines.
const OTHER_LINES: usize = 2000;
/// How long a thread waits after it has written what there was.
const PAUSE: Duration = Duration::from_millis(10);
/// How much is written at once, at most.
const BATCH: usize = 64 * 1024;
/// How often lines that were dropped are told of.
const INTERVAL: Duration = Duration::from_secs(10);
/// The target of lines about requests.
pub(crate) const ACCESS: &str = "access";

/// The threads that write. It has to outlive the runtime, with which the last requests go down.
pub(crate) struct Log {
    threads: [WorkerGuard; 2],
    dropped: Dropped,
}

/// How many lines were dropped.
#[derive(Clone)]
pub(crate) struct Dropped([ErrorCounter; 2]);

/// Where an event goes, by its target.
struct Queues {
    access: NonBlocking,
    other: NonBlocking,
}

impl<'a> MakeWriter<'a> for Queues {
    type Writer = NonBlocking;

    fn make_writer(&'a self) -> NonBlocking {
        self.other.clone()
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> NonBlocking {
        if metadata.target() == ACCESS { self.access.clone() } else { self.other.clone() }
    }
}

impl Log {
    /// Starts the log on stderr, which nothing else may write to from then on: a write that waits holds its lock.
    pub(crate) fn start(shown: Lines) -> Self {
        let queue = |name: &str, lines| {
            let builder = NonBlockingBuilder::default().buffered_lines_limit(lines).lossy(true).thread_name(name);
            builder.finish(Batches(BufWriter::with_capacity(BATCH, io::stderr())))
        };
        let (access, access_thread) = queue("log of requests", ACCESS_LINES);
        let (other, other_thread) = queue("log", OTHER_LINES);
        let dropped = Dropped([access.error_counter(), other.error_counter()]);
        let level = match shown {
            Lines::All => tracing::level_filters::LevelFilter::INFO,
            Lines::Failures => tracing::level_filters::LevelFilter::WARN,
            Lines::Nothing => tracing::level_filters::LevelFilter::OFF,
        };
        if shown == Lines::All {
            // It is set once, since the log is started once.
            let _ = REQUESTS.set(access.clone());
        }
        tracing_subscriber::fmt()
            .with_ansi(false)
            .log_internal_errors(false)
            .with_max_level(level)
            .with_writer(Queues { access, other })
            .init();
        // The usual hook writes to stderr itself, and could wait there for ever.
        panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
        Self { threads: [access_thread, other_thread], dropped }
    }

    pub(crate) fn dropped(&self) -> Dropped {
        self.dropped.clone()
    }

    /// Writes what is left, for four seconds at most.
    pub(crate) fn end(self) {
        if self.dropped.count() > 0 {
            self.dropped.warn();
        }
        for thread in self.threads {
            // Where no line can be written a guard prints to stdout that it gives up, and that may be the same pipe.
            at_most(Duration::from_secs(2), move || drop(thread));
        }
    }
}

/// Where lines about requests go, if they are written.
static REQUESTS: OnceLock<NonBlocking> = OnceLock::new();

/// Writes a line about a request. It looks like those of `tracing`, and costs a third: there is one for each request.
pub(crate) fn request(line: impl FnOnce(&mut String) -> std::fmt::Result) {
    let Some(requests) = REQUESTS.get() else { return };
    let mut text = String::with_capacity(256);
    let time = humantime::format_rfc3339_micros(SystemTime::now());
    if write!(text, "{time}  INFO {ACCESS}: ").is_ok() && line(&mut text).is_ok() {
        text.push('\n');
        // It cannot fail: what finds no room is counted.
        let _ = requests.clone().write(text.as_bytes());
    }
}

/// Writes what it was given when it is told that there is no more for now, and then rests.
struct Batches(BufWriter<Stderr>);

impl Write for Batches {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        let outcome = self.0.flush();
        thread::sleep(PAUSE);
        outcome
    }
}

/// Does this in a thread of its own, and goes on without it when the time is up.
pub(crate) fn at_most<T: Send + 'static>(limit: Duration, work: impl FnOnce() -> T + Send + 'static) {
    let (done, is_done) = mpsc::channel();
    thread::spawn(move || done.send(work()));
    // An error means that it has failed or takes longer: then there is nobody left who could be told.
    let _ = is_done.recv_timeout(limit);
}

impl Dropped {
    /// Tells of lines that were dropped, again and again.
    pub(crate) async fn tell(self) {
        let mut told = 0;
        loop {
            tokio::time::sleep(INTERVAL).await;
            if self.count() > told {
                told = self.count();
                self.warn();
            }
        }
    }

    pub(crate) fn count(&self) -> u64 {
        let dropped = self.0.iter().map(ErrorCounter::dropped_lines).fold(0, usize::saturating_add);
        u64::try_from(dropped).unwrap_or(u64::MAX)
    }

    /// Says how many there were since the start, since this line may be dropped as well.
    fn warn(&self) {
        tracing::warn!(dropped = self.count(), "lines were dropped since the start that the log had no room for");
    }
}
