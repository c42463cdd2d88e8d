//! The table of scenarios in `e2e/README.md` is what each came to when it last passed.
//!
//! `AUTOSCALER_GUARD_WRITE=1 cargo test -p autoscaler-guard-e2e --test readme` writes it anew.

#![allow(clippy::restriction, reason = "a test may panic")]

use std::path::{Path, PathBuf};

use autoscaler_guard_e2e::results::{Outcome, table};
use autoscaler_guard_e2e::scenarios::SCENARIOS;

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn results() -> Vec<Outcome> {
    let text = std::fs::read_to_string(file("results.json")).expect("e2e/results.json is there");
    serde_json::from_str(&text).expect("e2e/results.json is what `make e2e` wrote")
}

#[test]
fn the_readme_shows_the_last_run() {
    let (begin, end) = ("<!-- scenarios:begin -->\n", "<!-- scenarios:end -->");
    let readme = std::fs::read_to_string(file("README.md")).expect("e2e/README.md is there");
    let (before, rest) = readme.split_once(begin).expect("e2e/README.md has the marker scenarios:begin");
    let (_, after) = rest.split_once(end).expect("e2e/README.md has the marker scenarios:end");
    let fresh = format!("{before}{begin}{}{end}{after}", table(&results()));
    if std::env::var_os("AUTOSCALER_GUARD_WRITE").is_some() {
        std::fs::write(file("README.md"), &fresh).expect("e2e/README.md can be written");
    }
    assert_eq!(readme, fresh, "e2e/README.md is stale: run this test with AUTOSCALER_GUARD_WRITE=1");
}

#[test]
fn every_scenario_has_passed() {
    let results = results();
    for scenario in SCENARIOS.iter().copied().flatten() {
        let outcome = results.iter().find(|outcome| outcome.id == scenario.id);
        let outcome = outcome.unwrap_or_else(|| panic!("{} is not in e2e/results.json: run `make e2e`", scenario.id));
        assert!(
            outcome.passed() && outcome.without.is_some() && outcome.with.is_some(),
            "{} did not pass",
            scenario.id
        );
    }
}
