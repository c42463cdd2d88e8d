//! KEDA's ScaledObject (`keda.sh/v1alpha1`): which HPA it writes, what it scales, whether it does.

use std::borrow::Cow;

use super::hpa::{self, HorizontalPodAutoscaler};
use crate::cluster::{Presence, api};
use crate::context::Context;
use crate::subject::ScaleTargetRef;
use autoscaler_guard_reading::Object;

/// The API group of KEDA's kinds.
pub const GROUP: &str = "keda.sh";

/// On a ScaledObject: paused, unless the value is a parsable false.
pub const PAUSED: &str = "autoscaling.keda.sh/paused";

/// On a ScaledObject: paused, and at how many replicas.
pub const PAUSED_REPLICAS: &str = "autoscaling.keda.sh/paused-replicas";

/// What takes [`PAUSED`] away, for kubectl.
pub const UNPAUSE: &str = "autoscaling.keda.sh/paused-";

/// What takes [`PAUSED_REPLICAS`] away, for kubectl.
pub const UNPAUSE_REPLICAS: &str = "autoscaling.keda.sh/paused-replicas-";

/// The fields that a lookup of a ScaledObject has to bring.
pub const FIELDS: &[&str] =
    &["spec.scaleTargetRef", "spec.advanced", "status.hpaName", "status.conditions", "status.originalReplicaCount"];

/// A ScaledObject.
#[derive(Clone, Debug)]
pub struct ScaledObject<'a> {
    /// The object itself.
    pub object: Object<'a>,
}

/// The condition `Ready`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// KEDA says that it scales.
    True,
    /// KEDA says that it cannot.
    False,
    /// KEDA has not said yet.
    NotSaid,
}

impl<'a> ScaledObject<'a> {
    /// Looks at an object as a ScaledObject.
    pub fn new(object: Object<'a>) -> Self {
        Self { object }
    }

    /// The HPA it writes: `status.hpaName`, else the spec's name, else `keda-hpa-<name>` (kedacore/keda `getHPAName`,
    /// controllers/keda/hpa.go).
    pub fn hpa_name(&self) -> Cow<'a, str> {
        self.object.status().word(&["hpaName"]).unwrap_or_else(|| self.configured_hpa_name())
    }

    /// Whether KEDA has written an HPA for it, as far as its status says.
    pub fn has_hpa_name(&self) -> bool {
        self.object.status().word(&["hpaName"]).is_some()
    }

    /// The HPA that its spec asks for: the spec's name, else `keda-hpa-<name>`. KEDA deletes the one that it writes if
    /// it is called otherwise (kedacore/keda `isHpaRenamed`, controllers/keda/hpa.go).
    pub fn configured_hpa_name(&self) -> Cow<'a, str> {
        let configured = self.object.spec().word(&["advanced", "horizontalPodAutoscalerConfig", "name"]);
        configured.unwrap_or_else(|| format!("keda-hpa-{}", self.object.metadata.name).into())
    }

    /// What it scales, with KEDA's defaults: `apps/v1`, Deployment.
    pub fn target(&self) -> ScaleTargetRef<'a> {
        let mut target = ScaleTargetRef::of_spec(self.object.spec());
        if target.api_version.is_empty() {
            target.api_version = "apps/v1".into();
        }
        if target.kind.is_empty() {
            target.kind = "Deployment".into();
        }
        target
    }

    /// Whether KEDA has deleted, or will delete, its HPA: `paused` with any value but a parsable false, the empty one
    /// too; `paused-replicas` by its mere presence.
    pub fn is_paused(&self) -> bool {
        is_paused(&self.object)
    }

    /// The condition `Ready`.
    pub fn ready(&self) -> Ready {
        let conditions = self.object.status().items(&["conditions"]);
        let ready = conditions.iter().find(|condition| condition.string(&["type"]).as_deref() == Some("Ready"));
        match ready.and_then(|condition| condition.string(&["status"])).as_deref() {
            Some("True") => Ready::True,
            Some("False") => Ready::False,
            _ => Ready::NotSaid,
        }
    }

    /// The count that its deletion restores: `None` unless `restoreToOriginalReplicaCount` is set.
    pub fn restores_count(&self) -> Option<i64> {
        let restores = self.object.spec().is_true(&["advanced", "restoreToOriginalReplicaCount"]);
        restores.then(|| self.object.status().integer(&["originalReplicaCount"]).unwrap_or_default())
    }

    /// Whether it is there to scale that workload: neither being deleted nor paused.
    pub fn scales(&self, target: &ScaleTargetRef<'_>) -> bool {
        !self.object.metadata.is_terminating() && !self.is_paused() && self.target().same_workload(target)
    }

    /// Whether the HPA belongs to it: any reference to its uid, controller or not, as the garbage collector follows
    /// both.
    pub fn owns(&self, hpa: &HorizontalPodAutoscaler<'_>) -> bool {
        hpa.object.metadata.owner_with_uid(&self.object.metadata.uid).is_some()
    }
}

/// Whether an object is paused, as [`ScaledObject::is_paused`] says.
pub fn is_paused(scaled_object: &Object<'_>) -> bool {
    let paused = scaled_object.metadata.annotation(PAUSED);
    let paused = paused.is_some_and(|value| !matches!(value.as_ref(), "0" | "f" | "F" | "false" | "FALSE" | "False"));
    paused || scaled_object.metadata.annotation(PAUSED_REPLICAS).is_some()
}

/// Looks up the ScaledObject of that very uid; another one of the same name counts as absent.
pub fn with_uid<'a>(context: &Context<'a>, namespace: &str, name: &str, uid: &str) -> Presence<ScaledObject<'a>> {
    match by_name(context, namespace, name) {
        Presence::Found(found) if found.object.metadata.uid != uid => Presence::Absent,
        answer => answer,
    }
}

/// Looks up the ScaledObject of that name; where its kind is not served there is none.
pub fn by_name<'a>(context: &Context<'a>, namespace: &str, name: &str) -> Presence<ScaledObject<'a>> {
    let found = context.neighbours.get(&api::SCALED_OBJECT, namespace, name, FIELDS).unless_not_served();
    found.map(ScaledObject::new)
}

/// Looks up an HPA that a ScaledObject writes, or wants to.
pub fn hpa<'a>(context: &Context<'a>, namespace: &str, name: &str) -> Presence<HorizontalPodAutoscaler<'a>> {
    let fields = hpa::FIELDS;
    context.neighbours.get(&api::HORIZONTAL_POD_AUTOSCALER, namespace, name, fields).map(HorizontalPodAutoscaler::new)
}

/// Both ScaledObjects of an UPDATE that changes the spec.
pub fn respecified<'a>(context: &Context<'a>) -> Option<(ScaledObject<'a>, ScaledObject<'a>)> {
    let (old, new) = context.change.update()?;
    (old.spec_text() != new.spec_text()).then(|| (ScaledObject::new(old.clone()), ScaledObject::new(new.clone())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scaled_object(text: &str) -> ScaledObject<'_> {
        ScaledObject::new(Object::from_text(text).expect("well-formed"))
    }

    #[test]
    fn the_hpa_name_comes_from_status_then_spec_then_the_name() {
        let by_status = r#"{"metadata":{"name":"web"},"spec":{"advanced":{"horizontalPodAutoscalerConfig":{"name":"b"}}},"status":{"hpaName":"a"}}"#;
        let by_spec = r#"{"metadata":{"name":"web"},"spec":{"advanced":{"horizontalPodAutoscalerConfig":{"name":"b"}}},"status":{"hpaName":""}}"#;
        let by_name = r#"{"metadata":{"name":"web"},"spec":{"advanced":{"horizontalPodAutoscalerConfig":{}}}}"#;
        for (text, expected) in [(by_status, "a"), (by_spec, "b"), (by_name, "keda-hpa-web")] {
            assert_eq!(scaled_object(text).hpa_name(), expected);
        }
        for (text, expected) in [(by_status, "b"), (by_spec, "b"), (by_name, "keda-hpa-web")] {
            assert_eq!(scaled_object(text).configured_hpa_name(), expected);
        }
    }

    #[test]
    fn targets_default_as_in_keda() {
        let target = scaled_object(r#"{"spec":{"scaleTargetRef":{"name":"web"}}}"#).target();
        assert_eq!(
            (target.api_version.as_ref(), target.kind.as_ref(), target.name.as_ref()),
            ("apps/v1", "Deployment", "web")
        );
    }

    #[test]
    fn any_value_but_a_parsable_false_pauses() {
        let paused = |annotations: &str| {
            scaled_object(&format!(r#"{{"metadata":{{"annotations":{annotations}}}}}"#)).is_paused()
        };
        for value in ["true", "", "yes-please", "1"] {
            assert!(paused(&format!(r#"{{"autoscaling.keda.sh/paused":"{value}"}}"#)), "{value:?}");
        }
        for value in ["false", "0", "F"] {
            assert!(!paused(&format!(r#"{{"autoscaling.keda.sh/paused":"{value}"}}"#)), "{value:?}");
        }
        assert!(paused(r#"{"autoscaling.keda.sh/paused-replicas":"false"}"#));
        assert!(!paused(r#"{"autoscaling.keda.sh/paused-scale-in":"true"}"#));
    }

    #[test]
    fn ready_is_what_keda_said() {
        for (status, expected) in [("True", Ready::True), ("False", Ready::False), ("Unknown", Ready::NotSaid)] {
            let text = format!(
                r#"{{"status":{{"conditions":[{{"type":"Active","status":"True"}},{{"type":"Ready","status":"{status}"}}]}}}}"#
            );
            assert_eq!(scaled_object(&text).ready(), expected);
        }
        assert_eq!(scaled_object("{}").ready(), Ready::NotSaid);
    }

    #[test]
    fn restores_a_count_only_on_request() {
        assert_eq!(scaled_object(r#"{"status":{"originalReplicaCount":3}}"#).restores_count(), None);
        let with_count =
            r#"{"spec":{"advanced":{"restoreToOriginalReplicaCount":true}},"status":{"originalReplicaCount":3}}"#;
        assert_eq!(scaled_object(with_count).restores_count(), Some(3));
    }
}
