//! The owners that ownerReferences name.

use autoscaler_guard_reading::{Object, OwnerReference, group_of, title};

use crate::cluster::{ApiKind, Presence, Reason};
use crate::context::Context;

/// The owner that a reference names.
pub trait Owner {
    /// What messages call the owner of an object in `namespace`.
    fn title(&self, namespace: &str) -> String;

    /// The owner itself, by uid: another object of the name counts as absent, as does one of a kind that is not served.
    fn look_up<'a>(&self, context: &Context<'a>, namespace: &str) -> Presence<Object<'a>>;

    /// Whether the API server serves its kind.
    fn is_served(&self, context: &Context<'_>, namespace: &str) -> bool;
}

impl Owner for OwnerReference<'_> {
    fn title(&self, namespace: &str) -> String {
        title(&self.kind, if self.kind == "GatewayClass" { "" } else { namespace }, &self.name)
    }

    fn look_up<'a>(&self, context: &Context<'a>, namespace: &str) -> Presence<Object<'a>> {
        match found(context, namespace, self).unless_not_served() {
            Presence::Found(found) if found.metadata.uid != self.uid => Presence::Absent,
            answer => answer,
        }
    }

    fn is_served(&self, context: &Context<'_>, namespace: &str) -> bool {
        !matches!(found(context, namespace, self), Presence::Unknown(Reason::NotServed(_)))
    }
}

fn found<'a>(context: &Context<'a>, namespace: &str, owner: &OwnerReference<'_>) -> Presence<Object<'a>> {
    let kind = ApiKind { api_version: owner.api_version.clone(), kind: owner.kind.clone(), resource: "" };
    context.neighbours.get(&kind, namespace, &owner.name, &["kind"])
}

/// Whether two references name the same object, in whatever version.
pub fn is_same(one: &OwnerReference<'_>, other: &OwnerReference<'_>) -> bool {
    let name =
        |owner: &OwnerReference<'_>| (owner.uid == other.uid, owner.name == other.name, owner.kind == other.kind);
    name(one) == (true, true, true) && group_of(&one.api_version) == group_of(&other.api_version)
}

/// Whether an owner reference or object of that `apiVersion` and kind is a ScaledObject.
pub fn is_scaled_object(api_version: &str, kind: &str) -> bool {
    kind == "ScaledObject" && group_of(api_version) == "keda.sh"
}
