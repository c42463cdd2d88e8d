//! A ScaledObject is paused, and KEDA deletes its HPA.
//!
//! ## What it protects
//! Nobody freezes a workload by what sounds like a short break, and nobody else's HPA is deleted on the way.
//!
//! ## Why
//! To pause, KEDA deletes the HPA, and the count stays where it happens to be, or at `paused-replicas`, until someone
//! remembers. It finds the HPA by name and never asks whose it is: an HPA that was handed over, or is somebody else's,
//! is deleted all the same.
//!
//! ## When it fires
//! A ScaledObject that was not paused gets the annotation `autoscaling.keda.sh/paused`, with any value but a parsable
//! false (the empty one pauses too), or `autoscaling.keda.sh/paused-replicas`, and an HPA of its name is there; or it
//! is created paused.
//!
//! * It rejects when the ScaledObject does not own that HPA.
//! * Else it warns; also when the HPA cannot be looked up, with the reason, as the HPA is nearly always its own.
//!
//! Silent when the workload is gone or owns its count.
//!
//! ## Overrides
//! * Annotations `autoscaling.keda.sh/paused-scale-in` and `autoscaling.keda.sh/paused-scale-out` freeze the count and
//!   keep the HPA (KEDA 2.18 and later).
//! * The workload owns its count: annotation `autoscaler-guard/autoscaling: "off"`, or `spec.replicas` declared by a
//!   server-side apply.
//! * `autoscaler-guard/allow: scaledobject-paused` on the ScaledObject or its workload.
//!
//! ## Example
//! `kubectl annotate scaledobject web -n shop autoscaling.keda.sh/paused=true`

use crate::change::{Kind, Operation};
use crate::cluster::{Presence, Reason, api};
use crate::context::Context;
use crate::facts::hpa::HorizontalPodAutoscaler;
use crate::facts::released::{RELEASED_FROM, ReleaseMark};
use crate::facts::scaled_object::{self, PAUSED_REPLICAS, ScaledObject, UNPAUSE, UNPAUSE_REPLICAS};
use crate::facts::workload;
use crate::finding::{Action, Finding};
use crate::gate::Scope;
use crate::rule::{DefaultAction, Lookup, Rule, Stage};
use crate::subject::{Subject, WorkloadRef};
use autoscaler_guard_reading::title;

pub(in crate::rules) static RULE: Rule = Rule {
    id: "scaledobject-paused",
    title: "Pausing this ScaledObject deletes an HPA",
    default: DefaultAction::Warn,
    may_reject: true,
    since: "0.1.0",
    stage: Stage::Stable,
    scope: Scope::Judged,
    watches: &[(Kind::ScaledObject, &[Operation::Create, Operation::Update])],
    check,
};

pub(in crate::rules) const LOOKUPS: &[Lookup] = &[Lookup::Get(&api::HORIZONTAL_POD_AUTOSCALER)];

fn check(context: &Context<'_>) -> Option<Finding> {
    let Some((old, new)) = context.change.update() else { return born_paused(context) };
    if old.metadata.same_labels_and_annotations(&new.metadata) {
        return None;
    }
    let (old, new) = (ScaledObject::new(old.clone()), ScaledObject::new(new.clone()));
    if old.is_paused() || !new.is_paused() {
        return None;
    }
    match scaled_object::hpa(context, &new.object.metadata.namespace, &new.hpa_name()) {
        Presence::Absent => None,
        Presence::Found(hpa) if !new.owns(&hpa) => deletes_anothers(context, &new, &hpa),
        Presence::Found(hpa) => freezes(context, &new, Some(&hpa), None),
        Presence::Unknown(reason) => freezes(context, &new, None, Some(&reason)),
    }
}

/// Created paused it scales nothing. An HPA that KEDA would delete for it is scaledobject-takes-hpa's.
fn born_paused(context: &Context<'_>) -> Option<Finding> {
    let new = ScaledObject::new(context.change.after()?.clone());
    let metadata = &new.object.metadata;
    if !new.is_paused() || !scaled_object::hpa(context, &metadata.namespace, &new.configured_hpa_name()).is_absent() {
        return None;
    }
    let workload = WorkloadRef::new(&new.target(), &metadata.namespace);
    let need = workload::needs_autoscaler(&workload, context, None)?;
    let this = new.object.title("ScaledObject");
    let what = format!("{this} is created paused: it does not scale {workload} until it is unpaused{need}");
    let unpause = Subject::new("scaledobject", metadata).kubectl("annotate", &[UNPAUSE, UNPAUSE_REPLICAS]);
    let finding = Finding::new(RULE.id, Action::Warn, Subject::new("scaledobject", metadata), what);
    Some(finding.about(workload, this).help("Unpause it when it is to scale", unpause))
}

fn finding(paused: &ScaledObject<'_>, action: Action, workload: WorkloadRef, then: &str) -> Finding {
    let metadata = &paused.object.metadata;
    let what = format!("pausing {} {then}", paused.object.title("ScaledObject"));
    let hpa = title("HPA", &metadata.namespace, &paused.hpa_name());
    Finding::new(RULE.id, action, Subject::new("scaledobject", metadata), what).about(workload, hpa)
}

fn freezes(
    context: &Context<'_>,
    paused: &ScaledObject<'_>,
    hpa: Option<&HorizontalPodAutoscaler<'_>>,
    unread: Option<&Reason>,
) -> Option<Finding> {
    let metadata = &paused.object.metadata;
    let workload = WorkloadRef::new(&paused.target(), &metadata.namespace);
    let need = workload::needs_autoscaler(&workload, context, hpa)?;
    let count = metadata
        .annotation(PAUSED_REPLICAS)
        .map_or_else(|| "its present count".to_owned(), |count| format!("{count} replicas"));
    let whose = unread
        .map_or_else(String::new, |reason| format!(" (whether that HPA exists and is its own is not known: {reason})"));
    let then = format!(
        "makes KEDA delete its HPA \"{}\": {workload} stays at {count}, whatever the load, until it is unpaused{whose}{need}",
        paused.hpa_name()
    );
    let both = &["autoscaling.keda.sh/paused-scale-in=true", "autoscaling.keda.sh/paused-scale-out=true"];
    let keep = Subject::new("scaledobject", metadata).kubectl("annotate", both);
    Some(
        finding(paused, Action::Warn, workload, &then)
            .help("Freeze the count and keep the HPA (KEDA 2.18 and later)", keep),
    )
}

fn deletes_anothers(
    context: &Context<'_>,
    paused: &ScaledObject<'_>,
    hpa: &HorizontalPodAutoscaler<'_>,
) -> Option<Finding> {
    let workload = WorkloadRef::new(&hpa.target(), &paused.object.metadata.namespace);
    let need = workload::needs_autoscaler(&workload, context, Some(hpa))?;
    let released = ReleaseMark::of(&hpa.object).is_some_and(|release| release.is_from(&paused.object));
    let whose = if released { "that was released from the ScaledObject" } else { "the ScaledObject does not own it" };
    let then = format!(
        "would leave {workload} with no autoscaler: KEDA deletes {} by its name, though {whose}{need}",
        hpa.object.title("HPA")
    );
    let finding = finding(paused, need.soften(Action::Reject), workload, &then);
    let delete = finding.annotate.kubectl("delete", &[]);
    let finding = finding.help("Delete the ScaledObject instead, which keeps that HPA", delete);
    if !released {
        return Some(finding);
    }
    let give_back = Subject::new("hpa", &hpa.object.metadata).kubectl("annotate", &[]).arg(format!("{RELEASED_FROM}-"));
    Some(finding.help("Or give the HPA back to KEDA, then pause", give_back))
}
