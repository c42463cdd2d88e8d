//! What a change will do to every autoscaler, without the policy and with it, and what would be better.

use autoscaler_guard::Settings;
use serde_json::Value;

use crate::advice::{self, Advice};
use crate::controllers::keda;
use crate::object::{At, Key};
use crate::outcome::{Outcome, Report};
use crate::play::{Eager, Side, play};
use crate::server::{Event, Reply, World};
use crate::writers::Change;

/// Which sides are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sides {
    /// With the policy.
    On,
    /// Without.
    Off,
    /// Both.
    Both,
}

/// What is asked.
#[derive(Debug)]
pub struct Question<'q> {
    /// The world before.
    pub start: &'q World,
    /// What is to be done.
    pub change: &'q Change,
    /// The policy's settings.
    pub settings: &'q Settings,
    /// With it, without it, or both.
    pub sides: Sides,
    /// Whether the way back is played, too.
    pub rollback: bool,
}

/// A workload, on one side.
#[derive(Clone, Debug)]
pub struct Cell {
    /// How it ends.
    pub outcome: Outcome,
    /// How far its count fell on the way.
    pub dip: Option<i64>,
    /// The requests about it and its autoscalers.
    pub timeline: Vec<Event>,
    /// What the policy refused.
    pub refused: Vec<Refusal>,
    /// Why the tool failed, if it did.
    pub failure: Option<String>,
    /// How the way back ends, if it was asked for.
    pub rollback: Option<Outcome>,
}

impl Cell {
    /// What the policy warned of.
    pub fn warnings(&self) -> impl Iterator<Item = &str> {
        self.timeline.iter().flat_map(|event| event.warnings.iter().map(String::as_str))
    }
}

/// Something that the policy refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The rules.
    pub rule: String,
    /// The object.
    pub object: String,
    /// The message.
    pub message: String,
}

/// A workload.
#[derive(Clone, Debug)]
pub struct Row {
    /// Which.
    pub workload: Key,
    /// Its autoscalers before.
    pub before: Vec<Key>,
    /// Its autoscalers after, as the manifests want them.
    pub after: Vec<Key>,
    /// Without the policy.
    pub without: Option<Cell>,
    /// With it.
    pub with: Option<Cell>,
    /// What would be better.
    pub advice: Vec<Advice>,
}

impl Row {
    /// The side that counts: the one with the policy, if it was asked for.
    pub fn counts(&self) -> Option<&Cell> {
        self.with.as_ref().or(self.without.as_ref())
    }
}

/// Answers.
pub fn preflight(question: &Question<'_>) -> Vec<Row> {
    let Question { start, change, settings, sides, rollback } = question;
    let bare = play(start, change, None, Eager::Yes);
    let guarded = (*sides != Sides::Off).then(|| play(start, change, Some(settings), Eager::Yes));
    let mut rows: Vec<Row> = Vec::new();
    let reports = bare.reports.iter().chain(guarded.iter().flat_map(|side| side.reports.iter()));
    for report in reports {
        if rows.iter().any(|row| row.workload == report.workload) {
            continue;
        }
        let without = Some(found(&bare, report));
        let with = guarded.as_ref().map(|side| (side, corrected(side, found(side, report), without.as_ref())));
        let mut row = Row {
            workload: report.workload.clone(),
            before: report.before.clone(),
            after: wanted(change, &report.workload),
            without: without.filter(|_| *sides != Sides::On).map(|report| cell(&bare, &report)),
            with: with.map(|(side, report)| cell(side, &report)),
            advice: Vec::new(),
        };
        if *rollback {
            let back = change.reversed();
            for (cell, side, guard) in
                [(&mut row.without, Some(&bare), None), (&mut row.with, guarded.as_ref(), Some(*settings))]
            {
                if let (Some(cell), Some(side)) = (cell, side) {
                    cell.rollback = play(&side.world, &back, guard, Eager::Yes).outcome(&row.workload);
                }
            }
        }
        row.advice = advice::advice(question, &row);
        rows.push(row);
    }
    rows.sort_by(|one, other| {
        one.workload.namespace.cmp(&other.workload.namespace).then(one.workload.cmp(&other.workload))
    });
    rows
}

/// What one side says of a workload of which the other says something.
fn found(side: &Side, report: &Report) -> Report {
    let found = side.reports.iter().find(|other| other.workload == report.workload).cloned();
    let nothing = || Report { after: Vec::new(), outcome: Outcome::None, dip: None, ..report.clone() };
    found.unwrap_or_else(nothing)
}

/// A refusal that saves an autoscaler is what the policy is for: such a workload is kept, however the tool takes it.
pub(crate) fn corrected(side: &Side, mut report: Report, without: Option<&Report>) -> Report {
    let saved = without.is_some_and(|without| without.outcome.is_bad() && without.outcome != Outcome::Stuck);
    let has_one = report.after.iter().any(Key::is_hpa);
    if report.outcome == Outcome::Stuck && saved && has_one && side.refused().next().is_some() {
        report.outcome = Outcome::Kept;
    }
    report
}

/// The autoscalers that the manifests of after declare for a workload, KEDA's HPAs included.
fn wanted(change: &Change, workload: &Key) -> Vec<Key> {
    let mut found = Vec::new();
    for manifest in change.after.iter() {
        let Some(key) = Key::of(manifest, &change.namespace) else { continue };
        let aims = manifest.at("/spec/scaleTargetRef").map(|reference| Key::target(reference, &key.namespace));
        if aims.as_ref() != Some(workload) {
            continue;
        }
        if key.is_scaled_object() {
            let hpa = Key::hpa(&key.namespace, &keda::hpa_name(manifest));
            found.extend([key].into_iter().chain((!keda::is_paused(manifest)).then_some(hpa)));
        } else if key.is_hpa() {
            found.push(key);
        }
    }
    found.sort_by_key(Key::is_hpa);
    found.dedup();
    found
}

fn cell(side: &Side, report: &Report) -> Cell {
    let mut about: Vec<&Key> = report.before.iter().chain(&report.after).collect();
    about.push(&report.workload);
    let concerns = |event: &&Event| {
        about.contains(&&event.key)
            || (event.key.namespace == report.workload.namespace && event.key.name == report.workload.name)
    };
    let timeline: Vec<Event> = side.timeline.iter().filter(concerns).cloned().collect();
    let mut refused: Vec<Refusal> = timeline.iter().filter_map(refusal).collect();
    if refused.is_empty() && report.outcome == Outcome::Stuck {
        refused = side.timeline.iter().filter_map(refusal).collect();
    }
    // A tool that tries again is refused again.
    let mut seen = Vec::new();
    refused.retain(|refusal| {
        let is_new = !seen.contains(refusal);
        seen.push(refusal.clone());
        is_new
    });
    let failure = side.failure.clone();
    Cell { outcome: report.outcome, dip: report.dip, timeline, refused, failure, rollback: None }
}

fn refusal(event: &Event) -> Option<Refusal> {
    let Reply::Refused { by_guard: true, message } = &event.reply else { return None };
    Some(Refusal { rule: event.rules.join(","), object: event.key.to_string(), message: message.clone() })
}

/// The part of a change that concerns one workload.
pub(crate) fn part(change: &Change, workload: &Key, before: &[Key]) -> Change {
    let concerns = |manifest: &Value| {
        let key = Key::of(manifest, &change.namespace);
        let aims = manifest.at("/spec/scaleTargetRef");
        let is_wide = key.as_ref().is_some_and(|key| key.namespace.is_empty());
        is_wide
            || key.as_ref() == Some(workload)
            || key.as_ref().is_some_and(|key| before.contains(key))
            || aims.is_some_and(|reference| Key::target(reference, &workload.namespace) == *workload)
    };
    let only = |manifests: &[std::sync::Arc<Value>]| {
        manifests.iter().filter(|manifest| concerns(manifest)).cloned().collect::<Vec<_>>().into()
    };
    Change { before: only(&change.before), after: only(&change.after), ..change.clone() }
}
