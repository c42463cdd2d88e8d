//! The scenarios: one table, and one function each, grouped by whose hazards they show.
//!
//! A scenario's function plays both times; where the policy makes a difference it asks [`Stage::guarded`]. It returns
//! what was seen at the end, in a few words for the table in `e2e/README.md`, and fails when that is not what has to be
//! seen.

mod audit;
mod declared;
mod deletes;
mod envoy;
mod faults;
mod fleets;
mod free;
mod gatekeeper;
mod handover;
mod keda;
mod manifests;
pub(crate) mod native;
mod policies;
mod problems;
mod prune;
mod review;

use std::future::Future;
use std::pin::Pin;

use anyhow::Result;
use autoscaler_guard::rules::RULES;

use crate::stage::Stage;
use crate::world::Kind;

/// A run of a scenario under way.
pub type Play<'a> = Pin<Box<dyn Future<Output = Result<String>> + 'a>>;

/// A scenario.
pub struct Scenario {
    /// By which it is called; also the beginning of its namespaces' names.
    pub id: &'static str,
    /// What it shows.
    pub shows: &'static str,
    /// The rules that have to judge a request in it.
    pub rules: &'static [&'static str],
    /// Where it plays.
    pub world: Kind,
    /// The Helm that it needs.
    pub helm: Option<u8>,
    /// Whether it needs kustomize.
    pub kustomize: bool,
    /// The rules that an audit has to report.
    pub audits: &'static [&'static str],
    /// Whether it disturbs others.
    pub alone: bool,
    /// What happens.
    pub play: for<'a> fn(&'a Stage<'a>) -> Play<'a>,
}

impl std::fmt::Debug for Scenario {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Scenario({})", self.id)
    }
}

impl Scenario {
    /// The components that have to be built for it.
    pub fn components(&self) -> Vec<&'static str> {
        let helm = match self.helm {
            Some(3) => Some("helm3"),
            Some(_) => Some("helm4"),
            None => None,
        };
        let kustomize = self.kustomize.then_some("kustomize");
        self.world.components().iter().copied().chain(helm).chain(kustomize).collect()
    }

    /// One in the world with KEDA, that needs nothing else.
    const fn new(id: &'static str, shows: &'static str, play: for<'a> fn(&'a Stage<'a>) -> Play<'a>) -> Self {
        Self { id, shows, rules: &[], world: Kind::Keda, helm: None, kustomize: false, audits: &[], alone: false, play }
    }

    /// It shows that these rules act.
    const fn rules(mut self, rules: &'static [&'static str]) -> Self {
        self.rules = rules;
        self
    }

    /// An audit has to report these rules.
    const fn audits(mut self, rules: &'static [&'static str]) -> Self {
        self.audits = rules;
        self
    }

    /// It plays with what kustomize builds.
    const fn kustomize(mut self) -> Self {
        self.kustomize = true;
        self
    }

    /// It plays with Helm of that version.
    const fn helm(mut self, major: u8) -> Self {
        self.helm = Some(major);
        self
    }

    /// It plays in another world.
    const fn world(mut self, world: Kind) -> Self {
        self.world = world;
        self
    }

    /// It disturbs others.
    const fn alone(mut self) -> Self {
        self.alone = true;
        self
    }
}

/// All scenarios.
pub static SCENARIOS: &[&[Scenario]] = &[
    handover::SCENARIOS,
    deletes::SCENARIOS,
    prune::SCENARIOS,
    keda::SCENARIOS,
    declared::SCENARIOS,
    free::SCENARIOS,
    faults::SCENARIOS,
    review::SCENARIOS,
    manifests::SCENARIOS,
    policies::SCENARIOS,
    audit::SCENARIOS,
    problems::SCENARIOS,
    envoy::SCENARIOS,
    fleets::SCENARIOS,
    gatekeeper::SCENARIOS,
    native::SCENARIOS,
];

/// The rules that no scenario names.
pub fn without_scenario() -> impl Iterator<Item = &'static str> {
    let shown = |id: &str| {
        SCENARIOS
            .iter()
            .copied()
            .flatten()
            .any(|scenario| scenario.rules.contains(&id) || scenario.audits.contains(&id))
    };
    RULES.iter().map(|rule| rule.id).filter(move |id| !shown(id))
}
