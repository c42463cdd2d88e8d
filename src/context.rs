//! What a rule sees: the change, its neighbours, the settings.

use crate::change::{Attributes, Change};
use crate::cluster::Neighbours;
use crate::settings::Settings;

/// The finalizer by which an object says that its deletion keeps what it owns.
const ORPHAN: &str = "orphan";

/// Everything a check may read.
#[derive(Debug)]
pub struct Context<'a> {
    /// What the request says beside its objects.
    pub request: &'a Attributes<'a>,
    /// The change that is judged.
    pub change: &'a Change<'a>,
    /// The objects around it.
    pub neighbours: Neighbours<'a>,
    /// How the policy is set.
    pub settings: &'a Settings,
}

impl Context<'_> {
    /// Whether a service account asks: an operator or another tool, no person.
    pub fn is_service_account(&self) -> bool {
        self.request.user.username.starts_with("system:serviceaccount:")
    }

    /// Whether a delete keeps what the object owns: an explicit policy says so, else the finalizer (Kubernetes,
    /// `shouldOrphanDependents` in apiserver/pkg/registry/generic/registry/store.go).
    pub fn orphans_dependents(&self) -> bool {
        let finalizers =
            || self.change.before().is_some_and(|old| old.metadata.finalizers().iter().any(|own| own == ORPHAN));
        match self.request.propagation_policy.as_ref() {
            "" => finalizers(),
            policy => policy == "Orphan",
        }
    }
}
