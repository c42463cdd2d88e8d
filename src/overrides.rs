//! Overrides: what lets a finding pass or softens it. Settings, an acknowledgement, Helm's uninstall, RBAC, a namespace
//! that is being deleted.
//!
//! They are tried in the order of what they cost: the annotations of the request's own objects first, lookups only when
//! something is about to be repaired or refused.

use std::borrow::Cow;

use crate::change::{Change, Kind};
use crate::cluster::{Access, Presence, api};
use crate::context::Context;
use crate::facts::envoy_gateway::has_fleet_labels;
use crate::facts::owner::Owner;
use crate::facts::{application, hpa};
use crate::finding::{Action, Finding, Help};
use crate::plain::plain;
use crate::rule::DefaultAction;
use crate::rules;
use crate::settings::{RuleAction, suggestion};
use autoscaler_guard_reading::{Metadata, Object};

/// Lists the rules that someone acknowledges, on the object or on its workload.
pub const ALLOW: &str = "autoscaler-guard/allow";

/// Nobody is ever granted this resource by name: whoever may `bypass` it holds a wildcard, which does not count.
const NO_RULE: &str = "not-a-rule";

/// What became of a finding.
#[derive(Debug)]
pub enum Ruling {
    /// It stands.
    Stands(Finding),
    /// An override lets it pass; which, for the audit log.
    Passes(&'static str, Finding),
}

const BY_ANNOTATION: &str = "annotation autoscaler-guard/allow on the object";
const BY_WORKLOAD: &str = "annotation autoscaler-guard/allow on the workload";
const BY_RBAC: &str = "RBAC verb bypass";

/// Applies the settings: `repair: false`, `maxAction`, and what they say about the rule. `None`: the rule is off.
pub fn by_settings(context: &Context<'_>, mut finding: Finding) -> Option<Finding> {
    let wants = context.settings.rule_action(finding.rule);
    let rule = rules::find(finding.rule)?;
    let by_default = match rule.default {
        DefaultAction::Warn => matches!(finding.action, Action::Warn),
        DefaultAction::Repair => matches!(finding.action, Action::Repair(_)),
        DefaultAction::Reject => matches!(finding.action, Action::Reject),
    };
    match wants {
        Some(RuleAction::Off) => return None,
        Some(RuleAction::Warn) => finding.action = Action::Warn,
        // A case that the rule softened, such as Helm's, stays soft.
        Some(RuleAction::Reject) if by_default => finding.action = Action::Reject,
        _ => {}
    }
    if !context.settings.repair && matches!(finding.action, Action::Repair(_)) {
        finding.action = if rule.may_reject { Action::Reject } else { Action::Warn };
    }
    let softened = context.settings.only_warns || application::is_dry_run_of_flux(context);
    if softened && matches!(finding.action, Action::Reject) {
        finding.action = Action::Warn;
    }
    Some(finding)
}

/// Whoever controls an object through a live controller reference may do with it what it likes, and makes it anew when
/// it wants it: what happens to such an object is warned of, not refused. ScaledObjects are KEDA's and the HPAs of
/// Envoy's fleets Envoy Gateway's to control; their rules know them.
pub fn by_controller(context: &Context<'_>, mut finding: Finding) -> Finding {
    if matches!(finding.action, Action::Reject) && has_live_controller(context) {
        finding.action = Action::Warn;
    }
    finding
}

fn has_live_controller(context: &Context<'_>) -> bool {
    // Its old controllers: nobody softens a change by naming one in it.
    let object = context.change.before().unwrap_or(context.change.object());
    let is_autoscaler = matches!(context.request.kind, Kind::HorizontalPodAutoscaler | Kind::ScaledObject);
    let controller = hpa::other_controller(object).filter(|_| is_autoscaler && !has_fleet_labels(object));
    controller.is_some_and(|owner| !owner.look_up(context, &object.metadata.namespace).is_absent())
}

/// Asks who may have acknowledged the finding.
pub fn by_acknowledgement(context: &Context<'_>, finding: Finding) -> Ruling {
    let change = context.change;
    if [change.before(), change.after()]
        .into_iter()
        .flatten()
        .any(|object| acknowledges(&object.metadata, finding.rule))
    {
        return Ruling::Passes(BY_ANNOTATION, finding);
    }
    if matches!(finding.action, Action::Warn) {
        return Ruling::Stands(finding);
    }
    if workloads_acknowledge(context, &finding) {
        return Ruling::Passes(BY_WORKLOAD, finding);
    }
    if matches!(finding.action, Action::Reject) && may_bypass(context, finding.rule) {
        return Ruling::Passes(BY_RBAC, finding);
    }
    Ruling::Stands(finding)
}

/// Whether everything passes after all: the namespace is being deleted, or Helm uninstalls the release and setting
/// `helm.readReleases` is on.
pub fn is_being_cleaned_up(context: &Context<'_>) -> bool {
    let object = context.change.object();
    let namespace = &object.metadata.namespace;
    let terminating = !namespace.is_empty()
        && matches!(
            context.neighbours.get(&api::NAMESPACE, "", namespace, &[]),
            Presence::Found(namespace) if namespace.metadata.is_terminating()
        );
    terminating || application::helm::is_uninstalling(context, object)
}

/// How to acknowledge a finding of that rule, and with it all that `rejected` names: one annotation says all, those
/// already there too. In a manifest while the object is not there yet, as nobody can annotate it.
pub fn acknowledgement(context: &Context<'_>, finding: &Finding, rejected: &[&str]) -> Help {
    let stored = context.change.before().or_else(|| context.change.after()).map(|object| &object.metadata);
    let value = stored.and_then(|metadata| metadata.annotation(ALLOW));
    let known = value.iter().flat_map(|value| value.split(',')).filter_map(|id| rules::find(id.trim()));
    let mut ids: Vec<&str> = Vec::new();
    for id in known.map(|rule| rule.id).chain(rejected.iter().copied()).chain([finding.rule]) {
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    let ids = ids.join(",");
    let command = finding.annotate.kubectl("annotate", &[]).arg(format!("{ALLOW}={ids}"));
    if matches!(context.change, Change::Create(_)) || !command.is_plain() {
        return Help::Manifest { path: Cow::Borrowed(r#"metadata.annotations."autoscaler-guard/allow""#), value: ids };
    }
    if value.is_some() { command.arg("--overwrite").into() } else { command.into() }
}

/// A hint when the annotation is there but names no rule, or another one.
pub fn misspelt_acknowledgement(context: &Context<'_>) -> Option<String> {
    let named = context.change.object().metadata.annotation(ALLOW)?;
    let unknown = named.split(',').map(str::trim).find(|id| rules::find(id).is_none())?;
    let suggestion = suggestion(unknown, rules::IDS);
    Some(plain(&format!("Annotation {ALLOW} names \"{unknown}\", which is no rule{suggestion}")))
}

fn acknowledges(metadata: &Metadata<'_>, rule: &str) -> bool {
    metadata.annotation(ALLOW).is_some_and(|value| value.split(',').any(|id| id.trim() == rule))
}

fn workloads_acknowledge(context: &Context<'_>, finding: &Finding) -> bool {
    let acknowledged = |workload: Presence<Object<'_>>| matches!(workload, Presence::Found(found) if acknowledges(&found.metadata, finding.rule));
    !finding.workloads.is_empty()
        && finding.workloads.iter().all(|workload| acknowledged(workload.get(&context.neighbours)))
}

fn may_bypass(context: &Context<'_>, rule: &str) -> bool {
    let user = &context.request.user;
    let namespace = Some(context.change.object().metadata.namespace.as_ref()).filter(|namespace| !namespace.is_empty());
    let may = |resource| {
        let groups = user.groups.iter().map(AsRef::as_ref).collect();
        context.neighbours.is_granted(&Access {
            user: &user.username,
            groups,
            verb: "bypass",
            group: "autoscaler-guard",
            resource,
            namespace,
        })
    };
    !user.username.is_empty() && may(rule) && !may(NO_RULE)
}
