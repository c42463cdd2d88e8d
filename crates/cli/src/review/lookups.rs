//! Lookups in words: what the policy asked, and what the answer was.

use autoscaler_guard_host::{Call, Lookup, Outcome, in_words};
use serde::Serialize;
use serde_json::Value;

use crate::paint;

/// A lookup in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Words {
    /// What was asked: `get apps/v1 Deployment shop/web`.
    pub lookup: String,
    /// What the answer was: `found`, `absent`, `3 objects`, `yes`, `no`, or why there was none.
    pub outcome: String,
    /// Whether there was no answer.
    pub failed: bool,
}

impl Words {
    /// Words a call.
    pub fn of(call: &Call) -> Self {
        let lookup = Lookup::parse(&call.operation, &call.request);
        let asked = lookup.as_ref().map_or_else(|_| call.operation.clone(), ToString::to_string);
        match &call.outcome {
            Ok(answer) => Self { lookup: asked, outcome: answered(lookup.ok().as_ref(), answer), failed: false },
            Err(_) if Outcome::of(&call.outcome) == Outcome::Absent => {
                Self { lookup: asked, outcome: "absent".to_owned(), failed: false }
            }
            Err(failure) => Self { lookup: asked, outcome: in_words(failure).to_owned(), failed: true },
        }
    }
}

/// What was looked up and is not there, each once: `Deployment shop/web`, `any ScaledObject in namespace shop`.
pub fn absent(calls: &[Call]) -> Vec<String> {
    let mut absent = Vec::new();
    for call in calls {
        let found = match (Lookup::parse(&call.operation, &call.request), &call.outcome) {
            (Ok(Lookup::Get(get)), Err(_)) if Outcome::of(&call.outcome) == Outcome::Absent => {
                let within = get.namespace.map(|namespace| format!("{namespace}/")).unwrap_or_default();
                format!("{} {within}{}", get.kind, get.name)
            }
            (Ok(Lookup::List(list)), Ok(answer)) if is_empty_list(answer) => {
                let within = list.namespace.map(|namespace| format!(" in namespace {namespace}")).unwrap_or_default();
                let labelled = list.label_selector.map(|labels| format!(" with labels {labels}")).unwrap_or_default();
                format!("any {}{within}{labelled}", list.kind)
            }
            _ => continue,
        };
        if !absent.contains(&found) {
            absent.push(found);
        }
    }
    absent
}

fn is_empty_list(answer: &[u8]) -> bool {
    let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
    answer["items"].as_array().is_some_and(Vec::is_empty)
}

fn answered(lookup: Option<&Lookup>, answer: &[u8]) -> String {
    let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
    match lookup {
        Some(Lookup::List(_)) => paint::count(answer["items"].as_array().map_or(0, Vec::len), "object"),
        Some(Lookup::CanI(_)) => if answer["allowed"] == true { "yes" } else { "no" }.to_owned(),
        _ => "found".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(operation: &str, request: &str, outcome: Result<&str, &str>) -> (String, String, bool) {
        let outcome = outcome.map(|answer| answer.as_bytes().to_vec()).map_err(ToOwned::to_owned);
        let Words { lookup, outcome, failed } =
            Words::of(&Call { operation: operation.into(), request: request.into(), outcome });
        (lookup, outcome, failed)
    }

    const GET: &str = r#"{"api_version":"v1","kind":"Pod","name":"web","namespace":"shop","disable_cache":true}"#;

    #[test]
    fn absent_is_an_answer_and_a_failure_is_none() {
        let asked = "get v1 Pod shop/web".to_owned();
        let outcome = |outcome| words("get_resource", GET, outcome);
        assert_eq!(outcome(Ok("{}")), (asked.clone(), "found".into(), false));
        let absent = "Callback evaluation failure: Cannot find v1/Pod named 'web' inside of namespace 'None'";
        assert_eq!(outcome(Err(absent)), (asked.clone(), "absent".into(), false));
        assert_eq!(outcome(Err("Callback evaluation failure: no\nbacktrace")), (asked, "no".into(), true));
    }

    #[test]
    fn what_is_not_there_is_named_once() {
        let call = |operation: &str, request: &str, outcome: Result<&str, &str>| Call {
            operation: operation.into(),
            request: request.into(),
            outcome: outcome.map(|answer| answer.as_bytes().to_vec()).map_err(ToOwned::to_owned),
        };
        let missing = call(
            "get_resource",
            GET,
            Err("Callback evaluation failure: Cannot find v1/Pod named 'web' inside of namespace 'None'"),
        );
        let list = r#"{"api_version":"v1","kind":"Pod","namespace":"shop"}"#;
        let none = call("list_resources_by_namespace", list, Ok(r#"{"items":[]}"#));
        let some = call("list_resources_by_namespace", list, Ok(r#"{"items":[{}]}"#));
        let failed = call("get_resource", GET, Err("Callback evaluation failure: no"));
        let calls = [missing.clone(), some, failed, none, missing];
        assert_eq!(absent(&calls), ["Pod shop/web", "any Pod in namespace shop"]);
    }

    #[test]
    fn lists_are_counted() {
        let request = r#"{"api_version":"v1","kind":"Pod","namespace":"shop"}"#;
        let (asked, outcome, _) = words("list_resources_by_namespace", request, Ok(r#"{"items":[{},{}]}"#));
        assert_eq!((asked.as_str(), outcome.as_str()), ("list v1 Pod in namespace shop", "2 objects"));
    }
}
