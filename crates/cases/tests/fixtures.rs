//! Every fixture says where it comes from.

#![allow(clippy::restriction, reason = "a test may panic")]

use std::path::{Path, PathBuf};

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths = entries.flatten().map(|entry| entry.path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn every_fixture_is_listed_with_its_origin() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures");
    let index =
        std::fs::read_to_string(fixtures.join("README.md")).expect("tests/fixtures/README.md lists the fixtures");
    let listed: Vec<&str> =
        index.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" | ")).map(|(file, _)| file).collect();
    for file in files(&fixtures.join("requests")).iter().chain(&files(&fixtures.join("objects"))) {
        let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        assert!(listed.contains(&name), "{name} is not in tests/fixtures/README.md");
    }
    for object in files(&fixtures.join("objects")) {
        let text = std::fs::read_to_string(&object).unwrap_or_default();
        assert!(text.starts_with("# "), "{}: the first line says where it comes from", object.display());
    }
}
