//! The policy in JavaScript: the same core as everywhere, given a request, the objects around it and the settings.
//!
//! Everything here is text in and an [`Answer`] out, in plain Rust; `javascript.rs` hands both over the border, in the
//! module alone. No rule lives here.

mod answer;
#[cfg(target_arch = "wasm32")]
mod javascript;
mod picture;
mod recorded;

pub use answer::{
    AdviceFacts, Answer, FindingFacts, Lookup, Meaning, Picture, PictureArrow, PictureBox, Pictures, Problem, Review,
    RuleFacts, Watch,
};

use autoscaler_guard::change::{AdmissionRequest, Kind, Operation};
use autoscaler_guard::rule::{DefaultAction, Rule};
use autoscaler_guard::rules::RULES;
use autoscaler_guard::{Settings, SettingsError, Unreadable, evaluate};
use autoscaler_guard_objects::Objects;
use autoscaler_guard_reading::Json;
use recorded::Recorded;

/// Judges a request. `request` is an `AdmissionReview` or its `AdmissionRequest`, `cluster` an array of whole objects,
/// `settings` an object; each is JSON text, and `null` in place of the last two is an empty cluster and the defaults.
pub fn review(request: &str, cluster: &str, settings: &str) -> Answer {
    let settings = match Settings::from_json(settings) {
        Ok(settings) => settings,
        Err(errors) => return Answer::InvalidSettings { problems: problems(errors) },
    };
    let objects = match Objects::read(cluster, &settings.service_account) {
        Ok(objects) => objects,
        Err(errors) => {
            let problem = |autoscaler_guard_objects::Problem { path, problem }| Problem { path, problem };
            return Answer::UnusableCluster { problems: errors.into_iter().map(problem).collect() };
        }
    };
    let change = admission_request(request).and_then(|request| {
        let unreadable = |error: Unreadable| Problem { path: error.path, problem: error.reason };
        AdmissionRequest::from_text(request).map(|change| (request, change)).map_err(unreadable)
    });
    match change {
        Ok((request, change)) => {
            let recorded = Recorded::new(&objects);
            let verdict = evaluate(change, &recorded, &settings);
            let mut review = Review::new(verdict, recorded.take());
            review.pictures = picture::pictures(request, cluster, &settings, &review);
            Answer::Reviewed(Box::new(review))
        }
        Err(problem) => Answer::UnreadableRequest { problems: vec![problem] },
    }
}

/// All that is wrong with settings, given as JSON text; nothing when they can be used.
pub fn validate_settings(settings: &str) -> Vec<Problem> {
    Settings::from_json(settings).err().map(problems).unwrap_or_default()
}

/// The catalogue, in the order in which findings are listed.
pub fn rules() -> Vec<RuleFacts> {
    RULES.iter().map(|rule| facts(rule)).collect()
}

fn problems(errors: Vec<SettingsError>) -> Vec<Problem> {
    errors.into_iter().map(|SettingsError { path, problem }| Problem { path, problem }).collect()
}

/// The request in a review, or the text itself where it is no review.
fn admission_request(text: &str) -> Result<&str, Problem> {
    let unreadable = |problem: String| Problem { path: "request".to_owned(), problem };
    let json = Json::parse(text).map_err(|error| unreadable(format!("not JSON: {error}")))?;
    match json.at(&["request"]) {
        Some(request) => Ok(request.text()),
        None if json.string(&["kind"]).as_deref() == Some("AdmissionReview") => {
            Err(unreadable("it is missing in the AdmissionReview".to_owned()))
        }
        None => Ok(json.text()),
    }
}

fn facts(rule: &Rule) -> RuleFacts {
    let default = match rule.default {
        DefaultAction::Warn => "warn",
        DefaultAction::Repair => "repair",
        DefaultAction::Reject => "reject",
    };
    let watches = rule.watches.iter().map(|(kind, operations)| watch(*kind, operations)).collect();
    RuleFacts { id: rule.id, title: rule.title, default, may_reject: rule.may_reject, since: rule.since, watches }
}

fn watch(kind: Kind, operations: &[Operation]) -> Watch {
    let kind = if kind == Kind::Other { None } else { Some(format!("{kind:?}")) };
    let name = |operation: &Operation| format!("{operation:?}").to_ascii_uppercase();
    Watch { kind, operations: operations.iter().map(name).collect() }
}
