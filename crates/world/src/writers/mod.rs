//! Who writes: tools as sequences of requests, in the order in which they really send them.

mod argocd;
mod flux;
mod helm;
mod kubectl;

use std::collections::VecDeque;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::object::{self, Key, annotation, text};
use crate::server::{Actor, Propagation, Reply, Request, Verb, World};

/// A tool that applies manifests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tool {
    /// `helm upgrade --install`, version 3.
    Helm3,
    /// Version 4, by server-side apply.
    Helm4,
    /// Version 4 with `--server-side=false`.
    Helm4ClientSide,
    /// `kubectl apply`: nothing is ever deleted.
    Kubectl,
    /// `kubectl apply --prune`.
    Prune,
    /// Flux's kustomize-controller.
    Flux,
    /// Argo CD with automated pruning.
    ArgoCd,
    /// Argo CD with sync option `PruneLast=true`.
    ArgoCdPruneLast,
}

impl Tool {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::Helm3,
        Self::Helm4,
        Self::Helm4ClientSide,
        Self::Kubectl,
        Self::Prune,
        Self::Flux,
        Self::ArgoCd,
        Self::ArgoCdPruneLast,
    ];

    /// Its name on the command line.
    pub fn id(self) -> &'static str {
        match self {
            Self::Helm3 => "helm3",
            Self::Helm4 => "helm4",
            Self::Helm4ClientSide => "helm4-client-side",
            Self::Kubectl => "kubectl",
            Self::Prune => "prune",
            Self::Flux => "flux",
            Self::ArgoCd => "argocd",
            Self::ArgoCdPruneLast => "argocd-prune-last",
        }
    }

    /// Its field manager.
    pub fn manager(self) -> &'static str {
        self.actor().manager
    }

    /// The tool of that name.
    pub fn named(id: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|tool| tool.id() == id)
    }

    fn is_helm(self) -> bool {
        matches!(self, Self::Helm3 | Self::Helm4 | Self::Helm4ClientSide)
    }

    fn actor(self) -> &'static Actor {
        match self {
            Self::Helm3 | Self::Helm4 | Self::Helm4ClientSide => &HELM,
            Self::Kubectl | Self::Prune => &KUBECTL,
            Self::Flux => &FLUX,
            Self::ArgoCd | Self::ArgoCdPruneLast => &ARGOCD,
        }
    }

    /// How often a failed flow is tried again before it counts as failed for good. Both engines go on for longer, but
    /// every further try finds the same world as the last one.
    fn tries(self) -> u32 {
        match self {
            Self::Flux | Self::ArgoCd | Self::ArgoCdPruneLast => 3,
            _ => 1,
        }
    }
}

const HELM: Actor = Actor { name: "Helm", user: "jane", manager: "helm", names_manager: true };
const KUBECTL: Actor =
    Actor { name: "kubectl", user: "jane", manager: "kubectl-client-side-apply", names_manager: true };
const FLUX: Actor = Actor {
    name: "Flux",
    user: "system:serviceaccount:flux-system:kustomize-controller",
    manager: "kustomize-controller",
    names_manager: true,
};
const ARGOCD: Actor = Actor {
    name: "Argo CD",
    user: "system:serviceaccount:argocd:argocd-application-controller",
    manager: "argocd-controller",
    names_manager: true,
};

/// Somebody at a terminal.
pub const PERSON: Actor = Actor { name: "a person", user: "jane", manager: "kubectl", names_manager: true };

/// What a tool is asked to bring about: the manifests of last time, and those of now.
#[derive(Clone, Debug)]
pub struct Change {
    /// Who.
    pub tool: Tool,
    /// The release's, application's or Kustomization's name.
    pub app: Arc<str>,
    /// The namespace for objects that name none.
    pub namespace: Arc<str>,
    /// What was applied last time.
    pub before: Arc<[Arc<Value>]>,
    /// What is to be applied.
    pub after: Arc<[Arc<Value>]>,
    /// Whether conflicts of a server-side apply are forced.
    pub force: bool,
}

impl Change {
    /// A change; manifests get the marks that the tool puts on all it applies.
    pub fn new(tool: Tool, app: &str, namespace: &str, before: &[Value], after: &[Value]) -> Self {
        // What only has a generateName is new each time, and nothing scales it.
        let marked = |manifests: &[Value]| {
            let named = manifests.iter().filter(|manifest| Key::of(manifest, namespace).is_some());
            named.map(|manifest| Arc::new(mark(tool, app, namespace, manifest))).collect()
        };
        Self {
            tool,
            app: app.into(),
            namespace: namespace.into(),
            before: marked(before),
            after: marked(after),
            force: false,
        }
    }

    /// The way back.
    #[must_use]
    pub fn reversed(&self) -> Self {
        Self { before: self.after.clone(), after: self.before.clone(), ..self.clone() }
    }

    /// The same tool, installing what was there before.
    #[must_use]
    pub fn installation(&self) -> Self {
        Self { before: Arc::new([]), after: self.before.clone(), ..self.clone() }
    }

    fn key(&self, manifest: &Value) -> Option<Key> {
        Key::of(manifest, &self.namespace)
    }

    /// The keys of what was applied.
    pub fn keys_before(&self) -> Vec<Key> {
        self.before.iter().filter_map(|manifest| self.key(manifest)).collect()
    }

    /// The keys of what is to be applied.
    pub fn keys_after(&self) -> Vec<Key> {
        self.after.iter().filter_map(|manifest| self.key(manifest)).collect()
    }

    /// What is there before and not after, in the order of before. Helm and Argo CD do not track hooks.
    fn dropped(&self) -> Vec<(Key, Arc<Value>)> {
        let after = self.keys_after();
        let has_hooks = self.tool.is_helm() || matches!(self.tool, Tool::ArgoCd | Tool::ArgoCdPruneLast);
        let all = self.before.iter().filter(|manifest| !(has_hooks && is_hook(manifest)));
        let keyed = all.filter_map(|manifest| Some((self.key(manifest)?, manifest.clone())));
        keyed.filter(|(key, _)| !after.contains(key)).collect()
    }

    fn previous(&self, key: &Key) -> Option<&Arc<Value>> {
        self.before.iter().find(|manifest| self.key(manifest).as_ref() == Some(key))
    }
}

/// Whether a manifest is one of Helm's hooks: Helm neither tracks nor labels them.
pub fn is_hook(manifest: &Value) -> bool {
    annotation(manifest, "helm.sh/hook").is_some()
}

/// Puts on a manifest what the tool puts on everything it applies.
fn mark(tool: Tool, app: &str, namespace: &str, manifest: &Value) -> Value {
    let mut marked = manifest.clone();
    object::as_v2(&mut marked);
    let Some(key) = Key::of(manifest, namespace) else { return marked };
    if !key.namespace.is_empty() {
        object::metadata(&mut marked).insert("namespace".to_owned(), (*key.namespace).into());
    }
    match tool {
        Tool::Helm3 | Tool::Helm4 | Tool::Helm4ClientSide if !is_hook(manifest) => {
            object::add_label(&mut marked, "app.kubernetes.io/managed-by", "Helm");
            object::annotate(&mut marked, "meta.helm.sh/release-name", app);
            object::annotate(&mut marked, "meta.helm.sh/release-namespace", namespace);
        }
        Tool::Flux => {
            object::add_label(&mut marked, "kustomize.toolkit.fluxcd.io/name", app);
            object::add_label(&mut marked, "kustomize.toolkit.fluxcd.io/namespace", "flux-system");
        }
        Tool::ArgoCd | Tool::ArgoCdPruneLast => {
            let id = format!("{app}:{}/{}:{}/{}", key.group, key.kind, key.namespace, key.name);
            object::annotate(&mut marked, "argocd.argoproj.io/tracking-id", &id);
        }
        _ => {}
    }
    marked
}

/// One request of a tool, or what it does between two.
#[derive(Clone, Debug)]
enum Act {
    /// Applies a manifest in the tool's way.
    Write(Arc<Value>),
    /// The same, as a dry run; what nothing would change needs no write.
    Try(Arc<Value>),
    /// Creates; what is there already is an error.
    Create(Arc<Value>),
    /// Deletes.
    Delete(Key, Propagation),
    /// Waits until it is gone.
    Await(Key),
    /// Stops here if anything failed so far.
    Check,
    /// Writes the tool's own record.
    Record(Arc<Value>),
}

impl Act {
    fn digest(&self, change: &Change, hasher: &mut impl Hasher) {
        std::mem::discriminant(self).hash(hasher);
        match self {
            Self::Write(manifest) | Self::Try(manifest) | Self::Create(manifest) => change.key(manifest).hash(hasher),
            Self::Delete(key, _) | Self::Await(key) => key.hash(hasher),
            Self::Check | Self::Record(_) => {}
        }
    }
}

/// How a flow stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It has more to do.
    Running,
    /// It waits for a controller.
    Waiting,
    /// It is done.
    Done,
    /// It has failed for good; why.
    Failed(String),
}

/// A tool at work.
#[derive(Clone, Debug)]
pub struct Flow {
    /// What it brings about.
    pub change: Change,
    acts: VecDeque<Act>,
    failure: Option<String>,
    try_number: u32,
    planned: bool,
    /// Whether the controllers should come to rest before the next try.
    pub rests: bool,
    /// Whether the next request follows before any controller acts.
    pub hurries: bool,
}

impl Flow {
    /// A flow that has not begun.
    pub fn new(change: Change) -> Self {
        Self {
            change,
            acts: VecDeque::new(),
            failure: None,
            try_number: 0,
            planned: false,
            rests: false,
            hurries: false,
        }
    }

    /// For the hash of a state.
    pub fn digest(&self, hasher: &mut impl Hasher) {
        (self.try_number, self.planned, self.rests, self.failure.is_some()).hash(hasher);
        for act in &self.acts {
            act.digest(&self.change, hasher);
        }
    }

    /// Whether what it waits for is still there.
    pub fn is_waiting(&self, world: &World) -> bool {
        matches!(self.acts.front(), Some(Act::Await(key)) if self.holds(world, key))
    }

    /// Whether an object is there that the tool would delete.
    fn holds(&self, world: &World, key: &Key) -> bool {
        let Some(live) = world.get(key) else { return false };
        match self.change.tool {
            // KEDA's copy of an annotation makes an HPA that it adopts the ScaledObject's.
            Tool::ArgoCd | Tool::ArgoCdPruneLast => argocd::is_own(&self.change, world, key),
            tool => !(tool.is_helm() && annotation(live, "helm.sh/resource-policy") == Some("keep")),
        }
    }

    /// Does the next thing.
    pub fn step(&mut self, world: &mut World) -> Progress {
        self.rests = false;
        self.hurries = false;
        if !self.planned {
            self.planned = true;
            self.acts = plan(&self.change, world, self.try_number).into();
        }
        let Some(act) = self.acts.front().cloned() else { return self.end() };
        match act {
            Act::Await(key) => {
                if self.holds(world, &key) {
                    return Progress::Waiting;
                }
                self.acts.pop_front();
            }
            Act::Check => {
                self.acts.pop_front();
                if self.failure.is_some() {
                    self.acts.clear();
                }
            }
            Act::Record(record) => {
                self.acts.pop_front();
                world.put_record(&record);
            }
            Act::Try(manifest) => {
                self.acts.pop_front();
                let reply = write(&self.change, world, &manifest, true);
                match reply {
                    // Nothing would change: no write.
                    Reply::Done { changed: false } => self.acts.retain(|act| !is_write_of(act, &manifest)),
                    Reply::Done { .. } => {}
                    reply => self.fail(&reply),
                }
            }
            Act::Write(manifest) => {
                self.acts.pop_front();
                let reply = write(&self.change, world, &manifest, false);
                if !reply.is_done() {
                    self.fail(&reply);
                    // Helm and kubectl's callers stop at the first.
                    if self.change.tool.is_helm() {
                        self.acts.clear();
                    }
                }
            }
            Act::Create(manifest) => {
                self.acts.pop_front();
                if let Some(key) = self.change.key(&manifest) {
                    let verb = Verb::Create((*manifest).clone());
                    let reply = world.request(self.change.tool.actor(), Request::new(key, verb));
                    if !reply.is_done() {
                        self.fail(&reply);
                        self.acts.clear();
                    }
                }
            }
            Act::Delete(key, propagation) => {
                self.acts.pop_front();
                self.delete(world, key, propagation);
                let is_argo = matches!(self.change.tool, Tool::ArgoCd | Tool::ArgoCdPruneLast);
                let next = self.acts.iter().find(|act| !matches!(act, Act::Check));
                self.hurries = is_argo && matches!(next, Some(Act::Write(_) | Act::Delete(..)));
                if self.hurries && matches!(self.acts.front(), Some(Act::Check)) {
                    self.acts.pop_front();
                    if self.failure.is_some() {
                        self.acts.clear();
                    }
                }
            }
        }
        if self.acts.is_empty() { self.end() } else { Progress::Running }
    }

    fn delete(&mut self, world: &mut World, key: Key, propagation: Propagation) {
        if !self.holds(world, &key) {
            return;
        }
        let reply = world.request(self.change.tool.actor(), Request::new(key, Verb::Delete { propagation, uid: None }));
        // Helm 3 says "deployed" all the same; see `upgrade` in pkg/kube/client.go.
        let forgives = self.change.tool == Tool::Helm3 && !self.change.after.is_empty();
        if !reply.is_done() && reply != Reply::Missing && !forgives {
            self.fail(&reply);
        }
    }

    fn fail(&mut self, reply: &Reply) {
        let words = reply.words();
        self.failure.get_or_insert(words);
    }

    fn end(&mut self) -> Progress {
        let Some(failure) = self.failure.clone() else { return Progress::Done };
        self.try_number += 1;
        if self.try_number >= self.change.tool.tries() {
            return Progress::Failed(failure);
        }
        self.failure = None;
        self.planned = false;
        self.rests = true;
        Progress::Running
    }
}

fn is_write_of(act: &Act, manifest: &Arc<Value>) -> bool {
    matches!(act, Act::Write(other) if Arc::ptr_eq(other, manifest))
}

fn plan(change: &Change, world: &World, try_number: u32) -> Vec<Act> {
    match change.tool {
        Tool::Helm3 | Tool::Helm4 | Tool::Helm4ClientSide => helm::plan(change),
        Tool::Kubectl | Tool::Prune => kubectl::plan(change),
        Tool::Flux => flux::plan(change, world, try_number),
        Tool::ArgoCd | Tool::ArgoCdPruneLast => argocd::plan(change, world, try_number),
    }
}

/// Applies a manifest in the tool's way.
fn write(change: &Change, world: &mut World, manifest: &Arc<Value>, dry_run: bool) -> Reply {
    let Some(key) = change.key(manifest) else { return Reply::Invalid("it has no name".to_owned()) };
    let (actor, object) = (change.tool.actor(), (**manifest).clone());
    let verb = match change.tool {
        Tool::Flux => Verb::Apply { object, force: true },
        Tool::Helm4 if let Some(reply) = helm::refuses_to_adopt(change, world, &key) => return reply,
        Tool::Helm4 => Verb::Apply { object, force: change.force },
        Tool::Helm3 | Tool::Helm4ClientSide => match helm::client_side(change, world, &key, manifest) {
            Ok(Some(verb)) => verb,
            Ok(None) => return Reply::Done { changed: false },
            Err(reply) => return reply,
        },
        Tool::Kubectl | Tool::Prune | Tool::ArgoCd | Tool::ArgoCdPruneLast => {
            match kubectl::apply(world.get(&key), manifest) {
                Some(verb) => verb,
                None => return Reply::Done { changed: false },
            }
        }
    };
    world.request(actor, Request { key, verb, dry_run })
}

/// The patch that turns `live` into what is wanted: what differs is set, what the last manifest had and this one has
/// not is removed. Lists are replaced as a whole.
fn three_way(last: &Value, wanted: &Value, live: &Value) -> Value {
    let (Value::Object(wanted), Value::Object(live)) = (wanted, live) else { return wanted.clone() };
    let mut patch = Map::new();
    for (key, value) in wanted {
        let before = last.get(key).unwrap_or(&Value::Null);
        match live.get(key) {
            Some(now) if now == value => {}
            Some(now) if now.is_object() && value.is_object() => {
                let below = three_way(before, value, now);
                if below.as_object().is_some_and(|below| !below.is_empty()) {
                    patch.insert(key.clone(), below);
                }
            }
            // A null is sent where something is there (apimachinery, strategicpatch `diffMaps`): it takes a count back
            // to its default.
            None if value.is_null() => {}
            _ => drop(patch.insert(key.clone(), value.clone())),
        }
    }
    for (key, _) in last.as_object().into_iter().flatten() {
        if !wanted.contains_key(key) && live.contains_key(key) {
            patch.insert(key.clone(), Value::Null);
        }
    }
    Value::Object(patch)
}

/// Leaves out what the API server keeps to itself.
fn without_status(manifest: &Value) -> Value {
    let mut manifest = manifest.clone();
    object::remove(&mut manifest, &["status"]);
    manifest
}

/// The kinds that autoscaling meets, in the order in which Helm writes them, and after it Argo CD.
const INSTALL_ORDER: &[&str] = &[
    "Namespace",
    "ServiceAccount",
    "Secret",
    "ConfigMap",
    "CustomResourceDefinition",
    "Service",
    "DaemonSet",
    "Pod",
    "ReplicaSet",
    "Deployment",
    "HorizontalPodAutoscaler",
    "StatefulSet",
    "Job",
    "CronJob",
    "Ingress",
    "APIService",
];

/// The place of a manifest in a list of kinds; what is not in it comes last.
fn rank(order: &[&str], manifest: &Value) -> usize {
    let kind = text(manifest, "/kind");
    order.iter().position(|known| *known == kind).unwrap_or(order.len())
}
