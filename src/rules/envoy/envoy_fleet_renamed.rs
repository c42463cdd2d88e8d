//! A fleet's Deployment or HPA is renamed or patched so that they lose each other.
//!
//! ## What it protects
//! A fleet's HPA aims at the fleet's Deployment, and so does what else scales it.
//!
//! ## Why
//! Envoy Gateway aims the HPA at the Deployment's name as `envoyDeployment.name` has it; a patch that renames one of
//! the two leaves it aimed at nothing (envoyproxy/gateway issue 4894). An HPA in another namespace is never updated nor
//! deleted, an invalid one never applied, and one without Envoy Gateway's labels stays when envoyHpa is removed. Before
//! 1.5 any rename leaves the former object behind. A ScaledObject or plain HPA on a fleet without envoyHpa stays aimed
//! at the former Deployment.
//!
//! ## When it fires
//! An EnvoyProxy is created or changed, or a Gateway or GatewayClass is pointed to another, so that
//!
//! * `envoyDeployment.patch` or `envoyHpa.patch` makes the HPA's target differ from the Deployment, moves either to
//!   another namespace, makes minReplicas or maxReplicas invalid, or takes Envoy Gateway's labels from the HPA;
//! * two fleets get a Deployment of one name;
//! * a fleet with envoyHpa gets another Deployment or HPA, before 1.5 and where the version is not known; or
//! * a Deployment that a ScaledObject or plain HPA scales is renamed, merged away or made a DaemonSet.
//!
//! ## Overrides
//! * Name the Deployment by `envoyDeployment.name` instead of a patch: the HPA follows (from 1.5).
//! * Aim the ScaledObject or HPA at the new Deployment afterwards.
//! * `autoscaler-guard/allow: envoy-fleet-renamed` on the changed object, or on the fleet's Deployment; before 1.5
//!   delete what stays behind.
//!
//! ## Example
//! `kubectl patch envoyproxy fleet -n envoy-gateway-system --type merge -p
//! '{"spec":{"provider":{"kubernetes":{"envoyDeployment":{"patch":{"value":{"metadata":{"name":"edge"}}}}}}}}'`

use super::cause::version_unknown;
use crate::cluster::api;
use crate::context::Context;
use crate::facts::autoscalers::Namespace;
use crate::facts::envoy_gateway::fleet_change::{self, FleetChange};
use crate::facts::envoy_gateway::{DEPLOYMENT, Effective, EnvoyProxySpec, Fleet, HPA, Removal, label_keys};
use crate::facts::installation::Installation;
use crate::finding::{Action, Finding, Help};
use crate::gate::Scope;
use crate::rule::{DefaultAction, Lookup, Rule, Stage};
use crate::rules::fleet_finding::{self, WATCHES};
use crate::subject::{Subject, WorkloadRef};
use autoscaler_guard_reading::{Object, title};

pub(in crate::rules) static RULE: Rule = Rule {
    id: "envoy-fleet-renamed",
    title: "A rename parts this fleet from what scales it",
    default: DefaultAction::Reject,
    may_reject: true,
    since: "0.1.0",
    stage: Stage::Stable,
    scope: Scope::Judged,
    watches: WATCHES,
    check,
};

pub(in crate::rules) const LOOKUPS: &[Lookup] =
    &[Lookup::Fleets, Lookup::List(&api::HORIZONTAL_POD_AUTOSCALER), Lookup::List(&api::SCALED_OBJECT)];

fn check(context: &Context<'_>) -> Option<Finding> {
    let alone = |spec| Effective::new(Some(spec), None, None);
    if let Some((before, after)) = fleet_change::specs(context) {
        let broken = breaks(context, before.map(alone).as_ref(), &alone(after));
        if broken.is_some() {
            return broken;
        }
    }
    let changes = match fleet_change::look_up(context) {
        Ok(changes) => changes,
        Err(reason) => {
            let (before, after) = fleet_change::specs(context)?;
            let before = before?;
            let kinds = |spec: EnvoyProxySpec<'_>| (spec.is_daemon_set(), spec.merges_gateways());
            let same = alone(before).same_names(&alone(after)) && kinds(before) == kinds(after);
            return (!same).then(|| fleet_finding::unknown(context, RULE.id, PART, &reason));
        }
    };
    let broken = |change: &FleetChange<'_>| breaks(context, change.before.as_ref(), change.after.as_ref()?);
    let found = changes.iter().find_map(|change| broken(change).or_else(|| renamed(context, change)));
    found.or_else(|| changes.iter().find_map(|change| shared(context, change, &changes)))
}

/// Two fleets in one namespace that get a Deployment of one name.
fn shared(context: &Context<'_>, change: &FleetChange<'_>, changes: &[FleetChange<'_>]) -> Option<Finding> {
    let after = change.after.as_ref()?;
    let name = after.name(DEPLOYMENT)?;
    if change.before.as_ref().is_some_and(|before| before.name(DEPLOYMENT).as_ref() == Some(&name)) {
        return None;
    }
    let deployment = change.fleet.deployment(after);
    let is_other = |other: &&FleetChange<'_>| {
        !other.fleet.is(&change.fleet)
            && other.after.as_ref().is_some_and(|it| other.fleet.deployment(it) == deployment)
    };
    let other = changes.iter().find(is_other)?;
    let (one, other) = (change.fleet.title(), other.fleet.title());
    let outcome = format!("would give {one} and {other} one Deployment, \"{name}\": each overwrites the other's");
    let finding = fleet_finding::finding(context, RULE.id, Action::Reject, &outcome);
    Some(finding.help(
        "Leave the name out, or give each Gateway an EnvoyProxy of its own with another",
        Help::field("spec.provider.kubernetes.envoyDeployment.name"),
    ))
}

const PART: &str = "part Envoy fleets from what scales them";

/// What the patches break that was not broken before.
fn breaks(context: &Context<'_>, before: Option<&Effective<'_>>, after: &Effective<'_>) -> Option<Finding> {
    let broken_by = broken(context, after)?;
    if before.and_then(|before| broken(context, before)) == Some(broken_by) {
        return None;
    }
    let (what, purpose, field) = broken_by;
    Some(
        fleet_finding::finding(context, RULE.id, Action::Reject, what)
            .help(purpose, Help::field(format!("spec.provider.kubernetes.{field}"))),
    )
}

/// What the patches make of a fleet's HPA, what to do instead, and where.
fn broken(context: &Context<'_>, effective: &Effective<'_>) -> Option<(&'static str, &'static str, &'static str)> {
    if !effective.declares_hpa() {
        return None;
    }
    let patched = |part, path: &[&str]| effective.patched(part, path);
    let word = |path| patched(HPA, path).map(|value| value.word(&[]).unwrap_or_default());
    let other = |path, value: &str| word(path).is_some_and(|patched| patched != value);
    let namespace = |part| {
        let patched = patched(part, &["metadata", "namespace"]).and_then(|namespace| namespace.word(&[]));
        patched.is_some_and(|namespace| namespace != Installation::standard(context).namespace)
    };
    let count = |field: &str, default, removed| match patched(HPA, &["spec", field]) {
        Some(patched) if patched.text() == "null" => removed,
        // What is no number cannot be applied either.
        Some(patched) => patched.integer(&[]).unwrap_or(-1),
        None => effective.field(HPA, &[field]).and_then(|count| count.integer(&[])).unwrap_or(default),
    };
    let unnamed = |part| patched(part, &["metadata", "name"]).is_some_and(|name| name.word(&[]).is_none());
    let (min, max) = (count("minReplicas", 1, 1), count("maxReplicas", i64::MAX, 0));
    if effective.name(DEPLOYMENT) != effective.target_name()
        || other(&["spec", "scaleTargetRef", "kind"], "Deployment")
        || other(&["spec", "scaleTargetRef", "apiVersion"], "apps/v1")
        || patched(HPA, &["spec", "scaleTargetRef", "name"]).is_some_and(|name| name.word(&[]).is_none())
    {
        let what = "would aim the HPA of its fleets at something else than their Deployment: nothing scales them then";
        Some((what, "Name the Deployment there instead of in a patch", "envoyDeployment.name"))
    } else if namespace(HPA) || namespace(DEPLOYMENT) {
        let what = "would part its fleets' HPA and Deployment: an HPA aims into its own namespace, and Envoy Gateway deletes none in another";
        Some((what, "Leave metadata.namespace out of", "envoyHpa.patch, and of envoyDeployment.patch"))
    } else if unnamed(HPA) || unnamed(DEPLOYMENT) || min < 1 || max < 1 || max < min {
        let what = "would make the HPA of its fleets invalid: Envoy Gateway cannot apply it, so that what was there stays as it is";
        Some((what, "Set the bounds there instead of in a patch", "envoyHpa"))
    } else if label_keys().any(|key| patched(HPA, &["metadata", "labels", key]).is_some()) {
        let what = "would take Envoy Gateway's labels from its fleets' HPA: it would stay behind, still scaling, once envoyHpa is removed";
        Some((what, "Leave these labels out of", "envoyHpa.patch"))
    } else {
        None
    }
}

/// A fleet whose Deployment or HPA gets another name.
fn renamed(context: &Context<'_>, change: &FleetChange<'_>) -> Option<Finding> {
    let (fleet, before) = (&change.fleet, change.before.as_ref()?);
    let of = |effective: &Effective<'_>| fleet.deployment(effective);
    let next = change.after.as_ref().filter(|after| !after.is_daemon_set()).map(of);
    let former = of(before);
    if before.is_daemon_set() {
        return None;
    }
    if !before.declares_hpa() {
        return if next.as_ref() == Some(&former) {
            None
        } else {
            leaves_scaler(context, fleet, &former, next.as_ref())
        };
    }
    let after = change.after.as_ref().filter(|after| after.declares_hpa())?;
    let (hpa, next_hpa) = (fleet.hpa(before), fleet.hpa(after));
    let new_deployment = next.filter(|next| *next != former);
    if new_deployment.is_none() && hpa == next_hpa {
        return None;
    }
    let running = fleet.home.running;
    if running.removal() == Removal::Loses {
        return None;
    }
    let hpa_title = title("HPA", &hpa.0, &hpa.1);
    let by = if running.0.is_some() { running.name() } else { "Envoy Gateway before 1.5".to_owned() };
    let (outcome, resource, name) = if let Some(next) = new_deployment {
        let aims = format!("{by} aims its HPA at \"{}\" instead", next.name);
        (format!("would leave {former} behind with no autoscaler: {aims}"), "deployment", former.name.clone())
    } else {
        let makes = format!("{by} makes \"{}\" beside it, and neither scales then", next_hpa.1);
        (format!("would leave {hpa_title} behind: {makes}"), "hpa", hpa.1)
    };
    let left = Subject { resource: resource.into(), namespace: former.namespace.clone(), name };
    let finding = fleet_finding::finding(context, RULE.id, Action::Reject, &outcome).about(former, hpa_title);
    let finding = finding.help("Afterwards delete what stays behind", left.kubectl("delete", &[]));
    Some(if running.0.is_none() { version_unknown(finding) } else { finding })
}

/// Somebody's autoscaler on a Deployment that goes.
fn leaves_scaler(
    context: &Context<'_>,
    fleet: &Fleet<'_>,
    former: &WorkloadRef,
    next: Option<&WorkloadRef>,
) -> Option<Finding> {
    let namespace = Namespace::look_up(context, &former.namespace);
    let target = former.target();
    let scaled_object = namespace
        .scaled_objects
        .iter()
        .find(|candidate| candidate.scales(&target))
        .map(|found| ("scaledobject", &found.object));
    // What Envoy Gateway itself made is no concern of anybody's declaration.
    let hpa = || {
        namespace
            .hpas
            .iter()
            .find(|hpa| hpa.scales(&target) && !fleet.labels(&hpa.object))
            .map(|found| ("hpa", &found.object))
    };
    let (resource, object): (&'static str, &Object<'_>) = match scaled_object.or_else(hpa) {
        Some(found) => found,
        None => {
            return Some(fleet_finding::unknown(context, RULE.id, PART, &namespace.unknown?));
        }
    };
    let theirs = object.title(if resource == "hpa" { "HPA" } else { "ScaledObject" });
    let place = next.map_or_else(String::new, |next| format!(": the fleet becomes {next}"));
    let outcome = format!("would take {former} from {theirs}, which scales it{place}");
    let finding = fleet_finding::finding(context, RULE.id, Action::Reject, &outcome);
    let subject = Subject::new(resource, &object.metadata);
    let aim = match next {
        Some(next) => subject
            .kubectl("patch", &["--type", "merge", "-p"])
            .arg(format!(r#"{{"spec":{{"scaleTargetRef":{{"name":"{}"}}}}}}"#, next.name)),
        None => subject.kubectl("edit", &[]),
    };
    Some(finding.about(former.clone(), theirs).help("Afterwards aim it at what takes its place", aim))
}
