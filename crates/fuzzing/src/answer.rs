//! The policy's answer, and what holds for every one.

use std::cell::Cell;
use std::collections::BTreeMap;

use autoscaler_guard::cluster::MOST_QUESTIONS;
use autoscaler_guard::kubewarden;
use autoscaler_guard::plain::plain_lines;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::cluster::Stage;

/// Kubewarden's `ValidationResponse`, the repaired object to the letter.
#[derive(Debug, Deserialize)]
pub(crate) struct Answer {
    pub(crate) accepted: bool,
    pub(crate) message: Option<String>,
    code: Option<u16>,
    pub(crate) mutated_object: Option<Box<RawValue>>,
    audit_annotations: Option<BTreeMap<String, String>>,
    warnings: Option<Vec<String>>,
}

impl Answer {
    /// Judges a payload, and holds the answer to the laws of answers.
    pub(crate) fn to(payload: &[u8], stage: &Stage<'_>) -> Self {
        let asked = Cell::new(0);
        let bytes = kubewarden::validate(payload, &|operation, request| {
            asked.set(asked.get() + 1);
            stage.call(operation, request)
        });
        assert!(asked.get() <= MOST_QUESTIONS, "{} lookups", asked.get());
        let answer: Self = serde_json::from_slice(&bytes)
            .unwrap_or_else(|error| panic!("no answer: {error}: {}", String::from_utf8_lossy(&bytes)));
        answer.obeys();
        answer
    }

    fn obeys(&self) {
        for warning in self.warnings.iter().flatten() {
            assert!(warning.chars().count() <= 256, "too long: {warning}");
        }
        let audit = self.audit_annotations.iter().flat_map(BTreeMap::values);
        for text in self.warnings.iter().flatten().chain(&self.message).chain(audit) {
            assert_eq!(*text, plain_lines(text), "it acts on a terminal");
        }
        if self.accepted {
            assert!(self.code.is_none() && self.message.is_none(), "accepted with a reason: {self:?}");
        } else {
            let code = self.code.unwrap_or_default();
            assert!((400..500).contains(&code) && code != 409, "code {code}");
            assert!(self.message.as_ref().is_some_and(|text| text.starts_with("autoscaler-guard")), "{self:?}");
            assert!(self.warnings.is_some(), "a rejection without a warning: {self:?}");
            assert!(self.mutated_object.is_none(), "refused and repaired: {self:?}");
        }
    }

    /// The rules that had something to say.
    pub(crate) fn rules(&self) -> Vec<&str> {
        let rules = self.audit_annotations.as_ref().and_then(|audit| audit.get("rule"));
        rules.map(|ids| ids.split(',').collect()).unwrap_or_default()
    }
}
