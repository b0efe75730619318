//! What people and programs are shown.

use std::{fmt::Write, time::Duration};

use http::{HeaderName, header};
use serde_json::{Map, Value, json};
use tower_bad_gateway::{Failure, FailureKind, failure::FailureClass};

use crate::{
    ask::{Asked, End},
    clean::clean,
    read::{self, Diagnosis, Place, Sure},
};

/// The fields that say something of the way.
const FIELDS: [HeaderName; 9] = [
    HeaderName::from_static("proxy-status"),
    HeaderName::from_static("grpc-status"),
    header::LOCATION,
    header::VIA,
    header::SERVER,
    header::RETRY_AFTER,
    HeaderName::from_static("x-request-id"),
    HeaderName::from_static("cf-ray"),
    HeaderName::from_static("x-cache"),
];

impl Place {
    /// The hop, for people.
    pub(crate) fn hop(&self) -> String {
        match self {
            Self::Nowhere => "none".to_owned(),
            Self::NoneKnown => "none known".to_owned(),
            Self::Here => "this computer".to_owned(),
            Self::Client => "the client".to_owned(),
            Self::First(name) => format!("the first hop ({name})"),
            Self::FirstOrBehind(name) | Self::AtOrBehind(name) => format!("{name} or behind it"),
            Self::At(name) => name.clone(),
            Self::Behind(name) => format!("behind {name}"),
            Self::Somewhere => "not told".to_owned(),
        }
    }

    fn json(&self) -> Value {
        let (place, of) = match self {
            Self::Nowhere => return Value::Null,
            Self::NoneKnown => ("none_known", None),
            Self::Here => ("here", None),
            Self::Client => ("client", None),
            Self::First(name) => ("first", Some(name)),
            Self::FirstOrBehind(name) => ("first_or_behind", Some(name)),
            Self::At(name) => ("at", Some(name)),
            Self::AtOrBehind(name) => ("at_or_behind", Some(name)),
            Self::Behind(name) => ("behind", Some(name)),
            Self::Somewhere => ("unknown", None),
        };
        json!({ "place": place, "of": of })
    }
}

impl Sure {
    fn token(self) -> &'static str {
        match self {
            Self::Seen => "seen",
            Self::Told => "proxy_status",
            Self::Body => "body",
            Self::Looks => "looks",
            Self::Status => "status",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Seen => "certain: it was seen from here",
            Self::Told => "as the hop itself says it, in Proxy-Status",
            Self::Body => "as the body says it",
            Self::Looks => "likely: by the looks of the answer alone",
            Self::Status => "a guess: by the status alone",
        }
    }
}

pub(crate) fn text(asked: &Asked, diagnosis: &Diagnosis) -> String {
    let mut text = format!("{}\n\n{}\n", diagnosis.verdict, diagnosis.means);
    if !diagnosis.checks.is_empty() {
        text.push_str("\nCheck next\n");
    }
    for check in &diagnosis.checks {
        let _ = writeln!(text, "  - {check}");
    }
    if let Some(untold) = &diagnosis.untold {
        let _ = write!(text, "\nNot told\n  {untold}\n");
    }
    text.push_str("\nEvidence\n");
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "  {name:<15} {value}");
    };
    line("path", &read::path(asked, &diagnosis.place).join(" -> "));
    let sure = match (&diagnosis.place, diagnosis.sure) {
        (Place::Nowhere, Sure::Status) => "as far as the status and the end of the body can tell",
        (Place::NoneKnown, _) => "as far as the time allowed",
        (Place::FirstOrBehind(_), _) => "certain that it went wrong, not where",
        (_, sure) => sure.words(),
    };
    line("sure", sure);
    for (name, value) in evidence(asked) {
        line(&name, &value);
    }
    line("times", &times(asked));
    text
}

pub(crate) fn json(asked: &Asked, diagnosis: &Diagnosis) -> Value {
    let milliseconds = |time: Option<Duration>| time.map(|time| (time.as_secs_f64() * 1e6).round() / 1e3);
    let evidence: Map<_, _> = evidence(asked).into_iter().map(|(name, value)| (name, value.into())).collect();
    let times = &asked.times;
    json!({
        "url": clean(asked.url.to_string().as_bytes(), 2000),
        "failed": diagnosis.failed,
        "verdict": diagnosis.verdict,
        "hop": diagnosis.place.json(),
        "kind": diagnosis.kind.map(FailureKind::token),
        "class": diagnosis.kind.and_then(FailureKind::class).map(FailureClass::as_str),
        "by": diagnosis.sure.token(),
        "means": diagnosis.means,
        "check": diagnosis.checks,
        "not_told": diagnosis.untold,
        "path": read::path(asked, &diagnosis.place),
        "status": asked.outcome.as_ref().ok().map(|answer| answer.status.as_u16()),
        "evidence": evidence,
        "milliseconds": {
            "dns": milliseconds(times.dns),
            "connect": milliseconds(times.connect),
            "tls": milliseconds(times.tls),
            "head": milliseconds(times.head),
            "whole": milliseconds(Some(times.whole)),
        },
    })
}

/// What was received that bears on it, fit to be printed.
fn evidence(asked: &Asked) -> Vec<(String, String)> {
    let error = |failure: &Failure| clean(failure.private_chain().to_string().as_bytes(), 300);
    let mut lines = Vec::new();
    let missed: Vec<_> =
        asked.missed.iter().map(|(address, failure)| format!("{address}: {}", error(failure))).collect();
    if !missed.is_empty() {
        lines.push(("not connected".to_owned(), missed.join("; ")));
    }
    let answer = match &asked.outcome {
        Ok(answer) => answer,
        Err(failure) => {
            lines.push(("error".to_owned(), error(failure)));
            return lines;
        }
    };
    lines.push(("answer".to_owned(), format!("{:?} {}", answer.version, answer.status.as_u16())));
    for name in &FIELDS {
        let values: Vec<_> = answer.headers.get_all(name).iter().map(|value| clean(value.as_bytes(), 500)).collect();
        if !values.is_empty() {
            lines.push((name.to_string(), values.join(", ")));
        }
    }
    if let Some(document) = read::problem(answer) {
        for name in ["detail", "error", "code", "request_id"] {
            if let Some(value) = document.get(name).and_then(Value::as_str) {
                lines.push((format!("body.{name}"), clean(value.as_bytes(), 300)));
            }
        }
    }
    let length = answer.received;
    let body = match &answer.end {
        End::Whole => format!("{length} bytes, complete"),
        End::Closed => format!("{length} bytes, then the connection was closed"),
        End::Unfinished(silence) => format!("{length} bytes, and the time was over {} after the last", time(*silence)),
        End::Silent(silence) => format!("{length} bytes, then nothing for {}", time(*silence)),
        End::Broken(failure) => format!("{length} bytes, then {}", error(failure)),
    };
    lines.push(("body".to_owned(), body));
    lines
}

fn times(asked: &Asked) -> String {
    let times = &asked.times;
    let steps = [("DNS", times.dns), ("connect", times.connect), ("TLS", times.tls), ("head", times.head)];
    let taken = steps.into_iter().filter_map(|(name, took)| Some(format!("{name} {}", time(took?))));
    taken.chain([format!("all of it {}", time(times.whole))]).collect::<Vec<_>>().join(", ")
}

/// As short as it may be.
pub(crate) fn time(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 1.0 { format!("{:.1} ms", seconds * 1e3) } else { format!("{seconds:.1} s") }
}

#[cfg(test)]
mod tests;
