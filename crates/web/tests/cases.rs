//! Every case of the rules' test pages gets the answer in JavaScript that it gets from the policy elsewhere.

use autoscaler_guard_cases::{Expect, Outcome as Elsewhere, pages};
use autoscaler_guard_host::{Call, Lookup, Outcome as Lookedup};
use autoscaler_guard_web::{Answer, LookUp, Outcome, Review, review};
use serde_json::{Value, json};

fn outcome(elsewhere: &Elsewhere) -> Outcome {
    match elsewhere.verdict() {
        // Allowed is what somebody acknowledged.
        Expect::Silent | Expect::Allow => Outcome::Allowed,
        Expect::Warn => Outcome::Warned,
        Expect::Repair => Outcome::Repaired,
        Expect::Reject => Outcome::Rejected,
    }
}

/// A question, and what came of it: the texts of failures are each host's own, so a failure is told as one.
fn asked(call: &Call) -> (String, String) {
    let lookup = Lookup::parse(&call.operation, &call.request).expect("the core asks what hosts understand");
    let answer = || serde_json::from_slice::<Value>(call.outcome.as_ref().expect("answered")).expect("JSON");
    let outcome = match (Lookedup::of(&call.outcome), &lookup) {
        (Lookedup::Answered, Lookup::Get(_)) => "found".to_owned(),
        (Lookedup::Answered, Lookup::List(_)) => match answer()["items"].as_array().map_or(0, Vec::len) {
            1 => "1 object".to_owned(),
            count => format!("{count} objects"),
        },
        (Lookedup::Answered, Lookup::CanI(_)) => if answer()["allowed"] == true { "yes" } else { "no" }.to_owned(),
        (Lookedup::Absent, _) => "absent".to_owned(),
        (Lookedup::NotServed | Lookedup::Failed, _) => "failed".to_owned(),
    };
    (lookup.to_string(), outcome)
}

fn asked_here(lookup: &LookUp) -> (String, String) {
    (lookup.lookup.clone(), if lookup.failed { "failed" } else { &lookup.outcome }.to_owned())
}

/// What a caller reads, beside the look-ups.
fn told(review: &Review) -> Value {
    let object: Value = review.object.as_ref().map_or(Value::Null, |object| object.get().parse().expect("JSON"));
    json!({
        "message": review.message, "code": review.code, "object": object,
        "warnings": review.warnings, "audit": review.audit_annotations,
    })
}

fn told_elsewhere(elsewhere: &Elsewhere) -> Value {
    let response = &elsewhere.response;
    json!({
        "message": response.message, "code": response.code, "object": response.mutated_object,
        "warnings": response.warnings.clone().unwrap_or_default(),
        "audit": response.audit_annotations.clone().unwrap_or_default(),
    })
}

#[test]
fn every_case_gets_the_same_answer_as_elsewhere() {
    let mut count = 0;
    for page in pages() {
        for case in &page.cases {
            let (name, world) = (format!("{}: {}", page.rule, case.name), case.world());
            let (request, settings) = (world.request.to_string(), world.settings.to_string());
            let cluster = Value::from(case.documents()).to_string();
            let here = match review(&request, &cluster, &settings) {
                Answer::Reviewed(here) => here,
                other => panic!("{name}: {other:?}"),
            };
            let elsewhere = world.natively();
            assert_eq!(here.verdict, outcome(&elsewhere), "{name}");
            assert_eq!(told(&here), told_elsewhere(&elsewhere), "{name}");
            let rules = elsewhere.response.audit_annotations.as_ref().and_then(|audit| audit.get("rule"));
            assert_eq!(here.rules.join(","), rules.cloned().unwrap_or_default(), "{name}");
            let lookups: Vec<_> = here.lookups.iter().map(asked_here).collect();
            assert_eq!(lookups, elsewhere.lookups.iter().map(asked).collect::<Vec<_>>(), "{name}");
            count += 1;
        }
    }
    assert!(count > 300, "only {count} cases were found");
}
