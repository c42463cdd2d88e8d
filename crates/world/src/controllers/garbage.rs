//! The garbage collector, the namespace controller, and the finalizer of definitions.
//!
//! After kubernetes pkg/controller/garbagecollector (`attemptToDeleteItem`, `orphanDependents`),
//! pkg/controller/namespace, and apiextensions-apiserver pkg/controller/finalizer.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::object::{self, Key, Stored, group_of, text};
use crate::server::{Actor, Propagation, Reply, Request, Verb, World, owners};

const COLLECTOR: Actor = Actor {
    name: "garbage collector",
    user: "system:serviceaccount:kube-system:generic-garbage-collector",
    manager: "kube-controller-manager",
    names_manager: false,
};

const NAMESPACES: Actor = Actor {
    name: "namespace controller",
    user: "system:serviceaccount:kube-system:namespace-controller",
    manager: "kube-controller-manager",
    names_manager: false,
};

/// What has become of an owner.
#[derive(PartialEq)]
enum Owner {
    Lives,
    /// It waits for its dependents to go first.
    Waits,
    Gone,
    /// Its kind is not served, so nobody knows.
    Unknown,
}

fn owner(world: &World, key: &Key, reference: &Value) -> Owner {
    let (group, kind) = (group_of(text(reference, "/apiVersion")), text(reference, "/kind"));
    if !world.serves(group, kind) {
        return Owner::Unknown;
    }
    let owner = Key::new(group, kind, &key.namespace, text(reference, "/name"));
    match world.objects.get(&owner).filter(|found| found.uid() == text(reference, "/uid")) {
        None => Owner::Gone,
        Some(found) if has_finalizer(found, "foregroundDeletion") => Owner::Waits,
        Some(_) => Owner::Lives,
    }
}

fn has_finalizer(stored: &Stored, name: &str) -> bool {
    object::items(&stored.value, "/metadata/finalizers").iter().any(|finalizer| finalizer == name)
}

fn dependents<'w>(world: &'w World, uid: &'w str) -> impl Iterator<Item = (&'w Key, &'w Arc<Stored>)> {
    world.objects.iter().filter(move |(_, stored)| owners(&stored.value).any(|owner| text(owner, "/uid") == uid))
}

/// Whether the collector would do something about an object.
pub fn has_work(world: &World, key: &Key, stored: &Arc<Stored>) -> bool {
    if stored.is_terminating() {
        return has_finalizer(stored, "orphan")
            || (has_finalizer(stored, "foregroundDeletion") && dependents(world, stored.uid()).next().is_none());
    }
    let mut found = owners(&stored.value).map(|reference| owner(world, key, reference)).peekable();
    if found.peek().is_none() {
        return false;
    }
    let all: Vec<Owner> = found.collect();
    !all.contains(&Owner::Unknown) && (all.contains(&Owner::Gone) || all.iter().all(|owner| *owner == Owner::Waits))
}

/// Does it.
pub fn collect(world: &mut World, key: &Key) -> Vec<Reply> {
    let Some(stored) = world.objects.get(key).cloned() else { return Vec::new() };
    if has_finalizer(&stored, "orphan") {
        let owned: Vec<Key> = dependents(world, stored.uid()).map(|(key, _)| key.clone()).collect();
        let mut replies: Vec<Reply> = owned
            .into_iter()
            .map(|dependent| drop_owners(world, &dependent, |owner| text(owner, "/uid") == stored.uid()))
            .collect();
        replies.push(drop_finalizer(world, key, "orphan"));
        return replies;
    }
    if has_finalizer(&stored, "foregroundDeletion") {
        return vec![drop_finalizer(world, key, "foregroundDeletion")];
    }
    let lives = owners(&stored.value).any(|reference| owner(world, key, reference) == Owner::Lives);
    if lives {
        let gone: Vec<String> = owners(&stored.value)
            .filter(|reference| owner(world, key, reference) == Owner::Gone)
            .map(|reference| text(reference, "/uid").to_owned())
            .collect();
        return vec![drop_owners(world, key, |owner| gone.iter().any(|uid| uid == text(owner, "/uid")))];
    }
    let verb = Verb::Delete { propagation: Propagation::Background, uid: Some(stored.uid().to_owned()) };
    vec![world.request(&COLLECTOR, Request::new(key.clone(), verb))]
}

fn drop_owners(world: &mut World, key: &Key, which: impl Fn(&Value) -> bool) -> Reply {
    let Some(value) = world.get(key) else { return Reply::Missing };
    let kept: Vec<Value> = owners(value).filter(|owner| !which(owner)).cloned().collect();
    let patch = json!({"metadata": {"ownerReferences": if kept.is_empty() { Value::Null } else { kept.into() }}});
    world.request(&COLLECTOR, Request::new(key.clone(), Verb::Patch(patch)))
}

fn drop_finalizer(world: &mut World, key: &Key, name: &str) -> Reply {
    let Some(value) = world.get(key) else { return Reply::Missing };
    let kept: Vec<Value> =
        object::items(value, "/metadata/finalizers").iter().filter(|finalizer| *finalizer != name).cloned().collect();
    let patch = json!({"metadata": {"finalizers": if kept.is_empty() { Value::Null } else { kept.into() }}});
    world.request(&COLLECTOR, Request::new(key.clone(), Verb::Patch(patch)))
}

/// Deletes the next object of a namespace that goes, or the namespace itself.
pub fn empty_namespace(world: &mut World, key: &Key) -> Vec<Reply> {
    let within = |(other, stored): &(&Key, &Arc<Stored>)| other.namespace == key.name && !stored.is_terminating();
    let next = world.objects.iter().find(within).map(|(other, _)| other.clone());
    if let Some(next) = next {
        let verb = Verb::Delete { propagation: Propagation::Background, uid: None };
        return vec![world.request(&NAMESPACES, Request::new(next, verb))];
    }
    if !world.objects.keys().any(|other| other.namespace == key.name) {
        world.forget(key);
    }
    Vec::new()
}

fn kind_of(definition: &Value) -> (&str, &str) {
    (text(definition, "/spec/group"), text(definition, "/spec/names/kind"))
}

/// Whether the definition's finalizer is not just waiting for those of its objects.
pub fn can_empty_kind(world: &World, definition: &Value) -> bool {
    let (group, kind) = kind_of(definition);
    world.list(group, kind, None).all(|(_, stored)| !stored.is_terminating())
}

/// Deletes all objects of a kind that goes, past admission as the definition's finalizer does; then the definition.
pub fn empty_kind(world: &mut World, key: &Key) -> Vec<Reply> {
    let Some(definition) = world.get(key).cloned() else { return Vec::new() };
    let (group, kind) = kind_of(&definition);
    let all: Vec<Key> = world.list(group, kind, None).map(|(key, _)| key.clone()).collect();
    if all.is_empty() {
        world.unserved.insert((group.into(), kind.into()));
        world.forget(key);
    }
    for key in all {
        world.delete_unjudged(&key);
    }
    Vec::new()
}
