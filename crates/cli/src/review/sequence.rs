//! Requests one after the other: what is allowed is done in the model of the cluster, and its controllers react before
//! the next one.

use std::collections::BTreeMap;

use autoscaler_guard::VerdictKind;
use autoscaler_guard_host::Snapshot;
use autoscaler_guard_world::outcome::{self, End, Report};
use autoscaler_guard_world::play::rest;
use autoscaler_guard_world::replay::replay;
use autoscaler_guard_world::server::Event;
use autoscaler_guard_world::{Key, Outcome, Setup, World};
use serde_json::{Value, json};

use super::human::Sheet;
use super::judge::Judge;
use super::judgement::Judgement;
use super::neighbours::Neighbours;
use super::request::Request;
use super::settings::SettingsText;
use super::{json, scope};
use crate::answer::Answer;
use crate::arguments::{ReviewOptions, ReviewOutput};
use crate::fault::Fault;
use crate::flags::VerdictFailOn;
use crate::paint::{BAD, FAINT, GOOD, paint};
use crate::preflight::input;

/// A judgement, and what came of it.
struct Step {
    judgement: Judgement,
    then: Vec<Event>,
}

/// Plays the requests.
pub fn run(
    options: &ReviewOptions,
    judge: &Judge,
    settings: &SettingsText,
    requests: Vec<Request>,
    mut faults: Vec<Fault>,
) -> Result<Answer, Fault> {
    let mut world = World::new(Setup { keda_webhook: false, ..Setup::default() });
    // Objects of this tool's own group say what there is no object for.
    let (conditions, objects): (Vec<Value>, Vec<Value>) = input::manifests(&options.cluster, "the cluster's objects")?
        .into_iter()
        .map(|manifest| manifest.value)
        .partition(|value| {
            value["apiVersion"].as_str().is_some_and(|version| version.starts_with("autoscaler-guard/"))
        });
    for object in &objects {
        world.put(object, options.namespace.as_deref().unwrap_or("default"), "cluster");
    }
    rest(&mut world);
    let start = world.clone();
    let mut steps = Vec::new();
    for request in requests {
        let placed = scope::placed(request, options.namespace.as_deref(), &settings.known());
        let step = placed.and_then(|request| step(judge, settings, &mut world, &conditions, &request));
        match step {
            Ok(step) => steps.push(step),
            Err(fault) => faults.push(fault),
        }
    }
    let mut reports = outcome::judge(&start, &world, None, &End::default());
    // What a request has written is declared by whoever sent it.
    let written = |key: &Key| {
        steps.iter().any(|step| {
            let request = &step.judgement.request;
            request.operation() != "DELETE" && Key::of(request.object(), "").as_ref() == Some(key)
        })
    };
    for report in reports.iter_mut().filter(|report| report.outcome == Outcome::Orphaned) {
        if report.after.iter().any(written) {
            report.outcome = Outcome::HandedOver;
        }
    }
    let is_bad = reports.iter().any(|report| report.outcome.is_bad());
    let is_failed = steps.iter().any(|step| options.fail_on.fails(step.judgement.verdict()));
    let text = match options.output {
        ReviewOutput::Human => human(options, &steps, &reports),
        ReviewOutput::Json => as_json(&steps, &reports)?,
    };
    Ok(Answer { text, code: u8::from(is_failed || (is_bad && options.fail_on != VerdictFailOn::Never)), faults })
}

fn step(
    judge: &Judge,
    settings: &SettingsText,
    world: &mut World,
    conditions: &[Value],
    request: &Request,
) -> Result<Step, Fault> {
    let objects = world.objects.values().filter_map(|stored| serde_json::from_str(stored.rendered()).ok());
    let snapshot = Snapshot::from_objects(objects.chain(conditions.iter().cloned()).collect())
        .map_err(|error| Fault::new("the cluster that a request has left cannot be used").because(error))?;
    let judgement = Judgement::of(judge, request, settings, &Neighbours::snapshot(snapshot))?;
    let admitted = judgement.repaired.clone().unwrap_or_else(|| request.object().clone());
    let is_done = judgement.verdict() != VerdictKind::Rejected;
    let then = if is_done { replay(world, &request.value, &admitted, &settings.known()) } else { Vec::new() };
    Ok(Step { judgement, then })
}

fn human(options: &ReviewOptions, steps: &[Step], reports: &[Report]) -> String {
    let sheet = Sheet { verbose: options.verbose, ..Sheet::new() };
    let mut text = Vec::new();
    for Step { judgement, then } in steps {
        text.push(sheet.one(judgement, steps.len() > 1));
        let lines = then.iter().map(|event| format!("  then {}: {}: {}\n", event.who, event.what(), event.answer()));
        text.extend(lines.map(|line| paint(FAINT, line.trim_end()) + "\n"));
        text.push("\n".to_owned());
    }
    if reports.is_empty() {
        text.push("no workload with an autoscaler was touched\n".to_owned());
    }
    for Report { workload, outcome, .. } in reports {
        let style = if outcome.is_bad() { BAD } else { GOOD };
        text.push(format!("{workload}: {}: {}\n", paint(style, outcome), outcome.words()));
    }
    text.concat()
}

/// The array of `review`, each entry with what the controllers did next; the last one has how it ends.
fn as_json(steps: &[Step], reports: &[Report]) -> Result<String, Fault> {
    let unwritable = |error| Fault::new("the verdicts cannot be written as JSON").because(error);
    let judgements: Vec<Judgement> = steps.iter().map(|step| step.judgement.clone()).collect();
    let mut entries: Vec<Value> = serde_json::from_str(&json::all(&judgements)?).map_err(unwritable)?;
    for (entry, step) in entries.iter_mut().zip(steps) {
        let then = step.then.iter();
        entry["then"] =
            then.map(|event| json!({"who": event.who, "what": event.what(), "answer": event.answer()})).collect();
    }
    if let Some(last) = entries.last_mut() {
        let ends: BTreeMap<String, &str> =
            reports.iter().map(|report| (report.workload.to_string(), report.outcome.id())).collect();
        last["workloads"] = json!(ends);
    }
    serde_json::to_string_pretty(&entries).map(|text| text + "\n").map_err(unwritable)
}
