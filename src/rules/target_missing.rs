//! An autoscaler is aimed at a workload that does not exist.
//!
//! ## What it protects
//! An autoscaler's target exists.
//!
//! ## Why
//! An HPA without a target only sets a condition (`FailedGetScale`), a ScaledObject stays Ready: a misspelt name looks like a working
//! autoscaler until the load comes.
//!
//! ## When it fires
//! An HPA or ScaledObject is created, or its target changes, and the API server says that the target does not exist. It warns, as the
//! workload may be created next. An audit reports what still aims at nothing.
//!
//! ## Ways through
//! * It only warns. Correct `scaleTargetRef`, or create the workload.
//! * `autoscaler-guard/allow: target-missing` on the autoscaler silences it.
//!
//! ## Example
//! `kubectl autoscale deployment wbe --max 5`, for Deployment `web`.

use super::{Default, LookUp, Rule};
use crate::change::{Kind, Operation};
use crate::context::Context;
use crate::gate::Passage;
use crate::kinds::workload::WorkloadRef;
use crate::verdict::{Action, Finding, Subject};

pub(super) static RULE: Rule = Rule {
    id: "target-missing",
    title: "An autoscaler's target exists",
    default: Default::Warn,
    may_reject: true,
    since: "0.1.0",
    concerns: Passage::Judged,
    watches: &[
        (Kind::HorizontalPodAutoscaler, &[Operation::Create, Operation::Update, Operation::Audit]),
        (Kind::ScaledObject, &[Operation::Create, Operation::Update, Operation::Audit]),
    ],
    check,
};

pub(super) const LOOK_UPS: &[LookUp] = &[];

fn check(context: &Context<'_>) -> Option<Finding> {
    let new = context.change.new.as_ref()?;
    if context.change.keeps_target() {
        return None;
    }
    let workload = WorkloadRef::new(&context.change.target(new), &new.metadata.namespace);
    if !workload.get(&context.neighbours).is_absent() {
        return None;
    }
    let this = new.title(context.change.kind.name());
    let what = format!("{this} scales {workload}, which does not exist");
    let action = if context.change.is_audit() { Action::Reject } else { Action::Warn };
    let finding = Finding::new(&RULE, action, Subject::new(context.change.kind.resource(), &new.metadata), what);
    Some(finding.about(workload, this).help("Correct it", "spec.scaleTargetRef".to_owned()))
}
