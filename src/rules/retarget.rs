//! An autoscaler is aimed away from a workload: what HPAs and ScaledObjects have in common.

use crate::cluster::Presence;
use crate::context::Context;
use crate::facts::application::{self, Member, belong_together};
use crate::facts::autoscalers::{Departing, Replacement, other_autoscaler};
use crate::facts::hpa::HorizontalPodAutoscaler;
use crate::facts::workload;
use crate::finding::{Action, Finding};
use crate::subject::{ScaleTargetRef, Subject, WorkloadRef};
use autoscaler_guard_reading::group_of;

/// An autoscaler that moves to another workload.
pub(super) struct Retarget<'m, 'a> {
    /// Which rule reports it.
    pub(super) rule: &'static str,
    /// The autoscaler as kubectl addresses it.
    pub(super) subject: Subject,
    /// The autoscaler as messages call it.
    pub(super) this: &'m str,
    /// What the old workload loses.
    pub(super) departing: Departing<'m, 'a>,
    /// The new target.
    pub(super) to: &'m ScaleTargetRef<'a>,
}

impl Retarget<'_, '_> {
    /// What the old workload loses by it. `how` says by what means, `caveat` what is not known, as the end of a
    /// sentence.
    pub(super) fn judge(
        self,
        context: &Context<'_>,
        hpa: Option<&HorizontalPodAutoscaler<'_>>,
        how: &str,
        caveat: &str,
    ) -> Option<Finding> {
        let namespace = &self.departing.object.metadata.namespace;
        let (from, to) = (WorkloadRef::new(self.departing.target, namespace), WorkloadRef::new(self.to, namespace));
        let need = workload::needs_autoscaler(&from, context, hpa)?;
        let (action, then) = match other_autoscaler(context, &Departing { at_zero: need.at_zero, ..self.departing }) {
            Replacement::Scales(_) => return None,
            Replacement::Takes(other) => {
                (Action::Warn, format!("leaves {from} to {other} of the same application: check that it becomes Ready"))
            }
            Replacement::Asleep(other) => {
                (Action::Warn, format!("leaves {from} at 0 replicas: {other} does not start it from there"))
            }
            Replacement::Nothing(_)
                if application::declares(context) && self.is_renamed(context, &from) && is_new_name(context, &to) =>
            {
                (
                    Action::Warn,
                    format!(
                        "leaves {from} with no autoscaler: fine if that workload is deleted next, as in a rename; else nothing scales it"
                    ),
                )
            }
            Replacement::Nothing(reason) => {
                let others = Replacement::caveat(reason.as_ref());
                (
                    need.soften(Action::Reject),
                    format!("would leave {from} with no autoscaler: {how}nothing else scales it{caveat}{need}{others}"),
                )
            }
        };
        // Named by its API only where nothing else sets the two apart.
        let api = if (&from.kind, &from.name) == (&to.kind, &to.name) {
            format!(" of {}", to.api_version)
        } else {
            String::new()
        };
        let what = format!("aiming {} at {to}{api} {then}", self.this);
        let (copy, off) = (self.subject.kubectl("get", &["-o", "yaml"]), workload::not_autoscaled(&from));
        let mut finding = Finding::new(self.rule, action, self.subject, what)
            .help("Keep it, and give the new workload one of its own; to copy from", copy)
            .help("Or say that the old workload is not autoscaled", off);
        finding.workloads.push(from);
        Some(finding)
    }

    /// Whether the old workload is of the autoscaler's chart or app, which is expected to delete it last.
    fn is_renamed(&self, context: &Context<'_>, workload: &WorkloadRef) -> bool {
        let this = Member::of_request(context, self.departing.object);
        matches!(workload.get(&context.neighbours), Presence::Found(found) if belong_together(this, Member::workload(workload, &found)))
    }
}

/// Whether the new workload is of the chart or app, too. One that is not there yet comes next if it is of a custom
/// kind, as Helm writes kinds that it does not know last (helm/helm, `pkg/release/v1/util/kind_sorter.go`;
/// argoproj/argo-rollouts issue 4110), or a StatefulSet, which Helm and Argo CD write after HPAs (there;
/// `gitops-engine/pkg/sync/sync_tasks.go`); with Argo CD's waves a Deployment, too.
fn is_new_name(context: &Context<'_>, workload: &WorkloadRef) -> bool {
    let Some(new) = context.change.after() else { return false };
    match workload.get(&context.neighbours) {
        Presence::Found(found) => belong_together(Member::of_request(context, new), Member::workload(workload, &found)),
        Presence::Absent => match workload.kind.as_str() {
            "StatefulSet" => true,
            "Deployment" => application::writes_late(context),
            _ => group_of(&workload.api_version) != "apps",
        },
        Presence::Unknown(_) => true,
    }
}
