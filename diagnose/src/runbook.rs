//! Every kind of failure on one page, for whoever is woken by an alert: `monitoring/RUNBOOK.md`.

use std::fmt::Write;

use tower_bad_gateway::FailureKind;

use crate::words::words;

/// In Markdown, a section for each token.
pub(crate) fn markdown() -> String {
    let mut page = String::from(HEAD);
    for kind in FailureKind::ALL {
        let words = words(*kind);
        let named = |text: &str| {
            let text = text.replace("{by}", "the gateway").replace("{next}", "the upstream");
            text.replace(". the ", ". The ")
        };
        let _ = write!(page, "\n## {}\n\n", kind.token());
        let _ = writeln!(page, "{}. The gateway {}.", answered(*kind), named(words.says));
        let _ = writeln!(page, "{}\n", sentence(&named(words.means)));
        for check in words.checks {
            let _ = writeln!(page, "- {}", sentence(&named(check)));
        }
        if let Some(setting) = setting(*kind) {
            let _ = writeln!(page, "\nTo set: {setting}.");
        }
    }
    page
}

/// What callers get, and who is blamed, where that is not in the table of kinds.
fn answered(kind: FailureKind) -> String {
    let (status, code, blame) = (kind.status(), kind.grpc_code(), kind.blame().as_str());
    match kind {
        FailureKind::ReceivedStatus => format!("The upstream's own status, gRPC by that, blame: {blame}"),
        FailureKind::HttpRequestError => {
            format!("{status}, 408 if it was too slow, 413 if it was too long, gRPC {code}, blame: {blame}")
        }
        FailureKind::DestinationUnavailable => {
            format!("{status}, gRPC {code}, blame: {blame}, or unknown where it was merely not ready in time")
        }
        _ => format!("{status}, gRPC {code}, blame: {blame}"),
    }
}

/// A name at the beginning of a sentence is no longer one.
fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map(|first| first.to_uppercase().chain(characters).collect()).unwrap_or_default()
}

/// What there is to set on the layer or beside it; for most kinds nothing: what is broken is to be mended.
fn setting(kind: FailureKind) -> Option<&'static str> {
    use FailureKind as Kind;
    Some(match kind {
        Kind::DestinationUnavailable => {
            "what stands inside of the layer and was not ready (`ConcurrencyLimit`, `Buffer`, a pool, a balancer), `ready_timeout` (how long it may take), `retry_after` (when clients may come back)"
        }
        Kind::ConnectionLimitReached => {
            "the limit in your own stack (`ConcurrencyLimit`, `LoadShed`), the limit of open files of the process, `retry_after` (when clients may come back)"
        }
        Kind::ConnectionTimeout => {
            "the connect timeout of the client library (hyper-util: `HttpConnector::set_connect_timeout`), below `head_timeout`"
        }
        Kind::ConnectionTerminated => {
            "the idle time of the client's pool (hyper-util: `pool_idle_timeout`), below the keep-alive time of the upstream"
        }
        Kind::ConnectionReadTimeout => "`idle_timeout`, or `Timeouts::idle` for one request",
        Kind::ConnectionWriteTimeout => {
            "`head_timeout`: it counts anew from the last part of the upload that was taken"
        }
        Kind::HttpRequestError => "`RequestBodyTap::idle_timeout`, where the client was silent (408)",
        Kind::HttpResponseHeaderSectionSize
        | Kind::HttpResponseHeaderSize
        | Kind::HttpResponseTrailerSectionSize
        | Kind::HttpResponseTrailerSize => {
            "`limit_fields`, and the limits of the client library, which are reached first if lower"
        }
        Kind::HttpResponseTimeout => {
            "`head_timeout`, `total_timeout`, or `Timeouts` for one request: above the slowest honest answer, below the limit of the hop in front. Where `limit` is `client_deadline`, it is the caller's own (`grpc-timeout`)"
        }
        Kind::HttpResponseIncomplete => {
            "nothing, unless `trust_end_of_stream` is set around a body that does not pass `is_end_stream` on"
        }
        Kind::HttpProtocolError => "`allow_status`, if it was a status above 599 that is meant to be",
        Kind::ProxyLoopDetected => {
            "`gateway_name`, and `Via` on the way to the upstream, so that a loop is seen in its first round"
        }
        Kind::ReceivedStatus => "the rule that intercepts (`intercept`), or the validator that does (`validate`)",
        Kind::Unclassified => "a reader for this error (`classify`); its chain is in the event, as `cause`",
        _ => return None,
    })
}

const HEAD: &str = "\
# When it fails: by token

Each failure has a token: `error` in the metrics, `error.type` in the log, `code` in JSON and problem details, and, but for
`received_status` and `unclassified`, `error` in `Proxy-Status`. The event in the log has the rest: `cause` (what the client library said, or
which rule of the layer was broken, with what was seen, such as the time that ran out), `phase`, `limit` (which time limit it was), and
whether the request was sent (`retry_safety`).

Whose failure it is, is in `blame`: `upstream` (it, or the way to it), `gateway` (its configuration, its limits, a bug), `client` (its upload), or
`unknown`.

Three alerts have no token:

- ClientsGiveUp: clients leave before they are answered. Look at the upstream as for `http_response_timeout`, and whether `head_timeout`
  is above the patience of clients and of the hop in front: below it they would be answered, and the failure would have a name.
- UpstreamAnswersErrors: the upstream answers 5xx by itself. Look at its log; the layer passes such answers on unless it is told to
  intercept them.
- FailuresLeftOutOfTheLog: more failures of a kind than `event_limit` lets be written. They are counted all the same; each line that
  follows says how many were left out before it (`left_out`).

This page is written by `bad-gateway-diagnose --runbook`; `bad-gateway-diagnose URL` asks the same of a URL.
";

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_page_is_the_one_that_is_published() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../monitoring/RUNBOOK.md");
        let published = std::fs::read_to_string(path).unwrap();
        assert!(
            published == markdown(),
            "run: cargo run --package bad-gateway-diagnose -- --runbook > monitoring/RUNBOOK.md"
        );
    }

    /// What is named there is there: a name that has changed would send people looking.
    #[test]
    fn settings_are_those_of_the_layer() {
        let sources = [
            "layer/mod.rs",
            "layer/response.rs",
            "layer/time.rs",
            "layer/observe.rs",
            "tap.rs",
            "context/extensions.rs",
        ]
        .map(|file| std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../src").join(file)).unwrap())
        .concat();
        let foreign = [
            "Buffer",
            "is_end_stream",
            "limit",
            "client_deadline",
            "grpc-timeout",
            "ConcurrencyLimit",
            "LoadShed",
            "HttpConnector::set_connect_timeout",
            "pool_idle_timeout",
            "Via",
            "cause",
        ];
        let named: Vec<_> = FailureKind::ALL
            .iter()
            .filter_map(|kind| setting(*kind))
            .flat_map(|text| text.split('`').skip(1).step_by(2))
            .filter(|name| !foreign.contains(name))
            .collect();
        let is_there = |name: &str| {
            let last = name.rsplit("::").next().unwrap();
            sources.contains(&format!("pub fn {last}(")) || sources.contains(&format!("pub struct {last}"))
        };
        let unknown: Vec<_> = named.iter().filter(|name| !is_there(name)).collect();
        assert!(named.len() > 10 && unknown.is_empty(), "{unknown:?}");
    }
}
