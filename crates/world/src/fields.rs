//! Who manages which field: `metadata.managedFields` and server-side apply, for labels, annotations and `spec`.
//!
//! After kubernetes sigs.k8s.io/structured-merge-diff, with two simplifications that make no difference to autoscaling:
//! lists are taken as a whole, and so is a workload's `template`.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::object;

/// A field's path; parts joined by [`SEPARATOR`], as names of labels have dots and slashes.
type Path = String;

const SEPARATOR: char = '\u{1f}';

/// How a manager came to its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    /// By server-side apply.
    Apply,
    /// By any other write.
    Update,
}

/// One entry of `managedFields`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Entry {
    manager: String,
    operation: Operation,
    subresource: &'static str,
    /// When; the world's coarse clock. Not known for what the scale subresource leaves behind (kubernetes,
    /// `ScaleREST`).
    time: Option<u32>,
    paths: Vec<Path>,
}

/// All entries of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Managed(Vec<Entry>);

/// Who writes, for the entries.
#[derive(Clone, Copy, Debug)]
pub struct Manager<'m> {
    /// The field manager.
    pub name: &'m str,
    /// `scale`, or empty.
    pub subresource: &'static str,
    /// The world's coarse clock.
    pub time: u32,
}

/// A conflict of a server-side apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Who manages the field.
    pub manager: String,
    /// By which subresource.
    pub subresource: &'static str,
    /// The field, as the API server writes it: `.spec.replicas`.
    pub field: String,
}

impl Managed {
    /// Whether nobody manages anything.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As the API server writes them.
    pub fn to_json(&self, api_version: &str) -> Value {
        self.0.iter().map(|entry| entry.to_json(api_version)).collect()
    }

    /// Reads what an object from a cluster says of itself.
    pub fn from_json(entries: &Value) -> Self {
        let entries = entries.as_array().map_or(&[][..], Vec::as_slice);
        Self(entries.iter().filter_map(Entry::from_json).collect())
    }

    /// Whether somebody manages that field, and who: manager, operation, subresource.
    pub fn owners(&self, path: &[&str]) -> Vec<(&str, Operation, &'static str)> {
        let path = path.join(&SEPARATOR.to_string());
        let owns = |entry: &&Entry| entry.paths.binary_search(&path).is_ok();
        self.0.iter().filter(owns).map(|entry| (&*entry.manager, entry.operation, entry.subresource)).collect()
    }

    /// A create, PUT or patch: who changes a field has it.
    pub fn update(&mut self, manager: Manager<'_>, old: &Value, new: &Value) {
        let (before, after) = (leaves(old), leaves(new));
        let changed: Vec<Path> = after
            .iter()
            .filter(|(path, value)| before.get(*path) != Some(value))
            .map(|(path, _)| path.clone())
            .collect();
        // The scale subresource records itself only on a field that somebody managed before.
        let replicas = format!("spec{SEPARATOR}replicas");
        let unowned = manager.subresource == "scale" && !self.0.iter().any(|entry| entry.paths.contains(&replicas));
        for entry in &mut self.0 {
            entry.paths.retain(|path| after.contains_key(path));
            if !entry.is(manager, Operation::Update) {
                entry.paths.retain(|path| changed.binary_search(path).is_err());
            }
        }
        if !changed.is_empty() && !unowned {
            let entry = self.entry(manager, Operation::Update);
            entry.paths.extend(changed);
            entry.paths.sort();
            entry.paths.dedup();
            entry.time = (manager.subresource != "scale").then_some(manager.time);
        }
        self.0.retain(|entry| !entry.paths.is_empty());
    }

    /// A server-side apply onto `live`: the object as it becomes, or the conflicts.
    pub fn apply(
        &mut self,
        manager: Manager<'_>,
        live: &Value,
        applied: &Value,
        force: bool,
    ) -> Result<Value, Vec<Conflict>> {
        let (wanted, present) = (leaves(applied), leaves(live));
        let differs = |path: &Path| present.get(path) != wanted.get(path);
        let others = self.0.iter().filter(|entry| entry.manager != manager.name);
        let conflicts: Vec<Conflict> = others
            .flat_map(|entry| {
                let taken = entry.paths.iter().filter(|path| wanted.contains_key(*path) && differs(path));
                taken.map(|path| Conflict {
                    manager: entry.manager.clone(),
                    subresource: entry.subresource,
                    field: format!(".{}", path.replace(SEPARATOR, ".")),
                })
            })
            .collect();
        if !conflicts.is_empty() && !force {
            return Err(conflicts);
        }
        let mut result = live.clone();
        for (path, value) in &wanted {
            object::set(&mut result, &path.split(SEPARATOR).collect::<Vec<_>>(), (*value).clone());
        }
        let before = self.0.iter().find(|entry| entry.is(manager, Operation::Apply));
        let dropped: Vec<Path> = before.map_or(Vec::new(), |entry| {
            entry.paths.iter().filter(|path| !wanted.contains_key(*path)).cloned().collect()
        });
        for path in &dropped {
            let kept = self.0.iter().any(|entry| !entry.is(manager, Operation::Apply) && entry.paths.contains(path));
            if !kept {
                object::remove(&mut result, &path.split(SEPARATOR).collect::<Vec<_>>());
            }
        }
        for entry in &mut self.0 {
            // A forced apply takes the field; who wanted the same value keeps it, too.
            if entry.manager != manager.name {
                entry.paths.retain(|path| !wanted.contains_key(path) || !differs(path));
            }
        }
        let paths: Vec<Path> = wanted.keys().cloned().collect();
        let entry = self.entry(manager, Operation::Apply);
        entry.paths = paths;
        entry.time = Some(manager.time);
        self.0.retain(|entry| !entry.paths.is_empty());
        Ok(result)
    }

    fn entry(&mut self, manager: Manager<'_>, operation: Operation) -> &mut Entry {
        let known = self.0.iter().position(|entry| entry.is(manager, operation));
        let at = known.unwrap_or_else(|| {
            let entry = Entry {
                manager: manager.name.to_owned(),
                operation,
                subresource: manager.subresource,
                time: Some(manager.time),
                paths: Vec::new(),
            };
            self.0.push(entry);
            self.0.len() - 1
        });
        &mut self.0[at]
    }
}

impl Entry {
    fn is(&self, manager: Manager<'_>, operation: Operation) -> bool {
        self.manager == manager.name && self.operation == operation && self.subresource == manager.subresource
    }

    fn to_json(&self, api_version: &str) -> Value {
        let mut fields = json!({});
        for path in &self.paths {
            let parts: Vec<String> = path.split(SEPARATOR).map(|part| format!("f:{part}")).collect();
            object::set(&mut fields, &parts.iter().map(String::as_str).collect::<Vec<_>>(), json!({}));
        }
        let operation = if self.operation == Operation::Apply { "Apply" } else { "Update" };
        let mut entry = json!({
            "manager": self.manager, "operation": operation, "apiVersion": api_version, "fieldsType": "FieldsV1", "fieldsV1": fields,
        });
        if !self.subresource.is_empty() {
            entry["subresource"] = self.subresource.into();
        }
        if let Some(time) = self.time {
            entry["time"] = crate::server::time(time).into();
        }
        entry
    }

    fn from_json(entry: &Value) -> Option<Self> {
        let mut paths = Vec::new();
        read_paths(entry.get("fieldsV1")?, &mut Vec::new(), &mut paths);
        paths.sort();
        let operation = if object::text(entry, "/operation") == "Apply" { Operation::Apply } else { Operation::Update };
        let subresource = match object::text(entry, "/subresource") {
            "scale" => "scale",
            "status" => "status",
            _ => "",
        };
        let time = entry.get("time").map(|_| 0);
        (!paths.is_empty()).then(|| Self {
            manager: object::text(entry, "/manager").to_owned(),
            operation,
            subresource,
            time,
            paths,
        })
    }
}

/// The paths of `fieldsV1`, as deep as [`leaves`] goes.
fn read_paths(fields: &Value, path: &mut Vec<String>, paths: &mut Vec<Path>) {
    let below: Vec<(&String, &Value)> =
        fields.as_object().into_iter().flatten().filter(|(key, _)| key.starts_with("f:")).collect();
    let is_whole = path.last().is_some_and(|last| last == "template");
    if below.is_empty() || is_whole {
        if matches!(path.first().map(String::as_str), Some("spec")) || is_label_or_annotation(path) {
            paths.push(path.join(&SEPARATOR.to_string()));
        }
        return;
    }
    for (key, value) in below {
        path.push(key.get(2..).unwrap_or_default().to_owned());
        read_paths(value, path, paths);
        path.pop();
    }
}

fn is_label_or_annotation(path: &[String]) -> bool {
    path.len() == 3 && path[0] == "metadata" && (path[1] == "labels" || path[1] == "annotations")
}

/// The managed leaves of an object.
fn leaves(value: &Value) -> BTreeMap<Path, &Value> {
    let mut found = BTreeMap::new();
    for key in ["labels", "annotations"] {
        let fields = value.get("metadata").and_then(|metadata| metadata.get(key)).and_then(Value::as_object);
        for (name, value) in fields.into_iter().flatten() {
            found.insert(format!("metadata{SEPARATOR}{key}{SEPARATOR}{name}"), value);
        }
    }
    if let Some(spec) = value.get("spec").and_then(Value::as_object) {
        collect("spec", spec, &mut found);
    }
    found
}

fn collect<'v>(path: &str, fields: &'v Map<String, Value>, found: &mut BTreeMap<Path, &'v Value>) {
    for (key, value) in fields {
        let path = format!("{path}{SEPARATOR}{key}");
        match value {
            Value::Object(below) if !below.is_empty() && key != "template" => collect(&path, below, found),
            Value::Null => {}
            value => {
                found.insert(path, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELM: Manager<'_> = Manager { name: "helm", subresource: "", time: 0 };
    const SCALE: Manager<'_> = Manager { name: "kube-controller-manager", subresource: "scale", time: 1 };

    fn deployment(replicas: Option<i64>) -> Value {
        let mut value = json!({"metadata": {"labels": {"app": "web"}}, "spec": {"selector": {"app": "web"}}});
        if let Some(replicas) = replicas {
            value["spec"]["replicas"] = replicas.into();
        }
        value
    }

    #[test]
    fn an_update_takes_what_it_changes() {
        let mut managed = Managed::default();
        managed.update(HELM, &Value::Null, &deployment(Some(1)));
        assert_eq!(managed.owners(&["spec", "replicas"]), [("helm", Operation::Update, "")]);
        managed.update(SCALE, &deployment(Some(1)), &deployment(Some(4)));
        assert_eq!(managed.owners(&["spec", "replicas"]), [("kube-controller-manager", Operation::Update, "scale")]);
        assert_eq!(managed.owners(&["metadata", "labels", "app"]), [("helm", Operation::Update, "")]);
    }

    #[test]
    fn an_apply_that_differs_conflicts_unless_forced() {
        let mut managed = Managed::default();
        managed.update(HELM, &Value::Null, &deployment(Some(1)));
        managed.update(SCALE, &deployment(Some(1)), &deployment(Some(4)));
        let (helm4, live) = (Manager { name: "helm", subresource: "", time: 2 }, deployment(Some(4)));
        let conflicts = managed.apply(helm4, &live, &deployment(Some(2)), false).unwrap_err();
        assert_eq!(conflicts[0].field, ".spec.replicas");
        assert_eq!(conflicts[0].subresource, "scale");
        let forced = managed.apply(helm4, &live, &deployment(Some(2)), true).unwrap();
        assert_eq!(forced["spec"]["replicas"], 2);
        // Given up again, nobody has it: it goes.
        let given_up = managed.apply(helm4, &forced, &deployment(None), false).unwrap();
        assert!(given_up["spec"].get("replicas").is_none());
    }

    #[test]
    fn what_nobody_manages_the_scale_subresource_leaves_unmanaged() {
        let mut managed = Managed::default();
        managed.apply(HELM, &Value::Null, &deployment(None), false).unwrap();
        managed.update(SCALE, &deployment(Some(1)), &deployment(Some(4)));
        assert!(managed.owners(&["spec", "replicas"]).is_empty());
    }

    #[test]
    fn entries_survive_their_json() {
        let mut managed = Managed::default();
        managed.update(HELM, &Value::Null, &deployment(Some(1)));
        assert_eq!(Managed::from_json(&managed.to_json("apps/v1")), managed);
    }
}
