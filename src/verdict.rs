//! What rules find, what becomes of it, and how it is told.

use std::borrow::Cow;

use crate::kinds::Metadata;
use crate::kinds::workload::WorkloadRef;
use crate::repair::Edit;
use crate::rules::Rule;

/// The API server keeps this many characters of a warning.
pub const LONGEST_WARNING: usize = 256;

/// What a rule wants done about a change. A rejection beats a repair beats a warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Say so, and let it pass.
    Warn,
    /// Change the request so that nothing is lost.
    Repair(Vec<Edit>),
    /// Refuse it.
    Reject,
}

impl Action {
    /// A stronger action weighs more.
    pub fn weight(&self) -> u8 {
        match self {
            Self::Warn => 0,
            Self::Repair(_) => 1,
            Self::Reject => 2,
        }
    }

    /// The word in audit annotations.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Warn => "warn",
            Self::Repair(_) => "repair",
            Self::Reject => "reject",
        }
    }
}

/// A way on: a few words and the command to paste.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Help {
    /// What the command achieves.
    pub purpose: &'static str,
    /// The command, or what to do where no single command does it.
    pub command: String,
}

/// One rule's finding about a change.
#[derive(Clone, Debug)]
pub struct Finding {
    /// Which rule.
    pub rule: &'static Rule,
    /// What it wants done.
    pub action: Action,
    /// What would happen and why, in one sentence that starts with the change and names real objects.
    pub what: String,
    /// What a repair did about it; told in place of `what` when the finding stays a repair.
    pub repaired: String,
    /// More to know, a sentence each.
    pub notes: Vec<String>,
    /// Ways on, the most likely first. The acknowledgement by annotation is added to rejections by itself.
    pub help: Vec<Help>,
    /// What an acknowledgement takes on oneself: `the loss`, `the orphan`.
    pub at_stake: &'static str,
    /// The workloads whose autoscaling is at stake; an annotation on all of them acknowledges too.
    pub workloads: Vec<WorkloadRef>,
    /// The autoscaler at stake, `Kind namespace/name`.
    pub autoscaler: String,
    /// The object whose annotation acknowledges the finding.
    pub annotate: Subject,
}

/// An object as kubectl addresses it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// `hpa`, `scaledobject`, `envoyproxy`.
    pub resource: Cow<'static, str>,
    /// Its namespace, empty when it has none.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl Subject {
    /// An object as kubectl addresses it.
    pub fn new(resource: impl Into<Cow<'static, str>>, metadata: &Metadata<'_>) -> Self {
        let resource = resource.into();
        Self { resource, namespace: metadata.namespace.clone().into_owned(), name: metadata.name.clone().into_owned() }
    }

    /// `<verb> <resource> <name> -n <namespace>` after `kubectl`, with something behind.
    pub fn kubectl(&self, verb: &str, rest: &str) -> String {
        let namespace = if self.namespace.is_empty() { String::new() } else { format!(" -n {}", self.namespace) };
        let rest = if rest.is_empty() { String::new() } else { format!(" {rest}") };
        format!("kubectl {verb} {} {}{namespace}{rest}", self.resource, self.name)
    }
}

impl Finding {
    /// A finding about the object `annotate`, on which it can be acknowledged.
    pub fn new(rule: &'static Rule, action: Action, annotate: Subject, what: String) -> Self {
        Self {
            rule,
            action,
            what,
            repaired: String::new(),
            notes: Vec::new(),
            help: Vec::new(),
            at_stake: "the loss",
            workloads: Vec::new(),
            autoscaler: String::new(),
            annotate,
        }
    }

    /// Adds a way on.
    #[must_use]
    pub fn help(mut self, purpose: &'static str, command: String) -> Self {
        self.help.push(Help { purpose, command });
        self
    }

    /// Adds the workload and the autoscaler at stake.
    #[must_use]
    pub fn about(mut self, workload: WorkloadRef, autoscaler: String) -> Self {
        self.workloads.push(workload);
        self.autoscaler = autoscaler;
        self
    }

    /// The first line: rule id and what would happen, or what was done about it.
    pub fn headline(&self) -> String {
        let text = if matches!(self.action, Action::Repair(_)) && !self.repaired.is_empty() {
            &self.repaired
        } else {
            &self.what
        };
        format!("autoscaler-guard[{}]: {text}", self.rule.id)
    }

    /// The headline and the notes as warnings: one line each, no longer than the API server keeps.
    pub fn warnings(&self) -> impl Iterator<Item = String> {
        let notes = self.notes.iter().map(|note| shorten(&format!("autoscaler-guard[{}]: {note}", self.rule.id)));
        std::iter::once(shorten(&self.headline())).chain(notes)
    }

    /// The whole text of a rejection.
    pub fn message(&self) -> String {
        let acknowledge = self.annotate.kubectl("annotate", &format!("autoscaler-guard/allow={}", self.rule.id));
        let help = self.help.iter().map(|Help { purpose, command }| format!("{purpose}: {command}"));
        let lines = std::iter::once(self.headline()).chain(self.notes.iter().cloned()).chain(help);
        let acknowledge = std::iter::once(format!("Or acknowledge {}: {acknowledge}", self.at_stake));
        lines.chain(acknowledge).collect::<Vec<_>>().join("\n")
    }
}

/// Cuts a text to what the API server keeps of a warning, at a word where that costs little.
fn shorten(text: &str) -> String {
    let text = text.lines().next().unwrap_or_default();
    let Some((end, _)) = text.char_indices().nth(LONGEST_WARNING) else { return text.to_owned() };
    let fits = text.get(..end).unwrap_or_default();
    let keep = fits.char_indices().nth(LONGEST_WARNING - 1).map_or(fits, |(at, _)| fits.get(..at).unwrap_or_default());
    let words = keep.rsplit_once(' ').map_or(keep, |(words, _)| words);
    format!("{words}…")
}

/// What becomes of the change.
#[derive(Clone, Debug, Default)]
pub enum Decision {
    /// It passes as it is.
    #[default]
    Allow,
    /// It passes, changed to this object, as JSON text.
    Repair(String),
    /// It is refused.
    Reject {
        /// All that is wrong, each with its ways on.
        message: String,
        /// An HTTP status of the 4xx range; never 409, which clients retry.
        code: u16,
    },
}

/// The answer to a change.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// Pass, repair or refuse.
    pub decision: Decision,
    /// One sentence each, at most [`LONGEST_WARNING`] characters.
    pub warnings: Vec<String>,
    /// For the audit log: `rule`, `action`, `workload`, `autoscaler`, and who let something pass.
    pub audit: Vec<(&'static str, String)>,
    /// The ids of the rules that spoke, strongest action first.
    pub rules: Vec<&'static str>,
    /// How many objects and lists were looked up.
    pub lookups: usize,
}

impl Verdict {
    /// A refusal that no rule gave: the request or the settings cannot be read.
    pub fn unusable(message: String) -> Self {
        let warnings = vec![shorten(&message)];
        Self { decision: Decision::Reject { message, code: 400 }, warnings, ..Self::default() }
    }

    /// Whether the change may pass, repaired or not.
    pub fn is_accepted(&self) -> bool {
        !matches!(self.decision, Decision::Reject { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_fit_and_keep_whole_words() {
        assert_eq!(shorten("short\nsecond line"), "short");
        let long = "wörter ".repeat(60);
        let cut = shorten(&long);
        assert!(cut.chars().count() <= LONGEST_WARNING && cut.ends_with("wörter…"), "{cut}");
        assert_eq!(shorten(&"x".repeat(300)).chars().count(), LONGEST_WARNING);
        assert_eq!(shorten(&"x".repeat(256)).chars().count(), 256);
    }

    #[test]
    fn kubectl_commands_name_a_namespace_only_where_there_is_one() {
        let class = Subject { resource: "gatewayclass".into(), namespace: String::new(), name: "eg".to_owned() };
        assert_eq!(class.kubectl("annotate", "a=b"), "kubectl annotate gatewayclass eg a=b");
    }
}
