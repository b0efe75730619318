//! The log: best effort, in bounded memory.
//!
//! A reader that is gone, a full disk or a pipe that nobody empties must not hold up an answer, a probe or the end of the process. So lines are
//! put into queues of a fixed length, and threads write them; what finds its queue full, and what cannot be written, is dropped and counted.
//! Lines about requests have a queue of their own: however many there are, none of them takes the place of a failure.
//!
//! The threads write at once what comes alone, and a hundred times a second what comes in numbers: an allocation, a wake-up and a write for each
//! line, as a channel of lines would need, cost more than the line.

use std::{
    fmt::Write as _,
    io::{self, Write},
    mem, panic,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::{Duration, SystemTime},
};

use tracing::{Metadata, level_filters::LevelFilter};
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
/// How many bytes of either: a line may be long.
const MOST_BYTES: usize = 4 * 1024 * 1024;
/// How much room a queue keeps when it is empty.
const USUAL_BYTES: usize = 256 * 1024;
/// How long a thread waits between two writes.
const PAUSE: Duration = Duration::from_millis(10);
/// How often lines that were dropped are told of.
const INTERVAL: Duration = Duration::from_secs(10);
/// The target of lines about requests.
pub(crate) const ACCESS: &str = "access";

/// The threads that write. It has to outlive the runtime, with which the last requests go down.
pub(crate) struct Log {
    queues: [Arc<Queue>; 2],
    threads: [JoinHandle<()>; 2],
}

/// Lines that wait to be written.
struct Queue {
    waiting: Mutex<Waiting>,
    /// There is something to do.
    changed: Condvar,
    dropped: AtomicU64,
    most: usize,
}

#[derive(Default)]
struct Waiting {
    text: Vec<u8>,
    lines: usize,
    /// Whether there will be no more.
    has_ended: bool,
}

impl Queue {
    fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { waiting: Mutex::default(), changed: Condvar::new(), dropped: AtomicU64::new(0), most })
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, line: &[u8]) {
        let mut waiting = self.waiting();
        if waiting.lines >= self.most || waiting.text.len().saturating_add(line.len()) > MOST_BYTES {
            self.dropped.fetch_add(1, Relaxed);
            return;
        }
        waiting.text.extend_from_slice(line);
        waiting.lines = waiting.lines.saturating_add(1);
        if waiting.lines == 1 {
            self.changed.notify_one();
        }
    }

    fn end(&self) {
        self.waiting().has_ended = true;
        self.changed.notify_one();
    }

    /// Writes lines until the end.
    fn write(&self, mut to: impl Write) {
        let mut batch = Waiting::default();
        let mut is_torn = false;
        while !batch.has_ended {
            let is_idle = |waiting: &mut Waiting| waiting.lines == 0 && !waiting.has_ended;
            let mut waiting = self.changed.wait_while(self.waiting(), is_idle).unwrap_or_else(PoisonError::into_inner);
            // The buffers change places, so that neither has to grow again.
            batch.text.clear();
            batch.text.shrink_to(USUAL_BYTES);
            batch.lines = 0;
            mem::swap(&mut *waiting, &mut batch);
            waiting.has_ended = batch.has_ended;
            drop(waiting);
            // What was torn off in the middle of a line must not begin the next one.
            let line_end: &[u8] = if is_torn { b"\n" } else { b"" };
            is_torn = write_all(&mut to, line_end).and_then(|()| write_all(&mut to, &batch.text)).is_err();
            if is_torn {
                // How much of it was written is not known.
                self.dropped.fetch_add(u64::try_from(batch.lines).unwrap_or(u64::MAX), Relaxed);
            }
            if !batch.has_ended {
                thread::sleep(PAUSE);
            }
        }
    }
}

/// Writes all, and waits where there is no room: the other end of stderr may be set so that a write does not wait itself.
fn write_all(to: &mut impl Write, mut text: &[u8]) -> io::Result<()> {
    while !text.is_empty() {
        match to.write(text) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(length) => text = text.get(length..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(PAUSE),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// How many lines were dropped.
#[derive(Clone)]
pub(crate) struct Dropped([Arc<Queue>; 2]);

/// Where an event goes, by its target.
struct Queues([Arc<Queue>; 2]);

/// Takes lines for a queue.
struct Writer(Arc<Queue>);

impl Write for Writer {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Queues {
    type Writer = Writer;

    fn make_writer(&'a self) -> Writer {
        let [_, other] = &self.0;
        Writer(Arc::clone(other))
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Writer {
        let [access, other] = &self.0;
        Writer(Arc::clone(if metadata.target() == ACCESS { access } else { other }))
    }
}

impl Log {
    /// Starts the log on stderr, which nothing else may write to from then on: a write that waits holds its lock.
    pub(crate) fn start(shown: Lines) -> Self {
        let queues = [Queue::new(ACCESS_LINES), Queue::new(OTHER_LINES)];
        let threads = queues.clone().map(|queue| thread::spawn(move || queue.write(io::stderr())));
        let [access, _] = &queues;
        if shown == Lines::All {
            // It is set once, since the log is started once.
            let _ = REQUESTS.set(Arc::clone(access));
        }
        let level = match shown {
            Lines::All => LevelFilter::INFO,
            Lines::Failures => LevelFilter::WARN,
            Lines::Nothing => LevelFilter::OFF,
        };
        tracing_subscriber::fmt()
            .with_ansi(false)
            .log_internal_errors(false)
            .with_max_level(level)
            .with_writer(Queues(queues.clone()))
            .init();
        // The usual hook writes to stderr itself, and could wait there for ever.
        panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
        Self { queues, threads }
    }

    pub(crate) fn dropped(&self) -> Dropped {
        Dropped(self.queues.clone())
    }

    /// Writes what is left, for two seconds at most.
    pub(crate) fn end(self) {
        let dropped = self.dropped();
        if dropped.count() > 0 {
            dropped.warn();
        }
        self.queues.iter().for_each(|queue| queue.end());
        at_most(Duration::from_secs(2), move || {
            for thread in self.threads {
                // An error means that it has panicked, and that its last lines are lost.
                let _ = thread.join();
            }
        });
    }
}

/// Where lines about requests go, if they are written.
static REQUESTS: OnceLock<Arc<Queue>> = OnceLock::new();

/// Writes a line about a request. It looks like those of `tracing`, and costs a third: there is one for each request.
pub(crate) fn request(line: impl FnOnce(&mut String) -> std::fmt::Result) {
    let Some(requests) = REQUESTS.get() else { return };
    let mut text = String::with_capacity(256);
    let time = humantime::format_rfc3339_micros(SystemTime::now());
    if write!(text, "{time}  INFO {ACCESS}: ").is_ok() && line(&mut text).is_ok() {
        text.push('\n');
        requests.push(text.as_bytes());
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
        self.0.iter().map(|queue| queue.dropped.load(Relaxed)).fold(0, u64::saturating_add)
    }

    /// Says how many there were since the start, since this line may be dropped as well.
    fn warn(&self) {
        tracing::warn!(dropped = self.count(), "lines were dropped since the start that the log had no room for");
    }
}
