//! Typed views of the objects that autoscaling hangs on: just the fields that a rule reads, each fact in one place.
//!
//! A view borrows from the object's JSON text. What it does not name is skipped unread, so objects may be large, newer than this
//! policy, or carry fields of other vendors.

pub mod autoscalers;
pub mod envoy_gateway;
pub mod fleet_changes;
pub mod helm;
pub mod horizontal_pod_autoscaler;
pub mod released;
pub mod scaled_object;
pub mod workload;

use std::borrow::Cow;

use crate::cluster::{Answer, ApiKind};
use crate::context::Context;
use crate::json::Json;

pub use autoscaler_guard_reading::{Metadata, Object, OwnerReference, group_of, title};

/// The owner that a reference names.
pub trait Owner {
    /// What messages call the owner of an object in `namespace`.
    fn title(&self, namespace: &str) -> String;

    /// The owner itself, by uid: another object of the name counts as absent.
    fn look_up<'a>(&self, context: &Context<'a>, namespace: &str) -> Answer<Object<'a>>;
}

impl Owner for OwnerReference<'_> {
    fn title(&self, namespace: &str) -> String {
        title(&self.kind, if self.kind == "GatewayClass" { "" } else { namespace }, &self.name)
    }

    fn look_up<'a>(&self, context: &Context<'a>, namespace: &str) -> Answer<Object<'a>> {
        let kind = ApiKind { api_version: self.api_version.clone(), kind: self.kind.clone(), resource: "" };
        match context.neighbours.get(&kind, namespace, &self.name, &["kind"]) {
            Answer::Found(found) if found.metadata.uid != self.uid => Answer::Absent,
            answer => answer,
        }
    }
}

/// `scaleTargetRef`: what an autoscaler scales.
#[derive(Clone, Debug, Default)]
pub struct ScaleTargetRef<'a> {
    /// The target's `group/version`. Its version does not matter: the HPA controller maps by group and kind.
    pub api_version: Cow<'a, str>,
    /// The target's kind.
    pub kind: Cow<'a, str>,
    /// The target's name, in the autoscaler's namespace.
    pub name: Cow<'a, str>,
}

impl<'a> ScaleTargetRef<'a> {
    /// The reference in an autoscaler's spec.
    pub fn of_spec(spec: Json<'a>) -> Self {
        let field = |name| spec.string(&["scaleTargetRef", name]).unwrap_or_default();
        Self { api_version: field("apiVersion"), kind: field("kind"), name: field("name") }
    }

    /// Whether both aim at the same workload, whichever version they name it in.
    pub fn same_workload(&self, other: &ScaleTargetRef<'_>) -> bool {
        group_of(&self.api_version) == group_of(&other.api_version)
            && self.kind == other.kind
            && self.name == other.name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_a_group_are_one_target() {
        let target = |api_version: &'static str| ScaleTargetRef {
            api_version: api_version.into(),
            kind: "Deployment".into(),
            name: "web".into(),
        };
        assert!(target("apps/v1").same_workload(&target("apps/v1beta2")));
        assert!(!target("apps/v1").same_workload(&target("example.com/v1")));
        assert_eq!(group_of("v1"), "");
    }
}
