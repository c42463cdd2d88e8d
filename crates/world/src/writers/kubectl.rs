//! `kubectl apply`, with and without `--prune`: a patch by the last manifest, which an annotation keeps.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Act, Change, three_way, without_status};
use crate::object::{self, At, annotation};
use crate::server::{Propagation, Verb};
use crate::writers::Tool;

/// Where client-side apply keeps the last manifest.
pub(super) const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

pub(super) fn plan(change: &Change) -> Vec<Act> {
    let mut acts: Vec<Act> = change.after.iter().cloned().map(Act::Write).collect();
    if change.tool == Tool::Prune {
        acts.push(Act::Check);
        acts.extend(change.dropped().into_iter().map(|(key, _)| Act::Delete(key, Propagation::Background)));
    }
    acts
}

/// The request of a client-side apply; none where nothing differs.
pub(super) fn apply(live: Option<&Value>, manifest: &Arc<Value>) -> Option<Verb> {
    let mut wanted = without_status(manifest);
    if let Some(annotations) = wanted.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        annotations.remove(LAST_APPLIED);
    }
    let mut kept = wanted.clone();
    if kept.at("/metadata/annotations").is_none() {
        object::set(&mut kept, &["metadata", "annotations"], json!({}));
    }
    object::annotate(&mut wanted, LAST_APPLIED, &kept.to_string());
    let Some(live) = live else { return Some(Verb::Create(wanted)) };
    let last: Value =
        annotation(live, LAST_APPLIED).and_then(|last| serde_json::from_str(last).ok()).unwrap_or_else(|| json!({}));
    let patch = three_way(&last, &wanted, live);
    // The annotation itself is new wherever something else is.
    patch.as_object().is_some_and(|patch| !patch.is_empty()).then_some(Verb::Patch(patch))
}
