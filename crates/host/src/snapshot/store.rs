//! The objects of a snapshot, found by group, kind, version, namespace and name without searching.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::lookup::group_of;

/// By group, then by kind.
#[derive(Debug, Clone, Default)]
pub(super) struct Store {
    groups: BTreeMap<String, BTreeMap<String, Versions>>,
}

/// By the version that objects are stored in.
type Versions = BTreeMap<String, Namespaces>;
/// By namespace, which is empty for cluster-scoped objects.
type Namespaces = BTreeMap<String, BTreeMap<String, Value>>;

/// Where an object is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Address<'a> {
    pub(super) api_version: &'a str,
    pub(super) kind: &'a str,
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
}

impl Store {
    /// Takes an object's place, if it has been there before; then the object that was there is returned.
    pub(super) fn insert(&mut self, at: Address<'_>, object: Value) -> Option<Value> {
        let kinds = self.groups.entry(group_of(at.api_version).into()).or_default();
        let versions = kinds.entry(at.kind.into()).or_default();
        let namespaces = versions.entry(version_of(at.api_version).into()).or_default();
        namespaces.entry(at.namespace.into()).or_default().insert(at.name.into(), object)
    }

    /// Removes an object in whichever version it is stored.
    pub(super) fn remove(&mut self, at: Address<'_>) -> Option<Value> {
        let versions = self.groups.get_mut(group_of(at.api_version))?.get_mut(at.kind)?;
        let stored = versions.values_mut().filter_map(|namespaces| namespaces.get_mut(at.namespace)?.remove(at.name));
        stored.last()
    }

    /// The object in the version asked for, else in another version of the group, as it is.
    pub(super) fn get(&self, at: Address<'_>) -> Option<&Value> {
        let versions = self.versions(at.api_version, at.kind)?;
        let find = |namespaces: &'_ Namespaces| {
            namespaces.get(at.namespace).is_some_and(|objects| objects.contains_key(at.name))
        };
        let exact = versions.get(version_of(at.api_version)).filter(|namespaces| find(namespaces));
        exact.or_else(|| versions.values().find(|namespaces| find(namespaces)))?.get(at.namespace)?.get(at.name)
    }

    /// The objects of a kind by namespace and name: each once, preferably in the version asked for.
    pub(super) fn list<'a>(&'a self, api_version: &str, kind: &str, namespace: Option<&str>) -> Vec<&'a Value> {
        let Some(versions) = self.versions(api_version, kind) else { return Vec::new() };
        let wanted = version_of(api_version);
        if versions.len() == 1 {
            return versions
                .values()
                .flat_map(|namespaces| within(namespaces, namespace))
                .map(|(_, object)| object)
                .collect();
        }
        let others = versions.iter().filter(|(version, _)| *version != wanted).map(|(_, namespaces)| namespaces);
        let preferred_last = others.chain(versions.get(wanted));
        let each_once: BTreeMap<_, _> = preferred_last.flat_map(|namespaces| within(namespaces, namespace)).collect();
        each_once.into_values().collect()
    }

    pub(super) fn objects(&self) -> impl Iterator<Item = &Value> {
        let versions = self.groups.values().flat_map(BTreeMap::values);
        versions.flat_map(BTreeMap::values).flat_map(BTreeMap::values).flat_map(BTreeMap::values)
    }

    /// Whether there is any object of the group and version.
    pub(super) fn has_version(&self, api_version: &str) -> bool {
        let kinds = self.groups.get(group_of(api_version));
        kinds.is_some_and(|kinds| kinds.values().any(|versions| versions.contains_key(version_of(api_version))))
    }

    fn versions(&self, api_version: &str, kind: &str) -> Option<&Versions> {
        self.groups.get(group_of(api_version))?.get(kind)
    }
}

type Found<'a> = ((&'a str, &'a str), &'a Value);

fn within<'a>(namespaces: &'a Namespaces, namespace: Option<&str>) -> Box<dyn Iterator<Item = Found<'a>> + 'a> {
    let all = |(namespace, objects): (&'a String, &'a BTreeMap<String, Value>)| {
        objects.iter().map(move |(name, object)| ((namespace.as_str(), name.as_str()), object))
    };
    match namespace {
        Some(namespace) => Box::new(namespaces.get_key_value(namespace).into_iter().flat_map(all)),
        None => Box::new(namespaces.iter().flat_map(all)),
    }
}

fn version_of(api_version: &str) -> &str {
    api_version.split_once('/').map_or(api_version, |(_, version)| version)
}
