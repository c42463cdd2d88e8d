//! Findings and verdicts in words, for hosts whose answer is text: the message of a refusal, warnings, audit
//! annotations.
//!
//! What a verdict holds is fit to be shown: the engine has every finding [cleaned](Finding::clean).

use crate::finding::{Action, Finding};
use crate::verdict::Verdict;

/// The API server keeps this many characters of a warning.
pub const LONGEST_WARNING: usize = 256;

impl Finding {
    /// What would happen, or what a repair did about it.
    pub fn sentence(&self) -> &str {
        let is_repair = matches!(self.action, Action::Repair(_)) && !self.repaired.is_empty();
        if is_repair { &self.repaired } else { &self.what }
    }

    /// What its acknowledgement achieves, as [`Advice`](crate::finding::Advice) says it.
    pub fn acknowledges(&self) -> String {
        format!("Or acknowledge {}", self.at_stake)
    }

    /// The first line: rule id and sentence.
    pub fn headline(&self) -> String {
        self.line(self.sentence())
    }

    fn line(&self, text: &str) -> String {
        format!("autoscaler-guard[{}]: {text}", self.rule)
    }

    /// The headline, the notes and what has to be done by hand as warnings: one line each, no longer than the API
    /// server keeps. A command is whole or left out.
    pub fn warnings(&self) -> impl Iterator<Item = String> {
        let notes = self.notes.iter().map(|note| shorten(&self.line(note)));
        let whole = self.by_hand.iter().map(|way| self.line(&way.to_string()));
        let whole = whole.filter(|text| text.chars().count() <= LONGEST_WARNING);
        std::iter::once(shorten(&self.headline())).chain(notes).chain(whole)
    }

    /// The whole text of a rejection.
    pub fn message(&self) -> String {
        let help = self.by_hand.iter().chain(&self.help).map(ToString::to_string);
        let acknowledge = self.acknowledgement.iter().map(|help| format!("{}: {help}", self.acknowledges()));
        let lines = std::iter::once(self.headline()).chain(self.notes.iter().cloned()).chain(help).chain(acknowledge);
        lines.collect::<Vec<_>>().join("\n")
    }
}

impl Verdict {
    /// All that is wrong with a refused change, each with its ways forward.
    pub fn message(&self) -> Option<String> {
        if self.is_accepted() {
            return None;
        }
        let lines = self.problem.iter().cloned().chain(self.rejections().map(Finding::message));
        Some(lines.chain(self.hints.iter().cloned()).collect::<Vec<_>>().join("\n"))
    }

    /// One sentence each, at most [`LONGEST_WARNING`] characters.
    pub fn warnings(&self) -> Vec<String> {
        let problem = self.problem.iter().map(|problem| shorten(problem));
        problem.chain(self.findings.iter().flat_map(Finding::warnings)).collect()
    }

    /// For the audit log: `rule`, `action`, `workload`, `autoscaler`, and which overrides let something pass.
    pub fn audit_annotations(&self) -> Vec<(&'static str, String)> {
        let mut audit = Vec::new();
        let mut add = |key, values: &mut dyn Iterator<Item = String>| {
            let value = values.collect::<Vec<_>>().join(",");
            if !value.is_empty() {
                audit.push((key, value));
            }
        };
        add("allowed", &mut self.overridden.iter().map(|passed| passed.rule.to_owned()));
        add("allowed-by", &mut self.overridden.iter().map(|passed| passed.by.to_owned()));
        if let Some(strongest) = self.findings.first() {
            add("action", &mut std::iter::once(strongest.action.name().to_owned()));
            add("autoscaler", &mut std::iter::once(strongest.autoscaler.clone()));
            add("rule", &mut self.rules().map(str::to_owned));
            add("workload", &mut strongest.workloads.iter().map(ToString::to_string));
        }
        audit
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
}
