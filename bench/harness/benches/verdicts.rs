//! `make bench`: how long a verdict takes, of the core by itself and of the module in a host.
//!
//! The module is measured beside two yardsticks on the same requests, in rounds: what a machine does besides then slows
//! down all three of a round alike, and `cargo xtask bench` compares within rounds.

use std::sync::Arc;
use std::time::Duration;

use autoscaler_guard::{Decision, Settings};
use autoscaler_guard_host::{Capabilities, Limits, Policy, Response};
use autoscaler_guard_objects::Objects;
use criterion::{BenchmarkId, Criterion};
use harness::{Answers, Expected, Request};

const ROUNDS: usize = 5;

/// The yardsticks first: the floor, then the smallest policy.
const POLICIES: [&str; 3] = ["instant", "smallest", "guard"];

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(150))
        .measurement_time(Duration::from_millis(450))
        .without_plots()
        .configure_from_args();
    let requests = harness::all();
    core(&mut criterion, &requests);
    modules(&mut criterion, &requests);
    criterion.final_summary();
}

fn core(criterion: &mut Criterion, requests: &[Request]) {
    let (shop, settings) = (harness::shop(), Settings::default());
    let shop = Objects::read(&shop, &settings.service_account).expect("the neighbours are objects");
    for request in requests {
        let verdict = || autoscaler_guard::review(&request.json, &shop, &settings);
        check(request, "the core", decided(&verdict().decision));
        criterion.benchmark_group(request.name).bench_function("core", |bencher| bencher.iter(verdict));
    }
}

fn decided(decision: &Decision) -> Expected {
    match decision {
        Decision::Allow => Expected::Passed,
        Decision::Repair(_) => Expected::Repaired,
        Decision::Reject { .. } => Expected::Rejected,
    }
}

fn modules(criterion: &mut Criterion, requests: &[Request]) {
    let policies = POLICIES.map(|name| (name, load(name)));
    let answers: Arc<dyn Capabilities> = Arc::new(Answers::default());
    for round in 1..=ROUNDS {
        for request in requests {
            let mut group = criterion.benchmark_group(request.name);
            for (name, policy) in &policies {
                if *name == "guard" {
                    let response = policy.validate(&request.json, "{}", &answers).expect("the policy answers");
                    check(request, "the module", answered(&response));
                }
                // Unread: what the host makes of an answer is not the module's time.
                let answer = || policy.answer(&request.json, "{}", &answers).expect("the policy answers");
                group.bench_function(BenchmarkId::new(*name, round), |bencher| bencher.iter(answer));
            }
        }
    }
}

fn answered(response: &Response) -> Expected {
    match (response.accepted, &response.mutated_object) {
        (false, _) => Expected::Rejected,
        (true, Some(_)) => Expected::Repaired,
        (true, None) => Expected::Passed,
    }
}

/// A module from the folder that `cargo xtask bench` has built them in.
fn load(name: &str) -> Policy {
    let folder = std::env::var("BENCH_MODULES").expect("run this through `make bench`, which builds the modules");
    let path = format!("{folder}/{name}.wasm");
    let module = std::fs::read(&path).unwrap_or_else(|error| panic!("cannot read {path}: {error}"));
    Policy::load(&module, Limits::default()).unwrap_or_else(|error| panic!("cannot load {path}: {error}"))
}

/// Measuring a wrong answer would be of no use.
fn check(request: &Request, whose: &str, answer: Expected) {
    let (name, expected) = (request.name, request.expected);
    assert_eq!(answer, expected, "{whose} should have {expected:?} the request {name}");
}
