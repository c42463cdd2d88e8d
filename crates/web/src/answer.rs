//! What callers get. The TypeScript declarations are made from these types.

use std::collections::BTreeMap;

use autoscaler_guard::finding::{Advice, Finding, Help};
use autoscaler_guard::{Decision, Verdict, VerdictKind};
use serde::{Serialize, Serializer};
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
    /// What is wrong and, where that is known, what would be right.
    pub problem: String,
}

/// One rule's finding.
#[derive(Debug, Serialize)]
#[cfg_attr(target_arch = "wasm32", derive(Tsify))]
#[serde(rename_all = "camelCase")]
pub struct FindingFacts {
    /// The rule, by id.
    pub rule: &'static str,
    /// What is done about it.
    #[cfg_attr(target_arch = "wasm32", tsify(type = "\"warn\" | \"repair\" | \"reject\""))]
    pub action: &'static str,
    /// What would happen and why, or what a repair did about it, in one sentence.
    pub what: String,
    /// More to know, a sentence each.
    pub notes: Vec<String>,
    /// What has to be done by hand in any case.
    pub by_hand: Vec<AdviceFacts>,
    /// Ways forward, the most likely first.
    pub advice: Vec<AdviceFacts>,
    /// How to acknowledge it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(target_arch = "wasm32", tsify(optional))]
    pub acknowledge: Option<AdviceFacts>,
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
    pub purpose: String,
    /// Whether `text` is a command to run, a field to set in the manifest, or words.
    #[cfg_attr(target_arch = "wasm32", tsify(type = "\"command\" | \"manifest\" | \"text\""))]
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
    #[serde(serialize_with = "word")]
    #[cfg_attr(target_arch = "wasm32", tsify(type = "\"allowed\" | \"warned\" | \"repaired\" | \"rejected\""))]
    pub verdict: VerdictKind,
    /// Why it was rejected and what helps, as the client shows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(target_arch = "wasm32", tsify(optional))]
    pub message: Option<String>,
    /// The HTTP status of a rejection.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(target_arch = "wasm32", tsify(optional))]
    pub code: Option<u16>,
    /// The warnings that the client shows, a sentence each.
    pub warnings: Vec<String>,
    /// The ids of the rules that spoke, strongest action first.
    pub rules: Vec<&'static str>,
    /// The findings that stand, strongest action first.
    pub findings: Vec<FindingFacts>,
    /// Why it was rejected although no rule rejects it: the request cannot be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(target_arch = "wasm32", tsify(optional))]
    pub problem: Option<String>,
    /// What else the author of a rejected change should know, a sentence each.
    pub hints: Vec<String>,
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
        let (kind, rules) = (verdict.kind(), verdict.rules().collect());
        let audit_annotations = verdict.audit_annotations().into_iter().collect();
        let (code, object) = match verdict.decision {
            Decision::Allow => (None, None),
            // It was JSON before the repair, which splices JSON into it.
            Decision::Repair(object) => (None, RawValue::from_string(object).ok()),
            Decision::Reject(code) => (Some(code), None),
        };
        Self {
            verdict: kind,
            message,
            code,
            warnings,
            rules,
            findings: verdict.findings.into_iter().map(FindingFacts::new).collect(),
            problem: verdict.problem,
            hints: verdict.hints,
            audit_annotations,
            object,
            lookups,
            pictures: Pictures::default(),
        }
    }
}

impl FindingFacts {
    fn new(finding: Finding) -> Self {
        let facts =
            |ways: &[Advice]| ways.iter().map(|way| AdviceFacts::new(way.purpose.to_owned(), &way.help)).collect();
        let acknowledge = |help| AdviceFacts::new(finding.acknowledges(), help);
        Self {
            rule: finding.rule,
            action: finding.action.name(),
            what: finding.sentence().to_owned(),
            by_hand: facts(&finding.by_hand),
            advice: facts(&finding.help),
            acknowledge: finding.acknowledgement.as_ref().map(acknowledge),
            notes: finding.notes,
            workloads: finding.workloads.iter().map(ToString::to_string).collect(),
            autoscaler: finding.autoscaler,
        }
    }
}

impl AdviceFacts {
    fn new(purpose: String, help: &Help) -> Self {
        let kind = match help {
            Help::Command(_) => "command",
            Help::Manifest { .. } => "manifest",
            Help::Text(_) => "text",
        };
        Self { purpose, kind, text: help.to_string() }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn word<S: Serializer>(kind: &VerdictKind, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(kind.word())
}
