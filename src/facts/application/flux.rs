//! Flux's own record of what it manages: the Kustomization (`kustomize.toolkit.fluxcd.io/v1`).

use autoscaler_guard_reading::Object;

use super::mark::{Application, Member};
use super::writer::is_flux;
use crate::cluster::{Presence, api};
use crate::context::Context;

const FIELDS: &[&str] = &["status.conditions", "status.history", "status.inventory", "status.lastAttemptedRevision"];

/// Whether Flux asks for the deletion of an object that is in its inventory, by labels that may be copied.
pub fn prunes(context: &Context<'_>, deleted: Member<'_, '_>) -> bool {
    let labels = deleted.flux_labels().filter(|labels| is_flux(context, labels));
    labels.is_some_and(|labels| match Kustomization::look_up(context, &labels) {
        Presence::Found(record) => record.lists(deleted),
        Presence::Absent | Presence::Unknown(_) => true,
    })
}

/// A Kustomization.
#[derive(Clone, Debug)]
pub struct Kustomization<'a>(Object<'a>);

impl<'a> Kustomization<'a> {
    /// Looks up the Kustomization that an application is.
    pub fn look_up(context: &Context<'a>, application: &Application) -> Presence<Self> {
        let Application { namespace, name, .. } = application;
        context.neighbours.get(&api::KUSTOMIZATION, namespace, name, FIELDS).map(Self)
    }

    /// Whether it is being deleted, and all that its inventory lists with it.
    pub fn is_terminating(&self) -> bool {
        self.0.metadata.is_terminating()
    }

    /// Whether its inventory lists that object: `<namespace>_<name>_<group>_<kind>` (kustomize-controller,
    /// `api/v1/inventory_types.go`).
    pub fn lists(&self, member: Member<'_, '_>) -> bool {
        let metadata = &member.object.metadata;
        let id = format!("{}_{}_{}_{}", metadata.namespace, metadata.name, member.group, member.kind);
        let entries = self.0.status().items(&["inventory", "entries"]);
        entries.iter().any(|entry| entry.string(&["id"]).as_deref() == Some(&id))
    }

    /// Whether a prune of the revision under way has failed before. Only then is the inventory that of this revision:
    /// it is stored after the prune, so a first prune sees the one before, which lists what stays and what goes alike.
    /// Since kustomize-controller 1.9 (its issue 1664) what could not be deleted is listed again, and tried again.
    pub fn prunes_again(&self) -> bool {
        let status = self.0.status();
        let last = status.items(&["history"]).first().copied();
        let failed = last.is_some_and(|last| {
            last.string(&["lastReconciledStatus"]).as_deref() == Some("PruneFailed")
                && last.string(&["metadata", "revision"]) == status.string(&["lastAttemptedRevision"])
        });
        failed
            || status.items(&["conditions"]).iter().any(|one| one.string(&["reason"]).as_deref() == Some("PruneFailed"))
    }
}
