//! What happened to this program itself.

use tower_bad_gateway::{
    Failure, FailureKind,
    failure::{Blame, FailureClass, Phase},
};

use super::{Answer, Diagnosis, Place, Speaker, Sure, fill};
use crate::{ask::End, report::time};

/// No head came: this program is the one who tells, and the hop behind it is the first.
pub(super) fn no_head(failure: &Failure, first: &str) -> Diagnosis {
    let speaker = Speaker {
        subject: "This computer".to_owned(),
        by: "this computer".to_owned(),
        behind: format!("the first hop ({first})"),
        next: first.to_owned(),
    };
    let (kind, phase) = (failure.kind(), failure.phase());
    // A fault of our own is no fault of theirs; a limit is theirs once there is a connection over which they can tell of it.
    let is_theirs = matches!(failure.blame(), Blame::Upstream | Blame::Unknown)
        || (kind, phase) == (FailureKind::ConnectionLimitReached, Phase::ResponseHead);
    let place = if is_theirs { Place::First(first.to_owned()) } else { Place::Here };
    let mut diagnosis = speaker.tells(kind, None, place, Sure::Seen);
    diagnosis.failed = true;
    if let Some((says, means, checks)) = words(kind, phase) {
        let fill = |text: &str| fill(text, &speaker.by, first);
        diagnosis.verdict = fill(says);
        diagnosis.means = fill(means);
        diagnosis.checks = checks.iter().map(|check| fill(check)).collect();
    }
    let is_waiting = phase == Phase::ResponseHead;
    diagnosis.untold = (is_waiting && kind.class() == Some(FailureClass::Timeout)).then(|| {
        format!("{first} may be waiting for a hop behind it itself. Ask that one directly, or wait longer (--timeout) for what {first} will say.")
    });
    diagnosis
}

/// A gateway has a configuration, a pool and a log; whoever asks once, from a shell, has none: what it would look up there is
/// said otherwise here.
#[rustfmt::skip] // a table
fn words(kind: FailureKind, phase: Phase) -> Option<(&'static str, &'static str, &'static [&'static str])> {
    use FailureKind as Kind;
    Some(match (kind, phase) {
        (Kind::DnsError, _) => ("This computer could not resolve the name of the first hop ({next}).", "No request was sent: it has no known address.",
            &["Is the name in the URL spelled correctly?", "Does it exist where you are (dig, getent hosts), or only inside of another network?"]),
        (Kind::ConnectionTimeout, Phase::Tls) => ("The first hop ({next}) took the connection, but did not finish the TLS handshake in time.", "No request was sent. It is stuck or overloaded, or does not speak TLS there and waits for something else.",
            &["Does {next} speak TLS on that port at all (openssl s_client -connect)? Try http:// or the other port.", "Is it overloaded, or out of threads?"]),
        (Kind::ConnectionTerminated, Phase::Tls) => ("The first hop ({next}) closed the connection in the middle of the TLS handshake.", "No request was sent.",
            &["Does {next} speak TLS on that port at all (openssl s_client -connect)? Try http:// or the other port.", "Does it know the name that is asked for (SNI), and has it a certificate for it?", "Does something on the way forbid that name?"]),
        (Kind::ConnectionTerminated, Phase::Connect) => ("The first hop ({next}) cut the connection off while it was made.", "No request was sent.",
            &["Does a firewall, or something else on the way, forbid the connection?", "Is the service of {next} running?"]),
        (Kind::ConnectionTerminated, _) => ("The first hop ({next}) closed the connection before there was a complete answer.", "The connection was made, then closed or reset. The request may have been processed.",
            &["Did {next} crash, or was it restarted or killed for its memory, at that moment?", "Is it the right port, and does it want TLS there? Try https://.", "What does its log say at that moment?"]),
        (Kind::DestinationUnavailable, _) => ("The first hop ({next}) refused the request, and did not process it.", "It may well take it in a moment: it is being restarted, or has too much to do.",
            &["Is {next} being restarted, or overloaded?", "Ask again."]),
        (Kind::ConnectionLimitReached, Phase::ResponseHead) => ("The first hop ({next}) wants fewer requests: it ended the connection with ENHANCE_YOUR_CALM.", "It protects itself from a client that asks too much, or that it takes for one.",
            &["Which limit of {next} counts requests, connections or resets of this client?", "Do other clients behind the same address ask a lot?"]),
        (Kind::ConnectionLimitReached, _) => ("This computer has nothing left to make a connection with: no descriptor, no port, or no address of that kind.", "No request was sent. The fault is here, not with {next}.",
            &["Has the name IPv6 addresses alone, and is IPv6 switched off here (ip -6 address)?", "How many files and connections are open (ulimit -n, ss -s)?"]),
        (Kind::TlsAlertReceived, _) => ("The first hop ({next}) refused the TLS connection, by an alert.", "The error below names the alert. The request was not processed.",
            &["Does {next} want a client certificate (openssl s_client shows it as \"Acceptable client certificate CA names\")? None is sent.", "Does it know the name that is asked for (SNI)?", "Have both sides a TLS version and a cipher in common?"]),
        (Kind::HttpRequestError, _) => ("This computer could not send the request.", "The fault is here, not with {next}.", &["Are the fields of --header as they should be?"]),
        _ => return None,
    })
}

/// After the head nobody can say any more what went wrong.
pub(super) fn cut_off(answer: &Answer, first: String) -> Diagnosis {
    let (status, length) = (answer.status.as_u16(), answer.received);
    let (kind, how, what) = match &answer.end {
        End::Silent(silence) => (
            FailureKind::ConnectionReadTimeout,
            format!("did not go on after {length} bytes: {first}, or a hop behind it, is stuck or slow"),
            format!("Nothing came in the last {}, then the time was over.", time(*silence)),
        ),
        End::Broken(failure) => (
            failure.kind(),
            format!("was cut off after {length} bytes: {first}, or a hop behind it, failed"),
            "What came is not all of it: it must not be used.".to_owned(),
        ),
        _ => (FailureKind::HttpResponseIncomplete, "is not complete".to_owned(), String::new()),
    };
    Diagnosis {
        verdict: format!("The head said {status}, but the body {how}."),
        place: Place::FirstOrBehind(first),
        failed: true,
        kind: Some(kind),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::exit;

    const FIRST: &str = "the first hop (www.example)";
    const HERE: &str = "this computer";

    #[test]
    fn what_happens_here_is_blamed_on_the_first_hop_or_on_nobody_else() {
        use FailureKind as Kind;
        let wrong: Vec<_> = [
            (Kind::DnsError, Phase::Resolve, FIRST, "could not resolve the name of the first hop (www.example)."),
            (Kind::DnsTimeout, Phase::Resolve, FIRST, "did not learn the address of"),
            (Kind::ConnectionRefused, Phase::Connect, FIRST, "This computer could not connect to the first hop"),
            (
                Kind::ConnectionTimeout,
                Phase::Connect,
                FIRST,
                "could not connect to the first hop (www.example) in time",
            ),
            (Kind::ConnectionTimeout, Phase::Tls, FIRST, "took the connection, but did not finish the TLS handshake"),
            (Kind::ConnectionTerminated, Phase::Connect, FIRST, "while it was made"),
            (Kind::ConnectionTerminated, Phase::Tls, FIRST, "in the middle of the TLS handshake"),
            (
                Kind::ConnectionTerminated,
                Phase::ResponseHead,
                FIRST,
                "closed the connection before there was a complete",
            ),
            (Kind::TlsCertificateError, Phase::Tls, FIRST, "does not accept the certificate"),
            (Kind::TlsAlertReceived, Phase::Tls, FIRST, "The first hop (www.example) refused the TLS connection"),
            (Kind::HttpResponseTimeout, Phase::ResponseHead, FIRST, "got no complete answer"),
            (Kind::DestinationUnavailable, Phase::ResponseHead, FIRST, "refused the request, and did not process it"),
            (
                Kind::ConnectionLimitReached,
                Phase::ResponseHead,
                FIRST,
                "The first hop (www.example) wants fewer requests",
            ),
            (Kind::HttpProtocolError, Phase::ResponseHead, FIRST, "got no valid HTTP from the first hop"),
            (
                Kind::ConnectionLimitReached,
                Phase::Connect,
                HERE,
                "This computer has nothing left to make a connection with",
            ),
            (Kind::ProxyInternalError, Phase::Connect, HERE, "This computer failed itself"),
            (Kind::HttpRequestError, Phase::RequestBody, HERE, "This computer could not send"),
        ]
        .into_iter()
        .filter_map(|(kind, phase, hop, part)| {
            let diagnosis = no_head(&Failure::new(kind).with_phase(phase), "www.example");
            let is_right = diagnosis.place.hop() == hop && diagnosis.verdict.contains(part) && exit(&diagnosis) == 1;
            (!is_right).then(|| format!("{kind}: {} ({})", diagnosis.verdict, diagnosis.place.hop()))
        })
        .collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn nothing_is_said_of_the_first_hop_that_was_meant_for_a_gateway() {
        for &kind in FailureKind::ALL {
            for phase in [Phase::Resolve, Phase::Connect, Phase::Tls, Phase::ResponseHead] {
                let Diagnosis { verdict, means, checks, untold, .. } =
                    no_head(&Failure::new(kind).with_phase(phase), "www.example");
                let text = format!("{verdict} {means} {} {}", checks.join(" "), untold.unwrap_or_default());
                assert!(!text.contains(['{', '}']), "{kind}: {text}");
                assert!(!text.contains("idle connections"), "{kind}: {text}");
                if phase == Phase::Tls
                    && [FailureKind::ConnectionTimeout, FailureKind::ConnectionTerminated].contains(&kind)
                {
                    assert!(means.contains("No request was sent") && !text.contains("may have been"), "{kind}: {text}");
                }
            }
        }
    }

    #[test]
    fn whoever_has_waited_for_a_head_may_wait_for_another_hop() {
        let untold = |kind, phase| no_head(&Failure::new(kind).with_phase(phase), "www.example").untold;
        assert!(untold(FailureKind::HttpResponseTimeout, Phase::ResponseHead).is_some());
        assert!(untold(FailureKind::ConnectionTimeout, Phase::Tls).is_none());
        assert!(untold(FailureKind::ConnectionTerminated, Phase::ResponseHead).is_none());
    }
}
