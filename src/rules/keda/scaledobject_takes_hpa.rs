//! A ScaledObject claims the name of an HPA that is not its own.
//!
//! ## What it protects
//! A workload does not lose its HPA to a ScaledObject of another workload.
//!
//! ## Why
//! KEDA takes over whatever HPA has the name it would use, without a look at its owner or target
//! (controllers/keda/hpa.go): spec, labels, annotations and owners are replaced, and the workload that the HPA scaled
//! has none any more. A ScaledObject that is created paused deletes the HPA of that name. KEDA's own webhook only
//! compares targets.
//!
//! ## When it fires
//! A ScaledObject is created whose HPA name, the default `keda-hpa-<name>` too, is an existing HPA that it does not own
//! and that scales another workload, or that another controller owns. So is an update that gives the name to a
//! ScaledObject without an HPA, or that ends its pause. What counts is the spec: a status in a manifest is dropped.
//!
//! * A ScaledObject that is created paused is judged over the HPA of its own workload too, as KEDA deletes that by its
//!   name.
//! * It warns where Flux or Argo CD renames a ScaledObject of one of their apps: KEDA writes the HPA for the new one
//!   before the old one goes.
//! * An owner that is gone, or a ScaledObject of the very same name (a restore), does not count.
//!
//! ## Overrides
//! * Set `spec.advanced.horizontalPodAutoscalerConfig.name` to a free name.
//! * `autoscaler-guard/allow: scaledobject-takes-hpa` on the ScaledObject or its workload.
//!
//! ## Example
//! A ScaledObject for Deployment `api` with `horizontalPodAutoscalerConfig.name: web`, where HPA `web` scales
//! Deployment `web`.

use crate::change::{Kind, Operation};
use crate::cluster::{Presence, api};
use crate::context::Context;
use crate::facts::application::{self, Member};
use crate::facts::hpa::{self, HorizontalPodAutoscaler, scaled_object_owners};
use crate::facts::owner::{Owner, is_scaled_object};
use crate::facts::scaled_object::{PAUSED, PAUSED_REPLICAS, ScaledObject};
use crate::facts::workload;
use crate::finding::{Action, Finding, Help};
use crate::gate::Scope;
use crate::rule::{DefaultAction, Lookup, Rule, Stage};
use crate::subject::{Subject, WorkloadRef};
use autoscaler_guard_reading::{Object, OwnerReference, title};

pub(in crate::rules) static RULE: Rule = Rule {
    id: "scaledobject-takes-hpa",
    title: "This ScaledObject takes over another workload's HPA",
    default: DefaultAction::Reject,
    may_reject: true,
    since: "0.1.0",
    stage: Stage::Stable,
    scope: Scope::Judged,
    watches: &[(Kind::ScaledObject, &[Operation::Create, Operation::Update])],
    check,
};

pub(in crate::rules) const LOOKUPS: &[Lookup] =
    &[Lookup::Get(&api::HORIZONTAL_POD_AUTOSCALER), Lookup::Get(&api::SCALED_OBJECT)];

fn check(context: &Context<'_>) -> Option<Finding> {
    let new = context.change.after()?;
    if context.change.before().is_some_and(|old| !claims_anew(old, new)) {
        return None;
    }
    let scaled_object = ScaledObject::new(new.clone());
    let metadata = &scaled_object.object.metadata;
    let name = scaled_object.configured_hpa_name();
    let fields = hpa::FIELDS;
    let hpa = match context.neighbours.get(&api::HORIZONTAL_POD_AUTOSCALER, &metadata.namespace, &name, fields) {
        Presence::Found(hpa) => HorizontalPodAutoscaler::new(hpa),
        // KEDA's webhook and the API server refuse what cannot work; a name that cannot be read is most likely free.
        Presence::Absent | Presence::Unknown(_) => return None,
    };
    if hpa.object.metadata.is_terminating() || (context.change.before().is_some() && scaled_object.owns(&hpa)) {
        return None;
    }
    let workload = WorkloadRef::new(&hpa.target(), &metadata.namespace);
    let (this, theirs) = (scaled_object.object.title("ScaledObject"), title("HPA", &metadata.namespace, &name));
    let fate = if scaled_object.is_paused() { "deletes" } else { "takes over" };
    let verb = if context.change.before().is_some() { "changing" } else { "creating" };
    let what = if let Some(owner) = other_owner(context, &hpa, &metadata.name) {
        format!("{verb} {this} {fate} {theirs}, which belongs to {}", owner.title(&metadata.namespace))
    } else if !hpa.target().same_workload(&scaled_object.target()) {
        format!("{verb} {this} {fate} {theirs}, which scales {workload}: that would be left with no autoscaler")
    } else if scaled_object.is_paused() {
        return deletes_its_own(context, &scaled_object, &hpa, workload);
    } else {
        return None;
    };
    let action = if is_renamed(context, &hpa, &scaled_object) { Action::Warn } else { Action::Reject };
    let finding = Finding::new(RULE.id, action, Subject::new("scaledobject", metadata), what)
        .about(workload, theirs)
        .help("Use a free name", Help::field("spec.advanced.horizontalPodAutoscalerConfig.name"));
    Some(finding)
}

/// Whether Flux or Argo CD gives its ScaledObject another name, and deletes the one that has the HPA next: KEDA's write
/// for the new one comes before the garbage collector, which then spares the HPA.
fn is_renamed(context: &Context<'_>, hpa: &HorizontalPodAutoscaler<'_>, new: &ScaledObject<'_>) -> bool {
    let metadata = &hpa.object.metadata;
    let mut owners = scaled_object_owners(&hpa.object).map(|owner| owner.look_up(context, &metadata.namespace));
    application::declares(context)
        && hpa.target().same_workload(&new.target())
        && owners.any(|owner| matches!(owner, Presence::Found(owner) if application::of_one_record(Member::scaled_object(&owner), Member::scaled_object(&new.object))))
}

/// Whether an update makes KEDA look for an HPA as it does for a new ScaledObject: it has none yet and names another
/// one, or its pause ends. One that has an HPA is renamed, and one that is paused from now on deletes what it has: both
/// have rules of their own.
fn claims_anew(old: &Object<'_>, new: &Object<'_>) -> bool {
    let (old, new) = (ScaledObject::new(old.clone()), ScaledObject::new(new.clone()));
    let renames = old.configured_hpa_name() != new.configured_hpa_name();
    if new.is_paused() { old.is_paused() && renames } else { old.is_paused() || (renames && !old.has_hpa_name()) }
}

/// The HPA of its own workload, which KEDA deletes for the pause instead of taking it over.
fn deletes_its_own(
    context: &Context<'_>,
    paused: &ScaledObject<'_>,
    hpa: &HorizontalPodAutoscaler<'_>,
    workload: WorkloadRef,
) -> Option<Finding> {
    let need = workload::needs_autoscaler(&workload, context, Some(hpa))?;
    let theirs = hpa.object.title("HPA");
    let what = format!(
        "creating {} paused makes KEDA delete {theirs} by its name: {workload} would be left with no autoscaler{need}",
        paused.object.title("ScaledObject")
    );
    let pause = paused.object.metadata.annotation(PAUSED).map_or(PAUSED_REPLICAS, |_| PAUSED);
    let finding =
        Finding::new(RULE.id, need.soften(Action::Reject), Subject::new("scaledobject", &paused.object.metadata), what)
            .about(workload, theirs)
            .help("Create it without the annotation", Help::text(pause))
            .help("Or give it another HPA name", Help::field("spec.advanced.horizontalPodAutoscalerConfig.name"));
    Some(finding)
}

/// A controller of the HPA that lives and is no ScaledObject of that name.
fn other_owner<'h, 'a>(
    context: &Context<'_>,
    hpa: &'h HorizontalPodAutoscaler<'a>,
    name: &str,
) -> Option<&'h OwnerReference<'a>> {
    let metadata = &hpa.object.metadata;
    let own = |owner: &OwnerReference<'_>| owner.name == name && is_scaled_object(&owner.api_version, &owner.kind);
    let mut controllers =
        metadata.owner_references().iter().filter(|owner| owner.controller == Some(true) && !own(owner));
    controllers.find(|owner| !owner.look_up(context, &metadata.namespace).is_absent())
}
