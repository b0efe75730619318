//! What an answer, or none, says of the hops.

#[path = "read/told.rs"]
mod told;

use http::header;
use tower_bad_gateway::{
    Failure, FailureKind,
    failure::{Blame, FailureClass, Phase},
    proxy_status::ProxyStatus,
};

use crate::{
    ask::{Answer, Asked, End},
    clean::clean,
    foreign::{self, Says, Sign},
    words::words,
};

pub(crate) use self::told::{path, problem};

/// Which hop failed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Place {
    /// None did.
    Nowhere,
    /// The request itself is at fault.
    Client,
    /// The one the URL names.
    First(String),
    /// That one or any behind it: it cannot be seen from here.
    FirstOrBehind(String),
    /// The gateway of this name.
    At(String),
    /// The hop behind the gateway of this name.
    Behind(String),
    /// The last hop.
    Application,
    /// Some gateway, or the hop behind it.
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
        Err(failure) => return seen(failure, &first),
        Ok(answer) => answer,
    };
    let mut diagnosis = told::by_proxy_status(answer)
        .or_else(|| told::by_body(answer))
        .or_else(|| looks(answer))
        .unwrap_or_else(|| by_status(answer));
    if ProxyStatus::of(&answer.headers).is_none() && answer.headers.contains_key("proxy-status") {
        let ignored = "There is a Proxy-Status, but it is no list of structured fields, so it is ignored as a whole.";
        diagnosis.untold = Some(diagnosis.untold.map_or(ignored.to_owned(), |untold| format!("{ignored} {untold}")));
    }
    if let End::Broken(failure) = &answer.end {
        // An answer that tells of a failure has told enough, however it ended.
        if diagnosis.place == Place::Nowhere {
            return cut_off(answer, failure, first);
        }
    }
    let is_late = diagnosis.kind.and_then(FailureKind::class) == Some(FailureClass::Timeout);
    if let Some(head) = asked.times.head.filter(|_| is_late) {
        let took = crate::report::time(head);
        diagnosis.checks.push(format!("The answer took {took}: which hop has a time limit of about that length?"));
    }
    diagnosis
}

/// What the shell is told.
pub(crate) fn exit(diagnosis: &Diagnosis) -> u8 {
    u8::from(diagnosis.place != Place::Nowhere)
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

    /// The words for a kind of failure.
    pub(super) fn tells(&self, kind: FailureKind, status: Option<u16>, place: Place, sure: Sure) -> Diagnosis {
        let words = words(kind);
        let status = status.map_or(String::new(), |status| format!(" ({status})"));
        let fill = |text: &str| capital(&text.replace("{by}", &self.by).replace("{next}", &self.next));
        Diagnosis {
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

/// No head came: this program is the one who tells, and the hop behind it is the first.
fn seen(failure: &Failure, first: &str) -> Diagnosis {
    let speaker = Speaker {
        subject: "This computer".to_owned(),
        by: "this computer".to_owned(),
        behind: format!("the first hop ({first})"),
        next: first.to_owned(),
    };
    let kind = failure.kind();
    // A fault of our own is no fault of theirs.
    let place = if failure.blame() == Blame::Upstream { Place::First(first.to_owned()) } else { Place::Client };
    let mut diagnosis = speaker.tells(kind, None, place, Sure::Seen);
    if kind == FailureKind::DnsError {
        // The words are for a gateway with a configuration.
        diagnosis.checks = vec![
            "Is the name in the URL spelled correctly?".to_owned(),
            "Does it exist where you are (dig, getent hosts), or only inside of another network?".to_owned(),
        ];
    }
    let is_waiting = failure.phase() == Phase::ResponseHead;
    diagnosis.untold = (is_waiting && kind.class() == Some(FailureClass::Timeout)).then(|| {
        format!("{first} may be waiting for a hop behind it itself. Ask that one directly, or wait longer (--timeout) for what {first} will say.")
    });
    diagnosis
}

/// After the head nobody can say any more what went wrong.
fn cut_off(answer: &Answer, failure: &Failure, first: String) -> Diagnosis {
    let (status, length) = (answer.status.as_u16(), answer.body.len());
    let (how, what) = match failure.kind() {
        FailureKind::ConnectionReadTimeout => ("fell silent", "The rest did not come before the time was over."),
        _ => ("was cut off", "What came is not all of it: it must not be used."),
    };
    Diagnosis {
        verdict: format!(
            "The head said {status}, but the body {how} after {length} bytes: {first}, or a hop behind it, failed."
        ),
        place: Place::FirstOrBehind(first),
        kind: Some(failure.kind()),
        sure: Sure::Seen,
        means: format!("{what} The status was sent before the failure, and could not be changed any more."),
        checks: vec![
            "Ask each hop directly, the last one first: the first one that does not answer completely is the one that failed."
                .to_owned(),
            "Look into the log of each hop at that moment: a crash, a restart, an idle limit of the body.".to_owned(),
        ],
        untold: Some("No field can tell which hop it was: the head had left before.".to_owned()),
    }
}

/// By the default pages of others.
fn looks(answer: &Answer) -> Option<Diagnosis> {
    let status = answer.status.as_u16();
    let Sign { product, says, look } = foreign::sign(status, &answer.headers, &answer.body)?;
    let mut diagnosis = match says {
        Says::Relayed => return None,
        Says::Own if status < 400 => return None,
        Says::Own if status >= 500 => Diagnosis {
            place: Place::At(product.to_owned()),
            verdict: format!("{product} itself answered {status}, and asked nobody."),
            means: format!("The page is one of {product}: it was made to answer so, or failed itself."),
            checks: Vec::new(),
            ..by_status(answer)
        },
        Says::Own => Diagnosis {
            verdict: format!("No hop failed: {product} itself answered {status}, and asked nobody."),
            ..by_status(answer)
        },
        Says::Failed(kind) => {
            let mut diagnosis =
                Speaker::named(product, None).tells(kind, Some(status), place(kind, Some(product)), Sure::Looks);
            let why = if kind == FailureKind::Unclassified { " It does not say why." } else { "" };
            let more = format!(
                "This {status} has the looks of {product}; it gives no name, so it may be any {product} on the way.{why}"
            );
            diagnosis.untold = Some(more);
            if kind == FailureKind::HttpResponseTimeout {
                diagnosis.means = LATE.to_owned();
            }
            diagnosis
        }
    };
    diagnosis.sure = Sure::Looks;
    diagnosis.checks.insert(0, look.to_owned());
    Some(diagnosis)
}

/// Others say 504 of a connection that was not made, too.
const LATE: &str = "It waited too long: for the connection or for the answer, which is not told.";

/// Nobody says anything: what is left is the status.
fn by_status(answer: &Answer) -> Diagnosis {
    let status = answer.status.as_u16();
    let by_itself = Diagnosis {
        place: Place::Application,
        kind: None,
        sure: Sure::Status,
        verdict: format!("The application answered {status} by itself: no gateway says that it failed."),
        means: "The request went all the way, and what answers it failed there.".to_owned(),
        checks: vec!["What does the log of the application say at that moment?".to_owned()],
        untold: Some("A gateway that answers in the name of the application looks the same.".to_owned()),
    };
    match status {
        // A gateway's statuses (RFC 9110, sections 15.6.3 and 15.6.5), unless it is known that it was relayed.
        502 | 504 if !is_relayed(answer) => {
            let late = if status == 504 { FailureKind::HttpResponseTimeout } else { FailureKind::Unclassified };
            let mut diagnosis = Speaker::unnamed().tells(late, Some(status), Place::Somewhere, Sure::Status);
            if status == 504 {
                diagnosis.means = LATE.to_owned();
            }
            if let Some(server) = answer.headers.get(header::SERVER) {
                let server = clean(server.as_bytes(), 60);
                diagnosis
                    .checks
                    .insert(0, format!("The first hop, or one behind it, calls itself {server}: look there first."));
            }
            diagnosis.untold = Some(format!(
                "{status} is what gateways answer, but this one says neither who it is nor why. Ask each hop directly."
            ));
            diagnosis
        }
        503 => Diagnosis {
            place: Place::Somewhere,
            verdict: "A hop that does not give its name is not available at the moment (503).".to_owned(),
            means:
                "It is overloaded, being restarted or in maintenance, or a gateway holds what is behind it to be down."
                    .to_owned(),
            checks: vec![
                "Does it say when to come back (Retry-After)? Ask again then.".to_owned(),
                "Is the application running and ready, and what do the health checks of the gateways say?".to_owned(),
            ],
            untold: Some("503 may be from the application or from any gateway. Ask each hop directly.".to_owned()),
            ..by_itself
        },
        500.. => by_itself,
        400.. => Diagnosis {
            place: Place::Nowhere,
            verdict: format!("No hop failed: the request was answered {status}, and that is the client's to change."),
            means: "The request got to somebody who understood it, and did not want it so.".to_owned(),
            checks: vec!["Are path, method and credentials as they should be?".to_owned()],
            ..by_itself
        },
        _ => Diagnosis {
            place: Place::Nowhere,
            verdict: match answer.end {
                End::Unread => format!("No hop failed: {status}, and the body is more than anyone wants to read."),
                _ => format!("No hop failed: {status}, and the body is complete."),
            },
            means: "Every hop on the way did its part.".to_owned(),
            checks: Vec::new(),
            untold: None,
            ..by_itself
        },
    }
}

/// Whether a gateway says that the status is not its own.
fn is_relayed(answer: &Answer) -> bool {
    let sign = foreign::sign(answer.status.as_u16(), &answer.headers, &answer.body);
    sign.is_some_and(|sign| sign.says == Says::Relayed)
}

/// Sentences begin with a capital letter, names keep theirs.
fn capital(text: &str) -> String {
    let sentence = text.strip_prefix("the ").map(|rest| format!("The {rest}"));
    let sentence = sentence.or_else(|| text.strip_prefix("that ").map(|rest| format!("That {rest}")));
    sentence.unwrap_or_else(|| text.to_owned())
}

#[cfg(test)]
#[path = "read/tests.rs"]
mod tests;
