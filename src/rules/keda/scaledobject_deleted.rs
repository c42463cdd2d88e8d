//! A ScaledObject is deleted, and the garbage collector takes its HPA.
//!
//! ## What it protects
//! A workload that KEDA scales is not left without an autoscaler by the deletion of its ScaledObject.
//!
//! ## Why
//! The HPA carries the ScaledObject's ownerReference, so it goes with it, even when a chart just declared that HPA:
//! Helm 3 writes nothing at all when the chart's HPA is contained in KEDA's, so this delete is the only request in
//! which the loss can be stopped (kedacore/keda issue 6250). KEDA has no way to keep the HPA.
//!
//! ## When it fires
//! The ScaledObject's HPA exists and refers to it as an owner (controller or not). The workload lives and does not own
//! its count, and nothing else scales it. A pause alone is no answer: KEDA may not have acted on it yet.
//!
//! * Helm is judged too: `uninstall` deletes the Deployment first, so it passes; after an `upgrade` Helm does not try
//!   again.
//! * What Flux, Argo CD, kapp and Terraform delete is judged by their own records, as in `hpa-deleted`. An HPA of the
//!   same name that Argo CD has written already does not count as coming.
//!
//! It only warns of
//!
//! * another ScaledObject of the same release or app and target, unless its Ready is False: a rename;
//! * annotation `helm.sh/hook`, as Helm creates a hook anew;
//! * a ScaledObject that an operator controls, and the delete of the HTTPScaledObject that controls it (KEDA's HTTP
//!   add-on), where the policy is asked about those.
//!
//! ## Overrides
//! * `kubectl delete scaledobject <name> --cascade=orphan` keeps the HPA, as does the finalizer `orphan`. It warns:
//!   nothing declares that HPA then, and external metrics end with KEDA's.
//! * The workload owns its count: annotation `autoscaler-guard/autoscaling: "off"`, or `spec.replicas` declared, within
//!   the HPA's bounds: the HPA would scale any other count back while it lasts.
//! * `autoscaler-guard/allow: scaledobject-deleted` on the ScaledObject or its workload.
//!
//! ## Example
//! `kubectl delete scaledobject web -n shop`

use crate::change::{Kind, Operation};
use crate::cluster::{Presence, Reason, api};
use crate::context::Context;
use crate::facts::application::{self, Tool};
use crate::facts::autoscalers::{Departing, Replacement, other_autoscaler};
use crate::facts::departure::Departure;
use crate::facts::hpa::HorizontalPodAutoscaler;
use crate::facts::owner::Owner;
use crate::facts::scaled_object::{self, ScaledObject};
use crate::facts::workload;
use crate::finding::{Action, Finding};
use crate::gate::Scope;
use crate::rule::{DefaultAction, Lookup, Rule, Stage};
use crate::rules::departing;
use crate::subject::{Subject, WorkloadRef};
use autoscaler_guard_reading::{Object, OwnerReference, title};

pub(in crate::rules) static RULE: Rule = Rule {
    id: "scaledobject-deleted",
    title: "Deleting this ScaledObject removes the workload's only HPA",
    default: DefaultAction::Reject,
    may_reject: true,
    since: "0.1.0",
    stage: Stage::Stable,
    scope: Scope::Judged,
    watches: &[(Kind::ScaledObject, &[Operation::Delete]), (Kind::HttpScaledObject, &[Operation::Delete])],
    check,
};

pub(in crate::rules) const LOOKUPS: &[Lookup] = &[
    Lookup::Get(&api::APPLICATION),
    Lookup::Get(&api::HORIZONTAL_POD_AUTOSCALER),
    Lookup::Get(&api::KUSTOMIZATION),
    Lookup::Get(&api::SCALED_OBJECT),
    Lookup::List(&api::HORIZONTAL_POD_AUTOSCALER),
    Lookup::List(&api::SCALED_OBJECT),
];

fn check(context: &Context<'_>) -> Option<Finding> {
    let old = context.change.deleted()?;
    if context.request.kind == Kind::HttpScaledObject {
        return with_its_owner(context, old);
    }
    let scaled_object = ScaledObject::new(old.clone());
    let metadata = &scaled_object.object.metadata;
    let name = scaled_object.hpa_name();
    let loss = match scaled_object::hpa(context, &metadata.namespace, &name) {
        Presence::Absent => return None,
        Presence::Found(hpa) if !scaled_object.owns(&hpa) || has_another_owner(context, &hpa, &metadata.uid) => {
            return None;
        }
        Presence::Found(hpa) => Loss { scaled_object: &scaled_object, hpa: Some(hpa), unread: None },
        // Once KEDA has acted on the pause there is none.
        Presence::Unknown(_) if scaled_object.is_paused() => return None,
        Presence::Unknown(reason) => Loss { scaled_object: &scaled_object, hpa: None, unread: Some(reason) },
    };
    if context.orphans_dependents() { Some(loss.orphaned()) } else { loss.collected(context) }
}

/// KEDA's HTTP add-on makes a ScaledObject of the HTTPScaledObject's name, which goes with it, and the HPA with that
/// (kedacore/http-add-on issue 332): the collector's deletes are not judged.
fn with_its_owner(context: &Context<'_>, owner: &Object<'_>) -> Option<Finding> {
    let metadata = &owner.metadata;
    let Presence::Found(owned) = scaled_object::by_name(context, &metadata.namespace, &metadata.name) else {
        return None;
    };
    if owned.object.metadata.owner_with_uid(&metadata.uid).is_none() || context.orphans_dependents() {
        return None;
    }
    let Presence::Found(hpa) = scaled_object::hpa(context, &metadata.namespace, &owned.hpa_name()) else { return None };
    let loss = Loss { scaled_object: &owned, hpa: Some(hpa), unread: None };
    let finding = loss.collected(context)?;
    let this = owner.title("HTTPScaledObject");
    let what = format!(
        "deleting {this} takes its ScaledObject and HPA \"{}\": {} would be left with no autoscaler",
        owned.hpa_name(),
        WorkloadRef::new(&owned.target(), &metadata.namespace)
    );
    let subject = Subject::new("httpscaledobject", metadata);
    let keep = subject.kubectl("delete", &["--cascade=orphan"]);
    let warned =
        Finding { what, annotate: subject, notes: Vec::new(), help: Vec::new(), action: Action::Warn, ..finding };
    Some(warned.help("Keep both", keep))
}

/// The garbage collector only drops its reference to this owner when another one lives.
fn has_another_owner(context: &Context<'_>, hpa: &HorizontalPodAutoscaler<'_>, uid: &str) -> bool {
    let metadata = &hpa.object.metadata;
    let lives = |owner: &OwnerReference<'_>| matches!(owner.look_up(context, &metadata.namespace), Presence::Found(found) if !found.metadata.is_terminating());
    metadata.owner_references().iter().any(|owner| owner.uid != uid && lives(owner))
}

struct Loss<'l, 'a> {
    scaled_object: &'l ScaledObject<'a>,
    hpa: Option<HorizontalPodAutoscaler<'a>>,
    unread: Option<Reason>,
}

impl Loss<'_, '_> {
    fn finding(&self, action: Action, what: String) -> Finding {
        let metadata = &self.scaled_object.object.metadata;
        let target = WorkloadRef::new(&self.scaled_object.target(), &metadata.namespace);
        let hpa = title("HPA", &metadata.namespace, &self.scaled_object.hpa_name());
        Finding::new(RULE.id, action, Subject::new("scaledobject", metadata), what).about(target, hpa)
    }

    fn orphaned(&self) -> Finding {
        let hpa = title("HPA", &self.scaled_object.object.metadata.namespace, &self.scaled_object.hpa_name());
        let metrics = match &self.hpa {
            Some(hpa) if !hpa.has_external_metrics() => "",
            _ => "; its external metrics end with KEDA's",
        };
        let what = format!(
            "deleting {} keeps {hpa}, but nothing declares it any more{metrics}: apply a manifest for it",
            self.scaled_object.object.title("ScaledObject")
        );
        self.finding(Action::Warn, what)
    }

    fn collected(&self, context: &Context<'_>) -> Option<Finding> {
        let metadata = &self.scaled_object.object.metadata;
        let target = self.scaled_object.target();
        let workload = WorkloadRef::new(&target, &metadata.namespace);
        let need = workload::needs_autoscaler(&workload, context, self.hpa.as_ref())?;
        let name = self.scaled_object.hpa_name();
        let departing = Departing {
            object: &self.scaled_object.object,
            target: &target,
            hpa: &name,
            scaled_object: Some(&metadata.uid),
            at_zero: need.at_zero,
        };
        match other_autoscaler(context, &departing) {
            Replacement::Scales(_) => None,
            Replacement::Asleep(other) => {
                let this = self.scaled_object.object.title("ScaledObject");
                let what =
                    format!("deleting {this} leaves {workload} at 0 replicas: {other} does not start it from there");
                let finding = self.finding(Action::Warn, what);
                Some(finding.help("Scale it to 1, from where that one goes on", workload::wake(&workload)))
            }
            Replacement::Takes(other) => {
                let this = self.scaled_object.object.title("ScaledObject");
                let what = format!(
                    "deleting {this} takes its HPA \"{name}\"; {other} of the same application is expected to scale {workload}: check that it becomes Ready"
                );
                Some(self.finding(Action::Warn, what))
            }
            Replacement::Nothing(reason) => {
                let caveat = format!("{need}{}", Replacement::caveat(reason.as_ref()));
                let mut finding = self.refused(&workload, &caveat);
                finding.action = need.soften(finding.action);
                let comes_to = match Departure::of(context, &departing, &workload) {
                    // Helm deletes a Deployment before its ScaledObject, so that is a loss.
                    Departure::Open(Tool::Helm) => Departure::Unmanaged,
                    other => other,
                };
                departing::judge(context, finding, comes_to)
            }
        }
    }

    fn refused(&self, workload: &WorkloadRef, caveat: &str) -> Finding {
        let metadata = &self.scaled_object.object.metadata;
        let (this, name) = (self.scaled_object.object.title("ScaledObject"), self.scaled_object.hpa_name());
        let finish = Subject::new("scaledobject", metadata).kubectl("delete", &["--cascade=orphan"]);
        let because = match &self.unread {
            Some(reason) => format!("its HPA \"{name}\" may be garbage-collected, as it could not be read ({reason})"),
            None => format!("HPA \"{name}\" is owned by it and would be garbage-collected"),
        };
        let what = format!("deleting {this} would leave {workload} with no autoscaler: {because}{caveat}");
        let finding = self.finding(Action::Reject, what);
        if application::helm::release(metadata).is_none() {
            return finding.help("Keep the HPA", finish);
        }
        finding.by_hand("Helm does not try again; keep the HPA and finish with", finish)
    }
}
