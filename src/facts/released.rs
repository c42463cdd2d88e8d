//! The mark of a handover: from which ScaledObject, at which generation, an HPA was released.
//!
//! `autoscaler-guard/released-from: <scaledobject>/<uid>/<generation>`. KEDA writes an HPA's annotations anew whenever
//! it adopts it, so a mark is there exactly as long as the handover holds.

use super::scaled_object::ScaledObject;
use crate::change::Change;
use crate::command::Command;
use crate::subject::Subject;
use autoscaler_guard_reading::Object;

/// The annotation's key.
pub const RELEASED_FROM: &str = "autoscaler-guard/released-from";

/// A mark, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleaseMark {
    /// The ScaledObject's name.
    pub scaled_object: String,
    /// Its uid: a new ScaledObject of that name adopts freely.
    pub uid: String,
    /// Its generation at the handover: a newer one means that someone declared it again.
    pub generation: i64,
}

impl ReleaseMark {
    /// The mark on an HPA; a text that is no mark counts as none. So does one of a ScaledObject that still owns the
    /// HPA: a handover takes the reference away in the same change.
    pub fn of(hpa: &Object<'_>) -> Option<Self> {
        Self::written(hpa).filter(|mark| hpa.metadata.owner_with_uid(&mark.uid).is_none())
    }

    /// The mark on an HPA, whoever owns that.
    pub fn written(hpa: &Object<'_>) -> Option<Self> {
        hpa.metadata.annotation(RELEASED_FROM).and_then(|mark| Self::parse(&mark))
    }

    /// The mark that an HPA had before the change, whether or not it keeps it.
    pub fn of_change(change: &Change<'_>) -> Option<Self> {
        change.before().and_then(Self::of)
    }

    fn parse(mark: &str) -> Option<Self> {
        let mut parts = mark.split('/');
        let (name, uid, generation) = (parts.next()?, parts.next()?, parts.next()?);
        let complete = !name.is_empty() && !uid.is_empty() && parts.next().is_none();
        let generation = generation.parse().ok()?;
        complete.then(|| Self { scaled_object: name.to_owned(), uid: uid.to_owned(), generation })
    }

    /// The mark of an HPA released from that ScaledObject as it is now.
    pub fn mark(from: &ScaledObject<'_>) -> String {
        let metadata = &from.object.metadata;
        format!("{}/{}/{}", metadata.name, metadata.uid, metadata.generation.unwrap_or_default())
    }

    /// The commands that end a handover of that HPA: by deleting the ScaledObject, and by giving the HPA back.
    pub fn finish_or_give_back(&self, hpa: &Subject) -> (Command, Command) {
        let from = Subject {
            resource: "scaledobject".into(),
            namespace: hpa.namespace.clone(),
            name: self.scaled_object.clone(),
        };
        (from.kubectl("delete", &[]), hpa.kubectl("annotate", &[]).arg(format!("{RELEASED_FROM}-")))
    }

    /// Whether that ScaledObject is the one that the HPA was released from.
    pub fn is_from(&self, scaled_object: &Object<'_>) -> bool {
        scaled_object.metadata.name == self.scaled_object && scaled_object.metadata.uid == self.uid
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_its_own_marks_only() {
        let release = ReleaseMark::parse("web/62f7a3a1/2");
        assert_eq!(
            release,
            Some(ReleaseMark { scaled_object: "web".to_owned(), uid: "62f7a3a1".to_owned(), generation: 2 })
        );
        for text in ["", "web", "web/uid", "web/uid/two", "/uid/1", "web//1", "web/uid/1/more"] {
            assert_eq!(ReleaseMark::parse(text), None, "{text}");
        }
    }
}
