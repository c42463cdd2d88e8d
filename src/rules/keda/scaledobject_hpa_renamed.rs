//! A ScaledObject gives its HPA another name.
//!
//! ## What it protects
//! A workload that KEDA scales is not left without an autoscaler by a new name for its HPA.
//!
//! ## Why
//! KEDA cannot rename an HPA: it deletes the old one, then creates the new one. If that name is taken the create fails
//! for ever, and the old HPA is gone already.
//!
//! ## When it fires
//! The spec now asks for another name (`advanced.horizontalPodAutoscalerConfig.name`, by default `keda-hpa-<name>`)
//! than the HPA has that KEDA writes, and that HPA exists. An HPA of the old name that cannot be looked up counts as
//! there.
//!
//! * It rejects if an HPA that the ScaledObject does not own has the new name.
//! * Else it warns of the gap; also when it is not known whether the name is taken, with the reason.
//!
//! Silent when the ScaledObject is paused, has no HPA, or its workload is gone or owns its count.
//!
//! ## Overrides
//! * A name that is free: it only warns.
//! * The workload owns its count: annotation `autoscaler-guard/autoscaling: "off"`, or `spec.replicas` declared by a
//!   server-side apply.
//! * `autoscaler-guard/allow: scaledobject-hpa-renamed` on the ScaledObject or its workload.
//!
//! ## Example
//! `advanced.horizontalPodAutoscalerConfig.name: api` is set on ScaledObject `web` while a chart's HPA `api` is there.

use crate::change::{Kind, Operation};
use crate::cluster::{Presence, api};
use crate::context::Context;
use crate::facts::scaled_object::{self, ScaledObject};
use crate::facts::workload;
use crate::finding::{Action, Finding};
use crate::gate::Scope;
use crate::rule::{DefaultAction, Lookup, Rule, Stage};
use crate::subject::{Subject, WorkloadRef};
use autoscaler_guard_reading::title;

pub(in crate::rules) static RULE: Rule = Rule {
    id: "scaledobject-hpa-renamed",
    title: "Renaming the HPA of this ScaledObject loses it",
    default: DefaultAction::Reject,
    may_reject: true,
    since: "0.1.0",
    stage: Stage::Stable,
    scope: Scope::Judged,
    watches: &[(Kind::ScaledObject, &[Operation::Update])],
    check,
};

pub(in crate::rules) const LOOKUPS: &[Lookup] = &[Lookup::Get(&api::HORIZONTAL_POD_AUTOSCALER)];

fn check(context: &Context<'_>) -> Option<Finding> {
    let (old, new) = scaled_object::respecified(context)?;
    let (now, wanted) = (old.hpa_name(), new.configured_hpa_name());
    // A rename that an earlier change asked for is not this change's.
    let renames = wanted != now && wanted != old.configured_hpa_name();
    if !renames || old.is_paused() || new.is_paused() {
        return None;
    }
    let namespace = &new.object.metadata.namespace;
    let (hpa, unread) = match scaled_object::hpa(context, namespace, &now) {
        Presence::Absent => return None,
        Presence::Found(hpa) => (Some(hpa), String::new()),
        Presence::Unknown(reason) => (None, format!(" (whether \"{now}\" exists is not known: {reason})")),
    };
    let workload = WorkloadRef::new(&new.target(), namespace);
    let need = workload::needs_autoscaler(&workload, context, hpa.as_ref())?;
    let (action, then) = outcome(context, &new, &now, &wanted, &workload);
    let metadata = &new.object.metadata;
    let what = format!("renaming the HPA of {} to \"{wanted}\" {then}{unread}{need}", new.object.title("ScaledObject"));
    let in_the_way = Subject { resource: "hpa".into(), namespace: namespace.to_string(), name: wanted.into_owned() };
    let finding = Finding::new(RULE.id, need.soften(action), Subject::new("scaledobject", metadata), what)
        .about(workload, title("HPA", namespace, &now))
        .help("Choose a name that is free; the HPA that has this one", in_the_way.kubectl("get", &[]));
    Some(finding)
}

/// What KEDA will do to the workload, which depends on who has the new name.
fn outcome(
    context: &Context<'_>,
    new: &ScaledObject<'_>,
    now: &str,
    wanted: &str,
    workload: &WorkloadRef,
) -> (Action, String) {
    let caveat = match scaled_object::hpa(context, &new.object.metadata.namespace, wanted) {
        Presence::Found(other) if !new.owns(&other) && !other.object.metadata.is_terminating() => {
            let then = format!(
                "would leave {workload} unscaled by KEDA: it deletes \"{now}\", then fails for ever to create \"{wanted}\", as another HPA has that name"
            );
            return (Action::Reject, then);
        }
        Presence::Found(_) | Presence::Absent => String::new(),
        Presence::Unknown(reason) => format!("; if that name is taken, it fails for ever (not known: {reason})"),
    };
    let then = format!(
        "leaves {workload} unscaled for a moment: KEDA deletes \"{now}\" before it creates \"{wanted}\"{caveat}"
    );
    (Action::Warn, then)
}
