//! What the deletion of an autoscaler comes to: what the tool that asks for it does next, by its own record.

use super::application::argo_cd::{Record, Resource};
use super::application::flux::Kustomization;
use super::application::writer::is_argo_cd;
use super::application::{Application, Member, Tool, acting, helm};
use super::autoscalers::{Departing, Namespace};
use crate::cluster::Presence;
use crate::context::Context;
use crate::subject::WorkloadRef;
use autoscaler_guard_reading::{group_of, title};

/// What a deletion comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Departure {
    /// The whole application goes, the workload with it.
    Everything,
    /// An autoscaler that the record names comes next; record and autoscaler.
    Replaced(String, String),
    /// The workload stays, and something about it is written next, which may be a count; the record.
    MayDeclareCount(String),
    /// The record says that the workload stays and that nothing else comes.
    Lost(String),
    /// It is created anew next: a hook of Helm's, or what Argo CD replaces by force.
    Recreated,
    /// A tool deletes what it manages; what it does next is not known.
    Open(Tool),
    /// Somebody deletes it, not the tool that manages it.
    Unmanaged,
}

impl Departure {
    /// What the deletion of an autoscaler comes to for its workload.
    pub fn of(context: &Context<'_>, departing: &Departing<'_, '_>, workload: &WorkloadRef) -> Self {
        let deleted = Member::changed(context);
        if helm::is_hook(&deleted.object.metadata) {
            return Self::Recreated;
        }
        let acting = acting(context, deleted);
        let labelled = acting.clone().filter(|application| application.tool == Tool::ArgoCd);
        if let Some(argo_cd) = deleted.application(Tool::ArgoCd).or(labelled)
            && let Some(departure) = by_argo_cd(context, &argo_cd, departing, workload)
        {
            return departure;
        }
        match acting {
            Some(flux) if flux.tool == Tool::Flux => by_flux(context, deleted, &flux, workload),
            Some(application) if matches!(application.tool, Tool::Kapp | Tool::Terraform) => {
                if is_of(context, workload, &application) { Self::Open(application.tool) } else { Self::Unmanaged }
            }
            Some(application) => Self::Open(application.tool),
            None => Self::Unmanaged,
        }
    }
}

/// Whether the workload is of that application.
fn is_of(context: &Context<'_>, workload: &WorkloadRef, application: &Application) -> bool {
    let tool = application.tool;
    let found = match workload.get(&context.neighbours) {
        Presence::Found(found) => {
            let target = Member::workload(workload, &found);
            let by_label = || (tool == Tool::ArgoCd).then(|| target.argo_cd_by_label()).flatten();
            target.application(tool).or_else(by_label)
        }
        Presence::Absent | Presence::Unknown(_) => None,
    };
    found.as_ref() == Some(application)
}

/// Flux prunes after it has written, an autoscaler before its workload (fluxcd/pkg, ssa/sort.go), so what replaces it
/// is in the cluster already. The record is that of the workload's Kustomization.
fn by_flux(context: &Context<'_>, deleted: Member<'_, '_>, own: &Application, workload: &WorkloadRef) -> Departure {
    let open = Departure::Open(Tool::Flux);
    let found = match workload.get(&context.neighbours) {
        Presence::Found(found) => found,
        Presence::Absent | Presence::Unknown(_) => return open,
    };
    let target = Member::workload(workload, &found);
    let Some(of_workload) = target.application(Tool::Flux) else { return Departure::Unmanaged };
    let same = of_workload == *own;
    let lost = || Departure::Lost(title("Kustomization", &of_workload.namespace, &of_workload.name));
    match Kustomization::look_up(context, &of_workload) {
        Presence::Found(record) if same && !record.lists(deleted) => Departure::Unmanaged,
        Presence::Found(record) if record.is_terminating() && record.lists(target) => Departure::Everything,
        Presence::Found(record) if same && record.prunes_again() => {
            if record.lists(target) {
                lost()
            } else {
                Departure::Everything
            }
        }
        Presence::Found(record) if same && !record.is_terminating() => open,
        Presence::Found(_) => lost(),
        Presence::Absent | Presence::Unknown(_) if same => open,
        Presence::Absent | Presence::Unknown(_) => Departure::Unmanaged,
    }
}

/// Argo CD prunes before it writes, unless `PruneLast=true` is set (argoproj/argo-cd,
/// `gitops-engine/pkg/sync/sync_context.go`), so what comes stands in the record alone. `None`: it is not Argo CD that
/// asks.
fn by_argo_cd(
    context: &Context<'_>,
    application: &Application,
    departing: &Departing<'_, '_>,
    workload: &WorkloadRef,
) -> Option<Departure> {
    let open = is_argo_cd(context).then_some(Departure::Open(Tool::ArgoCd));
    // A person's request is not worth a look.
    if open.is_none() && super::application::writer::service_account(context).is_none() {
        return None;
    }
    let Presence::Found(record) = Record::look_up(context, application) else { return open };
    let namespace = &departing.object.metadata.namespace;
    let group = group_of(&workload.api_version);
    let is_target = |one: &Resource<'_>| one.is_at(group, &workload.kind, namespace, &workload.name);
    let deleted = Member::changed(context);
    let is_deleted =
        |one: &Resource<'_>| one.is_at(deleted.group, deleted.kind, namespace, &departing.object.metadata.name);
    let this = title("Application", &record.namespace(), &application.name);
    if record.is_terminating() {
        let together = record.resources().iter().any(is_target) || is_of(context, workload, application);
        return Some(if together { Departure::Everything } else { Departure::Lost(this) });
    }
    let Some(resources) = record.synced_resources() else { return open };
    // Under an account that the project prescribes, it is known by what its record is about to delete.
    if open.is_none() && !resources.iter().any(|one| is_deleted(one) && one.is_pruned()) {
        return None;
    }
    let target = resources.iter().find(|one| is_target(one));
    let goes = target.map_or_else(|| is_of(context, workload, application), |target| target.is_pruned());
    if goes {
        return Some(Departure::Everything);
    }
    // Sync options `Replace=true,Force=true`.
    if resources.iter().any(|one| is_deleted(one) && !one.is_pruned() && record.will_write(*one)) {
        return Some(Departure::Recreated);
    }
    let neighbours = Namespace::look_up(context, namespace);
    let others =
        resources.iter().filter(|one| one.is_autoscaler() && one.namespace() == *namespace && !is_deleted(one));
    let mut coming =
        others.filter(|one| !one.is_pruned() && record.will_write(**one) && comes(**one, &neighbours, departing));
    if let Some(next) = coming.next() {
        let next = title(if next.kind() == "ScaledObject" { "ScaledObject" } else { "HPA" }, namespace, &next.name());
        return Some(Departure::Replaced(this, next));
    }
    let written = target.is_some_and(|target| record.will_write(*target));
    Some(if written { Departure::MayDeclareCount(this) } else { Departure::Lost(this) })
}

/// Whether a resource that is to be written brings an autoscaler: it is not there yet, or it is the HPA that goes, or
/// aims at the workload already. What it will aim at, the record does not say.
fn comes(resource: Resource<'_>, neighbours: &Namespace<'_>, departing: &Departing<'_, '_>) -> bool {
    let name = resource.name();
    if resource.kind() == "ScaledObject" {
        let there = neighbours.scaled_objects.iter().find(|one| one.object.metadata.name == name);
        return there.is_none_or(|one| one.target().same_workload(departing.target));
    }
    let there = neighbours.hpas.iter().find(|one| one.object.metadata.name == name);
    name == departing.hpa || there.is_none_or(|one| one.target().same_workload(departing.target))
}
