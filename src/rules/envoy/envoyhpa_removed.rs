//! An EnvoyProxy changes so that a fleet is left without envoyHpa.
//!
//! ## What it protects
//! Envoy's fleets stay autoscaled, and no HPA is left that nothing declares.
//!
//! ## Why
//! Envoy Gateway 1.1.3 to 1.4.x leaves the HPA behind: it keeps scaling, even after the Gateway is gone, and fights whatever comes next
//! (envoyproxy/gateway issue 5357). From 1.5 on the HPA is deleted and the replica count freezes where it happens to be.
//!
//! ## When it fires
//! An update takes envoyHpa from a fleet that the EnvoyProxy governs, through a GatewayClass or through a Gateway's own reference: envoyHpa,
//! kubernetes, provider or spec removed, provider type changed, `mergeType` removed so that the class's envoyHpa no longer reaches the
//! Gateway. Which Envoy Gateway runs comes from setting `envoyGateway.version`, else from the image of its Deployment; when neither tells,
//! both hazards are named. To a DaemonSet it is refused where the HPA would stay behind, and warned of from 1.5 on.
//!
//! ## Overrides
//! * From 1.5: declare `envoyDeployment.replicas` in the same change, or scale the fleet by a ScaledObject, or let the fleet's Deployment
//!   own its count (annotation `autoscaler-guard/autoscaling: "off"`, or `spec.replicas` applied server-side).
//! * Setting `envoyHpaRemoval: pin`: envoyHpa stays, with min = max = the declared or present count.
//! * `autoscaler-guard/allow: envoyhpa-removed` on the EnvoyProxy, or on every fleet's Deployment; before 1.5 delete the HPA afterwards.
//!
//! ## Example
//! `kubectl patch envoyproxy fleet -n envoy-gateway-system --type json -p '[{"op":"remove","path":"/spec/provider/kubernetes/envoyHpa"}]'`

use super::cause::Cause;
use super::lost_fleet::{LostFleet, judge, lost_fleets};
use crate::change::{Kind, Operation};
use crate::cluster::api;
use crate::context::Context;
use crate::facts::envoy_gateway::{EnvoyProxySpec, Topology};
use crate::finding::{Action, Finding};
use crate::gate::Scope;
use crate::repair::Edit;
use crate::rule::{DefaultAction, Lookup, Rule, Stage};
use crate::settings::EnvoyHpaRemoval;
use crate::subject::Subject;
use autoscaler_guard_reading::{Json, put, quoted};

pub(in crate::rules) static RULE: Rule = Rule {
    id: "envoyhpa-removed",
    title: "Removing envoyHpa loses the fleet's HPA, or leaves it behind",
    default: DefaultAction::Reject,
    may_reject: true,
    since: "0.1.0",
    stage: Stage::Stable,
    scope: Scope::Judged,
    watches: &[(Kind::EnvoyProxy, &[Operation::Update])],
    check,
};

pub(in crate::rules) const LOOKUPS: &[Lookup] = &[
    Lookup::Get(&api::ENVOY_PROXY),
    Lookup::Get(&api::HORIZONTAL_POD_AUTOSCALER),
    Lookup::List(&api::GATEWAY),
    Lookup::List(&api::GATEWAY_CLASS),
    Lookup::List(&api::SCALED_OBJECT),
];

const ENVOY_HPA: &[&str] = &["spec", "provider", "kubernetes", "envoyHpa"];

fn check(context: &Context<'_>) -> Option<Finding> {
    let (old, new) = context.change.update()?;
    let before = EnvoyProxySpec::of(old);
    let after = EnvoyProxySpec::of(new);
    let loses_own = before.declares_hpa() && !after.declares_hpa();
    let loses_merged = before.is_merged() && !after.is_merged() && !after.declares_hpa();
    if !loses_own && !loses_merged {
        return None;
    }
    let subject = Subject::new("envoyproxy", &new.metadata);
    let change = format!("removing envoyHpa from {}", new.title("EnvoyProxy"));
    let cause = Cause { rule: RULE.id, subject, change, governing: None };
    match Topology::look_up(context).and_then(|topology| topology.governed(old, before)) {
        Ok(governed) => {
            let lost = lost_fleets(governed.fleets, Some(before), Some(after));
            Some(pinned(context, judge(context, &cause, &lost)?, after, &lost))
        }
        Err(reason) => Some(cause.unknown_fleets(&reason)),
    }
}

/// Setting `envoyHpaRemoval: pin`: envoyHpa stays with min = max, where that is possible.
fn pinned(context: &Context<'_>, mut finding: Finding, after: EnvoyProxySpec<'_>, lost: &[LostFleet<'_>]) -> Finding {
    let pins = context.settings.envoy_hpa_removal == EnvoyHpaRemoval::Pin && matches!(finding.action, Action::Reject);
    let possible = !after.is_daemon_set() && !after.is_other_provider();
    let count = after
        .replicas()
        .or_else(|| lost.iter().filter_map(|fleet| fleet.count(context)).max())
        .filter(|count| *count > 0);
    if let Some(count) = count.filter(|_| pins && possible) {
        let count_text = count.to_string();
        let keep =
            Json::new(context.change.old().map_or("{}", |old| old.text())).at(ENVOY_HPA).map_or("{}", Json::text);
        let fields = [("minReplicas", &count_text), ("maxReplicas", &count_text)];
        let hpa = fields.iter().fold(keep.to_owned(), |hpa, (field, value)| put(&hpa, &[field], value));
        finding.action = Action::Repair(vec![
            Edit::Set { path: &["spec", "provider", "type"], value: quoted("Kubernetes") },
            Edit::Set { path: ENVOY_HPA, value: hpa },
        ]);
        let this = context.change.object().title("EnvoyProxy");
        finding.repaired =
            format!("envoyHpa of {this} was pinned to minReplicas = maxReplicas = {count} instead of removed");
    }
    finding
}
