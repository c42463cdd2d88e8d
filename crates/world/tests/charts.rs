//! Upgrades of public Helm charts, whose outcomes are known: `tests/charts/<name>/{before,after,case}.yaml`.

#![allow(clippy::restriction, reason = "a test may panic")]

use std::fs;
use std::path::{Path, PathBuf};

use autoscaler_guard::Settings;
use autoscaler_guard_world::play::{app_name, assumed};
use autoscaler_guard_world::{Change, Eager, Setup, Tool, play};
use serde_json::Value;

fn documents(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).expect("the file is there");
    let all: Vec<Value> = serde_saphyr::from_multiple(&text).expect("it is YAML");
    all.into_iter().filter(|value| !value.is_null()).collect()
}

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/charts");
    let mut cases: Vec<PathBuf> =
        fs::read_dir(folder).expect("the folder is there").map(|entry| entry.expect("it can be read").path()).collect();
    cases.sort();
    cases
}

/// `(Deployment|StatefulSet) obs/loki-[ab]`: alternatives in parentheses, and classes of letters.
fn names(pattern: &str, workload: &str) -> bool {
    fn expand(pattern: &str) -> Vec<String> {
        let found = pattern.find(['(', '[']);
        let Some(start) = found else { return vec![pattern.to_owned()] };
        let (head, tail) = pattern.split_at(start);
        let close = if tail.starts_with('(') { ')' } else { ']' };
        let end = tail.find(close).expect("it is closed");
        let (inner, rest) = (&tail[1..end], &tail[end + 1..]);
        let choices: Vec<String> = match close {
            ')' => inner.split('|').map(ToOwned::to_owned).collect(),
            _ => inner.chars().map(String::from).collect(),
        };
        let rests = expand(rest);
        choices.iter().flat_map(|choice| rests.iter().map(move |rest| format!("{head}{choice}{rest}"))).collect()
    }
    expand(pattern).iter().any(|name| name == workload)
}

#[test]
fn real_upgrades_end_as_they_really_did() {
    let mut wrong = Vec::new();
    let cases = cases();
    assert!(cases.len() >= 6);
    for folder in cases {
        let case = documents(&folder.join("case.yaml")).remove(0);
        let (before, after) = (documents(&folder.join("before.yaml")), documents(&folder.join("after.yaml")));
        let tool = Tool::named(case["as"].as_str().expect("a tool")).expect("a known tool");
        let namespace = case["namespace"].as_str().expect("a namespace");
        let app = app_name(&[before.clone(), after.clone()].concat());
        let change = Change::new(tool, &app, namespace, &before, &after);
        let start = assumed(Setup::default(), &change);
        for (key, guard) in [("without", None), ("with", Some(Settings::default()))] {
            let side = play(&start, &change, guard.as_ref(), Eager::Yes);
            for expected in case["expect"].as_array().expect("expectations") {
                let pattern = expected["workload"].as_str().expect("a workload");
                let found: Vec<_> =
                    side.reports.iter().filter(|report| names(pattern, &report.workload.to_string())).collect();
                let right: Vec<&str> =
                    expected[key].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
                let fits = !found.is_empty() && found.iter().all(|report| right.contains(&report.outcome.id()));
                if !fits {
                    let outcomes: Vec<String> =
                        found.iter().map(|report| format!("{} {}", report.workload, report.outcome)).collect();
                    let timeline: Vec<String> = side
                        .timeline
                        .iter()
                        .map(|event| format!("      {}: {} {}", event.who, event.what(), event.answer()))
                        .collect();
                    wrong.push(format!(
                        "{} {key} the guard: {pattern} should be {right:?}, is {outcomes:?}; {:?}\n{}",
                        folder.display(),
                        side.failure,
                        timeline.join("\n")
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
