//! The HPA controller: it scales by pods, so two HPAs on the same pods stop each other; at 0 it does nothing, unless it
//! went there itself.
//!
//! After kubernetes pkg/controller/podautoscaler/horizontal.go (`reconcileAutoscaler`,
//! `hpasControllingPodsUnderSelector`; from 1.37 `shouldComputeMetricsForZeroReplicas`).

use std::sync::Arc;

use serde_json::{Value, json};

use crate::object::{self, At, Key, Stored, number, text};
use crate::server::{Actor, Reply, Request, Verb, World, time};

const CONTROLLER: Actor = Actor {
    name: "HPA controller",
    user: "system:serviceaccount:kube-system:horizontal-pod-autoscaler",
    manager: "kube-controller-manager",
    names_manager: false,
};

/// Whether an HPA can scale, and if not, why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It scales.
    Active,
    /// Its target does not exist, or nothing serves its kind.
    NoTarget,
    /// Others scale the same pods.
    Ambiguous,
    /// The count is 0, and it was not this HPA that put it there.
    Disabled,
    /// Nobody serves its metrics.
    NoMetrics,
}

impl State {
    fn reason(self) -> (&'static str, &'static str) {
        match self {
            Self::Active => ("True", "ValidMetricFound"),
            Self::NoTarget => ("False", "FailedGetScale"),
            Self::Ambiguous => ("False", "AmbiguousSelector"),
            Self::Disabled => ("False", "ScalingDisabled"),
            Self::NoMetrics => ("False", "FailedGetExternalMetric"),
        }
    }
}

/// What an HPA aims at.
pub fn target(key: &Key, hpa: &Value) -> Key {
    let reference = hpa.at("/spec/scaleTargetRef").unwrap_or(&Value::Null);
    Key::target(reference, &key.namespace)
}

/// Whether an HPA can scale.
pub fn state(world: &World, key: &Key, hpa: &Value) -> State {
    let target = target(key, hpa);
    let Some(workload) = world.objects.get(&target).filter(|_| target.is_workload()) else {
        return State::NoTarget;
    };
    let replicas = number(&workload.value, "/spec/replicas");
    if replicas == Some(0) && !went_to_zero(world, hpa) {
        return State::Disabled;
    }
    let rivals = world.hpas(&key.namespace).filter(|(other, stored)| {
        *other != key && shares_pods(world, &target, &workload.value, &self::target(other, &stored.value))
    });
    if rivals.count() > 0 {
        return State::Ambiguous;
    }
    if lacks_metrics(world, key, hpa) { State::NoMetrics } else { State::Active }
}

/// Since 1.37 an HPA with minReplicas 0 that went to 0 itself may start again.
fn went_to_zero(world: &World, hpa: &Value) -> bool {
    world.setup.kubernetes >= 37 && condition(hpa, "ScaledToZero") == Some("True")
}

fn condition<'v>(hpa: &'v Value, kind: &str) -> Option<&'v str> {
    let found = object::items(hpa, "/status/conditions").iter().find(|condition| text(condition, "/type") == kind);
    found.map(|condition| text(condition, "/status"))
}

/// Whether the target of another HPA has pods of this one's: by labels, or because it is the same.
fn shares_pods(world: &World, target: &Key, workload: &Value, other: &Key) -> bool {
    if target == other {
        return true;
    }
    let Some(other) = world.get(other) else { return false };
    let matches = |selector: Option<&Value>, labels: Option<&Value>| {
        let selector = selector.and_then(Value::as_object).filter(|selector| !selector.is_empty());
        selector
            .zip(labels)
            .is_some_and(|(selector, labels)| selector.iter().all(|(key, value)| labels.get(key) == Some(value)))
    };
    let selector = |value: &'_ Value| value.at("/spec/selector/matchLabels").cloned();
    let labels = |value: &'_ Value| value.at("/spec/template/metadata/labels").cloned();
    matches(selector(workload).as_ref(), labels(other).as_ref())
        || matches(selector(other).as_ref(), labels(workload).as_ref())
}

/// KEDA's metrics end with its ScaledObject, and with a second adapter in its place. One metric that is left is enough
/// to scale by.
fn lacks_metrics(world: &World, key: &Key, hpa: &Value) -> bool {
    let is_lost = |metric: &Value| {
        let name = text(metric, "/external/metric/selector/matchLabels/scaledobject.keda.sh~1name");
        let serves =
            || world.get(&Key::scaled_object(&key.namespace, name)).is_some_and(|it| !super::keda::is_paused(it));
        text(metric, "/type") == "External" && !name.is_empty() && !serves()
    };
    let metrics = object::items(hpa, "/spec/metrics");
    !metrics.is_empty() && metrics.iter().all(is_lost)
}

/// What the controller would do.
#[derive(Debug)]
pub struct Plan {
    target: Key,
    replicas: Option<i64>,
    status: Value,
}

/// What the controller would do about an HPA, if anything.
pub fn plan(world: &World, key: &Key, stored: &Arc<Stored>) -> Option<Plan> {
    let hpa = &stored.value;
    let state = state(world, key, hpa);
    let target = target(key, hpa);
    let current = world.get(&target).and_then(|workload| number(workload, "/spec/replicas"));
    let mut replicas = None;
    if state == State::Active {
        let current = current.unwrap_or(1);
        let min = number(hpa, "/spec/minReplicas").unwrap_or(1);
        let max = number(hpa, "/spec/maxReplicas").unwrap_or(1).max(min);
        let wanted = world.setup.demand.get(&target).copied().unwrap_or(current).clamp(min, max);
        replicas = (wanted != current).then_some(wanted);
    }
    let count = replicas.or(current);
    let (status, reason) = state.reason();
    let shown = count.filter(|_| state != State::NoTarget);
    if replicas.is_none() && reports(hpa, status, reason, shown, world.setup.kubernetes >= 37) {
        return None;
    }
    let mut conditions = vec![json!({"type": "ScalingActive", "status": status, "reason": reason})];
    // It stays while the count does; a raised minimum takes it off with the first pod.
    let to_zero = world.setup.kubernetes >= 37 && state == State::Active && count == Some(0);
    if to_zero {
        conditions.push(json!({"type": "ScaledToZero", "status": "True"}));
    }
    let mut wanted = json!({"conditions": conditions});
    if let Some(count) = shown {
        wanted["currentReplicas"] = count.into();
        wanted["desiredReplicas"] = count.into();
    }
    if replicas.is_some() {
        wanted["lastScaleTime"] = time(world.now).into();
    }
    let mut after = hpa.get("status").cloned().unwrap_or(Value::Null);
    object::merge(&mut after, &wanted);
    (replicas.is_some() || hpa.get("status") != Some(&after)).then_some(Plan { target, replicas, status: wanted })
}

/// Whether an HPA's status says so already. Which conditions there are matters from 1.37 on only.
fn reports(hpa: &Value, status: &str, reason: &str, count: Option<i64>, compares: bool) -> bool {
    let first = hpa.at("/status/conditions/0").unwrap_or(&Value::Null);
    let counted = count.is_none() || number(hpa, "/status/currentReplicas") == count;
    !compares && counted && text(first, "/status") == status && text(first, "/reason") == reason
}

/// Does it.
pub fn scale(world: &mut World, key: &Key) -> Vec<Reply> {
    let Some(plan) = world.objects.get(key).and_then(|stored| plan(world, key, stored)) else { return Vec::new() };
    let mut replies = Vec::new();
    if let Some(replicas) = plan.replicas {
        replies.push(world.request(&CONTROLLER, Request::new(plan.target, Verb::Scale(replicas))));
    }
    world.set_status(key, &plan.status);
    replies
}
