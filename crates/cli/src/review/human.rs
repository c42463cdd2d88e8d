//! Judgements for people: a headline each, then the message, what helps, and the patch.

use std::collections::BTreeMap;

use autoscaler_guard::VerdictKind;
use autoscaler_guard::plain::plain;

use super::diff::diff;
use super::judgement::Judgement;
use super::lookups::Words;
use super::message::{Message, Part};
use super::neighbours::Neighbours;
use crate::paint::{self, BAD, COMMAND, FAINT, GOOD, HELP, REPAIR, STRONG, WARNING, paint};

/// How far everything below a headline is indented.
const INDENT: usize = 2;

/// How to write judgements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sheet {
    /// How wide.
    pub width: usize,
    /// Whether to show lookups and repetitions, too.
    pub verbose: bool,
    /// Whether to show audit annotations.
    pub audit: bool,
}

impl Sheet {
    /// As wide as the terminal, and brief.
    pub fn new() -> Self {
        Self { width: paint::width(), verbose: false, audit: true }
    }

    /// All judgements and, for several, a closing line.
    pub fn all(&self, judgements: &[Judgement], neighbours: &Neighbours) -> String {
        let mut text = paint(FAINT, paint::wrap(&neighbours.note, self.width, 0)) + "\n";
        let several = judgements.len() > 1;
        for judgement in judgements {
            let one = self.one(judgement, several);
            let is_short = one.lines().count() == 1 && text.lines().last().is_some_and(|line| line.contains("allowed"));
            text += if is_short { "" } else { "\n" };
            text += &one;
        }
        if several {
            text += &["\n", &summary(judgements), "\n"].concat();
        }
        text
    }

    /// One judgement; `named` says where its request comes from.
    pub fn one(&self, judgement: &Judgement, named: bool) -> String {
        let mut lines = vec![headline(judgement)];
        let details = self.details(judgement);
        if self.verbose || (named && !details.is_empty()) {
            lines.push(paint(FAINT, format!("  from {}", judgement.request.origin)));
        }
        lines.extend(details);
        lines.join("\n") + "\n"
    }

    fn details(&self, judgement: &Judgement) -> Vec<String> {
        let Message { refusal, warnings } = judgement.message();
        let mut lines = Vec::new();
        lines.extend(self.not_judged(judgement));
        lines.extend(self.acknowledgements(judgement));
        lines.extend(refusal.iter().flat_map(|part| self.part(part, "")));
        let label = if refusal.is_empty() { "" } else { &paint(WARNING, "warning ") };
        let every = || Message::every_warning(judgement.response.warnings());
        let warnings = if self.verbose { every() } else { warnings };
        lines.extend(warnings.iter().flat_map(|part| self.part(part, label)));
        lines.extend(self.assumed(judgement));
        lines.extend(self.patch(judgement));
        lines.extend(self.audit(judgement.response.audit_annotations.as_ref()));
        if self.verbose {
            lines.extend(lookups(judgement));
        }
        lines
    }

    fn not_judged(&self, judgement: &Judgement) -> Option<String> {
        let request = &judgement.request;
        let what = format!("no rule watches {} of {}", request.operation(), request.kind());
        (!judgement.judged).then(|| self.paragraph(&what))
    }

    fn assumed(&self, judgement: &Judgement) -> Option<String> {
        let line = format!("taken for absent: {}", judgement.assumed_absent.join(", "));
        (!judgement.assumed_absent.is_empty()).then(|| paint(FAINT, paint::hang(&line, self.width, INDENT, 2 * INDENT)))
    }

    fn acknowledgements(&self, judgement: &Judgement) -> Vec<String> {
        let passed = judgement.acknowledged();
        let line = |(rule, by)| self.paragraph(&format!("{} was let through by {by}", paint(STRONG, rule)));
        passed.into_iter().map(line).collect()
    }

    fn part(&self, part: &Part<'_>, label: &str) -> Vec<String> {
        match part {
            Part::Finding { rule, text } => {
                vec![self.paragraph(&format!("{label}{} {text}", paint(STRONG, format!("{rule}:"))))]
            }
            // Commands are not wrapped, so that they can be pasted.
            Part::Way { purpose, command } => vec![
                self.paragraph(&format!("{label}{}", paint(HELP, format!("{purpose}:")))),
                format!("    {}", paint(COMMAND, command)),
            ],
            Part::Text(text) => text.lines().map(|line| self.paragraph(&format!("{label}{line}"))).collect(),
        }
    }

    fn patch(&self, judgement: &Judgement) -> Vec<String> {
        let Some(repaired) = &judgement.repaired else { return Vec::new() };
        let lines = diff(judgement.request.object(), repaired, self.width - 2 * INDENT);
        let label = self.paragraph(&paint(REPAIR, "The patch:"));
        std::iter::once(label).chain(lines.into_iter().map(|line| format!("    {line}"))).collect()
    }

    fn audit(&self, annotations: Option<&BTreeMap<String, String>>) -> Option<String> {
        let pairs = annotations.filter(|_| self.audit)?.iter().map(|(key, value)| format!("{key}={value}"));
        let line = pairs.collect::<Vec<_>>().join(", ");
        Some(paint(FAINT, paint::hang(&format!("audit: {line}"), self.width, INDENT, 2 * INDENT)))
    }

    fn paragraph(&self, text: &str) -> String {
        paint::wrap(text, self.width, INDENT)
    }
}

impl Default for Sheet {
    fn default() -> Self {
        Self::new()
    }
}

fn headline(judgement: &Judgement) -> String {
    let request = &judgement.request;
    let word = if judgement.judged { verdict(judgement.verdict()) } else { paint(WARNING, NOT_JUDGED) };
    let (change, author) = (plain(&request.change()), plain(&request.author()));
    let line = format!("{word}  {} {author}", paint(STRONG, change));
    line.trim_end().to_owned()
}

/// In place of a verdict where no rule watches such a change.
const NOT_JUDGED: &str = "? not judged";

/// The verdict's word with a mark that is seen without colours, too.
pub fn verdict(verdict: VerdictKind) -> String {
    match verdict {
        VerdictKind::Allowed => paint(GOOD, "✓ allowed"),
        VerdictKind::Warned => paint(WARNING, "! allowed with a warning"),
        VerdictKind::Repaired => paint(REPAIR, "~ repaired"),
        VerdictKind::Rejected => paint(BAD, "✗ rejected"),
    }
}

fn lookups(judgement: &Judgement) -> Vec<String> {
    let word = |Words { lookup, outcome, failed }: Words| {
        let style = if failed { BAD } else { STRONG };
        format!("  {} {}: {}", paint(FAINT, "looked up:"), plain(&lookup), paint(style, plain(&outcome)))
    };
    if judgement.lookups.is_empty() {
        return vec![paint(FAINT, "  nothing was looked up")];
    }
    judgement.lookups.iter().map(Words::of).map(word).collect()
}

/// `7 requests: 2 rejected, 1 repaired, 4 allowed`
fn summary(judgements: &[Judgement]) -> String {
    let words = [
        (VerdictKind::Rejected, "rejected", BAD),
        (VerdictKind::Repaired, "repaired", REPAIR),
        (VerdictKind::Warned, "allowed with a warning", WARNING),
        (VerdictKind::Allowed, "allowed", GOOD),
    ];
    let counted = words.iter().filter_map(|(verdict, word, style)| {
        let is = |judgement: &&Judgement| judgement.judged && judgement.verdict() == *verdict;
        let count = judgements.iter().filter(is).count();
        (count > 0).then(|| paint(*style, format!("{count} {word}")))
    });
    let others = judgements.iter().filter(|judgement| !judgement.judged).count();
    let others = (others > 0).then(|| paint(WARNING, format!("{others} not judged")));
    format!("{}: {}", paint::count(judgements.len(), "request"), counted.chain(others).collect::<Vec<_>>().join(", "))
}
