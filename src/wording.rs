//! Findings and verdicts in words, for hosts whose answer is text: the message of a refusal, warnings, audit annotations.
//!
//! Names and annotations come from whoever made the request, and the words end up on other people's terminals: here they are made
//! [`plain`], wherever they come from.

use crate::finding::{Action, Finding};
use crate::plain::{plain, plain_lines};
use crate::verdict::Verdict;

/// The API server keeps this many characters of a warning.
pub const LONGEST_WARNING: usize = 256;

impl Finding {
    /// The first line: rule id and what would happen, or what was done about it.
    pub fn headline(&self) -> String {
        let text = if matches!(self.action, Action::Repair(_)) && !self.repaired.is_empty() {
            &self.repaired
        } else {
            &self.what
        };
        format!("autoscaler-guard[{}]: {}", self.rule, plain(text))
    }

    /// The headline, the notes and what has to be done by hand as warnings: one line each, no longer than the API server keeps. A command
    /// is told whole or not at all.
    pub fn warnings(&self) -> impl Iterator<Item = String> {
        let notes = self.notes.iter().map(|note| shorten(&format!("autoscaler-guard[{}]: {}", self.rule, plain(note))));
        let whole =
            self.by_hand.iter().map(|way| format!("autoscaler-guard[{}]: {}", self.rule, plain(&way.to_string())));
        let whole = whole.filter(|text| text.chars().count() <= LONGEST_WARNING);
        std::iter::once(shorten(&self.headline())).chain(notes).chain(whole)
    }

    /// The whole text of a rejection.
    pub fn message(&self) -> String {
        let help = self.by_hand.iter().chain(&self.help).map(|advice| plain_lines(&advice.to_string()));
        let acknowledge = self.acknowledgement.iter();
        let acknowledge =
            acknowledge.map(|help| format!("Or acknowledge {}: {}", self.at_stake, plain(&help.to_string())));
        let lines = std::iter::once(self.headline())
            .chain(self.notes.iter().map(|note| plain(note)))
            .chain(help)
            .chain(acknowledge);
        lines.collect::<Vec<_>>().join("\n")
    }
}

impl Verdict {
    /// All that is wrong with a refused change, each with its ways forward.
    pub fn message(&self) -> Option<String> {
        if self.is_accepted() {
            return None;
        }
        let problem = self.problem.iter().map(|problem| plain_lines(problem));
        let lines = problem.chain(self.rejections().map(Finding::message));
        Some(lines.chain(self.hints.iter().map(|hint| plain(hint))).collect::<Vec<_>>().join("\n"))
    }

    /// One sentence each, at most [`LONGEST_WARNING`] characters.
    pub fn warnings(&self) -> Vec<String> {
        let problem = self.problem.iter().map(|problem| shorten(&plain_lines(problem)));
        problem.chain(self.findings.iter().flat_map(Finding::warnings)).collect()
    }

    /// For the audit log: `rule`, `action`, `workload`, `autoscaler`, and which overrides let something pass.
    pub fn audit_annotations(&self) -> Vec<(&'static str, String)> {
        let mut audit = Vec::new();
        let mut add = |key, values: &mut dyn Iterator<Item = String>| {
            let value = values.collect::<Vec<_>>().join(",");
            if !value.is_empty() {
                audit.push((key, plain(&value)));
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
