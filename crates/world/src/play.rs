//! Plays a change to its end: the tool writes, the controllers come to rest after each of its requests.

use std::collections::BTreeSet;

use autoscaler_guard::Settings;
use serde_json::Value;

use crate::controllers::{self, envoy, hpa};
use crate::object::{Key, number, text};
use crate::outcome::{self, End, Outcome, Report};
use crate::server::{Event, Reply, Said, Setup, World};
use crate::writers::{Change, Flow, Progress};

/// One side of a preflight: with the policy, or without.
#[derive(Clone, Debug)]
pub struct Side {
    /// What became of each workload.
    pub reports: Vec<Report>,
    /// Every request.
    pub timeline: Vec<Event>,
    /// Why the tool failed.
    pub failure: Option<String>,
    /// The world at the end.
    pub world: World,
}

impl Side {
    /// What the policy refused.
    pub fn refused(&self) -> impl Iterator<Item = (&Event, &str)> {
        self.timeline.iter().filter_map(|event| match &event.reply {
            Reply::Refused { by_guard: true, message } => Some((event, message.as_str())),
            _ => None,
        })
    }

    /// What became of a workload.
    pub fn outcome(&self, workload: &Key) -> Option<Outcome> {
        self.reports.iter().find(|report| report.workload == *workload).map(|report| report.outcome)
    }
}

/// Plays a change from a world on. The controllers react to each request before the next one, as tools wait for the API
/// server, not for them, but take seconds where these take milliseconds; [`Eager::No`] plays the other extreme.
pub fn play(start: &World, change: &Change, guard: Option<&Settings>, eager: Eager) -> Side {
    let mut world = begin(start, guard);
    world.seen.watched = watched(&world, change);
    let mut end = End::default();
    let mut flow = Flow::new(change.clone());
    loop {
        let progress = flow.step(&mut world);
        let quiet = match (eager, &progress) {
            (_, Progress::Waiting | Progress::Done | Progress::Failed(_)) => controllers::settle(&mut world),
            _ if flow.rests => controllers::settle(&mut world),
            (Eager::Yes, Progress::Running) if flow.hurries => true,
            (Eager::Yes, Progress::Running) => {
                controllers::settle_quick(&mut world);
                true
            }
            (Eager::No, Progress::Running) => true,
        };
        match progress {
            Progress::Failed(reason) => end.failure = Some(reason),
            Progress::Waiting if quiet && flow.is_waiting(&world) => {
                end.failure = Some("it waits for something that does not happen".to_owned());
            }
            Progress::Running | Progress::Waiting if quiet => continue,
            _ => {}
        }
        end.restless = !quiet;
        break;
    }
    let reports = outcome::judge(start, &world, Some(change), &end);
    Side { reports, timeline: std::mem::take(&mut world.log), failure: end.failure, world }
}

/// How soon the controllers act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Eager {
    /// After every request.
    Yes,
    /// When the tool is done, or waits.
    No,
}

pub(crate) fn begin(start: &World, guard: Option<&Settings>) -> World {
    let guard = guard.cloned();
    let mut world = start.clone().with(|setup| {
        setup.guard = guard;
        setup.log = true;
    });
    world.log.clear();
    world.said = Said::default();
    world.now += 1;
    world
}

/// The workloads whose moments matter.
fn watched(world: &World, change: &Change) -> Vec<Key> {
    let mut keys: BTreeSet<Key> = world
        .list("autoscaling", "HorizontalPodAutoscaler", None)
        .map(|(key, stored)| hpa::target(key, &stored.value))
        .collect();
    keys.extend(change.keys_after().into_iter().filter(Key::is_workload));
    keys.into_iter().collect()
}

/// The world that a tool made by applying the manifests of before: with what KEDA and Envoy Gateway make of them, and
/// HPAs that have scaled.
pub fn assumed(setup: Setup, change: &Change) -> World {
    let mut world = World::new(Setup { keda_webhook: false, log: false, guard: None, ..setup });
    install(&mut world, change);
    world
}

/// Leaves out what a change cannot touch: objects of other namespaces, unless it concerns Envoy Gateway or a whole
/// kind.
pub fn narrow(world: &mut World, change: &Change) {
    let keys = [change.keys_before(), change.keys_after()].concat();
    if keys.iter().any(envoy::is_configuration) {
        return;
    }
    let namespaces: BTreeSet<&str> = keys.iter().map(|key| &*key.namespace).collect();
    world.objects.retain(|key, _| key.namespace.is_empty() || namespaces.contains(&*key.namespace));
    world.keda_queue.retain(|key| namespaces.contains(&*key.namespace));
}

/// Lets a world that came from a cluster come to rest; its counts are what the load calls for.
pub fn rest(world: &mut World) {
    let workloads = world.objects.iter().filter(|(key, _)| key.is_workload());
    let counts = workloads.filter_map(|(key, stored)| Some((key.clone(), number(&stored.value, "/spec/replicas")?)));
    // Of one that is at 0 nobody knows what it would need.
    let counts: Vec<(Key, i64)> = counts.filter(|(_, count)| *count > 0).collect();
    *world = world.clone().with(|setup| setup.demand.extend(counts));
    controllers::settle(world);
    world.now += 1;
}

/// Applies the manifests of before to a world; what is there already stays as it is.
fn install(world: &mut World, change: &Change) {
    let mut flow = Flow::new(change.installation());
    // A helm that installs also runs the hooks; a failure leaves what is there.
    while matches!(flow.step(world), Progress::Running | Progress::Waiting) {
        if !controllers::settle(world) {
            break;
        }
    }
    controllers::settle(world);
    world.now += 1;
    demand_more(world, change);
    controllers::settle(world);
    world.now += 1;
}

/// Lets every HPA that can scale have scaled: to one more than its minimum, or to another count that no manifest
/// declares, so that counts are what autoscalers made of them.
fn demand_more(world: &mut World, change: &Change) {
    let declared = |workload: &Key| -> Vec<i64> {
        let manifests = change.before.iter().chain(change.after.iter());
        let own = manifests.filter(|manifest| Key::of(manifest, &change.namespace).as_ref() == Some(workload));
        own.filter_map(|manifest| number(manifest, "/spec/replicas")).collect()
    };
    let wanted: Vec<(Key, i64)> = world
        .list("autoscaling", "HorizontalPodAutoscaler", None)
        .filter(|(key, stored)| hpa::state(world, key, &stored.value) == hpa::State::Active)
        .map(|(key, stored)| {
            let (min, max) = (number(&stored.value, "/spec/minReplicas"), number(&stored.value, "/spec/maxReplicas"));
            let (min, max) = (min.unwrap_or(1), max.unwrap_or(1));
            let workload = hpa::target(key, &stored.value);
            let taken = declared(&workload);
            let free = (min + 1..=max).find(|count| !taken.contains(count));
            (workload, free.unwrap_or_else(|| (min + 1).clamp(min, max.max(min))))
        })
        .collect();
    *world = world.clone().with(|setup| setup.demand.extend(wanted));
}

/// The name of the application that manifests belong to: the release, Kustomization or Application they say, or their
/// instance label.
pub fn app_name(manifests: &[Value]) -> String {
    let named = |pointer: &str| {
        manifests.iter().map(|manifest| text(manifest, pointer)).find(|name| !name.is_empty()).map(ToOwned::to_owned)
    };
    let tracked = named("/metadata/annotations/argocd.argoproj.io~1tracking-id")
        .and_then(|id| id.split_once(':').map(|(app, _)| app.to_owned()));
    named("/metadata/annotations/meta.helm.sh~1release-name")
        .or_else(|| named("/metadata/labels/kustomize.toolkit.fluxcd.io~1name"))
        .or(tracked)
        .or_else(|| named("/metadata/labels/app.kubernetes.io~1instance"))
        .unwrap_or_else(|| "app".to_owned())
}
