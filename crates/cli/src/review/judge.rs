//! Who judges: the rules that are built in, or a module in the embedded host.
//!
//! Both get the same payload and look-ups and answer with the same JSON, so that everything after this is the same.

use std::path::Path;
use std::sync::Arc;

use autoscaler_guard::{Settings, kubewarden};
use autoscaler_guard_host::admission::{self, AdmissionResponse};
use autoscaler_guard_host::{Call, Capabilities, Limits, Policy, Response};
use serde_json::Value;

use super::{Neighbours, Request, SettingsText};
use crate::fault::Fault;

/// The policy's name where an answer gives it.
const NAME: &str = "autoscaler-guard";

/// Who judges.
#[derive(Debug)]
pub enum Judge {
    /// The rules that are built in.
    Core,
    /// A module.
    Module(Box<Policy>),
}

/// What became of a request.
#[derive(Debug, Clone)]
pub struct Judgement {
    /// The request.
    pub request: Request,
    /// What the API server would be told.
    pub response: AdmissionResponse,
    /// The object as it would be stored, if the policy changed it.
    pub repaired: Option<Value>,
    /// What was looked up for it.
    pub lookups: Vec<Call>,
}

/// The outcome in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It passes as it is.
    Allowed,
    /// It passes as it is, and its author is told something.
    Warned,
    /// It passes, changed.
    Repaired,
    /// It is refused.
    Rejected,
}

impl Judge {
    /// The module of that file, held to these limits, or the built-in rules.
    pub fn load(module: Option<&Path>, limits: Limits) -> Result<Self, Fault> {
        let Some(path) = module else { return Ok(Self::Core) };
        let unusable = || Fault::new(format!("the module {} cannot be used", path.display()));
        let bytes = std::fs::read(path)
            .map_err(|error| unusable().because(error).help("`make annotated-policy.wasm` builds one"))?;
        Self::module(&path.display().to_string(), &bytes, limits)
    }

    /// A module of that name, held to these limits.
    pub fn module(name: &str, bytes: &[u8], limits: Limits) -> Result<Self, Fault> {
        let policy = Policy::load(bytes, limits)
            .map_err(|error| Fault::new(format!("the module {name} cannot be used")).because(error))?;
        Ok(Self::Module(Box::new(policy)))
    }

    /// Checks settings, a JSON text; the error is all that is wrong with them.
    pub fn check_settings(&self, settings: &str) -> Result<(), Vec<String>> {
        match self {
            Self::Core => match Settings::from_json(settings) {
                Ok(_) => Ok(()),
                Err(errors) => Err(errors.iter().map(ToString::to_string).collect()),
            },
            Self::Module(policy) => match policy.validate_settings(settings) {
                Ok(answer) if answer.valid => Ok(()),
                Ok(answer) => {
                    Err(problems(&answer.message.unwrap_or_else(|| "the module does not say why".to_owned())))
                }
                Err(error) => Err(vec![error.to_string()]),
            },
        }
    }

    /// Judges a request.
    pub fn judge(
        &self,
        request: &Request,
        settings: &SettingsText,
        neighbours: &Neighbours,
    ) -> Result<Judgement, Fault> {
        let lookups: Arc<dyn Capabilities> = neighbours.lookups.clone();
        let verdict = self
            .ask(&request.value.to_string(), settings.as_str(), &lookups)
            .map_err(|reason| Fault::new(format!("there is no verdict on {}", request.origin)).because(reason))?;
        let repaired = verdict.mutated_object.clone();
        let review = admission::Review {
            uid: request.uid(),
            policy: NAME,
            object: Some(request.object()),
            mutating: self.may_change(),
        };
        let response = admission::respond(review, verdict);
        let repaired = repaired.filter(|_| response.patch.is_some());
        Ok(Judgement { request: request.clone(), response, repaired, lookups: neighbours.lookups.take() })
    }

    /// The verdict on an `AdmissionRequest`, given as JSON text; the error is why there is none.
    pub fn ask(&self, request: &str, settings: &str, lookups: &Arc<dyn Capabilities>) -> Result<Response, String> {
        match self {
            Self::Core => {
                let payload = format!(r#"{{"request":{request},"settings":{settings}}}"#);
                let call = |operation: &str, request: &[u8]| lookups.call(operation, request);
                let answer = kubewarden::validate(payload.as_bytes(), &call);
                serde_json::from_slice(&answer).map_err(|error| error.to_string())
            }
            Self::Module(policy) => policy.validate(request, settings, lookups).map_err(|error| error.to_string()),
        }
    }

    /// Whether the policy's manifest would let it change requests.
    pub fn may_change(&self) -> bool {
        match self {
            Self::Core => true,
            Self::Module(policy) => policy.metadata().is_none_or(|metadata| metadata.mutating),
        }
    }
}

/// The module tells all problems in one text: a headline and a line each.
fn problems(message: &str) -> Vec<String> {
    match message.split_once(":\n") {
        Some((_, lines)) => lines.lines().map(|line| line.trim().to_owned()).collect(),
        None => vec![message.to_owned()],
    }
}

impl Judgement {
    /// The outcome in a word.
    pub fn verdict(&self) -> Verdict {
        if !self.response.allowed {
            Verdict::Rejected
        } else if self.response.patch.is_some() {
            Verdict::Repaired
        } else if self.warnings().is_empty() {
            Verdict::Allowed
        } else {
            Verdict::Warned
        }
    }

    /// The ids of the rules that spoke, strongest first.
    pub fn rules(&self) -> Vec<&str> {
        self.audit("rule").map(|rules| rules.split(',').collect()).unwrap_or_default()
    }

    /// What the client is told whatever the verdict.
    pub fn warnings(&self) -> &[String] {
        self.response.warnings.as_deref().unwrap_or_default()
    }

    /// Why it was refused.
    pub fn message(&self) -> Option<&str> {
        self.response.status.as_ref()?.message.as_deref()
    }

    /// An audit annotation.
    pub fn audit(&self, key: &str) -> Option<&str> {
        self.response.audit_annotations.as_ref()?.get(key).map(String::as_str)
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
        let judgement = Judge::Core.judge(&request, &SettingsText::default(), &Neighbours::none()).unwrap();
        assert_eq!(serde_json::to_value(&judgement.response).unwrap(), json!({"uid": "u-1", "allowed": true}));
        assert_eq!((judgement.verdict(), judgement.rules().len()), (Verdict::Allowed, 0));
    }

    #[test]
    fn a_modules_problems_are_told_one_by_one() {
        assert_eq!(problems("the settings cannot be used:\n  a: wrong\n  b: wrong"), ["a: wrong", "b: wrong"]);
        assert_eq!(problems("no"), ["no"]);
    }

    #[test]
    fn what_is_no_module_is_told_with_its_path() {
        let fault = Judge::load(Some(Path::new("no-such.wasm")), Limits::default()).unwrap_err().to_string();
        assert!(fault.starts_with("error: the module no-such.wasm cannot be used: "), "{fault}");
    }
}
