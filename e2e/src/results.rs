//! What came out of a run: printed, kept in a file, and shown as the table in `e2e/README.md`.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::scenarios::SCENARIOS;
use crate::world::{KINDS, Kind};

/// What a scenario came to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// The scenario.
    pub id: String,
    /// What it shows.
    pub shows: String,
    /// Without the policy.
    pub without: Option<Run>,
    /// With it.
    pub with: Option<Run>,
}

/// What one run of a scenario came to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Run {
    /// What was seen at the end, or what went wrong.
    pub seen: String,
    /// Whether that is what has to be seen.
    pub passed: bool,
    /// How long it took; printed only, so that the file of a run is that of the next.
    #[serde(skip)]
    pub seconds: u64,
}

impl Outcome {
    /// Whether all that ran did pass.
    pub fn passed(&self) -> bool {
        [&self.without, &self.with].into_iter().flatten().all(|run| run.passed)
    }
}

/// The id of the outcome that says whether a world's controllers ran free.
pub fn controllers(kind: Kind) -> String {
    format!("controllers-run-free-{}", kind.name())
}

/// What is known after a run: what was played both ways and passed takes the place of what was known before. In the
/// order of worlds and scenarios; what there is no scenario for any more goes.
#[expect(clippy::needless_pass_by_value, reason = "what was known is gone afterwards")]
pub fn merged(known: Vec<Outcome>, played: &[Outcome]) -> Vec<Outcome> {
    let is_news = |outcome: &&Outcome| outcome.passed() && outcome.with.is_some();
    let is_whole = |outcome: &&Outcome| outcome.without.is_some() || outcome.id.starts_with("controllers-run-free-");
    let news: Vec<&Outcome> = played.iter().filter(is_news).filter(is_whole).collect();
    let ids = KINDS.iter().flat_map(|kind| {
        let here = SCENARIOS.iter().copied().flatten().filter(|scenario| scenario.world == *kind);
        here.map(|scenario| scenario.id.to_owned()).chain([controllers(*kind)])
    });
    ids.filter_map(|id| {
        let of = |outcome: &&Outcome| outcome.id == id;
        news.iter().copied().find(of).or_else(|| known.iter().find(of)).cloned()
    })
    .collect()
}

/// The table in `e2e/README.md`.
pub fn table(outcomes: &[Outcome]) -> String {
    let mut table = "| scenario | without the policy | with it |\n|---|---|---|\n".to_owned();
    for outcome in outcomes {
        let cell = |run: &Option<Run>| match run {
            Some(run) if run.passed => run.seen.clone(),
            Some(_) => "**failed**".to_owned(),
            None => String::new(),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(
            table,
            "| {}: {} | {} | {} |",
            outcome.id,
            outcome.shows,
            cell(&outcome.without),
            cell(&outcome.with)
        );
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(id: &str, seen: &str, passed: bool) -> Outcome {
        let run = Some(Run { seen: seen.into(), passed, seconds: 1 });
        Outcome { id: id.into(), shows: "x".into(), without: run.clone(), with: run }
    }

    #[test]
    fn only_what_passed_is_news_and_what_is_no_scenario_any_more_goes() {
        let known = vec![outcome("hpa-deleted", "old", true), outcome("scaledobject-deleted", "old", true)];
        let known = [known, vec![outcome("no-such-scenario", "old", true)]].concat();
        let half = Outcome { without: None, ..outcome("scaledobject-deleted", "new", true) };
        let played = [outcome("hpa-deleted", "new", true), half, outcome("crd-deleted", "new", false)];
        let merged = merged(known, &played);
        let seen: Vec<(&str, &str)> = merged
            .iter()
            .map(|outcome| (outcome.id.as_str(), outcome.with.as_ref().map_or("", |run| &run.seen)))
            .collect();
        assert_eq!(seen, [("hpa-deleted", "new"), ("scaledobject-deleted", "old")]);
    }

    #[test]
    fn a_failed_run_is_no_row_of_success() {
        let run = |passed| Some(Run { seen: "no autoscaler".into(), passed, seconds: 1 });
        let outcome = Outcome { id: "x".into(), shows: "y".into(), without: run(true), with: run(false) };
        assert!(!outcome.passed());
        assert!(table(&[outcome]).contains("| x: y | no autoscaler | **failed** |"));
    }
}
