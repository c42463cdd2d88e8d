//! What really happened, on real components and without the policy, happens in the model: `tests/outcomes/*.jsonl`.
//!
//! One scenario a line: `id`, `what`, the `outcome` (or several that were seen), the `subjects` it is about, and
//! `acts`: `setup` puts objects in, `mark` is the moment that the outcome compares with, the others are requests
//! (`create`, `apply`, `replace`, `patch`, `delete`, `scale`), Helm at work (`helm`), components that stop and start
//! (`keda`, `envoy`), and `settle`. Objects are written shortly: `{"hpa": "web", "max": 7}` is an HPA for 2 to 5
//! replicas by 80 % of the processor where nothing else is said.
//!
//! Where the model says something else, [`EXPLAINED`] has the reason.

#![allow(clippy::restriction, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use autoscaler_guard_world::controllers;
use autoscaler_guard_world::outcome::{End, judge};
use autoscaler_guard_world::server::{Actor, Propagation, Reply, Request, Seen, Verb, Version};
use autoscaler_guard_world::writers::{Flow, PERSON, Progress};
use autoscaler_guard_world::{Change, Key, Outcome, Setup, Tool, World};
use serde_json::{Value, json};

const NAMESPACE: &str = "shop";

/// Scenarios that end with another word here, and why that is no mistake.
const EXPLAINED: &[(&str, &str)] = &[
    (
        "helm-there-back-and-there-helm4",
        "the way back to KEDA has a gap of some milliseconds, as helm-there-and-back saw it",
    ),
    (
        "helm-handover-at-zero-helm4",
        "the upgrade fails on a conflict, so that KEDA keeps the HPA, and it can start from 0",
    ),
    ("so-delete-autoscaling-off", "a loss that somebody acknowledged has a word of its own here"),
    ("so-delete-replicas-declared", "a loss with a declared count has a word of its own here"),
    ("hpa-blue-green", "the count of 0 is declared"),
    ("so-delete-paused", "nothing scaled the workload before, so nothing is lost here"),
    ("hpa-created-for-paused-so", "the stand-in comes and goes after the beginning: none before, none after"),
    ("hpa-name-claimed", "the HPA comes and goes after the beginning: none before, none after"),
    ("hpa-removed-off-1.9.1", "a loss that somebody acknowledged has a word of its own here"),
    ("hpa-patch-namespace-1.3.0", "the HPA that is written now aims at nothing: reported for its target"),
    ("hpa-patch-namespace-1.9.1", "the HPA that is written now aims at nothing: reported for its target"),
    (
        "dep-patch-rename-1.3.0",
        "reported for the fleet as a whole: the Deployment that has the HPA keeps it, the new one never had any",
    ),
    ("system-deletes-1.3.0", "the moment until Envoy Gateway writes the HPA anew counts as a gap here"),
    ("system-deletes-1.9.1", "the moment until Envoy Gateway writes the HPA anew counts as a gap here"),
    ("restore-stale-deployment", "the HPA comes and goes after the beginning: none before, none after"),
];

fn scenarios(file: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/outcomes").join(file);
    let text = fs::read_to_string(path).expect("the file is there");
    text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
}

/// Writes an object out.
fn expand(short: &Value) -> Value {
    let name = |key: &str| short.get(key).and_then(Value::as_str);
    let mut object = if let Some(name) = name("deployment") {
        workload("Deployment", name, "app", short)
    } else if let Some(name) = name("statefulSet") {
        workload("StatefulSet", name, "sts", short)
    } else if let Some(hpa) = name("hpa") {
        let metric = if name("metric") == Some("external") {
            json!({"type": "External", "external": {"metric": {"name": "queue"}, "target": {"type": "AverageValue", "averageValue": "10"}}})
        } else {
            json!({"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}})
        };
        json!({
            "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": hpa},
            "spec": {
                "scaleTargetRef": {
                    "apiVersion": "apps/v1", "kind": name("targetKind").unwrap_or("Deployment"), "name": name("target").unwrap_or("web"),
                },
                "minReplicas": short.get("min").unwrap_or(&json!(2)), "maxReplicas": short.get("max").unwrap_or(&json!(5)),
                "metrics": [metric],
            },
        })
    } else if let Some(scaled_object) = name("scaledObject") {
        let triggers = json!([{"type": "cpu", "metricType": "Utilization", "metadata": {"value": "80"}}]);
        let mut object = json!({
            "apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": scaled_object},
            "spec": {
                "scaleTargetRef": {"name": name("target").unwrap_or("web")},
                "minReplicaCount": short.get("min").unwrap_or(&json!(2)), "maxReplicaCount": short.get("max").unwrap_or(&json!(5)),
                "triggers": short.get("triggers").unwrap_or(&triggers),
            },
        });
        if let Some(advanced) = short.get("advanced") {
            object["spec"]["advanced"] = advanced.clone();
        }
        if let Some(hpa) = name("hpaName") {
            object["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["name"] = hpa.into();
        }
        object
    } else {
        return short.clone();
    };
    for key in ["labels", "annotations", "finalizers", "ownerReferences"] {
        if let Some(value) = short.get(key) {
            object["metadata"][key] = value.clone();
        }
    }
    object
}

fn workload(kind: &str, name: &str, label: &str, short: &Value) -> Value {
    let labels = json!({label: name});
    let mut object = json!({
        "apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": "app:1"}]}},
        },
    });
    if let Some(replicas) = short.get("replicas") {
        object["spec"]["replicas"] = replicas.clone();
    }
    object
}

/// `so/web` as a key.
fn key(short: &str) -> Key {
    let (kind, name) = short.split_once('/').expect("a kind and a name");
    let kind = kind.split('.').next().expect("a kind");
    let (group, kind) = match kind {
        "hpa" | "horizontalpodautoscalers" => ("autoscaling", "HorizontalPodAutoscaler"),
        "so" | "scaledobject" => ("keda.sh", "ScaledObject"),
        "deploy" => ("apps", "Deployment"),
        "ns" => ("", "Namespace"),
        "cm" => ("", "ConfigMap"),
        "crd" => ("apiextensions.k8s.io", "CustomResourceDefinition"),
        "envoyproxy" => ("gateway.envoyproxy.io", "EnvoyProxy"),
        "gateway" => ("gateway.networking.k8s.io", "Gateway"),
        "gatewayclass" => ("gateway.networking.k8s.io", "GatewayClass"),
        other => panic!("{other} is not known"),
    };
    let name = if name == "NS" { NAMESPACE } else { name };
    let (namespace, name) = name.split_once('/').unwrap_or((NAMESPACE, name));
    Key::new(group, kind, namespace, name)
}

/// Plays a scenario.
struct Stage {
    world: World,
    start: Option<World>,
    helm: Tool,
    releases: Vec<Vec<Value>>,
    /// The manifests that declare something, by key; and those of the beginning.
    declared: BTreeMap<Key, Value>,
    first: Vec<Value>,
    copies: BTreeMap<Key, Value>,
    end: End,
}

impl Stage {
    fn new(scenario: &Value) -> Self {
        let version = match scenario.get("version").and_then(Value::as_str) {
            Some("1.3.0") => Version(1, 3, 0),
            _ => Version(1, 9, 1),
        };
        let kubernetes = if scenario.get("kubernetes") == Some(&json!(37)) { 37 } else { 36 };
        // The webhook of KEDA was not installed where these were seen.
        let setup = Setup { keda_webhook: false, envoy_gateway: version, kubernetes, ..Setup::default() };
        let mut world = World::new(setup);
        world.put(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}), "", "kubectl");
        Self {
            world,
            start: None,
            helm: if scenario.get("helm") == Some(&json!(4)) { Tool::Helm4 } else { Tool::Helm3 },
            releases: Vec::new(),
            declared: BTreeMap::new(),
            first: Vec::new(),
            copies: BTreeMap::new(),
            end: End::default(),
        }
    }

    fn objects(&self, act: &Value, what: &str) -> Vec<Value> {
        let list = act[what].as_array().cloned().unwrap_or_else(|| vec![act[what].clone()]);
        list.iter().map(|short| self.resolved(&expand(short))).collect()
    }

    /// `uid of so/web` becomes the uid.
    fn resolved(&self, object: &Value) -> Value {
        match object {
            Value::Object(fields) => {
                Value::Object(fields.iter().map(|(key, value)| (key.clone(), self.resolved(value))).collect())
            }
            Value::Array(values) => values.iter().map(|value| self.resolved(value)).collect(),
            Value::String(text) => match text.strip_prefix("uid of ") {
                Some(object) => {
                    let name = object.rsplit('/').next().expect("a name");
                    let kind = if object.contains("so/") { "so" } else { "deploy" };
                    let key = key(&format!("{kind}/{name}"));
                    let uid = self.world.objects.get(&key).map(|stored| stored.uid().to_owned());
                    uid.unwrap_or_default().into()
                }
                None => text.clone().into(),
            },
            other => other.clone(),
        }
    }

    fn settle(&mut self) {
        if !controllers::settle(&mut self.world) {
            self.end.restless = true;
        }
    }

    fn request(&mut self, actor: &Actor, key: Key, verb: Verb, dry_run: bool) -> Reply {
        let reply = self.world.request(actor, Request { key, verb, dry_run });
        // A person types the next command much later than controllers act.
        controllers::settle_quick(&mut self.world);
        if let Reply::Invalid(reason) = &reply {
            self.end.failure = Some(reason.clone());
        }
        reply
    }

    fn act(&mut self, act: &Value) {
        let person = Actor { manager: act["manager"].as_str().map_or("kubectl", leak), ..PERSON };
        let dry_run = act.get("dry-run").is_some();
        if act.get("setup").is_some() {
            for object in self.objects(act, "setup") {
                self.world.put(&object, NAMESPACE, "kubectl-create");
                self.first.push(object.clone());
                if let Some(key) = Key::of(&object, NAMESPACE).filter(|key| !key.is_workload()) {
                    self.declared.insert(key, object);
                }
            }
        } else if act.get("settle").is_some() {
            self.settle();
        } else if act.get("mark").is_some() {
            self.settle();
            self.world.now += 1;
            self.world.seen = Seen::default();
            let workloads = self.world.objects.keys().filter(|key| key.is_workload());
            self.world.seen.watched = workloads.cloned().collect();
            self.start = Some(self.world.clone());
            self.end = End::default();
        } else if act.get("create").is_some() {
            for object in self.objects(act, "create") {
                let key = Key::of(&object, NAMESPACE).expect("a name");
                if self.request(&person, key.clone(), Verb::Create(object.clone()), dry_run).is_done() {
                    self.declared.insert(key, object);
                }
            }
        } else if act.get("apply").is_some() {
            self.apply(act, &person);
        } else if act.get("replace").is_some() {
            let force = act["force"] == json!(true);
            for object in self.objects(act, "replace") {
                let key = Key::of(&object, NAMESPACE).expect("a name");
                if force {
                    let verb = Verb::Delete { propagation: Propagation::Background, uid: None };
                    self.request(&person, key.clone(), verb, false);
                    self.settle();
                    self.request(&person, key.clone(), Verb::Create(object.clone()), false);
                } else {
                    self.request(&person, key.clone(), Verb::Update(object.clone()), false);
                }
                self.declared.insert(key, object);
            }
        } else if act.get("delete").is_some() {
            let propagation = if act.get("cascade") == Some(&json!("Orphan")) {
                Propagation::Orphan
            } else {
                Propagation::Background
            };
            for name in act["delete"].as_array().expect("a list") {
                let key = key(name.as_str().expect("a name"));
                let reply = self.request(&person, key.clone(), Verb::Delete { propagation, uid: None }, dry_run);
                if reply.is_done() && !dry_run {
                    self.declared.remove(&key);
                }
            }
        } else if act.get("patch").is_some() {
            let key = key(act["object"].as_str().expect("an object"));
            let patch = self.resolved(&act["patch"]);
            self.request(&person, key.clone(), Verb::Patch(patch.clone()), dry_run);
            // Somebody who takes the owner off an HPA declares nothing; who changes an object goes on declaring it.
            if !dry_run && let Some(declared) = self.declared.get_mut(&key) {
                autoscaler_guard_world::object::merge(declared, &patch);
            }
        } else if let Some(replicas) = act.get("scale").and_then(Value::as_i64) {
            let key = key(act["object"].as_str().expect("an object"));
            self.request(&person, key, Verb::Scale(replicas), false);
        } else if act.get("helm").is_some() {
            self.helm(act);
        } else if let Some(what) = act.get("keda") {
            self.world.keda_runs = what == "start";
            // On a start it looks at everything.
            let all: Vec<Key> = self.world.list("keda.sh", "ScaledObject", None).map(|(key, _)| key.clone()).collect();
            self.world.keda_queue.extend(all);
        } else if let Some(what) = act.get("envoy") {
            self.world.envoy_runs = what == "start";
            self.world.envoy_queue = true;
            self.world.envoy_made.clear();
        } else if act.get("nudge").is_some() {
            self.world.envoy_queue = true;
        } else if let Some(demand) = act.get("demand") {
            let demand: BTreeMap<Key, i64> = demand
                .as_object()
                .expect("workloads")
                .iter()
                .map(|(name, count)| (key(&format!("deploy/{name}")), count.as_i64().expect("a number")))
                .collect();
            self.world = self.world.clone().with(|setup| setup.demand.extend(demand));
        } else if let Some(name) = act.get("declare").and_then(Value::as_str) {
            if let Some(live) = self.world.get(&key(name)).cloned() {
                self.declared.entry(key(name)).or_insert(live);
            }
        } else if let Some(name) = act.get("copy").and_then(Value::as_str) {
            let copied = self.world.get(&key(name)).expect("it is there").clone();
            self.copies.insert(key(name), copied);
        } else if let Some(name) = act.get("restore").and_then(Value::as_str) {
            let copied = self.copies[&key(name)].clone();
            self.declared.insert(key(name), copied.clone());
            self.request(&person, key(name), Verb::Create(copied), false);
        } else {
            panic!("{act} is no act");
        }
    }

    fn apply(&mut self, act: &Value, person: &Actor) {
        let objects = self.objects(act, "apply");
        if act.get("server-side").is_none() {
            let change = Change::new(Tool::Kubectl, "app", NAMESPACE, &[], &objects);
            self.play(&change);
        }
        for object in objects {
            let key = Key::of(&object, NAMESPACE).expect("a name");
            if act.get("server-side").is_some() {
                let force = act["force"] == json!(true);
                self.request(person, key.clone(), Verb::Apply { object: object.clone(), force }, false);
            }
            self.declared.insert(key, object);
        }
        if act.get("prune").is_some() {
            // By the annotation that KEDA copied, too.
            let pruned: Vec<Key> = self
                .world
                .hpas(NAMESPACE)
                .filter(|(key, stored)| {
                    let applied = "kubectl.kubernetes.io/last-applied-configuration";
                    !self.declared.contains_key(key)
                        && autoscaler_guard_world::object::annotation(&stored.value, applied).is_some()
                })
                .map(|(key, _)| key.clone())
                .collect();
            for key in pruned {
                self.request(person, key, Verb::Delete { propagation: Propagation::Background, uid: None }, false);
            }
        }
    }

    fn helm(&mut self, act: &Value) {
        let last = self.releases.last().cloned().unwrap_or_default();
        let next = match act["helm"].as_str() {
            Some("upgrade") => self.objects(act, "manifests"),
            Some("rollback") => self.releases.first().cloned().unwrap_or_default(),
            _ => Vec::new(),
        };
        let mut change = Change::new(self.helm, "web", NAMESPACE, &last, &next);
        change.force = act["force"] == json!(true);
        let failed = !self.play(&change);
        if failed && act.get("atomic").is_some() {
            let mut back = Change::new(self.helm, "web", NAMESPACE, &next, &last);
            back.force = change.force;
            self.play(&back);
            return;
        }
        if !failed {
            for key in change.keys_before() {
                self.declared.remove(&key);
            }
            for manifest in &next {
                self.declared.insert(Key::of(manifest, NAMESPACE).expect("a name"), manifest.clone());
            }
        }
        self.releases.push(next);
    }

    fn play(&mut self, change: &Change) -> bool {
        let mut flow = Flow::new(change.clone());
        loop {
            let progress = flow.step(&mut self.world);
            match progress {
                Progress::Running => {
                    controllers::settle_quick(&mut self.world);
                }
                Progress::Waiting => self.settle(),
                Progress::Done => return true,
                Progress::Failed(_) => return false,
            }
        }
    }

    /// What became of the subjects.
    fn outcomes(&self, scenario: &Value) -> Vec<(Key, Outcome)> {
        let start = self.start.clone().unwrap_or_else(|| World::new(Setup::default()));
        let mut before = self.first.clone();
        before.extend(self.releases.first().cloned().unwrap_or_default());
        let after: Vec<Value> = self.declared.values().cloned().collect();
        let change = Change::new(Tool::Kubectl, "app", NAMESPACE, &before, &after);
        let reports = judge(&start, &self.world, Some(&change), &self.end);
        let subjects: Vec<&str> =
            scenario["subjects"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let is_subject = |workload: &Key| subjects.contains(&format!("{}/{}", workload.kind, workload.name).as_str());
        let all = reports.iter().map(|report| (report.workload.clone(), report.outcome));
        if subjects.is_empty() { all.collect() } else { all.filter(|(workload, _)| is_subject(workload)).collect() }
    }
}

fn leak(text: &str) -> &'static str {
    text.to_owned().leak()
}

/// Which outcomes of the model a word of the scenarios stands for.
fn meaning(word: &str) -> &'static [Outcome] {
    match word {
        "ok" => &[Outcome::Kept, Outcome::HandedOver, Outcome::Gained, Outcome::Gone, Outcome::None],
        "kept" => &[Outcome::Kept],
        "lost" => &[Outcome::Lost],
        // `at-rest`: lost while KEDA is down, and back with it.
        "gap" | "at-rest" => &[Outcome::Gap],
        "orphaned" => &[Outcome::Orphaned],
        "duplicate" => &[Outcome::Duplicate],
        "aimless" | "dangling" | "misaimed" => &[Outcome::Dangling],
        "not-ready" => &[Outcome::Dangling, Outcome::Frozen],
        "overwritten" => &[Outcome::Lost, Outcome::HandedOver],
        "two-writers" | "fight" | "flapping" => &[Outcome::Fighting],
        "frozen" | "frozen-all" | "detached" | "disabled" | "broken" => &[Outcome::Frozen, Outcome::AtZero],
        "at-zero" => &[Outcome::AtZero],
        "stuck" | "rejected-by-crd" => &[Outcome::Stuck],
        "pinned" => &[Outcome::Declared],
        "dropped" => &[Outcome::Kept, Outcome::Gained, Outcome::AtZero],
        "stray" | "daemonset" | "gone" => &[Outcome::Gone, Outcome::None],
        other => panic!("{other} is no word of the scenarios"),
    }
}

fn fits(seen: &str, outcomes: &[(Key, Outcome)]) -> bool {
    // What was first and what was last.
    let last = seen.rsplit(" → ").next().expect("a word");
    let words: Vec<&str> = last.split('+').collect();
    let mut allowed: Vec<Outcome> = words.iter().flat_map(|word| meaning(word).iter().copied()).collect();
    if seen.contains(" → ") {
        allowed.push(Outcome::Gap);
    }
    if outcomes.is_empty() {
        return words.iter().all(|word| matches!(*word, "ok" | "gone" | "stray" | "daemonset"));
    }
    let worst = outcomes.iter().map(|(_, outcome)| *outcome).filter(|outcome| outcome.is_bad());
    let fine = outcomes.iter().any(|(_, outcome)| allowed.contains(outcome));
    fine && worst.into_iter().all(|outcome| allowed.contains(&outcome))
}

fn run(file: &str) -> (usize, Vec<String>) {
    let (mut right, mut wrong) = (0, Vec::new());
    for scenario in scenarios(file) {
        let id = scenario["id"].as_str().expect("an id");
        let mut stage = Stage::new(&scenario);
        for act in scenario["acts"].as_array().expect("acts") {
            stage.act(act);
        }
        stage.settle();
        let mut outcomes = stage.outcomes(&scenario);
        // A write that the API server does not take never happens.
        if stage.end.failure.is_some() {
            for (_, outcome) in &mut outcomes {
                *outcome = Outcome::Stuck;
            }
        }
        let seen: Vec<&str> =
            scenario["outcome"].as_array().expect("outcomes").iter().filter_map(Value::as_str).collect();
        let explained = EXPLAINED.iter().any(|(known, _)| *known == id);
        let is_right = seen.iter().any(|seen| fits(seen, &outcomes));
        if is_right && explained {
            wrong.push(format!("{id} is right now: take it off the list"));
        }
        if is_right {
            right += 1;
        } else if !explained {
            let found: Vec<String> =
                outcomes.iter().map(|(workload, outcome)| format!("{workload} {outcome}")).collect();
            let log: Vec<String> = stage
                .world
                .log
                .iter()
                .map(|event| format!("      {}: {}: {}", event.who, event.what(), event.answer()))
                .collect();
            wrong.push(format!("{id}: seen {seen:?}, here {found:?}\n{}", log.join("\n")));
        }
    }
    (right, wrong)
}

#[test]
fn keda_and_helm() {
    let (right, wrong) = run("keda.jsonl");
    assert!(wrong.is_empty(), "{right} right; wrong:\n{}", wrong.join("\n"));
}

#[test]
fn envoy_gateway() {
    let (right, wrong) = run("envoy-gateway.jsonl");
    assert!(wrong.is_empty(), "{right} right; wrong:\n{}", wrong.join("\n"));
}

#[test]
fn scaling_to_zero() {
    let (right, wrong) = run("scale-to-zero.jsonl");
    assert!(wrong.is_empty(), "{right} right; wrong:\n{}", wrong.join("\n"));
}
