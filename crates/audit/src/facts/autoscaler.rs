//! HPAs and ScaledObjects.

use autoscaler_guard_reading::group_of;
use serde_json::Value;

use crate::object::{Object, Owner, Ref, text};

/// What an autoscaler aims at; the HPA controller goes by group and kind, and so does KEDA.
fn target(object: &Object, default: (&str, &str)) -> Ref {
    let reference = object.value.pointer("/spec/scaleTargetRef").unwrap_or(&Value::Null);
    let (api_version, kind) = (text(reference, "/apiVersion"), text(reference, "/kind"));
    let kind = if kind.is_empty() { default.1 } else { kind };
    // No workload of the core group is scaled by that name: whoever left the version out means the built-in kind.
    let is_bare = api_version.is_empty() && matches!(kind, "Deployment" | "StatefulSet" | "ReplicaSet");
    let group = if is_bare { default.0 } else { group_of(api_version) };
    Ref::new(group, kind, &object.key.namespace, text(reference, "/name"))
}

/// An HPA.
#[derive(Clone, Debug)]
pub struct Hpa<'i> {
    /// The object.
    pub object: &'i Object,
    /// What it scales.
    pub target: Ref,
}

/// KEDA's label with the ScaledObject's name.
pub const SCALED_OBJECT_NAME: &str = "scaledobject.keda.sh/name";

impl<'i> Hpa<'i> {
    /// Looks at an object as an HPA.
    pub fn new(object: &'i Object) -> Self {
        Self { object, target: target(object, ("apps", "")) }
    }

    /// The ScaledObject that it refers to as an owner.
    pub fn scaled_object(&self) -> Option<Owner> {
        self.object.owners().find(|owner| owner.key.kind == "ScaledObject" && owner.key.group == "keda.sh")
    }

    /// Its minimum; 1 where it names none.
    pub fn min(&self) -> i64 {
        self.object.number("/spec/minReplicas").unwrap_or(1)
    }

    /// Its maximum.
    pub fn max(&self) -> Option<i64> {
        self.object.number("/spec/maxReplicas")
    }

    /// Whether it took its workload to 0 itself, from where it starts it again (Kubernetes 1.37, kubernetes/kubernetes
    /// PR 135118).
    pub fn has_scaled_to_zero(&self) -> bool {
        self.object.condition("ScaledToZero").is_some_and(|condition| condition.status == "True")
    }

    /// The types of its metrics; without any it goes by CPU.
    pub fn metric_types(&self) -> Vec<&'i str> {
        let metrics = self.object.items("/spec/metrics");
        if metrics.is_empty() { vec!["Resource"] } else { metrics.iter().map(|metric| text(metric, "/type")).collect() }
    }

    /// Whether it may neither grow nor shrink.
    pub fn is_fixed_by_policies(&self) -> bool {
        ["scaleUp", "scaleDown"]
            .iter()
            .all(|way| self.object.text(&format!("/spec/behavior/{way}/selectPolicy")) == "Disabled")
    }

    /// The ScaledObject that KEDA made it for, by KEDA's marks: its own `managed-by`, the label that it copies, or the
    /// selector of its metrics (kedacore/keda, controllers/keda/hpa.go).
    pub fn kedas(&self) -> Option<&'i str> {
        let selector = "/external/metric/selector/matchLabels/scaledobject.keda.sh~1name";
        let by_metric = self.object.items("/spec/metrics").iter().map(|metric| text(metric, selector));
        let by_label = self.object.label(SCALED_OBJECT_NAME);
        by_metric.chain(by_label).find(|name| !name.is_empty())
    }
}

/// A ScaledObject.
#[derive(Clone, Debug)]
pub struct Scaled<'i> {
    /// The object.
    pub object: &'i Object,
    /// What it scales.
    pub target: Ref,
    /// The HPA that it writes: `status.hpaName`, else the spec's, else `keda-hpa-<name>`.
    pub hpa: Ref,
}

impl<'i> Scaled<'i> {
    /// Looks at an object as a ScaledObject.
    pub fn new(object: &'i Object) -> Self {
        let named = ["/status/hpaName", "/spec/advanced/horizontalPodAutoscalerConfig/name"];
        let named = named.iter().map(|pointer| object.text(pointer)).find(|name| !name.is_empty());
        let name = named.map_or_else(|| format!("keda-hpa-{}", object.key.name), str::to_owned);
        let hpa = Ref::hpa(&object.key.namespace, &name);
        Self { object, target: target(object, ("apps", "Deployment")), hpa }
    }

    /// Whether KEDA keeps no HPA for it: `paused` with any value but a parsable false, `paused-replicas` by its
    /// presence.
    pub fn is_paused(&self) -> bool {
        let paused = self.object.annotation("autoscaling.keda.sh/paused");
        paused.is_some_and(|value| !matches!(value, "0" | "f" | "F" | "false" | "FALSE" | "False"))
            || self.object.annotation("autoscaling.keda.sh/paused-replicas").is_some()
            || self.object.condition("Paused").is_some_and(|condition| condition.status == "True")
    }

    /// Whether one direction is paused, for which KEDA disables its policy (2.18).
    pub fn is_half_paused(&self) -> bool {
        ["autoscaling.keda.sh/paused-scale-in", "autoscaling.keda.sh/paused-scale-out"]
            .iter()
            .any(|key| self.object.annotation(key).is_some())
    }

    /// The fewest replicas while a trigger is active; KEDA's default is 0.
    pub fn min(&self) -> i64 {
        self.object.number("/spec/minReplicaCount").unwrap_or(0)
    }

    /// The most replicas; KEDA's default is 100.
    pub fn max(&self) -> i64 {
        self.object.number("/spec/maxReplicaCount").unwrap_or(100)
    }

    /// The count at which it rests, where that is another than its minimum.
    pub fn idle(&self) -> Option<i64> {
        self.object.number("/spec/idleReplicaCount")
    }

    /// Whether it has triggers that KEDA's metrics server answers for.
    pub fn has_external_triggers(&self) -> bool {
        self.object.items("/spec/triggers").iter().any(|trigger| !matches!(text(trigger, "/type"), "cpu" | "memory"))
    }
}
