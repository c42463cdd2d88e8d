//! The owners that ownerReferences name.

use autoscaler_guard_reading::{Object, OwnerReference, group_of, title};

use crate::cluster::{ApiKind, Presence};
use crate::context::Context;

/// The owner that a reference names.
pub trait Owner {
    /// What messages call the owner of an object in `namespace`.
    fn title(&self, namespace: &str) -> String;

    /// The owner itself, by uid: another object of the name counts as absent.
    fn look_up<'a>(&self, context: &Context<'a>, namespace: &str) -> Presence<Object<'a>>;
}

impl Owner for OwnerReference<'_> {
    fn title(&self, namespace: &str) -> String {
        title(&self.kind, if self.kind == "GatewayClass" { "" } else { namespace }, &self.name)
    }

    fn look_up<'a>(&self, context: &Context<'a>, namespace: &str) -> Presence<Object<'a>> {
        let kind = ApiKind { api_version: self.api_version.clone(), kind: self.kind.clone(), resource: "" };
        match context.neighbours.get(&kind, namespace, &self.name, &["kind"]) {
            Presence::Found(found) if found.metadata.uid != self.uid => Presence::Absent,
            answer => answer,
        }
    }
}

/// Whether an owner reference or object of that `apiVersion` and kind is a ScaledObject.
pub fn is_scaled_object(api_version: &str, kind: &str) -> bool {
    kind == "ScaledObject" && group_of(api_version) == "keda.sh"
}
