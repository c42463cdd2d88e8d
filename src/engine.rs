//! Judging a change: the gate, the rules, the overrides, the strongest action.

use autoscaler_guard_reading::Request;

use crate::change::{AdmissionRequest, Attributes, Change, Kind, Operation, Unreadable};
use crate::cluster::{Cluster, Neighbours};
use crate::context::Context;
use crate::facts::keda_installation;
use crate::finding::{Action, Finding};
use crate::gate::{self, Scope};
use crate::overrides::{self, Ruling};
use crate::repair;
use crate::rule::Rule;
use crate::rules;
use crate::settings::{RuleAction, Settings, SettingsError};
use crate::verdict::{Decision, Overridden, Verdict};

impl Settings {
    /// Reads settings from JSON text. `null` and the empty text mean the defaults, as hosts pass both for a policy
    /// without settings.
    pub fn from_json(text: &str) -> Result<Self, Vec<SettingsError>> {
        Self::parse(text, &rules::CATALOGUE)
    }
}

/// The settings as a JSON Schema (draft 2020-12).
#[cfg(not(target_arch = "wasm32"))]
pub fn settings_schema() -> serde_json::Value {
    crate::settings::schema(&rules::CATALOGUE)
}

/// Judges an `AdmissionRequest`, given as JSON text. Never fails: what cannot be read is refused with the reason.
pub fn review(request: &str, cluster: &dyn Cluster, settings: &Settings) -> Verdict {
    match AdmissionRequest::from_text(request) {
        Ok(request) => evaluate(request, cluster, settings),
        Err(error) => Verdict::unusable(&format!("autoscaler-guard: {error}")),
    }
}

/// Judges an `AdmissionRequest` out of a host's payload, as [`review`] does.
pub fn review_request(request: Request<'_>, cluster: &dyn Cluster, settings: &Settings) -> Verdict {
    match AdmissionRequest::new(request) {
        Ok(request) => evaluate(request, cluster, settings),
        Err(error) => Verdict::unusable(&format!("autoscaler-guard: {error}")),
    }
}

/// Whether any rule watches such a change, whoever makes it: else that it is allowed says nothing about it.
pub fn is_watched(request: AdmissionRequest<'_>, settings: &Settings) -> bool {
    let request = if settings.audit { request.replayed() } else { request };
    let Attributes { kind, operation, sub_resource, .. } = &request.attributes;
    let is_declared = || settings.declarations.iter().any(|known| known.concerns(&request.attributes));
    sub_resource.is_empty()
        && settings.audit == (*operation == Operation::Audit)
        && rules::RULES.iter().any(|rule| rule.watches(*kind, *operation))
        && (*kind != Kind::Other || is_declared())
}

/// Judges a change.
pub fn evaluate(request: AdmissionRequest<'_>, cluster: &dyn Cluster, settings: &Settings) -> Verdict {
    let request = if settings.audit { request.replayed() } else { request };
    let scope = gate::before_reading(&request.attributes, settings);
    if scope == Scope::Exempt {
        return Verdict::default();
    }
    let (request, change) = request.change();
    match change {
        Ok(Some(change)) => judge(&request, &change, scope, cluster, settings),
        Ok(None) => Verdict::default(),
        Err(error) => unreadable(&error, scope),
    }
}

/// Whether a request, given as JSON text, passes without being judged: who asks and what about are enough to know.
pub fn passes(request: &str, settings: &Settings) -> bool {
    let Ok(request) = AdmissionRequest::from_text(request) else { return false };
    let request = if settings.audit { request.replayed() } else { request };
    let scope = gate::before_reading(&request.attributes, settings);
    if scope == Scope::Exempt {
        return true;
    }
    match request.change() {
        (request, Ok(Some(change))) => gate::after_reading(&request, &change, scope) == Scope::Exempt,
        (_, Ok(None)) => true,
        (_, Err(_)) => false,
    }
}

fn unreadable(error: &Unreadable, scope: Scope) -> Verdict {
    // Whatever it is that KEDA writes, it is not this policy's to refuse.
    if scope == Scope::Judged { Verdict::unusable(&format!("autoscaler-guard: {error}")) } else { Verdict::default() }
}

fn judge<'a>(
    request: &'a Attributes<'a>,
    change: &'a Change<'a>,
    scope: Scope,
    cluster: &dyn Cluster,
    settings: &Settings,
) -> Verdict {
    let scope = gate::after_reading(request, change, scope);
    if scope == Scope::Exempt {
        return Verdict::default();
    }
    let texts = typed_arena::Arena::new();
    let neighbours = Neighbours::new(cluster, &texts, &settings.service_account);
    let context = Context { request, change, neighbours, settings };
    let findings = find(&context, scope);
    decide(&context, findings)
}

/// Asks every rule that watches the change.
fn find(context: &Context<'_>, scope: Scope) -> Vec<Finding> {
    let request = context.request;
    let asked = |rule: &&&Rule| {
        rule.watches(request.kind, request.operation)
            && rule.scope == scope
            && context.settings.rule_action(rule.id) != Some(RuleAction::Off)
    };
    rules::RULES.iter().filter(asked).filter_map(|rule| (rule.check)(context)).collect()
}

/// Applies the overrides, then takes the strongest action.
fn decide(context: &Context<'_>, findings: Vec<Finding>) -> Verdict {
    let mut verdict = Verdict::default();
    let findings = findings.into_iter().filter_map(|finding| overrides::by_settings(context, finding));
    for finding in findings.map(|finding| overrides::by_controller(context, finding)) {
        match overrides::by_acknowledgement(context, finding) {
            Ruling::Stands(finding) => insert(&mut verdict.findings, finding),
            Ruling::Passes(by, finding) => {
                verdict.overridden.push(Overridden { rule: finding.rule, by });
                if finding.stays && matches!(finding.action, Action::Reject) {
                    insert(&mut verdict.findings, Finding { action: Action::Warn, ..finding });
                }
            }
        }
    }
    let refuses = verdict.rejections().next().is_some();
    if refuses && keda_installation::is_keda(context) {
        verdict.findings.clear();
    } else if refuses && overrides::is_being_cleaned_up(context) {
        verdict.findings.retain(|finding| !matches!(finding.action, Action::Reject));
    }
    let rejected: Vec<&str> = verdict.rejections().map(|finding| finding.rule).collect();
    for finding in &mut verdict.findings {
        finding.acknowledgement = Some(overrides::acknowledgement(context, finding, &rejected));
        finding.clean();
    }
    verdict.decision = match verdict.findings.first().map(|strongest| &strongest.action) {
        Some(Action::Reject) => Decision::Reject(403),
        Some(Action::Repair(_)) => repaired(context.change, &verdict.findings),
        Some(Action::Warn) | None => Decision::Allow,
    };
    if !verdict.is_accepted() {
        verdict.hints.extend(overrides::misspelt_acknowledgement(context));
    }
    verdict.lookups = context.neighbours.lookups();
    verdict
}

/// Keeps the strongest first; a sort would cost the module several kilobytes.
fn insert(standing: &mut Vec<Finding>, finding: Finding) {
    let weaker = standing.iter().position(|other| other.action.weight() < finding.action.weight());
    standing.insert(weaker.unwrap_or(standing.len()), finding);
}

fn repaired(change: &Change<'_>, standing: &[Finding]) -> Decision {
    let text = |object: &autoscaler_guard_reading::Object<'_>| object.text().to_owned();
    let (old, new) = (change.before().map_or_else(|| "{}".to_owned(), text), text(change.object()));
    let edits = standing.iter().filter_map(|finding| match &finding.action {
        Action::Repair(edits) => Some(edits.as_slice()),
        _ => None,
    });
    Decision::Repair(edits.fold(new, |object, edits| repair::apply(edits, &old, &object)))
}
