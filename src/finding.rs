//! What rules find, typed: a host puts it into words.

use std::borrow::Cow;
use std::fmt;

use crate::command::Command;
use crate::plain::plain;
use crate::repair::Edit;
use crate::subject::{Subject, WorkloadRef};

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

/// What helps about a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Help {
    /// A command to run.
    Command(Command),
    /// A field to set in the object's manifest.
    Manifest {
        /// The field's path in the object: `metadata.annotations."autoscaler-guard/allow"`.
        path: Cow<'static, str>,
        /// Its value; empty where the author chooses it.
        value: String,
    },
    /// What to do where no command does it.
    Text(Cow<'static, str>),
}

impl From<Command> for Help {
    fn from(command: Command) -> Self {
        Self::Command(command)
    }
}

impl Help {
    /// A field of the manifest whose value its author chooses.
    pub fn field(path: impl Into<Cow<'static, str>>) -> Self {
        Self::Manifest { path: path.into(), value: String::new() }
    }

    /// Words.
    pub fn text(text: impl Into<Cow<'static, str>>) -> Self {
        Self::Text(text.into())
    }
}

impl fmt::Display for Help {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Command(command) => command.fmt(formatter),
            Self::Manifest { path, value } if value.is_empty() => formatter.write_str(path),
            Self::Manifest { path, value } => write!(formatter, "{path}: {value}"),
            Self::Text(text) => formatter.write_str(text),
        }
    }
}

/// A way forward.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    /// What it achieves, as a sentence begins.
    pub purpose: &'static str,
    /// How.
    pub help: Help,
}

impl fmt::Display for Advice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.purpose, self.help)
    }
}

/// One rule's finding about a change.
#[derive(Clone, Debug)]
pub struct Finding {
    /// Which rule, by id.
    pub rule: &'static str,
    /// What it wants done.
    pub action: Action,
    /// What would happen and why, in one sentence that starts with the change and names real objects.
    pub what: String,
    /// What a repair did about it; said in place of `what` when the finding stays a repair.
    pub repaired: String,
    /// More to know, a sentence each.
    pub notes: Vec<String>,
    /// What has to be done by hand, whatever else: it is a warning too, as Helm shows nothing but warnings.
    pub by_hand: Vec<Advice>,
    /// Ways forward, the most likely first.
    pub help: Vec<Advice>,
    /// How to acknowledge a rejection; filled in once it stands.
    pub acknowledgement: Option<Help>,
    /// Whether something stays behind that has to be cleaned up, which is reported even when the finding was
    /// acknowledged.
    pub stays: bool,
    /// What an acknowledgement takes on oneself: `the loss`, `the orphan`.
    pub at_stake: &'static str,
    /// The workloads whose autoscaling is at stake; an annotation on all of them acknowledges too.
    pub workloads: Vec<WorkloadRef>,
    /// The autoscaler at stake, `Kind namespace/name`.
    pub autoscaler: String,
    /// The object whose annotation acknowledges the finding.
    pub annotate: Subject,
}

impl Finding {
    /// A finding of the rule with that id about the object `annotate`, on which it can be acknowledged.
    pub fn new(rule: &'static str, action: Action, annotate: Subject, what: String) -> Self {
        Self {
            rule,
            action,
            what,
            repaired: String::new(),
            notes: Vec::new(),
            by_hand: Vec::new(),
            help: Vec::new(),
            acknowledgement: None,
            stays: false,
            at_stake: "the loss",
            workloads: Vec::new(),
            autoscaler: String::new(),
            annotate,
        }
    }

    /// Adds a way forward.
    #[must_use]
    pub fn help(mut self, purpose: &'static str, help: impl Into<Help>) -> Self {
        self.help.push(Advice { purpose, help: help.into() });
        self
    }

    /// Adds what has to be done by hand.
    #[must_use]
    pub fn by_hand(mut self, purpose: &'static str, help: impl Into<Help>) -> Self {
        self.by_hand.push(Advice { purpose, help: help.into() });
        self
    }

    /// Makes it fit to be shown, however it is put into words: what a request may have brought in is [`plain`] text,
    /// and commands with words that are no names are left out.
    pub fn clean(&mut self) {
        let workloads = self.workloads.iter_mut();
        let workloads = workloads.flat_map(|one| [&mut one.kind, &mut one.namespace, &mut one.name]);
        let own = [&mut self.what, &mut self.repaired, &mut self.autoscaler];
        for text in own.into_iter().chain(&mut self.notes).chain(workloads) {
            clean(text);
        }
        for ways in [&mut self.by_hand, &mut self.help] {
            ways.retain(|way| !matches!(&way.help, Help::Command(command) if !command.is_plain()));
            for way in ways {
                match &mut way.help {
                    Help::Manifest { path, value } => {
                        clean(path.to_mut());
                        clean(value);
                    }
                    Help::Text(text) => clean(text.to_mut()),
                    Help::Command(_) => {}
                }
            }
        }
    }

    /// Adds the workload and the autoscaler at stake.
    #[must_use]
    pub fn about(mut self, workload: WorkloadRef, autoscaler: String) -> Self {
        self.workloads.push(workload);
        self.autoscaler = autoscaler;
        self
    }
}

/// Another person's words in a finding are shown as [`plain`] text.
fn clean(text: &mut String) {
    let shown = plain(text);
    if shown != *text {
        *text = shown;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_forges_a_line_or_a_command() {
        let subject =
            |name: &str| Subject { resource: "hpa".into(), namespace: "shop".to_owned(), name: name.to_owned() };
        let mut finding = Finding::new("rule", Action::Warn, subject("web"), "a\nb\u{202e}c".to_owned())
            .help("Yes", subject("web").kubectl("get", &["-o", "yaml"]))
            .help("No", subject("web; curl").kubectl("get", &[]))
            .help("Patch", subject("web").kubectl("patch", &["-p"]).arg(r#"{"spec":{"replicas":2}}"#))
            .help("No patch", subject("web").kubectl("patch", &["-p"]).arg(r#"{"spec":{"name":"$(curl)"}}"#))
            .by_hand("Text", Help::text("a\tb"));
        finding.clean();
        assert_eq!(finding.what, r"a\u{a}b\u{202e}c");
        let purposes: Vec<&str> = finding.help.iter().map(|way| way.purpose).collect();
        assert_eq!(purposes, ["Yes", "Patch"]);
        assert_eq!(finding.by_hand.first().map(|way| way.help.to_string()).as_deref(), Some(r"a\u{9}b"));
    }
}
