//! One fault, what is expected of it, and what came of it.

use std::{fmt, future::Future, pin::Pin, time::Duration};

use http::StatusCode;
use tower_bad_gateway::{
    Failure, FailureKind,
    failure::{Blame, Parameter, Phase, RetrySafety},
};

/// What a client got, and what the layer said of it.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) status: u16,
    /// Whether the message was whole: the end that its framing announces was there.
    pub(crate) whole: bool,
    /// Whether it was told as the failure of a body whose head had been passed on.
    pub(crate) after_head: bool,
    pub(crate) kind: Option<FailureKind>,
    pub(crate) phase: Option<Phase>,
    pub(crate) blame: Option<Blame>,
    pub(crate) retry_safety: Option<RetrySafety>,
    pub(crate) upstream_status: Option<StatusCode>,
    pub(crate) parameters: Vec<Parameter>,
    /// The lines of `Proxy-Status` that the client has read.
    pub(crate) proxy_status: Vec<String>,
    /// Whether the next request through the same gateway was answered as it should.
    pub(crate) next: bool,
}

impl Outcome {
    /// What the layer said; what the client got is still to be filled in.
    pub(crate) fn told(failure: Option<&Failure>) -> Self {
        Self {
            kind: failure.map(Failure::kind),
            phase: failure.map(Failure::phase),
            blame: failure.map(Failure::blame),
            retry_safety: failure.map(Failure::retry_safety),
            upstream_status: failure.and_then(Failure::upstream_status),
            parameters: failure.map_or(Vec::new(), |failure| failure.parameters().to_vec()),
            ..Self::default()
        }
    }
}

pub(crate) type Running = Pin<Box<dyn Future<Output = Outcome> + Send>>;

pub(crate) struct Row {
    pub(crate) family: &'static str,
    pub(crate) id: &'static str,
    pub(crate) status: u16,
    pub(crate) whole: bool,
    /// Whether the body may be found broken before its head is passed on: then it is answered by the kind.
    pub(crate) early: bool,
    /// The kinds that may come out, none for a healthy response; more than one only with a reason.
    pub(crate) kinds: &'static [FailureKind],
    pub(crate) why: &'static str,
    pub(crate) retry_safety: Option<RetrySafety>,
    pub(crate) blame: Option<Blame>,
    pub(crate) phase: Option<Phase>,
    pub(crate) running: Running,
}

impl Row {
    pub(crate) fn new(
        family: &'static str,
        id: &'static str,
        status: u16,
        kinds: &'static [FailureKind],
        running: impl Future<Output = Outcome> + Send + 'static,
    ) -> Self {
        Self {
            family,
            id,
            status,
            whole: true,
            early: false,
            kinds,
            why: "",
            retry_safety: None,
            blame: None,
            phase: None,
            running: Box::pin(running),
        }
    }

    /// The head was good, the message must visibly not be.
    pub(crate) fn cut(mut self) -> Self {
        self.whole = false;
        self
    }

    /// The fault may be there as soon as the head is, or be found later: both are right.
    pub(crate) fn early(mut self) -> Self {
        self.early = true;
        self
    }

    pub(crate) fn why(mut self, why: &'static str) -> Self {
        self.why = why;
        self
    }

    pub(crate) fn retry(mut self, retry_safety: RetrySafety) -> Self {
        self.retry_safety = Some(retry_safety);
        self
    }

    pub(crate) fn blame(mut self, blame: Blame) -> Self {
        self.blame = Some(blame);
        self
    }

    pub(crate) fn phase(mut self, phase: Phase) -> Self {
        self.phase = Some(phase);
        self
    }

    /// Whether its kinds are answered with more than one status: 502 for 504 above all.
    pub(crate) fn mixes_statuses(&self) -> bool {
        self.kinds.iter().any(|kind| kind.status() != self.kinds[0].status())
    }
}

pub(crate) struct Done {
    pub(crate) family: &'static str,
    id: &'static str,
    status: u16,
    whole: bool,
    early: bool,
    pub(crate) kinds: &'static [FailureKind],
    retry_safety: Option<RetrySafety>,
    blame: Option<Blame>,
    expected_phase: Option<Phase>,
    pub(crate) outcome: Outcome,
}

impl Done {
    pub(crate) fn is_right(&self) -> bool {
        let outcome = &self.outcome;
        let told = outcome.status == self.status && outcome.whole == self.whole && outcome.after_head != self.whole;
        let answered = |kind: FailureKind| outcome.status == kind.status() && outcome.whole && !outcome.after_head;
        (told || (self.early && outcome.kind.is_some_and(answered)))
            && match outcome.kind {
                Some(kind) => self.kinds.contains(&kind),
                None => self.kinds.is_empty(),
            }
            && (self.retry_safety.is_none() || outcome.retry_safety == self.retry_safety)
            && (self.blame.is_none() || outcome.blame == self.blame)
            && (self.expected_phase.is_none() || outcome.phase == self.expected_phase)
            && (outcome.phase == Some(Phase::ResponseBody)) != self.whole
            && outcome.next
    }
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Outcome { status, whole, kind, phase, retry_safety, next, .. } = &self.outcome;
        write!(
            f,
            "{:8} {:28} {status} {:5} {:34} {:14} {:14} {:11}",
            self.family,
            self.id,
            if *whole { "whole" } else { "cut" },
            kind.map_or("-", FailureKind::token),
            phase.map_or("-", Phase::as_str),
            retry_safety.map_or("-", RetrySafety::as_str),
            if *next { "next ok" } else { "NEXT FAILED" },
        )
    }
}

/// Runs all rows at the same time. One that hangs or panics is a wrong row like any other, and says so.
pub(crate) async fn run(rows: Vec<Row>) -> Vec<Done> {
    let tasks: Vec<_> = rows
        .into_iter()
        .map(|row| {
            let Row {
                family,
                id,
                status,
                whole,
                early,
                kinds,
                retry_safety,
                blame,
                phase: expected_phase,
                running,
                ..
            } = row;
            let running = tokio::spawn(tokio::time::timeout(Duration::from_secs(60), running));
            let done = move |outcome| Done {
                family,
                id,
                status,
                whole,
                early,
                kinds,
                retry_safety,
                blame,
                expected_phase,
                outcome,
            };
            (id, done, running)
        })
        .collect();
    let mut all = Vec::new();
    for (id, done, running) in tasks {
        all.push(done(match running.await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => {
                println!("{id} hangs");
                Outcome::default()
            }
            Err(error) => {
                println!("{id}: {error}");
                Outcome::default()
            }
        }));
    }
    all
}
