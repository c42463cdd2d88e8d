//! The list of scenarios covers the list of rules.

use std::collections::BTreeSet;

use autoscaler_guard::rules;
use autoscaler_guard_e2e::scenarios::{SCENARIOS, without_scenario};

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
