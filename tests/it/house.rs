//! The layout is the architecture: imports go down only.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Module and floor, lowest first; within a floor the order counts as well.
const FLOORS: &[(&str, u8)] = &[
    // Words
    ("kind", 0),
    ("caught", 0),
    ("gateway_name", 0),
    ("upstream", 0),
    ("failure", 0),
    ("context", 0),
    // Readers
    ("fields", 1),
    ("body_kind", 1),
    ("context::capture", 1),
    ("classify", 1),
    ("validate", 1),
    // Writers
    ("representation", 2),
    ("format", 2),
    ("dialect", 2),
    ("proxy_status", 2),
    ("hooks", 2),
    // Judge
    ("fallback_service", 3),
    ("policy", 3),
    // Machines
    ("timer", 4),
    ("body", 4),
    ("future", 4),
    // Doors
    ("service", 5),
    ("fallback", 5),
    ("tap", 5),
    ("layer", 5),
    ("retry", 5),
    ("guide", 5),
    ("axum", 5),
    ("tonic", 5),
    ("tower_http", 5),
    ("lib", 5),
];

struct Source {
    module: String,
    /// Without comments and without the tests at its foot.
    code: String,
    /// What stands behind `//`, `///` and `//!`, the tests at its foot included.
    comments: String,
    lines: usize,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    files
        .into_iter()
        .map(|file| {
            let whole = fs::read_to_string(&file).unwrap();
            let path = file.strip_prefix(&root).unwrap().with_extension("");
            let names: Vec<_> = path.iter().map(|name| name.to_str().unwrap()).filter(|name| *name != "mod").collect();
            let tests = whole.find("#[cfg(test)]\nmod tests");
            let code = whole[..tests.unwrap_or(whole.len())]
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"))
                .map(|line| format!("{line}\n"))
                .collect();
            let comments = whole
                .lines()
                .filter_map(|line| line.split_once("//").filter(|(before, _)| !before.ends_with(':')))
                .map(|(_, comment)| format!("{comment}\n"))
                .collect();
            Source { module: names.join("::"), code, comments, lines: whole.lines().count() }
        })
        .collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.push(path);
        }
    }
}

/// Place in the house: the longest entry that the module is, or is inside of.
fn place(module: &str) -> (usize, u8) {
    let inside = |name: &str| module == name || module.starts_with(&format!("{name}::"));
    let found = FLOORS.iter().enumerate().filter(|(_, (name, _))| inside(name)).max_by_key(|(_, (name, _))| name.len());
    let (rank, (_, floor)) = found.unwrap_or_else(|| panic!("{module} has no floor"));
    (rank, *floor)
}

/// The modules that a file names by `crate::`, in `use` groups too.
fn imports(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    let flat: String = code.split_whitespace().collect::<Vec<_>>().join(" ");
    for (at, _) in flat.match_indices("crate::") {
        let rest = &flat[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut item = String::new();
            for character in group.chars() {
                match character {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => found.push(std::mem::take(&mut item)),
                    _ if depth == 0 => item.push(character),
                    _ => {}
                }
            }
            found.push(item);
        } else {
            found.push(
                rest.chars().take_while(|character| character.is_alphanumeric() || "_:".contains(*character)).collect(),
            );
        }
    }
    found
        .into_iter()
        .map(|path| path.trim().split("::").next().unwrap().to_owned())
        .filter(|name| !name.is_empty())
        .collect()
}

#[test]
fn imports_go_down_only() {
    let mut wrong = Vec::new();
    let mut seen = 0;
    for source in sources().iter().filter(|source| source.module != "lib") {
        let own = source.module.split("::").next().unwrap();
        for import in imports(&source.code).into_iter().filter(|import| import != own) {
            seen += 1;
            if place(&import).0 >= place(&source.module).0 {
                wrong.push((source.module.clone(), import));
            }
        }
    }
    // A side room: it knows failures, and nothing of the layer.
    let side = sources().into_iter().filter(|source| source.module.starts_with("retry"));
    let inside: Vec<_> = side.flat_map(|source| imports(&source.code)).filter(|import| place(import).1 > 1).collect();
    assert!(inside.iter().all(|import| import == "retry"), "retry imports {inside:?}");
    assert!(seen > 40, "only {seen} imports were found: the test does not read what it should");
    assert!(wrong.is_empty(), "(module, imports): {wrong:?}");
}

/// A word, and whether this module on this floor may use it.
type Rule = (&'static str, fn(&str, u8) -> bool);

/// What each floor must never know, as words that would give it away; the floors that may.
#[test]
fn every_floor_keeps_to_its_own_business() {
    let rules: &[Rule] = &[
        ("downcast_ref", |module, _| module.starts_with("classify")),
        (".downcast::<", |module, _| module.starts_with("classify")),
        ("Sleep", |_, floor| floor == 4),
        // And the writers of events, who write so many in a time.
        ("Instant", |module, floor| floor == 4 || ["hooks::abandonments", "hooks::event_log"].contains(&module)),
        ("http::header", |module, floor| (1..=3).contains(&floor) || module.starts_with("layer")),
        ("header::{", |_, floor| (1..=3).contains(&floor)),
        ("hyper::", |_, floor| floor == 1),
        ("hyper_util::", |_, floor| floor == 1),
        ("h2::", |_, floor| floor == 1),
        // And two writers read a file at start-up.
        ("std::io", |module, _| {
            module.starts_with("classify") || ["format::fixed", "format::template"].contains(&module)
        }),
        // And the erased types of a fallback, which the policy starts and the machines poll.
        ("Pin<", |module, floor| floor >= 4 || module == "fallback_service"),
        ("Poll", |module, floor| floor >= 4 || module == "fallback_service"),
        ("impl Service<", |module, _| module == "service" || module == "tap"),
        ("BAD_GATEWAY", |module, _| module == "kind"),
        ("GATEWAY_TIMEOUT", |module, _| module == "kind"),
        ("INTERNAL_SERVER_ERROR", |module, _| module == "kind"),
        // Which answers may say when to come back.
        ("SERVICE_UNAVAILABLE", |module, _| module == "kind" || module == "policy::presentation"),
    ];
    let mut wrong = Vec::new();
    for source in &sources() {
        let (_, floor) = place(&source.module);
        for (word, may) in rules {
            if source.code.contains(word) && !may(&source.module, floor) {
                wrong.push((source.module.clone(), *word));
            }
        }
    }
    assert!(wrong.is_empty(), "(module, knows): {wrong:?}");
}

#[test]
fn the_walk_names_functions_that_there_are() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("CONTRIBUTING.md")).unwrap();
    let walk = text.split_once("### A walk").unwrap().1.split_once("\n## ").unwrap().0;
    let code: String = sources().into_iter().map(|source| source.code).collect();
    // Between backticks stand, among others, functions: a path whose last part is in small letters.
    let named: Vec<_> = walk
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|name| !name.starts_with("std::"))
        .filter_map(|name| Some((name, name.rsplit_once("::")?.1)))
        .filter(|(_, function)| function.starts_with(|first: char| first.is_ascii_lowercase()))
        .collect();
    let wrong: Vec<_> = named
        .iter()
        .filter(|(_, function)| !["(", "<"].iter().any(|next| code.contains(&format!("fn {function}{next}"))))
        .collect();
    assert!(wrong.is_empty(), "(named, not in src): {wrong:?}");
    assert!(named.len() > 40, "the walk was not read: {}", named.len());
}

#[test]
fn no_file_is_too_long() {
    let long: Vec<_> =
        sources().iter().filter(|source| source.lines > 400).map(|s| (s.module.clone(), s.lines)).collect();
    assert!(long.is_empty(), "{long:?}");
}

/// The words of `text`: what stands between characters that no name has.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|character: char| !character.is_alphanumeric() && character != '_').filter(|word| !word.is_empty())
}

/// Code without what stands in quotes: a text for people may say what a name may not.
fn without_literals(code: &str) -> String {
    code.lines()
        .map(|line| line.split('"').step_by(2).collect::<Vec<_>>().join(" "))
        .map(|line| format!("{line}\n"))
        .collect()
}

/// Names that mean something else in Rust, participles without their noun, metaphors: each has stood here once.
#[test]
fn no_name_is_a_riddle() {
    const RIDDLES: &[&str] = &[
        "told",
        "Told",
        "wanted",
        "Wanted",
        "Companion",
        "companion",
        "accompany",
        "introduce",
        "introduced",
        "Traits",
        "traits",
        "Exceptions",
        "Seen",
        "Unread",
        "Fate",
        "Settled",
        "Once",
        "Again",
        "Ahead",
        "Given",
        "Departures",
        "look_closer",
        "let_go",
        "let_pass",
        "none_of_ours",
        "passed",
        "Watch",
        "Setting",
    ];
    let std_once = |module: &str, word: &str| word == "Once" && module == "hooks::observers";
    let mut wrong = Vec::new();
    for source in &sources() {
        for word in words(&without_literals(&source.code)).filter(|word| RIDDLES.contains(word)) {
            if !std_once(&source.module, word) {
                wrong.push((source.module.clone(), word.to_owned()));
            }
        }
    }
    assert!(wrong.is_empty(), "(module, name): {wrong:?}");
}

/// Who it is has a name: the client, the server, a hook, another task.
#[test]
fn no_comment_leaves_open_who_is_meant() {
    const VAGUE: &[&str] = &["nobody", "somebody", "anybody", "whoever", "whatever"];
    let sources = sources();
    let vague = |word: &&str| VAGUE.contains(&word.to_lowercase().as_str());
    let wrong: Vec<_> = sources
        .iter()
        .flat_map(|source| words(&source.comments).filter(vague).map(|word| (source.module.clone(), word.to_owned())))
        .collect();
    assert!(wrong.is_empty(), "(module, word): {wrong:?}");
}

/// A block inside of a block inside of a block is a function that has no name yet.
#[test]
fn no_code_is_nested_too_deep() {
    let mut wrong = Vec::new();
    for source in &sources() {
        // A method stands one level in; so does what a macro holds.
        for line in source.code.lines().filter(|line| line.len() - line.trim_start().len() > MOST_LEVELS * 4) {
            wrong.push((source.module.clone(), line.trim().to_owned()));
        }
    }
    assert!(wrong.is_empty(), "(module, line): {wrong:?}");
}

const MOST_LEVELS: usize = 6;

/// A struct of many fields is several that have no names yet.
#[test]
fn no_struct_has_too_many_fields() {
    let mut wrong = Vec::new();
    let mut seen = 0;
    for source in &sources() {
        let mut lines = source.code.lines();
        while let Some(line) = lines.next() {
            let Some((_, name)) = line.split_once("struct ").filter(|_| !line.ends_with([';', ')'])) else { continue };
            let indent = line.len() - line.trim_start().len();
            // Bounds may stand between the name and the fields.
            if !line.ends_with('{') && lines.by_ref().find(|line| line.trim() == "{").is_none() {
                continue;
            }
            let end = format!("{}}}", " ".repeat(indent));
            let is_field = |line: &&str| {
                let line = line.trim();
                !line.starts_with('#')
                    && words(line.trim_start_matches("pub(super)").trim_start_matches("pub(crate)")).count() > 1
            };
            let fields = lines.by_ref().take_while(|line| *line != end).filter(is_field).count();
            seen += fields;
            if fields > MOST_FIELDS {
                wrong.push((source.module.clone(), name.to_owned(), fields));
            }
        }
    }
    assert!(seen > 100, "only {seen} fields were found: the test does not read what it should");
    assert!(wrong.is_empty(), "(module, struct, fields): {wrong:?}");
}

/// What is kept of a call is one block, and has the most.
const MOST_FIELDS: usize = 16;

/// The compiler here is newer than the one promised, and clippy does not look at syntax.
#[test]
fn no_syntax_is_newer_than_the_minimum_rust_version() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    collect(&root.join("src"), &mut files);
    collect(&root.join("examples"), &mut files);
    let chains: Vec<_> = files
        .iter()
        .flat_map(|file| {
            let code = fs::read_to_string(file).unwrap();
            let code: Vec<_> = code.lines().map(str::trim).filter(|line| !line.starts_with("//")).collect();
            // A condition may stand on several lines.
            let code = code.join(" ");
            let conditions = code.split("if let ").skip(1).chain(code.split("while let ").skip(1));
            let conditions = conditions.filter_map(|rest| rest.split_once(" {").map(|(condition, _)| condition));
            conditions
                .filter(|condition| condition.contains(" && "))
                .map(|condition| (file.clone(), condition.to_owned()))
                .collect::<Vec<_>>()
        })
        .collect();
    assert!(chains.is_empty(), "let chains: {chains:?}");
}
