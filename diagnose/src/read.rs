//! What an answer, or none, says of the hops.

mod by_gateway;
mod looks;
mod seen;
mod status;
mod way;

use tower_bad_gateway::{FailureKind, failure::Blame, proxy_status::ProxyStatus};

use crate::{
    ask::{Answer, Asked, End},
    clean::clean,
    words::words,
};

pub(crate) use self::{by_gateway::problem, way::path};

/// Which hop failed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Place {
    /// None did.
    Nowhere,
    /// None that is known of: the body was not at its end.
    NoneKnown,
    /// This computer could not ask.
    Here,
    /// The request itself is at fault.
    Client,
    /// The one the URL names.
    First(String),
    /// That one or any behind it: it cannot be seen from here.
    FirstOrBehind(String),
    /// The gateway of this name.
    At(String),
    /// That one or any behind it: it does not say which.
    AtOrBehind(String),
    /// The hop behind the gateway of this name.
    Behind(String),
    /// Any of them.
    Somewhere,
}

/// How that is known.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Sure {
    /// It happened to this program.
    Seen,
    /// The hop that had to do with it says so, in `Proxy-Status`.
    Told,
    /// The body says so.
    Body,
    /// By the looks of the answer.
    Looks,
    /// By the status.
    Status,
}

pub(crate) struct Diagnosis {
    pub(crate) place: Place,
    /// A request that is not wanted is no failure of a hop, whoever says so.
    pub(crate) failed: bool,
    pub(crate) kind: Option<FailureKind>,
    pub(crate) sure: Sure,
    pub(crate) verdict: String,
    pub(crate) means: String,
    pub(crate) checks: Vec<String>,
    /// What cannot be known from the answer, and how to find out.
    pub(crate) untold: Option<String>,
}

pub(crate) fn diagnose(asked: &Asked) -> Diagnosis {
    let first = first(asked);
    let answer = match &asked.outcome {
        Err(failure) => return seen::no_head(failure, &first),
        Ok(answer) => answer,
    };
    let mut diagnosis = by_gateway::by_proxy_status(answer)
        .or_else(|| by_gateway::by_body(answer))
        .or_else(|| looks::looks(answer))
        .unwrap_or_else(|| status::by_status(answer, &first));
    if ProxyStatus::of(&answer.headers).is_none() && answer.headers.contains_key("proxy-status") {
        let ignored = "There is a Proxy-Status, but it is no list of structured fields, so it is ignored as a whole.";
        diagnosis.untold = Some(diagnosis.untold.map_or(ignored.to_owned(), |untold| format!("{ignored} {untold}")));
    }
    match (&answer.end, diagnosis.failed) {
        (End::Broken(_) | End::Silent(_), false) => return seen::cut_off(answer, first),
        // An answer that tells of a failure has told enough, however it ended.
        (End::Broken(_), true) => {
            diagnosis.verdict.push_str(&format!(" Its body was cut off after {} bytes.", answer.received));
        }
        (End::Silent(_), true) => {
            diagnosis.verdict.push_str(&format!(" Its body did not go on after {} bytes.", answer.received));
        }
        _ => {}
    }
    // What took no time had no time limit.
    let long = asked.times.head.filter(|head| answer.status == 504 && head.as_millis() >= 100);
    if let Some(head) = long {
        let took = crate::report::time(head);
        diagnosis.checks.push(format!("The answer took {took}: which hop has a time limit of about that length?"));
    }
    diagnosis
}

/// What the shell is told: only what is a hop's failure, or this computer's, is one.
pub(crate) fn exit(diagnosis: &Diagnosis) -> u8 {
    u8::from(diagnosis.failed)
}

/// The hop the URL names.
pub(crate) fn first(asked: &Asked) -> String {
    clean(asked.url.authority().map_or("", |authority| authority.as_str()).as_bytes(), 100)
}

/// Who speaks, and what it calls the hop behind it.
pub(super) struct Speaker {
    /// At the start of the verdict.
    pub(super) subject: String,
    /// Elsewhere.
    pub(super) by: String,
    /// What it has asked, in the verdict.
    pub(super) behind: String,
    /// Elsewhere.
    pub(super) next: String,
}

impl Speaker {
    /// A gateway that has a name; the hop behind it may have one, too.
    pub(super) fn named(name: &str, next: Option<&str>) -> Self {
        let behind = next.map_or("what is behind it".to_owned(), |next| format!("{next} behind it"));
        let next = next.map_or_else(|| format!("the service behind {name}"), str::to_owned);
        Self { subject: name.to_owned(), by: name.to_owned(), behind, next }
    }

    pub(super) fn unnamed() -> Self {
        Self {
            subject: "A gateway that does not give its name".to_owned(),
            by: "that gateway".to_owned(),
            behind: "what is behind it".to_owned(),
            next: "the service behind it".to_owned(),
        }
    }

    /// A gateway that passed the answer on, or made it.
    pub(super) fn at_or_behind(name: &str) -> Self {
        Self { subject: format!("{name}, or a gateway behind it,"), ..Self::unnamed() }
    }

    /// The words for a kind of failure.
    pub(super) fn tells(&self, kind: FailureKind, status: Option<u16>, place: Place, sure: Sure) -> Diagnosis {
        let words = words(kind);
        let is_refusal = kind == FailureKind::HttpRequestDenied
            || (kind == FailureKind::DestinationNotFound && status.is_some_and(|status| status < 500));
        let status = status.map_or(String::new(), |status| format!(" ({status})"));
        let fill = |text: &str| fill(text, &self.by, &self.next);
        Diagnosis {
            failed: place != Place::Client && !is_refusal,
            place,
            kind: Some(kind),
            sure,
            verdict: format!("{} {}{status}.", self.subject, words.says.replace("{next}", &self.behind)),
            means: fill(words.means),
            checks: words.checks.iter().map(|check| fill(check)).collect(),
            untold: None,
        }
    }
}

/// Whose fault a failure is that this gateway tells of.
pub(super) fn place(kind: FailureKind, name: Option<&str>) -> Place {
    match (kind.blame(), name) {
        (Blame::Client, _) => Place::Client,
        (_, None) => Place::Somewhere,
        (Blame::Gateway, Some(name)) => Place::At(name.to_owned()),
        (_, Some(name)) => Place::Behind(name.to_owned()),
    }
}

/// Puts names into a text. Sentences begin with a capital letter, names keep theirs.
pub(super) fn fill(text: &str, by: &str, next: &str) -> String {
    let mut filled = String::new();
    for part in text.split_inclusive(". ") {
        let part = part.replace("{by}", by).replace("{next}", next);
        let word = part.split(' ').next().unwrap_or_default();
        let capital = ["the", "that", "this", "what"].contains(&word).then(|| part.get(..1)).flatten();
        match (capital, part.get(1..)) {
            (Some(first), Some(rest)) => filled.extend([first.to_ascii_uppercase().as_str(), rest]),
            _ => filled.push_str(&part),
        }
    }
    filled
}

#[cfg(test)]
mod tests;
