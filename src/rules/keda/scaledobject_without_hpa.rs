//! A ScaledObject has no HPA.
//!
//! ## What it protects
//! A workload that is autoscaled stays autoscaled.
//!
//! ## Why
//! A ScaledObject scales by the HPA that KEDA makes of it. When that HPA is gone (deleted while KEDA was down or does
//! not watch it, or never made) the ScaledObject is there, often still Ready, and nothing scales the workload from one
//! replica on.
//!
//! ## When it fires
//! In an audit only: a ScaledObject is not paused, KEDA has said whether it is Ready, its workload exists, and the HPA
//! does not.
//!
//! ## Overrides
//! * Have KEDA make it anew: its operator's log says why it does not.
//! * Pause or delete a ScaledObject that is not meant to scale.
//! * `autoscaler-guard/allow: scaledobject-without-hpa` on the ScaledObject or its workload.
//!
//! ## Example
//! The HPA of a ScaledObject was deleted while KEDA's operator was down.

use crate::change::{Kind, Operation};
use crate::cluster::api;
use crate::context::Context;
use crate::facts::scaled_object::{self, Ready, ScaledObject};
use crate::finding::{Action, Finding};
use crate::gate::Scope;
use crate::rule::{DefaultAction, Lookup, Rule, Stage};
use crate::subject::{Subject, WorkloadRef};

pub(in crate::rules) static RULE: Rule = Rule {
    id: "scaledobject-without-hpa",
    title: "This ScaledObject has no HPA",
    default: DefaultAction::Reject,
    may_reject: true,
    since: "0.1.0",
    stage: Stage::Stable,
    scope: Scope::Judged,
    watches: &[(Kind::ScaledObject, &[Operation::Audit])],
    check,
};

pub(in crate::rules) const LOOKUPS: &[Lookup] = &[Lookup::Get(&api::HORIZONTAL_POD_AUTOSCALER)];

fn check(context: &Context<'_>) -> Option<Finding> {
    let this = ScaledObject::new(context.change.after()?.clone());
    let metadata = &this.object.metadata;
    // One that KEDA has not got to yet has none.
    if this.is_paused() || this.ready() == Ready::NotSaid {
        return None;
    }
    let name = this.hpa_name();
    let is_there = !scaled_object::hpa(context, &metadata.namespace, &name).is_absent();
    let workload = WorkloadRef::new(&this.target(), &metadata.namespace);
    // Without a workload KEDA makes none, which target-missing reports.
    if is_there || workload.get(&context.neighbours).is_absent() {
        return None;
    }
    let title = this.object.title("ScaledObject");
    let what = format!("{title} has no HPA: \"{name}\" is not there, so nothing scales {workload} by it");
    let subject = Subject::new("scaledobject", metadata);
    let describe = subject.kubectl("describe", &[]);
    let mut finding = Finding::new(RULE.id, Action::Reject, subject, what).about(workload, title);
    finding.at_stake = "it";
    Some(finding.help("See what KEDA says of it", describe))
}
