//! An EnvoyProxy changes so that a fleet is left without envoyHpa.
//!
//! ## What it protects
//! Envoy's fleets stay autoscaled, and no HPA is left that nothing declares.
//!
//! ## Why
//! Envoy Gateway 1.1.3 to 1.4.x leaves the HPA behind: it keeps scaling, even after the Gateway is gone, and fights whatever comes next
//! (envoyproxy/gateway issue 5357). From 1.5 on the HPA is deleted and the replica count freezes where it happens to be.
//!
//! ## When it fires
//! An update takes envoyHpa from a fleet that the EnvoyProxy governs, through a GatewayClass or through a Gateway's own reference: envoyHpa,
//! kubernetes, provider or spec removed, provider type changed, `mergeType` removed so that the class's envoyHpa no longer reaches the
//! Gateway. Which Envoy Gateway runs comes from setting `envoyGateway.version`, else from the image of its Deployment; when neither tells,
//! both hazards are named. To a DaemonSet it is refused where the HPA would stay behind, and warned of from 1.5 on.
//!
//! ## Ways through
//! * From 1.5: declare `envoyDeployment.replicas` in the same change, or scale the fleet by a ScaledObject, or let the fleet's Deployment
//!   own its count (annotation `autoscaler-guard/autoscaling: "off"`, or `spec.replicas` applied server-side).
//! * Setting `envoyHpaRemoval: pin`: envoyHpa stays, with min = max = the declared or present count.
//! * `autoscaler-guard/allow: envoyhpa-removed` on the EnvoyProxy, or on every fleet's Deployment; before 1.5 delete the HPA afterwards.
//!
//! ## Example
//! `kubectl patch envoyproxy fleet -n envoy-gateway-system --type json -p '[{"op":"remove","path":"/spec/provider/kubernetes/envoyHpa"}]'`

use super::{Default, LookUp, Rule};
use crate::change::{Kind, Operation};
use crate::cluster::{Answer, Reason, api};
use crate::context::Context;
use crate::gate::Passage;
use crate::json::{Json, put, quoted};
use crate::kinds::autoscalers::scaled_by_keda;
use crate::kinds::envoy_gateway::{Effective, EnvoyProxySpec, Estate, Fleet, Removal, Running};
use crate::kinds::horizontal_pod_autoscaler::{self, HorizontalPodAutoscaler};
use crate::kinds::workload::{self, WorkloadRef};
use crate::kinds::{Object, title};
use crate::repair::Edit;
use crate::settings::EnvoyHpaRemoval;
use crate::verdict::{Action, Finding, Subject};

pub(super) static RULE: Rule = Rule {
    id: "envoyhpa-removed",
    title: "An Envoy fleet does not lose its HPA, nor is the HPA left behind",
    default: Default::Reject,
    may_reject: true,
    since: "0.1.0",
    concerns: Passage::Judged,
    watches: &[(Kind::EnvoyProxy, &[Operation::Update])],
    check,
};

pub(super) const LOOK_UPS: &[LookUp] = &[
    LookUp::Get(&api::ENVOY_PROXY),
    LookUp::Get(&api::HORIZONTAL_POD_AUTOSCALER),
    LookUp::List(&api::GATEWAY),
    LookUp::List(&api::GATEWAY_CLASS),
    LookUp::List(&api::SCALED_OBJECT),
];

const ENVOY_HPA: &[&str] = &["spec", "provider", "kubernetes", "envoyHpa"];

fn check(context: &Context<'_>) -> Option<Finding> {
    let (old, new) = context.change.update()?;
    let before = EnvoyProxySpec::of(old);
    let after = EnvoyProxySpec::of(new);
    let loses_own = before.declares_hpa() && !after.declares_hpa();
    let loses_merged = before.is_merged() && !after.is_merged() && !after.declares_hpa();
    if !loses_own && !loses_merged {
        return None;
    }
    let subject = Subject::new("envoyproxy", &new.metadata);
    let change = format!("removing envoyHpa from {}", new.title("EnvoyProxy"));
    let cause = Cause { rule: &RULE, subject, change, governing: None };
    match Estate::look_up(context).and_then(|estate| estate.governed(old, before)) {
        Ok(governed) => {
            let lost = lost_fleets(governed.fleets, Some(before), Some(after));
            Some(pinned(context, judge(context, &cause, &lost)?, after, &lost))
        }
        Err(reason) => Some(cause.unknown_fleets(&reason)),
    }
}

/// A change that may take envoyHpa from fleets, and how findings about it are told.
pub(super) struct Cause {
    pub(super) rule: &'static Rule,
    /// The changed object.
    pub(super) subject: Subject,
    /// The change, as a sentence begins.
    pub(super) change: String,
    /// The EnvoyProxy, other than the changed object, that the fleets would run by.
    pub(super) governing: Option<Subject>,
}

impl Cause {
    /// The change ends in an EnvoyProxy that does not exist, so nothing can be declared there.
    pub(super) fn is_to_nothing(&mut self) {
        self.change.push_str(", which does not exist,");
        self.governing = None;
    }

    /// A finding whose sentence goes on after the change.
    pub(super) fn finding(&self, action: Action, outcome: &str) -> Finding {
        Finding::new(self.rule, action, self.subject.clone(), format!("{}{outcome}", self.change))
    }

    /// Which fleets run by what could not be seen: there may be some.
    pub(super) fn unknown_fleets(&self, reason: &Reason) -> Finding {
        let outcome = format!(
            " may leave Envoy fleets without an autoscaler: which run by which EnvoyProxy is not known ({reason})"
        );
        self.finding(Action::Reject, &outcome)
            .help("Try again once the policy may read and list Gateways", "see policies/rbac.yaml".to_owned())
    }

    /// Before 1.5 a class whose EnvoyProxy is missing stops the whole controller; `how` it comes to that follows the change.
    pub(super) fn freezes_all(&self, running: Running, how: &str) -> Finding {
        let which = if running.0.is_some() {
            ""
        } else {
            " (before 1.5; which version runs is not known: set envoyGateway.version)"
        };
        let mut finding = self.finding(
            Action::Reject,
            &format!("{how} stops {} from managing every fleet of every class{which}", running.name()),
        );
        finding.at_stake = "it";
        finding
    }

    /// Adds what most people meant to do: the next EnvoyProxy has envoyHpa, too.
    fn declare_hpa(&self, finding: Finding, fleet: &LostFleet<'_>) -> Finding {
        match (&self.governing, fleet.before.hpa_text()) {
            // A quote would end the command's own.
            (Some(proxy), Some(hpa)) if !hpa.contains('\'') => {
                let patch =
                    format!(r#"{{"spec":{{"provider":{{"type":"Kubernetes","kubernetes":{{"envoyHpa":{hpa}}}}}}}}}"#);
                finding
                    .help("Declare envoyHpa there first", proxy.kubectl("patch", &format!("--type merge -p '{patch}'")))
            }
            _ => finding,
        }
    }
}

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
            || deployment.needs_autoscaler(context, self.live_hpa(context).as_ref()).is_none()
            || scaled_by_keda(context, &deployment)
    }

    fn live_hpa<'c>(&self, context: &Context<'c>) -> Option<HorizontalPodAutoscaler<'c>> {
        let (namespace, name) = self.hpa(context);
        let hpa = context.neighbours.get(
            &api::HORIZONTAL_POD_AUTOSCALER,
            &namespace,
            &name,
            horizontal_pod_autoscaler::FIELDS,
        );
        match hpa.map(HorizontalPodAutoscaler::new) {
            Answer::Found(hpa) => Some(hpa),
            Answer::Absent | Answer::Unknown(_) => None,
        }
    }

    fn count(&self, context: &Context<'_>) -> Option<i64> {
        match self.deployment(context).get(&context.neighbours) {
            Answer::Found(deployment) => workload::replicas(&deployment),
            Answer::Absent | Answer::Unknown(_) => None,
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
            let finding = cause.declare_hpa(cause.finding(Action::Reject, &outcome), first);
            let mut finding = clean_up(finding, context, lost);
            finding.at_stake = "the orphan";
            finding
        }
        Removal::Either => {
            let outcome = format!(
                " would orphan {hpa}, or lose it: Envoy Gateway 1.1.3 to 1.4.x leaves it behind, still scaling; from 1.5 it goes and the replica count freezes"
            );
            let finding = cause.declare_hpa(cause.finding(Action::Reject, &outcome), first);
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
    let mut finding = cause.declare_hpa(cause.finding(Action::Reject, &outcome), frozen);
    if cause.subject.resource == "envoyproxy" && context.change.operation == Operation::Update {
        finding =
            finding.help("Declare the count in the same change", declare_count(&cause.subject, frozen.count(context)));
    }
    Some(finding.help("Say that the fleet is not autoscaled", frozen.deployment(context).not_autoscaled()))
}

pub(super) fn version_unknown(mut finding: Finding) -> Finding {
    finding.notes.push("Which Envoy Gateway runs is not known: set envoyGateway.version".to_owned());
    finding
}

pub(super) fn and_more(count: usize) -> String {
    if count > 1 { format!(" and {} more", count - 1) } else { String::new() }
}

fn declare_count(subject: &Subject, count: Option<i64>) -> String {
    let count = count.map_or_else(|| "<count>".to_owned(), |count| count.to_string());
    let patch = format!(
        r#"{{"spec":{{"provider":{{"kubernetes":{{"envoyHpa":null,"envoyDeployment":{{"replicas":{count}}}}}}}}}}}"#
    );
    subject.kubectl("patch", &format!("--type merge -p '{patch}'"))
}

/// What to delete by hand after an acknowledged removal, for as many fleets as a message can hold.
pub(super) fn clean_up(mut finding: Finding, context: &Context<'_>, lost: &[LostFleet<'_>]) -> Finding {
    for fleet in lost.iter().take(10) {
        let (namespace, name) = fleet.hpa(context);
        finding = finding.help(
            "Afterwards delete what stays behind",
            Subject { resource: "hpa".into(), namespace, name }.kubectl("delete", ""),
        );
    }
    finding
}

/// Setting `envoyHpaRemoval: pin`: envoyHpa stays with min = max, where that is possible.
fn pinned(context: &Context<'_>, mut finding: Finding, after: EnvoyProxySpec<'_>, lost: &[LostFleet<'_>]) -> Finding {
    let pins = context.settings.envoy_hpa_removal == EnvoyHpaRemoval::Pin && matches!(finding.action, Action::Reject);
    let possible = !after.is_daemon_set() && !after.is_other_provider();
    let count = after
        .replicas()
        .or_else(|| lost.iter().filter_map(|fleet| fleet.count(context)).max())
        .filter(|count| *count > 0);
    if let Some(count) = count.filter(|_| pins && possible) {
        let count_text = count.to_string();
        let keep = Json::new(context.change.old_text()).at(ENVOY_HPA).map_or("{}", Json::text);
        let fields = [("minReplicas", &count_text), ("maxReplicas", &count_text)];
        let hpa = fields.iter().fold(keep.to_owned(), |hpa, (field, value)| put(&hpa, &[field], value));
        finding.action = Action::Repair(vec![
            Edit::Set { path: &["spec", "provider", "type"], value: quoted("Kubernetes") },
            Edit::Set { path: ENVOY_HPA, value: hpa },
        ]);
        let this = context.change.object().map(|object: &Object<'_>| object.title("EnvoyProxy")).unwrap_or_default();
        finding.repaired =
            format!("envoyHpa of {this} was pinned to minReplicas = maxReplicas = {count} instead of removed");
    }
    finding
}
