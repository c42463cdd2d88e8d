//! KEDA does not take a released HPA back while the hand-over holds.
//!
//! ## What it protects
//! An HPA that was handed over stays as its new owner wrote it until the ScaledObject is gone.
//!
//! ## Why
//! The hand-over's write wakes KEDA, which writes the HPA anew as long as its ScaledObject lives: with its own spec and the ownerReference
//! back, so that the garbage collector takes the HPA after all (controllers/keda/hpa.go, `newHPAForScaledObject`).
//!
//! ## When it fires
//! KEDA updates an HPA marked `autoscaler-guard/released-from` and would refer to that very uid again, while the ScaledObject's generation
//! is still the released one, or the ScaledObject is being deleted, gone, or cannot be read. The update becomes a no-op. It is never
//! refused: KEDA tries once, logs no error and does not loop.
//!
//! ## Ways through
//! * Declare the ScaledObject again (any change of its spec), or another one under that name: KEDA then adopts freely.
//! * Remove the mark: `kubectl annotate hpa <name> autoscaler-guard/released-from-` (rule hpa-giveback).
//! * `autoscaler-guard/allow: hpa-readoption` on the HPA or its workload.
//!
//! ## Example
//! A second after `helm upgrade` handed HPA `web` over, `keda-operator` sends an update with its own spec and ownerReference.

use super::{Default, LookUp, Rule};
use crate::change::{Kind, Operation};
use crate::cluster::{Answer, api};
use crate::context::Context;
use crate::gate::Passage;
use crate::kinds::horizontal_pod_autoscaler::HorizontalPodAutoscaler;
use crate::kinds::released::Release;
use crate::kinds::scaled_object;
use crate::kinds::title;
use crate::kinds::workload::WorkloadRef;
use crate::repair::Edit;
use crate::verdict::{Action, Finding, Subject};

pub(super) static RULE: Rule = Rule {
    id: "hpa-readoption",
    title: "KEDA does not take back an HPA that was handed over",
    default: Default::Repair,
    may_reject: false,
    since: "0.1.0",
    concerns: Passage::KedaUpdatesReleased,
    watches: &[(Kind::HorizontalPodAutoscaler, &[Operation::Update])],
    check,
};

pub(super) const LOOK_UPS: &[LookUp] = &[LookUp::Get(&api::SCALED_OBJECT)];

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
    let release = Release::of(old)?;
    new.metadata.owner_with_uid(&release.uid)?;
    let namespace = &old.metadata.namespace;
    match scaled_object::with_uid(context, namespace, &release.scaled_object, &release.uid) {
        Answer::Found(owner) if was_declared_again(&owner.object.metadata, &release) => return None,
        // Adopted by a ScaledObject that is gone, it would be collected at once; and unknown is not gone.
        Answer::Found(_) | Answer::Absent | Answer::Unknown(_) => {}
    }
    let hpa = HorizontalPodAutoscaler::new(old.clone());
    let this = old.title("HPA");
    let from = title("ScaledObject", namespace, &release.scaled_object);
    let what =
        format!("KEDA takes back {this}, which was released from {from}; it will be deleted with the ScaledObject");
    let action = Action::Repair(vec![Edit::KeepOld(KEPT)]);
    let mut finding = Finding::new(&RULE, action, Subject::new("hpa", &old.metadata), what)
        .about(WorkloadRef::new(&hpa.target(), namespace), this.clone());
    finding.repaired = format!("KEDA's update of {this} was made a no-op: the HPA was released from {from}");
    Some(finding)
}

/// A newer generation is someone's new wish; but the beginning of deletion counts the generation up as well.
fn was_declared_again(owner: &crate::kinds::Metadata<'_>, release: &Release) -> bool {
    !owner.is_terminating() && owner.generation != Some(release.generation)
}
