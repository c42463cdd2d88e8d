//! What turns a finding down: settings, an acknowledgement, Helm's uninstall, RBAC, a namespace that is going away.
//!
//! They are tried in the order of what they cost: the annotations of the request's own objects first, look-ups only when something is
//! about to be repaired or refused.

use crate::cluster::{Access, Answer, api};
use crate::context::Context;
use crate::kinds::helm;
use crate::kinds::{Metadata, Object};
use crate::rules;
use crate::settings::{RuleAction, suggestion};
use crate::verdict::{Action, Finding};

/// Lists the rules that someone acknowledges, on the object or on its workload.
pub const ALLOW: &str = "autoscaler-guard/allow";

/// Nobody is ever granted this resource by name: whoever may `bypass` it holds a wildcard, which does not count.
const NO_RULE: &str = "not-a-rule";

/// What became of a finding.
#[derive(Debug)]
pub enum Outcome {
    /// It stands.
    Stands(Finding),
    /// Someone let it pass; who or what, for the audit log.
    Passes(&'static Acknowledged, Finding),
}

/// How a finding was let through, as audit annotation `allowed-by` tells it.
#[derive(Debug, PartialEq, Eq)]
pub struct Acknowledged(pub &'static str);

static BY_ANNOTATION: Acknowledged = Acknowledged("annotation autoscaler-guard/allow on the object");
static BY_WORKLOAD: Acknowledged = Acknowledged("annotation autoscaler-guard/allow on the workload");
static BY_RBAC: Acknowledged = Acknowledged("RBAC verb bypass");

/// Applies the settings: `repair: false`, and what they say about the rule. `None`: the rule is off.
pub fn by_settings(context: &Context<'_>, mut finding: Finding) -> Option<Finding> {
    let wants = context.settings.rule_action(finding.rule.id);
    let by_default = match finding.rule.default {
        rules::Default::Warn => matches!(finding.action, Action::Warn),
        rules::Default::Repair => matches!(finding.action, Action::Repair(_)),
        rules::Default::Reject => matches!(finding.action, Action::Reject),
    };
    match wants {
        Some(RuleAction::Off) => return None,
        Some(RuleAction::Warn) => finding.action = Action::Warn,
        // A case that the rule softened, such as Helm's, stays soft.
        Some(RuleAction::Reject) if by_default => finding.action = Action::Reject,
        _ => {}
    }
    if !context.settings.repair && matches!(finding.action, Action::Repair(_)) {
        finding.action = if finding.rule.may_reject { Action::Reject } else { Action::Warn };
    }
    Some(finding)
}

/// Asks who may have acknowledged the finding.
pub fn by_acknowledgement(context: &Context<'_>, finding: Finding) -> Outcome {
    let change = context.change;
    if [&change.old, &change.new].into_iter().flatten().any(|object| acknowledges(&object.metadata, finding.rule.id)) {
        return Outcome::Passes(&BY_ANNOTATION, finding);
    }
    if matches!(finding.action, Action::Warn) {
        return Outcome::Stands(finding);
    }
    if workloads_acknowledge(context, &finding) {
        return Outcome::Passes(&BY_WORKLOAD, finding);
    }
    if matches!(finding.action, Action::Reject) && may_bypass(context, finding.rule.id) {
        return Outcome::Passes(&BY_RBAC, finding);
    }
    Outcome::Stands(finding)
}

/// Whether everything passes after all: the namespace is going away, or Helm uninstalls the release and setting `helm.readReleases` is on.
pub fn is_being_cleaned_up(context: &Context<'_>) -> bool {
    let Some(object) = context.change.object() else { return false };
    let namespace = &object.metadata.namespace;
    let terminating = !namespace.is_empty()
        && matches!(
            context.neighbours.get(&api::NAMESPACE, "", namespace, &[]),
            Answer::Found(namespace) if namespace.metadata.is_terminating()
        );
    terminating || helm::is_uninstalling(context, object)
}

/// A hint when the annotation is there but names no rule, or another one.
pub fn misspelt_acknowledgement(context: &Context<'_>) -> Option<String> {
    let named = context.change.object()?.metadata.annotation(ALLOW)?;
    let unknown = named.split(',').map(str::trim).find(|id| rules::find(id).is_none())?;
    Some(format!("Annotation {ALLOW} names \"{unknown}\", which is no rule{}", suggestion(unknown, rules::IDS)))
}

fn acknowledges(metadata: &Metadata<'_>, rule: &str) -> bool {
    metadata.annotation(ALLOW).is_some_and(|value| value.split(',').any(|id| id.trim() == rule))
}

fn workloads_acknowledge(context: &Context<'_>, finding: &Finding) -> bool {
    let acknowledged = |workload: Answer<Object<'_>>| matches!(workload, Answer::Found(found) if acknowledges(&found.metadata, finding.rule.id));
    !finding.workloads.is_empty()
        && finding.workloads.iter().all(|workload| acknowledged(workload.get(&context.neighbours)))
}

fn may_bypass(context: &Context<'_>, rule: &str) -> bool {
    let user = &context.change.user;
    let namespace = context
        .change
        .object()
        .map(|object| object.metadata.namespace.as_ref())
        .filter(|namespace| !namespace.is_empty());
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
