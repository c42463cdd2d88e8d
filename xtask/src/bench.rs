//! `cargo xtask bench`: how long a verdict takes, and how that compares.
//!
//! Whatever the machine, a call of any policy takes a while that is the host's own: that of a policy which answers
//! without reading is the floor. Above it, the guard is set beside the smallest policy that Kubewarden's SDK allows, on
//! the same request, in the same host, at about the same time.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::build::{self, Recipe};
use crate::process;
use crate::table::render;
use crate::workspace::Workspace;

/// Whether the bars only inform.
#[derive(clap::Args)]
pub struct Options {
    /// Fail if a request takes longer than its bar allows
    #[arg(long)]
    check: bool,
    /// Only print what the last run measured
    #[arg(long)]
    report: bool,
}

/// A request, by the name that the harness gives it, and the most that the guard may take of the smallest policy's
/// time.
const REQUESTS: [(&str, Option<f64>); 6] = [
    ("controller-update", Some(0.4)),
    ("unrelated-edit", Some(0.4)),
    ("unrelated-edit-10-kb", Some(0.4)),
    ("unrelated-edit-100-kb", Some(0.4)),
    ("handover", Some(1.0)),
    ("delete", None),
];

/// Builds the modules, measures and prints.
pub fn run(options: &Options) -> Result<()> {
    let workspace = Workspace::own()?;
    let bench = workspace.bench()?;
    let results = bench.target.join("criterion");
    if !options.report {
        build_modules(&workspace, &bench)?;
        measure(&bench, &results)?;
    }
    let measurements =
        REQUESTS.iter().map(|(request, bar)| Measurement::read(&results, request, *bar)).collect::<Result<Vec<_>>>()?;
    print!("\n{}", report(&measurements));
    let over: Vec<&str> = measurements.iter().filter(|one| !one.within_bar()).map(|one| one.request).collect();
    if options.check && !over.is_empty() {
        bail!("over the bar: {}", over.join(", "));
    }
    Ok(())
}

fn modules(bench: &Workspace) -> PathBuf {
    bench.target.join("modules")
}

fn build_modules(workspace: &Workspace, bench: &Workspace) -> Result<()> {
    let folder = modules(bench);
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    // Not annotated: what a host makes of the metadata is not the module's time.
    let policies =
        [("guard", workspace, build::POLICY), ("smallest", bench, "smallest"), ("instant", bench, "instant")];
    for (name, workspace, package) in policies {
        let module = Recipe::shipped(workspace, package).build()?;
        build::write_if_changed(&folder.join(name).with_extension("wasm"), &module)?;
    }
    Ok(())
}

fn measure(bench: &Workspace, results: &Path) -> Result<()> {
    // Rounds of an earlier harness would be taken for this one's.
    if results.exists() {
        fs::remove_dir_all(results).with_context(|| format!("cannot remove {}", results.display()))?;
    }
    let mut command = bench.cargo();
    command.args(["bench", "--locked", "--package", "harness"]);
    process::run(command.env("BENCH_MODULES", modules(bench)).env("CRITERION_HOME", results))
}

/// What was measured of one request, in microseconds.
struct Measurement {
    request: &'static str,
    bar: Option<f64>,
    core: f64,
    /// The round with the middle ratio.
    round: Round,
}

/// The three policies, measured one after the other.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Round {
    floor: f64,
    smallest: f64,
    guard: f64,
}

impl Round {
    fn read(request: &Path, number: &str) -> Result<Self> {
        let median = |policy| median(&request.join(policy).join(number));
        Ok(Self { floor: median("instant")?, smallest: median("smallest")?, guard: median("guard")? })
    }

    /// The guard's own time as a multiple of the smallest policy's.
    fn ratio(&self) -> f64 {
        (self.guard - self.floor) / (self.smallest - self.floor)
    }
}

impl Measurement {
    fn read(results: &Path, request: &'static str, bar: Option<f64>) -> Result<Self> {
        let folder = results.join(request);
        let core = median(&folder.join("core"))?;
        let rounds = round_numbers(&folder.join("guard"))?;
        let rounds = rounds.iter().map(|number| Round::read(&folder, number)).collect::<Result<Vec<_>>>()?;
        let round = middle(rounds).with_context(|| format!("{request} was not measured"))?;
        Ok(Self { request, bar, core, round })
    }

    fn within_bar(&self) -> bool {
        self.bar.is_none_or(|bar| self.round.ratio() <= bar)
    }

    fn row(&self) -> Vec<String> {
        let microseconds = |value: f64| format!("{value:.1}");
        let Round { floor, smallest, guard } = self.round;
        let mut row = vec![self.request.to_owned()];
        row.extend([self.core, floor, smallest, guard].map(microseconds));
        row.push(format!("{:.2}", self.round.ratio()));
        row.push(self.bar.map_or_else(String::new, |bar| format!("{bar:.1}")));
        row.push(if self.within_bar() { String::new() } else { "over".to_owned() });
        row
    }
}

/// A machine that has other things to do disturbs single rounds; the one with the middle ratio stands for all.
fn middle(mut rounds: Vec<Round>) -> Option<Round> {
    rounds.sort_by(|one, other| one.ratio().total_cmp(&other.ratio()));
    rounds.get(rounds.len() / 2).copied()
}

fn round_numbers(folder: &Path) -> Result<Vec<String>> {
    let entries = folder.read_dir().with_context(|| not_measured(folder))?;
    let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    // Beside the rounds lies a report on all of them.
    Ok(names.filter(|name| name.parse::<usize>().is_ok()).collect())
}

/// The median that criterion estimated, in microseconds.
fn median(folder: &Path) -> Result<f64> {
    #[derive(Deserialize)]
    struct Estimates {
        median: Estimate,
    }
    #[derive(Deserialize)]
    struct Estimate {
        point_estimate: f64,
    }
    let file = folder.join("new/estimates.json");
    let json = fs::read_to_string(&file).with_context(|| not_measured(&file))?;
    let estimates: Estimates =
        serde_json::from_str(&json).with_context(|| format!("{} is not criterion's", file.display()))?;
    Ok(estimates.median.point_estimate / 1000.0)
}

fn not_measured(path: &Path) -> String {
    format!("there is no measurement in {}: run `make bench`", path.display())
}

fn report(measurements: &[Measurement]) -> String {
    let headings = ["µs, median", "core", "floor", "smallest", "guard", "ratio", "bar", ""];
    let mut rows = vec![headings.map(str::to_owned).to_vec()];
    rows.extend(measurements.iter().map(Measurement::row));
    format!(
        "{}\n\
         core      the core by itself, compiled natively, lookups answered from memory\n\
         floor     a call of a policy that answers without reading: the host's own time\n\
         smallest  a call of the smallest policy that Kubewarden's SDK allows, without lookups\n\
         guard     a call of the guard, with its lookups, answered from memory\n\
         ratio     (guard - floor) / (smallest - floor), the middle one of all rounds\n",
        render(&rows)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(floor: f64, smallest: f64, guard: f64) -> Round {
        Round { floor, smallest, guard }
    }

    #[test]
    fn the_ratio_is_taken_above_the_floor() {
        assert!((round(60.0, 100.0, 70.0).ratio() - 0.25).abs() < 1e-9);
    }

    #[test]
    fn a_disturbed_round_does_not_count() {
        let (quick, usual, disturbed) = (round(6.0, 10.0, 6.5), round(6.0, 10.0, 7.0), round(6.0, 10.0, 60.0));
        assert_eq!(middle(vec![disturbed, quick, usual]), Some(usual));
        assert_eq!(middle(Vec::new()), None);
    }

    #[test]
    fn a_bar_is_held_up_to_and_including_it() {
        let measured = |guard, bar| Measurement { request: "x", bar, core: 1.0, round: round(0.0, 10.0, guard) };
        assert!(measured(4.0, Some(0.4)).within_bar() && measured(90.0, None).within_bar());
        assert!(!measured(4.1, Some(0.4)).within_bar());
    }
}
