//! A released HPA goes back to its ScaledObject.
//!
//! ## What it protects
//! Whoever takes the mark of a handover off an HPA gets what they mean: KEDA owns and writes the HPA again.
//!
//! ## Why
//! KEDA does not watch an HPA that it does not own, does not put the ownerReference back by itself, and does not notice
//! when the HPA is gone. Without the mark and without the reference the HPA would belong to nobody while its
//! ScaledObject is Ready.
//!
//! ## When it fires
//! Someone other than a declarative writer removes `autoscaler-guard/released-from` while that ScaledObject (by uid)
//! lives. The ownerReference comes back in the same request, which wakes KEDA, and it adopts and rewrites the HPA.
//! Never refused; without repair, or when another controller owns the HPA by now, a warning; one that does not exist
//! gives way. Not where the ScaledObject declares an HPA of another name.
//!
//! ## Overrides
//! * `autoscaler-guard/allow: hpa-giveback` on the HPA or its workload: only the mark goes.
//!
//! ## Example
//! `kubectl annotate hpa web -n shop autoscaler-guard/released-from-`

use crate::change::{Kind, Operation};
use crate::cluster::{Presence, api};
use crate::context::Context;
use crate::facts::application;
use crate::facts::hpa::HorizontalPodAutoscaler;
use crate::facts::owner::Owner;
use crate::facts::released::ReleaseMark;
use crate::facts::scaled_object::{self, ScaledObject};
use crate::finding::{Action, Finding};
use crate::gate::Scope;
use crate::repair::Edit;
use crate::rule::{DefaultAction, Lookup, Rule, Stage};
use crate::subject::{Subject, WorkloadRef};
use autoscaler_guard_reading::{Object, quoted, title};

pub(in crate::rules) static RULE: Rule = Rule {
    id: "hpa-giveback",
    title: "An HPA that loses its handover mark belongs to nobody",
    default: DefaultAction::Repair,
    may_reject: false,
    since: "0.1.0",
    stage: Stage::Stable,
    scope: Scope::Judged,
    watches: &[(Kind::HorizontalPodAutoscaler, &[Operation::Update])],
    check,
};

pub(in crate::rules) const LOOKUPS: &[Lookup] = &[Lookup::Get(&api::SCALED_OBJECT), Lookup::Owner];

fn check(context: &Context<'_>) -> Option<Finding> {
    let (old, new) = context.change.update()?;
    let release = ReleaseMark::of(old).filter(|_| ReleaseMark::of(new).is_none())?;
    // A manifest that never knew the mark gives nothing back: see hpa-handover.
    if application::declares(context) || new.metadata.owner_with_uid(&release.uid).is_some() {
        return None;
    }
    let hpa = HorizontalPodAutoscaler::new(new.clone());
    let (action, what) =
        match scaled_object::with_uid(context, &new.metadata.namespace, &release.scaled_object, &release.uid) {
            Presence::Found(owner) if owner.object.metadata.is_terminating() => return None,
            Presence::Absent => return None,
            // It would get an owner that never looks at it.
            Presence::Found(owner) if owner.hpa_name() != new.metadata.name => return None,
            Presence::Found(owner) => give_back(context, new, &owner),
            Presence::Unknown(reason) => {
                let owner = title("ScaledObject", &new.metadata.namespace, &release.scaled_object);
                (
                    Action::Warn,
                    format!(
                        "{} loses its mark, but {owner} could not be read ({reason}): KEDA may not take the HPA back",
                        new.title("HPA")
                    ),
                )
            }
        };
    let target = WorkloadRef::new(&hpa.target(), &new.metadata.namespace);
    let this = new.title("HPA");
    let mut finding =
        Finding::new(RULE.id, action, Subject::new("hpa", &new.metadata), what).about(target, this.clone());
    finding.repaired =
        format!("{this} was given back to ScaledObject {}: KEDA owns and rewrites it now", release.scaled_object);
    Some(finding)
}

fn give_back(context: &Context<'_>, hpa: &Object<'_>, owner: &ScaledObject<'_>) -> (Action, String) {
    let (this, from) = (hpa.title("HPA"), owner.object.title("ScaledObject"));
    // An object has one controller at most; the API server refuses a second. One that does not exist gives way.
    let controllers = || hpa.metadata.owner_references().iter().filter(|other| other.controller == Some(true));
    if controllers().any(|other| !other.look_up(context, &hpa.metadata.namespace).is_absent()) {
        return (
            Action::Warn,
            format!(
                "{this} loses the mark of its release from {from}, but another controller owns it: KEDA does not take it back"
            ),
        );
    }
    let (name, uid) = (&owner.object.metadata.name, owner.object.metadata.uid.clone().into_owned());
    let reference = format!(
        r#"{{"apiVersion":"keda.sh/v1alpha1","kind":"ScaledObject","name":{},"uid":{},"controller":true,"blockOwnerDeletion":true}}"#,
        quoted(name),
        quoted(&uid)
    );
    let what = format!(
        "{this} loses the mark of its release from {from}, but has no owner: KEDA does not watch it, and would not put it back"
    );
    let mut edits: Vec<Edit> = controllers().map(|stale| Edit::RemoveOwner { uid: stale.uid.to_string() }).collect();
    edits.push(Edit::AddOwner { uid, reference });
    (Action::Repair(edits), what)
}
