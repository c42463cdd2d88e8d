//! A released HPA is deleted while its former ScaledObject lives on.
//!
//! ## What it protects
//! A workload in the middle of a handover keeps its autoscaler.
//!
//! ## Why
//! KEDA no longer watches an HPA that was released. It does not notice the deletion, and not even a restart of KEDA
//! puts the HPA back: the ScaledObject stays Ready, and nothing scales the workload.
//!
//! ## When it fires
//! An HPA marked `autoscaler-guard/released-from` is deleted, by Helm too, while that ScaledObject (by uid) is there
//! and not being deleted, or cannot be read, and the workload lives.
//!
//! ## Overrides
//! * Give the HPA back first: `kubectl annotate hpa <name> autoscaler-guard/released-from-`, or delete the ScaledObject
//!   first.
//! * The workload owns its count: annotation `autoscaler-guard/autoscaling: "off"`, or `spec.replicas` declared.
//! * `autoscaler-guard/allow: released-hpa-deleted` on the HPA or its workload.
//!
//! ## Example
//! `kubectl delete hpa web -n shop` between Helm's update of the HPA and its delete of the ScaledObject.

use crate::change::{Kind, Operation};
use crate::cluster::{Presence, api};
use crate::context::Context;
use crate::facts::hpa::HorizontalPodAutoscaler;
use crate::facts::released::ReleaseMark;
use crate::facts::{scaled_object, workload};
use crate::finding::{Action, Finding};
use crate::gate::Scope;
use crate::rule::{DefaultAction, Lookup, Rule, Stage};
use crate::subject::{Subject, WorkloadRef};
use autoscaler_guard_reading::title;

pub(in crate::rules) static RULE: Rule = Rule {
    id: "released-hpa-deleted",
    title: "Deleting this HPA leaves its workload with no autoscaler, though a ScaledObject is Ready",
    default: DefaultAction::Reject,
    may_reject: true,
    since: "0.1.0",
    stage: Stage::Stable,
    scope: Scope::Judged,
    watches: &[(Kind::HorizontalPodAutoscaler, &[Operation::Delete])],
    check,
};

pub(in crate::rules) const LOOKUPS: &[Lookup] = &[Lookup::Get(&api::SCALED_OBJECT)];

fn check(context: &Context<'_>) -> Option<Finding> {
    let old = context.change.deleted()?;
    let release = ReleaseMark::of(old)?;
    // Given back and not yet rewritten: it is KEDA's again.
    if old.metadata.owner_with_uid(&release.uid).is_some() {
        return None;
    }
    let namespace = &old.metadata.namespace;
    let caveat = match scaled_object::with_uid(context, namespace, &release.scaled_object, &release.uid) {
        Presence::Found(owner) if owner.object.metadata.is_terminating() => return None,
        Presence::Absent => return None,
        Presence::Found(_) => String::new(),
        Presence::Unknown(reason) => format!(" (whether it lives on could not be read: {reason})"),
    };
    let hpa = HorizontalPodAutoscaler::new(old.clone());
    let target = WorkloadRef::new(&hpa.target(), namespace);
    let need = workload::needs_autoscaler(&target, context, Some(&hpa))?;
    let this = old.title("HPA");
    let from = title("ScaledObject", namespace, &release.scaled_object);
    let what = format!(
        "deleting {this} would leave {target} with no autoscaler: it was released from {from}, and KEDA would not put it back{caveat}{need}"
    );
    let subject = Subject::new("hpa", &old.metadata);
    let (delete_first, give_back) = release.finish_or_give_back(&subject);
    let finding = Finding::new(RULE.id, need.soften(Action::Reject), subject, what)
        .about(target, this)
        .help("Give the HPA back to KEDA first", give_back)
        .help("Or delete the ScaledObject first", delete_first);
    Some(finding)
}
