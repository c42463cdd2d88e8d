//! An EnvoyProxy is deleted while Gateways run by it.
//!
//! ## What it protects
//! Envoy's fleets do not lose their HPAs, nor their whole infrastructure, with the object that declares them.
//!
//! ## Why
//! No finalizer holds an EnvoyProxy. Deleted at the class, the fleets fall back to defaults and lose their HPAs (1.5 and later), or the
//! whole controller stops managing every fleet of every class (before 1.5). Deleted at a Gateway, the fleet is deleted (before 1.7) or
//! freezes with an HPA that nothing declares (1.7 and later).
//!
//! ## When it fires
//! Gateways that are not being deleted resolve to the EnvoyProxy and their fleets have envoyHpa; before 1.5 also without, when a
//! GatewayClass of the controller refers to it and any Gateway is alive. Helm-managed: a warning, as `helm uninstall` deletes EnvoyProxy, Gateway and
//! GatewayClass in that order.
//!
//! ## Overrides
//! * Point the class, or the Gateway, at another EnvoyProxy first; or delete the Gateways first.
//! * At the class, from 1.5: the fleets own their count, or a ScaledObject scales them.
//! * `autoscaler-guard/allow: envoyproxy-deleted` on the EnvoyProxy, or on every fleet's Deployment.
//!
//! ## Example
//! `kubectl delete envoyproxy fleet -n envoy-gateway-system`

use super::cause::Cause;
use super::lost_fleet::{self, lost_fleets};
use super::references::{dangles, drop_reference};
use crate::change::{Kind, Operation};
use crate::cluster::api;
use crate::command::Command;
use crate::context::Context;
use crate::facts::application;
use crate::facts::envoy_gateway::{EnvoyProxySpec, Fleet, Governed, Level, Removal, Running, Topology};
use crate::finding::{Action, Finding};
use crate::gate::Scope;
use crate::rule::{DefaultAction, Lookup, Rule, Stage};
use crate::subject::Subject;

pub(in crate::rules) static RULE: Rule = Rule {
    id: "envoyproxy-deleted",
    title: "Deleting this EnvoyProxy takes the HPAs of the fleets that run by it",
    default: DefaultAction::Reject,
    may_reject: true,
    since: "0.1.0",
    stage: Stage::Stable,
    scope: Scope::Judged,
    watches: &[(Kind::EnvoyProxy, &[Operation::Delete])],
    check,
};

pub(in crate::rules) const LOOKUPS: &[Lookup] = &[
    Lookup::Get(&api::HORIZONTAL_POD_AUTOSCALER),
    Lookup::List(&api::GATEWAY),
    Lookup::List(&api::GATEWAY_CLASS),
    Lookup::List(&api::SCALED_OBJECT),
];

fn check(context: &Context<'_>) -> Option<Finding> {
    let old = context.change.deleted()?;
    let spec = EnvoyProxySpec::of(old);
    let change = format!("deleting {}", old.title("EnvoyProxy"));
    let cause = Cause { rule: RULE.id, subject: Subject::new("envoyproxy", &old.metadata), change, governing: None };
    let mut finding = match Topology::look_up(context).and_then(|topology| topology.governed(old, spec)) {
        Ok(governed) => judge(context, &cause, spec, governed),
        Err(reason) => {
            let harmless =
                !spec.declares_hpa() && !spec.is_merged() && Running::look_up(context).removal() == Removal::Loses;
            (!harmless).then(|| cause.unknown_fleets(&reason))
        }
    }?;
    if matches!(finding.action, Action::Reject)
        && application::softens_delete(context, application::Member::changed(context))
    {
        finding.action = Action::Warn;
    }
    Some(finding)
}

fn judge<'a>(
    context: &Context<'a>,
    cause: &Cause,
    spec: EnvoyProxySpec<'a>,
    governed: Governed<'a>,
) -> Option<Finding> {
    let running = Running::look_up(context);
    if let Some(class) =
        governed.classes.first().filter(|_| running.removal() != Removal::Loses && governed.any_gateway)
    {
        let move_on = Command::kubectl(&["patch", "gatewayclass"])
            .arg(class.clone())
            .arg("--type")
            .arg("merge")
            .arg("-p")
            .arg(r#"{"spec":{"parametersRef":{"name":"<another>"}}}"#);
        let how = format!(", to which GatewayClass {class} refers,");
        return Some(cause.freezes_all(running, &how).help("Point the class at another EnvoyProxy first", move_on));
    }
    let (at_gateways, at_classes): (Vec<Fleet<'a>>, Vec<Fleet<'a>>) = governed
        .fleets
        .into_iter()
        .filter(|fleet| !fleet.is_terminating)
        .partition(|fleet| fleet.level == Level::Gateway);
    let dangling: Vec<Fleet<'a>> =
        at_gateways.into_iter().filter(|fleet| fleet.effective(Some(spec)).declares_hpa()).collect();
    if let Some(first) = dangling.first() {
        let how = format!(", by which {} runs, leaves that unmanaged", first.title());
        let finding = dangles(context, cause, &how, first, &first.effective(Some(spec)));
        return Some(drop_reference(finding, first));
    }
    lost_fleet::judge(context, cause, &lost_fleets(at_classes, Some(spec), None))
}
