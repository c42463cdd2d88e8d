//! The problems: one file each, which opens with its page (headings `Meaning`, `How it comes about`, `What is looked
//! at`, `What to do`).
//!
//! They are asked in the order of [`STEPS`], from the most specific to the most general, so that one object and cause
//! gets one finding.

use crate::finding::Found;
use crate::view::View;

mod at_zero;
mod dangling;
mod disabled;
mod duplicate;
mod fighting;
mod frozen;
mod lost;
mod orphaned;
mod stale_owner;
mod unfinished;

/// A problem.
#[derive(Clone, Copy, Debug)]
pub struct Problem {
    /// Its name.
    pub id: &'static str,
    /// What is wrong, in a few words.
    pub title: &'static str,
    /// Its file, which opens with its page.
    pub source: &'static str,
}

macro_rules! problems {
    ($($file:ident: $id:literal, $title:literal;)+) => {
        /// All problems, in the order in which findings are listed.
        pub static PROBLEMS: &[Problem] = &[
            $(Problem { id: $id, title: $title, source: include_str!(concat!(stringify!($file), ".rs")) },)+
        ];
    };
}

problems! {
    lost: "lost", "Nothing scales the workload, though something should";
    orphaned: "orphaned", "Nothing declares the HPA";
    duplicate: "duplicate", "Several autoscalers stop one another";
    dangling: "dangling", "The autoscaler aims at nothing";
    unfinished: "unfinished", "A handover stopped half way";
    stale_owner: "stale-owner", "The owner is gone";
    disabled: "disabled", "The autoscaler cannot scale";
    fighting: "fighting", "A declared count fights the autoscaler";
    frozen: "frozen", "Nothing scales the count, and nobody declares it";
    at_zero: "at-zero", "At 0, and nothing starts it";
}

/// One look at a cluster.
type Step = fn(&View<'_>, &mut Found);

/// In which order problems are asked.
pub static STEPS: &[Step] = &[
    unfinished::check,
    stale_owner::check,
    frozen::fleets,
    orphaned::check,
    dangling::check,
    duplicate::check,
    lost::check,
    frozen::counts,
    at_zero::check,
    fighting::check,
    disabled::check,
];

/// A problem's place in the list.
pub fn rank(id: &str) -> usize {
    PROBLEMS.iter().position(|problem| problem.id == id).unwrap_or(PROBLEMS.len())
}

impl Problem {
    /// Its page: the comment that opens its file.
    pub fn page(&self) -> String {
        let lines = self.source.lines().map_while(|line| line.strip_prefix("//!"));
        let text: Vec<&str> = lines.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
        format!("# {}\n\n{}\n", self.id, text.join("\n").trim())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_opens_with_its_page() {
        for problem in PROBLEMS {
            let page = problem.page();
            for heading in ["Meaning", "How it comes about", "What is looked at", "What to do"] {
                assert!(page.contains(&format!("\n## {heading}\n")), "{} lacks {heading}", problem.id);
            }
        }
    }
}
