//! What gateways say themselves, in `Proxy-Status` and in the body.

use http::{HeaderMap, header};
use serde_json::Value;
use tower_bad_gateway::{FailureKind, failure::Blame, failure::Intermediary, proxy_status::ProxyStatus};

use super::{Answer, Diagnosis, Place, Speaker, Sure, clean, place};

/// The first member that tells of a failure is the hop nearest to it (RFC 9209, section 2).
pub(super) fn by_proxy_status(answer: &Answer) -> Option<Diagnosis> {
    let field = ProxyStatus::of(&answer.headers)?;
    let members = field.intermediaries();
    let status = answer.status.as_u16();
    let Some(at) = members.iter().position(|member| member.error().is_some()) else {
        return received(members, status);
    };
    let teller = members.get(at)?;
    let name = named(teller);
    // Those before it are nearer to the origin: what it has asked.
    let next = at.checked_sub(1).and_then(|before| members.get(before)).map(named);
    let speaker = Speaker::named(&name, next.as_deref());
    let Some(kind) = teller.kind() else {
        let token = clean(teller.error().unwrap_or_default().as_bytes(), 60);
        let mut diagnosis =
            speaker.tells(FailureKind::Unclassified, Some(status), Place::AtOrBehind(name.clone()), Sure::Told);
        diagnosis.verdict = format!("{name} tells of a failure it calls {token} ({status}).");
        diagnosis.untold = Some(format!(
            "{token} is no type of RFC 9209: only the documentation of {name} can say whether it or the hop behind it failed."
        ));
        diagnosis.means = "It could not get an answer, or could not pass it on.".to_owned();
        return Some(diagnosis);
    };
    let mut diagnosis = speaker.tells(kind, Some(status), place(kind, Some(&name)), Sure::Told);
    if kind == FailureKind::ProxyInternalResponse && status < 500 {
        // It is no error, whatever the parameter is called (RFC 9209, section 2.3.28).
        (diagnosis.place, diagnosis.failed) = (Place::Nowhere, false);
        diagnosis.verdict = format!("No hop failed: {}", diagnosis.verdict);
        return Some(diagnosis);
    }
    if let Some(received) = teller.received_status() {
        diagnosis.means = format!("{} It had got the status {received} from there.", diagnosis.means);
    }
    if let Some(said) = teller.details().map(|details| clean(details.as_bytes(), 200)) {
        diagnosis.means = format!("{} It says: \"{said}\".", diagnosis.means);
    }
    if let Some(hop) = teller.next_hop().map(|hop| clean(hop.as_bytes(), 100)) {
        diagnosis.checks.insert(0, format!("It had asked {hop}: is that the right place?"));
    }
    if status < 400 {
        diagnosis.untold =
            Some(format!("The answer is {status} all the same: an older one from a cache, or one that was cut short."));
    } else if kind == FailureKind::ConnectionRefused && is_envoy(&answer.headers) {
        diagnosis.untold = Some(
            "Envoy calls every failure to connect connection_refused: it may be a time limit, TLS or the route."
                .to_owned(),
        );
    }
    Some(diagnosis)
}

/// Nobody tells of a failure, but somebody has received one.
fn received(members: &[Intermediary], status: u16) -> Option<Diagnosis> {
    let teller = members.iter().find(|member| member.received_status().is_some_and(|status| status >= 500))?;
    if status < 400 {
        return None;
    }
    let (name, received) = (named(teller), teller.received_status()?);
    let mut diagnosis = Speaker::named(&name, None).tells(
        FailureKind::ReceivedStatus,
        Some(status),
        Place::Behind(name.clone()),
        Sure::Told,
    );
    diagnosis.verdict = format!("{name} was answered {received} by what is behind it ({status}).");
    diagnosis.means = format!("The service behind {name} was reached, and answered an error of its own.");
    diagnosis.untold = Some(format!(
        "Why it was {received} is not told, nor whether a hop further on is the cause. Ask the service behind {name} directly."
    ));
    Some(diagnosis)
}

/// The gateway nearest to the origin that has given its name, and nothing else: the answer is its own, or was passed on by it.
pub(super) fn passed_by(answer: &Answer) -> Option<String> {
    ProxyStatus::of(&answer.headers)?.intermediaries().first().map(named)
}

/// Problem details, or JSON of the same members: they name the failure, not the hop.
pub(super) fn by_body(answer: &Answer) -> Option<Diagnosis> {
    let status = answer.status.as_u16();
    // A page about a failure is no failure.
    if status < 400 {
        return None;
    }
    let document = problem(answer)?;
    let token = |value: &Value| value.get("code").and_then(Value::as_str).map(str::to_owned);
    let kind = |token: &str| FailureKind::ALL.iter().copied().find(|kind| kind.token() == token);
    if let Some(origin) = document.get("origin") {
        let name = origin.get("name").and_then(Value::as_str).map(|name| clean(name.as_bytes(), 128));
        if let (Some(name), Some(kind)) = (name, token(origin).and_then(|token| kind(&token))) {
            return Some(Speaker::named(&name, None).tells(kind, Some(status), place(kind, Some(&name)), Sure::Body));
        }
    }
    let kind = kind(&token(&document)?)?;
    if let Some(name) = passed_by(answer) {
        let place = if kind.blame() == Blame::Client { Place::Client } else { Place::AtOrBehind(name.clone()) };
        let mut diagnosis = Speaker::at_or_behind(&name).tells(kind, Some(status), place, Sure::Body);
        diagnosis.untold = (kind.blame() != Blame::Client).then(|| {
            format!("{name} has put its name into Proxy-Status, but no failure: the answer may be its own, or only passed on by it.")
        });
        return Some(diagnosis);
    }
    let mut diagnosis = Speaker::unnamed().tells(kind, Some(status), place(kind, None), Sure::Body);
    diagnosis.untold = (kind.blame() != Blame::Client).then(|| {
        "It has no Proxy-Status, so which gateway it was is not told. Ask each hop directly, or give the gateways names.".to_owned()
    });
    Some(diagnosis)
}

/// The body, where it is an object of JSON.
pub(crate) fn problem(answer: &Answer) -> Option<Value> {
    let media_type = answer.headers.get(header::CONTENT_TYPE)?.to_str().ok()?.split(';').next()?.trim();
    let is_json =
        ["application/problem+json", "application/json"].iter().any(|json| media_type.eq_ignore_ascii_case(json));
    if !is_json || answer.body.len() > LONGEST_DOCUMENT {
        return None;
    }
    serde_json::from_slice(&answer.body).ok().filter(Value::is_object)
}

/// In bytes.
const LONGEST_DOCUMENT: usize = 64 * 1024;

pub(super) fn named(member: &Intermediary) -> String {
    clean(member.name().as_bytes(), 60)
}

fn is_envoy(headers: &HeaderMap) -> bool {
    headers.get(header::SERVER).is_some_and(|server| server.as_bytes().eq_ignore_ascii_case(b"envoy"))
}
