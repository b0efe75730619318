//! XH: a connection whose task is gone. XT: an order that was taken, then redirected or sent again to where nobody is.

use std::{
    future::{Ready, ready},
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response, Version};
use http_body_util::Full;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::Notify,
};
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_bad_gateway::{
    BadGatewayLayer, Failure,
    FailureKind::{self, *},
    failure::{Blame, RetrySafety},
};
use tower_http::follow_redirect::FollowRedirectLayer;

use crate::upstream;

type Pooled = Client<HttpConnector, Full<Bytes>>;

fn pooled() -> Pooled {
    Client::builder(TokioExecutor::new()).build_http()
}

fn silent() -> BadGatewayLayer {
    BadGatewayLayer::new().silent()
}

fn post(to: &str, order: &'static str) -> Request<Full<Bytes>> {
    Request::builder().method(Method::POST).uri(to).body(Full::from(order)).unwrap()
}

fn failure<B>(response: &Response<B>) -> &Failure {
    response.extensions().get().unwrap()
}

/// An upstream that never answers, and when it was asked.
async fn asked() -> (SocketAddr, Arc<Notify>) {
    let asked = Arc::<Notify>::default();
    let seen = Arc::clone(&asked);
    let address = upstream::listen(move |mut stream| {
        let seen = Arc::clone(&seen);
        async move {
            upstream::read_head(&mut stream).await?;
            seen.notify_one();
            upstream::drain(&mut stream).await
        }
    });
    (address.await, asked)
}

/// XHa: nothing that the client could have failed.
#[tokio::test]
async fn a_get_whose_connection_is_gone_is_not_the_clients_fault() {
    let (address, asked) = asked().await;
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let client = service_fn(move |request: Request<Full<Bytes>>| sender.send_request(request));
    let call = tokio::spawn(silent().layer(client).oneshot(Request::new(Full::default())));
    patiently(asked.notified()).await;
    connection.abort();
    let Ok(response) = patiently(call).await.unwrap();
    let failure = failure(&response);
    assert_eq!(
        (response.status().as_u16(), failure.kind(), failure.blame()),
        (500, ProxyInternalError, Blame::Gateway)
    );
}

/// Where the connections of a pool live.
#[derive(Clone)]
struct Elsewhere(tokio::runtime::Handle);

impl<F: Future<Output: Send + 'static> + Send + 'static> hyper::rt::Executor<F> for Elsewhere {
    fn execute(&self, task: F) {
        self.0.spawn(task);
    }
}

/// XHc: the same, of a pool whose connections live in a runtime that ends.
#[tokio::test]
async fn a_pool_whose_runtime_ends_is_not_the_clients_fault() {
    let (address, asked) = asked().await;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let client: Pooled = Client::builder(Elsewhere(runtime.handle().clone())).build_http();
    let request = Request::builder().uri(format!("http://{address}")).body(Full::default()).unwrap();
    let call = tokio::spawn(silent().layer(client).oneshot(request));
    patiently(asked.notified()).await;
    runtime.shutdown_background();
    let Ok(response) = patiently(call).await.unwrap();
    let failure = failure(&response);
    assert_eq!(
        (response.status().as_u16(), failure.kind(), failure.blame()),
        (500, ProxyInternalError, Blame::Gateway)
    );
}

/// A wrong turn is to fail, and not to hang.
async fn patiently<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(30), future).await.unwrap()
}

/// XHd: no limit of ours.
#[tokio::test]
async fn a_limit_around_a_pool_is_lateness() {
    let silent_upstream = upstream::answering(b"", upstream::End::Silence).await;
    let late = tokio::time::timeout(
        Duration::from_millis(300),
        pooled().get(format!("http://{silent_upstream}").parse().unwrap()),
    );
    assert_eq!(Failure::from_error(late.await.unwrap_err()).kind(), HttpResponseTimeout);
}

/// What becomes of an order that was taken.
#[derive(Clone, Copy)]
enum Then {
    /// See other, where nobody is.
    SeeOther(SocketAddr),
    /// The connection is closed, and nobody is here any more.
    Gone,
}

/// Takes one order.
async fn shop(then: Then) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let taken = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&taken);
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let head = upstream::read_head(&mut stream).await.unwrap();
        let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
        stream.read_exact(&mut vec![0; length.unwrap_or(0)]).await.unwrap();
        count.fetch_add(1, Ordering::SeqCst);
        match then {
            Then::SeeOther(there) => {
                let answer =
                    format!("HTTP/1.1 303 See Other\r\nlocation: http://{there}/\r\ncontent-length: 0\r\n\r\n");
                stream.write_all(answer.as_bytes()).await.unwrap();
                let _ = upstream::drain(&mut stream).await;
            }
            Then::Gone => {
                drop(listener);
                // Nobody else gets the port.
                let held = TcpSocket::new_v4().unwrap();
                held.set_reuseaddr(true).unwrap();
                held.bind(address).unwrap();
                std::mem::forget(held);
                stream.set_zero_linger().unwrap();
            }
        }
    });
    (format!("http://{address}/"), taken)
}

type Answer = Pin<Box<dyn Future<Output = Response<()>> + Send>>;

/// A gateway as people write it, with these settings.
type Program = fn(BadGatewayLayer, String, &'static str) -> Answer;

type Row = (&'static str, Program, fn() -> Then);

fn reqwest(layer: BadGatewayLayer, to: String, order: &'static str) -> Answer {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = ::reqwest::Client::builder().no_proxy().build().unwrap();
    let stack = ServiceBuilder::new()
        .layer(layer)
        .filter(|request: Request<::reqwest::Body>| ::reqwest::Request::try_from(request))
        .map_response(Response::<::reqwest::Body>::from)
        .service(client);
    let request = post(&to, "").map(|_| ::reqwest::Body::from(order));
    Box::pin(async move { stack.oneshot(request).await.unwrap().map(drop) })
}

fn reqwest_retry(layer: BadGatewayLayer, to: String, order: &'static str) -> Answer {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = crate::client_reqwest::retrying(::reqwest::Client::builder().no_proxy());
    let stack = layer.layer(service_fn(move |request: Request<Full<Bytes>>| {
        let call = client.post(request.uri().to_string()).body(order).send();
        async move { call.await.map(Response::<::reqwest::Body>::from) }
    }));
    Box::pin(async move { stack.oneshot(post(&to, order)).await.unwrap().map(drop) })
}

fn follow_redirect(layer: BadGatewayLayer, to: String, order: &'static str) -> Answer {
    let stack = ServiceBuilder::new().layer(layer).layer(FollowRedirectLayer::new()).service(pooled());
    Box::pin(async move { stack.oneshot(post(&to, order)).await.unwrap().map(drop) })
}

/// Sends again whatever has failed, once.
#[derive(Clone)]
struct Once(bool);

impl<T, E> tower::retry::Policy<Request<Full<Bytes>>, T, E> for Once {
    type Future = Ready<()>;

    fn retry(&mut self, _: &mut Request<Full<Bytes>>, result: &mut Result<T, E>) -> Option<Ready<()>> {
        (result.is_err() && std::mem::take(&mut self.0)).then(|| ready(()))
    }

    fn clone_request(&mut self, request: &Request<Full<Bytes>>) -> Option<Request<Full<Bytes>>> {
        Some(request.clone())
    }
}

fn retry(layer: BadGatewayLayer, to: String, order: &'static str) -> Answer {
    let stack = ServiceBuilder::new().layer(layer).retry(Once(true)).service(pooled());
    Box::pin(async move { stack.oneshot(post(&to, order)).await.unwrap().map(drop) })
}

/// XTa to XTd, with a body and without.
#[tokio::test]
async fn an_order_that_was_taken_is_never_safe_to_send_again() {
    let programs: [Row; 4] = [
        ("XTa reqwest, 303", reqwest, || Then::SeeOther(upstream::refusing())),
        ("XTb FollowRedirect", follow_redirect, || Then::SeeOther(upstream::refusing())),
        ("XTc tower::retry", retry, || Then::Gone),
        ("XTd reqwest-retry", reqwest_retry, || Then::Gone),
    ];
    let mut wrong = Vec::new();
    for (id, program, then) in programs {
        for order in ["an order", ""] {
            let (to, taken) = shop(then()).await;
            let response = program(silent(), to, order).await;
            let failure = failure(&response);
            let seen = (taken.load(Ordering::SeqCst), failure.kind(), failure.retry_safety());
            println!("{id:20} {order:?}: orders taken {}, {}, {}", seen.0, seen.1, seen.2.as_str());
            if seen != (1, ConnectionRefused, RetrySafety::Unknown) {
                wrong.push((id, order, seen));
            }
        }
    }
    assert!(wrong.is_empty(), "(id, order, (taken, kind, retry safety)): {wrong:?}");
}

/// The attempt that failed: what a retry inside may ask.
#[tokio::test]
async fn what_reqwest_says_of_an_attempt_is_not_trusted_even_so() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (to, taken) = shop(Then::SeeOther(upstream::refusing())).await;
    let client = ::reqwest::Client::builder().no_proxy().build().unwrap();
    let failure = Failure::from_error(client.post(to).body("an order").send().await.unwrap_err());
    assert_eq!(
        (taken.load(Ordering::SeqCst), failure.kind(), failure.retry_safety()),
        (1, ConnectionRefused, RetrySafety::Unknown)
    );

    let (to, _) = shop(Then::Gone).await;
    let client = crate::client_reqwest::retrying(::reqwest::Client::builder().no_proxy());
    let failure = Failure::from_error(client.post(to).body("an order").send().await.unwrap_err());
    assert_eq!((failure.kind(), failure.retry_safety()), (ConnectionRefused, RetrySafety::Unknown));
}

/// HTTP/2 by hand: the first stream is told to look elsewhere, every other one is refused.
async fn refusing_the_second() -> SocketAddr {
    upstream::listen(|mut stream| async move {
        stream.write_all(b"\0\0\0\x04\0\0\0\0\0").await?;
        stream.read_exact(&mut [0; upstream::PREFACE]).await?;
        loop {
            let head = upstream::read_frame(&mut stream).await?;
            let (kind, flags) = (head[3], head[4]);
            match (kind, &head[5..]) {
                (4, _) if flags & 1 == 0 => stream.write_all(b"\0\0\0\x04\x01\0\0\0\0").await?,
                // :status 303, location: /
                (1, [0, 0, 0, 1]) => {
                    stream.write_all(b"\0\0\x09\x01\x05\0\0\0\x01\x08\x03303\x0f\x1f\x01/").await?;
                }
                // REFUSED_STREAM
                (1, id) => {
                    stream.write_all(&[&b"\0\0\x04\x03\0"[..], id, b"\0\0\0\x07"].concat()).await?;
                }
                _ => {}
            }
        }
    })
    .await
}

fn http2() -> Pooled {
    Client::builder(TokioExecutor::new()).http2_only(true).build_http()
}

#[tokio::test]
async fn a_stream_that_was_refused_on_the_second_hop_proves_nothing() {
    for order in ["an order", ""] {
        let stack = ServiceBuilder::new().layer(silent()).layer(FollowRedirectLayer::new()).service(http2());
        let mut request = post(&format!("http://{}/", refusing_the_second().await), order);
        *request.version_mut() = Version::HTTP_2;
        let Ok(response) = stack.oneshot(request).await;
        let failure = failure(&response);
        assert_eq!(
            (failure.kind(), failure.retry_safety()),
            (DestinationUnavailable, RetrySafety::Unknown),
            "{order:?}"
        );
    }
}

/// With the one word that says so, around clients that make one attempt: as it always was.
#[tokio::test]
async fn a_single_attempt_speaks_for_the_call() {
    let once = || silent().single_attempt();
    let Ok(response) = once().layer(pooled()).oneshot(post(&format!("http://{}/", upstream::refusing()), "x")).await;
    let refused: (FailureKind, RetrySafety) = (failure(&response).kind(), failure(&response).retry_safety());
    assert_eq!(refused, (ConnectionRefused, RetrySafety::NotSent));

    // One stream goes to the first request, so that the second is refused.
    let (client, to) = (http2(), format!("http://{}/", refusing_the_second().await));
    let mut gateway = once().layer(client);
    for expected in [None, Some(RetrySafety::NotProcessed)] {
        let mut request = post(&to, "");
        *request.version_mut() = Version::HTTP_2;
        let Ok(response) = gateway.ready().await.unwrap().call(request).await;
        assert_eq!(response.extensions().get().map(Failure::retry_safety), expected);
    }

    // Of reqwest nothing is known: it may have sent again by itself.
    let response = reqwest(once(), format!("http://{}/", upstream::refusing()), "x").await;
    assert_eq!(failure(&response).retry_safety(), RetrySafety::Unknown);
}

/// Both ends of a handler that ends in `?`.
#[tokio::test]
async fn a_handler_ends_in_a_question_mark() {
    async fn by_pool(to: String) -> Result<(), Failure> {
        pooled().request(post(&to, "")).await?;
        Ok(())
    }
    async fn by_reqwest(to: String) -> Result<(), Failure> {
        ::reqwest::Client::builder().no_proxy().build()?.get(to).send().await?.error_for_status()?;
        Ok(())
    }
    async fn by_middleware(to: String) -> Result<(), Failure> {
        crate::client_reqwest::retrying(::reqwest::Client::builder().no_proxy()).get(to).send().await?;
        Ok(())
    }
    let _ = rustls::crypto::ring::default_provider().install_default();
    let to = format!("http://{}/", upstream::refusing());
    let kinds = [
        by_pool(to.clone()).await.unwrap_err().kind(),
        by_reqwest(to.clone()).await.unwrap_err().kind(),
        by_middleware(to).await.unwrap_err().kind(),
    ];
    assert_eq!(kinds, [ConnectionRefused; 3]);
}
