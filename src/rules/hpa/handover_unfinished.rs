//! An HPA was handed over, and its ScaledObject is still there.
//!
//! ## What it protects
//! An HPA has at most one who declares it.
//!
//! ## Why
//! From a handover on KEDA does not watch the HPA any more, though its ScaledObject says that it scales the workload;
//! the next change of the ScaledObject takes the HPA back. Usually the tool that applied the HPA deletes the
//! ScaledObject a moment later. Where that delete failed or never came, two declare one HPA.
//!
//! ## When it fires
//! In an audit only: an HPA has the mark of a handover (`autoscaler-guard/released-from`), and that very ScaledObject
//! lives.
//!
//! ## Overrides
//! * Finish the handover: delete the ScaledObject.
//! * Or take it back: remove the mark, and KEDA adopts the HPA.
//! * `autoscaler-guard/allow: handover-unfinished` on the HPA or its workload.
//!
//! ## Example
//! A GitOps tool without pruning, after a chart went back from KEDA to an HPA.

use crate::change::{Kind, Operation};
use crate::cluster::{Presence, api};
use crate::context::Context;
use crate::facts::hpa::HorizontalPodAutoscaler;
use crate::facts::released::ReleaseMark;
use crate::facts::scaled_object;
use crate::finding::{Action, Finding};
use crate::gate::Scope;
use crate::rule::{DefaultAction, Lookup, Rule, Stage};
use crate::subject::Subject;
use autoscaler_guard_reading::title;

pub(in crate::rules) static RULE: Rule = Rule {
    id: "handover-unfinished",
    title: "A handover from KEDA stopped half way",
    default: DefaultAction::Reject,
    may_reject: true,
    since: "0.1.0",
    stage: Stage::Stable,
    scope: Scope::Judged,
    watches: &[(Kind::HorizontalPodAutoscaler, &[Operation::Audit])],
    check,
};

pub(in crate::rules) const LOOKUPS: &[Lookup] = &[Lookup::Get(&api::SCALED_OBJECT)];

fn check(context: &Context<'_>) -> Option<Finding> {
    let hpa = HorizontalPodAutoscaler::new(context.change.after()?.clone());
    let metadata = &hpa.object.metadata;
    let release = ReleaseMark::of(&hpa.object)?;
    let from = scaled_object::with_uid(context, &metadata.namespace, &release.scaled_object, &release.uid);
    let lives = matches!(from, Presence::Found(from) if !from.object.metadata.is_terminating());
    // Given back and not yet rewritten: it is KEDA's again.
    if !lives || metadata.owner_with_uid(&release.uid).is_some() {
        return None;
    }
    let this = hpa.object.title("HPA");
    let owner = title("ScaledObject", &metadata.namespace, &release.scaled_object);
    let what = format!(
        "{this} was handed over from {owner}, which is still there: both declare how {} scales",
        hpa.workload()
    );
    let subject = Subject::new("hpa", metadata);
    let (finish, give_back) = release.finish_or_give_back(&subject);
    let mut finding = Finding::new(RULE.id, Action::Reject, subject, what)
        .about(hpa.workload(), this)
        .help("Finish the handover", finish)
        .help("Or give the HPA back to KEDA", give_back);
    finding.at_stake = "it";
    Some(finding)
}
