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
//! ## Ways through
//! * Point the class, or the Gateway, at another EnvoyProxy first; or delete the Gateways first.
//! * At the class, from 1.5: the fleets own their count, or a ScaledObject scales them.
//! * `autoscaler-guard/allow: envoyproxy-deleted` on the EnvoyProxy, or on every fleet's Deployment.
//!
//! ## Example
//! `kubectl delete envoyproxy fleet -n envoy-gateway-system`

use super::{Default, LookUp, Rule, envoyhpa_removed};
use crate::change::{Kind, Operation};
use crate::cluster::api;
use crate::context::Context;
use crate::gate::Passage;
use crate::kinds::envoy_gateway::{Effective, EnvoyProxySpec, Estate, Fleet, Governed, Level, Removal, Running};
use crate::kinds::{helm, title};
use crate::verdict::{Action, Finding, Subject};

use envoyhpa_removed::{Cause, lost_fleets};

pub(super) static RULE: Rule = Rule {
    id: "envoyproxy-deleted",
    title: "An EnvoyProxy is not deleted under the Gateways that run by it",
    default: Default::Reject,
    may_reject: true,
    since: "0.1.0",
    concerns: Passage::Judged,
    watches: &[(Kind::EnvoyProxy, &[Operation::Delete])],
    check,
};

pub(super) const LOOK_UPS: &[LookUp] = &[
    LookUp::Get(&api::HORIZONTAL_POD_AUTOSCALER),
    LookUp::List(&api::GATEWAY),
    LookUp::List(&api::GATEWAY_CLASS),
    LookUp::List(&api::SCALED_OBJECT),
];

fn check(context: &Context<'_>) -> Option<Finding> {
    let old = context.change.deleted()?;
    let spec = EnvoyProxySpec::of(old);
    let change = format!("deleting {}", old.title("EnvoyProxy"));
    let cause = Cause { rule: &RULE, subject: Subject::new("envoyproxy", &old.metadata), change, governing: None };
    let mut finding = match Estate::look_up(context).and_then(|estate| estate.governed(old, spec)) {
        Ok(governed) => judge(context, &cause, spec, governed),
        Err(reason) => {
            let harmless =
                !spec.declares_hpa() && !spec.is_merged() && Running::look_up(context).removal() == Removal::Loses;
            (!harmless).then(|| cause.unknown_fleets(&reason))
        }
    }?;
    if matches!(finding.action, Action::Reject) && helm::softens_delete(context, old) {
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
        let move_on = format!(
            "kubectl patch gatewayclass {class} --type merge -p '{{\"spec\":{{\"parametersRef\":{{\"name\":\"<another>\"}}}}}}'"
        );
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
    envoyhpa_removed::judge(context, cause, &lost_fleets(at_classes, Some(spec), None))
}

/// A Gateway whose own EnvoyProxy is missing is not managed any more; `how` it comes to that follows the change.
pub(super) fn dangles<'a>(
    context: &Context<'a>,
    cause: &Cause,
    how: &str,
    fleet: &Fleet<'a>,
    effective: &Effective<'a>,
) -> Finding {
    let running = Running::look_up(context);
    let (namespace, name) = fleet.hpa(effective, context.settings);
    let hpa = title("HPA", &namespace, &name);
    let outcome = match running.keeps_fleet_without_proxy() {
        Some(true) => format!("{how}: {} freezes its fleet, and nothing declares {hpa} any more", running.name()),
        Some(false) => format!("{how}: {} deletes its whole fleet", running.name()),
        None => format!(
            "{how}: Envoy Gateway deletes its whole fleet (before 1.7), or freezes it with {hpa} that nothing declares"
        ),
    };
    let mut finding = cause.finding(Action::Reject, &outcome).about(fleet.deployment(effective, context.settings), hpa);
    finding.at_stake = "it";
    finding
}

/// Adds the command that takes a Gateway's reference to its own EnvoyProxy away.
pub(super) fn drop_reference(finding: Finding, fleet: &Fleet<'_>) -> Finding {
    let Some((namespace, name)) = fleet.gateway() else { return finding };
    let gateway = Subject { resource: "gateway".into(), namespace: namespace.clone(), name: name.clone() };
    let remove = r#"--type json -p '[{"op":"remove","path":"/spec/infrastructure/parametersRef"}]'"#;
    finding.help("Take the Gateway's reference away first", gateway.kubectl("patch", remove))
}
