//! Whose turn it is while a request is on its way, in paused time.

use std::{
    io,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full, StreamBody};
use tokio::time::{Instant, sleep, timeout};
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};
use tower_bad_gateway::{
    BadGatewayLayer, BoxError, Failure, FailureKind, RequestBodyTap,
    body::{BodyError, RequestBody, ResponseBody},
    failure::{Blame, Phase, TimeLimit},
};

use crate::mock::{
    MockBody,
    Step::{self, Data, Fail, Silence, Trailers, Wait},
    trailers,
};

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);

type Upload = RequestBody<MockBody>;
type Answer = Pin<Box<dyn Future<Output = Result<Response<MockBody>, BoxError>> + Send>>;

/// What an upstream does with an upload.
#[derive(Clone, Copy, Debug)]
enum Upstream {
    /// Reads all of it, and answers so much later.
    Reads(Duration),
    /// Reads all of it in another task, as hyper's client does, and fails as if it had been the upstream's fault.
    ReadsElsewhere,
    /// Reads all of it in another task, and does not say that it failed.
    Hides,
    /// Takes a frame and no more.
    TakesOne,
    /// Takes nothing.
    TakesNothing,
    /// Answers without a look at it.
    Answers,
    /// Drops it, and answers so much later.
    Drops(Duration),
}

impl Upstream {
    fn serve(self, mut request: Request<Upload>) -> Answer {
        let answer = |content| Ok(Response::new(MockBody::of([content])));
        Box::pin(async move {
            match self {
                Self::Reads(wait) => {
                    request.into_body().collect().await?;
                    sleep(wait).await;
                    answer("read")
                }
                Self::ReadsElsewhere => {
                    let reading = tokio::spawn(async move { request.into_body().collect().await.map(drop) });
                    match reading.await? {
                        Ok(()) => answer("read"),
                        Err(_) => Err(io::Error::from(io::ErrorKind::ConnectionReset).into()),
                    }
                }
                Self::Hides => {
                    let reading = tokio::spawn(async move { request.into_body().collect().await.is_ok() });
                    if reading.await? { answer("read") } else { std::future::pending().await }
                }
                Self::TakesOne => {
                    let _ = request.body_mut().frame().await;
                    std::future::pending().await
                }
                Self::TakesNothing => {
                    let _request = request;
                    std::future::pending().await
                }
                Self::Answers => answer("early"),
                Self::Drops(wait) => {
                    drop(request);
                    sleep(wait).await;
                    answer("early")
                }
            }
        })
    }
}

fn upload(steps: &[Step]) -> Request<MockBody> {
    Request::builder().method("POST").uri("http://upstream/path").body(MockBody::steps(steps.iter().cloned())).unwrap()
}

async fn ask(
    tap: RequestBodyTap,
    layer: BadGatewayLayer,
    upstream: Upstream,
    request: Request<MockBody>,
) -> Option<(u64, Response<ResponseBody<MockBody>>)> {
    let start = Instant::now();
    let inner = service_fn(move |request: Request<Upload>| upstream.serve(request));
    let gateway = ServiceBuilder::new().layer(tap).layer(layer).service(inner);
    let Ok(Ok(response)) = timeout(DAY, gateway.oneshot(request)).await else { return None };
    Some((start.elapsed().as_secs(), response))
}

fn limited() -> BadGatewayLayer {
    BadGatewayLayer::new().head_timeout(10 * SECOND)
}

/// After how many seconds who is blamed for what; `None` for a response of the upstream.
type Verdict = (u64, u16, Option<(FailureKind, Phase, Blame, Option<TimeLimit>)>);

fn client(seconds: u64, status: u16, limit: Option<TimeLimit>) -> Option<Verdict> {
    Some((seconds, status, Some((FailureKind::HttpRequestError, Phase::RequestBody, Blame::Client, limit))))
}

fn upstream(seconds: u64, kind: FailureKind, phase: Phase) -> Option<Verdict> {
    Some((seconds, 504, Some((kind, phase, Blame::Upstream, Some(TimeLimit::Head)))))
}

#[tokio::test(start_paused = true)]
async fn the_clock_runs_while_it_is_the_upstreams_turn_and_the_client_answers_for_its_own() {
    use FailureKind::{ConnectionWriteTimeout as Write, HttpResponseTimeout as Head};
    use Upstream::{Answers, Drops, Hides, Reads, ReadsElsewhere, TakesNothing, TakesOne};
    let slow: &[Step] = &[Data("a"), Wait(25 * SECOND), Data("b"), Wait(25 * SECOND), Data("c")];
    let broken: &[Step] = &[Data("a"), Wait(3 * SECOND), Fail(io::ErrorKind::UnexpectedEof)];
    let reset: &[Step] = &[Fail(io::ErrorKind::ConnectionReset)];
    let late: &[Step] = &[Data("a"), Fail(io::ErrorKind::TimedOut)];
    let stalled: &[Step] = &[Data("a"), Silence];
    let whole: &[Step] = &[Data("a"), Data("b"), Trailers];
    let healthy = |seconds| Some((seconds, 200, None));
    let rows: Vec<(&str, Upstream, &[Step], Option<Verdict>)> = vec![
        ("slow but healthy", Reads(9 * SECOND), slow, healthy(59)),
        ("slow but healthy, elsewhere", ReadsElsewhere, slow, healthy(50)),
        ("late after a slow upload", Reads(11 * SECOND), slow, upstream(60, Head, Phase::ResponseHead)),
        ("late after a quick upload", Reads(11 * SECOND), whole, upstream(10, Head, Phase::ResponseHead)),
        ("breaks off", Reads(SECOND), broken, client(3, 400, None)),
        ("breaks off, elsewhere", ReadsElsewhere, broken, client(3, 400, None)),
        ("breaks off, and nobody says so", Hides, broken, client(3, 400, None)),
        ("breaks at once", ReadsElsewhere, reset, client(0, 400, None)),
        ("too slow for somebody else", Hides, late, client(0, 408, None)),
        ("stalls", Reads(SECOND), stalled, client(30, 408, Some(TimeLimit::Idle))),
        ("stalls, elsewhere", ReadsElsewhere, stalled, client(30, 408, Some(TimeLimit::Idle))),
        ("stalls, and nobody says so", Hides, stalled, client(30, 408, Some(TimeLimit::Idle))),
        ("is not taken", TakesOne, whole, upstream(10, Write, Phase::RequestBody)),
        ("is not taken any more", TakesOne, slow, upstream(10, Write, Phase::RequestBody)),
        ("is not even asked for", TakesNothing, whole, upstream(10, Head, Phase::ResponseHead)),
        ("is of no interest", Answers, broken, healthy(0)),
        ("is of no interest any more", Drops(9 * SECOND), stalled, healthy(9)),
        ("is dropped, and then nothing", Drops(11 * SECOND), stalled, upstream(10, Head, Phase::ResponseHead)),
    ];
    let mut wrong = Vec::new();
    for (name, upstream, steps, expected) in rows {
        let tap = RequestBodyTap::new().idle_timeout(30 * SECOND);
        let got = ask(tap, limited(), upstream, upload(steps)).await.map(|(seconds, response)| {
            let failure = response.extensions().get::<Failure>();
            let failure = failure.map(|f| (f.kind(), f.phase(), f.blame(), f.limit()));
            (seconds, response.status().as_u16(), failure)
        });
        if got != expected {
            wrong.push((name, got, expected));
        }
    }
    assert!(wrong.is_empty(), "(name, got, expected): {wrong:#?}");
}

/// What a limit that nobody set does, with the tap and without.
#[tokio::test(start_paused = true)]
async fn the_implicit_limit_knows_the_end_of_a_tapped_upload() {
    let slow = [Data("a"), Wait(50 * SECOND), Data("b"), Wait(50 * SECOND), Data("c")];
    let (seconds, response) =
        ask(RequestBodyTap::new(), BadGatewayLayer::new(), Upstream::Reads(DAY), upload(&slow)).await.unwrap();
    assert_eq!((seconds, response.status().as_u16()), (145, 504));

    let untapped = service_fn(|request: Request<MockBody>| async {
        request.into_body().collect().await?;
        sleep(7200 * SECOND).await;
        Ok::<_, BoxError>(Response::new(MockBody::of(["read"])))
    });
    let start = Instant::now();
    let Ok(response) = BadGatewayLayer::new().layer(untapped).oneshot(upload(&slow)).await;
    assert_eq!((start.elapsed(), response.status().as_u16()), (7300 * SECOND, 200), "nobody knows when it ended");

    // A limit that was set counts from the call.
    let Ok(response) = limited().layer(untapped).oneshot(upload(&slow)).await;
    assert_eq!(response.extensions().get::<Failure>().unwrap().limit(), Some(TimeLimit::Head));
    assert_eq!((start.elapsed(), response.status().as_u16()), (7310 * SECOND, 504));
}

/// A client's deadline and the total limit wait for nobody.
#[tokio::test(start_paused = true)]
async fn the_total_limit_runs_whosever_turn_it_is() {
    let slow = [Data("a"), Wait(20 * SECOND), Data("b"), Silence];
    let layer = limited().total_timeout(27 * SECOND);
    let (seconds, response) = ask(RequestBodyTap::new(), layer, Upstream::Reads(SECOND), upload(&slow)).await.unwrap();
    let failure = response.extensions().get::<Failure>().unwrap();
    assert_eq!((seconds, failure.limit()), (27, Some(TimeLimit::Total)));
    // It was the client that was waited for.
    assert_eq!((failure.blame(), response.status().as_u16()), (Blame::Client, 408));

    let layer = limited().total_timeout(5 * SECOND);
    let (_, response) = ask(RequestBodyTap::new(), layer, Upstream::Reads(DAY), upload(&[Data("a")])).await.unwrap();
    let failure = response.extensions().get::<Failure>().unwrap();
    assert_eq!((failure.blame(), failure.limit()), (Blame::Upstream, Some(TimeLimit::Total)));
}

/// A client library that has written the announced length asks for no more, and may leave the body to a copy that keeps it.
#[tokio::test(start_paused = true)]
async fn an_upload_of_an_announced_length_is_over_with_its_last_byte() {
    struct Announced {
        parts: Vec<&'static str>,
        ends: bool,
    }
    impl Body for Announced {
        type Data = Bytes;
        type Error = BoxError;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
            match self.parts.pop() {
                Some(part) => Poll::Ready(Some(Ok(Frame::data(Bytes::from(part))))),
                None if self.ends => Poll::Ready(None),
                None => Poll::Pending,
            }
        }

        fn size_hint(&self) -> SizeHint {
            SizeHint::with_exact(self.parts.iter().map(|part| part.len() as u64).sum())
        }
    }
    let silent = |polls: usize| {
        service_fn(move |mut request: Request<RequestBody<Announced>>| async move {
            for _ in 0..polls {
                let _ = request.body_mut().frame().await;
            }
            std::future::pending::<()>().await;
            drop(request);
            Ok::<_, BoxError>(Response::new(MockBody::of([])))
        })
    };
    let mut wrong = Vec::new();
    for (what, polls, ends, kind) in [
        ("a part is left", 1, true, FailureKind::ConnectionWriteTimeout),
        ("all of the content was read", 2, true, FailureKind::HttpResponseTimeout),
        ("the end as well", 3, true, FailureKind::HttpResponseTimeout),
        ("the end is asked for, and does not come", 3, false, FailureKind::HttpRequestError),
    ] {
        let layers = ServiceBuilder::new().layer(RequestBodyTap::new().idle_timeout(5 * SECOND)).layer(limited());
        let request = Request::post("/").body(Announced { parts: vec!["b", "a"], ends }).unwrap();
        let Ok(response) = layers.service(silent(polls)).oneshot(request).await;
        let got = response.extensions().get::<Failure>().unwrap().kind();
        if got != kind {
            wrong.push((what, got, kind));
        }
    }
    assert!(wrong.is_empty(), "(what, kind, expected): {wrong:?}");
}

/// Silence is for the client's kind of body, and for whoever set a limit.
#[tokio::test(start_paused = true)]
async fn the_limit_for_a_silent_client_knows_its_exceptions() {
    let with = |fields: &[(&str, &str)]| {
        let mut request = upload(&[Data("a"), Silence]);
        for (name, value) in fields {
            let name = http::HeaderName::from_bytes(name.as_bytes()).unwrap();
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        request
    };
    let connect = || {
        let mut request = with(&[]);
        *request.method_mut() = http::Method::CONNECT;
        request
    };
    let upgrade = || with(&[("connection", "upgrade"), ("upgrade", "websocket")]);
    let set = || RequestBodyTap::new().idle_timeout(5 * SECOND);
    let rows = [
        ("plain", RequestBodyTap::new(), with(&[]), Some(60)),
        ("set", set(), with(&[]), Some(5)),
        ("none", RequestBodyTap::new().idle_timeout(None), with(&[]), None),
        ("gRPC", RequestBodyTap::new(), with(&[("content-type", "application/grpc+proto")]), None),
        ("gRPC, set", set(), with(&[("content-type", "application/grpc")]), Some(5)),
        ("Connect", RequestBodyTap::new(), with(&[("content-type", "application/connect+json")]), None),
        ("JSON", RequestBodyTap::new(), with(&[("content-type", "application/json")]), Some(60)),
        ("upgrade", RequestBodyTap::new(), upgrade(), Some(60)),
        ("upgrade, set", set(), upgrade(), Some(5)),
        // The limit of the head: what goes through a tunnel is no upload, and there is none before it is open.
        ("CONNECT, set", set(), connect(), Some(45)),
    ];
    for (name, tap, request, expected) in rows {
        let got = ask(tap, BadGatewayLayer::new(), Upstream::Hides, request).await.map(|(seconds, _)| seconds);
        assert_eq!(got, expected, "{name}");
    }
}

/// An upstream that reads slowly does not make the client a slow one.
#[tokio::test(start_paused = true)]
async fn a_slow_reader_does_not_trip_the_clients_limit() {
    let slow = service_fn(|request: Request<Upload>| async {
        let mut body = request.into_body();
        while let Some(frame) = body.frame().await {
            frame?;
            sleep(100 * SECOND).await;
        }
        Ok::<_, BoxError>(Response::new(MockBody::of(["read"])))
    });
    let gateway = ServiceBuilder::new().layer(RequestBodyTap::new()).layer(BadGatewayLayer::new().head_timeout(None));
    let Ok(response) = gateway.service(slow).oneshot(upload(&[Data("a"), Data("b"), Data("c")])).await;
    assert_eq!(response.status(), 200);
}

#[tokio::test]
async fn an_upload_passes_as_it_is() {
    let body = || MockBody::steps([Data("a"), Data(""), Trailers]).exact(1);
    let request = RequestBodyTap::new().tap(Request::builder().method("POST").extension(7_u8).body(body()).unwrap());
    assert_eq!((request.method(), request.extensions().get()), (&http::Method::POST, Some(&7_u8)));
    let mut body = request.into_body();
    assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(1), false));
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "a");
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "");
    assert_eq!(body.frame().await.unwrap().unwrap().into_trailers().unwrap(), trailers());
    assert!(body.frame().await.is_none());

    let empty = RequestBodyTap::new().tap(Request::new(MockBody::of([]).ended()));
    assert!(empty.extensions().is_empty(), "nothing is watched where there is nothing");
    assert!(empty.body().is_end_stream());
    assert!(Upload::default().frame().await.is_none());
}

#[tokio::test]
async fn the_first_error_of_an_upload_is_the_last_word_and_hides_its_source() {
    use std::error::Error as _;

    let mut body =
        RequestBodyTap::new().tap(upload(&[Fail(io::ErrorKind::ConnectionReset), Data("never")])).into_body();
    let error: BodyError = body.frame().await.unwrap().unwrap_err();
    assert!(error.source().is_none());
    assert!(error.failure().source().unwrap().is::<io::Error>());
    assert!(body.is_end_stream());
    assert_eq!(body.size_hint().exact(), Some(0));
    assert!(body.frame().await.is_none());
}

/// One that comes from another gateway's body is not the client's.
#[tokio::test]
async fn a_failure_in_an_upload_is_what_it_says() {
    struct Chained;
    impl Body for Chained {
        type Data = Bytes;
        type Error = BodyError;
        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<http_body::Frame<Bytes>, BodyError>>> {
            Poll::Ready(Some(Err(Failure::new(FailureKind::HttpResponseIncomplete).into())))
        }
    }
    let reading = service_fn(|request: Request<RequestBody<Chained>>| async {
        request.into_body().collect().await?;
        Ok::<_, BoxError>(Response::new(MockBody::of(["read"])))
    });
    let gateway = ServiceBuilder::new().layer(RequestBodyTap::new()).layer(BadGatewayLayer::new()).service(reading);
    let Ok(response) = gateway.oneshot(Request::new(Chained)).await;
    assert_eq!(response.status(), 502);
    assert_eq!(response.extensions().get::<Failure>().unwrap().blame(), Blame::Upstream);
}

/// Among bodies that wrap each other's errors, too.
#[tokio::test]
async fn a_failure_in_an_upload_is_found_below_other_errors() {
    let failing = StreamBody::new(Once(Some(io::Error::other(BodyError::from(Failure::new(
        FailureKind::HttpResponseIncomplete,
    ))))));
    let mut body = RequestBodyTap::new().tap(Request::new(failing)).into_body();
    assert_eq!(body.frame().await.unwrap().unwrap_err().failure().blame(), Blame::Upstream);
}

/// Somebody else's limit, such as that of tower-http.
#[tokio::test(start_paused = true)]
async fn an_upload_that_was_too_slow_for_somebody_else_is_a_408() {
    let elapsed = timeout(SECOND, std::future::pending::<()>()).await.unwrap_err();
    let failing = StreamBody::new(Once(Some(io::Error::other(elapsed))));
    let mut body = RequestBodyTap::new().tap(Request::new(failing)).into_body();
    let error = body.frame().await.unwrap().unwrap_err();
    assert_eq!((error.failure().status().as_u16(), error.failure().limit()), (408, None));
}

/// Fails, once.
struct Once(Option<io::Error>);

impl futures_core::Stream for Once {
    type Item = io::Result<http_body::Frame<Bytes>>;
    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(self.0.take().map(Err))
    }
}

/// Whoever has asked once and then asks no more has had his turn, as soon as there is something for him.
#[tokio::test(start_paused = true)]
async fn an_upstream_that_stops_asking_is_too_late() {
    let gives_up = service_fn(|request: Request<Upload>| async {
        let mut body = request.into_body();
        drop(timeout(SECOND, body.frame()).await);
        std::future::pending::<Result<Response<MockBody>, BoxError>>().await
    });
    for (steps, seconds) in [
        // The client sends again after two seconds, or is cut off after thirty, and nobody asks.
        (vec![Wait(2 * SECOND), Data("a"), Data("b")], 2 + 10),
        (vec![Silence], 30 + 10),
    ] {
        let start = Instant::now();
        let layers = ServiceBuilder::new().layer(RequestBodyTap::new().idle_timeout(30 * SECOND)).layer(limited());
        let call = layers.service(gives_up).oneshot(upload(&steps));
        let Ok(Ok(response)) = timeout(DAY, call).await else { panic!("it hangs: {steps:?}") };
        let failure = response.extensions().get::<Failure>().unwrap();
        assert_eq!((failure.kind(), failure.blame()), (FailureKind::ConnectionWriteTimeout, Blame::Upstream));
        assert_eq!(start.elapsed().as_secs(), seconds, "{steps:?}");
    }
}

/// What is said to be all of it need not be asked for its end, and what is dropped is over by then.
#[tokio::test(start_paused = true)]
async fn the_end_of_an_upload_is_known_before_it_is_dropped() {
    let keeps = service_fn(|request: Request<RequestBody<Full<Bytes>>>| async {
        let mut body = request.into_body();
        body.frame().await.unwrap()?;
        std::future::pending::<Result<Response<MockBody>, BoxError>>().await
    });
    let layers = || ServiceBuilder::new().layer(RequestBodyTap::new()).layer(limited());
    let Ok(response) = layers().service(keeps).oneshot(Request::new(Full::from("hello"))).await;
    assert_eq!(response.extensions().get::<Failure>().unwrap().kind(), FailureKind::HttpResponseTimeout);

    let drops_late = service_fn(|request: Request<Upload>| async {
        let mut body = request.into_body();
        body.frame().await.unwrap()?;
        sleep(5 * SECOND).await;
        drop(body);
        std::future::pending::<Result<Response<MockBody>, BoxError>>().await
    });
    let start = Instant::now();
    let Ok(response) = layers().service(drops_late).oneshot(upload(&[Data("a"), Data("b")])).await;
    assert_eq!(response.extensions().get::<Failure>().unwrap().kind(), FailureKind::HttpResponseTimeout);
    assert_eq!(start.elapsed(), 15 * SECOND);
}

/// A limit of nothing is for the upstream alone, and is no loop.
#[tokio::test(start_paused = true)]
async fn a_limit_of_zero_waits_for_the_client() {
    let steps = [Wait(5 * SECOND), Data("a")];
    let layer = BadGatewayLayer::new().head_timeout(Duration::ZERO);
    let (seconds, response) = ask(RequestBodyTap::new(), layer, Upstream::Reads(SECOND), upload(&steps)).await.unwrap();
    assert_eq!((seconds, response.status().as_u16()), (5, 504));
}

/// The call is woken by the upload, and by nothing else: it need not wait for a limit.
#[tokio::test]
async fn a_failing_upload_wakes_the_call() {
    struct Wakes(AtomicUsize);
    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let (send, mut receive) = tokio::sync::mpsc::unbounded_channel();
    let keeping = service_fn(move |request: Request<Upload>| {
        send.send(request.into_body()).unwrap();
        std::future::pending::<Result<Response<MockBody>, BoxError>>()
    });
    let layers = ServiceBuilder::new().layer(RequestBodyTap::new()).layer(BadGatewayLayer::new().head_timeout(None));
    let mut call = pin!(layers.service(keeping).oneshot(upload(&[Fail(io::ErrorKind::ConnectionReset)])));

    let wakes = Arc::new(Wakes(AtomicUsize::new(0)));
    let waker = Waker::from(Arc::clone(&wakes));
    let mut cx = Context::from_waker(&waker);
    // Polled by another task before: the last one counts.
    assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert!(call.as_mut().poll(&mut cx).is_pending());
    let mut body = receive.recv().await.unwrap();
    assert_eq!(wakes.0.load(Ordering::SeqCst), 0);
    body.frame().await.unwrap().unwrap_err();
    assert_eq!(wakes.0.load(Ordering::SeqCst), 1);
    let Poll::Ready(Ok(response)) = call.as_mut().poll(&mut cx) else { panic!("not ready") };
    assert_eq!(response.status(), 400);
}
