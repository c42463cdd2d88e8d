//! Who judges: the rules that are built in, or a module in the embedded host.
//!
//! Both get the same payload and lookups and answer with the same JSON. The built-in rules give their findings as well:
//! a module has only text to say them in.

use std::path::Path;
use std::sync::Arc;

use autoscaler_guard::{Settings, Verdict, kubewarden};
use autoscaler_guard_host::{Capabilities, Limits, Policy, Response};

use crate::fault::Fault;

/// What a judge says about a request.
#[derive(Debug)]
pub struct Ruling {
    /// What policy-server would get.
    pub response: Response,
    /// The verdict with its findings, which a module does not give.
    pub verdict: Option<Verdict>,
}

/// Who judges.
#[derive(Debug)]
pub enum Judge {
    /// The rules that are built in.
    Core,
    /// A module.
    Module(Box<Policy>),
}

impl Judge {
    /// The module of that file, held to these limits, or the built-in rules.
    pub fn load(module: Option<&Path>, limits: Limits) -> Result<Self, Fault> {
        let Some(path) = module else { return Ok(Self::Core) };
        let unusable = || Fault::new(format!("the module {} cannot be used", path.display()));
        let bytes = std::fs::read(path)
            .map_err(|error| unusable().because(error).help("`make annotated-policy.wasm` builds one"))?;
        let policy = Policy::load(&bytes, limits).map_err(|error| unusable().because(error))?;
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

    /// The verdict on an `AdmissionRequest`, given as JSON text; the error is why there is none.
    pub fn ask(&self, request: &str, settings: &str, lookups: &Arc<dyn Capabilities>) -> Result<Ruling, String> {
        match self {
            Self::Core => {
                let payload = format!(r#"{{"request":{request},"settings":{settings}}}"#);
                let call = |operation: &str, request: &[u8]| lookups.call(operation, request);
                let verdict = kubewarden::judge(payload.as_bytes(), &call);
                let response = serde_json::from_slice(&kubewarden::response(&verdict));
                response.map(|response| Ruling { response, verdict: Some(verdict) }).map_err(|error| error.to_string())
            }
            Self::Module(policy) => {
                let response = policy.validate(request, settings, lookups).map_err(|error| error.to_string())?;
                Ok(Ruling { response, verdict: None })
            }
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

/// The module gives all problems in one text: a headline and a line each.
fn problems(message: &str) -> Vec<String> {
    match message.split_once(":\n") {
        Some((_, lines)) => lines.lines().map(|line| line.trim().to_owned()).collect(),
        None => vec![message.to_owned()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_modules_problems_are_taken_apart() {
        assert_eq!(problems("the settings cannot be used:\n  a: wrong\n  b: wrong"), ["a: wrong", "b: wrong"]);
        assert_eq!(problems("no"), ["no"]);
    }

    #[test]
    fn what_is_no_module_is_named_by_its_path() {
        let fault = Judge::load(Some(Path::new("no-such.wasm")), Limits::default()).unwrap_err().to_string();
        assert!(fault.starts_with("error: the module no-such.wasm cannot be used: "), "{fault}");
    }
}
