//! Connections from clients: how many there may be, how long each is kept, and how all of them end.

use std::{
    convert::Infallible,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch},
};
use tower::Service;
use tower_bad_gateway::BoxError;

use crate::{
    client::{self, Client},
    fields,
    forward::Peer,
    front::{Door, Front},
    io::{ClientStream, Ending},
    log::ACCESS,
    options::Options,
};

/// After how long a rest the system asks whether the client's machine is still there.
const TCP_KEEPALIVE: Duration = Duration::from_secs(60);

/// Serves connections until it is told to drain.
pub(crate) struct Server<S> {
    http: auto::Builder<TokioExecutor>,
    front: Arc<Front>,
    gateway: S,
    permits: Arc<Semaphore>,
    keep_alive: Option<Duration>,
    head_timeout: Option<Duration>,
    send_timeout: Option<Duration>,
    draining: watch::Sender<bool>,
    /// Held by every connection and tunnel: when all are gone the receiver ends.
    open: mpsc::Sender<Infallible>,
    closed: mpsc::Receiver<Infallible>,
}

impl<S, B> Server<S>
where
    S: Service<Request<client::Upload<Incoming>>, Response = Response<B>, Error = Infallible, Future: Send>,
    S: Clone + Send + 'static,
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    /// `most`: how many connections there may be at once.
    pub(crate) fn new(options: &Options, front: Arc<Front>, gateway: S, most: usize) -> Self {
        let mut http = auto::Builder::new(TokioExecutor::new());
        // `Client` has the time of a head, which hyper would count from the last response on.
        http.http1().timer(TokioTimer::new()).header_read_timeout(None);
        // A client that answers no ping for so long is gone.
        let (interval, patience) = (Duration::from_secs(30), Duration::from_secs(20));
        http.http2().timer(TokioTimer::new()).keep_alive_interval(interval).keep_alive_timeout(patience);
        http.http2().max_header_list_size(fields::MOST_OF_PEER);
        let (open, closed) = mpsc::channel(1);
        Self {
            http,
            front,
            gateway,
            permits: Arc::new(Semaphore::new(most)),
            keep_alive: options.keep_alive,
            head_timeout: options.client_head_timeout,
            send_timeout: options.send_timeout,
            draining: watch::Sender::new(false),
            open,
            closed,
        }
    }

    /// Accepts connections for ever. With all of them taken the next ones wait in the system's queue.
    pub(crate) async fn accept(&self, listener: &TcpListener) {
        let mut is_full = false;
        loop {
            if self.permits.available_permits() > 0 {
                is_full = false;
            } else if !std::mem::replace(&mut is_full, true) {
                tracing::warn!("no more connections are accepted until one has ended: see --max-connections");
            }
            let Ok(permit) = Arc::clone(&self.permits).acquire_owned().await else { return };
            let (stream, peer) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of descriptors, or the client was gone again: neither ends a server.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let client = Client::new(Peer::new(peer.ip()));
            let place = Place::new(permit, self.open.clone(), &self.front.connections);
            self.serve(stream, client, place);
        }
    }

    /// Until the connection ends, is at rest for too long, the client has left, or it takes nothing for too long. What is dropped with the
    /// connection lets go of the upstream.
    fn serve(&self, socket: TcpStream, client: Arc<Client>, place: Place) {
        let _ = socket.set_nodelay(true);
        let _ = SockRef::from(&socket).set_tcp_keepalive(&TcpKeepalive::new().with_time(TCP_KEEPALIVE));
        let ending = Ending { socket: Arc::new(socket), client };
        let client = Arc::clone(&ending.client);
        let (front, gateway) = (Arc::clone(&self.front), self.gateway.clone());
        let door = Door { front, client: Arc::clone(&client), gateway };
        let stream = ClientStream::new(Arc::clone(&ending.socket), Arc::clone(&client), place);
        let stream = TokioIo::new(stream);
        let connection = self.http.serve_connection_with_upgrades(stream, door).into_owned();
        let mut draining = self.draining.subscribe();
        let (keep_alive, head_timeout, send_timeout) = (self.keep_alive, self.head_timeout, self.send_timeout);
        tokio::spawn(async move {
            let peer = &client.peer;
            let mut connection = pin!(connection);
            let mut end = pin!(async {
                let drained = async {
                    // An error means that the server is gone.
                    let _ = draining.wait_for(|is_draining| *is_draining).await;
                    client.no_head().await;
                };
                tokio::select! {
                    () = drained => {}
                    () = client.rested(keep_alive) => {}
                }
            });
            let mut cut = pin!(async {
                tokio::select! {
                    () = client.left(&ending.socket) => {}
                    () = client.late_head(head_timeout) => {
                        tracing::info!(target: ACCESS, client = %peer, "connection closed: no request has come in time");
                    }
                    () = client.stalled(send_timeout) => {
                        tracing::info!(target: ACCESS, client = %peer, "connection closed: its client takes nothing");
                    }
                }
            });
            let mut is_ending = false;
            loop {
                tokio::select! {
                    // The connection first: a client that has all of its response may leave.
                    biased;
                    outcome = connection.as_mut() => {
                        // What hyper refuses by itself reaches no service, and would leave no line in the log.
                        let is_regular = is_ending && client.is_at_rest();
                        if let Some(error) = outcome.err().filter(|_| !is_regular) {
                            tracing::info!(target: ACCESS, client = %peer, error, "connection broken");
                        }
                        return;
                    }
                    () = end.as_mut(), if !is_ending => {
                        is_ending = true;
                        connection.as_mut().graceful_shutdown();
                    }
                    () = cut.as_mut() => return,
                }
            }
        });
    }

    /// Ends connections as soon as nothing is under way on them. Ready when all have ended.
    pub(crate) async fn drain(self) {
        let Self { draining, open, mut closed, gateway, .. } = self;
        drop((open, gateway));
        draining.send_replace(true);
        closed.recv().await;
    }
}

/// The place of one connection among all, until its socket is closed: also as a tunnel.
pub(crate) struct Place {
    connections: Arc<AtomicU64>,
    _permit: OwnedSemaphorePermit,
    _open: mpsc::Sender<Infallible>,
}

impl Place {
    fn new(permit: OwnedSemaphorePermit, open: mpsc::Sender<Infallible>, connections: &Arc<AtomicU64>) -> Self {
        connections.fetch_add(1, Relaxed);
        Self { connections: Arc::clone(connections), _permit: permit, _open: open }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.fetch_sub(1, Relaxed);
    }
}
