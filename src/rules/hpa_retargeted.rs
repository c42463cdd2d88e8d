//! An HPA is aimed at another workload, and the old one is left with none.
//!
//! ## What it protects
//! A workload that is autoscaled does not lose its autoscaler to another one.
//!
//! ## Why
//! The HPA stays and looks well, so nothing tells that its old workload keeps the count of that moment: the loss shows at the next peak.
//!
//! ## When it fires
//! `scaleTargetRef` (API group, kind or name; the version does not matter) moves away from a workload that lives and does not own its
//! count, and nothing else scales it; what counts as something else is told by `hpa-deleted`. What cannot be read counts as a loss, and the
//! message says so. It only warns where a chart or an app renames a workload: a declarative writer (setting `handover.fieldManagers`) aims
//! the HPA, and it, the old and the new workload are all there and of one Helm release or app (label `app.kubernetes.io/instance`), for Helm
//! and GitOps tools create the new workload first and delete the old one last. So it does where a ScaledObject of the same release is
//! expected to take over. HPAs of a live ScaledObject, of Envoy Gateway or of another operator are other rules' business, or their owner's.
//!
//! ## Ways through
//! * The workload owns its count: annotation `autoscaler-guard/autoscaling: "off"`, or `spec.replicas` declared by a server-side apply.
//! * Declare another autoscaler for the old workload first, or delete that workload first.
//! * `autoscaler-guard/allow: hpa-retargeted` on the HPA or its old workload.
//!
//! ## Example
//! `kubectl patch hpa web -n shop --type merge -p '{"spec":{"scaleTargetRef":{"name":"api"}}}'`

use super::{Default, LookUp, Rule, hpa_handover};
use crate::change::{Kind, Operation};
use crate::cluster::{Answer, api};
use crate::context::Context;
use crate::gate::Passage;
use crate::kinds::autoscalers::{Going, Other, other_autoscaler};
use crate::kinds::horizontal_pod_autoscaler::{HorizontalPodAutoscaler, other_controller, scaled_object_owners};
use crate::kinds::released::Release;
use crate::kinds::workload::WorkloadRef;
use crate::kinds::{Object, ScaleTargetRef, envoy_gateway, helm, scaled_object};
use crate::verdict::{Action, Finding, Subject};

pub(super) static RULE: Rule = Rule {
    id: "hpa-retargeted",
    title: "An HPA is not aimed away from a live workload that nothing else scales",
    default: Default::Reject,
    may_reject: true,
    since: "0.1.0",
    concerns: Passage::Judged,
    watches: &[(Kind::HorizontalPodAutoscaler, &[Operation::Update])],
    check,
};

pub(super) const LOOK_UPS: &[LookUp] = &[
    LookUp::Get(&api::SCALED_OBJECT),
    LookUp::List(&api::HORIZONTAL_POD_AUTOSCALER),
    LookUp::List(&api::SCALED_OBJECT),
];

fn check(context: &Context<'_>) -> Option<Finding> {
    let (old, new) = context.change.update()?;
    if old.spec_text() == new.spec_text() {
        return None;
    }
    let hpa = HorizontalPodAutoscaler::new(old.clone());
    let (from, to) = (hpa.target(), ScaleTargetRef::of_spec(new.spec()));
    if from.same_workload(&to) || is_anothers(context, old) {
        return None;
    }
    let release = Release::of(old);
    let released_from = release.as_ref().map(|release| release.uid.as_str());
    let going = Going { object: old, target: &from, hpa: &old.metadata.name, scaled_object: released_from };
    let this = old.title("HPA");
    let retarget = Retarget { rule: &RULE, subject: Subject::new("hpa", &old.metadata), this: &this, going, to: &to };
    let finding = retarget.judge(context, Some(&hpa), "", "")?;
    Some(Finding { autoscaler: this, ..finding })
}

/// Whose HPA it is has its own rules, hpa-handover and owned-hpa-changed, or an operator that puts it back.
fn is_anothers(context: &Context<'_>, hpa: &Object<'_>) -> bool {
    let lives = |name: &str, uid: &str| {
        !matches!(scaled_object::with_uid(context, &hpa.metadata.namespace, name, uid), Answer::Absent)
    };
    envoy_gateway::has_fleet_labels(hpa)
        || other_controller(hpa).is_some()
        || scaled_object_owners(hpa).next().is_some_and(|owner| lives(&owner.name, &owner.uid))
}

/// An autoscaler that moves to another workload.
pub(super) struct Retarget<'m, 'a> {
    /// Which rule tells of it.
    pub(super) rule: &'static Rule,
    /// The autoscaler as kubectl addresses it.
    pub(super) subject: Subject,
    /// The autoscaler as messages call it.
    pub(super) this: &'m str,
    /// What the old workload loses.
    pub(super) going: Going<'m, 'a>,
    /// The new target.
    pub(super) to: &'m ScaleTargetRef<'a>,
}

impl Retarget<'_, '_> {
    /// What the old workload loses by it. `how` tells by what means, `caveat` what is not known, as the end of a sentence.
    pub(super) fn judge(
        self,
        context: &Context<'_>,
        hpa: Option<&HorizontalPodAutoscaler<'_>>,
        how: &str,
        caveat: &str,
    ) -> Option<Finding> {
        let namespace = &self.going.object.metadata.namespace;
        let (from, to) = (WorkloadRef::new(self.going.target, namespace), WorkloadRef::new(self.to, namespace));
        let unseen = from.needs_autoscaler(context, hpa)?;
        let (action, then) = match other_autoscaler(context, &self.going) {
            Other::Scales(_) => return None,
            Other::Takes(other) => (
                Action::Warn,
                format!("leaves {from} to {other} of the same Helm release: check that it becomes Ready"),
            ),
            Other::Nothing(_)
                if hpa_handover::declares(context)
                    && self.is_renamed(context, &from)
                    && self.is_renamed(context, &to) =>
            {
                (
                    Action::Warn,
                    format!(
                        "leaves {from} with no autoscaler: fine if that workload is deleted next, as in a rename; else nothing scales it"
                    ),
                )
            }
            Other::Nothing(reason) => {
                let others = Other::caveat(reason.as_ref());
                (
                    Action::Reject,
                    format!(
                        "would leave {from} with no autoscaler: {how}nothing else scales it{caveat}{unseen}{others}"
                    ),
                )
            }
        };
        // Named by its API only where nothing else tells the two apart.
        let api = if (&from.kind, &from.name) == (&to.kind, &to.name) {
            format!(" of {}", to.api_version)
        } else {
            String::new()
        };
        let what = format!("aiming {} at {to}{api} {then}", self.this);
        let (copy, off) = (self.subject.kubectl("get", "-o yaml"), from.not_autoscaled());
        let mut finding = Finding::new(self.rule, action, self.subject, what)
            .help("Keep it, and give the new workload one of its own; to copy from", copy)
            .help("Or say that the old workload is not autoscaled", off);
        finding.workloads.push(from);
        Some(finding)
    }

    /// Whether a chart or an app renames this workload: the new one is created before the autoscaler is written, the old one deleted last.
    fn is_renamed(&self, context: &Context<'_>, workload: &WorkloadRef) -> bool {
        let this = &self.going.object.metadata;
        matches!(workload.get(&context.neighbours), Answer::Found(found) if helm::same_release_or_app(&found.metadata, this))
    }
}
