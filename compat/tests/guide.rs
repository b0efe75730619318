//! What the guide shows without its being compiled stands in an example that is.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::{fs, path::Path};

/// The lines of a text without their indentation; blank ones do not count.
fn lines(text: &str) -> Vec<&str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect()
}

#[test]
fn every_program_of_the_guide_is_compiled() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &Path| fs::read_to_string(path).unwrap();
    let examples: String = fs::read_dir(root.join("examples"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .map(|path| read(&path))
        .collect();
    let examples = lines(&examples);
    let mut wrong = Vec::new();
    let mut seen = 0;
    for entry in fs::read_dir(root.join("../guide")).unwrap() {
        let page = read(&entry.unwrap().path());
        for block in page.split("```rust,ignore\n").skip(1) {
            seen += 1;
            let program = block.split("\n```").next().unwrap();
            // Between two parts of a program there is a blank line.
            for part in program.split("\n\n") {
                let part = lines(part);
                if !examples.windows(part.len()).any(|window| window == part) {
                    wrong.push(part.join("\n"));
                }
            }
        }
    }
    assert!(seen > 1, "no program was found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
