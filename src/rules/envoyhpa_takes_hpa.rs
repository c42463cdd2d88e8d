//! Envoy Gateway would take an HPA that is not its own, by name or by labels.
//!
//! ## What it protects
//! An HPA has one owner who writes it, and goes only when its own declaration does.
//!
//! ## Why
//! Envoy Gateway applies the HPA of a fleet by its name, generated or `envoyHpa.name`, and with force: an HPA of that name that scales another
//! workload is overwritten, and that workload left with none. From 1.5 on it deletes its HPAs by their labels: any other HPA that carries all
//! of them goes with the next change of envoyHpa, one of KEDA's too, as KEDA copies a ScaledObject's labels to its HPA.
//!
//! ## When it fires
//! An EnvoyProxy, Gateway or GatewayClass is created or changed, a fleet gets an HPA, or one of another name, and that name is an HPA that
//! scales another workload, that a ScaledObject owns, or that another fleet gets, too; or an HPA with the fleet's labels scales another
//! workload and would go. And an HPA or ScaledObject is created with, or gets, all of Envoy Gateway's labels, where Envoy Gateway keeps its
//! HPAs, unless Envoy Gateway 1.4 or older runs. What the cluster does not tell is warned of.
//!
//! ## Ways through
//! * Give the HPA a free name (`envoyHpa.name`, from 1.5), or leave Envoy Gateway's labels out.
//! * `autoscaler-guard/allow: envoyhpa-takes-hpa` on the changed object, or on the workload whose HPA is taken.
//!
//! ## Example
//! `kubectl patch envoyproxy fleet -n envoy-gateway-system --type merge -p '{"spec":{"provider":{"kubernetes":{"envoyHpa":{"name":"web"}}}}}'`,
//! where HPA `web` scales Deployment `web`.

use super::{Default, Rule};
use crate::change::{Kind, Operation};
use crate::context::Context;
use crate::gate::Passage;
use crate::kinds::autoscalers::hpas;
use crate::kinds::envoy_gateway::{Effective, Fleet, Running, has_gateway_owner, has_own_labels};
use crate::kinds::fleet_changes::{self, FleetChange};
use crate::kinds::horizontal_pod_autoscaler::{HorizontalPodAutoscaler, scaled_object_owners};
use crate::kinds::workload::WorkloadRef;
use crate::kinds::{Owner, title};
use crate::verdict::{Action, Finding, Subject};

pub(super) static RULE: Rule = Rule {
    id: "envoyhpa-takes-hpa",
    title: "Envoy Gateway does not take another workload's HPA",
    default: Default::Reject,
    may_reject: true,
    since: "0.1.0",
    concerns: Passage::Judged,
    watches: &[
        (Kind::EnvoyProxy, &[Operation::Create, Operation::Update]),
        (Kind::Gateway, &[Operation::Create, Operation::Update]),
        (Kind::GatewayClass, &[Operation::Create, Operation::Update]),
        (Kind::HorizontalPodAutoscaler, &[Operation::Create, Operation::Update]),
        (Kind::ScaledObject, &[Operation::Create, Operation::Update]),
    ],
    check,
};

pub(super) const LOOK_UPS: &[super::LookUp] = &[];

fn check(context: &Context<'_>) -> Option<Finding> {
    let (subject, change) = fleet_changes::subject(context);
    if matches!(context.change.kind, Kind::HorizontalPodAutoscaler | Kind::ScaledObject) {
        return labelled(context, subject, &change);
    }
    let new = |action, outcome: String| Finding::new(&RULE, action, subject.clone(), format!("{change} {outcome}"));
    let changes = match fleet_changes::look_up(context) {
        Ok(changes) => changes,
        Err(reason) => {
            let may = fleet_changes::may_declare_hpa(context);
            return may.then(|| new(Action::Warn, format!("may overwrite another HPA: which fleets run by what is not known ({reason})")));
        }
    };
    let mut unknown = None;
    let mut named: Vec<(&Fleet<'_>, (String, String))> = Vec::new();
    for FleetChange { fleet, before, after } in &changes {
        let hpa = |effective: &Option<Effective<'_>>| {
            effective.as_ref().filter(|effective| effective.declares_hpa()).map(|effective| fleet.hpa(effective, context.settings))
        };
        let (former, next) = (hpa(before), hpa(after));
        if let Some(next) = &next {
            if let Some((other, _)) = named.iter().find(|(_, name)| name == next) {
                let (one, other) = (fleet.title(), other.title());
                let outcome = format!("would give {other} and {one} one HPA, \"{}\": each overwrites the other's", next.1);
                return Some(free_name(new(Action::Reject, outcome)));
            }
            named.push((fleet, next.clone()));
        }
        if former == next {
            continue;
        }
        let deployment = after.as_ref().or(before.as_ref()).map(|effective| fleet.deployment(effective, context.settings))?;
        for hpa in &hpas(context, &deployment.namespace, &mut unknown) {
            let Some(fate) = fate(fleet, next.as_ref(), former.as_ref(), &deployment, hpa) else { continue };
            let workload = WorkloadRef::new(&hpa.target(), &deployment.namespace);
            let theirs = hpa.object.title("HPA");
            let whose = match scaled_object_owners(&hpa.object).next() {
                Some(owner) => format!("which {} owns", owner.title(&deployment.namespace)),
                None => format!("which scales {workload}: that would be left with no autoscaler"),
            };
            let finding = new(Action::Reject, format!("would {fate} {theirs}, {whose}")).about(workload, theirs);
            if fate == DELETE {
                let unlabel = Subject::new("hpa", &hpa.object.metadata).kubectl("label", "app.kubernetes.io/managed-by-");
                return Some(finding.help("Take Envoy Gateway's label from it first", unlabel));
            }
            return Some(free_name(finding));
        }
    }
    unknown.map(|reason| new(Action::Warn, format!("may overwrite another HPA: which there are is not known ({reason})")))
}

const DELETE: &str = "delete";

fn free_name(finding: Finding) -> Finding {
    finding.help("Give the fleet's HPA a free name (from 1.5)", "spec.provider.kubernetes.envoyHpa.name".to_owned())
}

/// What becomes of somebody's HPA when a fleet gets an HPA of another name, or none.
fn fate(
    fleet: &Fleet<'_>,
    next: Option<&(String, String)>,
    former: Option<&(String, String)>,
    deployment: &WorkloadRef,
    hpa: &HorizontalPodAutoscaler<'_>,
) -> Option<&'static str> {
    let is = |name: Option<&(String, String)>| name.is_some_and(|(_, name)| *name == hpa.object.metadata.name);
    let labelled = fleet.labels(&hpa.object);
    let elsewhere = !hpa.target().same_workload(&deployment.target());
    if is(next) {
        let owned = scaled_object_owners(&hpa.object).next().is_some();
        return (owned || elsewhere && !labelled).then_some("overwrite");
    }
    let foreign = !is(former) && !has_gateway_owner(&hpa.object);
    (labelled && elsewhere && foreign && has_own_labels(&hpa.object)).then_some(DELETE)
}

/// An HPA or ScaledObject that gets Envoy Gateway's labels.
fn labelled(context: &Context<'_>, subject: Subject, change: &str) -> Option<Finding> {
    let new = context.change.new.as_ref().filter(|new| has_own_labels(new))?;
    let fleet = Fleet::labelled(new)?;
    // Envoy Gateway's own may be put back from a backup.
    let own = has_gateway_owner(new) || new.metadata.name == fleet.generated_name(context.settings);
    if context.change.old.as_ref().is_some_and(has_own_labels) || own || fleet.namespace(context.settings) != new.metadata.namespace {
        return None;
    }
    let running = Running::look_up(context);
    let by = match running.deletes_by_labels() {
        Some(false) => return None,
        Some(true) => running.name(),
        None => "Envoy Gateway (from 1.5)".to_owned(),
    };
    let its = if context.change.kind == Kind::ScaledObject { "its HPA" } else { "it" };
    let what = format!("{change} would let {by} delete {its}: by all its labels it is one of the HPAs of {}", fleet.title());
    let workload = WorkloadRef::new(&context.change.target(new), &new.metadata.namespace);
    let autoscaler = title(context.change.kind.name(), &new.metadata.namespace, &new.metadata.name);
    let finding = Finding::new(&RULE, Action::Reject, subject, what).about(workload, autoscaler);
    Some(finding.help("Leave this label out", "app.kubernetes.io/managed-by: envoy-gateway".to_owned()))
}
