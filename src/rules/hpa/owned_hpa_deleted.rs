//! An HPA is deleted that a live ScaledObject owns.
//!
//! ## What it protects
//! A workload that KEDA scales is not scaled by chance while its HPA comes and goes.
//!
//! ## Why
//! KEDA makes the HPA anew, after a gap and without its history, so deleting it achieves nothing; what is meant is
//! deleting or pausing the ScaledObject. KEDA copies the ScaledObject's labels to the HPA, so `kubectl apply --prune`
//! deletes it as well (kedacore/keda issue 6849).
//!
//! ## When it fires
//! Someone deletes an HPA whose ScaledObject (by uid) lives and is not being deleted, or cannot be read. Not while that
//! is paused or asks for an HPA of another name: then the HPA is to go. With Helm's labels, which KEDA copies as well,
//! it only warns: Helm may be uninstalling, and KEDA makes the HPA anew. So it does where Flux prunes it and its
//! inventory lists it, as an HPA that KEDA took over between two tries.
//!
//! ## Overrides
//! * Delete or pause the ScaledObject instead.
//! * Against pruning: `scaledobject.keda.sh/hpa-excluded-labels` on the ScaledObject keeps a label off its HPA. KEDA
//!   does not take it from an HPA that has it already: do that by hand, afterwards.
//! * `autoscaler-guard/allow: owned-hpa-deleted` on the HPA or its workload.
//!
//! ## Example
//! `kubectl delete hpa keda-hpa-web -n shop`

use crate::change::{Kind, Operation};
use crate::cluster::{Presence, api};
use crate::context::Context;
use crate::facts::hpa::{HorizontalPodAutoscaler, scaled_object_owners};
use crate::facts::{application, scaled_object};
use crate::finding::{Action, Finding};
use crate::gate::Scope;
use crate::rule::{DefaultAction, Lookup, Rule, Stage};
use crate::subject::{Subject, WorkloadRef};
use autoscaler_guard_reading::title;

pub(in crate::rules) static RULE: Rule = Rule {
    id: "owned-hpa-deleted",
    title: "KEDA undoes the deletion of a ScaledObject's HPA",
    default: DefaultAction::Reject,
    may_reject: true,
    since: "0.1.0",
    stage: Stage::Stable,
    scope: Scope::Judged,
    watches: &[(Kind::HorizontalPodAutoscaler, &[Operation::Delete])],
    check,
};

pub(in crate::rules) const LOOKUPS: &[Lookup] = &[Lookup::Get(&api::KUSTOMIZATION), Lookup::Get(&api::SCALED_OBJECT)];

fn check(context: &Context<'_>) -> Option<Finding> {
    let old = context.change.deleted()?;
    let owner = scaled_object_owners(old).next()?;
    let namespace = &old.metadata.namespace;
    let caveat = match scaled_object::with_uid(context, namespace, &owner.name, &owner.uid) {
        Presence::Absent => return None,
        Presence::Found(owner) if owner.object.metadata.is_terminating() => return None,
        // It is to go, whoever deletes it: KEDA deletes the HPA of a paused ScaledObject, and the one that it is not to
        // have any more.
        Presence::Found(owner) if owner.is_paused() || owner.configured_hpa_name() != old.metadata.name => return None,
        Presence::Found(_) => String::new(),
        Presence::Unknown(reason) => format!(" (whether it lives could not be read: {reason})"),
    };
    let hpa = HorizontalPodAutoscaler::new(old.clone());
    let target = WorkloadRef::new(&hpa.target(), namespace);
    let (this, from) = (old.title("HPA"), title("ScaledObject", namespace, &owner.name));
    let what =
        format!("deleting {this} leaves {target} unscaled until KEDA makes it anew, as {from} declares it{caveat}");
    let action = if is_pruned(context) { Action::Warn } else { Action::Reject };
    let scaled_object =
        Subject { resource: "scaledobject".into(), namespace: namespace.to_string(), name: owner.name.to_string() };
    let finding = Finding::new(RULE.id, action, Subject::new("hpa", &old.metadata), what)
        .about(target, this)
        .help("Delete the ScaledObject instead", scaled_object.kubectl("delete", &[]))
        .help("Or pause it", scaled_object.kubectl("annotate", &["autoscaling.keda.sh/paused=true"]))
        .help(
            "Against a prune by label (then take it from the HPA, too)",
            scaled_object.kubectl("annotate", &["scaledobject.keda.sh/hpa-excluded-labels=<label>"]),
        );
    Some(finding)
}

/// Helm may be uninstalling. Flux retries what its inventory lists, as an HPA that KEDA took over between two tries.
fn is_pruned(context: &Context<'_>) -> bool {
    let deleted = application::Member::changed(context);
    application::softens_delete(context, deleted) || application::flux::prunes(context, deleted)
}
