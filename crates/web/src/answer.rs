//! What callers get. The TypeScript declarations are made from these types.

use std::collections::BTreeMap;

use autoscaler_guard::finding::{Advice, Finding, Help};
use autoscaler_guard::{Decision, Verdict};
use serde::Serialize;
use serde_json::value::RawValue;
#[cfg(target_arch = "wasm32")]
use tsify::Tsify;

/// What became of a request, or why it could not be judged.
#[derive(Debug, Serialize)]
#[cfg_attr(target_arch = "wasm32", derive(Tsify))]
#[serde(tag = "outcome", rename_all = "camelCase")]
pub enum Answer {
    /// The request was judged.
    Reviewed(Box<Review>),
    /// The settings cannot be used.
    InvalidSettings {
        /// All that is wrong with them.
        problems: Vec<Problem>,
    },
    /// The objects around the request cannot be used.
    UnusableCluster {
        /// All that is wrong with them.
        problems: Vec<Problem>,
    },
    /// The request is none.
    UnreadableRequest {
        /// What is wrong with it.
        problems: Vec<Problem>,
    },
}

/// Something that is wrong with what was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(target_arch = "wasm32", derive(Tsify))]
pub struct Problem {
    /// Where: `handover.fieldManagers[1]`.
    pub path: String,
    /// What is wrong and, where that can be told, what would be right.
    pub problem: String,
}

/// One rule's finding.
#[derive(Debug, Serialize)]
#[cfg_attr(target_arch = "wasm32", derive(Tsify))]
#[serde(rename_all = "camelCase")]
pub struct FindingFacts {
    /// The rule, by id.
    pub rule: &'static str,
    /// `warn`, `repair` or `reject`.
    pub action: &'static str,
    /// What would happen, or what was done about it, with the rule in front.
    pub headline: String,
    /// More to know, a sentence each.
    pub notes: Vec<String>,
    /// Ways forward, the most likely first.
    pub advice: Vec<AdviceFacts>,
    /// How to acknowledge it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(target_arch = "wasm32", tsify(optional))]
    pub acknowledge: Option<String>,
    /// What an acknowledgement takes on oneself: `the loss`, `the orphan`.
    pub at_stake: &'static str,
    /// The workloads whose autoscaling is at stake.
    pub workloads: Vec<String>,
    /// The autoscaler at stake.
    pub autoscaler: String,
}

/// A way forward.
#[derive(Debug, Serialize)]
#[cfg_attr(target_arch = "wasm32", derive(Tsify))]
pub struct AdviceFacts {
    /// What it achieves.
    pub purpose: &'static str,
    /// `command`, `manifest` or `text`.
    pub kind: &'static str,
    /// The command to run, the field to set, or what to do.
    pub text: String,
}

/// What the policy says about a request.
#[derive(Debug, Serialize)]
#[cfg_attr(target_arch = "wasm32", derive(Tsify))]
#[serde(rename_all = "camelCase")]
pub struct Review {
    /// What becomes of the request.
    pub verdict: Outcome,
    /// Why it was rejected, with the ways on.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(target_arch = "wasm32", tsify(optional))]
    pub message: Option<String>,
    /// The HTTP status of a rejection.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(target_arch = "wasm32", tsify(optional))]
    pub code: Option<u16>,
    /// What the client is told whatever the verdict, a sentence each.
    pub warnings: Vec<String>,
    /// The ids of the rules that spoke, strongest action first.
    pub rules: Vec<&'static str>,
    /// The findings that stand, strongest action first.
    pub findings: Vec<FindingFacts>,
    /// What goes into the audit log.
    #[cfg_attr(target_arch = "wasm32", tsify(type = "Record<string, string>"))]
    pub audit_annotations: BTreeMap<&'static str, String>,
    /// The object as it is repaired.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(target_arch = "wasm32", tsify(optional, type = "Record<string, unknown>"))]
    pub object: Option<Box<RawValue>>,
    /// What the policy asked the cluster, in order.
    pub lookups: Vec<Lookup>,
    /// Who owns, declares and scales whom.
    pub pictures: Pictures,
}

/// Who owns, declares and scales whom around the object of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(target_arch = "wasm32", derive(Tsify))]
pub struct Pictures {
    /// As it is.
    pub before: Picture,
    /// As the request wants it.
    pub asked: Picture,
    /// As it becomes by a repair.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(target_arch = "wasm32", tsify(optional))]
    pub repaired: Option<Picture>,
}

/// Objects and what holds between them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(target_arch = "wasm32", derive(Tsify))]
pub struct Picture {
    /// The objects.
    pub boxes: Vec<PictureBox>,
    /// What holds between them.
    pub arrows: Vec<PictureArrow>,
}

/// An object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(target_arch = "wasm32", derive(Tsify))]
#[serde(rename_all = "camelCase")]
pub struct PictureBox {
    /// What messages call it: `HPA shop/web`. The same in all pictures of a review.
    pub id: String,
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its namespace; missing for cluster-scoped kinds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(target_arch = "wasm32", tsify(optional))]
    pub namespace: Option<String>,
    /// Whether it is there; else another object only names it.
    pub there: bool,
    /// Whether it is what the request is about.
    pub requested: bool,
    /// Whether it is what the verdict is about: the autoscaler that would be lost or left behind, and what it scales.
    pub at_stake: bool,
}

/// What holds between two objects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(target_arch = "wasm32", derive(Tsify))]
#[serde(rename_all = "camelCase")]
pub struct PictureArrow {
    /// The box that it leaves.
    pub from: String,
    /// The box that it leads to.
    pub to: String,
    /// What it means.
    pub meaning: Meaning,
    /// Whether the verdict is about it.
    pub at_stake: bool,
}

/// What an arrow means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(target_arch = "wasm32", derive(Tsify))]
#[serde(rename_all = "lowercase")]
pub enum Meaning {
    /// By an ownerReference, or as what it defines: the second goes with the first.
    Owns,
    /// An autoscaler and its workload.
    Scales,
    /// An EnvoyProxy, or what setting `declarations` names, and the HPA that its operator writes for it.
    Declares,
    /// A Gateway, or a class that merges its Gateways, and its Envoy Deployment.
    Runs,
    /// An EnvoyProxy and whatever refers to it, a GatewayClass and its Gateways.
    Configures,
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(target_arch = "wasm32", derive(Tsify))]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It passes without a word.
    Allowed,
    /// It passes with warnings.
    Warned,
    /// It passes, changed.
    Repaired,
    /// It is refused.
    Rejected,
}

/// A question of the policy and its answer, in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(target_arch = "wasm32", derive(Tsify))]
pub struct Lookup {
    /// What was asked: `get apps/v1 Deployment shop/web`.
    pub lookup: String,
    /// What the answer was: `found`, `absent`, `3 objects`, `yes`, `no`, or why there was none.
    pub outcome: String,
    /// Whether there was no answer.
    pub failed: bool,
}

/// A rule, as the catalogue has it.
#[derive(Debug, Serialize)]
#[cfg_attr(target_arch = "wasm32", derive(Tsify))]
#[serde(rename_all = "camelCase")]
pub struct RuleFacts {
    /// What settings, annotations, RBAC and audit logs name it by.
    pub id: &'static str,
    /// What it protects, in one line.
    pub title: &'static str,
    /// What it does by itself.
    #[cfg_attr(target_arch = "wasm32", tsify(type = "\"warn\" | \"repair\" | \"reject\""))]
    pub default: &'static str,
    /// Whether it may ever refuse.
    pub may_reject: bool,
    /// The first version that had it.
    pub since: &'static str,
    /// Which changes it looks at.
    pub watches: Vec<Watch>,
}

/// Changes that a rule looks at.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(target_arch = "wasm32", derive(Tsify))]
pub struct Watch {
    /// The kind of the object; missing where setting `declarations` names the kinds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(target_arch = "wasm32", tsify(optional))]
    pub kind: Option<String>,
    /// `CREATE`, `UPDATE`, `DELETE`, and `AUDIT` for objects that are there.
    pub operations: Vec<String>,
}

impl Review {
    pub(crate) fn new(verdict: Verdict, lookups: Vec<Lookup>) -> Self {
        let (message, warnings) = (verdict.message(), verdict.warnings());
        let audit_annotations = verdict.audit_annotations().into_iter().collect();
        let outcome = match &verdict.decision {
            Decision::Reject(_) => Outcome::Rejected,
            Decision::Repair(_) => Outcome::Repaired,
            Decision::Allow if warnings.is_empty() => Outcome::Allowed,
            Decision::Allow => Outcome::Warned,
        };
        let (code, object) = match verdict.decision {
            Decision::Allow => (None, None),
            // It was JSON before the repair, which splices JSON into it.
            Decision::Repair(object) => (None, RawValue::from_string(object).ok()),
            Decision::Reject(code) => (Some(code), None),
        };
        Self {
            verdict: outcome,
            message,
            code,
            warnings,
            rules: verdict.findings.iter().map(|finding| finding.rule).collect(),
            findings: verdict.findings.into_iter().map(FindingFacts::new).collect(),
            audit_annotations,
            object,
            lookups,
            pictures: Pictures::default(),
        }
    }
}

impl FindingFacts {
    fn new(finding: Finding) -> Self {
        Self {
            rule: finding.rule,
            action: finding.action.name(),
            headline: finding.headline(),
            notes: finding.notes,
            advice: finding.by_hand.into_iter().chain(finding.help).map(|advice| AdviceFacts::new(&advice)).collect(),
            acknowledge: finding.acknowledgement.map(|help| help.to_string()),
            at_stake: finding.at_stake,
            workloads: finding.workloads.iter().map(ToString::to_string).collect(),
            autoscaler: finding.autoscaler,
        }
    }
}

impl AdviceFacts {
    fn new(advice: &Advice) -> Self {
        let kind = match &advice.help {
            Help::Command(_) => "command",
            Help::Manifest { .. } => "manifest",
            Help::Text(_) => "text",
        };
        Self { purpose: advice.purpose, kind, text: advice.help.to_string() }
    }
}
