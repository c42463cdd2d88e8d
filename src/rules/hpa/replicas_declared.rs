//! An autoscaler comes to a workload whose manifest declares a replica count.
//!
//! ## What it protects
//! A workload's count has one who sets it.
//!
//! ## Why
//! The two fight for as long as both are there: every apply of the manifest puts its count back, the autoscaler its own
//! (argoproj/argo-cd issue 5105, helm/helm issue 7090). Under load that is an outage at each deployment. Helm 4 applies
//! server-side, and once the HPA has changed the count its upgrades fail with a conflict, `conflict with
//! "kube-controller-manager" with subresource "scale"`.
//!
//! ## When it fires
//! An HPA or ScaledObject that is not paused is created for, aimed at or woken for a workload that declares
//! `spec.replicas`: in `kubectl.kubernetes.io/last-applied-configuration`, by a server-side apply, or as a count other
//! than 1, the default, that was written with the rest of the object. It warns.
//!
//! ## Overrides
//! * Take `spec.replicas` out of the workload's manifest. The count of the moment stays if the HPA has set it before;
//!   else it falls to 1 until the autoscaler raises it.
//! * Helm 4: once, `helm upgrade --force-conflicts`.
//! * `autoscaler-guard/allow: replicas-declared` on the autoscaler silences it.
//!
//! ## Example
//! `kubectl autoscale deployment web -n shop --min 2 --max 10`, where the manifest of `web` says `replicas: 1`.

use crate::change::{Kind, Operation};
use crate::cluster::Presence;
use crate::context::Context;
use crate::facts::autoscalers::{keeps_target, target_of};
use crate::facts::hpa::scaled_object_owners;
use crate::facts::{scaled_object, workload};
use crate::finding::{Action, Finding, Help};
use crate::gate::Scope;
use crate::rule::{DefaultAction, Lookup, Rule, Stage};
use crate::subject::{Subject, WorkloadRef};

pub(in crate::rules) static RULE: Rule = Rule {
    id: "replicas-declared",
    title: "This workload's manifest and its autoscaler fight over the count",
    default: DefaultAction::Warn,
    may_reject: true,
    since: "0.1.0",
    stage: Stage::Preview,
    scope: Scope::Judged,
    watches: &[
        (Kind::HorizontalPodAutoscaler, &[Operation::Create, Operation::Update]),
        (Kind::ScaledObject, &[Operation::Create, Operation::Update]),
    ],
    check,
};

pub(in crate::rules) const LOOKUPS: &[Lookup] = &[];

fn check(context: &Context<'_>) -> Option<Finding> {
    let new = context.change.after()?;
    let is_paused = context.request.kind == Kind::ScaledObject && scaled_object::is_paused(new);
    // KEDA's HPA comes with its ScaledObject.
    if keeps_target(context) || is_paused || scaled_object_owners(new).next().is_some() {
        return None;
    }
    let workload = WorkloadRef::new(&target_of(context, new), &new.metadata.namespace);
    let Presence::Found(found) = workload.get(&context.neighbours) else { return None };
    let declared = workload::declared_replicas(&found).filter(|_| !found.metadata.is_terminating())?;
    let this = new.title(context.request.kind.name());
    let what = format!(
        "{this} scales {workload}, whose manifest says {declared} replicas: each apply puts {declared} back, and the autoscaler its own count"
    );
    let mut finding =
        Finding::new(RULE.id, Action::Warn, Subject::new(context.request.kind.resource(), &new.metadata), what)
            .about(workload, this)
            .help("Take it out of the workload's manifest", Help::field("spec.replicas"));
    finding.at_stake = "it";
    Some(finding)
}
