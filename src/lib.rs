//! autoscaler-guard: no workload silently loses its autoscaler, no HPA is left behind.
//!
//! [`evaluate`] is the whole of it: a [`Change`] someone asks the API server for, the [`Cluster`] around it and the [`Settings`] go in, a
//! [`Verdict`] comes out. It knows no host and does no I/O; [`kubewarden`] and the other hosts are thin adapters.
//!
//! ```text
//! AdmissionReview ──► Change ──► gate ──► rules ──► findings ──► ways through ──► Verdict
//!  (a host)                  controllers  one file   rule, what,  settings,        allow, repair
//!                            run free     each       help         annotation, RBAC or reject
//! ```
//!
//! Where to read on: [`rules`] is the list, each rule's file opens with its page; [`gate`] says who is never judged; [`kinds`] holds the
//! facts about other projects' objects, each in one place; [`ways_through`] what lets a finding pass.

// Whatever a request holds, the module answers: a trap would be an outage under `failurePolicy: Fail`.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::indexing_slicing,
        clippy::string_slice
    )
)]

pub mod change;
pub mod cluster;
pub mod context;
pub mod gate;
/// Values in a JSON text, and the way back.
pub mod json {
    pub use autoscaler_guard_reading::{Fields, Json, Writer, put, quoted};
}
pub mod kinds;
#[cfg(feature = "kubewarden")]
pub mod kubewarden;
pub mod pattern;
pub mod repair;
pub mod rules;
pub mod settings;
pub mod verdict;
pub mod ways_through;

pub use autoscaler_guard_reading::Request;
pub use change::{Change, Unreadable};
pub use cluster::{Answer, Cluster};
pub use settings::{Settings, SettingsError};
pub use verdict::{Decision, Verdict};

use cluster::Neighbours;
use context::Context;
use gate::Passage;
use settings::RuleAction;
use verdict::{Action, Finding};
use ways_through::{Acknowledged, Outcome};

/// Judges an `AdmissionRequest`, given as JSON text. Never fails: what cannot be read is refused with the reason.
pub fn review(request: &str, cluster: &dyn Cluster, settings: &Settings) -> Verdict {
    match Change::from_text(request) {
        Ok(change) => evaluate(change, cluster, settings),
        Err(error) => Verdict::unusable(format!("autoscaler-guard: {error}")),
    }
}

/// Judges an `AdmissionRequest`, as [`review`] does.
pub fn judge(request: Request<'_>, cluster: &dyn Cluster, settings: &Settings) -> Verdict {
    match Change::from_request(request) {
        Ok(change) => evaluate(change, cluster, settings),
        Err(error) => Verdict::unusable(format!("autoscaler-guard: {error}")),
    }
}

/// Judges a change.
pub fn evaluate(mut change: Change<'_>, cluster: &dyn Cluster, settings: &Settings) -> Verdict {
    if settings.audit {
        change.replayed();
    }
    let passage = gate::before_reading(&change, settings);
    if passage == Passage::Free {
        return Verdict::default();
    }
    if let Err(error) = change.read_objects() {
        return unreadable(&error, passage);
    }
    let passage = gate::after_reading(&change, passage);
    if passage == Passage::Free {
        return Verdict::default();
    }
    let texts = typed_arena::Arena::new();
    let neighbours = Neighbours::new(cluster, &texts, &settings.service_account);
    let context = Context { change: &change, neighbours, settings };
    let findings = find(&context, passage);
    decide(&context, findings)
}

fn unreadable(error: &Unreadable, passage: Passage) -> Verdict {
    // Whatever it is that KEDA writes, it is not this policy's to refuse.
    if passage == Passage::Judged {
        Verdict::unusable(format!("autoscaler-guard: {error}"))
    } else {
        Verdict::default()
    }
}

/// Asks every rule that watches the change.
fn find(context: &Context<'_>, passage: Passage) -> Vec<Finding> {
    let change = context.change;
    let asked = |rule: &&&rules::Rule| {
        rule.watches(change.kind, change.operation)
            && rule.concerns == passage
            && context.settings.rule_action(rule.id) != Some(RuleAction::Off)
    };
    rules::RULES.iter().filter(asked).filter_map(|rule| (rule.check)(context)).collect()
}

/// Lets the ways through speak, then takes the strongest action.
fn decide(context: &Context<'_>, findings: Vec<Finding>) -> Verdict {
    let mut verdict = Verdict::default();
    let mut standing = Vec::new();
    for finding in findings.into_iter().filter_map(|finding| ways_through::by_settings(context, finding)) {
        match ways_through::by_acknowledgement(context, finding) {
            Outcome::Stands(finding) => {
                // Strongest first; a sort would cost the module several kilobytes.
                let weaker =
                    standing.iter().position(|other: &Finding| other.action.weight() < finding.action.weight());
                standing.insert(weaker.unwrap_or(standing.len()), finding);
            }
            Outcome::Passes(by, finding) => acknowledge(&mut verdict, by, &finding),
        }
    }
    let rejects = |finding: &Finding| matches!(finding.action, Action::Reject);
    if standing.iter().any(rejects) && ways_through::is_being_cleaned_up(context) {
        standing.retain(|finding| !rejects(finding));
    }
    tell(context, &standing, &mut verdict);
    verdict.lookups = context.neighbours.lookups();
    verdict
}

fn acknowledge(verdict: &mut Verdict, by: &Acknowledged, finding: &Finding) {
    for (key, value) in [("allowed", finding.rule.id), ("allowed-by", by.0)] {
        match verdict.audit.iter_mut().find(|(known, _)| *known == key) {
            Some((_, known)) => *known = format!("{known},{value}"),
            None => verdict.audit.push((key, value.to_owned())),
        }
    }
}

/// Turns the standing findings, strongest first, into decision, warnings and audit annotations.
fn tell(context: &Context<'_>, standing: &[Finding], verdict: &mut Verdict) {
    let Some(strongest) = standing.first() else { return };
    verdict.rules = standing.iter().map(|finding| finding.rule.id).collect();
    verdict.warnings = standing.iter().flat_map(Finding::warnings).collect();
    let workloads: Vec<String> = strongest.workloads.iter().map(ToString::to_string).collect();
    verdict.audit.push(("action", strongest.action.name().to_owned()));
    verdict.audit.push(("autoscaler", strongest.autoscaler.clone()));
    verdict.audit.push(("rule", verdict.rules.join(",")));
    verdict.audit.push(("workload", workloads.join(",")));
    verdict.audit.retain(|(_, value)| !value.is_empty());
    verdict.decision = match strongest.action {
        Action::Reject => Decision::Reject { message: message(context, standing), code: 403 },
        Action::Repair(_) => repaired(context, standing),
        Action::Warn => Decision::Allow,
    };
}

fn message(context: &Context<'_>, standing: &[Finding]) -> String {
    let rejections = standing.iter().filter(|finding| matches!(finding.action, Action::Reject));
    let mut messages: Vec<String> = rejections.map(Finding::message).collect();
    messages.extend(ways_through::misspelt_acknowledgement(context));
    messages.join("\n")
}

fn repaired(context: &Context<'_>, standing: &[Finding]) -> Decision {
    let edits = standing.iter().filter_map(|finding| match &finding.action {
        Action::Repair(edits) => Some(edits.as_slice()),
        _ => None,
    });
    let new = context.change.new_text().to_owned();
    Decision::Repair(edits.fold(new, |object, edits| repair::apply(edits, context.change.old_text(), &object)))
}
