//! The verdict on fleets that lose envoyHpa, whatever change takes it from them.

use super::cause::{Cause, and_more, version_unknown};
use crate::change::Operation;
use crate::cluster::{Presence, api};
use crate::command::Command;
use crate::context::Context;
use crate::facts::autoscalers::scaled_by_keda;
use crate::facts::envoy_gateway::{Effective, EnvoyProxySpec, Fleet, Removal, Running};
use crate::facts::hpa::{self, HorizontalPodAutoscaler};
use crate::facts::workload;
use crate::finding::{Action, Finding};
use crate::subject::{Subject, WorkloadRef};
use autoscaler_guard_reading::title;

/// A fleet that a change takes from an HPA.
pub(super) struct LostFleet<'a> {
    pub(super) fleet: Fleet<'a>,
    before: Effective<'a>,
    after: Effective<'a>,
}

/// The fleets that have envoyHpa when the governing EnvoyProxy is `before`, and none when it is `after`.
pub(super) fn lost_fleets<'a>(
    fleets: Vec<Fleet<'a>>,
    before: Option<EnvoyProxySpec<'a>>,
    after: Option<EnvoyProxySpec<'a>>,
) -> Vec<LostFleet<'a>> {
    let between = |fleet: Fleet<'a>| {
        let (before, after) = (fleet.effective(before), fleet.effective(after));
        LostFleet::between(fleet, before, after)
    };
    fleets.into_iter().filter_map(between).collect()
}

impl<'a> LostFleet<'a> {
    /// The fleet, if it had envoyHpa by `before` and has none by `after`. Gateways that are being deleted lose nothing.
    pub(super) fn between(fleet: Fleet<'a>, before: Effective<'a>, after: Effective<'a>) -> Option<Self> {
        let loses = !fleet.is_terminating && before.declares_hpa() && !after.declares_hpa();
        loses.then_some(Self { fleet, before, after })
    }

    /// The fleet, if it has envoyHpa before and after: what goes is the HPA by its former name.
    pub(super) fn remade(
        fleet: &Fleet<'a>,
        before: Option<EnvoyProxySpec<'a>>,
        after: Option<EnvoyProxySpec<'a>>,
    ) -> Option<Self> {
        let (before, after) = (fleet.effective(before), fleet.effective(after));
        let keeps = !fleet.is_terminating && before.declares_hpa() && after.declares_hpa();
        keeps.then(|| Self { fleet: fleet.clone(), before, after })
    }

    pub(super) fn deployment(&self, context: &Context<'_>) -> WorkloadRef {
        self.fleet.deployment(&self.before, context.settings)
    }

    pub(super) fn hpa(&self, context: &Context<'_>) -> (String, String) {
        self.fleet.hpa(&self.before, context.settings)
    }

    /// Whether someone else owns the count from now on: a declaration in the same change, a ScaledObject, or the Deployment itself.
    fn is_answered(&self, context: &Context<'_>) -> bool {
        let deployment = self.deployment(context);
        self.after.replicas().is_some()
            || workload::needs_autoscaler(&deployment, context, self.live_hpa(context).as_ref()).is_none()
            || scaled_by_keda(context, &deployment)
    }

    fn live_hpa<'c>(&self, context: &Context<'c>) -> Option<HorizontalPodAutoscaler<'c>> {
        let (namespace, name) = self.hpa(context);
        let hpa = context.neighbours.get(&api::HORIZONTAL_POD_AUTOSCALER, &namespace, &name, hpa::FIELDS);
        match hpa.map(HorizontalPodAutoscaler::new) {
            Presence::Found(hpa) => Some(hpa),
            Presence::Absent | Presence::Unknown(_) => None,
        }
    }

    /// The live count, where it can be seen.
    pub(super) fn count(&self, context: &Context<'_>) -> Option<i64> {
        match self.deployment(context).get(&context.neighbours) {
            Presence::Found(deployment) => workload::replicas(&deployment),
            Presence::Absent | Presence::Unknown(_) => None,
        }
    }
}

/// The verdict on fleets that lose envoyHpa, whatever change takes it from them.
pub(super) fn judge(context: &Context<'_>, cause: &Cause, lost: &[LostFleet<'_>]) -> Option<Finding> {
    let first = lost.first()?;
    let running = Running::look_up(context);
    let (namespace, name) = first.hpa(context);
    let hpa = format!("{}{}", title("HPA", &namespace, &name), and_more(lost.len()));
    let finding = match running.removal() {
        Removal::Loses => loses(context, cause, running, lost)?,
        Removal::Orphans => {
            let outcome = format!(
                " would orphan {hpa}: {} leaves it behind, still scaling, even after its Gateway is deleted",
                running.name()
            );
            let finding = cause.declare_hpa(cause.finding(Action::Reject, &outcome), first.before.hpa_text());
            let mut finding = clean_up(finding, context, lost);
            finding.at_stake = "the orphan";
            finding
        }
        Removal::Either => {
            let outcome = format!(
                " would orphan {hpa}, or lose it: Envoy Gateway 1.1.3 to 1.4.x leaves it behind, still scaling; from 1.5 it goes and the replica count freezes"
            );
            let finding = cause.declare_hpa(cause.finding(Action::Reject, &outcome), first.before.hpa_text());
            version_unknown(clean_up(finding, context, lost))
        }
    };
    Some(about(finding, context, lost))
}

/// Names what is at stake, for the audit log and for an acknowledgement on the workloads.
pub(super) fn about(mut finding: Finding, context: &Context<'_>, lost: &[LostFleet<'_>]) -> Finding {
    if let Some((namespace, name)) = lost.first().map(|fleet| fleet.hpa(context)) {
        finding.autoscaler = title("HPA", &namespace, &name);
    }
    finding.workloads = lost.iter().map(|fleet| fleet.deployment(context)).collect();
    finding
}

/// The fleets' HPAs go and nothing else answers for their counts.
fn loses(context: &Context<'_>, cause: &Cause, running: Running, lost: &[LostFleet<'_>]) -> Option<Finding> {
    let at_risk: Vec<&LostFleet<'_>> = lost.iter().filter(|fleet| !fleet.is_answered(context)).collect();
    let frozen = at_risk.first()?;
    let deployment = format!("{}{}", frozen.deployment(context), and_more(at_risk.len()));
    if at_risk.iter().all(|fleet| fleet.after.is_daemon_set()) {
        let outcome =
            format!(" makes {deployment} a DaemonSet, which no HPA scales: {} deletes the HPA", running.name());
        return Some(cause.finding(Action::Warn, &outcome));
    }
    let outcome = format!(
        " would leave {deployment} with no autoscaler: {} deletes its HPA and the replica count freezes",
        running.name()
    );
    let mut finding = cause.declare_hpa(cause.finding(Action::Reject, &outcome), frozen.before.hpa_text());
    if cause.subject.resource == "envoyproxy" && context.request.operation == Operation::Update {
        finding =
            finding.help("Declare the count in the same change", declare_count(&cause.subject, frozen.count(context)));
    }
    Some(finding.help("Say that the fleet is not autoscaled", workload::not_autoscaled(&frozen.deployment(context))))
}

fn declare_count(subject: &Subject, count: Option<i64>) -> Command {
    let count = count.map_or_else(|| "<count>".to_owned(), |count| count.to_string());
    let patch = format!(
        r#"{{"spec":{{"provider":{{"kubernetes":{{"envoyHpa":null,"envoyDeployment":{{"replicas":{count}}}}}}}}}}}"#
    );
    subject.kubectl("patch", &["--type", "merge", "-p"]).arg(patch)
}

/// What to delete by hand after an acknowledged removal, for as many fleets as a message can hold.
pub(super) fn clean_up(mut finding: Finding, context: &Context<'_>, lost: &[LostFleet<'_>]) -> Finding {
    for fleet in lost.iter().take(10) {
        let (namespace, name) = fleet.hpa(context);
        finding = finding.help(
            "Afterwards delete what stays behind",
            Subject { resource: "hpa".into(), namespace, name }.kubectl("delete", &[]),
        );
    }
    finding
}
