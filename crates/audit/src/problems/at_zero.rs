//! A workload is at 0, and its autoscaler cannot start it.
//!
//! ## Meaning
//! An HPA does nothing at 0: it takes that for switched off. Only where it went to 0 itself, which condition
//! `ScaledToZero` says, does it start the workload again (Kubernetes 1.37 and later).
//!
//! ## How it comes about
//! The workload was scaled to 0 by hand, or handed over from KEDA while at 0. An HPA with `minReplicas: 0` was made
//! anew, renamed or restored while its workload was at 0.
//!
//! ## What is looked at
//! Workloads at 0 with an HPA, or with a ScaledObject whose minimum is above 0. KEDA's `minReplicaCount: 0` and
//! `idleReplicaCount: 0`, its pauses, Flagger's and Rollouts' resting workloads, and those that tools put to sleep are
//! as they should be.
//!
//! ## What to do
//! Scale it to 1, from where the HPA goes on; `fix` does.

use crate::facts::count;
use crate::finding::{Finding, Found};
use crate::object::{Object, Ref};
use crate::view::View;

const PROBLEM: &str = "at-zero";

/// Looks for them.
pub fn check(view: &View<'_>, found: &mut Found) {
    let mut asleep: Vec<(Ref, &Object, String)> = Vec::new();
    for hpa in &view.hpas {
        let Some(workload) = sleeping(view, &hpa.target) else { continue };
        if found.explains(&hpa.object.key)
            || view.scaled_objects_on(&hpa.target).next().is_some()
            || hpa.has_scaled_to_zero()
        {
            continue;
        }
        asleep.push((hpa.object.key.clone(), workload, format!("{} does nothing at 0", hpa.object.key)));
    }
    for scaled in &view.scaled_objects {
        let Some(workload) = sleeping(view, &scaled.target) else { continue };
        let rests = scaled.min() == 0 || scaled.idle() == Some(0) || scaled.is_paused();
        if !rests && !found.explains(&scaled.object.key) {
            let why = format!("{} wants at least {}, and has not started it", scaled.object.key, scaled.min());
            asleep.push((scaled.object.key.clone(), workload, why));
        }
    }
    for (autoscaler, workload, why) in asleep {
        let is_kedas = autoscaler.kind == "ScaledObject";
        let wake = workload.key.kubectl("scale").arg("--replicas=1");
        let finding =
            Finding::new(PROBLEM, &workload.key, format!("{} is at 0, and nothing starts it: {why}", workload.key))
                .workload(&workload.key)
                .likely(is_kedas)
                .command(&wake);
        if !found.explains(&workload.key) {
            found.push(finding, [&autoscaler]);
        }
    }
}

fn sleeping<'i>(view: &View<'i>, target: &Ref) -> Option<&'i Object> {
    let workload = view.workload(target)?;
    (count::replicas(workload) == Some(0) && !view.holders.holds(workload)).then_some(workload)
}
