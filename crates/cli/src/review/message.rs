//! The lines of an answer, so that rule ids and commands can stand out.
//!
//! The built-in rules give findings. A module gives text only, which is taken apart again: its message starts with
//! `autoscaler-guard[<rule>]: what would happen`; notes follow, then help, such as `Keep the HPA: kubectl delete …`.
//! Its warnings are such first lines, or notes.

use std::borrow::Cow;

use autoscaler_guard::Verdict;
use autoscaler_guard::finding::{Action, Advice, Finding, Help};
use autoscaler_guard_host::admission::AdmissionResponse;

/// A line of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part<'a> {
    /// What a rule found.
    Finding {
        /// The rule's id.
        rule: &'a str,
        /// What it says.
        text: &'a str,
    },
    /// A way forward with a command to paste.
    Way {
        /// What it achieves.
        purpose: Cow<'a, str>,
        /// The command.
        command: Cow<'a, str>,
    },
    /// Anything else.
    Text(Cow<'a, str>),
}

/// An answer, line by line.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Message<'a> {
    /// Why the request was refused, and what helps.
    pub refusal: Vec<Part<'a>>,
    /// The warnings that do not stand in the refusal.
    pub warnings: Vec<Part<'a>>,
}

impl<'a> Message<'a> {
    /// What the built-in rules found.
    pub fn of_verdict(verdict: &'a Verdict) -> Self {
        let mut message = Self::default();
        message.refusal.extend(verdict.problem.iter().map(|problem| Part::text(problem)));
        for finding in verdict.rejections() {
            message.refusal.extend(whole(finding));
        }
        message.refusal.extend(verdict.hints.iter().map(|hint| Part::text(hint)));
        let others = verdict.findings.iter().filter(|finding| !matches!(finding.action, Action::Reject));
        message.warnings.extend(others.flat_map(warned));
        // Two rules may have the same to say beside their findings.
        message.warnings.retain(|part| !message.refusal.contains(part));
        message
    }

    /// What a module said.
    pub fn of_text(response: &'a AdmissionResponse) -> Self {
        let message = response.status.as_ref().and_then(|status| status.message.as_deref()).unwrap_or_default();
        let new = response.warnings().iter().filter(|warning| !repeats(warning, message));
        Self { refusal: message.lines().map(Part::of).collect(), warnings: Self::every_warning(new) }
    }

    /// All warnings to the letter, as the client shows them.
    pub fn every_warning(warnings: impl IntoIterator<Item = &'a String>) -> Vec<Part<'a>> {
        let said = |warning: &'a String| Part::finding(warning).unwrap_or(Part::text(warning));
        warnings.into_iter().map(said).collect()
    }
}

/// A finding with all that it brings along.
fn whole(finding: &Finding) -> impl Iterator<Item = Part<'_>> {
    let help = finding.by_hand.iter().chain(&finding.help).map(Part::advice);
    let acknowledge = finding.acknowledgement.iter().map(|help| Part::help(finding.acknowledges().into(), help));
    headline(finding).chain(finding.notes.iter().map(|note| Part::text(note))).chain(help).chain(acknowledge)
}

/// What a finding warns of: help is for those whose change was refused.
fn warned(finding: &Finding) -> impl Iterator<Item = Part<'_>> {
    let notes = finding.notes.iter().map(|text| Part::Finding { rule: finding.rule, text });
    headline(finding).chain(notes).chain(finding.by_hand.iter().map(Part::advice))
}

fn headline(finding: &Finding) -> impl Iterator<Item = Part<'_>> {
    std::iter::once(Part::Finding { rule: finding.rule, text: finding.sentence() })
}

impl<'a> Part<'a> {
    fn text(text: &'a str) -> Self {
        Self::Text(text.into())
    }

    fn advice(advice: &'a Advice) -> Self {
        Self::help(advice.purpose.into(), &advice.help)
    }

    fn help(purpose: Cow<'a, str>, help: &Help) -> Self {
        match help {
            Help::Command(command) => Self::Way { purpose, command: command.to_string().into() },
            Help::Manifest { .. } | Help::Text(_) => Self::Text(format!("{purpose}: {help}").into()),
        }
    }

    /// Reads a line.
    fn of(line: &'a str) -> Self {
        Self::finding(line).or_else(|| Self::way(line)).unwrap_or(Self::text(line))
    }

    fn finding(line: &'a str) -> Option<Self> {
        let (rule, text) = line.strip_prefix("autoscaler-guard[")?.split_once("]: ")?;
        Some(Self::Finding { rule, text })
    }

    fn way(line: &'a str) -> Option<Self> {
        let (purpose, command) = line.split_once(": ")?;
        let is_command = PROGRAMS.iter().any(|program| command.starts_with(program));
        is_command.then_some(Self::Way { purpose: purpose.into(), command: command.into() })
    }
}

/// What a command to paste starts with.
const PROGRAMS: &[&str] = &["kubectl ", "helm "];

/// Whether a warning repeats the message, perhaps shortened.
fn repeats(warning: &str, message: &str) -> bool {
    let warned = without_rule(warning);
    let warned = warned.strip_suffix('…').unwrap_or(warned);
    message.lines().any(|line| without_rule(line).starts_with(warned))
}

fn without_rule(line: &str) -> &str {
    match Part::finding(line) {
        Some(Part::Finding { text, .. }) => text,
        _ => line,
    }
}

#[cfg(test)]
mod tests {
    use autoscaler_guard::subject::Subject;
    use autoscaler_guard_host::admission::Status;

    use super::*;

    const MESSAGE: &str = "autoscaler-guard[hpa-deleted]: deleting HPA shop/web leaves Deployment shop/web alone\nA note.\nKeep it: kubectl get hpa web";

    #[test]
    fn findings_ways_and_notes_are_distinguished() {
        let parts: Vec<Part<'_>> = MESSAGE.lines().map(Part::of).collect();
        assert_eq!(
            parts,
            [
                Part::Finding { rule: "hpa-deleted", text: "deleting HPA shop/web leaves Deployment shop/web alone" },
                Part::text("A note."),
                Part::Way { purpose: "Keep it".into(), command: "kubectl get hpa web".into() },
            ]
        );
        assert_eq!(Part::of("Mind: this"), Part::text("Mind: this"));
    }

    #[test]
    fn shortened_repetitions_are_recognised() {
        assert!(repeats("autoscaler-guard[hpa-deleted]: deleting HPA shop/web leaves…", MESSAGE));
        assert!(repeats("autoscaler-guard[hpa-deleted]: A note.", MESSAGE));
        assert!(repeats("autoscaler-guard[hpa-deleted]: Keep it: kubectl get hpa web", MESSAGE));
        assert!(!repeats("autoscaler-guard[hpa-deleted]: Another note.", MESSAGE));
    }

    /// What a module's text is taken apart into is what the rules found.
    #[test]
    fn findings_and_their_text_come_to_the_same_lines() {
        let subject = Subject { resource: "hpa".into(), namespace: "shop".to_owned(), name: "web".to_owned() };
        let finding = |action| Finding::new("hpa-deleted", action, subject.clone(), "it goes".to_owned());
        let mut refused = finding(Action::Reject)
            .by_hand("Look", Help::text("look twice"))
            .help("Keep it", subject.kubectl("get", &[]))
            .help("Declare it", Help::field("spec.replicas"));
        refused.notes.push("A note".to_owned());
        refused.acknowledgement = Some(subject.kubectl("annotate", &[]).into());
        let mut noted = finding(Action::Warn);
        noted.notes.extend(["Another note".to_owned(), "A note".to_owned()]);
        let mut verdict = Verdict::unusable("cannot be used");
        verdict.findings.extend([refused, noted]);
        verdict.hints.push("Annotation x".to_owned());
        let response = AdmissionResponse {
            status: Some(Status { message: verdict.message(), code: Some(403) }),
            warnings: Some(verdict.warnings()),
            ..AdmissionResponse::default()
        };
        let (typed, text) = (Message::of_verdict(&verdict), Message::of_text(&response));
        assert_eq!(typed.refusal, text.refusal);
        assert_eq!(typed.refusal.len(), 8);
        assert!(typed.warnings.contains(&Part::Finding { rule: "hpa-deleted", text: "Another note" }));
    }
}
