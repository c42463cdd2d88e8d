//! An autoscaler is aimed at a workload that does not exist.
//!
//! ## What it protects
//! An autoscaler's target exists.
//!
//! ## Why
//! An HPA without a target only sets a condition (`FailedGetScale`), a ScaledObject stays Ready: a misspelt name looks
//! like a working autoscaler until the load comes.
//!
//! ## When it fires
//! An HPA or ScaledObject is created, or its target changes, and the API server says that the target does not exist. It
//! warns, as the workload may be created next. An audit reports what still aims at nothing.
//!
//! ## Overrides
//! * It only warns. Correct `scaleTargetRef`, or create the workload.
//! * `autoscaler-guard/allow: target-missing` on the autoscaler silences it.
//!
//! ## Example
//! `kubectl autoscale deployment wbe --max 5`, for Deployment `web`.

use crate::change::{Kind, Operation};
use crate::command::Command;
use crate::context::Context;
use crate::facts::autoscalers::{keeps_target, target_of};
use crate::facts::envoy_gateway::has_fleet_labels;
use crate::finding::{Action, Finding, Help};
use crate::gate::Scope;
use crate::rule::{DefaultAction, Lookup, Rule, Stage};
use crate::subject::{Subject, WorkloadRef};

pub(in crate::rules) static RULE: Rule = Rule {
    id: "target-missing",
    title: "This autoscaler's target does not exist",
    default: DefaultAction::Warn,
    may_reject: true,
    since: "0.1.0",
    stage: Stage::Stable,
    scope: Scope::Judged,
    watches: &[
        (Kind::HorizontalPodAutoscaler, &[Operation::Create, Operation::Update, Operation::Audit]),
        (Kind::ScaledObject, &[Operation::Create, Operation::Update, Operation::Audit]),
    ],
    check,
};

pub(in crate::rules) const LOOKUPS: &[Lookup] = &[];

fn check(context: &Context<'_>) -> Option<Finding> {
    let new = context.change.after()?;
    if keeps_target(context) {
        return None;
    }
    let workload = WorkloadRef::new(&target_of(context, new), &new.metadata.namespace);
    if !workload.get(&context.neighbours).is_absent() {
        return None;
    }
    let this = new.title(context.request.kind.name());
    let what = format!("{this} scales {workload}, which does not exist");
    let action = if context.change.is_audit() { Action::Reject } else { Action::Warn };
    let finding = Finding::new(RULE.id, action, Subject::new(context.request.kind.resource(), &new.metadata), what);
    let finding = finding.about(workload, this);
    if has_fleet_labels(new) {
        // Envoy Gateway would put another target back.
        let proxies = Command::kubectl(&["get", "envoyproxies", "--all-namespaces"]);
        return Some(finding.help("See which EnvoyProxy declares it, and delete it if none does", proxies));
    }
    Some(finding.help("Correct it", Help::field("spec.scaleTargetRef")))
}
