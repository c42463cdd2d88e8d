//! Judgements for people: a headline each, then the message, what helps, and the patch.

use std::collections::BTreeMap;

use autoscaler_guard::plain::plain;
use autoscaler_guard_host::Verdict;

use super::diff::diff;
use super::judgement::Judgement;
use super::lookups::Words;
use super::message::{self, Part};
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
        let mut lines = Vec::new();
        lines.extend(self.not_judged(judgement));
        lines.extend(self.acknowledgement(judgement));
        lines.extend(judgement.message().into_iter().flat_map(|message| self.message(message)));
        lines.extend(self.warnings(judgement));
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

    fn acknowledgement(&self, judgement: &Judgement) -> Option<String> {
        let (rule, by) = (judgement.response.audit("allowed")?, judgement.response.audit("allowed-by")?);
        Some(self.paragraph(&format!("{} was let through by {by}", paint(STRONG, rule))))
    }

    fn message(&self, message: &str) -> Vec<String> {
        let mut lines = Vec::new();
        for part in message.lines().map(Part::of) {
            match part {
                Part::Finding { rule, text } => lines.push(self.finding(rule, text)),
                Part::Text(text) => lines.push(self.paragraph(text)),
                Part::Way { purpose, command } => lines.extend(self.way(purpose, command)),
            }
        }
        lines
    }

    fn finding(&self, rule: &str, text: &str) -> String {
        self.paragraph(&format!("{} {text}", paint(STRONG, format!("{rule}:"))))
    }

    /// Commands are not wrapped, so that they can be pasted.
    fn way(&self, purpose: &str, command: &str) -> [String; 2] {
        [self.paragraph(&paint(HELP, format!("{purpose}:"))), format!("    {}", paint(COMMAND, command))]
    }

    /// A rejection's warning is its message's first line, which needs no saying twice.
    fn warnings(&self, judgement: &Judgement) -> Vec<String> {
        let message = judgement.message().unwrap_or_default();
        let is_new = |warning: &&String| self.verbose || !message::repeats(warning, message);
        let label = if judgement.message().is_some() { paint(WARNING, "warning ") } else { String::new() };
        let word = |warning: &String| match Part::of(warning) {
            Part::Finding { rule, text } => {
                self.paragraph(&format!("{label}{} {text}", paint(STRONG, format!("{rule}:"))))
            }
            _ => self.paragraph(&format!("{label}{warning}")),
        };
        judgement.response.warnings().iter().filter(is_new).map(word).collect()
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
pub fn verdict(verdict: Verdict) -> String {
    match verdict {
        Verdict::Allowed => paint(GOOD, "✓ allowed"),
        Verdict::Warned => paint(WARNING, "! allowed with a warning"),
        Verdict::Repaired => paint(REPAIR, "~ repaired"),
        Verdict::Rejected => paint(BAD, "✗ rejected"),
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
        (Verdict::Rejected, "rejected", BAD),
        (Verdict::Repaired, "repaired", REPAIR),
        (Verdict::Warned, "allowed with a warning", WARNING),
        (Verdict::Allowed, "allowed", GOOD),
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
