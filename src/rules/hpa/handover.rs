//! Whether a change hands an HPA over: rule hpa-handover acts on it, and the rules about a controller's HPA leave it to
//! that one.

use autoscaler_guard_reading::Object;

use crate::cluster::{Presence, Reason};
use crate::context::Context;
use crate::facts::application::declares;
use crate::facts::hpa::scaled_object_owners;
use crate::facts::released::ReleaseMark;
use crate::facts::scaled_object::{self, ScaledObject};
use crate::settings::RuleAction;

/// By this annotation anyone hands an HPA over.
pub const HANDOVER: &str = "autoscaler-guard/handover";

/// A change that hands an HPA over.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "there is one a request, and it is never moved about")]
pub enum Handover<'a> {
    /// From the ScaledObject that owns it.
    From(ScaledObject<'a>),
    /// It was handed over before, and a declarative PUT forgets the mark.
    ForgetsMark(ReleaseMark),
    /// From the ScaledObject of that name, if it lives: it could not be read.
    Unknown(String, Reason),
}

impl<'a> Handover<'a> {
    /// The handover that a change is.
    pub fn of(context: &Context<'a>) -> Option<Self> {
        let (old, new) = context.change.update()?;
        if declares(context)
            && let Some(release) = ReleaseMark::of(old)
            && ReleaseMark::of(new).is_none()
        {
            return Self::forgets_mark(context, &new.metadata.namespace, release);
        }
        let owner = scaled_object_owners(old).next().filter(|owner| is_claimed(context, &owner.name))?;
        match scaled_object::with_uid(context, &old.metadata.namespace, &owner.name, &owner.uid) {
            Presence::Found(owner) => (declares(context) || !is_copied(&owner, new)).then_some(Self::From(owner)),
            // A stale owner is another rule's business.
            Presence::Absent => None,
            Presence::Unknown(reason) => Some(Self::Unknown(owner.name.to_string(), reason)),
        }
    }

    fn forgets_mark(context: &Context<'a>, namespace: &str, release: ReleaseMark) -> Option<Self> {
        let from = scaled_object::with_uid(context, namespace, &release.scaled_object, &release.uid);
        (!matches!(from, Presence::Absent)).then_some(Self::ForgetsMark(release))
    }
}

/// Whether the change is a handover that rule hpa-handover acts on, so that the rules about a controller's HPA have
/// nothing to say. Where settings keep that rule from acting they judge.
pub fn is_handover(context: &Context<'_>) -> bool {
    acts(context) && Handover::of(context).is_some()
}

/// Whether rule hpa-handover takes the HPA from an owner; one that only puts its mark back leaves the owners to the
/// other rules.
pub fn is_release(context: &Context<'_>) -> bool {
    acts(context) && matches!(Handover::of(context), Some(Handover::From(_) | Handover::Unknown(..)))
}

fn acts(context: &Context<'_>) -> bool {
    !matches!(context.settings.rule_action("hpa-handover"), Some(RuleAction::Off | RuleAction::Warn))
}

/// Whether the writer wants the HPA of that ScaledObject for itself.
fn is_claimed(context: &Context<'_>, owner: &str) -> bool {
    declares(context) || context.change.update().is_some_and(|(old, new)| asks_for(old, new, owner))
}

fn asks_for(old: &Object<'_>, new: &Object<'_>, owner: &str) -> bool {
    let asked = new.metadata.annotation(HANDOVER);
    asked.as_deref() == Some(owner) && old.metadata.annotation(HANDOVER) != asked
}

/// KEDA copies a ScaledObject's annotations to its HPA: one that is there too is not a person's wish.
fn is_copied(owner: &ScaledObject<'_>, hpa: &Object<'_>) -> bool {
    owner.object.metadata.annotation(HANDOVER) == hpa.metadata.annotation(HANDOVER)
}
