//! An HPA changes hands from a ScaledObject to whoever declares it now.
//!
//! ## What it protects
//! A workload whose chart or manifests go back from KEDA to a plain HPA of the same name keeps that HPA.
//!
//! ## Why
//! Helm patches KEDA's HPA, then deletes the ScaledObject. The HPA still carries the ScaledObject's ownerReference, so
//! the garbage collector deletes it. Helm prints `STATUS: deployed`, and the workload has no autoscaler (kedacore/keda
//! issue 6250). Flux, Argo CD and `kubectl apply` lose it the same way.
//!
//! ## When it fires
//! A declarative writer (setting `handover.fieldManagers`) writes an HPA that a ScaledObject owns, by patch, apply or
//! PUT. Anyone else says so with the annotation `autoscaler-guard/handover: "<scaledobject>"`, new in that request.
//!
//! * The ownerReference is dropped and the HPA marked `autoscaler-guard/released-from`.
//! * It is refused where the HPA is aimed at another target, as the ScaledObject's workload would lose its autoscaler,
//!   and where the ScaledObject is paused, as KEDA then deletes the HPA by its name.
//! * A declarative writer's PUT that forgets the mark gets it back.
//!
//! ## Overrides
//! * `autoscaler-guard/allow: hpa-handover` on the HPA or its workload: the write passes as it is.
//! * `repair: false`: the write is refused; delete the ScaledObject with `--cascade=orphan` first, then write the HPA.
//!
//! ## Example
//! `helm upgrade web` after the chart's `ScaledObject` was replaced by a `HorizontalPodAutoscaler` named `web`.

use super::handover::Handover;
use crate::change::{Kind, Operation};
use crate::cluster::{Presence, Reason, api};
use crate::context::Context;
use crate::facts::hpa::HorizontalPodAutoscaler;
use crate::facts::released::{RELEASED_FROM, ReleaseMark};
use crate::facts::scaled_object::{ScaledObject, UNPAUSE, UNPAUSE_REPLICAS};
use crate::facts::workload;
use crate::finding::{Action, Finding, Help};
use crate::gate::Scope;
use crate::repair::Edit;
use crate::rule::{DefaultAction, Lookup, Rule, Stage};
use crate::subject::{Subject, WorkloadRef};
use autoscaler_guard_reading::title;

pub(in crate::rules) static RULE: Rule = Rule {
    id: "hpa-handover",
    title: "An HPA that is declared again is lost with the ScaledObject that still owns it",
    default: DefaultAction::Repair,
    may_reject: true,
    since: "0.1.0",
    stage: Stage::Stable,
    scope: Scope::Judged,
    watches: &[(Kind::HorizontalPodAutoscaler, &[Operation::Update])],
    check,
};

pub(in crate::rules) const LOOKUPS: &[Lookup] = &[Lookup::Get(&api::SCALED_OBJECT)];

fn check(context: &Context<'_>) -> Option<Finding> {
    let (old, new) = context.change.update()?;
    let hpa = HorizontalPodAutoscaler::new(new.clone());
    match Handover::of(context)? {
        Handover::ForgetsMark(release) => Some(keep_mark(&hpa, &release)),
        Handover::From(owner) => Some(hand_over(context, &hpa, &owner)),
        Handover::Unknown(owner, reason) => Some(not_known(&hpa, &old.metadata.namespace, &owner, &reason)),
    }
}

fn hand_over(context: &Context<'_>, hpa: &HorizontalPodAutoscaler<'_>, owner: &ScaledObject<'_>) -> Finding {
    let namespace = &hpa.object.metadata.namespace;
    let target = WorkloadRef::new(&owner.target(), namespace);
    if !hpa.target().same_workload(&owner.target()) {
        return other_target(hpa, owner, target);
    }
    if owner.is_paused() {
        return from_paused(hpa, owner, target);
    }
    let edits = vec![
        Edit::RemoveOwner { uid: owner.object.metadata.uid.clone().into_owned() },
        Edit::Annotate { key: RELEASED_FROM, value: ReleaseMark::mark(owner) },
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

/// KEDA deletes the HPA of a paused ScaledObject by its name, whoever owns it: releasing it would not save it.
fn from_paused(hpa: &HorizontalPodAutoscaler<'_>, owner: &ScaledObject<'_>, target: WorkloadRef) -> Finding {
    let (this, from) = (hpa.object.title("HPA"), owner.object.title("ScaledObject"));
    let what = format!(
        "writing {this} does not save it for {target}: {from} is paused, so KEDA deletes the HPA by its name, released or not"
    );
    let unpause =
        Subject::new("scaledobject", &owner.object.metadata).kubectl("annotate", &[UNPAUSE, UNPAUSE_REPLICAS]);
    finding(hpa, Action::Reject, what).about(target, this).help("Unpause the ScaledObject first", unpause)
}

fn other_target(hpa: &HorizontalPodAutoscaler<'_>, owner: &ScaledObject<'_>, target: WorkloadRef) -> Finding {
    let (this, from) = (hpa.object.title("HPA"), owner.object.title("ScaledObject"));
    let now = WorkloadRef::new(&hpa.target(), &hpa.object.metadata.namespace);
    let what = format!(
        "writing {this} aims it at {now}, but {from} owns it and scales {target}, which would lose its autoscaler"
    );
    finding(hpa, Action::Reject, what)
        .about(target, this)
        .help("Give the new HPA a name of its own, as this one belongs to", Help::text(from))
}

fn not_known(hpa: &HorizontalPodAutoscaler<'_>, namespace: &str, owner: &str, reason: &Reason) -> Finding {
    let this = hpa.object.title("HPA");
    let owner = title("ScaledObject", namespace, owner);
    let what = format!("writing {this} may lose it with its owner {owner}, as that could not be read ({reason})");
    let target = WorkloadRef::new(&hpa.target(), namespace);
    finding(hpa, Action::Reject, what)
        .about(target, this)
        .help("Try again once ScaledObjects can be read; for the permission", Help::text("see policies/rbac.yaml"))
}

/// A declarative PUT that does not know the mark is still the same handover, not a giveback.
fn keep_mark(hpa: &HorizontalPodAutoscaler<'_>, release: &ReleaseMark) -> Finding {
    let (new, namespace) = (&hpa.object, &hpa.object.metadata.namespace);
    let mark = format!("{}/{}/{}", release.scaled_object, release.uid, release.generation);
    let (this, from) = (new.title("HPA"), title("ScaledObject", namespace, &release.scaled_object));
    let what = format!(
        "writing {this} drops the mark that it was released from {from}: KEDA would take it back, and delete it with the ScaledObject"
    );
    let target = WorkloadRef::new(&hpa.target(), namespace);
    let mut finding = finding(hpa, Action::Repair(vec![Edit::Annotate { key: RELEASED_FROM, value: mark }]), what)
        .about(target, this.clone());
    finding.repaired = format!("{this} stays released from {from}, as its mark was put back");
    let owner = Subject {
        resource: "scaledobject".into(),
        namespace: namespace.to_string(),
        name: release.scaled_object.clone(),
    };
    release_first(finding, &owner)
}

fn finding(hpa: &HorizontalPodAutoscaler<'_>, action: Action, what: String) -> Finding {
    Finding::new(RULE.id, action, Subject::new("hpa", &hpa.object.metadata), what)
}

fn release_first(finding: Finding, owner: &Subject) -> Finding {
    finding.help(
        "Delete the ScaledObject without its HPA, then write the HPA",
        owner.kubectl("delete", &["--cascade=orphan"]),
    )
}

/// An HPA cannot start a workload from 0, and deleting a ScaledObject may restore a count of 0.
fn cannot_start(context: &Context<'_>, owner: &ScaledObject<'_>, target: &WorkloadRef) -> Option<String> {
    let restored = owner.restores_count();
    let at_zero =
        || matches!(target.get(&context.neighbours), Presence::Found(found) if workload::replicas(&found) == Some(0));
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
