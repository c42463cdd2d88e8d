//! A workload gets a second autoscaler.
//!
//! ## What it protects
//! A workload has at most one autoscaler.
//!
//! ## Why
//! Two HPAs on one workload stop each other: the HPA controller sets `AmbiguousSelector` and neither scales
//! (kubernetes/kubernetes issue 112011, kedacore/keda issue 5825). Two ScaledObjects that name one HPA rewrite it about
//! ten times a second for as long as both live (kedacore/keda issue 6130). KEDA's webhook looks from the ScaledObject's
//! side only, and not at updates of HPAs.
//!
//! ## When it fires
//! An HPA or ScaledObject is created on, or aimed at, a workload that another HPA scales, or a ScaledObject that is not
//! paused. Or an EnvoyProxy, Gateway or GatewayClass is created or changed so that envoyHpa comes to a fleet that one
//! scales. An audit reports both.
//!
//! It only warns where
//!
//! * a declarative writer's objects belong to one release or app, since it creates first and deletes last; not across
//!   the charts of an umbrella chart;
//! * the neighbours cannot be listed; or
//! * the pods of the workload are also selected by another workload that an HPA scales (by a common label), or the
//!   other way round.
//!
//! Two ScaledObjects on one HPA are refused, but to Flux and Argo CD within one of their apps. A ScaledObject may take
//! over the HPA of exactly its name and target.
//!
//! ## Overrides
//! * Change the autoscaler that is there, or let KEDA take the HPA over: name it in
//!   `horizontalPodAutoscalerConfig.name`, with the annotation `scaledobject.keda.sh/transfer-hpa-ownership: "true"`.
//! * From envoyHpa to KEDA: acknowledge the ScaledObject, then remove envoyHpa, which passes from Envoy Gateway 1.5 on.
//! * `autoscaler-guard/allow: duplicate-autoscaler` on the new autoscaler, on the changed object or on the workload.
//!
//! ## Example
//! `kubectl autoscale deployment web --name web-2 --max 5`, where HPA `web` scales it already.

use crate::change::{Kind, Operation};
use crate::cluster::{Presence, Reason, api};
use crate::command::Command;
use crate::context::Context;
use crate::facts::application::{self, Member};
use crate::facts::autoscalers::{Namespace, keeps_target, target_of};
use crate::facts::envoy_gateway::{fleet_change, has_fleet_labels, has_own_labels};
use crate::facts::hpa::HorizontalPodAutoscaler;
use crate::facts::scaled_object::ScaledObject;
use crate::facts::workload;
use crate::finding::{Action, Finding, Help};
use crate::gate::Scope;
use crate::rule::{DefaultAction, Lookup, Rule, Stage};
use crate::rules::fleet_finding;
use crate::subject::{ScaleTargetRef, Subject, WorkloadRef};
use autoscaler_guard_reading::Object;

pub(in crate::rules) static RULE: Rule = Rule {
    id: "duplicate-autoscaler",
    title: "A second autoscaler on one workload stops both",
    default: DefaultAction::Reject,
    may_reject: true,
    since: "0.1.0",
    stage: Stage::Stable,
    scope: Scope::Judged,
    watches: &[
        (Kind::HorizontalPodAutoscaler, &[Operation::Create, Operation::Update, Operation::Audit]),
        (Kind::ScaledObject, &[Operation::Create, Operation::Update, Operation::Audit]),
        (Kind::EnvoyProxy, &[Operation::Create, Operation::Update]),
        (Kind::Gateway, &[Operation::Create, Operation::Update]),
        (Kind::GatewayClass, &[Operation::Create, Operation::Update]),
    ],
    check,
};

pub(in crate::rules) const LOOKUPS: &[Lookup] = &[
    Lookup::Get(&api::CONFIG_MAP),
    Lookup::Get(&api::ENVOY_PROXY),
    Lookup::List(&api::GATEWAY),
    Lookup::List(&api::GATEWAY_CLASS),
    Lookup::List(&api::HORIZONTAL_POD_AUTOSCALER),
    Lookup::List(&api::SCALED_OBJECT),
];

/// With so many other workloads of a namespace a new one's pods are compared: each is a lookup.
const COMPARED: usize = 4;

/// Another autoscaler in the way of the new one.
struct Other<'a> {
    object: Object<'a>,
    kind: Kind,
    /// Both ScaledObjects write one HPA.
    same_hpa: bool,
}

fn check(context: &Context<'_>) -> Option<Finding> {
    let new = context.change.after()?;
    if !matches!(context.request.kind, Kind::HorizontalPodAutoscaler | Kind::ScaledObject) {
        return beside_envoy_hpa(context, new);
    }
    if keeps_target(context) {
        return None;
    }
    let target = target_of(context, new);
    let is_hpa = context.request.kind == Kind::HorizontalPodAutoscaler;
    let namespace = Namespace::look_up(context, &new.metadata.namespace);
    let other = if is_hpa {
        beside_hpa(&namespace, new, &new.metadata.name, &target)
    } else {
        beside_scaled_object(&namespace, new, &target)
    };
    match (other, &namespace.unknown) {
        (Some(other), _) => Some(second(context, new, WorkloadRef::new(&target, &new.metadata.namespace), &other)),
        (None, Some(reason)) => {
            Some(not_known(context, new, WorkloadRef::new(&target, &new.metadata.namespace), reason))
        }
        (None, None) => shares_pods(context, new, &namespace, &target),
    }
}

/// The HPA controller goes by pods: two HPAs whose workloads select the same ones stop with AmbiguousSelector, whatever
/// the workloads are called (kubernetes/kubernetes issue 112027, pkg/controller/podautoscaler/horizontal.go).
fn shares_pods(
    context: &Context<'_>,
    new: &Object<'_>,
    namespace: &Namespace<'_>,
    target: &ScaleTargetRef<'_>,
) -> Option<Finding> {
    if context.change.is_audit() {
        return None;
    }
    let workload = WorkloadRef::new(target, &new.metadata.namespace);
    let mut others: Vec<(WorkloadRef, String)> = Vec::new();
    for hpa in &namespace.hpas {
        let other = hpa.workload();
        let counts = !hpa.object.metadata.is_terminating() && other != workload;
        if counts && others.len() < COMPARED && others.iter().all(|(known, _)| *known != other) {
            others.push((other, hpa.object.title("HPA")));
        }
    }
    let get = |workload: &WorkloadRef| match workload.get(&context.neighbours) {
        Presence::Found(found) => Some(found),
        Presence::Absent | Presence::Unknown(_) => None,
    };
    let mine = if others.is_empty() { return None } else { get(&workload)? };
    let shares = |(other, _): &&(WorkloadRef, String)| {
        get(other).is_some_and(|other| workload::selects(&mine, &other) || workload::selects(&other, &mine))
    };
    let (other, theirs) = others.iter().find(shares)?;
    let what = format!(
        "{} would scale {workload}, whose pods {other} selects too, or the other way round: beside {theirs} neither scales",
        title(context, new)
    );
    let finding = finding(context, new, Action::Warn, what).about(workload, title(context, new));
    Some(finding.help("Give each workload a label of its own in", Help::field("spec.selector")))
}

/// Fleets that get an HPA of Envoy Gateway's.
fn beside_envoy_hpa(context: &Context<'_>, new: &Object<'_>) -> Option<Finding> {
    let changes = match fleet_change::look_up(context) {
        Ok(changes) => changes,
        Err(reason) => {
            let may = fleet_change::may_declare_hpa(context);
            return may
                .then(|| fleet_finding::unknown(context, RULE.id, "give an Envoy fleet a second autoscaler", &reason));
        }
    };
    let mut not_seen = None;
    for change in &changes {
        let Some(after) = change.gets_hpa() else { continue };
        let deployment = change.fleet.deployment(after);
        let mut namespace = Namespace::look_up(context, &deployment.namespace);
        // The fleet's former HPA goes by its labels.
        namespace.hpas.retain(|hpa| !change.fleet.labels(&hpa.object) || !has_own_labels(&hpa.object));
        let (_, name) = change.fleet.hpa(after);
        if let Some(other) = beside_hpa(&namespace, new, &name, &deployment.target()) {
            return Some(second(context, new, deployment.clone(), &other));
        }
        not_seen = not_seen.or(namespace.unknown.map(|reason| (deployment, reason)));
    }
    not_seen.map(|(deployment, reason)| not_known(context, new, deployment, &reason))
}

fn beside_hpa<'a>(
    namespace: &Namespace<'a>,
    new: &Object<'_>,
    name: &str,
    target: &ScaleTargetRef<'_>,
) -> Option<Other<'a>> {
    // Under the ScaledObject's own HPA name it is hpa-name-claimed's.
    let scaled_object = |other: &&ScaledObject<'a>| {
        let owned = new.metadata.owner_with_uid(&other.object.metadata.uid).is_some();
        !owned && other.scales(target) && other.hpa_name() != name
    };
    if let Some(other) = namespace.scaled_objects.iter().find(scaled_object) {
        return Some(Other { object: other.object.clone(), kind: Kind::ScaledObject, same_hpa: false });
    }
    let hpa = |hpa: &&HorizontalPodAutoscaler<'a>| hpa.object.metadata.name != name && hpa.scales(target);
    let other = namespace.hpas.iter().find(hpa)?;
    Some(Other { object: other.object.clone(), kind: Kind::HorizontalPodAutoscaler, same_hpa: false })
}

fn beside_scaled_object<'a>(
    namespace: &Namespace<'a>,
    new: &Object<'_>,
    target: &ScaleTargetRef<'_>,
) -> Option<Other<'a>> {
    let this = ScaledObject::new(new.clone());
    let name = this.hpa_name();
    let others = || namespace.scaled_objects.iter().filter(|other| other.object.metadata.name != new.metadata.name);
    let twin = others().find(|other| !other.object.metadata.is_terminating() && other.hpa_name() == name);
    if let Some(other) = twin {
        return Some(Other { object: other.object.clone(), kind: Kind::ScaledObject, same_hpa: true });
    }
    if this.is_paused() {
        return None;
    }
    if let Some(other) = others().find(|other| other.scales(target)) {
        return Some(Other { object: other.object.clone(), kind: Kind::ScaledObject, same_hpa: false });
    }
    let hpa =
        |hpa: &&HorizontalPodAutoscaler<'a>| hpa.object.metadata.name != name && hpa.scales(target) && !this.owns(hpa);
    let other = namespace.hpas.iter().find(hpa)?;
    Some(Other { object: other.object.clone(), kind: Kind::HorizontalPodAutoscaler, same_hpa: false })
}

fn second(context: &Context<'_>, new: &Object<'_>, workload: WorkloadRef, other: &Other<'_>) -> Finding {
    let (this, that) = (Member::of_request(context, new), Member::autoscaler(other.kind, &other.object));
    // Helm hides a delete that fails, so a rename that writes one HPA twice would stay so unseen; the others report it
    // and try again.
    let renames = (application::declares(context) || application::of_one_operator(this, that))
        && if other.same_hpa {
            application::of_one_record(this, that)
        } else {
            application::belong_together(this, that)
        };
    let action = if renames { Action::Warn } else { Action::Reject };
    let theirs = other.object.title(other.kind.name());
    let what = if other.same_hpa {
        format!(
            "{} {} the same HPA as {theirs}: both rewrite it for as long as both live",
            title(context, new),
            if context.change.is_audit() { "writes" } else { "would write" }
        )
    } else if context.change.is_audit() {
        format!("{} is a second autoscaler of {workload} beside {theirs}: neither scales it", title(context, new))
    } else {
        format!(
            "{} would give {workload} a second autoscaler beside {theirs}: neither scales it then",
            title(context, new)
        )
    };
    let finding = finding(context, new, action, what).about(workload, title(context, new));
    if has_fleet_labels(&other.object) {
        return finding.help(
            "Change envoyHpa instead, or acknowledge this and remove envoyHpa next",
            Command::kubectl(&["get", "envoyproxies", "-A"]),
        );
    }
    if context.request.kind == Kind::ScaledObject && other.kind == Kind::HorizontalPodAutoscaler {
        let name = &other.object.metadata.name;
        let transfer = format!(
            "horizontalPodAutoscalerConfig.name: {name}, and annotation scaledobject.keda.sh/transfer-hpa-ownership: \"true\""
        );
        return finding.help("Take it over instead", Help::text(transfer));
    }
    let edit = Subject::new(other.kind.resource(), &other.object.metadata).kubectl("edit", &[]);
    finding.help("Change the one that is there instead", edit)
}

fn not_known(context: &Context<'_>, new: &Object<'_>, workload: WorkloadRef, reason: &Reason) -> Finding {
    let what = format!(
        "{} may be a second autoscaler of {workload}: what scales it is not known ({reason})",
        title(context, new)
    );
    finding(context, new, Action::Warn, what).about(workload, title(context, new))
}

fn finding(context: &Context<'_>, new: &Object<'_>, action: Action, what: String) -> Finding {
    let mut finding = Finding::new(RULE.id, action, Subject::new(context.request.kind.resource(), &new.metadata), what);
    finding.at_stake = "it";
    finding
}

fn title(context: &Context<'_>, new: &Object<'_>) -> String {
    new.title(context.request.kind.name())
}
