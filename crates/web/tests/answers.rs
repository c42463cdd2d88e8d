//! What callers get for what is right and what is not.

#![allow(clippy::restriction, reason = "a test may panic")]

use autoscaler_guard::VerdictKind;
use autoscaler_guard_cases::request;
use autoscaler_guard_web::{Answer, Problem, review, rules, validate_settings};
use serde_json::{Value, json};

const DELETED: &str = "keda-hpa-helm3/008-delete-scaledobject-lab-admin";

fn answered(request: &Value, cluster: &Value, settings: &Value) -> Answer {
    review(&request.to_string(), &cluster.to_string(), &settings.to_string())
}

fn worded(answer: Answer) -> (&'static str, Vec<String>) {
    let (outcome, problems) = match answer {
        Answer::Reviewed(_) => ("reviewed", Vec::new()),
        Answer::InvalidSettings { problems } => ("settings", problems),
        Answer::UnusableCluster { problems } => ("cluster", problems),
        Answer::UnreadableRequest { problems } => ("request", problems),
    };
    (outcome, problems.into_iter().map(|Problem { path, problem }| format!("{path}: {problem}")).collect())
}

#[test]
fn a_review_is_judged_as_its_request_is() {
    let request = request(DELETED);
    let whole = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request});
    let answers = [&request, &whole].map(|given| answered(given, &Value::Null, &Value::Null));
    let [bare, whole] = answers.map(|answer| serde_json::to_value(answer).expect("it is JSON"));
    assert_eq!((&bare, bare["outcome"].as_str()), (&whole, Some("reviewed")));
}

#[test]
fn an_answer_is_whole() {
    let hpa = autoscaler_guard_cases::object("hpa-web-owned");
    let deployment = autoscaler_guard_cases::object("deployment-web");
    let answer = answered(&request(DELETED), &json!([hpa, deployment]), &Value::Null);
    let Answer::Reviewed(review) = answer else { panic!("{answer:?}") };
    assert_eq!((review.verdict, review.code), (VerdictKind::Rejected, Some(403)));
    assert_eq!(review.rules, ["scaledobject-deleted"]);
    assert!(review.message.is_some_and(|message| message.starts_with("autoscaler-guard[scaledobject-deleted]: ")));
    let asked: Vec<&str> = review.lookups.iter().map(|lookup| lookup.lookup.as_str()).collect();
    assert!(asked.contains(&"get apps/v1 Deployment shop/web"), "{asked:?}");
}

#[test]
fn what_cannot_be_judged_says_where_and_why() {
    let fine = request(DELETED);
    let settings = json!({"repiar": true, "helm": 1});
    assert_eq!(
        worded(answered(&fine, &Value::Null, &settings)),
        (
            "settings",
            vec![
                "helm: expected an object, got a number".to_owned(),
                "repiar: unknown; did you mean repair?".to_owned()
            ]
        )
    );
    let (outcome, problems) = worded(answered(&fine, &json!({}), &Value::Null));
    assert_eq!((outcome, problems), ("cluster", vec!["cluster: expected an array of objects".to_owned()]));
    for (text, expected) in [
        ("", "request: not JSON"),
        ("3", "request: "),
        ("{}", "request.operation: it is missing or empty"),
        (r#"{"kind":"AdmissionReview"}"#, "request: it is missing in the AdmissionReview"),
    ] {
        let (outcome, problems) = worded(review(text, "[]", "{}"));
        assert_eq!(outcome, "request", "{text}");
        assert!(problems.first().is_some_and(|problem| problem.starts_with(expected)), "{text}: {problems:?}");
    }
}

#[test]
fn settings_are_checked() {
    assert_eq!(validate_settings("null"), []);
    let wrong = validate_settings(r#"{"rules":{"hpa-deletd":"warn"}}"#);
    let [Problem { path, problem }] = wrong.as_slice() else { panic!("{wrong:?}") };
    assert_eq!((path.as_str(), problem.as_str()), ("rules.hpa-deletd", "unknown; did you mean hpa-deleted?"));
}

#[test]
fn the_catalogue_is_the_list_of_rules() {
    let catalogue = serde_json::to_value(rules()).expect("it is JSON");
    assert_eq!(catalogue.as_array().map(Vec::len), Some(autoscaler_guard::rules::RULES.len()));
    let facts = catalogue.as_array().and_then(|rules| rules.iter().find(|facts| facts["id"] == "hpa-deleted"));
    let watches = facts.map(|facts| facts["watches"].clone());
    assert_eq!(watches, Some(json!([{"kind": "HorizontalPodAutoscaler", "operations": ["DELETE"]}])));
}
