//! What an audit finds, and how it is kept to one finding per object and cause.

use std::collections::BTreeSet;

use autoscaler_guard::command::Command;
use serde::Serialize;

use crate::inventory::Unread;
use crate::object::Ref;

/// How sure a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Certainty {
    /// The objects say so.
    Certain,
    /// There may be a reason that the objects do not show.
    Likely,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The problem.
    pub problem: &'static str,
    /// The rule: one of the policy's where that judges the same, else the problem.
    pub rule: &'static str,
    /// What is wrong, or missing.
    pub object: Ref,
    /// The workload, where one is concerned.
    pub workload: Option<Ref>,
    /// What is wrong, in a sentence.
    pub message: String,
    /// What mends it.
    pub commands: Vec<String>,
    /// Since when, where that is known.
    pub since: Option<String>,
    /// How sure it is.
    pub certainty: Certainty,
    /// Whether somebody said that it is meant to be so.
    pub acknowledged: bool,
}

impl Finding {
    /// Something certain.
    pub fn new(problem: &'static str, object: &Ref, message: String) -> Self {
        Self {
            problem,
            rule: problem,
            object: object.clone(),
            workload: None,
            message,
            commands: Vec::new(),
            since: None,
            certainty: Certainty::Certain,
            acknowledged: false,
        }
    }

    /// By which rule of the policy.
    #[must_use]
    pub fn rule(mut self, rule: &'static str) -> Self {
        self.rule = rule;
        self
    }

    /// About which workload.
    #[must_use]
    pub fn workload(mut self, workload: &Ref) -> Self {
        self.workload = Some(workload.clone());
        self
    }

    /// What mends it; a command out of names that no API server takes is left out.
    #[must_use]
    pub fn command(mut self, command: &Command) -> Self {
        if command.is_plain() {
            self.commands.push(command.to_string());
        }
        self
    }

    /// `autoscaler-guard fix` with its id.
    #[must_use]
    pub fn fixable(self) -> Self {
        self.fixable_with("")
    }

    /// The same, with a flag that it needs.
    #[must_use]
    pub fn fixable_with(mut self, flag: &str) -> Self {
        let id = self.id();
        if id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-./".contains(&byte)) {
            let flag = if flag.is_empty() { String::new() } else { format!(" {flag}") };
            self.commands.push(format!("autoscaler-guard fix {id}{flag}"));
        }
        self
    }

    /// Since when.
    #[must_use]
    pub fn since(mut self, since: Option<&str>) -> Self {
        self.since = since.map(str::to_owned);
        self
    }

    /// That it is only likely.
    #[must_use]
    pub fn likely(mut self, is_likely: bool) -> Self {
        if is_likely {
            self.certainty = Certainty::Likely;
        }
        self
    }

    /// What it is about: the workload for `lost`, else the object.
    pub fn subject(&self) -> &Ref {
        match &self.workload {
            Some(workload) if self.problem == "lost" => workload,
            _ => &self.object,
        }
    }

    /// `<problem>/<kind>/<namespace>/<name>`.
    pub fn id(&self) -> String {
        format!("{}/{}", self.problem, self.subject().path())
    }
}

/// Findings while they are gathered: problems are asked from the most specific to the most general, and what one
/// explains no other reports again.
#[derive(Debug, Default)]
pub struct Found {
    /// The findings.
    pub findings: Vec<Finding>,
    explained: BTreeSet<Ref>,
}

impl Found {
    /// Adds a finding, which explains its object and its workload's state, and these besides.
    pub fn push<'r>(&mut self, finding: Finding, explains: impl IntoIterator<Item = &'r Ref>) {
        self.explained.insert(finding.object.clone());
        self.explained.insert(finding.subject().clone());
        self.explained.extend(explains.into_iter().cloned());
        self.findings.push(finding);
    }

    /// Adds a finding that leaves room for others on the same object.
    pub fn also(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// Whether a finding explains the state of an object.
    pub fn explains(&self, object: &Ref) -> bool {
        self.explained.contains(object)
    }
}

/// What somebody said is meant to be so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Acknowledgement {
    /// On what.
    pub object: String,
    /// The annotation.
    pub annotation: &'static str,
    /// What it says.
    pub value: String,
    /// Since when, where that is known.
    pub since: Option<String>,
}

/// The whole answer.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// What could not be read.
    pub unread: Vec<Unread>,
    /// What somebody said is meant to be so.
    pub acknowledgements: Vec<Acknowledgement>,
}
