//! The README says what the code does.

use tower_bad_gateway::FailureKind;

const README: &str = include_str!("../../README.md");

#[test]
fn the_table_of_failures_and_answers_is_that_of_the_code() {
    let mut seen = Vec::new();
    let mut wrong = Vec::new();
    let rows = README
        .lines()
        .skip_while(|line| !line.starts_with("| failure |"))
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    for row in rows {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        // In front of the remark.
        let names = cells[0].split(" (").next().unwrap().split(' ').map(|name| name.trim_matches('`'));
        for name in names {
            let kind = FailureKind::ALL.iter().find(|kind| kind.token() == name);
            let code = kind.map(|kind| {
                [kind.status().as_u16().to_string(), kind.grpc_code().to_string(), kind.blame().as_str().to_owned()]
            });
            if code.as_ref().map(|code| code.iter().map(String::as_str).collect::<Vec<_>>())
                != Some(cells[1..].to_vec())
            {
                wrong.push((name, cells[1..].to_vec(), code));
            }
            seen.push(name);
        }
    }
    seen.sort_unstable();
    let mut all: Vec<_> = FailureKind::ALL.iter().map(|kind| kind.token()).collect();
    all.sort_unstable();
    assert!(wrong.is_empty(), "(name, README, code): {wrong:#?}");
    assert_eq!(seen, all, "every kind once");
}

#[test]
fn every_feature_is_in_the_table() {
    let manifest = include_str!("../../Cargo.toml");
    let section = manifest.split("[features]").nth(1).unwrap().split("\n[").next().unwrap();
    let features =
        section.lines().filter(|line| !line.starts_with('#')).filter_map(|line| Some(line.split_once(" = ")?.0));
    let (default, defaults) = ("default", section.lines().find(|line| line.starts_with("default")).unwrap());
    let wrong: Vec<_> = features
        .filter(|feature| *feature != default)
        .filter(|feature| {
            let is_default = if defaults.contains(&format!("\"{feature}\"")) { "yes " } else { "" };
            !README.contains(&format!("| `{feature}` | {is_default}|"))
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    assert!(README.contains(&format!("Rust {} or newer", env!("CARGO_PKG_RUST_VERSION"))));
}

#[test]
fn it_is_short_enough_to_be_read() {
    assert!(README.lines().count() <= 150);
}

/// A bar in a cell that is not escaped ends the cell, and what follows is not shown.
#[test]
fn every_row_has_as_many_cells_as_its_head() {
    let pages = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/guide")).unwrap();
    let mut texts: Vec<_> = pages.map(|page| std::fs::read_to_string(page.unwrap().path()).unwrap()).collect();
    texts.push(README.to_owned());
    let mut wrong = Vec::new();
    let mut rows = 0;
    for text in &texts {
        let mut head = None;
        for line in text.lines() {
            let cells = line.replace("\\|", "").matches('|').count();
            head = line.starts_with('|').then(|| head.unwrap_or(cells));
            rows += usize::from(head.is_some());
            if head.is_some_and(|head| head != cells) {
                wrong.push(line);
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(rows > 100, "{rows}");
}
