//! What a rule is: its facts, what it watches and looks up, and its check.

use crate::change::{Kind, Operation};
use crate::cluster::{ApiKind, api};
use crate::context::Context;
use crate::finding::Finding;
use crate::gate::Scope;

/// What a rule does by itself when it fires; single cases may be softer or harder, as its page says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultAction {
    /// Says so and lets it pass.
    Warn,
    /// Changes the request.
    Repair,
    /// Refuses.
    Reject,
}

/// How far a rule has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// New: what it says may still change in a minor version.
    Preview,
    /// What it refuses changes only in a major version.
    Stable,
    /// It goes with the next major version.
    Deprecated,
}

impl Stage {
    /// The word in tables and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Preview => "preview",
            Self::Stable => "stable",
            Self::Deprecated => "deprecated",
        }
    }
}

/// A rule: its facts and its check.
pub struct Rule {
    /// Stable, kebab-case: settings, annotations, RBAC and audit logs name the rule by it.
    pub id: &'static str,
    /// What goes wrong, in one line.
    pub title: &'static str,
    /// What it does by itself.
    pub default: DefaultAction,
    /// Whether it may ever refuse: what answers a controller or gives something back may not.
    pub may_reject: bool,
    /// The first version that had it.
    pub since: &'static str,
    /// How far it has come.
    pub stage: Stage,
    /// Whose changes: everybody's that are judged, or KEDA's update of an HPA that it released.
    pub scope: Scope,
    /// Which changes it looks at.
    pub watches: &'static [(Kind, &'static [Operation])],
    /// Finds what is wrong with a change that it watches.
    pub check: for<'a> fn(&Context<'a>) -> Option<Finding>,
}

impl std::fmt::Debug for Rule {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Rule({})", self.id)
    }
}

impl Rule {
    /// Whether a change of this kind concerns the rule at all.
    pub fn watches(&self, kind: Kind, operation: Operation) -> bool {
        self.watches.iter().any(|(watched, operations)| *watched == kind && operations.contains(&operation))
    }
}

/// What a rule may ask the cluster for.
///
/// Beside that, whatever is about to be refused or repaired asks for its workload and for the namespace, and whether
/// the user may `bypass` the rule; with setting `helm.readReleases`, for the Secrets of a release.
#[derive(Clone, Copy, Debug)]
pub enum Lookup {
    /// One object of the kind.
    Get(&'static ApiKind<'static>),
    /// The objects of the kind, in a namespace or in the whole cluster.
    List(&'static ApiKind<'static>),
    /// The object that an ownerReference names, of whatever kind.
    Owner,
    /// Envoy Gateway's fleets, and what runs and configures them.
    Fleets,
}

/// What finding Envoy Gateway's fleets takes.
static FLEETS: &[Lookup] = &[
    Lookup::Get(&api::CONFIG_MAP),
    Lookup::Get(&api::ENVOY_PROXY),
    Lookup::List(&api::DEPLOYMENT),
    Lookup::List(&api::GATEWAY),
    Lookup::List(&api::GATEWAY_CLASS),
];

impl Lookup {
    /// What it asks for, a kind each.
    pub fn each(&self) -> &[Self] {
        match self {
            Self::Fleets => FLEETS,
            one => std::slice::from_ref(one),
        }
    }
}
