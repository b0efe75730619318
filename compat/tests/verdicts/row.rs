//! One error of a real client, what is expected of it, and what was seen.

use std::{
    error::Error,
    fmt,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::Full;
use tower::{Layer, ServiceExt, service_fn};
use tower_bad_gateway::{
    BadGatewayLayer, BoxError, Failure, FailureKind,
    failure::{Blame, Phase, RetrySafety},
};

pub(crate) type Making = Pin<Box<dyn Future<Output = BoxError> + Send>>;

/// An error, made anew for each that looks at it.
pub(crate) struct Row {
    id: &'static str,
    make: Box<dyn Fn() -> Making + Send + Sync>,
    in_body: bool,
    has_content: bool,
    /// One answer, whatever it is called: more than one kind only where a fault surfaces in several lawful shapes.
    kinds: &'static [FailureKind],
    phases: &'static [Phase],
    blame: Blame,
    safeties: &'static [RetrySafety],
    status: u16,
    codes: &'static [u8],
    upstream_status: Option<u16>,
}

/// Of a call. The blame, the status and the gRPC code are those of the kind unless they are set.
pub(crate) fn call<F, E>(
    id: &'static str,
    kinds: &'static [FailureKind],
    make: impl Fn() -> F + Send + Sync + 'static,
) -> Row
where
    F: Future<Output = E> + Send + 'static,
    E: Into<BoxError> + 'static,
{
    Row {
        id,
        make: Box::new(move || {
            let made = make();
            Box::pin(async move { made.await.into() })
        }),
        in_body: false,
        has_content: false,
        kinds,
        phases: &[Phase::Unknown],
        blame: kinds[0].blame(),
        safeties: &[RetrySafety::Unknown],
        status: kinds[0].status().as_u16(),
        codes: &[],
        upstream_status: None,
    }
}

/// Of a response body, whose head was good.
pub(crate) fn body<F, E>(
    id: &'static str,
    kinds: &'static [FailureKind],
    make: impl Fn() -> F + Send + Sync + 'static,
) -> Row
where
    F: Future<Output = E> + Send + 'static,
    E: Into<BoxError> + 'static,
{
    Row { in_body: true, phases: &[Phase::ResponseBody], ..call(id, kinds, make) }
}

impl Row {
    pub(crate) fn phase(self, phases: &'static [Phase]) -> Self {
        Self { phases, ..self }
    }

    pub(crate) fn blame(self, blame: Blame) -> Self {
        Self { blame, ..self }
    }

    /// Of the attempt that failed.
    pub(crate) fn retry(self, safeties: &'static [RetrySafety]) -> Self {
        Self { safeties, ..self }
    }

    pub(crate) fn not_sent(self, phases: &'static [Phase]) -> Self {
        self.phase(phases).retry(&[RetrySafety::NotSent])
    }

    pub(crate) fn status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    pub(crate) fn code(self, codes: &'static [u8]) -> Self {
        Self { codes, ..self }
    }

    pub(crate) fn received(self, status: u16) -> Self {
        Self { upstream_status: Some(status), status, ..self }
    }

    /// The layer is shown a request with content that nobody has watched.
    pub(crate) fn with_content(self) -> Self {
        Self { has_content: true, ..self }
    }

    async fn run(self) -> Seen {
        let error = (self.make)().await;
        let chain = chain(&*error);
        let failure = if self.in_body { Failure::from_body_error(error) } else { Failure::from_error(error) };
        let (answered, status) = self.answer((self.make)().await, false).await;
        let code = if self.in_body { None } else { Some(self.answer((self.make)().await, true).await.1) };
        Seen { row: self, chain, failure, answered, status, code }
    }

    /// What the layer says and answers without a setting: the HTTP status, or the gRPC code.
    async fn answer(&self, error: BoxError, grpc: bool) -> (Failure, u16) {
        let request = Request::builder().method("POST").uri("/");
        let request = if grpc { request.header("content-type", "application/grpc") } else { request };
        let content = if self.has_content { "content" } else { "" };
        let request = request.body(Full::<Bytes>::from(content)).unwrap();
        let (error, in_body) = (Arc::new(Mutex::new(Some(error))), self.in_body);
        let upstream = service_fn(move |_: Request<Full<Bytes>>| {
            let error = error.lock().unwrap().take().map(Hidden);
            async move {
                match error {
                    Some(error) if !in_body => Err(error),
                    error => Ok(Response::new(Broken(error))),
                }
            }
        });
        let Ok(response) = BadGatewayLayer::new().silent().layer(upstream).oneshot(request).await;
        let failure = response.extensions().get::<Failure>().unwrap().clone();
        let code = response.headers().get("grpc-status").map(|code| code.to_str().unwrap().parse().unwrap());
        (failure, code.filter(|_| grpc).unwrap_or(response.status().as_u16()))
    }
}

/// In an async block around a `BoxError` itself rustc loses sight of `'static`.
struct Hidden(BoxError);

impl From<Hidden> for BoxError {
    fn from(error: Hidden) -> Self {
        error.0
    }
}

/// A body that breaks as soon as it is asked.
struct Broken(Option<Hidden>);

impl Body for Broken {
    type Data = Bytes;
    type Error = Hidden;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Hidden>>> {
        Poll::Ready(self.0.take().map(Err))
    }
}

struct Seen {
    row: Row,
    chain: String,
    failure: Failure,
    answered: Failure,
    status: u16,
    code: Option<u16>,
}

impl Seen {
    fn is_right(&self) -> bool {
        let Self { row, failure, answered, .. } = self;
        let codes: Vec<_> = if row.codes.is_empty() {
            row.kinds.iter().map(|kind| kind.grpc_code()).collect()
        } else {
            row.codes.to_vec()
        };
        is_listed(row.id, &self.chain)
            && row.kinds.contains(&failure.kind())
            && row.kinds.contains(&answered.kind())
            && row.kinds.iter().all(|kind| kind.status() == row.kinds[0].status())
            && row.phases.contains(&failure.phase())
            && (failure.blame(), answered.blame()) == (row.blame, row.blame)
            && row.safeties.contains(&failure.retry_safety())
            // Nobody has said that this was the only attempt.
            && answered.retry_safety() == RetrySafety::Unknown
            && failure.upstream_status().map(|status| status.as_u16()) == row.upstream_status
            && self.status == row.status
            && self.code.is_none_or(|code| codes.iter().any(|expected| u16::from(*expected) == code))
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { row, chain, failure, answered, status, code } = self;
        let code = code.map_or(String::new(), |code| format!(" grpc {code}"));
        write!(
            f,
            "{:8} {:28} {}/{}/{}, answered {status}{code} {}  <- {chain}",
            row.id,
            failure.kind().token(),
            failure.phase().as_str(),
            failure.blame().as_str(),
            failure.retry_safety().as_str(),
            answered.kind().token(),
        )?;
        if !self.is_right() {
            let kinds: Vec<_> = row.kinds.iter().map(|kind| kind.token()).collect();
            write!(
                f,
                "\n         WRONG: expected {} {:?}/{}/{:?}, {} grpc {:?}, upstream {:?}",
                kinds.join(" or "),
                row.phases,
                row.blame.as_str(),
                row.safeties,
                row.status,
                row.codes,
                row.upstream_status
            )?;
        }
        Ok(())
    }
}

/// Runs all rows at the same time, prints the table, and complains of every wrong row at once.
pub(crate) async fn check(rows: Vec<Row>) {
    let running: Vec<_> = rows
        .into_iter()
        .map(|row| (row.id, tokio::spawn(tokio::time::timeout(Duration::from_secs(60), row.run()))))
        .collect();
    let mut wrong = Vec::new();
    for (id, running) in running {
        match running.await {
            Ok(Ok(seen)) => {
                println!("{seen}");
                if !seen.is_right() {
                    wrong.push(id);
                }
            }
            Ok(Err(_)) => wrong.push(id),
            Err(error) => {
                println!("{id}: {error}");
                wrong.push(id);
            }
        }
    }
    assert!(wrong.is_empty(), "wrong, hanging or panicking rows: {wrong:?}");
}

/// The types of the chain as far as they print themselves, the outermost first.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut names = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        names.push(name(error));
        next = match error.downcast_ref::<std::io::Error>() {
            Some(error) => error.get_ref().map(|inner| inner as &(dyn Error + 'static)),
            None => error.source(),
        };
    }
    names.join(" > ")
}

/// What `Debug` begins with, which is the type where it is derived, and the variant.
fn name(error: &(dyn Error + 'static)) -> String {
    if let Some(error) = error.downcast_ref::<std::io::Error>() {
        return format!("io[{:?}]", error.kind());
    }
    let text = format!("{error:?}");
    let end = text.find(|letter: char| !letter.is_ascii_alphabetic() && !"_:(".contains(letter)).unwrap_or(text.len());
    let name = text[..end].trim_end_matches('(');
    if name.is_empty() { "text".to_owned() } else { name.to_owned() }
}

/// The chains in which a row may come, one a line; `*` where the fault surfaces in several lawful shapes, run to run.
fn is_listed(id: &str, chain: &str) -> bool {
    let lines = include_str!("chains.tsv").lines().filter_map(|line| line.split_once('\t'));
    lines.into_iter().any(|(row, listed)| row == id && (listed == chain || listed == "*"))
}
