//! Searches all that can happen: every interleaving of a tool's requests and the controllers' steps, breadth first, so
//! that what is found is found by a shortest way.
//!
//! Four properties are held: *safety* (with the policy no workload ends badly without a word), *liveness* (what ends
//! well without the policy ends well with it), *help* (the commands of a refusal are accepted, and lead to a good end),
//! *freedom* (no controller is refused). States are known by [`World::fingerprint`] and the tool's place in its work.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::time::{Duration, Instant};

use autoscaler_guard::Settings;
use serde_json::{Value, json};

use crate::controllers::{self, Step};
use crate::object::{Fold, Key};
use crate::outcome::{self, End, Outcome, Report};
use crate::play::{Eager, begin, play};
use crate::server::{Propagation, Refusal, Request, Said, Verb, World};
use crate::writers::{Change, Flow, PERSON, Progress};

/// What is searched: a world, a change, and perhaps somebody who interferes.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Its name: what is before, what after, and by whom.
    pub name: String,
    /// The world before.
    pub start: World,
    /// The change.
    pub change: Change,
    /// What else may happen, each once and at any moment, or never.
    pub disturbances: Vec<Disturbance>,
}

/// Something that happens beside the change.
#[derive(Clone, Debug)]
pub enum Disturbance {
    /// Somebody's request.
    Person(Request),
    /// KEDA restarts, and looks at everything.
    KedaRestarts,
    /// The load calls for that many replicas.
    Load(Key, i64),
}

/// What must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Property {
    /// No workload ends badly without a word.
    Safety,
    /// What ends well without the policy ends well with it.
    Liveness,
    /// A refusal's commands work.
    Help,
    /// No controller is refused.
    Freedom,
}

impl fmt::Display for Property {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Safety => "safety",
            Self::Liveness => "liveness",
            Self::Help => "help",
            Self::Freedom => "freedom",
        })
    }
}

/// Something that does not hold.
#[derive(Clone, Debug)]
pub struct Violation {
    /// What.
    pub property: Property,
    /// Where.
    pub scenario: String,
    /// What is wrong, in a sentence.
    pub what: String,
    /// What happened, by a shortest way.
    pub timeline: Vec<String>,
}

impl Violation {
    /// What violations of one kind have in common.
    pub fn kind(&self) -> String {
        format!("{}: {} ({})", self.property, self.what, self.scenario)
    }
}

/// What came out.
#[derive(Debug, Default)]
pub struct Found {
    /// The fingerprints of all states that were seen.
    pub states: HashSet<u64>,
    /// How many steps were taken.
    pub steps: usize,
    /// How many ends there were.
    pub ends: usize,
    /// What does not hold: one of each kind.
    pub violations: BTreeMap<String, Violation>,
    /// The rules that spoke.
    pub rules: BTreeSet<&'static str>,
    /// Whether every state was seen.
    pub whole: bool,
}

/// How far to go.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// States of one scenario.
    pub states: usize,
    /// Until when.
    pub until: Instant,
}

impl Bounds {
    /// That many states in each scenario, for that long in all.
    pub fn new(states: usize, time: Duration) -> Self {
        Self { states, until: Instant::now() + time }
    }
}

#[derive(Clone)]
struct State {
    world: World,
    flow: Flow,
    progress: Progress,
    /// Which disturbances have not happened, by bits.
    pending: u32,
}

#[derive(Clone)]
enum Move {
    Tool,
    Controller(Step),
    Disturbance(usize),
}

impl State {
    fn fingerprint(&self) -> u64 {
        let mut hasher = Fold::default();
        self.world.fingerprint().hash(&mut hasher);
        self.flow.digest(&mut hasher);
        std::mem::discriminant(&self.progress).hash(&mut hasher);
        self.pending.hash(&mut hasher);
        hasher.finish()
    }

    fn moves(&self) -> Vec<Move> {
        let controllers = controllers::enabled(&self.world);
        // Between two tries there are minutes: the controllers are done by then.
        let works = matches!(self.progress, Progress::Running | Progress::Waiting)
            && !self.flow.is_waiting(&self.world)
            && (controllers.is_empty() || !self.flow.rests);
        let mut moves: Vec<Move> = controllers.into_iter().map(Move::Controller).collect();
        if works {
            moves.push(Move::Tool);
        }
        let pending = (0..u32::BITS).filter(|number| self.pending & (1 << number) != 0);
        moves.extend(pending.map(|number| Move::Disturbance(number as usize)));
        moves
    }

    fn take(&mut self, next: &Move, disturbances: &[Disturbance]) -> Option<String> {
        match next {
            Move::Tool => {
                self.progress = self.flow.step(&mut self.world);
                None
            }
            Move::Controller(step) => controllers::perform(&mut self.world, step),
            Move::Disturbance(number) => {
                self.pending &= !(1 << number);
                match disturbances.get(*number) {
                    Some(Disturbance::Person(request)) => drop(self.world.request(&PERSON, request.clone())),
                    Some(Disturbance::KedaRestarts) => {
                        let all: Vec<Key> =
                            self.world.list("keda.sh", "ScaledObject", None).map(|(key, _)| key.clone()).collect();
                        self.world.keda_queue.extend(all);
                    }
                    Some(Disturbance::Load(workload, count)) => {
                        let load = (workload.clone(), *count);
                        self.world = self.world.clone().with(|setup| setup.demand.extend([load]));
                    }
                    None => {}
                }
                None
            }
        }
    }
}

/// Searches one scenario with these settings.
pub fn search(scenario: &Scenario, settings: &Settings, bounds: Bounds) -> Found {
    let mut found = Found { whole: true, ..Found::default() };
    let start = begin(&scenario.start, Some(settings));
    let start = start.with(|setup| setup.log = false);
    let bare = play(&scenario.start, &scenario.change, None, Eager::Yes);
    let first = State {
        world: start.clone(),
        flow: Flow::new(scenario.change.clone()),
        progress: Progress::Running,
        pending: all_pending(scenario),
    };
    // Every state's parent and the move from it.
    let mut ways: Vec<(usize, Option<Move>)> = vec![(0, None)];
    let mut queue = VecDeque::from([(0, first)]);
    let followed = RefCell::default();
    let search = Search { scenario, settings, bare: &bare.reports, start: &start, followed };
    while let Some((number, state)) = queue.pop_front() {
        if found.states.len() >= bounds.states || Instant::now() > bounds.until {
            found.whole = false;
            break;
        }
        let moves = state.moves();
        let is_end = moves.iter().all(|next| matches!(next, Move::Disturbance(_)));
        if is_end && !matches!(state.progress, Progress::Running) {
            found.ends += 1;
            found.rules.extend(&state.world.said.rules);
            for (property, what) in search.judge(&state) {
                search.report(&mut found, &ways, number, property, what);
            }
        }
        for next in moves {
            let mut after = state.clone();
            found.steps += 1;
            let refused = after.take(&next, &scenario.disturbances);
            let fingerprint = after.fingerprint();
            if let Some(message) = refused {
                ways.push((number, Some(next.clone())));
                let what = format!("{} is refused: {}", who(&next), rule_of(&message));
                search.report(&mut found, &ways, ways.len() - 1, Property::Freedom, what);
            }
            if found.states.insert(fingerprint) {
                ways.push((number, Some(next)));
                queue.push_back((ways.len() - 1, after));
            }
        }
    }
    found
}

fn all_pending(scenario: &Scenario) -> u32 {
    scenario.disturbances.iter().enumerate().fold(0, |bits, (number, _)| bits | 1 << number)
}

fn who(next: &Move) -> String {
    match next {
        Move::Tool => "the tool".to_owned(),
        Move::Disturbance(_) => "a disturbance".to_owned(),
        Move::Controller(step) => match step {
            Step::Collect(_) => "the garbage collector",
            Step::EmptyNamespace(_) => "the namespace controller",
            Step::EmptyKind(_) => "a definition's finalizer",
            Step::Scale(_) => "the HPA controller",
            Step::Keda(_) => "KEDA",
            Step::Envoy => "Envoy Gateway",
        }
        .to_owned(),
    }
}

/// `hpa-deleted` of `autoscaler-guard[hpa-deleted]: …`.
fn rule_of(message: &str) -> &str {
    message.split_once('[').and_then(|(_, rest)| rest.split_once(']')).map_or("", |(rule, _)| rule)
}

struct Search<'s> {
    scenario: &'s Scenario,
    settings: &'s Settings,
    bare: &'s [Report],
    start: &'s World,
    /// The refusals that were followed already: at every end it would be the same again.
    followed: RefCell<HashSet<Refusal>>,
}

impl Search<'_> {
    fn report(
        &self,
        found: &mut Found,
        ways: &[(usize, Option<Move>)],
        number: usize,
        property: Property,
        what: String,
    ) {
        let scenario = self.scenario.name.clone();
        let mut violation = Violation { property, scenario, what, timeline: Vec::new() };
        found.violations.entry(violation.kind()).or_insert_with(|| {
            violation.timeline = self.timeline(ways, number);
            violation
        });
    }

    /// Plays the moves again, with a log.
    fn timeline(&self, ways: &[(usize, Option<Move>)], number: usize) -> Vec<String> {
        let mut moves = Vec::new();
        let mut at = number;
        while let Some((parent, Some(next))) = ways.get(at) {
            moves.push(next.clone());
            at = *parent;
        }
        let mut state = State {
            world: self.start.clone().with(|setup| setup.log = true),
            flow: Flow::new(self.scenario.change.clone()),
            progress: Progress::Running,
            pending: all_pending(self.scenario),
        };
        for next in moves.iter().rev() {
            state.take(next, &self.scenario.disturbances);
        }
        state.world.log.iter().map(|event| format!("{}: {}: {}", event.who, event.what(), event.answer())).collect()
    }

    fn judge(&self, state: &State) -> Vec<(Property, String)> {
        let failure = match &state.progress {
            Progress::Failed(reason) => Some(reason.clone()),
            Progress::Waiting => Some("it waits for something that does not happen".to_owned()),
            _ => None,
        };
        let end = End { failure: failure.clone(), restless: false };
        let change = &self.scenario.change;
        let is_person = |disturbance: &Disturbance| matches!(disturbance, Disturbance::Person(_));
        let is_interfered = self.scenario.disturbances.iter().any(is_person);
        let reports = outcome::judge(self.start, &state.world, Some(change), &end);
        let mut wrong = Vec::new();
        for report in &reports {
            let bare = self.bare.iter().find(|other| other.workload == report.workload).map(|other| other.outcome);
            let rules: Vec<&str> = state.world.said.rules.iter().copied().collect();
            let refused = state.world.said.refusal.is_some();
            match report.outcome {
                Outcome::Stuck if refused && bare.is_some_and(|bare| !bare.is_bad()) && !is_interfered => {
                    let rule = state.world.said.refusal.as_ref().map_or("", |refusal| refusal.rule);
                    let bare = bare.map_or("none", Outcome::id);
                    wrong.push((Property::Liveness, format!("{rule} stops what ends {bare} without it")));
                }
                Outcome::Lost | Outcome::Orphaned | Outcome::Dangling | Outcome::AtZero | Outcome::Duplicate
                    if !says_something(&rules) && report_changes(self.start, report) =>
                {
                    wrong.push((Property::Safety, format!("{} without a word", report.outcome)));
                }
                _ => {}
            }
        }
        if let Some(refusal) = &state.world.said.refusal
            && self.followed.borrow_mut().insert((**refusal).clone())
        {
            wrong.extend(self.follow(state, refusal));
        }
        wrong
    }

    /// Does what each line of a refusal says, and has the tool try again.
    fn follow(&self, state: &State, refusal: &Refusal) -> Vec<(Property, String)> {
        let wrong = (0..refusal.commands.len()).filter_map(|which| self.obey(state, refusal, which));
        wrong.map(|what| (Property::Help, what)).collect()
    }

    /// Follows one of a refusal's commands, and the same of those that come next.
    fn obey(&self, state: &State, refusal: &Refusal, which: usize) -> Option<String> {
        let (mut world, mut refusal) = (state.world.clone(), refusal.clone());
        let (rule, command) = (refusal.rule, refusal.commands.get(which)?.first()?.clone());
        // Who acknowledges a loss gets it.
        let is_override =
            |word: &String| word.starts_with("autoscaler-guard/allow=") || word == "autoscaler-guard/autoscaling=off";
        let on_purpose = refusal.commands.get(which)?.iter().any(is_override);
        for _ in 0..8 {
            let request = refusal.commands.get(which).and_then(|command| parse(command))?;
            world.said = Said::default();
            world.get(&request.key)?;
            if !world.request(&PERSON, request).is_done() {
                return Some(format!("the command that {rule} names is refused: kubectl {command}"));
            }
            controllers::settle(&mut world);
            let side = play(&world, &self.scenario.change, Some(self.settings), Eager::Yes);
            let bad = side.reports.iter().map(|report| report.outcome).filter(|outcome| outcome.is_bad());
            let bad = bad.max()?;
            if bad != Outcome::Stuck {
                return (!on_purpose).then(|| format!("the command that {rule} names ends {bad}: kubectl {command}"));
            }
            // Refused once more: what that refusal names is followed, too.
            let next = side.world.said.refusal.clone()?;
            if *next == refusal {
                return Some(format!("the command that {rule} names ends stuck: kubectl {command}"));
            }
            refusal = (*next).clone();
            world = side.world;
        }
        None
    }
}

/// Whether any of the rules reports a loss, and does not just mend it.
fn says_something(rules: &[&str]) -> bool {
    rules.iter().any(|rule| !matches!(*rule, "hpa-readoption" | "hpa-handover"))
}

/// What was wrong before is not the change's doing.
fn report_changes(start: &World, report: &Report) -> bool {
    outcome::autoscalers(start, &report.workload) != report.after || report.outcome == Outcome::AtZero
}

/// The commands that messages name, as requests.
fn parse(command: &[String]) -> Option<Request> {
    let words: Vec<&str> = command.iter().map(String::as_str).collect();
    let flag = |name: &str| words.iter().position(|word| *word == name).and_then(|at| words.get(at + 1)).copied();
    let namespace = flag("-n").unwrap_or_default();
    let (verb, kind, name) = match words.as_slice() {
        [verb, object, ..] if object.contains('/') => {
            let (kind, name) = object.split_once('/')?;
            (*verb, kind, name)
        }
        [verb, kind, name, ..] => (*verb, *kind, *name),
        _ => return None,
    };
    let (group, kind) = match kind {
        "hpa" => ("autoscaling", "HorizontalPodAutoscaler"),
        "scaledobject" => ("keda.sh", "ScaledObject"),
        "deployment" => ("apps", "Deployment"),
        "statefulset" => ("apps", "StatefulSet"),
        "envoyproxy" => ("gateway.envoyproxy.io", "EnvoyProxy"),
        "gateway" => ("gateway.networking.k8s.io", "Gateway"),
        "gatewayclass" => ("gateway.networking.k8s.io", "GatewayClass"),
        _ => return None,
    };
    let key = Key::new(group, kind, namespace, name);
    let verb = match verb {
        "delete" => {
            let orphans = words.contains(&"--cascade=orphan");
            let propagation = if orphans { Propagation::Orphan } else { Propagation::Background };
            Verb::Delete { propagation, uid: None }
        }
        "annotate" => {
            let annotations: serde_json::Map<String, Value> = words
                .iter()
                .skip(2)
                .filter_map(|word| word.split_once('='))
                .filter(|(key, _)| !key.starts_with('-'))
                .map(|(key, value)| (key.to_owned(), value.trim_matches(['"', '\'']).into()))
                .collect();
            (!annotations.is_empty()).then_some(())?;
            Verb::Patch(json!({"metadata": {"annotations": annotations}}))
        }
        "scale" => {
            let replicas = words.iter().find_map(|word| word.strip_prefix("--replicas="))?;
            Verb::Scale(replicas.parse().ok()?)
        }
        _ => return None,
    };
    Some(Request::new(key, verb))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_of_messages_are_requests() {
        let parse = |command: &str| parse(&command.split(' ').map(ToOwned::to_owned).collect::<Vec<String>>());
        let request = parse("delete scaledobject web -n shop --cascade=orphan").expect("a command");
        assert_eq!(request.key, Key::scaled_object("shop", "web"));
        assert!(matches!(request.verb, Verb::Delete { propagation: Propagation::Orphan, .. }));
        let request = parse("annotate deployment/web -n shop autoscaler-guard/autoscaling=off").expect("a command");
        assert_eq!(request.key.to_string(), "Deployment shop/web");
        assert!(parse("get envoyproxies -A").is_none());
    }
}
