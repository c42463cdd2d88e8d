//! An autoscaler is set so that it never scales.
//!
//! ## What it protects
//! An autoscaler that cannot scale is not taken for one that does.
//!
//! ## Why
//! With min = max, with scaling disabled in both directions, or with KEDA's `paused-scale-in` and `paused-scale-out`
//! together the object is there, healthy and Ready, and the count never changes.
//!
//! ## When it fires
//! An HPA or ScaledObject is created or changed so that it never scales. It warns where
//!
//! * min equals max;
//! * `behavior` has selectPolicy Disabled both up and down;
//! * both of KEDA's annotations are set; or
//! * an HPA is created for a workload at 0. Only the HPA that brought the workload there starts it again
//!   (kubernetes/kubernetes PR 135118), and none does before Kubernetes 1.37.
//!
//! It looks at ScaledObjects, not at the HPAs that KEDA makes of them.
//!
//! ## Overrides
//! * It only warns; `autoscaler-guard/allow: autoscaler-disabled` on the autoscaler silences it.
//! * To say that a workload is not autoscaled: annotation `autoscaler-guard/autoscaling: "off"` on it.
//!
//! ## Example
//! `kubectl patch hpa web -n shop --type merge -p '{"spec":{"minReplicas":5}}'`, where maxReplicas is 5.

use crate::change::{Kind, Operation};
use crate::cluster::Presence;
use crate::context::Context;
use crate::facts::autoscalers::target_of;
use crate::facts::hpa::scaled_object_owners;
use crate::facts::workload;
use crate::finding::{Action, Finding};
use crate::gate::Scope;
use crate::rule::{DefaultAction, Lookup, Rule, Stage};
use crate::subject::{Subject, WorkloadRef};
use autoscaler_guard_reading::{Json, Object};

pub(in crate::rules) static RULE: Rule = Rule {
    id: "autoscaler-disabled",
    title: "This autoscaler never scales",
    default: DefaultAction::Warn,
    may_reject: true,
    since: "0.1.0",
    stage: Stage::Stable,
    scope: Scope::Judged,
    watches: &[
        (Kind::HorizontalPodAutoscaler, &[Operation::Create, Operation::Update]),
        (Kind::ScaledObject, &[Operation::Create, Operation::Update]),
    ],
    check,
};

pub(in crate::rules) const LOOKUPS: &[Lookup] = &[];

fn check(context: &Context<'_>) -> Option<Finding> {
    let new = context.change.after()?;
    let old = context.change.before();
    let is_hpa = context.request.kind == Kind::HorizontalPodAutoscaler;
    let untouched = old.is_some_and(|old| {
        old.spec_text() == new.spec_text() && (is_hpa || old.metadata.same_labels_and_annotations(&new.metadata))
    });
    if untouched || scaled_object_owners(new).next().is_some() {
        return None;
    }
    let Some(why) = disabled(context.request.kind, new) else { return at_zero(context, new) };
    if old.is_some_and(|old| disabled(context.request.kind, old).is_some()) {
        return None;
    }
    let this = new.title(context.request.kind.name());
    let workload = WorkloadRef::new(&target_of(context, new), &new.metadata.namespace);
    let what = format!("{this} never scales {workload}: {why}");
    Some(
        Finding::new(RULE.id, Action::Warn, Subject::new(context.request.kind.resource(), &new.metadata), what)
            .about(workload, this),
    )
}

/// An HPA starts no workload from 0 but one that it brought there itself: a new one, also of the same name, does
/// nothing.
fn at_zero<'a>(context: &Context<'a>, new: &Object<'a>) -> Option<Finding> {
    if context.request.kind != Kind::HorizontalPodAutoscaler || context.change.before().is_some() {
        return None;
    }
    let workload = WorkloadRef::new(&target_of(context, new), &new.metadata.namespace);
    match workload.get(&context.neighbours) {
        Presence::Found(found) if workload::replicas(&found) == Some(0) => {}
        _ => return None,
    }
    let this = new.title("HPA");
    let what =
        format!("{this} does not scale {workload} while that is at 0 replicas: an HPA does not start it from there");
    let wake = workload::wake(&workload);
    let finding = Finding::new(RULE.id, Action::Warn, Subject::new("hpa", &new.metadata), what);
    Some(finding.about(workload, this).help("Scale it to 1, from where the HPA goes on", wake))
}

fn disabled(kind: Kind, object: &Object<'_>) -> Option<&'static str> {
    let spec = object.spec();
    if kind == Kind::HorizontalPodAutoscaler {
        return stands_still(spec, "minReplicas", "maxReplicas").or_else(|| both_ways_disabled(spec.at(&["behavior"])));
    }
    let paused = |key| object.metadata.annotation(key).as_deref() == Some("true");
    if paused("autoscaling.keda.sh/paused-scale-in") && paused("autoscaling.keda.sh/paused-scale-out") {
        return Some("paused-scale-in and paused-scale-out are both set");
    }
    let behavior = spec.at(&["advanced", "horizontalPodAutoscalerConfig", "behavior"]);
    let idle = spec.at(&["idleReplicaCount"]).is_some();
    let still = stands_still(spec, "minReplicaCount", "maxReplicaCount").filter(|_| !idle);
    still.or_else(|| both_ways_disabled(behavior))
}

/// An HPA's minimum is 1 when not given; a ScaledObject's is 0, which is not its maximum.
fn stands_still(spec: Json<'_>, min: &str, max: &str) -> Option<&'static str> {
    let min = spec.integer(&[min]).or((min == "minReplicas").then_some(1));
    (min.is_some() && min == spec.integer(&[max])).then_some("its minimum is its maximum")
}

fn both_ways_disabled(behavior: Option<Json<'_>>) -> Option<&'static str> {
    let disabled =
        |way| behavior.is_some_and(|behavior| behavior.string(&[way, "selectPolicy"]).as_deref() == Some("Disabled"));
    (disabled("scaleUp") && disabled("scaleDown")).then_some("its behavior disables scaling up and down")
}
