//! The API server: what a request does to the objects.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use autoscaler_guard::Settings;
use serde_json::{Value, json};

use crate::controllers::keda;
use crate::fields::{Managed, Manager};
use crate::guard::{self, Ruling};
use crate::object::{self, At, Fold, Key, Stored, text};

/// What does not change while a world runs: which components there are, and how they are set up.
#[derive(Debug)]
pub struct Setup {
    /// The policy's settings, if it is installed.
    pub guard: Option<Settings>,
    /// Kubernetes' minor version.
    pub kubernetes: u32,
    /// Whether KEDA's admission webhook is installed; its chart does so by default.
    pub keda_webhook: bool,
    /// Envoy Gateway's version.
    pub envoy_gateway: Version,
    /// How many replicas the load calls for, where it is known.
    pub demand: BTreeMap<Key, i64>,
    /// Whether the requests are kept as a timeline.
    pub log: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            guard: None,
            kubernetes: 36,
            keda_webhook: true,
            envoy_gateway: Version(1, 9, 1),
            demand: BTreeMap::new(),
            log: true,
        }
    }
}

/// A version: major, minor, patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u32, pub u32, pub u32);

/// Who makes a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Actor {
    /// What a timeline calls it.
    pub name: &'static str,
    /// The authenticated name.
    pub user: &'static str,
    /// Its field manager.
    pub manager: &'static str,
    /// Whether `options.fieldManager` names it; else the API server takes it from the user agent.
    pub names_manager: bool,
}

/// What is asked for.
#[derive(Clone, Debug)]
pub enum Verb {
    /// POST.
    Create(Value),
    /// PUT.
    Update(Value),
    /// PATCH, as a JSON merge patch.
    Patch(Value),
    /// PATCH, as a server-side apply.
    Apply {
        /// The manifest.
        object: Value,
        /// `--force-conflicts`.
        force: bool,
    },
    /// PATCH of the scale subresource.
    Scale(i64),
    /// PATCH of the status subresource.
    Status(Value),
    /// DELETE.
    Delete {
        /// What becomes of the dependents.
        propagation: Propagation,
        /// Only the object with this uid.
        uid: Option<String>,
    },
}

/// `propagationPolicy` of a delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Propagation {
    /// Dependents go after the object.
    #[default]
    Background,
    /// Dependents go before the object.
    Foreground,
    /// Dependents stay.
    Orphan,
}

/// A request.
#[derive(Clone, Debug)]
pub struct Request {
    /// About which object.
    pub key: Key,
    /// What to do.
    pub verb: Verb,
    /// Whether nothing is stored.
    pub dry_run: bool,
}

impl Request {
    /// A request that is meant.
    pub fn new(key: Key, verb: Verb) -> Self {
        Self { key, verb, dry_run: false }
    }
}

/// What the API server answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It is so now.
    Done {
        /// Whether it was not so before.
        changed: bool,
    },
    /// An admission webhook refuses.
    Refused {
        /// Whether the policy did, and not another webhook.
        by_guard: bool,
        /// Its words.
        message: String,
    },
    /// A field belongs to somebody else.
    Conflict(String),
    /// There is no such object.
    Missing,
    /// There is one already, or another than was meant.
    Exists,
    /// The object is not valid.
    Invalid(String),
}

impl Reply {
    /// Whether the request went through.
    pub fn is_done(&self) -> bool {
        matches!(self, Self::Done { .. })
    }

    /// In a few words.
    pub fn words(&self) -> String {
        match self {
            Self::Done { changed: true } => "allowed".to_owned(),
            Self::Done { changed: false } => "unchanged".to_owned(),
            Self::Refused { message, .. } => format!("refused: {}", message.lines().next().unwrap_or_default()),
            Self::Conflict(message) => format!("conflict: {message}"),
            Self::Missing => "not found".to_owned(),
            Self::Exists => "already exists".to_owned(),
            Self::Invalid(message) => format!("invalid: {message}"),
        }
    }
}

/// One line of a timeline.
#[derive(Clone, Debug)]
pub struct Event {
    /// Who.
    pub who: &'static str,
    /// What: `DELETE`, `CREATE`, ….
    pub verb: &'static str,
    /// About which object.
    pub key: Key,
    /// What came of it.
    pub reply: Reply,
    /// Whether the policy repaired the request.
    pub repaired: bool,
    /// The rules that spoke.
    pub rules: Vec<&'static str>,
    /// The warnings.
    pub warnings: Vec<String>,
}

impl Event {
    /// `DELETE ScaledObject shop/web`.
    pub fn what(&self) -> String {
        format!("{} {}", self.verb, self.key)
    }

    /// `allowed`, `repaired (hpa-handover)`, `refused: …`.
    pub fn answer(&self) -> String {
        let rules = self.rules.join(", ");
        match &self.reply {
            Reply::Done { .. } if self.repaired => format!("repaired ({rules})"),
            Reply::Done { changed: true } if !self.rules.is_empty() => format!("allowed, warned ({rules})"),
            Reply::Refused { by_guard: true, .. } => format!("refused ({rules})"),
            reply => reply.words(),
        }
    }
}

/// What the policy has said, for whoever follows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Said {
    /// The rules that warned, repaired or refused.
    pub rules: BTreeSet<&'static str>,
    /// The last refusal.
    pub refusal: Option<Arc<Refusal>>,
}

/// A refusal, and what it says to do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Refusal {
    /// The strongest rule.
    pub rule: &'static str,
    /// The commands it names, as kubectl gets them.
    pub commands: Vec<Vec<String>>,
}

/// What happened to workloads between two moments.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Workloads to look at.
    pub watched: Vec<Key>,
    /// Those that were there and had no HPA for a moment.
    pub bare: BTreeSet<Key>,
    /// The lowest count of each.
    pub lowest: BTreeMap<Key, i64>,
}

/// The state of a world.
#[derive(Clone, Debug)]
pub struct World {
    /// All objects.
    pub objects: BTreeMap<Key, Arc<Stored>>,
    /// How it is set up.
    pub setup: Arc<Setup>,
    /// Whether KEDA runs.
    pub keda_runs: bool,
    /// Which ScaledObjects KEDA has yet to look at.
    pub keda_queue: BTreeSet<Key>,
    /// Whether Envoy Gateway runs.
    pub envoy_runs: bool,
    /// Whether Envoy Gateway has yet to look.
    pub envoy_queue: bool,
    /// What Envoy Gateway remembers to have made: it forgets when it restarts.
    pub envoy_made: BTreeSet<Key>,
    /// Kinds that are not served any more: group and kind.
    pub unserved: BTreeSet<(Arc<str>, Arc<str>)>,
    /// The coarse clock: it moves between acts of a play, not between requests.
    pub now: u32,
    /// The timeline, if the setup wants one.
    pub log: Vec<Event>,
    /// What the policy has said so far: whether it warned, and its last refusal.
    pub said: Said,
    /// What happened to workloads meanwhile, if the setup wants a timeline.
    pub seen: Seen,
    next: u64,
}

impl World {
    /// An empty world.
    pub fn new(setup: Setup) -> Self {
        Self {
            objects: BTreeMap::new(),
            setup: Arc::new(setup),
            keda_runs: true,
            keda_queue: BTreeSet::new(),
            envoy_runs: true,
            envoy_queue: false,
            envoy_made: BTreeSet::new(),
            unserved: BTreeSet::new(),
            now: 0,
            log: Vec::new(),
            said: Said::default(),
            seen: Seen::default(),
            next: 1,
        }
    }

    /// The same world set up otherwise.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Setup)) -> Self {
        let Setup { kubernetes, keda_webhook, envoy_gateway, ref demand, log, .. } = *self.setup;
        let guard = self.setup.guard.clone();
        let mut setup = Setup { guard, kubernetes, keda_webhook, envoy_gateway, demand: demand.clone(), log };
        change(&mut setup);
        self.setup = Arc::new(setup);
        self
    }

    /// An object.
    pub fn get(&self, key: &Key) -> Option<&Value> {
        self.objects.get(key).map(|stored| &stored.value)
    }

    /// The objects of a kind in a namespace, or everywhere.
    pub fn list<'w>(
        &'w self,
        group: &str,
        kind: &str,
        namespace: Option<&str>,
    ) -> impl Iterator<Item = (&'w Key, &'w Arc<Stored>)> + use<'w> {
        let from = Key::raw(group, kind, namespace.unwrap_or_default(), "");
        let (end, within) = (from.clone(), namespace.is_some());
        self.objects.range(from..).take_while(move |(key, _)| {
            key.group == end.group && key.kind == end.kind && (!within || key.namespace == end.namespace)
        })
    }

    /// All HPAs of a namespace.
    pub fn hpas<'w>(&'w self, namespace: &str) -> impl Iterator<Item = (&'w Key, &'w Arc<Stored>)> + use<'w> {
        self.list("autoscaling", "HorizontalPodAutoscaler", Some(namespace))
    }

    /// All ScaledObjects of a namespace.
    pub fn scaled_objects<'w>(&'w self, namespace: &str) -> impl Iterator<Item = (&'w Key, &'w Arc<Stored>)> + use<'w> {
        self.list("keda.sh", "ScaledObject", Some(namespace))
    }

    /// Whether the API server serves a kind: built-in groups have only the kinds they have.
    pub fn serves(&self, group: &str, kind: &str) -> bool {
        let known = match group {
            "apps" => matches!(kind, "Deployment" | "StatefulSet" | "ReplicaSet" | "DaemonSet" | "ControllerRevision"),
            "autoscaling" => kind == "HorizontalPodAutoscaler",
            _ => true,
        };
        known && !self.unserved.iter().any(|gone| *gone.0 == *group && *gone.1 == *kind)
    }

    /// Puts an object in without asking anyone: how a world begins.
    pub fn put(&mut self, manifest: &Value, namespace: &str, manager: &str) -> Option<Key> {
        let key = Key::of(manifest, namespace)?;
        let mut value = manifest.clone();
        object::as_v2(&mut value);
        let given = value.at("/metadata/managedFields").map(Managed::from_json);
        let metadata = object::metadata(&mut value);
        metadata.remove("managedFields");
        if !key.namespace.is_empty() {
            metadata.insert("namespace".to_owned(), (*key.namespace).into());
        }
        default(&key, &mut value);
        // What comes from a cluster has its identity, and others refer to it.
        if text(&value, "/metadata/uid").is_empty() {
            self.identify(&mut value);
        }
        let entries = given.unwrap_or_else(|| {
            let mut fields = Managed::default();
            fields.update(Manager { name: manager, subresource: "", time: self.now }, &Value::Null, &value);
            fields
        });
        self.store(key.clone(), value, entries);
        Some(key)
    }

    /// Does what is asked for, if everyone agrees.
    pub fn request(&mut self, actor: &Actor, request: Request) -> Reply {
        let verb = verb_name(self, &request);
        let key = request.key.clone();
        let mut ruling = Ruling::default();
        let reply = self.answer(actor, request, &mut ruling);
        if !ruling.rules.is_empty() {
            self.said.rules.extend(ruling.rules.iter().copied());
            if ruling.refused.is_some() {
                let rule = ruling.rules.first().copied().unwrap_or_default();
                self.said.refusal = Some(Arc::new(Refusal { rule, commands: std::mem::take(&mut ruling.commands) }));
            }
        }
        if self.setup.log {
            let Ruling { repaired, rules, warnings, .. } = ruling;
            let who = actor.name;
            let matters = reply == Reply::Done { changed: true } && (key.is_hpa() || key.is_workload());
            self.log.push(Event {
                who,
                verb,
                key,
                repaired: repaired.is_some(),
                reply: reply.clone(),
                rules,
                warnings,
            });
            if matters {
                self.look();
            }
        }
        reply
    }

    /// Notes what the watched workloads have at this moment.
    pub fn look(&mut self) {
        let hpas = self.list("autoscaling", "HorizontalPodAutoscaler", None);
        let scaled: BTreeSet<Key> =
            hpas.map(|(key, stored)| crate::controllers::hpa::target(key, &stored.value)).collect();
        for key in &self.seen.watched {
            let Some(stored) = self.objects.get(key) else { continue };
            if !scaled.contains(key) && !stored.is_terminating() {
                self.seen.bare.insert(key.clone());
            }
            if let Some(count) = object::number(&stored.value, "/spec/replicas") {
                let lowest = self.seen.lowest.entry(key.clone()).or_insert(count);
                *lowest = count.min(*lowest);
            }
        }
    }

    fn answer(&mut self, actor: &Actor, request: Request, ruling: &mut Ruling) -> Reply {
        let Request { key, verb, dry_run } = request;
        if !self.serves(&key.group, &key.kind) {
            return Reply::Missing;
        }
        match verb {
            Verb::Delete { propagation, uid } => self.delete(actor, &key, propagation, uid.as_deref(), dry_run, ruling),
            Verb::Scale(replicas) => self.scale(actor, &key, replicas),
            Verb::Status(status) => self.status(&key, &status),
            verb => self.write(actor, &key, verb, dry_run, ruling),
        }
    }

    fn write(&mut self, actor: &Actor, key: &Key, verb: Verb, dry_run: bool, ruling: &mut Ruling) -> Reply {
        let old = self.objects.get(key).cloned();
        let writer = Manager { name: actor.manager, subresource: "", time: self.now };
        let is_apply = matches!(verb, Verb::Apply { .. });
        let mut managed = old.as_ref().map(|old| old.managed.clone()).unwrap_or_default();
        let mut new = match (verb, &old) {
            (Verb::Create(_), Some(_)) => return Reply::Exists,
            (Verb::Create(object), None) => object,
            (Verb::Update(object), Some(old)) => keep_identity(object, &old.value),
            (Verb::Patch(patch), Some(old)) => {
                let mut new = old.value.clone();
                object::merge(&mut new, &patch);
                new
            }
            (Verb::Apply { object, .. }, None) => {
                // Nobody is there to conflict with.
                let applied = managed.apply(writer, &Value::Null, &object, true);
                let mut new = object;
                if let Ok(applied) = applied {
                    object::merge(&mut new, &applied);
                }
                new
            }
            (Verb::Apply { object, force }, Some(old)) => match managed.apply(writer, &old.value, &object, force) {
                Ok(new) => new,
                Err(conflicts) => return Reply::Conflict(conflict_words(&conflicts)),
            },
            _ => return Reply::Missing,
        };
        if let Some(reason) = invalid(key, &new) {
            return Reply::Invalid(reason);
        }
        if old.is_none() && self.is_terminating_namespace(&key.namespace) {
            return Reply::Invalid("the namespace is being terminated".to_owned());
        }
        let metadata = object::metadata(&mut new);
        metadata.remove("managedFields");
        if !key.namespace.is_empty() {
            metadata.insert("namespace".to_owned(), (*key.namespace).into());
        }
        default(key, &mut new);
        if old.is_none() {
            self.identify(&mut new);
        }
        let before = old.as_ref().map_or(&Value::Null, |old| &old.value);
        // An apply has said what it manages.
        if !is_apply {
            managed.update(writer, before, &new);
        }
        if let Some(refusal) = self.admit(actor, key, old.as_deref(), Some((&new, &managed)), dry_run, ruling) {
            return refusal;
        }
        if let Some(repaired) = ruling.repaired.take() {
            new = repaired;
            object::metadata(&mut new).remove("managedFields");
            ruling.repaired = Some(Value::Null);
        }
        if let Some(message) = self.keda_webhook(key, before, &new) {
            return Reply::Refused { by_guard: false, message };
        }
        // Status has a subresource of its own.
        match before.get("status") {
            Some(status) => new["status"] = status.clone(),
            None => drop(object::remove(&mut new, &["status"])),
        }
        let changed = *before != new;
        if dry_run || (!changed && old.as_ref().is_some_and(|old| old.managed == managed)) {
            return Reply::Done { changed };
        }
        if before.get("spec") != new.get("spec") && old.is_some() {
            let generation = object::number(&new, "/metadata/generation").unwrap_or(1) + 1;
            object::metadata(&mut new).insert("generation".to_owned(), generation.into());
        }
        self.store(key.clone(), new, managed);
        self.finish(key);
        Reply::Done { changed }
    }

    fn scale(&mut self, actor: &Actor, key: &Key, replicas: i64) -> Reply {
        let Some(old) = self.objects.get(key).cloned() else { return Reply::Missing };
        let mut new = old.value.clone();
        object::set(&mut new, &["spec", "replicas"], replicas.into());
        if new == old.value {
            return Reply::Done { changed: false };
        }
        let mut managed = old.managed.clone();
        managed.update(Manager { name: actor.manager, subresource: "scale", time: self.now }, &old.value, &new);
        self.store(key.clone(), new, managed);
        Reply::Done { changed: true }
    }

    fn status(&mut self, key: &Key, status: &Value) -> Reply {
        let Some(old) = self.objects.get(key).cloned() else { return Reply::Missing };
        let mut new = old.value.clone();
        object::merge(&mut new, &json!({ "status": status }));
        if new == old.value {
            return Reply::Done { changed: false };
        }
        self.store(key.clone(), new, old.managed.clone());
        Reply::Done { changed: true }
    }

    fn delete(
        &mut self,
        actor: &Actor,
        key: &Key,
        propagation: Propagation,
        uid: Option<&str>,
        dry_run: bool,
        ruling: &mut Ruling,
    ) -> Reply {
        let Some(old) = self.objects.get(key).cloned() else { return Reply::Missing };
        if uid.is_some_and(|uid| uid != old.uid()) {
            return Reply::Exists;
        }
        ruling.propagation = propagation;
        if let Some(refusal) = self.admit(actor, key, Some(&old), None, dry_run, ruling) {
            return refusal;
        }
        if dry_run {
            return Reply::Done { changed: false };
        }
        let mut new = old.value.clone();
        let waits = match propagation {
            Propagation::Background => None,
            Propagation::Foreground => Some("foregroundDeletion"),
            Propagation::Orphan => Some("orphan"),
        };
        let has_dependents = || {
            let owned = |other: &Arc<Stored>| owners(&other.value).any(|owner| text(owner, "/uid") == old.uid());
            self.objects.values().any(owned)
        };
        let mut finalizers: Vec<Value> = object::items(&new, "/metadata/finalizers").to_vec();
        // Without dependents the collector would take its own finalizer off at once.
        if let Some(waits) = waits.filter(|_| has_dependents()) {
            finalizers.push(waits.into());
        }
        if &*key.kind == "Namespace" || &*key.kind == "CustomResourceDefinition" {
            finalizers.push("kubernetes".into());
        }
        if finalizers.is_empty() {
            self.forget(key);
            return Reply::Done { changed: true };
        }
        if old.is_terminating() {
            return Reply::Done { changed: false };
        }
        let generation = object::number(&new, "/metadata/generation").unwrap_or(1) + 1;
        let metadata = object::metadata(&mut new);
        metadata.insert("finalizers".to_owned(), finalizers.into());
        metadata.insert("deletionTimestamp".to_owned(), time(self.now).into());
        metadata.insert("generation".to_owned(), generation.into());
        self.store(key.clone(), new, old.managed.clone());
        Reply::Done { changed: true }
    }

    /// Takes an object out at once, and notifies the controllers.
    pub(crate) fn forget(&mut self, key: &Key) {
        if let Some(old) = self.objects.remove(key) {
            self.notify(key, Some(&old), None);
        }
    }

    /// Deletes as a definition's finalizer does: nobody is asked, other finalizers are waited for.
    pub(crate) fn delete_unjudged(&mut self, key: &Key) {
        let Some(old) = self.objects.get(key).cloned() else { return };
        if object::items(&old.value, "/metadata/finalizers").is_empty() {
            self.forget(key);
            return;
        }
        let mut new = old.value.clone();
        object::metadata(&mut new).insert("deletionTimestamp".to_owned(), time(self.now).into());
        self.store(key.clone(), new, old.managed.clone());
    }

    /// A tool's own record: its status is written by nobody else, and nobody judges it.
    pub(crate) fn put_record(&mut self, record: &Value) {
        let Some(key) = Key::of(record, "") else { return };
        if self.objects.contains_key(&key) {
            let mut value = record.clone();
            let uid = self.objects.get(&key).map(|old| old.uid().to_owned()).unwrap_or_default();
            object::metadata(&mut value).insert("uid".to_owned(), uid.into());
            self.store(key, value, Managed::default());
        } else {
            self.put(record, "", "");
        }
    }

    /// What a controller reports about an object it owns: no admission concerns itself with it, nor does a timeline.
    pub(crate) fn set_status(&mut self, key: &Key, status: &Value) {
        self.status(key, status);
    }

    /// Removes what is terminating and has no finalizers any more.
    fn finish(&mut self, key: &Key) {
        let is_done = |stored: &Arc<Stored>| {
            stored.is_terminating() && object::items(&stored.value, "/metadata/finalizers").is_empty()
        };
        if self.objects.get(key).is_some_and(is_done) {
            self.forget(key);
        }
    }

    pub(crate) fn is_terminating_namespace(&self, namespace: &str) -> bool {
        let key = Key::raw("", "Namespace", "", namespace);
        !namespace.is_empty() && self.objects.get(&key).is_some_and(|namespace| namespace.is_terminating())
    }

    fn admit(
        &self,
        actor: &Actor,
        key: &Key,
        old: Option<&Stored>,
        new: Option<(&Value, &Managed)>,
        dry_run: bool,
        ruling: &mut Ruling,
    ) -> Option<Reply> {
        let settings = self.setup.guard.as_ref()?;
        let asked = guard::Asked { actor, key, old, new, dry_run, propagation: ruling.propagation };
        *ruling = guard::rule(self, settings, &asked);
        let message = ruling.refused.clone()?;
        Some(Reply::Refused { by_guard: true, message })
    }

    /// KEDA's own webhook, which looks at ScaledObjects only.
    fn keda_webhook(&self, key: &Key, old: &Value, new: &Value) -> Option<String> {
        if !self.setup.keda_webhook || !self.keda_runs || !key.is_scaled_object() {
            return None;
        }
        keda::objects_to(self, key, old, new)
    }

    fn identify(&mut self, value: &mut Value) {
        let number = self.next;
        self.next += 1;
        let now = time(self.now);
        let metadata = object::metadata(value);
        metadata.insert("uid".to_owned(), format!("00000000-0000-4000-8000-{number:012}").into());
        metadata.insert("creationTimestamp".to_owned(), now.into());
        metadata.insert("generation".to_owned(), 1.into());
        for key in ["deletionTimestamp", "resourceVersion", "generateName"] {
            metadata.remove(key);
        }
    }

    #[expect(clippy::needless_pass_by_value, reason = "the key is kept")]
    fn store(&mut self, key: Key, mut value: Value, managed: Managed) {
        let number = self.next;
        self.next += 1;
        object::metadata(&mut value).insert("resourceVersion".to_owned(), number.to_string().into());
        let new = Arc::new(Stored::new(value, managed));
        let old = self.objects.insert(key.clone(), new.clone());
        self.notify(&key, old.as_ref(), Some(&new));
    }

    fn notify(&mut self, key: &Key, old: Option<&Arc<Stored>>, new: Option<&Arc<Stored>>) {
        let (old, new) = (old.map(|old| &old.value), new.map(|new| &new.value));
        let woken = keda::woken_by(key, old, new);
        self.keda_queue.extend(woken);
        if old.is_none() && key.is_workload() {
            // It has tried in vain so far, and tries again.
            let waiting = self.scaled_objects(&key.namespace).filter(|(_, stored)| keda::target(&stored.value) == *key);
            let waiting: Vec<Key> = waiting.map(|(key, _)| key.clone()).collect();
            self.keda_queue.extend(waiting);
        }
        if matches!(&*key.kind, "EnvoyProxy" | "Gateway" | "GatewayClass") && spec_changes(old, new) {
            self.envoy_queue = true;
        }
        if &*key.kind == "CustomResourceDefinition"
            && new.is_none()
            && text(old.unwrap_or(&Value::Null), "/spec/group") == "gateway.envoyproxy.io"
        {
            self.envoy_queue = true;
        }
    }

    /// A hash that is equal for equal states: uids are renamed in the order in which they occur.
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = Fold::default();
        let mut names: Vec<&str> = Vec::new();
        for (key, stored) in &self.objects {
            let digest = stored.digest(key);
            digest.content.hash(&mut hasher);
            for uid in &digest.uids {
                let known = names.iter().position(|name| name == uid);
                known
                    .unwrap_or_else(|| {
                        names.push(uid);
                        names.len() - 1
                    })
                    .hash(&mut hasher);
            }
        }
        (self.keda_runs, &self.keda_queue, self.envoy_runs, self.envoy_queue, &self.envoy_made).hash(&mut hasher);
        (self.now, &self.unserved, &self.said.rules).hash(&mut hasher);
        hasher.finish()
    }
}

impl Key {
    /// A key whose parts are as they should be.
    pub(crate) fn raw(group: &str, kind: &str, namespace: &str, name: &str) -> Self {
        Self { group: group.into(), kind: kind.into(), namespace: namespace.into(), name: name.into() }
    }
}

/// The world's coarse clock as a timestamp.
pub fn time(now: u32) -> String {
    format!("2026-01-01T{:02}:{:02}:00Z", now / 60, now % 60)
}

/// The owner references of an object.
pub fn owners(value: &Value) -> impl Iterator<Item = &Value> {
    object::items(value, "/metadata/ownerReferences").iter()
}

fn spec_changes(old: Option<&Value>, new: Option<&Value>) -> bool {
    let part = |value: Option<&Value>, key: &str| value.and_then(|value| value.at(key)).cloned();
    ["/spec", "/metadata/deletionTimestamp", "/metadata/annotations"].iter().any(|key| part(old, key) != part(new, key))
        || old.is_none()
        || new.is_none()
}

fn keep_identity(mut new: Value, old: &Value) -> Value {
    let metadata = object::metadata(&mut new);
    for key in ["uid", "creationTimestamp", "generation", "deletionTimestamp", "resourceVersion"] {
        if let Some(value) = old.at("/metadata").and_then(|metadata| metadata.get(key)) {
            metadata.insert(key.to_owned(), value.clone());
        }
    }
    new
}

/// The defaults that matter to autoscaling.
fn default(key: &Key, value: &mut Value) {
    let scales = matches!((&*key.group, &*key.kind), ("apps", "Deployment" | "StatefulSet" | "ReplicaSet"));
    let field = if scales {
        "replicas"
    } else if key.is_hpa() {
        "minReplicas"
    } else {
        return;
    };
    let spec = object::child(value, "spec");
    if spec.get(field).is_none_or(Value::is_null) {
        spec.insert(field.to_owned(), 1.into());
    }
}

/// What the API server's validation refuses, as far as changes of autoscalers meet it.
fn invalid(key: &Key, new: &Value) -> Option<String> {
    if &*key.kind == "EnvoyProxy" {
        // The definition's own rules (api/v1alpha1, EnvoyProxyKubernetesProvider).
        let kubernetes = new.at("/spec/provider/kubernetes")?;
        let has = |field: &str| kubernetes.get(field).is_some_and(|value| !value.is_null());
        if has("envoyDaemonSet") && (has("envoyHpa") || has("envoyDeployment")) {
            return Some("only one of envoyDaemonSet and envoyHpa or envoyDeployment can be set".to_owned());
        }
        let (min, max) =
            (object::number(kubernetes, "/envoyHpa/minReplicas"), object::number(kubernetes, "/envoyHpa/maxReplicas"));
        if has("envoyHpa") && min.zip(max).is_some_and(|(min, max)| max < min) {
            return Some("maxReplicas cannot be less than minReplicas".to_owned());
        }
    }
    if key.is_hpa() && object::number(new, "/spec/minReplicas") > object::number(new, "/spec/maxReplicas") {
        return Some("spec.maxReplicas must be greater than or equal to minReplicas".to_owned());
    }
    None
}

fn verb_name(world: &World, request: &Request) -> &'static str {
    match &request.verb {
        Verb::Create(_) => "CREATE",
        Verb::Apply { .. } if !world.objects.contains_key(&request.key) => "CREATE",
        Verb::Update(_) | Verb::Patch(_) | Verb::Apply { .. } => "UPDATE",
        Verb::Scale(_) => "SCALE",
        Verb::Status(_) => "STATUS",
        Verb::Delete { .. } => "DELETE",
    }
}

fn conflict_words(conflicts: &[crate::fields::Conflict]) -> String {
    let Some(first) = conflicts.first() else { return String::new() };
    let by =
        if first.subresource.is_empty() { String::new() } else { format!(" with subresource {}", first.subresource) };
    format!("conflict with \"{}\"{by}: {}", first.manager, first.field)
}
