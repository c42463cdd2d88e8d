//! An object of another operator gives up the HPA that it declares, and the HPA stays behind.
//!
//! ## What it protects
//! An HPA lives as long as something declares it, and no longer.
//!
//! ## Why
//! Many operators make an HPA of a part of their objects and forget it when that part goes: it keeps scaling, nobody
//! declares it, and it fights whatever comes next. VictoriaMetrics' operator does it when `spec.hpa` is removed from a
//! VMAgent (VictoriaMetrics/operator issue 2518), Function Mesh did it with `spec.maxReplicas` of a Function
//! (streamnative/function-mesh issue 725), as Envoy Gateway did with envoyHpa, which has rules of its own.
//!
//! ## When it fires
//! Only for the kinds in setting `declarations`, which says where in the object the HPA is declared and what the HPA is
//! called:
//!
//! ```yaml
//! declarations:
//!   - apiVersion: operator.victoriametrics.com/v1beta1
//!     kind: VMAgent
//!     pointer: /spec/hpa
//!     hpa: {name: "{name}"}
//!   - apiVersion: compute.functionmesh.io/v1alpha1
//!     kind: Function
//!     pointer: /spec/maxReplicas
//!     hpa: {name: "{name}-function"}
//! ```
//!
//! Versions of an operator differ in these names (VictoriaMetrics' uses the VMAgent's own from 0.71 on, and
//! `vmagent-<name>` once issue 2518 is mended): look with `kubectl get hpa`. Once the operator deletes the HPA itself,
//! take its kind out of the setting. The `rules` of the policy's manifest have to register the kind for UPDATE and
//! DELETE, and an operator that writes such objects itself belongs in `exempt.users`.
//!
//! `effect: lost` says that the operator deletes the HPA instead of forgetting it, so that its workload may lose its
//! only autoscaler. In a name `{/spec/autoscalerRef/name}` stands for what that field of the object says. An object may
//! have several declarations; each is reported.
//!
//! * An update is rejected that removes what the pointer names, or sets it to `false`, to another word or to a
//!   reference of another kind, while the HPA is there or cannot be read. It only warns when the object has a
//!   controller of its own, which may have made the change: a FunctionMesh that owns the Function.
//! * A delete of the object warns when the HPA would stay: the HPA has no owner, or `propagationPolicy: Orphan` keeps
//!   it. An HPA that is owned goes with its owner.
//!
//! ## Overrides
//! * `autoscaler-guard/allow: declared-hpa-removed` on the object, before or in the change; then delete the HPA.
//!
//! ## Example
//! `kubectl patch vmagent main -n monitoring --type json -p '[{"op":"remove","path":"/spec/hpa"}]'`

use crate::change::{Kind, Operation};
use crate::cluster::{Presence, api};
use crate::context::Context;
use crate::facts::autoscalers::{Departing, Replacement, other_autoscaler};
use crate::facts::{scaled_object, workload};
use crate::finding::{Action, Finding};
use crate::gate::Scope;
use crate::rule::{DefaultAction, Lookup, Rule, Stage};
use crate::settings::{Declaration, Effect};
use crate::subject::{Subject, WorkloadRef};
use autoscaler_guard_reading::{Object, title};

pub(in crate::rules) static RULE: Rule = Rule {
    id: "declared-hpa-removed",
    title: "An HPA that another operator's object declared is left behind",
    default: DefaultAction::Reject,
    may_reject: true,
    since: "0.1.0",
    stage: Stage::Stable,
    scope: Scope::Judged,
    watches: &[
        (Kind::Other, &[Operation::Update, Operation::Delete]),
        (Kind::Gateway, &[Operation::Update, Operation::Delete]),
    ],
    check,
};

pub(in crate::rules) const LOOKUPS: &[Lookup] = &[
    Lookup::Get(&api::HORIZONTAL_POD_AUTOSCALER),
    Lookup::List(&api::HORIZONTAL_POD_AUTOSCALER),
    Lookup::List(&api::SCALED_OBJECT),
];

fn check(context: &Context<'_>) -> Option<Finding> {
    let declarations = context.settings.declarations.iter().filter(|known| known.concerns(context.request));
    let gone: Vec<Gone<'_>> = declarations.filter_map(|declaration| Gone::of(context, declaration)).collect();
    let first = gone.first()?;
    let old = context.change.before()?;
    let this = old.title(&first.declaration.kind);
    let parts: Vec<&str> = gone.iter().map(|gone| gone.declaration.pointer.as_str()).collect();
    let change = if context.change.after().is_none() {
        format!("deleting {this}")
    } else {
        format!("removing {} from {this}", parts.join(", "))
    };
    let hpas: Vec<String> = gone.iter().map(|gone| title("HPA", &gone.namespace, &gone.name)).collect();
    let those = hpas.join(", ");
    let rejects = gone.iter().any(|gone| gone.rejects);
    let unread: String = gone.iter().map(|gone| gone.unread.as_str()).collect();
    let what = match (&first.loses, gone.len()) {
        (Some(workload), _) => format!(
            "{change} would leave {workload} with no autoscaler: its operator deletes {those}, which it declares no more{unread}"
        ),
        (None, 1) => {
            format!("{change} would orphan {those}: it stays, still scaling, and nothing declares it any more{unread}")
        }
        (None, _) => format!(
            "{change} would orphan {those}: they stay, still scaling, and nothing declares them any more{unread}"
        ),
    };
    let action = if rejects { Action::Reject } else { Action::Warn };
    let mut finding = Finding::new(RULE.id, action, Subject::new(first.declaration.resource(), &old.metadata), what);
    finding.autoscaler = hpas.first().cloned().unwrap_or_default();
    if first.loses.is_none() {
        finding.at_stake = "the orphan";
        finding.stays = true;
    }
    finding.workloads.extend(gone.iter().filter_map(|gone| gone.loses.clone()));
    for Gone { namespace, name, .. } in gone.iter().filter(|gone| gone.loses.is_none()) {
        let hpa = Subject { resource: "hpa".into(), namespace: namespace.clone(), name: name.clone() };
        finding = finding.help("Afterwards delete what stays behind", hpa.kubectl("delete", &[]));
    }
    Some(finding)
}

/// An HPA that is declared no more.
struct Gone<'g> {
    declaration: &'g Declaration,
    namespace: String,
    name: String,
    /// The workload that loses its autoscaler, where the operator deletes the HPA.
    loses: Option<WorkloadRef>,
    rejects: bool,
    unread: String,
}

impl<'g> Gone<'g> {
    fn of(context: &Context<'_>, declaration: &'g Declaration) -> Option<Self> {
        let old = context.change.before()?;
        let (namespace, name) = declaration.hpa(old).filter(|_| declaration.is_in(old.text()))?;
        let keeps = |new: &Object<'_>| {
            declaration.is_in(new.text())
                && declaration.says_the_same(old.text(), new.text())
                && declaration.hpa(new).is_some_and(|hpa| hpa == (namespace.clone(), name.clone()))
        };
        if context.change.after().is_some_and(keeps) {
            return None;
        }
        let by_controller = old.metadata.owner_references().iter().any(|owner| owner.controller == Some(true));
        let deletes = context.change.after().is_none();
        let (loses, unread, mild) = match declaration.effect {
            Effect::Orphaned => (None, why_it_stays(context, &namespace, &name)?, false),
            Effect::Lost => {
                let (workload, unread, mild) = loses(context, &namespace, &name)?;
                (Some(workload), unread, mild)
            }
        };
        let rejects = !(deletes || by_controller || mild);
        Some(Self { declaration, namespace, name, loses, rejects, unread })
    }
}

/// The workload that is left without an autoscaler when the operator deletes the HPA, what is not known, and whether a
/// warning is enough.
fn loses(context: &Context<'_>, namespace: &str, name: &str) -> Option<(WorkloadRef, String, bool)> {
    let hpa = match scaled_object::hpa(context, namespace, name) {
        Presence::Found(hpa) if !hpa.object.metadata.is_terminating() => hpa,
        _ => return None,
    };
    let workload = hpa.workload();
    let need = workload::needs_autoscaler(&workload, context, Some(&hpa))?;
    let mild = matches!(need.soften(Action::Reject), Action::Warn);
    let target = hpa.target();
    let departing =
        Departing { object: &hpa.object, target: &target, hpa: name, scaled_object: None, at_zero: need.at_zero };
    match other_autoscaler(context, &departing) {
        Replacement::Nothing(reason) => {
            Some((workload, format!("{need}{}", Replacement::caveat(reason.as_ref())), mild))
        }
        Replacement::Scales(_) | Replacement::Takes(_) | Replacement::Asleep(_) => None,
    }
}

/// Whether the HPA is there and stays; the text says what is not known about it, as the end of a sentence.
fn why_it_stays(context: &Context<'_>, namespace: &str, name: &str) -> Option<String> {
    match context.neighbours.get(&api::HORIZONTAL_POD_AUTOSCALER, namespace, name, &["kind"]) {
        Presence::Absent => None,
        Presence::Found(hpa) => {
            let kept = context.request.operation != Operation::Delete || context.orphans_dependents();
            let stays = kept || hpa.metadata.owner_references().is_empty();
            (stays && !hpa.metadata.is_terminating()).then(String::new)
        }
        Presence::Unknown(reason) => Some(format!(" (whether it is there is not known: {reason})")),
    }
}
