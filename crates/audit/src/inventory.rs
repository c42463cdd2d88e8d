//! All objects that an audit looks at, by kind and name; and what could not be read.

use std::collections::{BTreeMap, BTreeSet};

use autoscaler_guard::cluster::{Access, ApiKind, Cluster, List, Presence, Reason};
use autoscaler_guard_reading::group_of;
use serde::Serialize;
use serde_json::{Value, json};

use crate::object::{Object, Ref};
use crate::trim::trim;

/// A kind that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Unread {
    /// The kind.
    pub kind: String,
    /// In which namespace; none for the whole cluster.
    pub namespace: Option<String>,
    /// Why.
    pub reason: String,
}

/// The objects.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    kinds: BTreeMap<(String, String), BTreeMap<(String, String), Object>>,
    not_served: BTreeSet<(String, String)>,
    definitions: BTreeSet<(String, String)>,
    unread: Vec<Unread>,
}

impl Inventory {
    /// Objects of a file or a cluster.
    pub fn of(objects: impl IntoIterator<Item = Value>) -> Self {
        let mut inventory = Self::default();
        objects.into_iter().for_each(|object| inventory.insert(object));
        inventory
    }

    /// Adds an object, or the objects of a list; what is no object is passed over.
    pub fn insert(&mut self, mut value: Value) {
        if let Some(items) = value.get_mut("items").and_then(Value::as_array_mut).map(std::mem::take) {
            for item in items {
                self.insert(item);
            }
            return;
        }
        trim(&mut value);
        let Some(object) = Object::new(value) else { return };
        if object.key.kind == "CustomResourceDefinition" {
            self.definitions
                .insert((object.text("/spec/group").to_owned(), object.text("/spec/names/kind").to_owned()));
        }
        let address = (object.key.namespace.clone(), object.key.name.clone());
        let kind = (object.key.group.clone(), object.key.kind.clone());
        self.kinds.entry(kind).or_default().insert(address, object);
    }

    /// Says that the API server does not know a kind.
    pub fn not_served(&mut self, group: &str, kind: &str) {
        self.not_served.insert((group.to_owned(), kind.to_owned()));
    }

    /// Says that all objects of a kind were read, though there may be none.
    pub fn know(&mut self, group: &str, kind: &str) {
        self.definitions.insert((group.to_owned(), kind.to_owned()));
    }

    /// Says that a kind could not be read.
    pub fn unread(&mut self, unread: Unread) {
        self.unread.push(unread);
    }

    /// What could not be read.
    pub fn all_unread(&self) -> &[Unread] {
        &self.unread
    }

    /// Whether objects of a kind could be read wherever they are.
    pub fn can_read(&self, kind: &str, namespace: &str) -> bool {
        let is = |unread: &&Unread| {
            unread.kind == kind && unread.namespace.as_ref().is_none_or(|one| one == namespace || namespace.is_empty())
        };
        !self.unread.iter().any(|unread| is(&unread))
    }

    /// Whether the API server is known not to serve a kind.
    pub fn is_not_served(&self, group: &str, kind: &str) -> bool {
        self.not_served.contains(&(group.to_owned(), kind.to_owned()))
    }

    /// Whether anything is known of a kind: it has objects or a definition, or is not served.
    pub fn knows(&self, group: &str, kind: &str) -> bool {
        let key = (group.to_owned(), kind.to_owned());
        self.kinds.contains_key(&key) || self.definitions.contains(&key) || self.not_served.contains(&key)
    }

    /// The objects of a kind.
    pub fn kind(&self, group: &str, kind: &str) -> impl Iterator<Item = &Object> {
        self.kinds.get(&(group.to_owned(), kind.to_owned())).into_iter().flat_map(BTreeMap::values)
    }

    /// All objects.
    pub fn objects(&self) -> impl Iterator<Item = &Object> {
        self.kinds.values().flat_map(BTreeMap::values)
    }

    /// An object by its address.
    pub fn get(&self, key: &Ref) -> Option<&Object> {
        let of_kind = self.kinds.get(&(key.group.clone(), key.kind.clone()))?;
        of_kind.get(&(key.namespace.clone(), key.name.clone()))
    }

    /// An owner: in the namespace of what it owns, or in none.
    pub fn owner(&self, key: &Ref) -> Option<&Object> {
        self.get(key).or_else(|| self.get(&Ref { namespace: String::new(), ..key.clone() }))
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.kinds.values().map(BTreeMap::len).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }
}

/// The core's facts about Envoy Gateway are looked up here.
impl Cluster for Inventory {
    fn get(&self, kind: &ApiKind<'_>, namespace: Option<&str>, name: &str, _: &[&str]) -> Presence<String> {
        let group = group_of(&kind.api_version);
        let within = |namespace: &str| Self::get(self, &Ref::new(group, &kind.kind, namespace, name));
        // Owners are asked for in the namespace of what they own, whatever their scope.
        match within(namespace.unwrap_or_default()).or_else(|| within("")) {
            Some(object) => Presence::Found(object.value.to_string()),
            None => self.absent(group, &kind.kind, namespace.unwrap_or_default()),
        }
    }

    fn list(&self, query: &List<'_>) -> Presence<String> {
        let group = group_of(&query.kind.api_version);
        if let Presence::Unknown(reason) = self.absent(group, &query.kind.kind, query.namespace.unwrap_or_default()) {
            return Presence::Unknown(reason);
        }
        let wanted = |object: &&Object| {
            let part = |part: &str| match part.split_once('=') {
                Some((key, value)) => object.label(key) == Some(value),
                None => object.label(part).is_some(),
            };
            query.namespace.is_none_or(|namespace| object.key.namespace == namespace)
                && query.label_selector.is_none_or(|selector| selector.split(',').all(part))
        };
        let found: Vec<&Value> =
            self.kind(group, &query.kind.kind).filter(wanted).map(|object| &object.value).collect();
        Presence::Found(json!({"items": found}).to_string())
    }

    /// What may not be read is missing here anyway.
    fn can_i(&self, access: &Access<'_>) -> Presence<bool> {
        Presence::Found(matches!(access.verb, "get" | "list" | "watch"))
    }
}

impl Inventory {
    fn absent(&self, group: &str, kind: &str, namespace: &str) -> Presence<String> {
        if self.is_not_served(group, kind) {
            return Presence::Unknown(Reason::NotServed(format!("{kind} is not served")));
        }
        if !self.can_read(kind, namespace) {
            return Presence::Unknown(Reason::Failed(format!("{kind} could not be read")));
        }
        Presence::Absent
    }
}
