//! What becomes of a change, typed: [`wording`](crate::wording) puts it into words.

use crate::finding::{Action, Finding};
use crate::plain::plain_lines;

/// What becomes of the change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Decision {
    /// It passes as it is.
    #[default]
    Allow,
    /// It passes, changed to this object, as JSON text.
    Repair(String),
    /// It is refused, with an HTTP status of the 4xx range; never 409, which clients retry.
    Reject(u16),
}

/// What becomes of a change, in a word: the one place that says what each word means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum VerdictKind {
    /// It passes as it is, without a warning.
    Allowed,
    /// It passes as it is, with warnings.
    Warned,
    /// It passes, changed.
    Repaired,
    /// It is refused.
    Rejected,
}

impl VerdictKind {
    /// The kind of an answer: whether it lets the change pass, changes it, and warns.
    pub const fn new(passes: bool, changes: bool, warns: bool) -> Self {
        match (passes, changes, warns) {
            (false, ..) => Self::Rejected,
            (true, true, _) => Self::Repaired,
            (true, false, true) => Self::Warned,
            (true, false, false) => Self::Allowed,
        }
    }

    /// The word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Warned => "warned",
            Self::Repaired => "repaired",
            Self::Rejected => "rejected",
        }
    }
}

/// A finding that an override let pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overridden {
    /// The rule, by id.
    pub rule: &'static str,
    /// Which override, as audit annotation `allowed-by` says it.
    pub by: &'static str,
}

/// The answer to a change.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// Pass, repair or refuse.
    pub decision: Decision,
    /// The findings that stand, strongest action first.
    pub findings: Vec<Finding>,
    /// The findings that an override let pass.
    pub overridden: Vec<Overridden>,
    /// Why the request or the settings cannot be used: a refusal that no rule gave.
    pub problem: Option<String>,
    /// What else the author of a refused change should know, a sentence each.
    pub hints: Vec<String>,
    /// How many objects and lists were looked up.
    pub lookups: usize,
}

impl Verdict {
    /// A refusal that no rule gave: the request or the settings cannot be read.
    pub fn unusable(problem: &str) -> Self {
        Self { decision: Decision::Reject(400), problem: Some(plain_lines(problem)), ..Self::default() }
    }

    /// Whether the change may pass, repaired or not.
    pub fn is_accepted(&self) -> bool {
        !matches!(self.decision, Decision::Reject(_))
    }

    /// What becomes of the change, in a word.
    pub fn kind(&self) -> VerdictKind {
        let warns = self.problem.is_some() || !self.findings.is_empty();
        VerdictKind::new(self.is_accepted(), matches!(self.decision, Decision::Repair(_)), warns)
    }

    /// The ids of the rules whose findings stand, strongest action first.
    pub fn rules(&self) -> impl Iterator<Item = &'static str> {
        self.findings.iter().map(|finding| finding.rule)
    }

    /// The findings that refuse the change.
    pub fn rejections(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| matches!(finding.action, Action::Reject))
    }
}
