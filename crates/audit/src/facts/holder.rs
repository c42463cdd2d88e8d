//! Controllers that hold a workload at 0, or count for another: Flagger's canaries, the Deployments that Rollouts refer
//! to, tools that put workloads to sleep.

use std::collections::BTreeSet;

use autoscaler_guard_reading::group_of;

use super::count;
use crate::inventory::Inventory;
use crate::object::{Object, Ref, text};

/// The workloads that some controller scales by itself.
#[derive(Debug, Default)]
pub struct Holders {
    held: BTreeSet<Ref>,
}

/// The field managers of tools that put workloads to sleep.
const SLEEPERS: &[&str] =
    &["flagger", "rollouts-controller", "argo-rollouts", "kube-downscaler", "py-kube-downscaler", "kube-green"];

/// kube-downscaler notes on a workload that sleeps which count it had.
const SLEEPS: &str = "downscaler/original-replicas";

impl Holders {
    /// Finds them.
    pub fn of(inventory: &Inventory) -> Self {
        let mut held = BTreeSet::new();
        let mut hold = |object: &Object, pointer: &str| {
            let Some(reference) = object.value.pointer(pointer) else { return };
            let group = group_of(text(reference, "/apiVersion"));
            held.insert(Ref::new(group, text(reference, "/kind"), &object.key.namespace, text(reference, "/name")));
        };
        // fluxcd/flagger, pkg/canary: the target rests at 0, its copy `<name>-primary` works.
        inventory.kind("flagger.app", "Canary").for_each(|canary| hold(canary, "/spec/targetRef"));
        // argoproj/argo-rollouts, `spec.workloadRef`: the Deployment gives the template only.
        inventory.kind("argoproj.io", "Rollout").for_each(|rollout| hold(rollout, "/spec/workloadRef"));
        Self { held }
    }

    /// Whether a controller holds a workload's count.
    pub fn holds(&self, workload: &Object) -> bool {
        self.held.contains(&workload.key)
            || workload.annotation(SLEEPS).is_some()
            || count::holder(workload).is_some_and(|manager| SLEEPERS.contains(&manager))
    }
}
