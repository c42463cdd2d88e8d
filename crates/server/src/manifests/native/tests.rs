use std::collections::BTreeSet;

use autoscaler_guard::rules;
use serde_json::{Value, json};

use super::*;

fn settings(settings: &Value) -> Settings {
    Settings::from_json(&settings.to_string()).expect("the settings are valid")
}

fn documents(part: Part, settings: &Settings) -> Vec<Value> {
    let yaml = yaml(part, settings);
    if yaml.is_empty() { Vec::new() } else { serde_saphyr::from_multiple(&yaml).expect("it is YAML") }
}

fn all(settings: &Settings) -> Vec<Value> {
    Part::ALL.into_iter().flat_map(|part| documents(part, settings)).collect()
}

/// Names of policies, without their bindings.
fn names(documents: &[Value]) -> Vec<&str> {
    let policies =
        documents.iter().filter(|document| !document["kind"].as_str().unwrap_or_default().ends_with("Binding"));
    policies.filter_map(|policy| policy["metadata"]["name"].as_str()).collect()
}

#[test]
fn each_policy_is_named_after_its_rule_and_bound() {
    let documents = all(&Settings::default());
    let names = names(&documents);
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "two policies have one name");
    for policy in policies::all() {
        assert!(rules::find(policy.rule).is_some(), "{} is no rule", policy.rule);
        assert!(!policy.why.is_empty() && !policy.finds.is_empty(), "{} says nothing", policy.name());
    }
    for pair in documents.chunks(2) {
        let [policy, binding] = pair else { panic!("a policy without a binding") };
        assert_eq!(policy["metadata"]["name"], binding["spec"]["policyName"]);
        assert_eq!(policy["spec"]["paramKind"].is_null(), binding["spec"]["paramRef"].is_null());
        // A lookup that fails, or a kind that is not served, must never block anybody.
        assert_eq!(policy["spec"]["failurePolicy"], "Ignore");
    }
}

#[test]
fn every_name_in_an_expression_is_a_fact_and_comes_first() {
    for document in all(&Settings::default()) {
        let name = &document["metadata"]["name"];
        let mut known: Vec<String> = Vec::new();
        for variable in document["spec"]["variables"].as_array().into_iter().flatten() {
            let expression = variable["expression"].as_str().unwrap_or_default();
            for other in named(expression) {
                assert!(known.contains(&other), "{name}: {other} is not known in {expression}");
            }
            assert!(!expression.contains('@'), "{name}: {expression} is not filled in");
            known.push(variable["name"].as_str().unwrap_or_default().to_owned());
        }
    }
}

/// An expression has one source: what two policies ask under one name, they ask in the same words.
#[test]
fn a_fact_is_the_same_in_every_policy() {
    let mut seen: std::collections::BTreeMap<String, String> = std::collections::BTreeMap::new();
    for document in all(&Settings::default()) {
        for variable in document["spec"]["variables"].as_array().into_iter().flatten() {
            let (name, expression) = (variable["name"].to_string(), variable["expression"].to_string());
            if facts::FACTS.iter().any(|(known, _)| variable["name"] == *known) {
                let before = seen.entry(name.clone()).or_insert_with(|| expression.clone());
                assert_eq!(*before, expression, "{name}");
            }
        }
    }
    for (fact, _) in facts::FACTS {
        assert!(seen.contains_key(&format!("\"{fact}\"")), "nobody asks for {fact}");
    }
}

#[test]
fn settings_switch_rules_off_and_soften_them() {
    let off = all(&settings(&json!({"rules": {"scaledobject-deleted": "off"}})));
    assert!(!names(&off).iter().any(|name| name.contains("scaledobject-deleted")));
    let warn = settings(&json!({"rules": {"scaledobject-deleted": "warn"}}));
    assert!(names(&documents(Part::Warnings, &warn)).contains(&"autoscaler-guard-scaledobject-deleted"));
    let reject = settings(&json!({"rules": {"owned-hpa-changed": "reject"}}));
    assert!(names(&documents(Part::Guards, &reject)).contains(&"autoscaler-guard-owned-hpa-changed"));
}

#[test]
fn without_repair_a_handover_is_refused_and_nothing_is_changed() {
    let no_repair = settings(&json!({"repair": false}));
    assert!(documents(Part::Handover, &no_repair).is_empty());
    let guards = documents(Part::Guards, &no_repair);
    assert!(names(&guards).contains(&"autoscaler-guard-hpa-handover"));
    assert!(!names(&all(&no_repair)).contains(&"autoscaler-guard-hpa-readoption"), "KEDA is never refused");
}

#[test]
fn who_is_exempt_and_who_hands_over_comes_from_the_settings() {
    let given = settings(&json!({
        "exempt": {"users": ["ci"]}, "controllers": {"keda": ["system:serviceaccount:scaling:*"]},
        "handover": {"fieldManagers": ["terraform"]},
    }));
    let yaml: String = Part::ALL.into_iter().map(|part| super::yaml(part, &given)).collect();
    assert!(
        yaml.contains("'ci'") && yaml.contains("'^system:serviceaccount:scaling:.*$'") && yaml.contains("'terraform'")
    );
    assert!(!yaml.contains("keda-operator"));
}

/// Warnings are the only thing that is said twice beside the module.
#[test]
fn what_refuses_or_changes_does_not_warn() {
    for part in [Part::Handover, Part::Guards] {
        for document in documents(part, &Settings::default()) {
            assert_ne!(document["spec"]["validationActions"], json!(["Warn"]));
        }
    }
}
