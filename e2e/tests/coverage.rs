//! The list of scenarios covers the list of rules.

#![allow(clippy::restriction, reason = "a test may panic")]

use std::collections::BTreeSet;

use autoscaler_guard::rules;
use autoscaler_guard_e2e::scenarios::{SCENARIOS, without_scenario};
use autoscaler_guard_e2e::world::KINDS;
use autoscaler_guard_host::documents::of_yaml;
use serde_json::Value;

#[test]
fn every_rule_has_a_scenario() {
    let missing: Vec<&str> = without_scenario().collect();
    assert!(missing.is_empty(), "no scenario shows {missing:?}: write one in e2e/src/scenarios");
}

#[test]
fn scenarios_name_rules_that_there_are() {
    for scenario in SCENARIOS.iter().copied().flatten() {
        for rule in scenario.rules.iter().chain(scenario.audits) {
            assert!(rules::find(rule).is_some(), "{} names {rule}, which is no rule", scenario.id);
        }
    }
}

#[test]
fn ids_are_unique_and_fit_into_a_namespace() {
    let mut seen = BTreeSet::new();
    for scenario in SCENARIOS.iter().copied().flatten() {
        assert!(seen.insert(scenario.id), "two scenarios are called {}", scenario.id);
        assert!(scenario.id.len() <= 50, "{} is too long", scenario.id);
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
        assert!(scenario.id.bytes().all(allowed), "{} does not fit into a namespace's name", scenario.id);
    }
}

/// `make test` and `make e2e-all` take the worlds from the code; the workflow and the runner of stages name them.
#[test]
fn every_world_is_played_somewhere() {
    let read = |file: &str| {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    let workflow: Value = of_yaml(&read(".github/workflows/ci.yml")).expect("it is YAML");
    let jobs = workflow["jobs"]["e2e"]["strategy"]["matrix"]["world"].as_array().expect("it names worlds");
    let jobs: BTreeSet<&str> = jobs.iter().filter_map(Value::as_str).collect();
    assert_eq!(jobs, KINDS.iter().map(|kind| kind.name()).collect(), ".github/workflows/ci.yml");
    let (stages, script) = (read("xtask/src/stages.rs"), read(".ci/run"));
    let skipped = script.split_once("SKIP=\"").and_then(|(_, rest)| rest.split_once('"')).expect("it names them").0;
    for kind in KINDS {
        let is_staged = stages.contains(&format!("\"WORLD={}\"", kind.name()));
        let is_skipped = skipped.split(' ').any(|world| world == kind.name());
        assert_eq!((is_staged, is_skipped), (kind.is_in_test(), kind.is_in_test()), "{}", kind.name());
    }
}
