//! What came out of a run: told on the terminal, kept in a file, and shown as the README's table.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

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
    /// How long it took; told on the terminal only, so that the file of a run is that of the next.
    #[serde(skip)]
    pub seconds: u64,
}

impl Outcome {
    /// Whether all that ran did pass.
    pub fn passed(&self) -> bool {
        [&self.without, &self.with].into_iter().flatten().all(|run| run.passed)
    }
}

/// The README's table.
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

    #[test]
    fn a_failed_run_is_no_row_of_success() {
        let run = |passed| Some(Run { seen: "no autoscaler".into(), passed, seconds: 1 });
        let outcome = Outcome { id: "x".into(), shows: "y".into(), without: run(true), with: run(false) };
        assert!(!outcome.passed());
        assert!(table(&[outcome]).contains("| x: y | no autoscaler | **failed** |"));
    }
}
