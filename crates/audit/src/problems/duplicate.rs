//! Several autoscalers on one workload, or on one workload's pods: none of them scales.
//!
//! ## Meaning
//! The HPA controller goes by pods. Where two HPAs select the same ones both stop with AmbiguousSelector; two
//! ScaledObjects that write one HPA rewrite it about ten times a second.
//!
//! ## How it comes about
//! A chart's HPA beside a ScaledObject; an HPA by `kubectl autoscale` beside the one in Git; a workload whose selector
//! is so wide that it matches the pods of another one, as `web` and `web-canary` by one common label.
//!
//! ## What is looked at
//! HPAs, ScaledObjects that are not paused (with their HPAs they are one autoscaler), and the selectors of workloads
//! that are autoscaled and have pods. Each autoscaler that stands in another's way is reported.
//!
//! ## What to do
//! Keep one of them. Of workloads that share pods, give each a label of its own.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::facts::count;
use crate::finding::{Finding, Found};
use crate::object::{Object, Ref, items, text};
use crate::view::View;

const PROBLEM: &str = "duplicate";
const RULE: &str = "duplicate-autoscaler";

/// Looks for them.
pub fn check(view: &View<'_>, found: &mut Found) {
    let mut findings = one_target(view, found);
    findings.extend(one_hpa(view, found));
    findings.extend(one_pod(view, found));
    for (finding, explains) in findings {
        if !found.explains(&finding.object) {
            found.push(finding, &explains);
        }
    }
}

type Explaining = Vec<(Finding, Vec<Ref>)>;

/// The autoscalers of a workload: a ScaledObject counts with its HPA.
fn actors(view: &View<'_>, found: &Found, target: &Ref) -> Vec<Ref> {
    let scaled: Vec<_> = view
        .scaled_objects_on(target)
        .filter(|scaled| !scaled.is_paused() && !found.explains(&scaled.object.key))
        .collect();
    let hpas = view.hpas_on(target).filter(|hpa| {
        let of = |uid: &str| hpa.object.owners().any(|owner| owner.uid == uid);
        !found.explains(&hpa.object.key)
            && !scaled.iter().any(|scaled| scaled.hpa == hpa.object.key || of(scaled.object.uid()))
    });
    let hpas: Vec<Ref> = hpas.map(|hpa| hpa.object.key.clone()).collect();
    scaled.iter().map(|scaled| scaled.object.key.clone()).chain(hpas).collect()
}

fn targets<'v>(view: &'v View<'_>) -> impl Iterator<Item = &'v Ref> {
    let hpas = view.hpas.iter().map(|hpa| &hpa.target);
    let scaled = view.scaled_objects.iter().map(|scaled| &scaled.target);
    let mut all: Vec<&Ref> = hpas.chain(scaled).filter(|target| !target.name.is_empty()).collect();
    all.sort();
    all.dedup();
    all.into_iter()
}

fn one_target(view: &View<'_>, found: &Found) -> Explaining {
    let mut findings = Vec::new();
    for target in targets(view) {
        let actors = actors(view, found, target);
        if actors.len() < 2 {
            continue;
        }
        let hpas: Vec<Ref> = view.hpas_on(target).map(|hpa| hpa.object.key.clone()).collect();
        for actor in &actors {
            let others: Vec<String> = actors.iter().filter(|other| *other != actor).map(Ref::to_string).collect();
            let others = others.join(", ");
            let message = format!("{actor} scales {target} beside {others}: neither does");
            findings.push((
                finding(actor, target, message),
                hpas.iter().filter(|hpa| !actors.contains(hpa)).cloned().collect(),
            ));
        }
    }
    findings
}

fn one_hpa(view: &View<'_>, found: &Found) -> Explaining {
    let mut writers: BTreeMap<&Ref, Vec<&crate::facts::autoscaler::Scaled<'_>>> = BTreeMap::new();
    for scaled in view.scaled_objects.iter().filter(|scaled| !scaled.is_paused() && !found.explains(&scaled.object.key))
    {
        writers.entry(&scaled.hpa).or_default().push(scaled);
    }
    let several = writers.into_iter().filter(|(_, writers)| writers.len() > 1);
    let findings = several.flat_map(|(hpa, writers)| {
        let one = move |scaled: &&crate::facts::autoscaler::Scaled<'_>| {
            let message = format!("{} writes {hpa}, and another ScaledObject does, too", scaled.object.key);
            (finding(&scaled.object.key, &scaled.target, message), vec![hpa.clone()])
        };
        writers.iter().map(one).collect::<Vec<_>>()
    });
    findings.collect()
}

fn finding(actor: &Ref, target: &Ref, message: String) -> Finding {
    Finding::new(PROBLEM, actor, message).rule(RULE).workload(target).command(&actor.kubectl("edit"))
}

/// A workload with an autoscaler, and pods.
struct Selecting<'v> {
    object: &'v Object,
    actors: Vec<Ref>,
}

/// Workloads whose pods another one selects, too.
fn one_pod(view: &View<'_>, found: &Found) -> Explaining {
    let mut namespaces: BTreeMap<&str, Vec<Selecting<'_>>> = BTreeMap::new();
    for target in targets(view) {
        let Some(object) = view.workload(target).filter(|object| count::replicas(object) != Some(0)) else { continue };
        let actors = actors(view, found, target);
        if !actors.is_empty() {
            namespaces.entry(&object.key.namespace).or_default().push(Selecting { object, actors });
        }
    }
    namespaces.into_values().flat_map(|workloads| in_namespace(&workloads)).collect()
}

fn in_namespace(workloads: &[Selecting<'_>]) -> Explaining {
    // By each label of their pods: a selector is compared with those only that have its rarest one.
    let mut by_label: BTreeMap<(&str, &str), Vec<usize>> = BTreeMap::new();
    for (index, workload) in workloads.iter().enumerate() {
        for label in labels(workload.object.value.pointer("/spec/template/metadata/labels")) {
            by_label.entry(label).or_default().push(index);
        }
    }
    let mut findings = Vec::new();
    for (index, workload) in workloads.iter().enumerate() {
        let selector = workload.object.value.pointer("/spec/selector").unwrap_or(&Value::Null);
        let wanted =
            labels(selector.get("matchLabels")).map(|label| by_label.get(&label).map_or(&[][..], Vec::as_slice));
        let Some(candidates) = wanted.min_by_key(|candidates| candidates.len()) else { continue };
        for other in candidates.iter().filter(|other| **other != index).filter_map(|other| workloads.get(*other)) {
            if selects(selector, other.object) {
                findings.extend(shared(workload, other));
                findings.extend(shared(other, workload));
            }
        }
    }
    findings
}

fn shared(one: &Selecting<'_>, other: &Selecting<'_>) -> Explaining {
    let (this, that) = (&one.object.key, &other.object.key);
    let about = |actor: &Ref| {
        let message = format!(
            "{actor} scales {this}, whose pods {that} shares by its selector: beside the autoscaler of that, neither scales"
        );
        (finding(actor, this, message), Vec::new())
    };
    one.actors.iter().map(about).collect()
}

fn labels(map: Option<&Value>) -> impl Iterator<Item = (&str, &str)> {
    let fields = map.and_then(Value::as_object).into_iter().flatten();
    fields.filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
}

fn selects(selector: &Value, other: &Object) -> bool {
    let pods = other.value.pointer("/spec/template/metadata/labels").unwrap_or(&Value::Null);
    let value = |key: &str| pods.get(key).and_then(Value::as_str);
    let fits = |expression: &Value| {
        let value = value(text(expression, "/key"));
        let is_listed = items(expression, "/values").iter().any(|one| one.as_str() == value && value.is_some());
        match text(expression, "/operator") {
            "In" => is_listed,
            "NotIn" => !is_listed,
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            _ => false,
        }
    };
    labels(selector.get("matchLabels")).all(|(key, wanted)| value(key) == Some(wanted))
        && items(selector, "/matchExpressions").iter().all(fits)
}
