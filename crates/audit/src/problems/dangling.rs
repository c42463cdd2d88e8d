//! An autoscaler aims at a workload that does not exist.
//!
//! ## Meaning
//! What `scaleTargetRef` names is not there, or its kind is not served: the autoscaler does nothing, and would scale
//! whatever comes to be called so.
//!
//! ## How it comes about
//! The workload was renamed, replaced by another kind or deleted, and the autoscaler stayed. Its apiVersion is one that
//! is not served any more (`extensions/v1beta1`): the HPA controller goes by group and kind, the version does not
//! matter.
//!
//! ## What is looked at
//! HPAs and ScaledObjects; an HPA of a ScaledObject is reported with that. Of kinds of which nothing is known the
//! autoscaler's own conditions are believed.
//!
//! ## What to do
//! Correct the target, or delete the autoscaler.

use crate::finding::{Finding, Found};
use crate::object::{Object, Ref};
use crate::view::View;

const PROBLEM: &str = "dangling";

/// Looks for them.
pub fn check(view: &View<'_>, found: &mut Found) {
    for scaled in &view.scaled_objects {
        if !found.explains(&scaled.object.key) && is_missing(view, &scaled.target, scaled.object, "Ready") {
            found.push(finding(scaled.object, &scaled.target), [&scaled.hpa]);
        }
    }
    for hpa in &view.hpas {
        let owner = view.scaled_object_of(hpa).map(|scaled| &scaled.object.key);
        let is_explained = found.explains(&hpa.object.key) || owner.is_some_and(|owner| found.explains(owner));
        if !is_explained && is_missing(view, &hpa.target, hpa.object, "AbleToScale") {
            found.push(finding(hpa.object, &hpa.target), []);
        }
    }
}

fn finding(object: &Object, target: &Ref) -> Finding {
    let message = format!("{} aims at {target}, which is not there", object.key);
    Finding::new(PROBLEM, &object.key, message)
        .rule("target-missing")
        .workload(target)
        .command(&object.key.kubectl("edit"))
        .command(&object.key.kubectl("delete"))
}

fn is_missing(view: &View<'_>, target: &Ref, object: &Object, condition: &str) -> bool {
    let inventory = view.inventory;
    if target.name.is_empty() || inventory.get(target).is_some() || !inventory.can_read(&target.kind, &target.namespace)
    {
        return false;
    }
    let is_known =
        target.group == "apps" || target.group == "extensions" || inventory.knows(&target.group, &target.kind);
    // A kind of which nothing was read: what the controller says of it.
    is_known || object.condition(condition).is_none_or(|condition| condition.status == "False")
}
