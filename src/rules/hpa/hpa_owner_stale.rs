//! An HPA refers to an owner that is not there.
//!
//! ## What it protects
//! An HPA that is restored or copied is not deleted a moment later.
//!
//! ## Why
//! The garbage collector takes an object whose owners are all gone, and an owner is known by its uid: a backup restored into a new cluster,
//! or a manifest copied with `kubectl get -o yaml`, refers to a uid that no longer exists. The HPA is created, and disappears.
//!
//! ## When it fires
//! An HPA is created with an ownerReference, or gets one by an update, whose owner does not exist or has another uid. The reference is
//! dropped. When a ScaledObject's HPA is created (a restore) it only warns: KEDA makes that HPA anew once its ScaledObject is back, and
//! KEDA's own webhook would refuse the ScaledObject beside an HPA without that reference. An owner that cannot be looked up is taken to
//! exist. An audit reports an HPA with such a reference.
//!
//! ## Overrides
//! * Take `metadata.ownerReferences` out of the manifest.
//! * `autoscaler-guard/allow: hpa-owner-stale` on the HPA or its workload.
//!
//! ## Example
//! `kubectl get hpa web -o yaml | kubectl create -n staging -f -`

use super::handover::is_handover;
use crate::change::{Kind, Operation};
use crate::context::Context;
use crate::facts::hpa::HorizontalPodAutoscaler;
use crate::facts::owner::{Owner, is_scaled_object};
use crate::finding::{Action, Finding, Help};
use crate::gate::Scope;
use crate::repair::Edit;
use crate::rule::{DefaultAction, Lookup, Rule, Stage};
use crate::subject::{Subject, WorkloadRef};
use autoscaler_guard_reading::OwnerReference;

pub(in crate::rules) static RULE: Rule = Rule {
    id: "hpa-owner-stale",
    title: "This HPA refers to an owner that does not exist, and is garbage-collected",
    default: DefaultAction::Repair,
    may_reject: true,
    since: "0.1.0",
    stage: Stage::Stable,
    scope: Scope::Judged,
    watches: &[(Kind::HorizontalPodAutoscaler, &[Operation::Create, Operation::Update, Operation::Audit])],
    check,
};

pub(in crate::rules) const LOOKUPS: &[Lookup] = &[Lookup::Owner];

fn check(context: &Context<'_>) -> Option<Finding> {
    let new = context.change.new()?;
    let known = |owner: &&OwnerReference<'_>| {
        context.change.old().is_some_and(|old| old.metadata.owner_with_uid(&owner.uid).is_some())
    };
    let mut added = new.metadata.owner_references().iter().filter(|owner| !known(owner));
    let stale = added.find(|owner| owner.look_up(context, &new.metadata.namespace).is_absent())?;
    if is_handover(context) {
        return None;
    }
    let hpa = HorizontalPodAutoscaler::new(new.clone());
    let this = new.title("HPA");
    let owner = stale.title(&new.metadata.namespace);
    let what = format!(
        "{this} refers to {owner} with uid {} as its owner, which does not exist: the garbage collector deletes the HPA",
        stale.uid
    );
    let restored = context.request.operation == Operation::Create && is_scaled_object(&stale.api_version, &stale.kind);
    let action = if context.change.is_audit() {
        Action::Reject
    } else if restored {
        Action::Warn
    } else {
        Action::Repair(vec![Edit::RemoveOwner { uid: stale.uid.to_string() }])
    };
    let mut finding = Finding::new(RULE.id, action, Subject::new("hpa", &new.metadata), what)
        .about(WorkloadRef::new(&hpa.target(), &new.metadata.namespace), this.clone())
        .help("Take it out of the manifest", Help::field("metadata.ownerReferences"));
    finding.repaired = format!(
        "the reference of {this} to its owner {owner}, which does not exist, was dropped: the HPA would have been collected"
    );
    if restored {
        finding.notes.push(format!("KEDA makes {this} anew once ScaledObject {} is back", stale.name));
    }
    Some(finding)
}
