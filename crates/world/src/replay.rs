//! Requests as an API server got them, done to a world: what controllers make of them.

use autoscaler_guard::Settings;
use serde_json::Value;

use crate::controllers;
use crate::object::{Key, number, text};
use crate::server::{Actor, Event, Propagation, Request, Verb, World};

const ASKED: Actor = Actor { name: "the request", user: "", manager: "request", names_manager: true };

/// Does what an `AdmissionRequest` asks for, with its object as it was admitted, and lets the controllers come to rest.
/// What they did; the request itself is no news. The policy answers them, as it has answered the request.
pub fn replay(world: &mut World, request: &Value, admitted: &Value, guard: &Settings) -> Vec<Event> {
    let first = world.log.len();
    world.now += 1;
    if let Some((key, verb)) = verb(world, request, admitted) {
        world.request(&ASKED, Request::new(key, verb));
        *world = world.clone().with(|setup| setup.guard = Some(guard.clone()));
        controllers::settle(world);
        *world = world.clone().with(|setup| setup.guard = None);
    }
    world.log.iter().skip(first).filter(|event| event.who != ASKED.name).cloned().collect()
}

fn verb(world: &mut World, request: &Value, admitted: &Value) -> Option<(Key, Verb)> {
    if request["dryRun"] == true {
        return None;
    }
    let namespace = text(request, "/namespace");
    let old = &request["oldObject"];
    let object = if text(request, "/operation") == "DELETE" { old } else { admitted };
    let key = match text(request, "/subResource") {
        "" | "status" => Key::of(object, namespace)?,
        "scale" => scaled(request, namespace)?,
        _ => return None,
    };
    let is_whole = text(request, "/subResource").is_empty();
    if is_whole && world.get(&key).is_none() && !old.is_null() {
        world.put(old, namespace, "request");
    }
    let verb = match (text(request, "/operation"), text(request, "/subResource")) {
        (_, "status") => Verb::Status(object["status"].clone()),
        (_, "scale") => Verb::Scale(number(object, "/spec/replicas")?),
        ("CREATE", _) => Verb::Create(object.clone()),
        ("UPDATE", _) => Verb::Update(object.clone()),
        ("DELETE", _) => Verb::Delete { propagation: propagation(request, old), uid: None },
        _ => return None,
    };
    Some((key, verb))
}

/// The workload whose scale a request is about.
fn scaled(request: &Value, namespace: &str) -> Option<Key> {
    let kind = match text(request, "/resource/resource") {
        "deployments" => "Deployment",
        "statefulsets" => "StatefulSet",
        "replicasets" => "ReplicaSet",
        _ => return None,
    };
    Some(Key::new(text(request, "/resource/group"), kind, namespace, text(request, "/name")))
}

fn propagation(request: &Value, old: &Value) -> Propagation {
    let keeps = crate::object::items(old, "/metadata/finalizers").iter().any(|it| it == "orphan");
    match text(request, "/options/propagationPolicy") {
        "Orphan" => Propagation::Orphan,
        "Foreground" => Propagation::Foreground,
        "" if keeps || request["options"]["orphanDependents"] == true => Propagation::Orphan,
        _ => Propagation::Background,
    }
}
