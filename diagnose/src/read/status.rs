//! Nobody says anything: what is left is the status.

use http::header;
use tower_bad_gateway::FailureKind;

use super::{Answer, Diagnosis, Place, Speaker, Sure, by_gateway, clean, looks::LATE};
use crate::{ask::End, foreign, report::time};

pub(super) fn by_status(answer: &Answer, first: &str) -> Diagnosis {
    match answer.status.as_u16() {
        status @ (101 | 600..) => invalid(status, first),
        status @ 500.. if foreign::is_relayed(&answer.headers) => relayed(status),
        status @ 500.. => by_gateway::passed_by(answer)
            .map(|name| passed(status, &name))
            .unwrap_or_else(|| if status == 503 { unavailable() } else { unnamed(status, answer) }),
        status @ 400.. => refused(status),
        status => healthy(status, answer),
    }
}

/// It is no answer to what was asked.
fn invalid(status: u16, first: &str) -> Diagnosis {
    let (kind, verdict) = if status == 101 {
        (FailureKind::HttpUpgradeFailed, "switched protocols (101), and nobody had asked for it")
    } else {
        (FailureKind::HttpProtocolError, "answered a status that HTTP does not have")
    };
    let place = Place::FirstOrBehind(first.to_owned());
    let mut diagnosis = Speaker::unnamed().tells(kind, Some(status), place, Sure::Seen);
    let status = if status == 101 { String::new() } else { format!(" ({status})") };
    diagnosis.verdict = format!("{first}, or a hop behind it, {verdict}{status}.");
    diagnosis.means = "Something answered, but it broke the rules of HTTP.".to_owned();
    diagnosis.checks = vec!["Ask each hop directly (curl -v): the last one that answers so is at fault.".to_owned()];
    diagnosis
}

/// Envoy says how long the hop behind it took: it did answer.
fn relayed(status: u16) -> Diagnosis {
    let place = Place::Behind("Envoy".to_owned());
    let mut diagnosis =
        Speaker::named("Envoy", None).tells(FailureKind::ReceivedStatus, Some(status), place, Sure::Looks);
    diagnosis.verdict = format!("Envoy was answered {status} by what is behind it, and passed it on.");
    diagnosis.means = "The service behind Envoy was reached, and answered an error.".to_owned();
    diagnosis.untold = Some(
        "Why is not told, nor whether a hop further on is the cause. Envoy gives no name: it may be any on the way."
            .to_owned(),
    );
    diagnosis
}

/// A gateway gives its name, and nothing else.
fn passed(status: u16, name: &str) -> Diagnosis {
    let kind = kind(status);
    let place = Place::AtOrBehind(name.to_owned());
    let mut diagnosis = Speaker::named(name, None).tells(kind, Some(status), place, Sure::Told);
    diagnosis.verdict = format!("{name} answered {status}, or passed it on: it does not say why.");
    diagnosis.means = if status == 504 {
        LATE.to_owned()
    } else {
        format!("It failed itself, or what is behind {name} did not answer, or answered so.")
    };
    diagnosis.untold = Some(format!(
        "{name} has put its name into Proxy-Status, but no failure. Look into its log, and ask what is behind it directly."
    ));
    diagnosis
}

fn kind(status: u16) -> FailureKind {
    if status == 504 { FailureKind::HttpResponseTimeout } else { FailureKind::Unclassified }
}

fn unavailable() -> Diagnosis {
    Diagnosis {
        verdict: "A hop that does not give its name is not available at the moment (503).".to_owned(),
        means: "It is overloaded, being restarted or in maintenance, or a gateway holds what is behind it to be down."
            .to_owned(),
        checks: vec![
            "Does it say when to come back (Retry-After)? Ask again then.".to_owned(),
            "Is the application running and ready, and what do the health checks of the gateways say?".to_owned(),
        ],
        untold: Some("503 may be from the application or from any gateway. Ask each hop directly.".to_owned()),
        ..nobody(503)
    }
}

fn unnamed(status: u16, answer: &Answer) -> Diagnosis {
    // What a gateway is to answer (RFC 9110, sections 15.6.3 and 15.6.5).
    if ![502, 504].contains(&status) {
        return nobody(status);
    }
    let mut diagnosis = Speaker::unnamed().tells(kind(status), Some(status), Place::Somewhere, Sure::Status);
    if status == 504 {
        diagnosis.means = LATE.to_owned();
    }
    if let Some(server) = answer.headers.get(header::SERVER) {
        let server = clean(server.as_bytes(), 60);
        let check = format!("The first hop, or one behind it, calls itself {server}: look there first.");
        diagnosis.checks.insert(0, check);
    }
    diagnosis.untold = Some(format!(
        "{status} is what gateways answer, but this one says neither who it is nor why. Ask each hop directly."
    ));
    diagnosis
}

fn nobody(status: u16) -> Diagnosis {
    Diagnosis {
        place: Place::Somewhere,
        failed: true,
        kind: None,
        sure: Sure::Status,
        verdict: format!("{status}, and nobody says who made it: most likely the application."),
        means: "Most often the application failed at this request. But some gateways answer 500 for a hop behind them \
                that they cannot reach: Traefik, Apache httpd and fastify do."
            .to_owned(),
        checks: vec![
            "What does the log of the application say at that moment?".to_owned(),
            "If it says nothing: was it asked at all, and what do the logs of the gateways say?".to_owned(),
        ],
        untold: Some("Which hop made it. Ask each hop directly.".to_owned()),
    }
}

fn refused(status: u16) -> Diagnosis {
    let untold = if status == 404 {
        "Who answered: the application, or a gateway that has no route for this host and path."
    } else {
        "Who answered: the application, or a gateway in front of it."
    };
    Diagnosis {
        place: Place::Nowhere,
        failed: false,
        verdict: format!("No hop failed: the request was answered {status}, and that is the client's to change."),
        means: "The request got to somebody who understood it, and did not want it so.".to_owned(),
        checks: vec!["Are path, method and credentials as they should be?".to_owned()],
        untold: Some(untold.to_owned()),
        ..nobody(status)
    }
}

fn healthy(status: u16, answer: &Answer) -> Diagnosis {
    let (place, verdict, means) = match &answer.end {
        End::Unfinished(silence) => (
            Place::NoneKnown,
            format!(
                "No hop is known to have failed: {status}, and the body was not at its end when the time was over."
            ),
            format!("{} bytes came, the last of them {} before.", answer.received, time(*silence)),
        ),
        End::Closed => (
            Place::Nowhere,
            format!(
                "No hop is known to have failed: {status}, and the body ended with the connection, so its end cannot be checked."
            ),
            "Every hop on the way did its part, unless one was cut off: nobody had said how long the body is."
                .to_owned(),
        ),
        _ => (
            Place::Nowhere,
            format!("No hop failed: {status}, and the body is complete."),
            "Every hop on the way did its part.".to_owned(),
        ),
    };
    let checks = match place {
        Place::NoneKnown => vec!["If it is to end: wait longer for it (--timeout).".to_owned()],
        _ => Vec::new(),
    };
    Diagnosis { place, failed: false, verdict, means, checks, untold: None, ..nobody(status) }
}
