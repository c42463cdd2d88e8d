//! What to change, each proved by playing it.

use std::sync::Arc;

use serde_json::Value;

use crate::controllers;
use crate::object::{self, At, Key, number};
use crate::outcome::Outcome;
use crate::play::{Eager, play};
use crate::preflight::{Question, Row, Sides, corrected, part};
use crate::server::{Propagation, Request, Verb, World};
use crate::writers::{Change, PERSON, Tool};

/// Something that ends better.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    /// What to do.
    pub text: String,
    /// Commands to run first, or instead.
    pub commands: Vec<String>,
    /// How it ends then, on the side that counts.
    pub outcome: Outcome,
}

/// Something that might end better.
struct Idea {
    text: String,
    commands: Vec<String>,
    change: Change,
    first: Option<Request>,
}

/// How many are enough.
const ENOUGH: usize = 3;

/// What would be better for a workload that does not end well.
pub(crate) fn advice(question: &Question<'_>, row: &Row) -> Vec<Advice> {
    let is_bad = [&row.without, &row.with].into_iter().flatten().any(|cell| cell.outcome.is_bad());
    let chosen_by_nobody = row.counts().is_some_and(|cell| cell.outcome == Outcome::Declared);
    if !is_bad && !chosen_by_nobody {
        return Vec::new();
    }
    // What makes two of them may be another workload's autoscaler, by the pods that both select.
    let is_double = [&row.without, &row.with].into_iter().flatten().any(|cell| cell.outcome == Outcome::Duplicate);
    let part = || part(question.change, &row.workload, &row.before);
    let change = if is_double { question.change.clone() } else { part() };
    let ideas = ideas(question, row, &change, chosen_by_nobody && !is_bad);
    ideas.into_iter().filter_map(|idea| prove(question, row, idea)).take(ENOUGH).collect()
}

/// Plays an idea on the sides that are asked for; it has to end well on each.
fn prove(question: &Question<'_>, row: &Row, idea: Idea) -> Option<Advice> {
    let end = |guarded: bool| {
        let settings = guarded.then_some(question.settings);
        let mut world = question.start.clone();
        if let Some(request) = idea.first.clone() {
            world = world.with(|setup| setup.guard = settings.cloned());
            if !world.request(&PERSON, request).is_done() {
                return None;
            }
            controllers::settle(&mut world);
            world = world.with(|setup| setup.guard = None);
        }
        let side = play(&world, &idea.change, settings, Eager::Yes);
        let report = side.reports.iter().find(|report| report.workload == row.workload)?.clone();
        Some(corrected(&side, report, None).outcome)
    };
    let sides: &[bool] = match question.sides {
        Sides::On => &[true],
        Sides::Off => &[false],
        Sides::Both => &[false, true],
    };
    let mut outcome = None;
    for guarded in sides {
        let ended = end(*guarded).filter(|outcome| !outcome.is_bad() && *outcome != Outcome::None)?;
        outcome = Some(ended);
    }
    Some(Advice { text: idea.text, commands: idea.commands, outcome: outcome? })
}

fn ideas(question: &Question<'_>, row: &Row, change: &Change, only_keep: bool) -> Vec<Idea> {
    let mut ideas = Vec::new();
    if !only_keep {
        ideas.extend(transfer(row, change));
        ideas.extend(own_name(row, change));
        ideas.extend(prune_last(change));
        ideas.extend(without_count(change, row));
        ideas.extend(forced(change));
        ideas.extend(orphan_first(row, change));
    }
    ideas.extend(keep(row, change));
    if !only_keep {
        ideas.extend(declare(question.start, row, change));
        ideas.extend(switched_off(row, change));
    }
    ideas
}

fn edited(change: &Change, edit: impl Fn(&Key, &mut Value) -> bool) -> Option<Change> {
    let mut touched = false;
    let after: Vec<Arc<Value>> = change
        .after
        .iter()
        .map(|manifest| {
            let mut value = (**manifest).clone();
            let Some(key) = Key::of(manifest, &change.namespace) else { return manifest.clone() };
            if edit(&key, &mut value) {
                touched = true;
                Arc::new(value)
            } else {
                manifest.clone()
            }
        })
        .collect();
    touched.then(|| Change { after: after.into(), ..change.clone() })
}

/// An HPA that KEDA has already goes with its ScaledObject; another one stays.
fn own_name(row: &Row, change: &Change) -> Option<Idea> {
    let is_kedas = row.before.iter().any(Key::is_scaled_object);
    let taken = |key: &Key| is_kedas && key.is_hpa() && row.before.contains(key);
    let name = change.keys_after().into_iter().find(taken)?.name;
    let other = format!("{name}-hpa");
    let renamed = other.clone();
    let change = edited(change, move |key, value| {
        let is_taken = taken(key);
        if is_taken {
            object::metadata(value).insert("name".to_owned(), renamed.clone().into());
        }
        is_taken
    })?;
    let text = format!("Give the HPA another name than KEDA's, such as \"{other}\"");
    Some(Idea { text, commands: Vec::new(), change, first: None })
}

fn transfer(row: &Row, change: &Change) -> Option<Idea> {
    let hpa = row.before.iter().find(|key| key.is_hpa())?.name.clone();
    let name = hpa.clone();
    let change = edited(change, move |key, value| {
        let is_new = key.is_scaled_object() && !row.before.contains(key);
        if is_new {
            object::annotate(value, "scaledobject.keda.sh/transfer-hpa-ownership", "true");
            object::set(value, &["spec", "advanced", "horizontalPodAutoscalerConfig", "name"], (*name).into());
        }
        is_new
    })?;
    let text = format!(
        "Let KEDA take the HPA over: annotation scaledobject.keda.sh/transfer-hpa-ownership: \"true\" and \
         spec.advanced.horizontalPodAutoscalerConfig.name: {hpa} on the ScaledObject"
    );
    Some(Idea { text, commands: Vec::new(), change, first: None })
}

fn prune_last(change: &Change) -> Option<Idea> {
    (change.tool == Tool::ArgoCd).then(|| Idea {
        text: "Let Argo CD prune last: sync option PruneLast=true on the Application".to_owned(),
        commands: Vec::new(),
        change: Change { tool: Tool::ArgoCdPruneLast, ..change.clone() },
        first: None,
    })
}

fn without_count(change: &Change, row: &Row) -> Option<Idea> {
    let change = edited(change, |key, value| *key == row.workload && object::remove(value, &["spec", "replicas"]))?;
    let text = format!("Leave spec.replicas out of the manifest of {}", row.workload);
    Some(Idea { text, commands: Vec::new(), change, first: None })
}

fn forced(change: &Change) -> Option<Idea> {
    (change.tool == Tool::Helm4).then(|| Idea {
        text: "Let Helm take the fields that are in conflict".to_owned(),
        commands: vec![format!("helm upgrade {} CHART -n {} --force-conflicts", change.app, change.namespace)],
        change: Change { force: true, ..change.clone() },
        first: None,
    })
}

fn orphan_first(row: &Row, change: &Change) -> Option<Idea> {
    let after = change.keys_after();
    let deleted = row.before.iter().find(|key| key.is_scaled_object() && !after.contains(key))?;
    after.iter().any(Key::is_hpa).then(|| Idea {
        text: "Delete the ScaledObject without its HPA before".to_owned(),
        commands: vec![format!(
            "kubectl delete scaledobject {} -n {} --cascade=orphan",
            deleted.name, deleted.namespace
        )],
        change: change.clone(),
        first: Some(Request::new(deleted.clone(), Verb::Delete { propagation: Propagation::Orphan, uid: None })),
    })
}

/// What was there before stays in the manifests.
fn keep(row: &Row, change: &Change) -> Option<Idea> {
    let after = change.keys_after();
    let has_one = change.after.iter().any(|manifest| manifest.at("/spec/scaleTargetRef").is_some());
    if has_one {
        return None;
    }
    let kept: Vec<Arc<Value>> = change
        .before
        .iter()
        .filter(|manifest| {
            Key::of(manifest, &change.namespace).is_some_and(|key| row.before.contains(&key) && !after.contains(&key))
        })
        .cloned()
        .collect();
    let first = kept.first()?;
    let name = Key::of(first, &change.namespace)?;
    let mut all = change.after.to_vec();
    all.extend(kept);
    let change = edited(&Change { after: all.clone().into(), ..change.clone() }, |key, value| {
        *key == row.workload && object::remove(value, &["spec", "replicas"])
    })
    .unwrap_or(Change { after: all.into(), ..change.clone() });
    Some(Idea { text: format!("Keep {name} in the manifests"), commands: Vec::new(), change, first: None })
}

fn declare(world: &World, row: &Row, change: &Change) -> Option<Idea> {
    if change.after.iter().any(|manifest| manifest.at("/spec/scaleTargetRef").is_some()) {
        return None;
    }
    let count = number(world.get(&row.workload)?, "/spec/replicas")?;
    let change = edited(change, |key, value| {
        if *key == row.workload {
            object::set(value, &["spec", "replicas"], count.into());
        }
        *key == row.workload
    })?;
    let text = format!(
        "Declare the replica count that {} shall have without an autoscaler: spec.replicas: {count}",
        row.workload
    );
    Some(Idea { text, commands: Vec::new(), change, first: None })
}

fn switched_off(row: &Row, change: &Change) -> Option<Idea> {
    let Key { kind, namespace, name, group } = &row.workload;
    let kind = kind.to_ascii_lowercase();
    let kind = if matches!(&**group, "" | "apps") { kind } else { format!("{kind}.{group}") };
    let patch = serde_json::json!({"metadata": {"annotations": {"autoscaler-guard/autoscaling": "off"}}});
    let drops = !change.after.iter().any(|manifest| manifest.at("/spec/scaleTargetRef").is_some());
    drops.then(|| Idea {
        text: "Say that nothing scales it, on purpose".to_owned(),
        commands: vec![format!("kubectl annotate {kind}/{name} -n {namespace} autoscaler-guard/autoscaling=off")],
        change: change.clone(),
        first: Some(Request::new(row.workload.clone(), Verb::Patch(patch))),
    })
}
