//! The alerts of `monitoring/` ask for what is really counted: a label that nobody writes makes an alert that never fires.

use std::{fs, path::Path};

use tower_bad_gateway::{
    FailureKind,
    failure::{Blame, Phase},
};

use crate::metrics::documented;

/// A metric, and its labels with the values they are compared with.
type Selector = (String, Vec<(String, Vec<String>)>);

/// Of every selector such as `name{label="value",...}`.
fn selectors(text: &str) -> Vec<Selector> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("bad_gateway_") {
        let rest = &text[at..];
        let end = rest.find(|character: char| !character.is_ascii_alphanumeric() && character != '_').unwrap();
        let labels = rest[end..].strip_prefix('{').and_then(|labels| labels.split_once('}'));
        let labels = labels.map_or("", |(labels, _)| labels).split("\",").filter(|label| !label.is_empty());
        let labels = labels.map(|label| {
            let operator = label.find(['=', '!']).unwrap();
            let values = label[operator..].trim_matches(['=', '!', '~', '"', '\\']);
            (label[..operator].to_owned(), values.split('|').map(str::to_owned).collect())
        });
        found.push((rest[..end].to_owned(), labels.collect()));
    }
    found
}

fn file(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("monitoring").join(name)).unwrap()
}

/// Whether a label can have such a value.
fn is_value(label: &str, value: &str) -> bool {
    let phases = [
        Phase::Readiness,
        Phase::Resolve,
        Phase::Connect,
        Phase::Tls,
        Phase::RequestBody,
        Phase::ResponseHead,
        Phase::ResponseBody,
        Phase::Unknown,
    ];
    let blames = [Blame::Client, Blame::Gateway, Blame::Upstream, Blame::Unknown];
    let classes = ["1xx", "2xx", "3xx", "4xx", "5xx", "other"];
    match label {
        "error" => {
            let end = value.strip_prefix(".+");
            let fits = |token: &str| end.map_or(token == value, |end| token.ends_with(end));
            FailureKind::ALL.iter().any(|kind| fits(kind.token()))
        }
        "phase" => phases.map(Phase::as_str).contains(&value),
        "blame" => blames.map(Blame::as_str).contains(&value),
        "class" => classes.contains(&value),
        "intercepted" => ["true", "false"].contains(&value),
        "status" => classes.contains(&value) || value.parse().is_ok_and(|code: u16| (100..600).contains(&code)),
        "grpc_status" => ["", "UNAVAILABLE", "DEADLINE_EXCEEDED"].contains(&value),
        // Names that users give.
        "upstream" | "endpoint" => true,
        _ => false,
    }
}

#[test]
fn alerts_ask_for_metrics_and_labels_that_there_are() {
    let documented = documented();
    let mut wrong = Vec::new();
    let mut seen = 0;
    for text in [file("alerts.yml"), file("alerts_test.yml")] {
        for (metric, labels) in selectors(&text) {
            seen += 1;
            let Some(known) = documented.get(&*metric) else {
                wrong.push(metric);
                continue;
            };
            // Prometheus adds the name of the job; the counters may have an endpoint.
            let is_known = |name: &str| known.contains(name) || name == "endpoint" && metric.ends_with("_total");
            for (name, values) in labels.iter().filter(|(name, _)| name != "job") {
                if !is_known(name) || !values.iter().all(|value| is_value(name, value)) {
                    wrong.push(format!("{metric}: {name}={values:?}"));
                }
            }
        }
    }
    assert!(seen > 200, "only {seen} selectors were found: the test does not read what it should");
    assert!(wrong.is_empty(), "{wrong:#?}");
}
