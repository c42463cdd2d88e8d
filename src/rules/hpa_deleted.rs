//! A plain HPA is deleted while its workload lives.
//!
//! ## What it protects
//! A workload that is autoscaled stays autoscaled, unless someone says so.
//!
//! ## Why
//! The deletion succeeds, the workload keeps running at the count of that moment, and nobody is told: the loss shows at the next peak. KEDA
//! or Helm may be half-way, too: Helm deletes the HPA for a ScaledObject whose trigger KEDA cannot build, or while KEDA is down.
//!
//! ## When it fires
//! Someone deletes an HPA that no controller owns, its target lives and does not own its count, and nothing else scales it. A ScaledObject
//! counts as something else if it is Ready and names this HPA or has one of its own; one of the same Helm release and target unless its
//! Ready is False. Helm-managed HPAs only get a warning, since Helm deletes an HPA before its Deployment and would be stuck in `uninstall`
//! (settings `helm.hpaDeletes`, `helm.readReleases`). So do HPAs that Envoy Gateway left behind: deleting them is the cure.
//!
//! ## Ways through
//! * The workload owns its count: annotation `autoscaler-guard/autoscaling: "off"`, or `spec.replicas` declared by a server-side apply.
//! * Delete the workload first, or declare another autoscaler first.
//! * `autoscaler-guard/allow: hpa-deleted` on the HPA or its workload.
//!
//! ## Example
//! `kubectl delete hpa web -n shop`

use super::{Default, LookUp, Rule};
use crate::change::{Kind, Operation};
use crate::cluster::{Answer, api};
use crate::context::Context;
use crate::gate::Passage;
use crate::kinds::autoscalers::{Going, Other, other_autoscaler};
use crate::kinds::horizontal_pod_autoscaler::{HorizontalPodAutoscaler, other_controller, scaled_object_owners};
use crate::kinds::released::Release;
use crate::kinds::workload::WorkloadRef;
use crate::kinds::{Object, envoy_gateway, helm, scaled_object};
use crate::settings::HelmHpaDeletes;
use crate::verdict::{Action, Finding, Subject};

pub(super) static RULE: Rule = Rule {
    id: "hpa-deleted",
    title: "The only autoscaler of a live workload is not deleted unsaid",
    default: Default::Reject,
    may_reject: true,
    since: "0.1.0",
    concerns: Passage::Judged,
    watches: &[(Kind::HorizontalPodAutoscaler, &[Operation::Delete])],
    check,
};

pub(super) const LOOK_UPS: &[LookUp] = &[
    LookUp::Get(&api::ENVOY_PROXY),
    LookUp::Get(&api::GATEWAY),
    LookUp::Get(&api::GATEWAY_CLASS),
    LookUp::Get(&api::SCALED_OBJECT),
    LookUp::List(&api::HORIZONTAL_POD_AUTOSCALER),
    LookUp::List(&api::SCALED_OBJECT),
];

fn check(context: &Context<'_>) -> Option<Finding> {
    let old = context.change.deleted()?;
    if other_controller(old).is_some_and(|_| !envoy_gateway::has_fleet_labels(old))
        || has_live_scaled_object(context, old)
    {
        return None;
    }
    let hpa = HorizontalPodAutoscaler::new(old.clone());
    let target = WorkloadRef::new(&hpa.target(), &old.metadata.namespace);
    let unseen = target.needs_autoscaler(context, Some(&hpa))?;
    let release = Release::of(old);
    let going = Going {
        object: old,
        target: &hpa.target(),
        hpa: &old.metadata.name,
        scaled_object: release.as_ref().map(|release| release.uid.as_str()),
    };
    let caveat = match other_autoscaler(context, &going) {
        Other::Scales(_) | Other::Takes(_) => return None,
        Other::Nothing(reason) => Other::caveat(reason.as_ref()),
    };
    let this = old.title("HPA");
    let what =
        format!("deleting {this} would leave {target} with no autoscaler: nothing else scales it{unseen}{caveat}");
    let off = target.not_autoscaled();
    let finding = Finding::new(&RULE, action(context, old), Subject::new("hpa", &old.metadata), what)
        .about(target, this)
        .help("Say that the workload is not autoscaled", off);
    Some(finding)
}

/// Owned or released by a ScaledObject that lives, it is another rule's: owned-hpa-deleted, released-hpa-deleted.
fn has_live_scaled_object(context: &Context<'_>, hpa: &Object<'_>) -> bool {
    let found = |name: &str, uid: &str| {
        scaled_object::with_uid(context, &hpa.metadata.namespace, name, uid)
            .map(|owner| owner.object.metadata.is_terminating())
    };
    // With an owner that is being deleted the HPA goes anyway; the loss was judged with the owner.
    let owned = scaled_object_owners(hpa).next().is_some_and(|owner| found(&owner.name, &owner.uid) != Answer::Absent);
    let released =
        |release: Release| !matches!(found(&release.scaled_object, &release.uid), Answer::Absent | Answer::Found(true));
    owned || Release::of(hpa).is_some_and(released)
}

fn action(context: &Context<'_>, hpa: &Object<'_>) -> Action {
    let left_behind =
        envoy_gateway::has_fleet_labels(hpa) && envoy_gateway::declares_fleet_hpa(context, hpa) == Answer::Found(false);
    let helm_uninstalls =
        helm::softens_delete(context, hpa) && context.settings.helm_hpa_deletes == HelmHpaDeletes::Warn;
    if left_behind || helm_uninstalls { Action::Warn } else { Action::Reject }
}
