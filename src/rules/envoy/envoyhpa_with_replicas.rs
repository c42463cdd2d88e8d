//! An EnvoyProxy declares envoyHpa and a replica count at once.
//!
//! ## What it protects
//! A fleet has one who writes its count.
//!
//! ## Why
//! Envoy Gateway 1.3 to 1.8 forces `envoyDeployment.replicas` on the fleet whenever any Gateway or EnvoyProxy changes,
//! and the HPA puts its own count back: the count flaps (envoyproxy/gateway issues 2807 and 5751). At 0 it stays, as no
//! HPA scales from 0. Other versions leave `replicas` out beside envoyHpa; but a count that `envoyDeployment.patch`
//! sets is forced by every version.
//!
//! ## When it fires
//! An EnvoyProxy is created or changed and declares both, itself or together with the class's by which it is merged; or
//! a Gateway or GatewayClass is pointed to such an EnvoyProxy.
//!
//! * `replicas` that is new in the change is dropped.
//! * It warns of `replicas` that was there before, as dropping it restarts the fleet at 1 replica
//!   (envoyhpa-over-replicas), of a count in a patch, of one that comes of merging, and of any while the version is not
//!   known.
//!
//! A count that equals both bounds of envoyHpa does not flap.
//!
//! ## Overrides
//! * Declare the bounds in envoyHpa alone: minReplicas keeps the fleet from falling below a count.
//! * `autoscaler-guard/allow: envoyhpa-with-replicas` on the EnvoyProxy.
//!
//! ## Example
//! `kubectl patch envoyproxy fleet -n envoy-gateway-system --type merge -p
//! '{"spec":{"provider":{"kubernetes":{"envoyDeployment":{"replicas":3}}}}}'`, where it declares envoyHpa.

use super::cause::version_unknown;
use crate::context::Context;
use crate::facts::envoy_gateway::{Effective, HPA, Running, fleet_change};
use crate::facts::installation::Installation;
use crate::finding::{Action, Finding, Help};
use crate::gate::Scope;
use crate::repair::Edit;
use crate::rule::{DefaultAction, Lookup, Rule, Stage};
use crate::rules::fleet_finding::{self, WATCHES};

pub(in crate::rules) static RULE: Rule = Rule {
    id: "envoyhpa-with-replicas",
    title: "Envoy Gateway and the HPA fight over this fleet's replica count",
    default: DefaultAction::Repair,
    may_reject: true,
    since: "0.1.0",
    stage: Stage::Stable,
    scope: Scope::Judged,
    watches: WATCHES,
    check,
};

pub(in crate::rules) const LOOKUPS: &[Lookup] = &[Lookup::Fleets];

const REPLICAS: &[&str] = &["spec", "provider", "kubernetes", "envoyDeployment", "replicas"];

fn check(context: &Context<'_>) -> Option<Finding> {
    if let Some((before, after)) = fleet_change::specs(context) {
        let alone = Effective::new(Some(after), None, None);
        let is_new = before.is_none_or(|before| before.replicas().is_none());
        if both(&alone) {
            let running = Installation::standard(context).running;
            return finding(context, running, &alone, is_new && alone.patched_replicas().is_none());
        }
        // What it takes from a class, or gives to Gateways, has to be merged.
        if !after.declares_hpa() && after.replicas().is_none() && !after.is_merged() {
            return None;
        }
    }
    // Which fleets run by what, the rules that refuse report.
    let changes = fleet_change::look_up(context).ok()?;
    let comes = |before: &Option<Effective<'_>>| !before.as_ref().is_some_and(both);
    let mut come = changes.iter().filter(|change| comes(&change.before));
    let (running, merged) = come.find_map(|change| Some((change.fleet.home.running, change.after.filter(both)?)))?;
    finding(context, running, &merged, false)
}

/// Whether a count is declared beside envoyHpa; one that its bounds pin does not flap.
fn both(effective: &Effective<'_>) -> bool {
    let count = effective.patched_replicas().or_else(|| effective.replicas());
    let bound = |field| effective.field(HPA, &[field]).and_then(|bound| bound.integer(&[]));
    let is_pinned = count == bound("minReplicas") && count == bound("maxReplicas");
    effective.declares_hpa() && count.is_some() && !is_pinned
}

fn finding(context: &Context<'_>, running: Running, effective: &Effective<'_>, repairs: bool) -> Option<Finding> {
    let patched = effective.patched_replicas();
    let writes = effective.writes_count(running);
    if writes == Some(false) {
        return None;
    }
    let count = patched.or_else(|| effective.replicas())?;
    let field = if patched.is_some() { "patch" } else { "replicas" };
    let since = if writes.is_none() { " (1.3 to 1.8)" } else { "" };
    let why = format!("{}{since} sets the count to {count} (envoyDeployment.{field}) at every change", running.name());
    let outcome = if count == 0 {
        format!("keeps its fleets at 0: {why}, and no HPA scales from there")
    } else {
        format!("lets its fleets' count flap: {why}, and envoyHpa's HPA to its own")
    };
    let action =
        if repairs && writes == Some(true) { Action::Repair(vec![Edit::Remove(REPLICAS)]) } else { Action::Warn };
    let mut finding = fleet_finding::finding(context, RULE.id, action, &outcome).help(
        "Declare the bounds in envoyHpa alone",
        Help::text("minReplicas keeps the fleets from falling below a count"),
    );
    finding.repaired = format!("replicas was dropped, as envoyHpa scales the fleets: {why}");
    if !repairs && patched.is_none() && count > 1 {
        let first =
            "Dropping replicas restarts the fleets at 1: first apply the present count as another field manager";
        finding.notes.push(first.to_owned());
    }
    Some(if writes.is_none() { version_unknown(finding) } else { finding })
}
