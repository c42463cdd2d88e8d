//! Damaged real requests whose object is repaired: what the repair names is changed, and nothing else, and only once.

use std::collections::{BTreeMap, BTreeSet};

use arbitrary::Unstructured;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::answer::Answer;
use crate::cluster::Stage;
use crate::damage::{damage, text};
use crate::split;

/// The fields of an object, to the letter; `null` is no field.
type Fields<'t> = BTreeMap<String, &'t str>;

/// A payload's parts as texts.
struct World {
    request: BTreeMap<String, String>,
    settings: String,
    cluster: String,
}

/// Damages the input's objects, judges it, and looks at the repair, if there is one.
///
/// # Panics
/// When the repair changes what it does not name, or changes its own result.
pub fn repair(input: &[u8]) {
    let (payload, choices) = split(input);
    let Ok(mut value) = serde_json::from_slice::<Value>(payload) else { return };
    let mut choices = Unstructured::new(choices);
    damage(&mut value, &mut choices);
    let Some(mut world) = World::of(&value, &mut choices) else { return };
    let first = world.judged();
    let Some(mutated) = first.mutated_object.as_ref().map(|object| object.get()) else { return };
    assert!(first.accepted);
    Comparison { rules: &first.rules(), old: world.object("oldObject"), new: world.object("object"), mutated }.holds();
    world.request.insert("object".to_owned(), mutated.to_owned());
    let second = world.judged();
    assert!(second.accepted, "the repaired request is refused: {:?}", second.message);
    // Without a field manager KEDA is known by what it writes, and a giveback that is judged again looks like that
    // (src/gate.rs). API servers judge again only where a webhook asks for it (reinvocationPolicy), and ours does not.
    let looks_like_kedas = first.rules().contains(&"hpa-giveback") && second.rules().contains(&"hpa-readoption");
    if let Some(again) = second.mutated_object.as_ref().filter(|_| !looks_like_kedas) {
        assert_eq!(again.get(), mutated, "a second repair changes the first");
    }
}

impl World {
    fn of(value: &Value, choices: &mut Unstructured<'_>) -> Option<Self> {
        let request = value.get("request")?.as_object()?;
        let request = request.iter().map(|(key, value)| (key.clone(), text(value, choices))).collect();
        let mut part = |name: &str| value.get(name).map_or_else(|| "null".to_owned(), |value| text(value, choices));
        Some(Self { request, settings: part("settings"), cluster: part("cluster") })
    }

    fn object(&self, name: &str) -> &str {
        self.request.get(name).map_or("null", |text| text.trim())
    }

    fn judged(&self) -> Answer {
        let fields: Vec<String> =
            self.request.iter().map(|(key, value)| format!("{}:{value}", Value::from(key.as_str()))).collect();
        let (request, settings, cluster) = (fields.join(","), &self.settings, &self.cluster);
        let payload = format!(r#"{{"request":{{{request}}},"settings":{settings},"cluster":{cluster}}}"#);
        Answer::to(payload.as_bytes(), &Stage::new(payload.as_bytes(), b""))
    }
}

/// An object before and after its repair.
struct Comparison<'t> {
    rules: &'t [&'t str],
    old: &'t str,
    new: &'t str,
    mutated: &'t str,
}

impl Comparison<'_> {
    fn is_by(&self, rule: &str) -> bool {
        self.rules.contains(&rule)
    }

    fn holds(&self) {
        same_but(self.new, self.mutated, &[], &["metadata", "spec"]);
        if self.is_by("hpa-readoption") {
            same_but(
                self.new,
                self.mutated,
                &["metadata"],
                &["annotations", "finalizers", "labels", "ownerReferences"],
            );
            for part in ["annotations", "finalizers", "labels", "ownerReferences"] {
                assert_eq!(at(self.old, &["metadata", part]), at(self.mutated, &["metadata", part]), "{part}");
            }
            assert_eq!(at(self.old, &["spec"]), at(self.mutated, &["spec"]));
            return;
        }
        same_but(self.new, self.mutated, &["metadata"], &["annotations", "ownerReferences"]);
        same_but(self.new, self.mutated, &["metadata", "annotations"], &["autoscaler-guard/released-from"]);
        self.owners();
        if self.is_by("envoyhpa-removed") || self.is_by("envoyhpa-with-replicas") {
            same_but(self.new, self.mutated, &["spec"], &["provider"]);
            same_but(self.new, self.mutated, &["spec", "provider"], &["kubernetes", "type"]);
        } else {
            assert_eq!(at(self.new, &["spec"]), at(self.mutated, &["spec"]));
        }
    }

    /// Owners keep their order; one is added at most, and only by a giveback.
    fn owners(&self) {
        let (before, after) = (items(self.new, "ownerReferences"), items(self.mutated, "ownerReferences"));
        let mut left = before.iter();
        let added = after.iter().filter(|owner| !left.any(|other| other == *owner)).count();
        assert!(added <= usize::from(self.is_by("hpa-giveback")), "{before:?} became {after:?}");
    }
}

/// Whether both objects at the path have the same fields, to the letter, but for the named ones.
fn same_but(before: &str, after: &str, path: &[&str], names: &[&str]) {
    let (before, after) = (at(before, path).unwrap_or("{}"), at(after, path).unwrap_or("{}"));
    let (fields_before, fields_after) = (fields(before), fields(after));
    let (Some(fields_before), Some(fields_after)) = (&fields_before, &fields_after) else {
        assert_eq!(before, after, "{path:?}");
        return;
    };
    let all: BTreeSet<&String> = fields_before.keys().chain(fields_after.keys()).collect();
    for name in all.into_iter().filter(|name| !names.contains(&name.as_str())) {
        assert_eq!(fields_before.get(name), fields_after.get(name), "{path:?}: {name}");
    }
}

fn fields(object: &str) -> Option<Fields<'_>> {
    let fields: BTreeMap<String, &RawValue> = serde_json::from_str(object).ok()?;
    Some(fields.into_iter().map(|(key, value)| (key, value.get())).collect())
}

/// The text at a path; absent and `null` are one.
fn at<'t>(object: &'t str, path: &[&str]) -> Option<&'t str> {
    let found = path.iter().try_fold(object, |object, name| fields(object)?.get(*name).copied());
    found.filter(|text| *text != "null")
}

fn items<'t>(object: &'t str, name: &str) -> Vec<&'t str> {
    let list = at(object, &["metadata", name]).and_then(|list| serde_json::from_str::<Vec<&RawValue>>(list).ok());
    list.unwrap_or_default().into_iter().map(RawValue::get).collect()
}
