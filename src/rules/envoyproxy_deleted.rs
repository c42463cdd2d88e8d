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

use super::{Default, Rule, envoyhpa_removed};
use crate::change::{Kind, Operation};
use crate::cluster::Answer;
use crate::context::Context;
use crate::gate::Passage;
use crate::kinds::envoy_gateway::{EnvoyProxySpec, Fleet, Governed, Level, Removal, Running, governed};
use crate::kinds::{Object, helm, title};
use crate::verdict::{Action, Finding, Subject};

use envoyhpa_removed::LostFleet;

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

fn check(context: &Context<'_>) -> Option<Finding> {
    let old = context.change.deleted()?;
    let spec = EnvoyProxySpec::of(old);
    let mut finding = match governed(context, old, spec) {
        Answer::Found(governed) => judge(context, old, spec, governed),
        Answer::Absent => None,
        Answer::Unknown(reason) => {
            let harmless = !spec.declares_hpa() && !spec.is_merged() && Running::look_up(context).removal() == Removal::Loses;
            let change = format!("deleting {}", old.title("EnvoyProxy"));
            (!harmless).then(|| envoyhpa_removed::unknown_fleets(&RULE, Subject::new("envoyproxy", &old.metadata), &change, &reason))
        }
    }?;
    if finding.action == Action::Reject && helm::softens_delete(context, old) {
        finding.action = Action::Warn;
    }
    Some(finding)
}

fn judge<'a>(context: &Context<'a>, old: &Object<'a>, spec: EnvoyProxySpec<'a>, governed: Governed<'a>) -> Option<Finding> {
    let subject = Subject::new("envoyproxy", &old.metadata);
    let change = format!("deleting {}", old.title("EnvoyProxy"));
    let running = Running::look_up(context);
    if running.removal() != Removal::Loses && !governed.classes.is_empty() && governed.any_gateway {
        return Some(freezes_all(subject, &change, running, &governed));
    }
    let (at_gateways, at_classes): (Vec<Fleet<'a>>, Vec<Fleet<'a>>) =
        governed.fleets.into_iter().filter(|fleet| !fleet.is_terminating).partition(|fleet| fleet.level == Level::Gateway);
    let dangling: Vec<Fleet<'a>> = at_gateways.into_iter().filter(|fleet| fleet.effective(Some(spec)).declares_hpa()).collect();
    if let Some(first) = dangling.first() {
        return Some(dangles(context, subject, &change, spec, first));
    }
    let lost: Vec<LostFleet<'a>> = at_classes.into_iter().filter_map(|fleet| LostFleet::between(fleet, Some(spec), None)).collect();
    envoyhpa_removed::judge(context, &RULE, &subject, &change, &lost)
}

/// Before 1.5 a class whose EnvoyProxy is missing stops the whole controller.
fn freezes_all(subject: Subject, change: &str, running: Running, governed: &Governed<'_>) -> Finding {
    let class = governed.classes.first().map(String::as_str).unwrap_or_default();
    let which = if running.0.is_some() { String::new() } else { " (before 1.5; which version runs is not known: set envoyGateway.version)".to_owned() };
    let what = format!("{change}, to which GatewayClass {class} refers, stops {} from managing every fleet of every class{which}", running.name());
    let move_on = format!("kubectl patch gatewayclass {class} --type merge -p '{{\"spec\":{{\"parametersRef\":{{\"name\":\"<another>\"}}}}}}'");
    let mut finding = Finding::new(&RULE, Action::Reject, subject, what).help("Point the class at another EnvoyProxy first", move_on);
    finding.at_stake = "it";
    finding
}

/// A Gateway whose own EnvoyProxy is missing is not managed any more.
fn dangles<'a>(context: &Context<'a>, subject: Subject, change: &str, spec: EnvoyProxySpec<'a>, fleet: &Fleet<'a>) -> Finding {
    let running = Running::look_up(context);
    let effective = fleet.effective(Some(spec));
    let (namespace, name) = fleet.hpa(&effective, context.settings);
    let hpa = title("HPA", &namespace, &name);
    let outcome = match running.keeps_fleet_without_proxy() {
        Some(true) => format!("{} freezes its fleet, and nothing declares {hpa} any more", running.name()),
        Some(false) => format!("{} deletes its whole fleet", running.name()),
        None => format!("Envoy Gateway deletes its whole fleet (before 1.7), or freezes it with {hpa} that nothing declares"),
    };
    let what = format!("{change}, by which {} runs, leaves that unmanaged: {outcome}", fleet.title());
    let mut finding = Finding::new(&RULE, Action::Reject, subject, what)
        .about(fleet.deployment(&effective, context.settings), hpa);
    if let Some((namespace, name)) = fleet.gateway() {
        let gateway = Subject { resource: "gateway", namespace: namespace.clone(), name: name.clone() };
        let remove = r#"--type json -p '[{"op":"remove","path":"/spec/infrastructure/parametersRef"}]'"#;
        finding = finding.help("Take the Gateway's reference away first", gateway.kubectl("patch", remove));
    }
    finding.at_stake = "it";
    finding
}
