//! What became of each workload.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;

use crate::controllers::{envoy, hpa, keda};
use crate::fields::Operation;
use crate::object::{At, Key, annotation, number, text};
use crate::server::{Event, Reply, World, owners};
use crate::writers::Change;

/// How a change ends for a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// No autoscaler before or after.
    None,
    /// It has one now.
    Gained,
    /// It has one, as before.
    Kept,
    /// None for a moment, one at the end.
    Gap,
    /// The same HPA, with another owner.
    HandedOver,
    /// None on purpose: its count is declared.
    Declared,
    /// None on purpose: somebody said so.
    Acknowledged,
    /// The workload goes, too.
    Gone,
    /// It has none any more, and nobody said so.
    Lost,
    /// An HPA scales it that nothing declares.
    Orphaned,
    /// Several scale it, so that none does.
    Duplicate,
    /// An autoscaler aims at it, and it is not there.
    Dangling,
    /// It has an autoscaler that cannot scale it.
    Frozen,
    /// It is at 0, and nothing starts it.
    AtZero,
    /// Two write the same without end.
    Fighting,
    /// The tool's work fails, or does not end.
    Stuck,
}

impl Outcome {
    /// Its name.
    pub fn id(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gained => "gained",
            Self::Kept => "kept",
            Self::Gap => "gap",
            Self::HandedOver => "handed-over",
            Self::Declared => "declared",
            Self::Acknowledged => "acknowledged",
            Self::Gone => "gone",
            Self::Lost => "lost",
            Self::Orphaned => "orphaned",
            Self::Duplicate => "duplicate",
            Self::Dangling => "dangling",
            Self::Frozen => "frozen",
            Self::AtZero => "at-zero",
            Self::Fighting => "fighting",
            Self::Stuck => "stuck",
        }
    }

    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::None,
        Self::Gained,
        Self::Kept,
        Self::Gap,
        Self::HandedOver,
        Self::Declared,
        Self::Acknowledged,
        Self::Gone,
        Self::Lost,
        Self::Orphaned,
        Self::Duplicate,
        Self::Dangling,
        Self::Frozen,
        Self::AtZero,
        Self::Fighting,
        Self::Stuck,
    ];

    /// Whether a workload should not be left like this.
    pub fn is_bad(self) -> bool {
        self >= Self::Lost
    }

    /// In a few words, for people.
    pub fn words(self) -> &'static str {
        match self {
            Self::None => "no autoscaler before or after",
            Self::Gained => "has an autoscaler now",
            Self::Kept => "keeps its autoscaler",
            Self::Gap => "no autoscaler for a moment, one at the end",
            Self::HandedOver => "keeps its HPA, which changes owner",
            Self::Declared => "no autoscaler; its replica count is declared",
            Self::Acknowledged => "no autoscaler, acknowledged",
            Self::Gone => "is removed, with its autoscaler",
            Self::Lost => "loses its autoscaler",
            Self::Orphaned => "is scaled by an HPA that nothing declares",
            Self::Duplicate => "has several autoscalers, so none scales it",
            Self::Dangling => "does not exist, and an autoscaler aims at it",
            Self::Frozen => "has an autoscaler that cannot scale it",
            Self::AtZero => "is at 0, and nothing starts it",
            Self::Fighting => "two writers overwrite each other",
            Self::Stuck => "the tool's work fails or does not end",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.id())
    }
}

/// What became of a workload.
#[derive(Clone, Debug)]
pub struct Report {
    /// Which.
    pub workload: Key,
    /// Its autoscalers before.
    pub before: Vec<Key>,
    /// Its autoscalers after.
    pub after: Vec<Key>,
    /// How it ended.
    pub outcome: Outcome,
    /// The lowest count on the way, where it fell below those before and after.
    pub dip: Option<i64>,
}

/// How the work ended.
#[derive(Clone, Debug, Default)]
pub struct End {
    /// Why the tool failed.
    pub failure: Option<String>,
    /// Whether the controllers never came to rest.
    pub restless: bool,
}

/// Judges every workload that has an autoscaler on either side and that the change concerns.
pub fn judge(start: &World, end: &World, change: Option<&Change>, how: &End) -> Vec<Report> {
    let judge = Judge { start, end, change, how };
    let mut reports: Vec<Report> =
        concerned(start, end, change).into_iter().filter_map(|workload| judge.report(workload)).collect();
    reports.retain(|report| report.outcome != Outcome::None || !report.before.is_empty() || !report.after.is_empty());
    reports
}

/// The autoscalers that aim at a workload: ScaledObjects, then HPAs.
pub fn autoscalers(world: &World, workload: &Key) -> Vec<Key> {
    let scaled =
        world.scaled_objects(&workload.namespace).filter(|(_, stored)| keda::target(&stored.value) == *workload);
    let scaled: Vec<Key> = scaled.map(|(key, _)| key.clone()).collect();
    let hpas = world.hpas(&workload.namespace).filter(|(key, stored)| hpa::target(key, &stored.value) == *workload);
    scaled.into_iter().chain(hpas.map(|(key, _)| key.clone())).collect()
}

fn targets(world: &World) -> Vec<(Key, Key)> {
    let hpas = world.list("autoscaling", "HorizontalPodAutoscaler", None);
    let hpas = hpas.map(|(key, stored)| (key.clone(), hpa::target(key, &stored.value)));
    let scaled = world.list("keda.sh", "ScaledObject", None);
    hpas.chain(scaled.map(|(key, stored)| (key.clone(), keda::target(&stored.value)))).collect()
}

/// The workloads whose autoscalers the change touches, or that it touches itself.
fn concerned(start: &World, end: &World, change: Option<&Change>) -> BTreeSet<Key> {
    let named: BTreeSet<Key> =
        change.map(|change| change.keys_before().into_iter().chain(change.keys_after()).collect()).unwrap_or_default();
    let is_touched =
        |key: &Key| change.is_none() || named.contains(key) || start.get(key).map(spec) != end.get(key).map(spec);
    let configures = named.iter().any(envoy::is_configuration);
    let is_fleet = |key: &Key| configures && (envoy::is_fleet(start, key) || envoy::is_fleet(end, key));
    let mut found = BTreeSet::new();
    for (autoscaler, workload) in targets(start).into_iter().chain(targets(end)) {
        let exists = start.get(&workload).is_some() || end.get(&workload).is_some();
        let aims = end.get(&autoscaler).is_some();
        if (is_touched(&autoscaler) || is_touched(&workload) || is_fleet(&workload)) && (exists || aims) {
            found.insert(workload);
        }
    }
    // What would have had one, had the work not failed.
    for manifest in change.into_iter().flat_map(|change| change.after.iter()) {
        let namespace = text(manifest, "/metadata/namespace");
        if let Some(reference) = manifest.at("/spec/scaleTargetRef") {
            found.insert(Key::target(reference, namespace));
        }
    }
    found
}

fn spec(value: &Value) -> Option<&Value> {
    value.get("spec")
}

struct Judge<'j> {
    start: &'j World,
    end: &'j World,
    change: Option<&'j Change>,
    how: &'j End,
}

impl Judge<'_> {
    fn report(&self, workload: Key) -> Option<Report> {
        let (before, after) = (autoscalers(self.start, &workload), autoscalers(self.end, &workload));
        let outcome = self.outcome(&workload, &before, &after);
        let missing = self.start.get(&workload).is_none() && self.end.get(&workload).is_none();
        if missing && after.is_empty() && outcome != Outcome::Stuck {
            return None;
        }
        let dip = self.dip(&workload);
        Some(Report { workload, before, after, outcome, dip })
    }

    fn dip(&self, workload: &Key) -> Option<i64> {
        let count = |world: &World| world.get(workload).and_then(|workload| number(workload, "/spec/replicas"));
        let (before, after) = (count(self.start)?, count(self.end)?);
        let lowest = *self.end.seen.lowest.get(workload)?;
        (lowest < before && lowest < after).then_some(lowest)
    }

    fn outcome(&self, workload: &Key, before: &[Key], after: &[Key]) -> Outcome {
        let outcome = self.by_state(workload, before, after);
        if self.how.restless && self.is_busy(workload, after) {
            return Outcome::Fighting;
        }
        // What a tool that failed has left is not an orphan: it did not get there.
        let is_fine = !outcome.is_bad() || outcome == Outcome::Orphaned;
        let is_reached = || self.is_reached(workload) && !self.is_in_conflict(workload, after);
        if self.how.failure.is_some() && is_fine && !is_reached() {
            return Outcome::Stuck;
        }
        outcome
    }

    /// Whether the last requests were about the workload or its autoscalers.
    fn is_busy(&self, workload: &Key, after: &[Key]) -> bool {
        let last = self.end.log.iter().rev().take(40);
        let about = |key: &Key| key == workload || after.contains(key);
        last.filter(|event| about(&event.key)).count() > 2
    }

    /// Whether the tool failed at the workload or its autoscalers, for somebody else has a field: so does the next
    /// upgrade, whatever it says.
    fn is_in_conflict(&self, workload: &Key, after: &[Key]) -> bool {
        let fails = |event: &Event| matches!(event.reply, Reply::Conflict(_));
        self.end.log.iter().any(|event| fails(event) && (event.key == *workload || after.contains(&event.key)))
    }

    fn by_state(&self, workload: &Key, before: &[Key], after: &[Key]) -> Outcome {
        let hpas = |keys: &[Key]| keys.iter().filter(|key| key.is_hpa()).cloned().collect::<Vec<Key>>();
        let (had, now) = (hpas(before), hpas(after));
        let Some(live) = self.end.get(workload) else {
            return if !after.is_empty() {
                Outcome::Dangling
            } else if self.start.get(workload).is_some() {
                Outcome::Gone
            } else {
                Outcome::None
            };
        };
        let goes = live.at("/metadata/deletionTimestamp").is_some();
        match now.as_slice() {
            [] if goes => Outcome::Gone,
            [] if had.is_empty() => self.without_any(after),
            [] => self.bare(workload, live),
            [one] => self.scaled(workload, &had, one),
            _ => Outcome::Duplicate,
        }
    }

    /// It never had an HPA: either nobody wants one, or what should make one cannot.
    fn without_any(&self, after: &[Key]) -> Outcome {
        let waits =
            after.iter().any(|key| self.end.get(key).is_some_and(|scaled_object| !keda::is_paused(scaled_object)));
        if waits { Outcome::Frozen } else { Outcome::None }
    }

    fn bare(&self, workload: &Key, live: &Value) -> Outcome {
        let off = annotation(live, "autoscaler-guard/autoscaling") == Some("off");
        if off || annotation(live, "autoscaler-guard/allow").is_some() {
            return Outcome::Acknowledged;
        }
        if self.is_declared_count(workload, live) { Outcome::Declared } else { Outcome::Lost }
    }

    /// A count that is declared and in force: live equals declared, and nobody else has the field.
    fn is_declared_count(&self, workload: &Key, live: &Value) -> bool {
        let count = number(live, "/spec/replicas");
        if let Some(manifest) = self.manifest(workload) {
            return number(manifest, "/spec/replicas").is_some_and(|declared| Some(declared) == count);
        }
        if let Some(declares) = envoy::declares_count(self.end, workload) {
            return declares;
        }
        let last = annotation(live, "kubectl.kubernetes.io/last-applied-configuration")
            .and_then(|last| serde_json::from_str::<Value>(last).ok());
        if last.is_some_and(|last| number(&last, "/spec/replicas").is_some_and(|declared| Some(declared) == count)) {
            return true;
        }
        let stored = self.end.objects.get(workload);
        let owners = stored.map(|stored| stored.managed.owners(&["spec", "replicas"])).unwrap_or_default();
        owners.iter().any(|(_, operation, subresource)| *operation == Operation::Apply && subresource.is_empty())
    }

    fn manifest(&self, key: &Key) -> Option<&Value> {
        let change = self.change?;
        let found = change.after.iter().find(|manifest| Key::of(manifest, &change.namespace).as_ref() == Some(key));
        found.map(|manifest| &**manifest)
    }

    fn scaled(&self, workload: &Key, had: &[Key], has: &Key) -> Outcome {
        let Some(hpa) = self.end.get(has) else { return Outcome::Lost };
        let scaled_object = owner(self.end, has);
        match hpa::state(self.end, has, hpa) {
            hpa::State::Ambiguous => return Outcome::Duplicate,
            // KEDA starts it again, for as long as it has the HPA.
            hpa::State::Disabled if scaled_object.is_none() => return Outcome::AtZero,
            // It is there, and has nothing to scale, as a DaemonSet.
            hpa::State::NoTarget => return Outcome::Frozen,
            hpa::State::NoMetrics if self.is_declared(has) => return Outcome::Frozen,
            _ => {}
        }
        if !self.is_declared(has) && !self.was_refused(has) {
            return Outcome::Orphaned;
        }
        if let Some(scaled_object) = &scaled_object
            && self.end.get(scaled_object).is_some_and(|value| keda::target(value) != *workload)
        {
            return Outcome::Frozen;
        }
        if envoy::is_frozen(self.end, workload) {
            return Outcome::Frozen;
        }
        if envoy::fights(self.end, workload, hpa) {
            return Outcome::Fighting;
        }
        if had.is_empty() {
            return Outcome::Gained;
        }
        if self.end.seen.bare.contains(workload) {
            return Outcome::Gap;
        }
        let same = self.start.objects.get(has).map(|stored| stored.uid())
            == self.end.objects.get(has).map(|stored| stored.uid());
        if same && owner(self.start, has) != scaled_object { Outcome::HandedOver } else { Outcome::Kept }
    }

    /// Whether anything declares an HPA: a manifest, or what owns it.
    fn is_declared(&self, hpa: &Key) -> bool {
        let declared = |key: &Key| match self.change {
            Some(change) => change.keys_after().contains(key) || !change.keys_before().contains(key),
            None => true,
        };
        if let Some(scaled_object) = owner(self.end, hpa) {
            return declared(&scaled_object);
        }
        if let Some(declares) = self.end.get(hpa).and_then(|value| envoy::declares_hpa(self.end, value)) {
            return declares;
        }
        let was_kedas = owner(self.start, hpa).is_some();
        let named = self.change.is_some_and(|change| change.keys_after().contains(hpa));
        named || (declared(hpa) && !was_kedas)
    }

    /// Whether the policy kept the tool from deleting an autoscaler, and said so.
    fn was_refused(&self, hpa: &Key) -> bool {
        let owner = owner(self.end, hpa);
        self.end.log.iter().any(|event| {
            event.verb == "DELETE"
                && matches!(event.reply, Reply::Refused { by_guard: true, .. })
                && (event.key == *hpa || Some(&event.key) == owner.as_ref())
        })
    }

    /// Whether the workload and its autoscalers are as the manifests want them.
    fn is_reached(&self, workload: &Key) -> bool {
        let Some(change) = self.change else { return false };
        let concerns = |manifest: &Value| {
            let own = Key::of(manifest, &change.namespace);
            let aims = manifest.at("/spec/scaleTargetRef");
            own.as_ref() == Some(workload)
                || aims
                    .is_some_and(|reference| Key::target(reference, text(manifest, "/metadata/namespace")) == *workload)
        };
        let wanted = change.after.iter().filter(|manifest| concerns(manifest));
        let all_there = wanted.clone().all(|manifest| {
            let live = Key::of(manifest, &change.namespace).and_then(|key| self.end.get(&key));
            live.is_some_and(|live| is_within(manifest.get("spec"), live.get("spec")))
        });
        let after = change.keys_after();
        let dropped = change.before.iter().filter(|manifest| concerns(manifest));
        let mut dropped = dropped.filter_map(|manifest| Key::of(manifest, &change.namespace));
        all_there && dropped.all(|key| after.contains(&key) || self.end.get(&key).is_none())
    }
}

/// The ScaledObject that owns an HPA and lives.
pub fn owner(world: &World, hpa: &Key) -> Option<Key> {
    let mut owned_by = owners(world.get(hpa)?).filter(|owner| text(owner, "/kind") == "ScaledObject");
    owned_by.find_map(|owner| {
        let key = Key::scaled_object(&hpa.namespace, text(owner, "/name"));
        let found = world.objects.get(&key).filter(|found| found.uid() == text(owner, "/uid"));
        found.map(|_| key)
    })
}

/// Whether everything wanted is there; a count beside an autoscaler does not matter.
fn is_within(wanted: Option<&Value>, live: Option<&Value>) -> bool {
    match (wanted, live) {
        (None | Some(Value::Null), _) => true,
        (Some(Value::Object(wanted)), Some(Value::Object(live))) => {
            wanted.iter().all(|(key, value)| key == "replicas" || is_within(Some(value), live.get(key)))
        }
        (Some(wanted), Some(live)) => wanted == live,
        (Some(_), None) => false,
    }
}
