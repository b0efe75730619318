//! A client as its connection sees it: whether it rests, whether it has left, whether it takes what it is sent, and how its connection has
//! to end.
//!
//! hyper does not see all of that. It stops reading while a request is under way, so that a byte behind the request hides that the client
//! has left; it waits for ever for a client that takes nothing; and it ends every connection in the same way.
//!
//! | who | tells or asks |
//! | --- | --- |
//! | `front` | makes an [`Exchange`] of each request, and tells it what the server has asked for |
//! | `io` | tells what was written, and asks how the connection is to end |
//! | `server` | ends the connection when [`Client::rested`], [`Client::left`], [`Client::stalled`] or [`Client::late_head`] is over |

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use http::{Request, Version};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::{
    net::TcpStream,
    sync::Notify,
    time::{Instant, timeout},
};

use crate::forward::{Peer, expects_continue};

/// One connection. All of it is used by one task, but for the bodies, which may be anywhere.
pub(crate) struct Client {
    pub(crate) peer: Peer,
    /// Requests whose response is not over.
    requests: AtomicUsize,
    /// Requests, of those, whose body has not come to its end.
    uploads: AtomicUsize,
    /// Responses of which the server has been given something, and for more of which it has not asked.
    given: AtomicUsize,
    /// Whether the socket takes no more.
    is_blocked: AtomicBool,
    /// When the client took something last, or was given something after a time of rest, or a request of it began or ended.
    progress: Mutex<Instant>,
    /// Whether the connection is to end in a reset.
    is_reset: AtomicBool,
    /// Whether the last response was over before its request.
    is_early: AtomicBool,
    /// Whether bytes have come while no request was under way, of which none has become a request yet: a head that hyper may refuse.
    is_unanswered: AtomicBool,
    /// Since when they have been coming.
    head: Mutex<Instant>,
    /// Whether such bytes have come behind a request that is under way.
    is_behind: AtomicBool,
    /// Whether the connection carries more than one request at a time, or has left HTTP: then an answer ends no connection.
    is_shared: AtomicBool,
    /// How often a part of an upload was taken.
    taken: AtomicUsize,
    /// Whether the connection was ended because the client takes nothing.
    is_stalled: AtomicBool,
    /// The responses over HTTP/2 that wait for their client, each with a window of its own.
    streams: Mutex<Vec<Weak<dyn Stream>>>,
    /// A request or an upload has begun or ended.
    changed: Notify,
}

impl Client {
    pub(crate) fn new(peer: Peer) -> Arc<Self> {
        Arc::new(Self {
            peer,
            requests: AtomicUsize::new(0),
            uploads: AtomicUsize::new(0),
            given: AtomicUsize::new(0),
            is_blocked: AtomicBool::new(false),
            progress: Mutex::new(Instant::now()),
            is_reset: AtomicBool::new(false),
            is_early: AtomicBool::new(false),
            is_unanswered: AtomicBool::new(false),
            head: Mutex::new(Instant::now()),
            is_behind: AtomicBool::new(false),
            is_shared: AtomicBool::new(false),
            taken: AtomicUsize::new(0),
            is_stalled: AtomicBool::new(false),
            streams: Mutex::default(),
            changed: Notify::new(),
        })
    }

    /// Ready when the client has closed its side of the connection while it waits for a response. That is a client which has left: no
    /// browser and no library closes its side and goes on reading. In the middle of an upload hyper sees the end by itself, and the
    /// upload that breaks off is answered; but not if nothing of it is taken, and then the client has left after a second. In a tunnel half a
    /// connection is lawful.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(crate) async fn left(&self, socket: &TcpStream) {
        // Every interest is told of a side that was closed. This one is told of nothing else, so that bytes which nobody reads do not hide
        // it.
        while !socket.ready(tokio::io::Interest::PRIORITY).await.is_ok_and(|ready| ready.is_read_closed()) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        loop {
            let changed = self.changed.notified();
            match (self.requests.load(Relaxed), self.uploads.load(Relaxed)) {
                (0, _) => changed.await,
                (_, 0) => return,
                _ => {
                    let before = self.taken.load(Relaxed);
                    if timeout(UPLOAD_GRACE, changed).await.is_err() && self.taken.load(Relaxed) == before {
                        return;
                    }
                }
            }
        }
    }

    /// Elsewhere tokio cannot tell.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub(crate) async fn left(&self, _: &TcpStream) {
        std::future::pending().await
    }

    /// Whether no request is under way.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.requests.load(Relaxed) == 0
    }

    /// Ready when no request has been under way for this long, none is on its way, and the client has taken all. That is the regular end of a
    /// connection.
    pub(crate) async fn rested(&self, limit: Option<Duration>) {
        let Some(limit) = limit else { return std::future::pending().await };
        loop {
            let is_at_rest = self.is_at_rest() && !self.has_head() && !self.is_blocked.load(Relaxed);
            // Not since the last request ended: hyper may have taken all of its response long before the client.
            let left = limit.saturating_sub(time_of(&self.progress).elapsed());
            if is_at_rest && left.is_zero() {
                return;
            }
            tokio::time::sleep(if is_at_rest { left } else { limit }).await;
        }
    }

    /// Ready when a head has been on its way for this long: also one that does not say which protocol it is of, for which hyper waits for ever.
    pub(crate) async fn late_head(&self, limit: Option<Duration>) {
        let Some(limit) = limit else { return std::future::pending().await };
        loop {
            let left = limit.saturating_sub(time_of(&self.head).elapsed());
            match (self.has_head(), left.is_zero()) {
                (true, true) => return,
                (true, false) => tokio::time::sleep(left).await,
                (false, _) => tokio::time::sleep(limit).await,
            }
        }
    }

    /// Ready when no head is on its way: hyper ends a connection gently in the middle of one.
    pub(crate) async fn no_head(&self) {
        while self.has_head() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Whether bytes have come that are no request yet. Over HTTP/2 they need not be of one.
    fn has_head(&self) -> bool {
        self.is_unanswered.load(Relaxed) && !self.is_shared.load(Relaxed)
    }

    /// Ready when the client has taken nothing for this long of what there is for it, and not by its rate.
    ///
    /// Over HTTP/2 a response that waits for its window lets its upstream go alone, and the connection ends when none but such responses are
    /// left. Its time counts from the last frame that hyper has taken of it: a client that needs longer for one frame of the upstream cannot be
    /// told from one that does not read. What is behind the last frame of a body is not seen.
    pub(crate) async fn stalled(&self, limit: Option<Duration>) {
        let Some(limit) = limit else { return std::future::pending().await };
        loop {
            let since = time_of(&self.progress);
            let is_waited_for = self.is_blocked.load(Relaxed) || self.given.load(Relaxed) > 0;
            let rest = limit.saturating_sub(since.elapsed());
            if is_waited_for && rest.is_zero() {
                self.is_stalled.store(true, Relaxed);
                return;
            }
            let rest = if is_waited_for { rest } else { limit };
            let Some(rest_of_streams) = self.end_stalled_streams(limit) else {
                self.is_stalled.store(true, Relaxed);
                return;
            };
            tokio::time::sleep(rest.min(rest_of_streams)).await;
        }
    }

    /// Lets go of the upstreams of responses that have waited for this long; gives the time after which another may have. `None` if there are
    /// no other requests on the connection.
    fn end_stalled_streams(&self, limit: Duration) -> Option<Duration> {
        let streams: Vec<_> = {
            let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
            streams.retain(|stream| stream.strong_count() > 0);
            streams.iter().filter_map(Weak::upgrade).collect()
        };
        let rests: Vec<_> = streams.iter().filter_map(|stream| stream.end_if_stalled(limit)).collect();
        let ended = streams.len().saturating_sub(rests.len());
        let has_others = ended == 0 || self.requests.load(Relaxed) > ended;
        has_others.then(|| rests.into_iter().fold(limit, Duration::min).max(Duration::from_millis(1)))
    }

    /// Whether the connection was ended because the client takes nothing.
    pub(crate) fn is_stalled(&self) -> bool {
        self.is_stalled.load(Relaxed)
    }

    /// These bytes have come from the client; none at its end.
    pub(crate) fn note_read(&self, bytes: &[u8]) {
        // Lines without a word before a head mean nothing (RFC 9112, section 2.2).
        let has_word = bytes.iter().any(|byte| !b"\r\n".contains(byte));
        if bytes.is_empty() {
            self.is_unanswered.store(false, Relaxed);
        } else if !has_word || self.is_shared.load(Relaxed) {
        } else if !self.is_at_rest() {
            // Behind the body of a request it can only be of the next one.
            self.is_behind.fetch_or(self.uploads.load(Relaxed) == 0, Relaxed);
        } else if !self.is_early.load(Relaxed) {
            self.note_head();
        }
    }

    /// A head has begun, or is there as a whole.
    fn note_head(&self) {
        if !self.is_unanswered.swap(true, Relaxed) {
            note_time(&self.head);
        }
    }

    /// What has come has become a request that the gateway answers itself.
    pub(crate) fn note_own_answer(&self, has_upload: bool) {
        self.note_request();
        self.is_early.store(has_upload, Relaxed);
    }

    /// What has come has become a request.
    fn note_request(&self) {
        self.is_unanswered.store(false, Relaxed);
        self.note_progress();
    }

    /// The connection speaks HTTP/2, or leaves HTTP.
    pub(crate) fn note_shared(&self) {
        self.is_shared.store(true, Relaxed);
    }

    /// Watches a response over HTTP/2.
    pub(crate) fn watch(&self, stream: Weak<dyn Stream>) {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        if streams.len() == streams.capacity() {
            // Most are over by now; without this line they would be kept as long as the connection.
            streams.retain(|stream| stream.strong_count() > 0);
        }
        streams.push(stream);
    }

    /// The socket takes no more.
    pub(crate) fn note_blocked(&self) {
        if !self.is_blocked.swap(true, Relaxed) {
            self.note_progress();
        }
    }

    /// The socket has taken something; what only keeps the connection alive is no progress.
    pub(crate) fn note_written(&self, is_of_response: bool) {
        self.is_blocked.store(false, Relaxed);
        if is_of_response {
            self.note_progress();
        }
    }

    fn note_progress(&self) {
        note_time(&self.progress);
    }

    /// Whether the client was answered before it had sent all, and may be sending the rest.
    pub(crate) fn may_still_send(&self) -> bool {
        !self.is_shared.load(Relaxed) && (self.is_early.load(Relaxed) || self.is_unanswered.load(Relaxed))
    }

    /// Whether the connection is to end in a reset.
    pub(crate) fn is_to_be_reset(&self) -> bool {
        self.is_reset.load(Relaxed)
    }
}

fn time_of(moment: &Mutex<Instant>) -> Instant {
    *moment.lock().unwrap_or_else(PoisonError::into_inner)
}

fn note_time(moment: &Mutex<Instant>) {
    *moment.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
}

/// A response over HTTP/2, as its connection sees it.
pub(crate) trait Stream: Send + Sync {
    /// Lets go of the upstream if it has been the client's turn for this long, so that the server finds a broken body when it asks for more; gives
    /// the time after which it may have been. `None` if the upstream is gone.
    fn end_if_stalled(&self, limit: Duration) -> Option<Duration>;
}

/// How long a client that has closed its side in the middle of an upload is waited for.
const UPLOAD_GRACE: Duration = Duration::from_secs(1);

/// One request and its response.
pub(crate) struct Exchange {
    client: Arc<Client>,
    version: Version,
    /// How far the client's body has come, if there is one.
    upload: Option<Arc<AtomicU8>>,
    /// Whether the client waits for a `100 Continue` before it sends its body.
    expects: bool,
    /// Whether the server has been given something, and has not asked for more.
    is_given: bool,
}

/// The states of an upload. One that breaks off stays begun.
const UNTOUCHED: u8 = 0;
const BEGUN: u8 = 1;
const OVER: u8 = 2;

/// Counts an upload as over, once; gives the state before.
fn end_upload(client: &Client, state: &AtomicU8) -> u8 {
    let before = state.swap(OVER, Relaxed);
    if before != OVER {
        client.uploads.fetch_sub(1, Relaxed);
        client.changed.notify_waiters();
    }
    before
}

impl Exchange {
    /// Begins with a request, whose body it watches from then on.
    pub(crate) fn begin<B: Body>(client: &Arc<Client>, request: Request<B>) -> (Self, Request<Upload<B>>) {
        let is_over = request.body().is_end_stream();
        let state = (!is_over).then(|| Arc::new(AtomicU8::new(UNTOUCHED)));
        client.requests.fetch_add(1, Relaxed);
        client.is_early.store(false, Relaxed);
        client.note_request();
        client.is_shared.store(request.version() >= Version::HTTP_2, Relaxed);
        let exchange = Self {
            client: Arc::clone(client),
            version: request.version(),
            upload: state.clone(),
            expects: expects_continue(request.headers()),
            is_given: false,
        };
        client.uploads.fetch_add(usize::from(!is_over), Relaxed);
        client.changed.notify_waiters();
        (exchange, request.map(|inner| Upload { inner, client: Arc::clone(client), state }))
    }

    /// Whether the response is one of several on its connection.
    pub(crate) fn is_http2(&self) -> bool {
        self.version >= Version::HTTP_2
    }

    /// The server is given a head or a frame: from now on it is the client's turn.
    pub(crate) fn give(&mut self) {
        if self.is_http2() {
            return;
        }
        if !std::mem::replace(&mut self.is_given, true) && self.client.given.fetch_add(1, Relaxed) == 0 {
            self.client.note_progress();
        }
    }

    /// The server asks for more: the client has taken what there was, or has room for more.
    pub(crate) fn ask(&mut self) {
        if std::mem::replace(&mut self.is_given, false) {
            self.client.given.fetch_sub(1, Relaxed);
            self.client.note_progress();
        }
    }

    /// The body has broken. To HTTP/1.0, where no length was promised, only a reset of the connection says so.
    pub(crate) fn break_off(&self, has_length: bool) {
        if self.version <= Version::HTTP_10 && !has_length {
            self.client.is_reset.store(true, Relaxed);
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.ask();
        self.client.note_progress();
        self.client.requests.fetch_sub(1, Relaxed);
        let is_early = match self.upload.as_deref().map(|upload| end_upload(&self.client, upload)) {
            // It was never told to go on, so it sends nothing.
            Some(UNTOUCHED) => !self.expects,
            Some(BEGUN) => true,
            _ => false,
        };
        self.client.is_early.store(is_early, Relaxed);
        if self.client.is_behind.swap(false, Relaxed) {
            self.client.note_head();
        }
        self.client.changed.notify_waiters();
    }
}

pin_project! {
    /// The body of a request, which notes how far it has come.
    pub(crate) struct Upload<B> {
        #[pin]
        inner: B,
        client: Arc<Client>,
        state: Option<Arc<AtomicU8>>,
    }
}

impl<B: Body> Body for Upload<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let mut this = self.project();
        let Some(state) = this.state else { return this.inner.poll_frame(cx) };
        // hyper asks a client that expects it to go on.
        let _ = state.compare_exchange(UNTOUCHED, BEGUN, Relaxed, Relaxed);
        let frame = ready!(this.inner.as_mut().poll_frame(cx));
        this.client.taken.fetch_add(1, Relaxed);
        if frame.is_none() || this.inner.is_end_stream() {
            end_upload(this.client, state);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
