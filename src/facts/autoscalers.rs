//! What else scales a workload when one autoscaler goes.

use super::application::{Member, of_one_application};
use super::hpa::{self, HorizontalPodAutoscaler, scaled_object_owners};
use super::scaled_object::{self, Ready, ScaledObject};
use crate::change::Kind;
use crate::cluster::{ApiKind, List, Presence, Reason, api};
use crate::context::Context;
use crate::facts::owner::is_scaled_object;
use crate::subject::{ScaleTargetRef, WorkloadRef};
use autoscaler_guard_reading::{Object, OwnerReference};

/// An autoscaler that is about to go, and what goes with it.
#[derive(Debug)]
pub struct Departing<'q, 'a> {
    /// The object whose deletion is judged; its release shows a rename by Helm.
    pub object: &'q Object<'a>,
    /// What it scales.
    pub target: &'q ScaleTargetRef<'a>,
    /// The HPA that goes, by name.
    pub hpa: &'q str,
    /// The ScaledObject that goes, or that the HPA was released from, by uid: it does not count as another.
    pub scaled_object: Option<&'q str>,
    /// Whether the workload is at 0, from where KEDA starts it, but no other HPA than the one that brought it there.
    pub at_zero: bool,
}

/// What else scales the workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replacement {
    /// This autoscaler does.
    Scales(String),
    /// A ScaledObject of the same Helm release will, as far as is known: a rename, or a change from HPA to KEDA.
    Takes(String),
    /// This HPA would, but the workload is at 0, from where it does not start it.
    Asleep(String),
    /// Nothing that can be seen; with what could not be seen.
    Nothing(Option<Reason>),
}

impl Replacement {
    /// What could not be seen, as the end of a sentence.
    pub fn caveat(reason: Option<&Reason>) -> String {
        reason.map_or_else(String::new, |reason| {
            format!(" (whether another autoscaler scales it is not known: {reason})")
        })
    }
}

/// What an autoscaler of the request's kind scales.
pub fn target_of<'a>(context: &Context<'a>, object: &Object<'a>) -> ScaleTargetRef<'a> {
    match context.request.kind {
        Kind::ScaledObject => ScaledObject::new(object.clone()).target(),
        _ => ScaleTargetRef::of_spec(object.spec()),
    }
}

/// Whether an update leaves an autoscaler aimed where it was, and does not wake it: KEDA makes an HPA of a ScaledObject
/// that is not paused any more, as of a new one.
pub fn keeps_target(context: &Context<'_>) -> bool {
    context.change.update().is_some_and(|(old, new)| {
        if unpauses(context, old, new) {
            return false;
        }
        old.spec_text() == new.spec_text() || target_of(context, old).same_workload(&target_of(context, new))
    })
}

fn unpauses(context: &Context<'_>, old: &Object<'_>, new: &Object<'_>) -> bool {
    let paused = |object: &Object<'_>| scaled_object::is_paused(object);
    context.request.kind == Kind::ScaledObject && paused(old) && !paused(new)
}

/// The HPAs or ScaledObjects of a namespace, as far as they can be listed.
///
/// An audit asks about every namespace, and a policy server keeps a watch for each list that it was ever asked for: so
/// that there is one, and not one a namespace, an audit takes its part of the whole cluster's.
fn list<'a>(
    context: &Context<'a>,
    (kind, fields): (&ApiKind<'_>, &[&str]),
    namespace: &str,
    unknown: &mut Option<Reason>,
) -> Vec<Object<'a>> {
    let within = (!context.settings.audit).then_some(namespace);
    match context.neighbours.list(&List { kind, namespace: within, label_selector: None, fields }) {
        Presence::Found(mut objects) => {
            objects.retain(|object| within.is_some() || object.metadata.namespace == namespace);
            objects
        }
        // Where KEDA is not installed there is no ScaledObject to see.
        Presence::Absent | Presence::Unknown(Reason::NotServed(_)) => Vec::new(),
        Presence::Unknown(reason) => {
            *unknown = Some(reason);
            Vec::new()
        }
    }
}

/// The HPAs of a namespace, as far as they can be listed.
pub fn hpas<'a>(
    context: &Context<'a>,
    namespace: &str,
    unknown: &mut Option<Reason>,
) -> Vec<HorizontalPodAutoscaler<'a>> {
    let found = list(context, (&api::HORIZONTAL_POD_AUTOSCALER, hpa::FIELDS), namespace, unknown);
    found.into_iter().map(HorizontalPodAutoscaler::new).collect()
}

/// The ScaledObjects of a namespace, as far as they can be listed.
fn scaled_objects<'a>(context: &Context<'a>, namespace: &str, unknown: &mut Option<Reason>) -> Vec<ScaledObject<'a>> {
    let found = list(context, (&api::SCALED_OBJECT, scaled_object::FIELDS), namespace, unknown);
    found.into_iter().map(ScaledObject::new).collect()
}

/// The autoscalers of a namespace.
#[derive(Debug, Default)]
pub struct Namespace<'a> {
    /// Its HPAs, KEDA's and Envoy Gateway's too.
    pub hpas: Vec<HorizontalPodAutoscaler<'a>>,
    /// Its ScaledObjects.
    pub scaled_objects: Vec<ScaledObject<'a>>,
    /// Why some of them are not known.
    pub unknown: Option<Reason>,
}

impl<'a> Namespace<'a> {
    /// Lists the autoscalers of a namespace.
    pub fn look_up(context: &Context<'a>, namespace: &str) -> Self {
        let mut unknown = None;
        let hpas = hpas(context, namespace, &mut unknown);
        let scaled_objects = scaled_objects(context, namespace, &mut unknown);
        Self { hpas, scaled_objects, unknown }
    }
}

/// Looks for another autoscaler of the workload in its namespace.
pub fn other_autoscaler(context: &Context<'_>, departing: &Departing<'_, '_>) -> Replacement {
    let Namespace { hpas, mut scaled_objects, unknown } =
        Namespace::look_up(context, &departing.object.metadata.namespace);
    let scales = |hpa: &&HorizontalPodAutoscaler<'_>| {
        scales_instead(hpa, departing) && (unknown.is_some() || !is_doomed(hpa, &scaled_objects))
    };
    let starts = |hpa: &&HorizontalPodAutoscaler<'_>| {
        !departing.at_zero || hpa.has_scaled_to_zero() || scaled_object_owners(&hpa.object).next().is_some()
    };
    let others: Vec<&HorizontalPodAutoscaler<'_>> = hpas.iter().filter(scales).collect();
    if let Some(other) = others.iter().copied().find(starts) {
        return Replacement::Scales(other.object.title("HPA"));
    }
    scaled_objects.retain(|candidate| may_scale(candidate, departing));
    if let Some(other) = scaled_objects.iter().find(|candidate| has_working_hpa(candidate, departing, &hpas)) {
        return Replacement::Scales(other.object.title("ScaledObject"));
    }
    let member = Member::of_request(context, departing.object);
    let of_release = |candidate: &&ScaledObject<'_>| {
        candidate.ready() != Ready::False && of_one_application(Member::scaled_object(&candidate.object), member)
    };
    match (scaled_objects.iter().find(of_release), others.first()) {
        (Some(other), _) => Replacement::Takes(other.object.title("ScaledObject")),
        (None, Some(other)) => Replacement::Asleep(other.object.title("HPA")),
        (None, None) => Replacement::Nothing(unknown),
    }
}

fn scales_instead(hpa: &HorizontalPodAutoscaler<'_>, departing: &Departing<'_, '_>) -> bool {
    let metadata = &hpa.object.metadata;
    let goes_too = metadata.name == departing.hpa
        || departing.scaled_object.is_some_and(|uid| metadata.owner_with_uid(uid).is_some());
    !goes_too && hpa.scales(departing.target)
}

/// Whether it is a ScaledObject's and the garbage collector is about to take it, as all its owners are gone or about to
/// go.
fn is_doomed(hpa: &HorizontalPodAutoscaler<'_>, scaled_objects: &[ScaledObject<'_>]) -> bool {
    let owners = hpa.object.metadata.owner_references();
    let lives = |uid: &str| {
        scaled_objects.iter().any(|owner| owner.object.metadata.uid == uid && !owner.object.metadata.is_terminating())
    };
    let is_dead = |owner: &OwnerReference<'_>| is_scaled_object(&owner.api_version, &owner.kind) && !lives(&owner.uid);
    !owners.is_empty() && owners.iter().all(is_dead)
}

fn may_scale(candidate: &ScaledObject<'_>, departing: &Departing<'_, '_>) -> bool {
    departing.scaled_object != Some(candidate.object.metadata.uid.as_ref()) && candidate.scales(departing.target)
}

/// Ready, and with an HPA: the one that goes, which it makes anew, or one of its own.
fn has_working_hpa(
    candidate: &ScaledObject<'_>,
    departing: &Departing<'_, '_>,
    hpas: &[HorizontalPodAutoscaler<'_>],
) -> bool {
    let name = candidate.hpa_name();
    let has_hpa =
        name == departing.hpa || hpas.iter().any(|hpa| hpa.object.metadata.name == name && candidate.owns(hpa));
    candidate.ready() == Ready::True && has_hpa
}

/// Whether a ScaledObject that is Ready scales a workload which no HPA declares: the way from envoyHpa to KEDA.
pub fn scaled_by_keda(context: &Context<'_>, workload: &WorkloadRef) -> bool {
    let target = workload.target();
    scaled_objects(context, &workload.namespace, &mut None)
        .iter()
        .any(|candidate| candidate.ready() == Ready::True && candidate.scales(&target))
}
