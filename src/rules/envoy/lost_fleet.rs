//! The verdict on fleets that lose envoyHpa, whatever change takes it from them.

use super::cause::{Cause, and_more, version_unknown};
use crate::change::Operation;
use crate::cluster::{Presence, api};
use crate::command::Command;
use crate::context::Context;
use crate::facts::autoscalers::scaled_by_keda;
use crate::facts::envoy_gateway::{
    Effective, EnvoyProxySpec, FEW, Fleet, OWN_LABELS, Removal, Running, has_own_labels,
};
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

    /// The fleet's Deployment: what its HPA aims at, wherever that is.
    pub(super) fn deployment(&self, context: &Context<'a>) -> WorkloadRef {
        match self.live_hpa(context) {
            Presence::Found(hpa) if self.is_elsewhere(&hpa) => hpa.workload(),
            _ => self.fleet.deployment(&self.before),
        }
    }

    /// The fleet's HPA by namespace and name, wherever it is.
    pub(super) fn hpa(&self, context: &Context<'a>) -> (String, String) {
        match self.live_hpa(context) {
            Presence::Found(HorizontalPodAutoscaler { object }) => {
                (object.metadata.namespace.to_string(), object.metadata.name.to_string())
            }
            Presence::Absent | Presence::Unknown(_) => self.fleet.hpa(&self.before),
        }
    }

    pub(super) fn running(&self) -> Running {
        self.fleet.home.running
    }

    /// Whether someone else owns the count from now on: a declaration in the same change, a ScaledObject, or the
    /// Deployment itself.
    fn is_answered(&self, context: &Context<'a>) -> bool {
        let deployment = self.deployment(context);
        let hpa = self.live_hpa(context);
        // Where the fleet was looked for is a guess, unless its HPA was found.
        let is_nowhere = || !matches!(hpa, Presence::Found(_)) && !self.fleet.home.is_known;
        let found = if let Presence::Found(hpa) = &hpa { Some(hpa) } else { None };
        self.after.replicas().is_some()
            || workload::needs_autoscaler(&deployment, context, found).is_none() && !is_nowhere()
            || scaled_by_keda(context, &deployment)
    }

    /// The HPA: by the labels that Envoy Gateway gives it where neither it nor its Deployment is at the expected
    /// address.
    fn live_hpa(&self, context: &Context<'a>) -> Presence<HorizontalPodAutoscaler<'a>> {
        let (namespace, name) = self.fleet.hpa(&self.before);
        let kind = &api::HORIZONTAL_POD_AUTOSCALER;
        let is_here = || {
            let deployment = self.fleet.deployment(&self.before).get(&context.neighbours);
            matches!(deployment, Presence::Found(_))
        };
        let found = match context.neighbours.get(kind, &namespace, &name, hpa::FIELDS) {
            Presence::Absent if !is_here() => self.fleet.all_hpas(context).find(|hpa| self.fleet.labels(hpa)),
            answer => answer,
        };
        found.map(HorizontalPodAutoscaler::new)
    }

    fn is_elsewhere(&self, hpa: &HorizontalPodAutoscaler<'_>) -> bool {
        let (namespace, name) = self.fleet.hpa(&self.before);
        hpa.object.metadata.namespace != namespace || hpa.object.metadata.name != name
    }

    /// Whether the HPA stays behind for want of a label, though its version deletes HPAs by their labels (from 1.5).
    fn stays_unlabelled(&self, context: &Context<'a>) -> bool {
        let is_bare = |hpa: &HorizontalPodAutoscaler<'_>| !has_own_labels(&hpa.object);
        self.running().deletes_by_labels() == Some(true)
            && matches!(self.live_hpa(context), Presence::Found(hpa) if is_bare(&hpa))
    }

    /// The live count, where it can be seen.
    pub(super) fn count(&self, context: &Context<'a>) -> Option<i64> {
        match self.deployment(context).get(&context.neighbours) {
            Presence::Found(deployment) => workload::replicas(&deployment),
            Presence::Absent | Presence::Unknown(_) => None,
        }
    }
}

/// The verdict on fleets that lose envoyHpa, whatever change takes it from them.
pub(super) fn judge<'a>(context: &Context<'a>, cause: &Cause, lost: &[LostFleet<'a>]) -> Option<Finding> {
    let running = lost.first()?.running();
    if running.removal() == Removal::Loses {
        if let Some(bare) = lost.iter().take(FEW).find(|fleet| fleet.stays_unlabelled(context)) {
            return Some(about(unlabelled(context, cause, bare), context, lost));
        }
        return Some(about(loses(context, cause, running, lost)?, context, lost));
    }
    // What is not there cannot stay behind.
    let is_gone = |fleet: &LostFleet<'a>| fleet.live_hpa(context).is_absent() && fleet.fleet.home.is_known;
    let first = lost.iter().find(|fleet| !is_gone(fleet))?;
    let (namespace, name) = first.hpa(context);
    let hpa = format!("{}{}", title("HPA", &namespace, &name), and_more(lost.len()));
    let orphans = running.removal() == Removal::Orphans;
    let outcome = if orphans {
        format!(
            " would orphan {hpa}: {} leaves it behind, still scaling, even after its Gateway is deleted",
            running.name()
        )
    } else {
        format!(
            " would orphan {hpa}, or lose it: Envoy Gateway 1.1.3 to 1.4.x leaves it behind, still scaling; from 1.5 it goes and the replica count freezes"
        )
    };
    let finding = cause.declare_hpa(cause.finding(Action::Reject, &outcome), first.before.hpa_text());
    let mut finding = clean_up(finding, context, lost);
    if orphans {
        finding.at_stake = "the orphan";
    } else {
        finding = version_unknown(finding);
    }
    Some(about(finding, context, lost))
}

/// From 1.5 on Envoy Gateway deletes HPAs by their labels: one that lacks any of these stays.
fn unlabelled<'a>(context: &Context<'a>, cause: &Cause, bare: &LostFleet<'a>) -> Finding {
    let (namespace, name) = bare.hpa(context);
    let outcome = format!(
        " would leave {} behind, still scaling: {} deletes HPAs by its labels, and this one lacks some",
        title("HPA", &namespace, &name),
        bare.running().name()
    );
    let own = OWN_LABELS.iter().map(|(key, value)| format!("{key}={value}"));
    let label = Subject { resource: "hpa".into(), namespace, name }.kubectl("label", &["--overwrite"]);
    let label = own.fold(label, Command::arg);
    let mut finding = cause.finding(Action::Reject, &outcome).help("Give it Envoy Gateway's labels first", label);
    finding.at_stake = "the orphan";
    finding
}

/// Names what is at stake, for the audit log and for an acknowledgement on the workloads.
pub(super) fn about<'a>(mut finding: Finding, context: &Context<'a>, lost: &[LostFleet<'a>]) -> Finding {
    if let Some((namespace, name)) = lost.first().map(|fleet| fleet.hpa(context)) {
        finding.autoscaler = title("HPA", &namespace, &name);
    }
    let is_many = lost.len() > FEW;
    // Where they are many, the expected address has to do: looking all up would take too long.
    let place = |fleet: &LostFleet<'a>| {
        if is_many { fleet.fleet.deployment(&fleet.before) } else { fleet.deployment(context) }
    };
    finding.workloads = lost.iter().map(place).collect();
    finding
}

/// The fleets' HPAs go and nothing else answers for their counts.
fn loses<'a>(context: &Context<'a>, cause: &Cause, running: Running, lost: &[LostFleet<'a>]) -> Option<Finding> {
    // One is enough to know; the others are looked at only where they are few.
    let (at, frozen) = lost.iter().enumerate().find(|(_, fleet)| !fleet.is_answered(context))?;
    let others = lost.get(at + 1..).unwrap_or_default();
    let others: Vec<&LostFleet<'_>> =
        others.iter().filter(|fleet| lost.len() > FEW || !fleet.is_answered(context)).collect();
    let deployment = format!("{}{}", frozen.deployment(context), and_more(others.len() + 1));
    if frozen.after.is_daemon_set() && others.iter().all(|fleet| fleet.after.is_daemon_set()) {
        let outcome =
            format!(" makes {deployment} a DaemonSet, which no HPA scales: {} deletes the HPA", running.name());
        return Some(cause.finding(Action::Warn, &outcome));
    }
    let outcome = format!(
        " would leave {deployment} with no autoscaler: {} deletes its HPA and the replica count freezes",
        running.name()
    );
    let mut finding = cause.declare_hpa(cause.finding(Action::Reject, &outcome), frozen.before.hpa_text());
    // One count would not fit several fleets.
    if cause.takes_count && others.is_empty() && context.request.operation == Operation::Update {
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
pub(super) fn clean_up<'a>(mut finding: Finding, context: &Context<'a>, lost: &[LostFleet<'a>]) -> Finding {
    // The rest is left to audits: looking all up would take too long.
    for fleet in lost.iter().take(FEW) {
        let (namespace, name) = fleet.hpa(context);
        finding = finding.help(
            "Afterwards delete what stays behind",
            Subject { resource: "hpa".into(), namespace, name }.kubectl("delete", &[]),
        );
    }
    finding
}
