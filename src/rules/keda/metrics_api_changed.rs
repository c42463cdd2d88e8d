//! A metrics API is taken from the HPAs that scale by it.
//!
//! ## What it protects
//! HPAs do not lose their metrics all at once.
//!
//! ## Why
//! A cluster has one server for external metrics: APIService `v1beta1.external.metrics.k8s.io` says which. Another
//! adapter's manifests point it at that adapter (kedacore/keda issues 470, 2093 and 4415, kedacore/charts issue 124),
//! and every HPA that KEDA made for a trigger other than cpu and memory has no metric any more. All objects stay, and
//! nothing scales. The same goes for `custom.metrics.k8s.io` and `metrics.k8s.io`.
//!
//! ## When it fires
//! The service of such an APIService changes, or the APIService is deleted. For external metrics it is refused when the
//! service was KEDA's and is not any more, while there are ScaledObjects that are not paused and have other triggers
//! than cpu and memory, or these cannot be listed. Otherwise it warns while HPAs scale by that API. A change to KEDA's
//! service passes in silence, as does one of anything else.
//!
//! ## Overrides
//! * Pause or delete the ScaledObjects first.
//! * `autoscaler-guard/allow: metrics-api-changed` on the APIService.
//!
//! ## Example
//! `kubectl delete apiservice v1beta1.external.metrics.k8s.io`

use crate::change::{Kind, Operation};
use crate::cluster::{List, Presence, Reason, api};
use crate::command::Command;
use crate::context::Context;
use crate::facts::scaled_object::ScaledObject;
use crate::finding::{Action, Finding};
use crate::gate::Scope;
use crate::rule::{DefaultAction, Lookup, Rule, Stage};
use crate::subject::Subject;
use autoscaler_guard_reading::{Json, Object};

pub(in crate::rules) static RULE: Rule = Rule {
    id: "metrics-api-changed",
    title: "Taking this metrics API away stops every autoscaler that scales by it",
    default: DefaultAction::Reject,
    may_reject: true,
    since: "0.1.0",
    stage: Stage::Preview,
    scope: Scope::Judged,
    watches: &[(Kind::ApiService, &[Operation::Update, Operation::Delete])],
    check,
};

pub(in crate::rules) const LOOKUPS: &[Lookup] =
    &[Lookup::List(&api::HORIZONTAL_POD_AUTOSCALER), Lookup::List(&api::SCALED_OBJECT)];

/// The APIs of metrics, and by which metric types an HPA uses them.
const APIS: &[(&str, &[&str])] = &[
    ("external.metrics.k8s.io", &["External"]),
    ("custom.metrics.k8s.io", &["Pods", "Object"]),
    ("metrics.k8s.io", &["Resource", "ContainerResource"]),
];

fn check(context: &Context<'_>) -> Option<Finding> {
    let old = context.change.before()?;
    let (_, group) = old.metadata.name.split_once('.')?;
    let (_, types) = APIS.iter().find(|(api, _)| *api == group)?;
    let new = context.change.after();
    if new.is_some_and(|new| service(new) == service(old) || is_kedas(new)) {
        return None;
    }
    let (action, stops) = if group == "external.metrics.k8s.io" && is_kedas(old) {
        (Action::Reject, scaled_objects(context)?)
    } else {
        (Action::Warn, hpas(context, types)?)
    };
    let this = old.title("APIService");
    let change = match new.map(service) {
        None => format!("deleting {this}"),
        Some((namespace, name)) => format!("pointing {this} to Service {namespace}/{name}"),
    };
    let what = format!("{change} takes their metrics from {stops}: all objects stay, and nothing scales them");
    let subject = Subject::new("apiservice", &old.metadata);
    let mut finding = Finding::new(RULE.id, action, subject, what);
    finding.at_stake = "it";
    let see = Command::kubectl(&["get", "scaledobjects,hpa", "--all-namespaces"]);
    Some(finding.help("Let those scale by other metrics first, or pause them; to see them", see))
}

/// Namespace and name of the service that answers; both empty where the API server does itself.
fn service(api_service: &Object<'_>) -> (String, String) {
    let field = |name| api_service.spec().string(&["service", name]).unwrap_or_default().into_owned();
    (field("namespace"), field("name"))
}

/// KEDA's metrics server is called `keda-operator-metrics-apiserver` (kedacore/charts, kedacore/keda
/// config/metrics-server), in OpenShift `keda-metrics-apiserver`.
fn is_kedas(api_service: &Object<'_>) -> bool {
    service(api_service).1.contains("keda")
}

/// The ScaledObjects that stop.
fn scaled_objects(context: &Context<'_>) -> Option<String> {
    let fields = &["spec.triggers"];
    let query = List { kind: &api::SCALED_OBJECT, namespace: None, label_selector: None, fields };
    match context.neighbours.list(&query) {
        Presence::Found(found) => {
            let stops = |object: Object<'_>| {
                let is_external =
                    |trigger: &Json<'_>| !matches!(trigger.string(&["type"]).as_deref(), Some("cpu" | "memory"));
                let triggers = object.spec().items(&["triggers"]);
                let scales = !object.metadata.is_terminating() && !ScaledObject::new(object).is_paused();
                scales && triggers.iter().any(is_external)
            };
            counted(found.into_iter().filter(|object| stops(object.clone())).count(), "ScaledObject")
        }
        Presence::Absent | Presence::Unknown(Reason::NotServed(_)) => None,
        Presence::Unknown(reason) => Some(format!("every ScaledObject (how many is not known: {reason})")),
    }
}

/// The HPAs that use metrics of these types.
fn hpas(context: &Context<'_>, types: &[&str]) -> Option<String> {
    let fields = &["spec.metrics.type"];
    let query = List { kind: &api::HORIZONTAL_POD_AUTOSCALER, namespace: None, label_selector: None, fields };
    let uses = |hpa: &Object<'_>| {
        let is_of = |metric: &Json<'_>| metric.string(&["type"]).is_some_and(|one| types.contains(&one.as_ref()));
        !hpa.metadata.is_terminating() && hpa.spec().items(&["metrics"]).iter().any(is_of)
    };
    match context.neighbours.list(&query) {
        Presence::Found(found) => counted(found.iter().filter(|hpa| uses(hpa)).count(), "HPA"),
        Presence::Absent => None,
        Presence::Unknown(reason) => Some(format!("every HPA that scales by them (how many is not known: {reason})")),
    }
}

fn counted(count: usize, kind: &str) -> Option<String> {
    match count {
        0 => None,
        1 => Some(format!("1 {kind}")),
        _ => Some(format!("{count} {kind}s")),
    }
}
