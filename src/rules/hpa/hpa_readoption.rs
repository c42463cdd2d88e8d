//! KEDA does not take a released HPA back while the handover holds.
//!
//! ## What it protects
//! An HPA that was handed over stays as its new owner wrote it until the ScaledObject is gone.
//!
//! ## Why
//! The handover's write wakes KEDA, which writes the HPA anew as long as its ScaledObject lives: with its own spec and
//! the ownerReference back, so that the garbage collector takes the HPA after all (controllers/keda/hpa.go,
//! `newHPAForScaledObject`).
//!
//! ## When it fires
//! KEDA updates an HPA marked `autoscaler-guard/released-from` and would refer to that very uid again, while the
//! ScaledObject's generation is still the released one, or the ScaledObject is being deleted, gone, or cannot be read.
//! The update becomes a no-op. It is never refused: KEDA tries once, logs no error and does not loop.
//!
//! ## Overrides
//! * Declare the ScaledObject again (any change of its spec), or another one under that name: KEDA then adopts freely.
//! * Remove the mark: `kubectl annotate hpa <name> autoscaler-guard/released-from-` (rule hpa-giveback).
//! * `autoscaler-guard/allow: hpa-readoption` on the HPA or its workload.
//!
//! ## Example
//! A second after `helm upgrade` handed HPA `web` over, `keda-operator` sends an update with its own spec and
//! ownerReference.

use crate::change::{Kind, Operation};
use crate::cluster::{Presence, api};
use crate::context::Context;
use crate::facts::hpa::HorizontalPodAutoscaler;
use crate::facts::released::ReleaseMark;
use crate::facts::scaled_object;
use crate::finding::{Action, Finding};
use crate::gate::Scope;
use crate::repair::Edit;
use crate::rule::{DefaultAction, Lookup, Rule, Stage};
use crate::subject::{Subject, WorkloadRef};
use autoscaler_guard_reading::title;

pub(in crate::rules) static RULE: Rule = Rule {
    id: "hpa-readoption",
    title: "KEDA takes back an HPA that was handed over",
    default: DefaultAction::Repair,
    may_reject: false,
    since: "0.1.0",
    stage: Stage::Stable,
    scope: Scope::KedaUpdatesReleased,
    watches: &[(Kind::HorizontalPodAutoscaler, &[Operation::Update])],
    check,
};

pub(in crate::rules) const LOOKUPS: &[Lookup] = &[Lookup::Get(&api::SCALED_OBJECT)];

/// All that KEDA's full update replaces; the rest, such as resourceVersion and managedFields, stays the API server's.
const KEPT: &[&[&str]] = &[
    &["spec"],
    &["metadata", "labels"],
    &["metadata", "annotations"],
    &["metadata", "ownerReferences"],
    &["metadata", "finalizers"],
];

fn check(context: &Context<'_>) -> Option<Finding> {
    let (old, new) = context.change.update()?;
    let release = ReleaseMark::of(old)?;
    new.metadata.owner_with_uid(&release.uid)?;
    let namespace = &old.metadata.namespace;
    match scaled_object::with_uid(context, namespace, &release.scaled_object, &release.uid) {
        Presence::Found(owner) if was_declared_again(&owner.object.metadata, &release) => return None,
        // Adopted by a ScaledObject that is gone, it would be collected at once; and unknown is not gone.
        Presence::Found(_) | Presence::Absent | Presence::Unknown(_) => {}
    }
    let hpa = HorizontalPodAutoscaler::new(old.clone());
    let this = old.title("HPA");
    let from = title("ScaledObject", namespace, &release.scaled_object);
    let what =
        format!("KEDA takes back {this}, which was released from {from}; it will be deleted with the ScaledObject");
    let action = Action::Repair(vec![Edit::KeepOld(KEPT)]);
    let mut finding = Finding::new(RULE.id, action, Subject::new("hpa", &old.metadata), what)
        .about(WorkloadRef::new(&hpa.target(), namespace), this.clone());
    finding.repaired = format!("KEDA's update of {this} was made a no-op: the HPA was released from {from}");
    Some(finding)
}

/// A newer generation is someone's new wish; but the beginning of deletion counts the generation up as well.
fn was_declared_again(owner: &autoscaler_guard_reading::Metadata<'_>, release: &ReleaseMark) -> bool {
    !owner.is_terminating() && owner.generation != Some(release.generation)
}
