//! An HPA is created under a name that a ScaledObject will write or delete.
//!
//! ## What it protects
//! A new HPA is not overwritten or deleted by KEDA the moment it exists.
//!
//! ## Why
//! KEDA goes by the name: it rewrites the HPA of that name, whoever made it, and a paused ScaledObject deletes it at
//! its next reconcile.
//!
//! ## When it fires
//! An HPA is created whose name is the one that a ScaledObject in the namespace, a paused one too, uses for its HPA.
//! For the same target, by a declarative writer of the same release or app (one that goes back from a paused
//! ScaledObject), it warns: the ScaledObject is deleted next. A restored HPA that refers to that ScaledObject as its
//! owner is left to hpa-owner-stale.
//!
//! ## Overrides
//! * Give the HPA another name, or delete the ScaledObject first.
//! * `autoscaler-guard/allow: hpa-name-claimed` on the HPA or its workload.
//!
//! ## Example
//! `kubectl autoscale deployment web --name keda-hpa-web --max 5`, where ScaledObject `web` is paused.

use crate::change::{Kind, Operation};
use crate::cluster::{List, Presence, api};
use crate::context::Context;
use crate::facts::application::{self, Member};
use crate::facts::hpa::{HorizontalPodAutoscaler, scaled_object_owners};
use crate::facts::scaled_object::{self, ScaledObject};
use crate::finding::{Action, Finding};
use crate::gate::Scope;
use crate::rule::{DefaultAction, Lookup, Rule, Stage};
use crate::subject::{Subject, WorkloadRef};

pub(in crate::rules) static RULE: Rule = Rule {
    id: "hpa-name-claimed",
    title: "KEDA overwrites an HPA that is created under this name",
    default: DefaultAction::Reject,
    may_reject: true,
    since: "0.1.0",
    stage: Stage::Stable,
    scope: Scope::Judged,
    watches: &[(Kind::HorizontalPodAutoscaler, &[Operation::Create])],
    check,
};

pub(in crate::rules) const LOOKUPS: &[Lookup] = &[Lookup::List(&api::SCALED_OBJECT)];

fn check(context: &Context<'_>) -> Option<Finding> {
    let new = context.change.after()?;
    let namespace = Some(new.metadata.namespace.as_ref());
    let query = List { kind: &api::SCALED_OBJECT, namespace, label_selector: None, fields: scaled_object::FIELDS };
    // Not knowing, it lets pass: nothing is lost yet, and KEDA's write is seen in the HPA.
    let Presence::Found(objects) = context.neighbours.list(&query) else { return None };
    let mut scaled_objects = objects.into_iter().map(ScaledObject::new);
    let claims = |candidate: &ScaledObject<'_>| {
        let metadata = &candidate.object.metadata;
        !metadata.is_terminating() && candidate.hpa_name() == new.metadata.name
    };
    let owner = scaled_objects.find(claims)?;
    if scaled_object_owners(new).any(|reference| reference.name == owner.object.metadata.name) {
        return None;
    }
    let hpa = HorizontalPodAutoscaler::new(new.clone());
    let (this, from) = (new.title("HPA"), owner.object.title("ScaledObject"));
    let fate = if owner.is_paused() { "deletes it, as it is paused" } else { "takes it over" };
    let what = format!("creating {this} under the name that {from} uses for its HPA: KEDA {fate}");
    let goes_back = application::declares(context)
        && hpa.target().same_workload(&owner.target())
        && application::belong_together(Member::hpa(new), Member::scaled_object(&owner.object));
    let action = if goes_back { Action::Warn } else { Action::Reject };
    let delete_first = Subject::new("scaledobject", &owner.object.metadata).kubectl("delete", &[]);
    let finding = Finding::new(RULE.id, action, Subject::new("hpa", &new.metadata), what)
        .about(WorkloadRef::new(&hpa.target(), &new.metadata.namespace), this)
        .help("Give the HPA another name, or delete the ScaledObject first", delete_first);
    Some(finding)
}
