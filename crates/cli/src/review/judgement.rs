//! What became of a request: the response as a policy server would send it, and the outcome in a word.

use std::sync::Arc;

use autoscaler_guard::{Verdict, VerdictKind};
use autoscaler_guard_host::admission::{self, AdmissionResponse};
use autoscaler_guard_host::{Call, Capabilities};
use serde_json::Value;

use super::judge::{Judge, Ruling};
use super::lookups::absent;
use super::message::Message;
use super::neighbours::Neighbours;
use super::request::Request;
use super::settings::SettingsText;
use crate::fault::Fault;

/// The policy's name where an answer gives it.
const NAME: &str = "autoscaler-guard";

/// What became of a request.
#[derive(Debug, Clone)]
pub struct Judgement {
    /// The request.
    pub request: Request,
    /// What the API server would get.
    pub response: AdmissionResponse,
    /// The verdict of the built-in rules, with their findings; none of a module, which gives the text alone.
    pub findings: Option<Verdict>,
    /// The object as it would be stored, if the policy changed it.
    pub repaired: Option<Value>,
    /// What was looked up for it.
    pub lookups: Vec<Call>,
    /// Whether any rule watches such a change; if none does, that it is allowed says nothing.
    pub judged: bool,
    /// What was taken for absent because files do not have it.
    pub assumed_absent: Vec<String>,
}

impl Judgement {
    /// Has the judge decide about a request.
    pub fn of(
        judge: &Judge,
        request: &Request,
        settings: &SettingsText,
        neighbours: &Neighbours,
    ) -> Result<Self, Fault> {
        let lookups: Arc<dyn Capabilities> = neighbours.lookups.clone();
        let Ruling { response, verdict } = judge
            .ask(&request.value.to_string(), settings.as_str(), &lookups)
            .map_err(|reason| Fault::new(format!("there is no verdict on {}", request.origin)).because(reason))?;
        let repaired = response.mutated_object.clone();
        let review = admission::Review {
            uid: request.uid(),
            policy: NAME,
            object: Some(request.object()),
            mutating: judge.may_change(),
        };
        let response = admission::respond(review, response);
        let repaired = repaired.filter(|_| response.patch.is_some());
        let lookups = neighbours.lookups.take();
        let assumed_absent = if neighbours.is_complete { absent(&lookups) } else { Vec::new() };
        let judged = request.is_watched(&settings.known());
        Ok(Self { request: request.clone(), response, findings: verdict, repaired, lookups, judged, assumed_absent })
    }

    /// What becomes of the request, in a word.
    pub fn verdict(&self) -> VerdictKind {
        self.response.verdict()
    }

    /// The ids of the rules that spoke, strongest first.
    pub fn rules(&self) -> Vec<&str> {
        match &self.findings {
            Some(verdict) => verdict.rules().collect(),
            None => self.response.rules().collect(),
        }
    }

    /// What it says, line by line.
    pub fn message(&self) -> Message<'_> {
        self.findings.as_ref().map_or_else(|| Message::of_text(&self.response), Message::of_verdict)
    }

    /// Which rules an override let pass, and which override.
    pub fn acknowledged(&self) -> Vec<(&str, &str)> {
        match &self.findings {
            Some(verdict) => verdict.overridden.iter().map(|passed| (passed.rule, passed.by)).collect(),
            None => self.response.audit("allowed").zip(self.response.audit("allowed-by")).into_iter().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_built_in_rules_answer_like_a_policy_server() {
        let request =
            json!({"uid": "u-1", "operation": "CREATE", "kind": {"group": "", "version": "v1", "kind": "Pod"}});
        let request = Request::new("a test", request).unwrap();
        let judgement = Judgement::of(&Judge::Core, &request, &SettingsText::default(), &Neighbours::none()).unwrap();
        assert_eq!(serde_json::to_value(&judgement.response).unwrap(), json!({"uid": "u-1", "allowed": true}));
        assert_eq!((judgement.verdict(), judgement.rules().len()), (VerdictKind::Allowed, 0));
        assert!(!judgement.judged && judgement.assumed_absent.is_empty());
    }
}
