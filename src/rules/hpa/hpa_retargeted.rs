//! An HPA is aimed at another workload, and the old one is left with none.
//!
//! ## What it protects
//! A workload that is autoscaled does not lose its autoscaler to another one.
//!
//! ## Why
//! The HPA stays and looks well, so nothing shows that its old workload keeps the count of that moment: the loss shows
//! at the next peak.
//!
//! ## When it fires
//! `scaleTargetRef` (API group, kind or name; the version does not matter) moves away from a workload that lives and
//! does not own its count, and nothing else scales that workload; `hpa-deleted` says what counts as something else.
//! What cannot be read counts as a loss, and the message says so.
//!
//! It only warns where
//!
//! * a chart or an app renames a workload: a declarative writer (setting `handover.fieldManagers`) aims the HPA, and
//!   the HPA, the old and the new workload are of one release or app (the marks of Helm, Flux, Argo CD, kapp and
//!   Terraform, or label `app.kubernetes.io/instance` within one chart). These tools create the new workload first, or
//!   next, and delete the old one last;
//! * a ScaledObject of the same application is expected to take over; or
//! * a person aims an HPA elsewhere that another operator controls.
//!
//! HPAs of a live ScaledObject or of Envoy Gateway are left to other rules.
//!
//! ## Overrides
//! * The workload owns its count: annotation `autoscaler-guard/autoscaling: "off"`, or `spec.replicas` declared by a
//!   server-side apply.
//! * Declare another autoscaler for the old workload first, or delete that workload first.
//! * `autoscaler-guard/allow: hpa-retargeted` on the HPA or its old workload.
//!
//! ## Example
//! `kubectl patch hpa web -n shop --type merge -p '{"spec":{"scaleTargetRef":{"name":"api"}}}'`

use crate::change::{Kind, Operation};
use crate::cluster::{Presence, api};
use crate::context::Context;
use crate::facts::autoscalers::Departing;
use crate::facts::hpa::{HorizontalPodAutoscaler, other_controller, scaled_object_owners};
use crate::facts::owner::Owner;
use crate::facts::released::ReleaseMark;
use crate::facts::{envoy_gateway, scaled_object};
use crate::finding::Finding;
use crate::gate::Scope;
use crate::rule::{DefaultAction, Lookup, Rule, Stage};
use crate::rules::retarget::Retarget;
use crate::subject::{ScaleTargetRef, Subject};
use autoscaler_guard_reading::Object;

pub(in crate::rules) static RULE: Rule = Rule {
    id: "hpa-retargeted",
    title: "Aiming this HPA elsewhere leaves a live workload with no autoscaler",
    default: DefaultAction::Reject,
    may_reject: true,
    since: "0.1.0",
    stage: Stage::Stable,
    scope: Scope::Judged,
    watches: &[(Kind::HorizontalPodAutoscaler, &[Operation::Update])],
    check,
};

pub(in crate::rules) const LOOKUPS: &[Lookup] = &[
    Lookup::Get(&api::SCALED_OBJECT),
    Lookup::List(&api::HORIZONTAL_POD_AUTOSCALER),
    Lookup::List(&api::SCALED_OBJECT),
    Lookup::Owner,
];

fn check(context: &Context<'_>) -> Option<Finding> {
    let (old, new) = context.change.update()?;
    if old.spec_text() == new.spec_text() {
        return None;
    }
    let hpa = HorizontalPodAutoscaler::new(old.clone());
    let (from, to) = (hpa.target(), ScaleTargetRef::of_spec(new.spec()));
    if from.same_workload(&to) || is_anothers(context, old) {
        return None;
    }
    let release = ReleaseMark::of(old);
    let released_from = release.as_ref().map(|release| release.uid.as_str());
    let departing =
        Departing { object: old, target: &from, hpa: &old.metadata.name, scaled_object: released_from, at_zero: false };
    let this = old.title("HPA");
    let retarget =
        Retarget { rule: RULE.id, subject: Subject::new("hpa", &old.metadata), this: &this, departing, to: &to };
    let finding = retarget.judge(context, Some(&hpa), "", "")?;
    Some(Finding { autoscaler: this, ..finding })
}

/// Whose HPA it is has its own rules, hpa-handover and owned-hpa-changed, or an operator that puts it back.
fn is_anothers(context: &Context<'_>, hpa: &Object<'_>) -> bool {
    let lives = |name: &str, uid: &str| {
        !matches!(scaled_object::with_uid(context, &hpa.metadata.namespace, name, uid), Presence::Absent)
    };
    envoy_gateway::has_fleet_labels(hpa)
        || other_controller(hpa).is_some_and(|owner| {
            context.is_service_account() || owner.look_up(context, &hpa.metadata.namespace).is_absent()
        })
        || scaled_object_owners(hpa).next().is_some_and(|owner| lives(&owner.name, &owner.uid))
}
