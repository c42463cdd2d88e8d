//! An EnvoyProxy changes so that a fleet is left without envoyHpa.
//!
//! ## What it protects
//! Envoy's fleets stay autoscaled, and no HPA is left that nothing declares.
//!
//! ## Why
//! Envoy Gateway 1.1.3 to 1.4.x leaves the HPA behind: it keeps scaling, even after the Gateway is gone, and fights
//! whatever comes next (envoyproxy/gateway issue 5357). From 1.5 on the HPA is deleted and the replica count freezes
//! where it happens to be; one from which somebody took a label of Envoy Gateway's stays.
//!
//! ## When it fires
//! An update takes envoyHpa from a fleet that the EnvoyProxy governs, through a GatewayClass or through a Gateway's own
//! reference:
//!
//! * envoyHpa, kubernetes, provider or spec is removed, or the provider type changes;
//! * `mergeType` is removed, so that the class's envoyHpa no longer reaches the Gateway; or
//! * a patch is added so that the merge fails.
//!
//! Which Envoy Gateway runs, and how, is read from its Deployment and its ConfigMap `envoy-gateway-config`, in whatever
//! namespace; settings `envoyGateway` override. When neither gives the version, both hazards are named. Before 1.5 an
//! HPA that is not there is no hazard. A change to a DaemonSet is refused where the HPA would stay behind, and warned
//! of from 1.5 on.
//!
//! ## Overrides
//! * From 1.5: declare `envoyDeployment.replicas` in the same change, or scale the fleet by a ScaledObject, or let the
//!   fleet's Deployment own its count (annotation `autoscaler-guard/autoscaling: "off"`, or `spec.replicas` applied
//!   server-side).
//! * Setting `envoyHpaRemoval: pin`: envoyHpa stays, with min = max = the declared or present count.
//! * `autoscaler-guard/allow: envoyhpa-removed` on the EnvoyProxy, or on every fleet's Deployment; before 1.5 delete
//!   the HPA afterwards.
//!
//! ## Example
//! `kubectl patch envoyproxy fleet -n envoy-gateway-system --type json -p
//! '[{"op":"remove","path":"/spec/provider/kubernetes/envoyHpa"}]'`

use super::cause::Cause;
use super::lost_fleet::{LostFleet, judge, lost_fleets};
use crate::change::{Kind, Operation};
use crate::cluster::api;
use crate::context::Context;
use crate::facts::envoy_gateway::{Effective, EnvoyProxySpec, FEW, Topology};
use crate::finding::{Action, Finding, Help};
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
    Lookup::Fleets,
    Lookup::Get(&api::HORIZONTAL_POD_AUTOSCALER),
    Lookup::List(&api::HORIZONTAL_POD_AUTOSCALER),
    Lookup::List(&api::SCALED_OBJECT),
];

const ENVOY_HPA: &[&str] = &["spec", "provider", "kubernetes", "envoyHpa"];

fn check(context: &Context<'_>) -> Option<Finding> {
    let (old, new) = context.change.update()?;
    let before = EnvoyProxySpec::of(old);
    let after = EnvoyProxySpec::of(new);
    let alone = |spec| Effective::new(Some(spec), None, None).declares_hpa();
    let loses_own = alone(before) && !alone(after);
    // Merged with another, what is declared there or here may no longer reach the fleets.
    if !loses_own && before.same_binding(after) {
        return None;
    }
    let subject = Subject::new("envoyproxy", &new.metadata);
    let this = new.title("EnvoyProxy");
    let by_merge_type = !loses_own && before.is_merged() && !after.is_merged();
    let change = match (loses_own, by_merge_type) {
        (true, _) => format!("removing envoyHpa from {this}"),
        (_, true) => format!("removing mergeType from {this}"),
        _ => format!("changing how {this} is merged"),
    };
    let cause = Cause { rule: RULE.id, subject, change, takes_count: loses_own, governing: None };
    match Topology::look_up(context).and_then(|topology| topology.governed(old, before)) {
        Ok(governed) => {
            let lost = lost_fleets(governed.fleets, Some(before), Some(after));
            let mut finding = judge(context, &cause, &lost)?;
            if by_merge_type {
                finding = finding.help("Keep it", Help::field("spec.mergeType"));
            }
            Some(pinned(context, finding, after, &lost))
        }
        Err(reason) => (loses_own || by_merge_type).then(|| cause.unknown_fleets(&reason)),
    }
}

/// Setting `envoyHpaRemoval: pin`: envoyHpa stays with min = max, where that is possible.
fn pinned<'a>(
    context: &Context<'a>,
    mut finding: Finding,
    after: EnvoyProxySpec<'a>,
    lost: &[LostFleet<'a>],
) -> Finding {
    let pins = context.settings.envoy_hpa_removal == EnvoyHpaRemoval::Pin && matches!(finding.action, Action::Reject);
    let possible = !after.is_daemon_set() && !after.is_other_provider();
    let count = after
        .replicas()
        .or_else(|| lost.iter().take(FEW).filter_map(|fleet| fleet.count(context)).max())
        .filter(|count| *count > 0);
    if let Some(count) = count.filter(|_| pins && possible) {
        let count_text = count.to_string();
        let keep =
            Json::new(context.change.before().map_or("{}", |old| old.text())).at(ENVOY_HPA).map_or("{}", Json::text);
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
