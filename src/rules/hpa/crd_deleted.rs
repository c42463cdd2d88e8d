//! A CustomResourceDefinition is deleted that autoscalers hang on.
//!
//! ## What it protects
//! All autoscalers of a cluster are not lost with one object.
//!
//! ## Why
//! Deleting the ScaledObject CRD deletes every ScaledObject, and the garbage collector every HPA of theirs, in all
//! namespaces. KEDA's chart templates its CRDs, so `helm uninstall keda` does it (kedacore/keda issues 105, 2004,
//! 4898). The EnvoyProxy CRD takes every fleet's HPA along, or freezes the fleets; so do Gateway's and GatewayClass's.
//!
//! ## When it fires
//! The CRD of ScaledObject, EnvoyProxy, Gateway or GatewayClass is deleted while there is any such object that is not
//! being deleted, or it cannot be listed; by Helm too.
//!
//! ## Overrides
//! * `autoscaler-guard/allow: crd-deleted` on the CRD: the way of a real uninstall. Deleting the objects first is no
//!   shorter, as each of them is judged by itself; when none is left, the CRD passes.
//!
//! ## Example
//! `helm uninstall keda -n keda`

use crate::change::{Kind, Operation};
use crate::cluster::{ApiKind, List, Presence, Reason, api};
use crate::command::Command;
use crate::context::Context;
use crate::finding::{Action, Finding};
use crate::gate::Scope;
use crate::rule::{DefaultAction, Lookup, Rule, Stage};
use crate::subject::Subject;

pub(in crate::rules) static RULE: Rule = Rule {
    id: "crd-deleted",
    title: "Deleting this definition deletes every autoscaler that depends on it",
    default: DefaultAction::Reject,
    may_reject: true,
    since: "0.1.0",
    stage: Stage::Stable,
    scope: Scope::Judged,
    watches: &[(Kind::CustomResourceDefinition, &[Operation::Delete])],
    check,
};

pub(in crate::rules) const LOOKUPS: &[Lookup] = &[
    Lookup::List(&api::SCALED_OBJECT),
    Lookup::List(&api::ENVOY_PROXY),
    Lookup::List(&api::GATEWAY),
    Lookup::List(&api::GATEWAY_CLASS),
];

static GUARDED: &[(&str, &ApiKind<'static>)] = &[
    ("scaledobjects.keda.sh", &api::SCALED_OBJECT),
    ("envoyproxies.gateway.envoyproxy.io", &api::ENVOY_PROXY),
    ("gateways.gateway.networking.k8s.io", &api::GATEWAY),
    ("gatewayclasses.gateway.networking.k8s.io", &api::GATEWAY_CLASS),
];

fn check(context: &Context<'_>) -> Option<Finding> {
    let old = context.change.deleted()?;
    let (_, kind) = GUARDED.iter().find(|(name, _)| old.metadata.name == *name)?;
    let query = List { kind, namespace: None, label_selector: None, fields: &["kind"] };
    let there = match context.neighbours.list(&query) {
        Presence::Found(objects) => match objects.iter().filter(|object| !object.metadata.is_terminating()).count() {
            0 => return None,
            1 => format!("the {} that there is", kind.kind),
            count => format!("every {}, {count} of them", kind.kind),
        },
        Presence::Absent | Presence::Unknown(Reason::NotServed(_)) => return None,
        Presence::Unknown(reason) => format!("every {} (how many there are is not known: {reason})", kind.kind),
    };
    let what = format!(
        "deleting CustomResourceDefinition {} deletes {there}, with the autoscalers that hang on it",
        old.metadata.name
    );
    // Not to delete them first: each of those deletes would be refused in turn.
    let first = Command::kubectl(&["get", kind.resource, "--all-namespaces"]);
    let finding = Finding::new(RULE.id, Action::Reject, Subject::new("customresourcedefinition", &old.metadata), what);
    Some(finding.help("See what goes with it", first))
}
