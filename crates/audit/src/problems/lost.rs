//! A workload that should be autoscaled has no autoscaler.
//!
//! ## Meaning
//! The workload is there, and nothing scales it any more, though an autoscaler did, or something declares one: whatever
//! load comes, the count stays.
//!
//! ## How it comes about
//! A chart went from KEDA back to an HPA of the same name, and the garbage collector took the HPA with the ScaledObject
//! (kedacore/keda issue 6250). An autoscaler was deleted by hand. Envoy Gateway did not make the HPA that an EnvoyProxy
//! declares.
//!
//! ## What is looked at
//! Workloads whose count was last written through the scale subresource by kube-controller-manager or KEDA; a person's
//! `kubectl scale` is no sign. The newest deployed revision of Helm's releases, Applications of Argo CD (no sync under
//! way, not to be pruned), Flux's inventories, what was applied last of EnvoyProxies and operators' objects: whether
//! the HPA or ScaledObject that they declare is there. ScaledObjects that are not paused, and Gateways with envoyHpa:
//! whether they have their HPA. A count that is declared and in force is no loss.
//!
//! ## What to do
//! Put the autoscaler back; `fix` takes it from the release. Or say that nothing is to scale the workload:
//! annotation `autoscaler-guard/autoscaling: "off"`.

use autoscaler_guard::command::Command;

use crate::facts::count;
use crate::facts::record::{Entry, Record, Tool};
use crate::facts::time;
use crate::finding::{Finding, Found};
use crate::object::{Object, Ref};
use crate::view::View;

const PROBLEM: &str = "lost";

/// Looks for them.
pub fn check(view: &View<'_>, found: &mut Found) {
    declared(view, found);
    scaled_objects(view, found);
    fleets(view, found);
    operators(view, found);
    counts(view, found);
}

fn push(found: &mut Found, finding: Finding) {
    let off =
        finding.workload.as_ref().map(|workload| workload.kubectl("annotate").arg("autoscaler-guard/autoscaling=off"));
    let finding = match off {
        Some(off) => finding.command(&off),
        None => finding,
    };
    if !found.explains(finding.subject()) {
        found.push(finding, []);
    }
}

/// What tools' records declare, and is not there.
fn declared(view: &View<'_>, found: &mut Found) {
    for record in view.records.all.iter().filter(|record| !record.is_moving) {
        let missing = record.entries.iter().filter(|entry| {
            let key = &entry.key;
            entry.is_due
                && key.is_autoscaler()
                && view.inventory.get(key).is_none()
                && view.inventory.can_read(&key.kind, &key.namespace)
        });
        for entry in missing {
            if let Some(finding) = missing_of(view, record, entry) {
                push(found, finding.since(record.since.as_deref()));
            }
        }
    }
}

fn missing_of(view: &View<'_>, record: &Record, entry: &Entry) -> Option<Finding> {
    let message = format!("{} declares {}, which is not there", record.title, entry.key);
    let finding = |workload: &Ref| {
        let finding =
            Finding::new(PROBLEM, &entry.key, format!("{message}: nothing scales {workload}")).workload(workload);
        match again(record) {
            None => finding.fixable_with("--helm-secrets"),
            Some(again) => finding.command(&again),
        }
    };
    let is_bare = |workload: &Ref| view.workload(workload).is_some() && !view.is_autoscaled(workload);
    if let Some(target) = &entry.target {
        return is_bare(target).then(|| finding(target));
    }
    // The record names no target.
    let workloads: Vec<&Ref> = record
        .entries
        .iter()
        .map(|other| &other.key)
        .filter(|key| key.namespace == entry.key.namespace && is_scalable(key) && view.workload(key).is_some())
        .collect();
    match likeliest(&workloads, &entry.key.name) {
        Some(workload) => is_bare(workload).then(|| finding(workload)),
        None => workloads.into_iter().any(is_bare).then(|| Finding::new(PROBLEM, &entry.key, message).likely(true)),
    }
}

/// What makes a tool apply its record anew; Helm has no such command.
fn again(record: &Record) -> Option<Command> {
    let (program, command) = match record.tool {
        Tool::Helm => return None,
        Tool::Flux => {
            let command = Command::kubectl(&["reconcile", "kustomization"]).name(record.key.name.clone());
            ("flux", command.arg("-n").name(record.key.namespace.clone()))
        }
        Tool::ArgoCd => ("argocd", Command::kubectl(&["app", "sync"]).name(record.key.name.clone())),
    };
    let mut command = command;
    command.program = program;
    Some(command)
}

fn is_scalable(key: &Ref) -> bool {
    matches!((&*key.group, &*key.kind), ("apps", "Deployment" | "StatefulSet") | ("argoproj.io", "Rollout"))
}

/// The workload that an autoscaler of that name is for: the only one, or the longest whose name is in its name.
fn likeliest<'r>(workloads: &[&'r Ref], name: &str) -> Option<&'r Ref> {
    if let [only] = workloads {
        return Some(only);
    }
    let named = workloads.iter().filter(|workload| name.contains(&*workload.name));
    named.max_by_key(|workload| workload.name.len()).copied()
}

/// ScaledObjects without their HPA.
fn scaled_objects(view: &View<'_>, found: &mut Found) {
    for scaled in &view.scaled_objects {
        let object = scaled.object;
        let is_none = view.inventory.get(&scaled.hpa).is_none() && view.hpas_on(&scaled.target).next().is_none();
        let is_read = view.inventory.can_read(crate::object::HPA, &object.key.namespace);
        if !is_none || !is_read || scaled.is_paused() || found.explains(&object.key) {
            continue;
        }
        if view.workload(&scaled.target).is_none() || time::is_new(object.created(), view.now) {
            continue;
        }
        let message =
            format!("{} has no HPA: {} is not there, so nothing scales {}", object.key, scaled.hpa, scaled.target);
        let since = object.condition("Ready").filter(|ready| ready.status == "False").and_then(|ready| ready.since);
        let finding = Finding::new(PROBLEM, &scaled.hpa, message)
            .rule("scaledobject-without-hpa")
            .workload(&scaled.target)
            .since(since)
            .command(&object.key.kubectl("describe"));
        push(found, finding);
    }
}

/// Fleets without the HPA that an EnvoyProxy declares, or declared when it was applied last.
fn fleets(view: &View<'_>, found: &mut Found) {
    for fleet in view.fleets.all() {
        let should = fleet.declares == Some(true) || fleet.declared_before;
        let is_there = view.inventory.get(&fleet.hpa).is_some() || view.is_autoscaled(&fleet.deployment);
        if !should || is_there || fleet.broken.is_some() || view.workload(&fleet.deployment).is_none() {
            continue;
        }
        let verb = if fleet.declared_before { "declared, and was changed since," } else { "declares" };
        let message = format!("an EnvoyProxy {verb} envoyHpa for {}, and {} has no HPA", fleet.title, fleet.deployment);
        let finding = Finding::new(PROBLEM, &fleet.hpa, message).workload(&fleet.deployment).likely(fleet.is_guess);
        let touch = fleet.proxies.first().map(|proxy| proxy.kubectl("describe"));
        let finding = match touch {
            Some(touch) => finding.command(&touch),
            None => finding,
        };
        push(found, finding);
    }
}

/// Objects of operators that were applied with an HPA which is not there.
fn operators(view: &View<'_>, found: &mut Found) {
    for declared in view.declared.iter().filter(|declared| declared.applied) {
        let object = declared.object;
        let all = view.declared.iter().filter(|other| other.object.key == object.key);
        let is_named = all.into_iter().any(|other| view.inventory.get(&other.hpa).is_some());
        let owns = |object: &Object, uid: &str| object.owners().any(|owner| owner.uid == uid);
        let is_owned = view.hpas.iter().any(|hpa| owns(hpa.object, object.uid()) || hpa.target == object.key);
        if is_named || is_owned || object.is_terminating() {
            continue;
        }
        let workloads = view.inventory.kind("apps", "Deployment").chain(view.inventory.kind("apps", "StatefulSet"));
        let owned: Vec<&Object> = workloads.filter(|workload| owns(workload, object.uid())).collect();
        let [workload] = owned[..] else { continue };
        if view.is_autoscaled(&workload.key) || workload.is_terminating() {
            continue;
        }
        let message =
            format!("{} was applied with an HPA, which is not there: nothing scales {}", object.key, workload.key);
        let finding =
            Finding::new(PROBLEM, &declared.hpa, message).rule("declared-hpa-removed").workload(&workload.key);
        push(found, finding.likely(true).command(&object.key.kubectl("describe")));
    }
}

/// Workloads whose count an autoscaler wrote last.
fn counts(view: &View<'_>, found: &mut Found) {
    for workload in view.inventory.objects().filter(|object| !object.key.is_autoscaler() && !object.is_terminating()) {
        let Some(written) = count::scaled_by_autoscaler(workload) else { continue };
        if count::applied_by(workload).is_some() || view.is_autoscaled(&workload.key) || view.holders.holds(workload) {
            continue;
        }
        let live = count::replicas(workload);
        let by_release =
            view.records.declaring(&workload.key).any(|(_, entry)| entry.replicas.is_some() && entry.replicas == live);
        let by_fleet = view.fleets.of_deployment(&workload.key).is_some_and(|fleet| fleet.forced.is_some());
        // What a controller makes of its own object, such as a Deployment its ReplicaSets, that scales.
        let is_derived = workload.key.kind == "ReplicaSet" && workload.controller().is_some();
        if by_release || by_fleet || is_derived || !is_known(view, workload) {
            continue;
        }
        let who = if written.manager == "kube-controller-manager" { "an HPA" } else { "KEDA" };
        let message = format!(
            "{who} set the count of {} last, and no autoscaler is there any more: it stays at {}",
            workload.key,
            live.unwrap_or(1)
        );
        let is_declared = count::last_applied(workload).is_some() && count::last_applied(workload) == live;
        let finding = Finding::new(PROBLEM, &workload.key, message).workload(&workload.key).since(written.since);
        push(found, finding.likely(is_declared));
    }
}

/// Whether all autoscalers around a workload could be read.
fn is_known(view: &View<'_>, workload: &Object) -> bool {
    [crate::object::HPA, "ScaledObject"].iter().all(|kind| view.inventory.can_read(kind, &workload.key.namespace))
}
