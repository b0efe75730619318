//! Runs every cell many times, and judges what the client got and what was told.

use std::{
    collections::{BTreeMap, HashMap},
    convert::Infallible,
    future::Future,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use http::{Request, Response, Uri, Version, header::HOST};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::{
    net::TcpListener,
    sync::{Notify, Semaphore},
    time::timeout,
};
use tower::{ServiceBuilder, util::BoxCloneSyncService};
use tower_bad_gateway::{BadGatewayLayer, FailureKind, body::ResponseBody};

use crate::{
    cells::{Cell, Downstream, Expected, Fault, Shape},
    ending::{End, Received, get_h1, get_h2},
    gateway::{patient, restless},
    upstream::{self, Act},
};

/// The layer around a client, before anything is stacked on it.
pub(crate) type Mounted = BoxCloneSyncService<Request<Incoming>, Response<ResponseBody<Incoming>>, Infallible>;

/// What stands around the layer, and how often each cell is run through it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stack {
    pub(crate) name: &'static str,
    /// Whether the client asks for gzip, and gets it.
    pub(crate) gzip: bool,
    /// Whether the layer holds bodies. Then a body that breaks has to be answered; the only shape is the one that is all at once, since
    /// the others wait for what their client has seen.
    pub(crate) holds: bool,
    /// How often each cell is run towards HTTP/1, in all of its shapes together; towards HTTP/2 a quarter of that for the shape
    /// that is all at once, and a tenth for the others.
    pub(crate) runs: usize,
}

/// How long bodies are held, where they are: as long as a busy machine may need.
const HOLD: Duration = Duration::from_secs(30);

/// What the layer told of one request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Told {
    Answered(FailureKind),
    Broken(FailureKind),
    Abandoned,
}

type Log = Arc<Mutex<HashMap<String, Vec<Told>>>>;

/// Where the gateways are, by the limit of silence and the upstream's version.
#[derive(Clone, Copy)]
struct Gateways {
    patient: [SocketAddr; 2],
    restless: [SocketAddr; 2],
}

/// Prints the table and its summary; panics with the wrong cells.
pub(crate) async fn check<F>(stack: Stack, mount: impl Fn(Mounted) -> F)
where
    F: Future<Output = SocketAddr>,
{
    let log = Log::default();
    let mount = |layer: BadGatewayLayer, http2| {
        let layer = if stack.holds { layer.hold_body(64 * 1024, HOLD) } else { layer };
        mount(mounted(layer, http2, &log))
    };
    let gateways = Gateways {
        patient: [mount(patient(), false).await, mount(patient(), true).await],
        restless: [mount(restless(), false).await, mount(restless(), true).await],
    };
    // A stall does nothing but wait.
    let (ordinary, stalls) = (Arc::new(Semaphore::new(64)), Arc::new(Semaphore::new(512)));
    let cells = Cell::all();
    let mut running = Vec::new();
    for (index, &cell) in cells.iter().enumerate() {
        let runs = |shape| match cell.expected(!stack.gzip) {
            Expected::Impossible(_) => 0,
            _ if stack.holds && shape != Shape::AtOnce => 0,
            _ if cell.downstream == Downstream::H1 => stack.runs.div_ceil(cell.shapes().len()),
            _ if shape == Shape::AtOnce => stack.runs.div_ceil(4),
            _ => stack.runs.div_ceil(10),
        };
        let places = if cell.fault == Fault::Stall { &stalls } else { &ordinary };
        let shapes = cell.shapes().iter().map(|&shape| (shape, &*Vec::leak(cell.acts(shape))));
        let all = shapes.flat_map(|(shape, acts)| std::iter::repeat_n((shape, acts), runs(shape)));
        for (run, (shape, acts)) in all.enumerate() {
            let places = Arc::clone(places);
            let path = format!("{index}/{run}");
            let once = async move {
                let _place = places.acquire().await;
                once(cell, acts, gateways, stack.gzip, &path).await
            };
            running.push((index, shape, tokio::spawn(once)));
        }
    }
    let mut results = BTreeMap::<_, Vec<_>>::new();
    for (index, shape, running) in running {
        let result = match running.await.map_err(io::Error::other).and_then(|result| result) {
            Ok(result) => result,
            Err(error) => {
                println!("{}, {shape}: {error}", cells[index]);
                (String::new(), Received::new(End::Lost))
            }
        };
        results.entry(index).or_default().push((shape, result));
    }
    // Whatever was told late has been told by now.
    let told = std::mem::take(&mut *log.lock().unwrap());
    let (mut wrong, mut impossible, mut runs) = (Vec::new(), 0, 0);
    for (index, cell) in cells.iter().enumerate() {
        let expected = cell.expected(!stack.gzip);
        let results = results.remove(&index).unwrap_or_default();
        runs += results.len();
        impossible += usize::from(results.is_empty());
        let mut tally = BTreeMap::<_, BTreeMap<_, usize>>::new();
        let mut reasons = BTreeMap::<_, usize>::new();
        for (shape, (path, received)) in &results {
            let told = told.get(path).map_or(&[][..], Vec::as_slice);
            *tally.entry(*shape).or_default().entry(outcome(received, told)).or_default() += 1;
            if let Err(reason) = judge(cell, expected, *shape, stack, received, told) {
                *reasons.entry(reason).or_default() += 1;
            }
        }
        let line = line(cell, expected, &tally);
        println!("{:5} {:8} {line}", if reasons.is_empty() { "ok" } else { "WRONG" }, stack.name);
        if !reasons.is_empty() {
            wrong.push(format!("{line}: {reasons:?}"));
        }
    }
    let count = cells.len() - impossible;
    println!("{}: {count} cells, {impossible} impossible, {runs} runs, {} wrong", stack.name, wrong.len());
    assert!(wrong.is_empty(), "{} wrong cells, {}:\n{}", wrong.len(), stack.name, wrong.join("\n"));
}

fn line(cell: &Cell, expected: Expected, tally: &BTreeMap<Shape, BTreeMap<String, usize>>) -> String {
    let note = match expected {
        Expected::Broken(_) => String::new(),
        Expected::Complete(why) => format!(" ({why})"),
        Expected::Impossible(why) => format!(" impossible: {why}"),
    };
    let tally = tally.iter().map(|(shape, outcomes)| {
        let outcomes: Vec<_> = outcomes.iter().map(|(outcome, count)| format!("{outcome} x {count}")).collect();
        format!(" {shape}: {};", outcomes.join(", "))
    });
    format!("{cell}{}{note}", tally.collect::<String>())
}

fn outcome(received: &Received, told: &[Told]) -> String {
    let end = match received.end {
        End::Whole => "",
        End::Cut => " cut",
        End::Quiet => " CUT IN SILENCE",
        End::Nothing => " EMPTY",
        End::Hangs => " HANGS",
        End::Open => " UPSTREAM LEFT OPEN",
        End::Lost => " LOST",
    };
    let told: String = told
        .iter()
        .map(|told| match told {
            Told::Answered(kind) | Told::Broken(kind) => format!(" {}", kind.token()),
            Told::Abandoned => " abandoned".to_owned(),
        })
        .collect();
    format!("{}{end}{told}", received.status)
}

fn judge(
    cell: &Cell,
    expected: Expected,
    shape: Shape,
    stack: Stack,
    received: &Received,
    told: &[Told],
) -> Result<(), &'static str> {
    // A reset of the connection takes with it what has not been read yet (RFC 9293, section 3.10.7.4).
    let expected = match expected {
        Expected::Complete(_) if cell.fault == Fault::Rst && shape != Shape::AfterContent && !told.is_empty() => {
            Expected::Broken(&[FailureKind::ConnectionTerminated])
        }
        expected => expected,
    };
    let Received { status, end, content } = received;
    match end {
        End::Hangs => return Err("hangs"),
        End::Open => return Err("the upstream's connection is left open"),
        End::Lost => return Err("the run has failed"),
        End::Nothing => return Err("an empty reply"),
        End::Quiet => return Err("reset by NO_ERROR"),
        End::Whole | End::Cut => {}
    }
    let healthy = if stack.gzip { GZIP.starts_with(content) || content.starts_with(GZIP) } else { true };
    match (expected, told) {
        (Expected::Complete(_), []) if (*status, *end) == (200, End::Whole) => {
            if healthy && (stack.gzip || content == cell.sent()) { Ok(()) } else { Err("not what was sent") }
        }
        (Expected::Complete(_), _) => Err("not the whole response"),
        (Expected::Broken(kinds), &[Told::Answered(kind)]) => {
            let token = kind.token().as_bytes();
            if !kinds.contains(&kind) {
                Err("another kind")
            } else if *end != End::Whole || *status != kind.status() {
                Err("no answer of the gateway")
            } else if !stack.gzip && !content.windows(token.len()).any(|part| part == token) {
                Err("an answer that does not name its kind")
            } else {
                Ok(())
            }
        }
        (Expected::Broken(kinds), &[Told::Broken(kind)]) => {
            if !kinds.contains(&kind) {
                Err("another kind")
            } else if stack.holds && !cell.has_all_content() {
                Err("a head for a body that broke while it was held")
            } else if (*status, *end) != (200, End::Cut) {
                Err("a clean end of a part")
            } else if !healthy || !(stack.gzip || cell.sent().starts_with(content)) {
                Err("not what was sent")
            } else {
                Ok(())
            }
        }
        (Expected::Broken(_), []) => Err("not told"),
        (Expected::Broken(_), _) => Err("told otherwise than once"),
        (Expected::Impossible(_), _) => Err("possible after all"),
    }
}

/// The upstream is on the port that the path begins with. Each request has a connection of its own: a broken one that comes out
/// of a pool would be another cell.
fn mounted(layer: BadGatewayLayer, http2: bool, log: &Log) -> Mounted {
    let note = |log: &Log, path: &str, told| log.lock().unwrap().entry(path.to_owned()).or_default().push(told);
    let [answered, broken, abandoned] = [(); 3].map(|()| Arc::clone(log));
    let layer = layer
        .on_failure(move |event| note(&answered, event.request().path(), Told::Answered(event.failure().kind())))
        .on_body_failure(move |event| note(&broken, event.request().path(), Told::Broken(event.failure().kind())))
        .on_abandoned(move |event| note(&abandoned, event.request().path(), Told::Abandoned));
    let client = Client::builder(TokioExecutor::new())
        .pool_max_idle_per_host(0)
        .http2_only(http2)
        .build::<_, Incoming>(HttpConnector::new());
    let service = ServiceBuilder::new()
        .layer(layer)
        .map_request(move |mut request: Request<Incoming>| {
            let port = request.uri().path().split('/').nth(1).unwrap();
            *request.uri_mut() = format!("http://127.0.0.1:{port}/").parse::<Uri>().unwrap();
            *request.version_mut() = if http2 { Version::HTTP_2 } else { Version::HTTP_11 };
            request.headers_mut().remove(HOST);
            request.headers_mut().remove("connection");
            request
        })
        .service(client);
    BoxCloneSyncService::new(service)
}

/// One request, with an upstream of its own; the path says which. It ends when the upstream's connection has ended, too.
async fn once(
    cell: Cell,
    acts: &'static [Act],
    gateways: Gateways,
    gzip: bool,
    path: &str,
) -> io::Result<(String, Received)> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let path = format!("/{}/{path}", listener.local_addr()?.port());
    let seen = Arc::<Notify>::default();
    let told = Arc::clone(&seen);
    let http2 = cell.framing.is_http2();
    let upstream = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await?;
        drop(listener);
        stream.set_nodelay(true)?;
        if http2 {
            return upstream::serve_h2(stream, Some((1, acts)), &told).await;
        }
        upstream::read_head(&mut stream).await?;
        upstream::perform(stream, acts, &told).await
    });
    // A short limit only where it is expected to run out.
    let is_late = cell.fault == Fault::Stall && matches!(cell.expected(!gzip), Expected::Broken(_));
    let addresses = if is_late { gateways.restless } else { gateways.patient };
    let address = addresses[usize::from(http2)];
    let get = async {
        match cell.downstream {
            Downstream::H1 => Ok(get_h1(address, &path, gzip, &seen).await),
            Downstream::H2 => get_h2(address, &path, gzip, &seen).await,
        }
    };
    let mut received = timeout(GUARD, get).await.unwrap_or(Ok(Received::new(End::Hangs)))?;
    // Whatever it was, the client will see no more.
    seen.notify_one();
    if timeout(GUARD, upstream).await.is_err() {
        received.end = End::Open;
    }
    Ok((path, received))
}

/// One that hangs is wrong.
const GUARD: Duration = Duration::from_secs(60);
/// What a compressed body begins with.
const GZIP: &[u8] = b"\x1f\x8b";
