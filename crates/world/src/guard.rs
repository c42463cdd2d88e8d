//! The policy in this world: its requests, and its lookups.

use std::fmt::Write;

use autoscaler_guard::cluster::{Access, ApiKind, List, Reason};
use autoscaler_guard::finding::{Finding, Help};
use autoscaler_guard::{Cluster, Decision, Presence, Settings};
use serde_json::{Value, json};

use crate::fields::Managed;
use crate::object::{Key, Stored, group_of, label, text, with_managed_fields};
use crate::server::{Actor, Propagation, World};

/// What the policy is asked.
pub(crate) struct Asked<'a> {
    pub(crate) actor: &'a Actor,
    pub(crate) key: &'a Key,
    pub(crate) old: Option<&'a Stored>,
    pub(crate) new: Option<(&'a Value, &'a Managed)>,
    pub(crate) dry_run: bool,
    pub(crate) propagation: Propagation,
}

/// What it says.
#[derive(Debug, Default)]
pub(crate) struct Ruling {
    /// Why it refuses.
    pub(crate) refused: Option<String>,
    /// What it makes of the object.
    pub(crate) repaired: Option<Value>,
    /// The commands that the refusal names, as kubectl gets them.
    pub(crate) commands: Vec<Vec<String>>,
    pub(crate) rules: Vec<&'static str>,
    pub(crate) warnings: Vec<String>,
    pub(crate) propagation: Propagation,
}

/// Asks the policy.
pub(crate) fn rule(world: &World, settings: &Settings, asked: &Asked<'_>) -> Ruling {
    let request = request(asked);
    let verdict = autoscaler_guard::review(&request, world, settings);
    let mut ruling = Ruling {
        rules: verdict.rules().collect(),
        warnings: verdict.warnings(),
        commands: verdict.rejections().flat_map(commands).collect(),
        propagation: asked.propagation,
        ..Ruling::default()
    };
    match &verdict.decision {
        Decision::Allow => {}
        Decision::Repair(object) => ruling.repaired = serde_json::from_str(object).ok(),
        Decision::Reject(_) => ruling.refused = Some(verdict.message().unwrap_or_default()),
    }
    ruling
}

fn commands(finding: &Finding) -> Vec<Vec<String>> {
    let all = finding.by_hand.iter().chain(&finding.help).map(|advice| &advice.help).chain(&finding.acknowledgement);
    let commands = all.filter_map(|help| match help {
        Help::Command(command) if command.program == "kubectl" => {
            Some(command.arguments.iter().map(|argument| argument.clone().into_owned()).collect())
        }
        _ => None,
    });
    commands.collect()
}

/// The `AdmissionRequest`, as the API server sends it.
fn request(asked: &Asked<'_>) -> String {
    let Asked { actor, key, old, new, dry_run, propagation } = asked;
    let operation = match (old, new) {
        (None, _) => "CREATE",
        (_, None) => "DELETE",
        _ => "UPDATE",
    };
    let value = new.map(|(value, _)| value).or(old.map(|old| &old.value)).unwrap_or(&Value::Null);
    let version = text(value, "/apiVersion").rsplit('/').next().unwrap_or_default();
    let options = if operation == "DELETE" {
        json!({ "propagationPolicy": format!("{propagation:?}") })
    } else if actor.names_manager {
        json!({ "fieldManager": actor.manager })
    } else {
        json!({})
    };
    let head = json!({
        "uid": "1",
        "kind": {"group": *key.group, "version": version, "kind": *key.kind},
        "operation": operation,
        "name": *key.name,
        "namespace": *key.namespace,
        "userInfo": {"username": actor.user, "groups": ["system:authenticated"]},
        "options": options,
        "dryRun": dry_run,
    });
    let mut text = head.to_string();
    text.pop();
    if let Some((value, managed)) = new {
        let _ = write!(text, ",\"object\":{}", with_managed_fields(value, managed));
    }
    if let Some(old) = old {
        let _ = write!(text, ",\"oldObject\":{}", old.rendered());
    }
    text.push('}');
    text
}

impl Cluster for World {
    fn get(&self, kind: &ApiKind<'_>, namespace: Option<&str>, name: &str, _: &[&str]) -> Presence<String> {
        let group = group_of(&kind.api_version);
        if !self.serves(group, &kind.kind) {
            return Presence::Unknown(not_served(kind));
        }
        let key = Key::new(group, &kind.kind, namespace.unwrap_or_default(), name);
        // A namespace that nobody wrote down exists all the same.
        let implied = || {
            let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
            Presence::Found(namespace.to_string())
        };
        match self.objects.get(&key) {
            Some(stored) => Presence::Found(stored.rendered().to_owned()),
            None if &*key.kind == "Namespace" => implied(),
            None => Presence::Absent,
        }
    }

    fn list(&self, query: &List<'_>) -> Presence<String> {
        let group = group_of(&query.kind.api_version);
        if !self.serves(group, &query.kind.kind) {
            return Presence::Unknown(not_served(query.kind));
        }
        let Some(labels) = query.labels() else {
            return Presence::Unknown(Reason::Failed("this world knows selectors of the form a=b,c only".to_owned()));
        };
        let matches = |stored: &Stored| {
            let is = |(key, wanted): &(&str, Option<&str>)| {
                label(&stored.value, key).is_some_and(|value| wanted.is_none_or(|wanted| value == wanted))
            };
            labels.iter().all(is)
        };
        let mut text = "{\"items\":[".to_owned();
        for (_, stored) in
            World::list(self, group, &query.kind.kind, query.namespace).filter(|(_, stored)| matches(stored))
        {
            if !text.ends_with('[') {
                text.push(',');
            }
            text.push_str(stored.rendered());
        }
        text.push_str("]}");
        Presence::Found(text)
    }

    /// Everybody may look; nobody was given the policy's own verb.
    fn can_i(&self, access: &Access<'_>) -> Presence<bool> {
        Presence::Found(matches!(access.verb, "get" | "list" | "watch"))
    }
}

fn not_served(kind: &ApiKind<'_>) -> Reason {
    Reason::NotServed(format!("Cannot find resource {}/{}", kind.api_version, kind.kind))
}
