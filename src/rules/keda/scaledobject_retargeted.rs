//! A ScaledObject is aimed at another workload, and the old one is left with none.
//!
//! ## What it protects
//! A workload that KEDA scales does not lose its autoscaler to another one.
//!
//! ## Why
//! KEDA aims the same HPA at the new workload and forgets the old one, which silently keeps the count of that moment.
//! An HPA that was handed over is taken along too, as the new spec makes KEDA adopt it again.
//!
//! ## When it fires
//! `scaleTargetRef`, with KEDA's defaults, moves away from a workload that lives and does not own its count, the
//! ScaledObject has an HPA, and nothing else scales the workload. An HPA that cannot be looked up counts as there, and
//! the message says so. Everything else is as in `hpa-retargeted`: it only warns where a chart or an app renames its
//! workload, or where another ScaledObject of the same release is expected to take over. Not when it is paused before
//! and after.
//!
//! ## Overrides
//! * The workload owns its count: annotation `autoscaler-guard/autoscaling: "off"`, or `spec.replicas` declared by a
//!   server-side apply.
//! * Declare another autoscaler for the old workload first, or delete that workload first.
//! * `autoscaler-guard/allow: scaledobject-retargeted` on the ScaledObject or its old workload.
//!
//! ## Example
//! `kubectl patch scaledobject web -n shop --type merge -p '{"spec":{"scaleTargetRef":{"name":"api"}}}'`

use crate::change::{Kind, Operation};
use crate::cluster::{Presence, api};
use crate::context::Context;
use crate::facts::autoscalers::Departing;
use crate::facts::scaled_object;
use crate::finding::Finding;
use crate::gate::Scope;
use crate::rule::{DefaultAction, Lookup, Rule, Stage};
use crate::rules::retarget::Retarget;
use crate::subject::Subject;
use autoscaler_guard_reading::title;

pub(in crate::rules) static RULE: Rule = Rule {
    id: "scaledobject-retargeted",
    title: "Aiming this ScaledObject elsewhere leaves a live workload with no autoscaler",
    default: DefaultAction::Reject,
    may_reject: true,
    since: "0.1.0",
    stage: Stage::Stable,
    scope: Scope::Judged,
    watches: &[(Kind::ScaledObject, &[Operation::Update])],
    check,
};

pub(in crate::rules) const LOOKUPS: &[Lookup] = &[
    Lookup::Get(&api::HORIZONTAL_POD_AUTOSCALER),
    Lookup::List(&api::HORIZONTAL_POD_AUTOSCALER),
    Lookup::List(&api::SCALED_OBJECT),
];

fn check(context: &Context<'_>) -> Option<Finding> {
    let (old, new) = scaled_object::respecified(context)?;
    let (from, to) = (old.target(), new.target());
    if from.same_workload(&to) || (old.is_paused() && new.is_paused()) {
        return None;
    }
    let (metadata, name) = (&old.object.metadata, old.hpa_name());
    let (hpa, caveat) = match scaled_object::hpa(context, &metadata.namespace, &name) {
        Presence::Absent => return None,
        Presence::Found(hpa) => (Some(hpa), String::new()),
        Presence::Unknown(reason) => (None, format!(" (whether that HPA exists is not known: {reason})")),
    };
    let this = old.object.title("ScaledObject");
    let departing = Departing {
        object: &old.object,
        target: &from,
        hpa: &name,
        scaled_object: Some(&metadata.uid),
        at_zero: false,
    };
    let subject = Subject::new("scaledobject", metadata);
    let retarget = Retarget { rule: RULE.id, subject, this: &this, departing, to: &to };
    let how = format!("KEDA takes HPA \"{name}\" away from it, and ");
    let finding = retarget.judge(context, hpa.as_ref(), &how, &caveat)?;
    Some(Finding { autoscaler: title("HPA", &metadata.namespace, &name), ..finding })
}
