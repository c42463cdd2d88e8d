//! An HPA refers to an owner that is not there.
//!
//! ## What it protects
//! An HPA that is restored or copied is not deleted a moment later.
//!
//! ## Why
//! The garbage collector takes an object whose owners are all gone, and an owner is known by its uid: a backup restored
//! into a new cluster, or a manifest copied with `kubectl get -o yaml`, refers to a uid that no longer exists. The HPA
//! is created, and disappears.
//!
//! ## When it fires
//! An HPA or ScaledObject is created with an ownerReference, or gets one by an update, whose owner does not exist or
//! has another uid. The reference is dropped. An owner that cannot be looked up is taken to exist; a ScaledObject does
//! not exist where KEDA's kinds are not served.
//!
//! * It is refused where an update changes the name or kind in a reference and keeps the uid.
//! * It warns when a ScaledObject's HPA is created (a restore): KEDA makes that HPA anew once its ScaledObject is back,
//!   and KEDA's own webhook would refuse the ScaledObject beside an HPA without that reference.
//! * It warns of KEDA's HPA without any reference, created (a restore) while its ScaledObject is not there.
//!
//! An audit reports both.
//!
//! ## Overrides
//! * Take `metadata.ownerReferences` out of the manifest.
//! * `autoscaler-guard/allow: hpa-owner-stale` on the HPA or its workload.
//!
//! ## Example
//! `kubectl get hpa web -o yaml | kubectl create -n staging -f -`

use super::handover::is_release;
use crate::change::{Kind, Operation};
use crate::cluster::api;
use crate::context::Context;
use crate::facts::autoscalers::target_of;
use crate::facts::hpa::{HorizontalPodAutoscaler, left_by_keda};
use crate::facts::owner::{Owner, is_same, is_scaled_object};
use crate::facts::released::ReleaseMark;
use crate::facts::scaled_object;
use crate::finding::{Action, Finding, Help};
use crate::gate::Scope;
use crate::repair::Edit;
use crate::rule::{DefaultAction, Lookup, Rule, Stage};
use crate::subject::{Subject, WorkloadRef};
use autoscaler_guard_reading::{Object, OwnerReference};

pub(in crate::rules) static RULE: Rule = Rule {
    id: "hpa-owner-stale",
    title: "This HPA refers to an owner that does not exist, and is garbage-collected",
    default: DefaultAction::Repair,
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

pub(in crate::rules) const LOOKUPS: &[Lookup] = &[Lookup::Get(&api::SCALED_OBJECT), Lookup::Owner];

fn check(context: &Context<'_>) -> Option<Finding> {
    let new = context.change.after()?;
    let known = |owner: &&OwnerReference<'_>| {
        context.change.before().is_some_and(|old| has(old.metadata.owner_references(), owner))
    };
    let mut added = new.metadata.owner_references().iter().filter(|owner| !known(owner));
    let is_hpa = context.request.kind == Kind::HorizontalPodAutoscaler;
    let Some(stale) = added.find(|owner| owner.look_up(context, &new.metadata.namespace).is_absent()) else {
        return is_hpa.then(|| without_owner(context, new)).flatten();
    };
    if is_hpa && is_release(context) {
        return None;
    }
    let this = new.title(context.request.kind.name());
    let owner = stale.title(&new.metadata.namespace);
    let goes = if is_hpa { "the HPA" } else { "it, and its HPA with it" };
    let what = format!(
        "{this} refers to {owner} with uid {} as its owner, which does not exist: the garbage collector deletes {goes}",
        stale.uid
    );
    let restored = context.request.operation == Operation::Create
        && is_scaled_object(&stale.api_version, &stale.kind)
        && stale.is_served(context, &new.metadata.namespace);
    // Dropping it would take the object from an owner that it has.
    let swapped = context.change.before().is_some_and(|old| old.metadata.owner_with_uid(&stale.uid).is_some());
    let action = if context.change.is_audit() || swapped {
        Action::Reject
    } else if restored {
        Action::Warn
    } else {
        Action::Repair(vec![Edit::RemoveOwner { uid: stale.uid.to_string() }])
    };
    let subject = Subject::new(context.request.kind.resource(), &new.metadata);
    let workload = WorkloadRef::new(&target_of(context, new), &new.metadata.namespace);
    let mut finding = Finding::new(RULE.id, action, subject, what)
        .about(workload, this.clone())
        .help("Take it out of the manifest", Help::field("metadata.ownerReferences"));
    finding.repaired = format!(
        "the reference of {this} to its owner {owner}, which does not exist, was dropped: {goes} would have been collected"
    );
    if restored {
        finding.notes.push(format!("KEDA makes {this} anew once ScaledObject {} is back", stale.name));
    }
    Some(finding)
}

/// KEDA's HPA without its ScaledObject: nothing goes with it, but nothing declares it either.
fn without_owner(context: &Context<'_>, new: &Object<'_>) -> Option<Finding> {
    let hpa = HorizontalPodAutoscaler::new(new.clone());
    // One that was handed over is whoever's declares it now.
    if context.change.before().is_some() || ReleaseMark::of(new).is_some() {
        return None;
    }
    let name = left_by_keda(&hpa)?;
    if !scaled_object::by_name(context, &new.metadata.namespace, &name).is_absent() {
        return None;
    }
    let then = match (hpa.metrics_of(), hpa.has_only_external_metrics()) {
        (Some(_), true) => "it scales by nothing but that one's metrics, which nobody serves",
        (Some(_), false) => "nobody serves that one's metrics, by which it scales",
        (None, _) => "nothing declares it, and KEDA refuses a ScaledObject beside it",
    };
    let this = new.title("HPA");
    let what = format!("{this} is KEDA's for ScaledObject {name}, which does not exist: {then}");
    let action = if context.change.is_audit() { Action::Reject } else { Action::Warn };
    let subject = Subject::new("hpa", &new.metadata);
    let delete = subject.kubectl("delete", &[]);
    let mut finding = Finding::new(RULE.id, action, subject, what).about(hpa.workload(), this);
    finding.at_stake = "it";
    Some(finding.help("Restore the ScaledObject, or apply a plain HPA; to delete this one", delete))
}

fn has(owners: &[OwnerReference<'_>], owner: &OwnerReference<'_>) -> bool {
    owners.iter().any(|other| is_same(other, owner))
}
