//! An HPA changes hands from a ScaledObject to whoever declares it now.
//!
//! ## What it protects
//! A workload whose chart or manifests go back from KEDA to a plain HPA of the same name keeps that HPA.
//!
//! ## Why
//! Helm patches KEDA's HPA, then deletes the ScaledObject. The HPA still carries the ScaledObject's ownerReference, so the garbage collector
//! deletes it. Helm prints `STATUS: deployed`, and the workload has no autoscaler (kedacore/keda issue 6250). Flux, Argo CD and
//! `kubectl apply` lose it the same way.
//!
//! ## When it fires
//! A declarative writer (setting `handover.fieldManagers`) writes an HPA that a ScaledObject owns, by patch, apply or PUT. Anyone else
//! says so with the annotation `autoscaler-guard/handover: "<scaledobject>"`, new in that request. For the ScaledObject's own target the
//! ownerReference is dropped and the HPA marked `autoscaler-guard/released-from`; for another target the write is refused, as the
//! ScaledObject's workload would lose its autoscaler. A declarative writer's PUT that forgets the mark gets it back.
//!
//! ## Ways through
//! * `autoscaler-guard/allow: hpa-handover` on the HPA or its workload: the write passes as it is.
//! * `repair: false`: the write is refused; delete the ScaledObject with `--cascade=orphan` first, then write the HPA.
//!
//! ## Example
//! `helm upgrade web` after the chart's `ScaledObject` was replaced by a `HorizontalPodAutoscaler` named `web`.

use super::{Default, LookUp, Rule};
use crate::change::{Kind, Operation};
use crate::cluster::{Answer, Reason, api};
use crate::context::Context;
use crate::gate::Passage;
use crate::kinds::horizontal_pod_autoscaler::{HorizontalPodAutoscaler, scaled_object_owners};
use crate::kinds::released::{RELEASED_FROM, Release};
use crate::kinds::scaled_object::{self, ScaledObject};
use crate::kinds::workload::{self, WorkloadRef};
use crate::kinds::{Object, title};
use crate::repair::Edit;
use crate::verdict::{Action, Finding, Subject};

/// By this annotation anyone hands an HPA over.
pub(super) const HANDOVER: &str = "autoscaler-guard/handover";

pub(super) static RULE: Rule = Rule {
    id: "hpa-handover",
    title: "An HPA that is declared again survives its ScaledObject",
    default: Default::Repair,
    may_reject: true,
    since: "0.1.0",
    concerns: Passage::Judged,
    watches: &[(Kind::HorizontalPodAutoscaler, &[Operation::Update])],
    check,
};

pub(super) const LOOK_UPS: &[LookUp] = &[LookUp::Get(&api::SCALED_OBJECT)];

fn check(context: &Context<'_>) -> Option<Finding> {
    let (old, new) = context.change.update()?;
    if declares(context)
        && let Some(release) = Release::of(old)
        && Release::of(new).is_none()
    {
        return keep_mark(context, new, &release);
    }
    let owner = scaled_object_owners(old).next().filter(|owner| is_claimed(context, &owner.name))?;
    let hpa = HorizontalPodAutoscaler::new(new.clone());
    match scaled_object::with_uid(context, &old.metadata.namespace, &owner.name, &owner.uid) {
        Answer::Found(owner) => {
            (declares(context) || !is_copied(&owner, new)).then(|| hand_over(context, &hpa, &owner))
        }
        // A stale owner is another rule's business.
        Answer::Absent => None,
        Answer::Unknown(reason) => Some(cannot_tell(&hpa, &owner.name, &reason)),
    }
}

/// Whether the change is a hand-over, so that the rules about a controller's HPA have nothing to say.
pub(super) fn is_hand_over(context: &Context<'_>) -> bool {
    check(context).is_some()
}

/// Whether the writer is one that declares (setting `handover.fieldManagers`).
pub(super) fn declares(context: &Context<'_>) -> bool {
    context.settings.handover_field_managers.match_name(&context.change.field_manager)
}

/// Whether the writer wants the HPA of that ScaledObject for itself.
fn is_claimed(context: &Context<'_>, owner: &str) -> bool {
    declares(context) || context.change.update().is_some_and(|(old, new)| asks_for(old, new, owner))
}

fn asks_for(old: &Object<'_>, new: &Object<'_>, owner: &str) -> bool {
    let asked = new.metadata.annotation(HANDOVER);
    asked.as_deref() == Some(owner) && old.metadata.annotation(HANDOVER) != asked
}

/// KEDA copies a ScaledObject's annotations to its HPA: one that is there too is not a person's wish.
fn is_copied(owner: &ScaledObject<'_>, hpa: &Object<'_>) -> bool {
    owner.object.metadata.annotation(HANDOVER) == hpa.metadata.annotation(HANDOVER)
}

fn hand_over(context: &Context<'_>, hpa: &HorizontalPodAutoscaler<'_>, owner: &ScaledObject<'_>) -> Finding {
    let namespace = &hpa.object.metadata.namespace;
    let target = WorkloadRef::new(&owner.target(), namespace);
    if !hpa.target().same_workload(&owner.target()) {
        return other_target(hpa, owner, target);
    }
    let edits = vec![
        Edit::RemoveOwner { uid: owner.object.metadata.uid.clone().into_owned() },
        Edit::Annotate { key: RELEASED_FROM, value: Release::mark(owner) },
    ];
    let (this, from) = (hpa.object.title("HPA"), owner.object.title("ScaledObject"));
    let what = format!(
        "writing {this} leaves {from} as its owner: when that is deleted, the garbage collector deletes the HPA too, and {target} has no autoscaler"
    );
    let mut finding = finding(hpa, Action::Repair(edits), what).about(target.clone(), this.clone());
    finding.repaired = format!(
        "{this} was released from {from}: it stays when the ScaledObject is deleted, and KEDA does not take it back until then"
    );
    finding.notes.extend(cannot_start(context, owner, &target));
    release_first(finding, &Subject::new("scaledobject", &owner.object.metadata))
}

fn other_target(hpa: &HorizontalPodAutoscaler<'_>, owner: &ScaledObject<'_>, target: WorkloadRef) -> Finding {
    let (this, from) = (hpa.object.title("HPA"), owner.object.title("ScaledObject"));
    let now = WorkloadRef::new(&hpa.target(), &hpa.object.metadata.namespace);
    let what = format!(
        "writing {this} aims it at {now}, but {from} owns it and scales {target}, which would lose its autoscaler"
    );
    finding(hpa, Action::Reject, what)
        .about(target, this)
        .help("Give the new HPA a name of its own, as this one belongs to", from)
}

fn cannot_tell(hpa: &HorizontalPodAutoscaler<'_>, owner: &str, reason: &Reason) -> Finding {
    let namespace = &hpa.object.metadata.namespace;
    let this = hpa.object.title("HPA");
    let owner = title("ScaledObject", namespace, owner);
    let what = format!("writing {this} may lose it with its owner {owner}, as that could not be read ({reason})");
    let target = WorkloadRef::new(&hpa.target(), namespace);
    finding(hpa, Action::Reject, what)
        .about(target, this)
        .help("Try again once ScaledObjects can be read; for the permission", "see policies/rbac.yaml".to_owned())
}

/// A declarative PUT that does not know the mark is still the same hand-over, not a giveback.
fn keep_mark(context: &Context<'_>, new: &Object<'_>, release: &Release) -> Option<Finding> {
    let hpa = HorizontalPodAutoscaler::new(new.clone());
    let namespace = &new.metadata.namespace;
    if scaled_object::with_uid(context, namespace, &release.scaled_object, &release.uid).map(|_| ()) == Answer::Absent {
        return None;
    }
    let mark = format!("{}/{}/{}", release.scaled_object, release.uid, release.generation);
    let (this, from) = (new.title("HPA"), title("ScaledObject", namespace, &release.scaled_object));
    let what = format!(
        "writing {this} drops the mark that it was released from {from}: KEDA would take it back, and delete it with the ScaledObject"
    );
    let target = WorkloadRef::new(&hpa.target(), namespace);
    let mut finding = finding(&hpa, Action::Repair(vec![Edit::Annotate { key: RELEASED_FROM, value: mark }]), what)
        .about(target, this.clone());
    finding.repaired = format!("{this} stays released from {from}, as its mark was put back");
    let owner = Subject {
        resource: "scaledobject".into(),
        namespace: namespace.to_string(),
        name: release.scaled_object.clone(),
    };
    Some(release_first(finding, &owner))
}

fn finding(hpa: &HorizontalPodAutoscaler<'_>, action: Action, what: String) -> Finding {
    Finding::new(&RULE, action, Subject::new("hpa", &hpa.object.metadata), what)
}

fn release_first(finding: Finding, owner: &Subject) -> Finding {
    finding.help(
        "Delete the ScaledObject without its HPA, then write the HPA",
        owner.kubectl("delete", "--cascade=orphan"),
    )
}

/// An HPA cannot start a workload from 0, and deleting a ScaledObject may restore a count of 0.
fn cannot_start(context: &Context<'_>, owner: &ScaledObject<'_>, target: &WorkloadRef) -> Option<String> {
    let restored = owner.restores_count();
    let at_zero =
        || matches!(target.get(&context.neighbours), Answer::Found(found) if workload::replicas(&found) == Some(0));
    match restored {
        Some(0) => Some(format!(
            "deleting the ScaledObject restores {target} to 0 replicas, and an HPA cannot start from 0: scale it to 1 then"
        )),
        Some(count) => {
            Some(format!("deleting the ScaledObject restores {target} to {count} replicas before the HPA scales it"))
        }
        None => at_zero().then(|| format!("{target} is at 0 replicas, and an HPA cannot start from 0: scale it to 1")),
    }
}
