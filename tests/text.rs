//! The text of the source: lines of comments fit a screen, and the words are the field's.

#![allow(clippy::restriction, reason = "a test may panic")]

use std::fs;
use std::path::{Path, PathBuf};

/// The longest line of a comment, in characters; rustfmt holds code to as many.
const LONGEST: usize = 120;

/// Words that are not the field's, or that need reading twice: override, exemption, lookup, handover, audit,
/// alternatives, uninstall and troubleshooting are.
const SHUNNED: &str = include_str!("shunned-words.txt");

/// Where the source is, in whatever language.
const FOLDERS: &[&str] = &["bench", "crates", "e2e", "fuzz", "playground", "src", "tests", "xtask"];

/// What no one writes by hand, or no one can.
const FOREIGN: &[&str] = &["target", "node_modules", "corpus", "artifacts", "regressions", "charts"];

/// The source files whose name ends in one of these, from the root, with their text.
fn sources(endings: &[&str]) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    for folder in FOLDERS {
        collect(&root.join(folder), &mut paths);
    }
    paths.sort();
    let is_meant = |path: &&PathBuf| endings.iter().any(|ending| path.to_string_lossy().ends_with(ending));
    let named = |path: &PathBuf| {
        let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        (path.strip_prefix(root).expect("it is below the root").to_string_lossy().into_owned(), text)
    };
    paths.iter().filter(is_meant).map(named).collect()
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder can be read") {
        let path = entry.expect("it can be read").path();
        let is_foreign = path.file_name().is_some_and(|name| FOREIGN.iter().any(|foreign| name == *foreign));
        match path.is_dir() {
            true if !is_foreign => collect(&path, paths),
            true => {}
            false => paths.push(path),
        }
    }
}

/// The lines of a Rust file that are comments and too long. A row of a table has no second line.
fn long_comments(text: &str) -> Vec<usize> {
    let is_row = |line: &str| line.trim_start_matches(['/', '!', ' ']).starts_with('|');
    let is_comment = |line: &str| line.trim_start().starts_with("//") && !is_row(line);
    let is_long = |line: &str| is_comment(line) && line.chars().count() > LONGEST;
    let numbered = text.lines().enumerate();
    numbered.filter(|(_, line)| is_long(line)).map(|(number, _)| number + 1).collect()
}

/// The words of a text that are shunned, each with its line; a name is as many words as it has parts.
fn shunned(text: &str) -> Vec<(usize, &'static str)> {
    let in_line = |(number, line): (usize, &str)| {
        let line = line.to_lowercase();
        let words: Vec<&str> = line.split(|letter: char| !letter.is_alphanumeric() && letter != '-').collect();
        let line = format!(" {} ", words.join(" "));
        let has = |word: &&'static str| line.contains(&format!(" {word} ")) || line.contains(&format!(" {word}s "));
        SHUNNED.lines().filter(has).map(|word| (number + 1, word)).collect::<Vec<_>>()
    };
    text.lines().enumerate().flat_map(in_line).collect()
}

#[test]
fn comments_fit_a_screen() {
    let sources = sources(&[".rs"]);
    let long = sources.iter().flat_map(|(file, text)| long_comments(text).into_iter().map(move |line| (file, line)));
    let long: Vec<String> = long.map(|(file, line)| format!("{file}:{line}")).collect();
    println!("{} files, {} lines of comments over {LONGEST} characters", sources.len(), long.len());
    assert!(long.is_empty(), "these have more than {LONGEST} characters: {long:#?}");
}

/// The tests of this very search.
fn has_them(place: &str) -> bool {
    ["tests/text.rs", "crates/cli/tests/docs.rs"].iter().any(|file| place.starts_with(file))
}

#[test]
fn the_words_of_the_source_are_the_fields() {
    let sources = sources(&[".rs", ".ts", ".js", ".rego"]);
    let found = sources.iter().flat_map(|(file, text)| {
        shunned(text).into_iter().map(move |(line, word)| format!("{file}:{line}: \"{word}\""))
    });
    let found: Vec<String> = found.filter(|place| !has_them(place)).collect();
    println!("{} files, {} shunned words", sources.len(), found.len());
    assert!(found.is_empty(), "say it in the field's words: {found:#?}");
}

#[test]
fn what_is_wrong_is_seen() {
    let long = format!("    /// {}", "x".repeat(LONGEST));
    assert_eq!(long_comments(&format!("let a = \"{long}\";\n{long}\n/// ä")), [2]);
    assert_eq!(shunned("Hand-overs\nfn what_is_told() {}"), [(1, "hand-over"), (2, "told")]);
    assert_eq!(shunned("a stolid toldo"), []);
}
