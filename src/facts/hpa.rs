//! HorizontalPodAutoscaler: what it scales, who owns it. `autoscaling/v1`, `v2` and `v2beta2` agree in all that is read
//! here.

use std::borrow::Cow;

use crate::facts::owner::is_scaled_object;
use crate::subject::{ScaleTargetRef, WorkloadRef};
use autoscaler_guard_reading::{Json, Object, OwnerReference};

/// The fields that a lookup of an HPA has to bring.
pub const FIELDS: &[&str] = &[
    "spec.scaleTargetRef",
    "spec.metrics.type",
    "status.lastScaleTime",
    "status.currentReplicas",
    "status.conditions",
];

/// KEDA's label with the name of the ScaledObject, on that, on its HPA, and in the selectors of its metrics.
const SCALED_OBJECT_NAME: &str = "scaledobject.keda.sh/name";

/// An HPA.
#[derive(Clone, Debug)]
pub struct HorizontalPodAutoscaler<'a> {
    /// The object itself.
    pub object: Object<'a>,
}

impl<'a> HorizontalPodAutoscaler<'a> {
    /// Looks at an object as an HPA.
    pub fn new(object: Object<'a>) -> Self {
        Self { object }
    }

    /// What it scales.
    pub fn target(&self) -> ScaleTargetRef<'a> {
        ScaleTargetRef::of_spec(self.object.spec())
    }

    /// The workload that it scales, by name.
    pub fn workload(&self) -> WorkloadRef {
        WorkloadRef::new(&self.target(), &self.object.metadata.namespace)
    }

    /// Whether it scales that workload, and is not being deleted.
    pub fn scales(&self, target: &ScaleTargetRef<'_>) -> bool {
        !self.object.metadata.is_terminating() && self.target().same_workload(target)
    }

    /// Whether it scales by external metrics, which KEDA's metrics server answers for KEDA's HPAs.
    pub fn has_external_metrics(&self) -> bool {
        self.object
            .spec()
            .items(&["metrics"])
            .iter()
            .any(|metric| metric.string(&["type"]).as_deref() == Some("External"))
    }

    /// The ScaledObject by whose metrics it scales: KEDA puts its name into the selector of each external metric
    /// (kedacore/keda `getScaledObjectMetricSpecs`, controllers/keda/hpa.go), and its metrics server answers for no
    /// other.
    pub fn metrics_of(&self) -> Option<Cow<'a, str>> {
        let metrics = self.object.spec().items(&["metrics"]);
        metrics
            .iter()
            .find_map(|metric| metric.word(&["external", "metric", "selector", "matchLabels", SCALED_OBJECT_NAME]))
    }

    /// Whether it has no metric but external ones.
    pub fn has_only_external_metrics(&self) -> bool {
        let metrics = self.object.spec().items(&["metrics"]);
        !metrics.is_empty() && metrics.iter().all(|metric| metric.string(&["type"]).as_deref() == Some("External"))
    }

    /// When it last changed the count, if it ever did.
    pub fn last_scale_time(&self) -> Option<Cow<'a, str>> {
        self.object.status().word(&["lastScaleTime"])
    }

    /// Whether it took its workload to 0 itself, from where it then starts it again: Kubernetes 1.37 and later
    /// (kubernetes/kubernetes PR 135118, pkg/controller/podautoscaler/horizontal.go). At any other 0 an HPA does
    /// nothing.
    pub fn has_scaled_to_zero(&self) -> bool {
        let is = |condition: &Json<'_>, field, value| condition.string(&[field]).as_deref() == Some(value);
        let conditions = self.object.status().items(&["conditions"]);
        conditions.iter().any(|condition| is(condition, "type", "ScaledToZero") && is(condition, "status", "True"))
    }

    /// The count it saw last. Before it has looked, `autoscaling/v1` says 0 and `v2` nothing.
    pub fn current_replicas(&self) -> Option<i64> {
        self.object.status().integer(&["currentReplicas"]).filter(|seen| *seen != 0)
    }
}

/// The ScaledObjects that an HPA refers to as owners, controller or not.
pub fn scaled_object_owners<'o, 'a>(hpa: &'o Object<'a>) -> impl Iterator<Item = &'o OwnerReference<'a>> {
    hpa.metadata.owner_references().iter().filter(|owner| is_scaled_object(&owner.api_version, &owner.kind))
}

/// The ScaledObject that KEDA made an HPA for which refers to none: kept by an orphaning delete, or restored without
/// its owner. KEDA's own value of `managed-by` says so, which KEDA's next write would put back but a handover's writer
/// replaces; or its metrics do.
pub fn left_by_keda<'a>(hpa: &HorizontalPodAutoscaler<'a>) -> Option<Cow<'a, str>> {
    let metadata = &hpa.object.metadata;
    let is_kedas = metadata.label("app.kubernetes.io/managed-by").as_deref() == Some("keda-operator");
    let name = hpa.metrics_of().or_else(|| metadata.label(SCALED_OBJECT_NAME).filter(|_| is_kedas))?;
    scaled_object_owners(&hpa.object).next().is_none().then_some(name)
}

/// An owner that manages the HPA and is no ScaledObject: another operator's HPA, whose life is that operator's
/// business.
pub fn other_controller<'o, 'a>(hpa: &'o Object<'a>) -> Option<&'o OwnerReference<'a>> {
    let other = |owner: &&OwnerReference<'_>| {
        owner.controller == Some(true) && !is_scaled_object(&owner.api_version, &owner.kind)
    };
    hpa.metadata.owner_references().iter().find(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hpa(text: &str) -> HorizontalPodAutoscaler<'_> {
        HorizontalPodAutoscaler::new(Object::from_text(text).expect("well-formed"))
    }

    #[test]
    fn reads_v1_and_v2_alike() {
        let v1 = r#"{"apiVersion":"autoscaling/v1","spec":{"scaleTargetRef":{"kind":"Deployment","name":"web"},"targetCPUUtilizationPercentage":80},"status":{"currentReplicas":3,"lastScaleTime":"2026-11-21T17:09:40Z"}}"#;
        let read = hpa(v1);
        assert_eq!(
            (
                read.target().name.as_ref(),
                read.current_replicas(),
                read.last_scale_time().is_some(),
                read.has_external_metrics()
            ),
            ("web", Some(3), true, false)
        );
        let fresh = hpa(r#"{"apiVersion":"autoscaling/v1","status":{"currentReplicas":0,"desiredReplicas":0}}"#);
        assert_eq!((fresh.current_replicas(), fresh.last_scale_time().is_some()), (None, false));
        let v2 = r#"{"spec":{"scaleTargetRef":{"kind":"Deployment","name":"web"},"metrics":[{"type":"Resource"},{"type":"External"}]}}"#;
        let read = hpa(v2);
        assert_eq!(
            (read.current_replicas(), read.last_scale_time().is_some(), read.has_external_metrics()),
            (None, false, true)
        );
    }

    #[test]
    fn knows_kedas_owner() {
        let owned = r#"{"metadata":{"ownerReferences":[
            {"apiVersion":"keda.sh/v1alpha1","kind":"ScaledObject","name":"web","uid":"1","controller":true},
            {"apiVersion":"example.com/v1","kind":"ScaledObject","name":"fake","uid":"2"},
            {"apiVersion":"operator.victoriametrics.com/v1beta1","kind":"VMAgent","name":"agent","uid":"3","controller":true}]}}"#;
        let object = Object::from_text(owned).expect("well-formed");
        let keda: Vec<&str> = scaled_object_owners(&object).map(|owner| owner.name.as_ref()).collect();
        assert_eq!(keda, ["web"]);
        assert_eq!(other_controller(&object).map(|owner| owner.kind.as_ref()), Some("VMAgent"));
    }
}
