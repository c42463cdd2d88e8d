//! An EnvoyProxy is deleted while Gateways run by it.
//!
//! ## What it protects
//! Envoy's fleets do not lose their HPAs, nor their whole infrastructure, with the object that declares them.
//!
//! ## Why
//! No finalizer holds an EnvoyProxy. Deleted at the class, the fleets fall back to defaults and lose their HPAs, or
//! leave them behind (from 1.4.2), are deleted (1.3.3 to 1.4.1), or the whole controller stops managing every fleet of
//! every class (to 1.3.2). Deleted at a Gateway, the fleet runs by the class's EnvoyProxy (before 1.3), is deleted (1.3
//! to 1.6) or freezes with an HPA that nothing declares (1.7 and later).
//!
//! ## When it fires
//! Gateways that are not being deleted resolve to the EnvoyProxy and their fleets have envoyHpa; before 1.4.2 also
//! without, when a GatewayClass of the controller refers to it and any Gateway is alive. Helm-managed: a warning, as
//! `helm uninstall` deletes EnvoyProxy, Gateway and GatewayClass in that order.
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
use crate::facts::envoy_gateway::{
    EnvoyProxySpec, Fleet, Governed, Level, Topology, WithoutClassProxy, WithoutOwnProxy,
};
use crate::facts::installation::Installation;
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
    Lookup::Get(&api::CONFIG_MAP),
    Lookup::Get(&api::HORIZONTAL_POD_AUTOSCALER),
    Lookup::List(&api::DEPLOYMENT),
    Lookup::List(&api::GATEWAY),
    Lookup::List(&api::GATEWAY_CLASS),
    Lookup::List(&api::SCALED_OBJECT),
];

fn check(context: &Context<'_>) -> Option<Finding> {
    let old = context.change.deleted()?;
    let spec = EnvoyProxySpec::of(old);
    let change = format!("deleting {}", old.title("EnvoyProxy"));
    let cause = Cause {
        rule: RULE.id,
        subject: Subject::new("envoyproxy", &old.metadata),
        change,
        takes_count: false,
        governing: None,
    };
    let mut finding = match Topology::look_up(context).and_then(|topology| topology.governed(old, spec)) {
        Ok(governed) => judge(context, &cause, spec, governed),
        Err(reason) => {
            let defaults = || {
                let running = Installation::standard(context).running;
                running.without_class_proxy() == Some(WithoutClassProxy::Defaults)
            };
            let harmless = !spec.declares_hpa() && !spec.is_merged() && defaults();
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
    if let Some(class) = governed.classes.first().filter(|_| governed.any_gateway) {
        let name = class.object.metadata.name.as_ref();
        let running = class.installation(context).running;
        let has_fleets = governed.fleets.iter().any(|fleet| fleet.level == Level::Class && !fleet.is_terminating);
        let concerns = running.without_class_proxy() != Some(WithoutClassProxy::DeletesFleets) || has_fleets;
        let how = format!(", to which GatewayClass {name} refers,");
        if let Some(finding) = cause.without_class_proxy(running, &how).filter(|_| concerns) {
            let move_on = Command::kubectl(&["patch", "gatewayclass"])
                .arg(name.to_owned())
                .arg("--type")
                .arg("merge")
                .arg("-p")
                .arg(r#"{"spec":{"parametersRef":{"name":"<another>"}}}"#);
            return Some(finding.help("Point the class at another EnvoyProxy first", move_on));
        }
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
        if first.home.running.without_own_proxy() != Some(WithoutOwnProxy::FallsBack) {
            let finding = dangles(cause, &how, first, &first.effective(Some(spec)));
            // Without the reference it runs by the class's, which has to declare envoyHpa then.
            return Some(if first.effective(None).declares_hpa() { drop_reference(finding, first) } else { finding });
        }
        let lost = lost_fleets(dangling, Some(spec), None);
        if let Some(finding) = lost_fleet::judge(context, cause, &lost) {
            return Some(finding);
        }
    }
    lost_fleet::judge(context, cause, &lost_fleets(at_classes, Some(spec), None))
}
