//! The alerts of `monitoring/` ask for what is really counted: a label that nobody writes makes an alert that never fires.

use std::{fs, path::Path};

use tower_bad_gateway::{
    FailureKind,
    failure::{Blame, Phase},
};

use crate::metrics::documented;

/// Of every selector such as `name{label="value",...}`: the name, and its labels.
fn selectors(text: &str) -> Vec<(String, Vec<(String, String)>)> {
    let mut found = Vec::new();
    // Where several metrics are summed up, their names are one expression.
    let several = "bad_gateway_(failures|abandoned|responses)_total";
    found.extend(["failures", "abandoned", "responses"].map(|name| (format!("bad_gateway_{name}_total"), Vec::new())));
    // What a rule records is no metric of ours.
    let text = text.replace(several, "").replace("upstream:bad_gateway_calls:rate5m", "");
    for (at, _) in text.match_indices("bad_gateway_") {
        let rest = &text[at..];
        let end = rest.find(|character: char| !character.is_ascii_alphanumeric() && character != '_').unwrap();
        let labels =
            rest[end..].strip_prefix('{').and_then(|labels| labels.split_once('}')).map_or("", |(labels, _)| labels);
        let labels = labels.split("\",").filter(|label| !label.is_empty()).map(|label| {
            let (name, value) = label.split_once('=').unwrap();
            (name.to_owned(), value.trim_matches(['~', '"', '\\']).to_owned())
        });
        found.push((rest[..end].to_owned(), labels.collect()));
    }
    found
}

fn file(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("monitoring").join(name)).unwrap()
}

#[test]
fn alerts_ask_for_metrics_and_labels_that_there_are() {
    let documented = documented();
    let tokens: Vec<_> = FailureKind::ALL.iter().map(|kind| kind.token()).collect();
    let blames = [Blame::Client, Blame::Gateway, Blame::Upstream, Blame::Unknown].map(Blame::as_str);
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
    let phases = phases.map(Phase::as_str);
    let mut wrong = Vec::new();
    let mut seen = 0;
    for text in [file("alerts.yml"), file("alerts_test.yml")] {
        for (metric, labels) in selectors(&text) {
            seen += 1;
            let Some(known) = documented.get(&*metric) else {
                wrong.push(metric);
                continue;
            };
            for (name, value) in labels {
                let fits = match &*name {
                    "error" => value.starts_with(".+") || tokens.contains(&&*value),
                    "blame" => value.split('|').all(|blame| blames.contains(&blame)),
                    "phase" => phases.contains(&&*value),
                    _ => true,
                };
                if !known.contains(&*name) || !fits {
                    wrong.push(format!("{metric}: {name}={value}"));
                }
            }
        }
    }
    assert!(seen > 100, "only {seen} selectors were found: the test does not read what it should");
    assert!(wrong.is_empty(), "{wrong:#?}");
}
