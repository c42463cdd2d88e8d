//! `cargo xtask stages`: what has to pass before a change is done, stage by stage, and in the end a table of what each
//! took.
//!
//! A stage is a target of make. Stages that need the same thing stand in one lane and run one after the other: cargo in
//! one target folder, Go, the live worlds, whose ports are fixed. Lanes run side by side, unless the machine has too
//! little memory. After a failure no stage starts any more.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use serde::Serialize;

use crate::table;
use crate::workspace::Workspace;

/// Which stages to run, and where to keep what they took.
#[derive(clap::Args)]
pub struct Options {
    /// Leave out the live worlds and their components
    #[arg(long)]
    without_live: bool,
    /// The file to write the stages and their seconds to
    #[arg(long)]
    json: Option<PathBuf>,
}

/// What stages wait for one another about.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Lane {
    /// Cargo locks the target folder, so side by side its commands would only wait.
    Cargo,
    /// The components of the live worlds.
    Go,
    /// The live worlds.
    Live,
}

impl Lane {
    const ALL: [Self; 3] = [Self::Cargo, Self::Go, Self::Live];

    /// How far a lane steps back: the world's components have to answer in time, whatever is compiled beside them.
    fn niceness(self) -> &'static str {
        match self {
            Self::Live => "0",
            Self::Go => "10",
            Self::Cargo => "19",
        }
    }
}

/// A stage.
struct Stage {
    name: &'static str,
    lane: Lane,
    /// The stages of other lanes that it needs.
    after: &'static [&'static str],
    /// The target of make, and variables.
    make: &'static [&'static str],
}

const fn stage(name: &'static str, lane: Lane, make: &'static [&'static str]) -> Stage {
    Stage { name, lane, after: &[], make }
}

impl Stage {
    const fn after(mut self, stages: &'static [&'static str]) -> Self {
        self.after = stages;
        self
    }
}

/// All of them, in the order of their lanes. What others wait for comes first.
static STAGES: &[Stage] = &[
    stage("fmt", Lane::Cargo, &["fmt"]),
    stage("module", Lane::Cargo, &["annotated-policy.wasm"]),
    stage("compile", Lane::Cargo, &["compile"]),
    stage("tests", Lane::Cargo, &["tests"]),
    stage("lint", Lane::Cargo, &["lint"]),
    stage("doc", Lane::Cargo, &["doc"]),
    stage("size", Lane::Cargo, &["size-check"]),
    stage("reproducible", Lane::Cargo, &["reproducible"]),
    stage("kwctl", Lane::Cargo, &["e2e-kwctl"]),
    stage("fuzz", Lane::Cargo, &["fuzz-smoke"]),
    stage("npm", Lane::Cargo, &["npm-test"]),
    stage("playground", Lane::Cargo, &["playground-test"]),
    stage("keda: build", Lane::Go, &["e2e-components", "WORLD=keda"]).after(&["compile"]),
    stage("envoy: build", Lane::Go, &["e2e-components", "WORLD=envoy-gateway-1.9.1"]),
    stage("keda: play", Lane::Live, &["e2e-play", "WORLD=keda"]).after(&["keda: build"]),
    // With what KEDA's world is made of.
    stage("envoy: play", Lane::Live, &["e2e-play", "WORLD=envoy-gateway-1.9.1"]).after(&["envoy: build"]),
    stage("native: play", Lane::Live, &["e2e-play", "WORLD=native"]).after(&["keda: build"]),
];

/// The least memory, in GB, in which a world, a build by Go and one by cargo fit side by side.
const ROOMY: u64 = 8;

/// How a stage came out.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Outcome {
    Passed,
    /// It passed, but said of some of its checks that they were skipped.
    PartlySkipped,
    Failed,
    /// Something had failed before.
    NotRun,
}

impl Outcome {
    fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::PartlySkipped => "skipped, see below",
            Self::Failed => "FAILED",
            Self::NotRun => "not run",
        }
    }
}

/// What became of a stage.
#[derive(Clone, Debug, Serialize)]
struct Record {
    stage: &'static str,
    outcome: Outcome,
    seconds: f64,
    /// What the stage said to have skipped.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    skipped: Vec<String>,
    #[serde(skip)]
    counts: Counts,
    /// Of what it said, if it failed: the lines that name a failure, and the last.
    #[serde(skip)]
    failures: Vec<String>,
}

/// How many tests and scenarios came out how.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Counts {
    passed: usize,
    failed: usize,
}

impl Counts {
    /// Reads a closing line: `1234 passed, 0 failed`, of tests or of scenarios.
    fn of(line: &str) -> Option<Self> {
        let (passed, failed) = line.trim().split_once(" passed, ")?;
        let passed = passed.strip_suffix(" scenarios").unwrap_or(passed).parse().ok()?;
        Some(Self { passed, failed: failed.strip_suffix(" failed")?.parse().ok()? })
    }
}

/// What the lanes share.
#[derive(Default)]
struct Progress {
    records: BTreeMap<&'static str, Record>,
    failed: bool,
}

/// Runs the stages; fails if one does.
pub fn run(options: &Options) -> Result<()> {
    let chosen = |stage: &&Stage| !options.without_live || stage.lane == Lane::Cargo;
    let stages: Vec<&Stage> = STAGES.iter().filter(chosen).collect();
    let workspace = Workspace::own()?;
    let lanes: Vec<Vec<&Stage>> = if available_memory().is_none_or(|gigabytes| gigabytes >= ROOMY) {
        Lane::ALL.map(|lane| stages.iter().copied().filter(|stage| stage.lane == lane).collect()).to_vec()
    } else {
        println!("There are less than {ROOMY} GB of memory, so all stages run one after the other.");
        vec![one_after_the_other(&stages)]
    };
    let started = Instant::now();
    let shared = (Mutex::new(Progress::default()), Condvar::new());
    thread::scope(|scope| {
        for lane in &lanes {
            let (shared, workspace) = (&shared, &workspace);
            scope.spawn(move || run_lane(lane, shared, workspace));
        }
    });
    let progress = shared.0.into_inner().unwrap_or_else(PoisonError::into_inner);
    let records: Vec<&Record> = stages.iter().filter_map(|stage| progress.records.get(stage.name)).collect();
    let took = started.elapsed().as_secs_f64();
    let json = options.json.clone().unwrap_or_else(|| workspace.target.join("stages.json"));
    write_json(&json, &records, took)?;
    print!("\n{}", closing(&records, took));
    if progress.failed {
        // Whoever sees only the end of a long log has to see why, too.
        for record in records.iter().filter(|record| record.outcome == Outcome::Failed) {
            record.failures.iter().for_each(|line| println!("{:<12} | {line}", record.stage));
        }
        let failed: Vec<&str> = with(&records, Outcome::Failed).collect();
        bail!("failed: {}", failed.join(", "));
    }
    Ok(())
}

/// In an order in which nothing has to wait for something behind it.
fn one_after_the_other<'a>(stages: &[&'a Stage]) -> Vec<&'a Stage> {
    let (mut rest, mut ordered) = (stages.to_vec(), Vec::<&Stage>::new());
    while !rest.is_empty() {
        let is_ready = |stage: &&Stage| stage.after.iter().all(|name| ordered.iter().any(|done| done.name == *name));
        let next = rest.iter().position(is_ready).unwrap_or_default();
        ordered.push(rest.remove(next));
    }
    ordered
}

fn run_lane(lane: &[&Stage], (progress, changed): &(Mutex<Progress>, Condvar), workspace: &Workspace) {
    for stage in lane {
        let may_start = {
            let mut seen = lock(progress);
            while !seen.failed && stage.after.iter().any(|needed| !seen.records.contains_key(needed)) {
                seen = changed.wait(seen).unwrap_or_else(PoisonError::into_inner);
            }
            !seen.failed
        };
        let record = if may_start { run_stage(stage, workspace) } else { not_run(stage) };
        let mut seen = lock(progress);
        seen.failed |= record.outcome == Outcome::Failed;
        seen.records.insert(stage.name, record);
        changed.notify_all();
    }
}

fn lock(progress: &Mutex<Progress>) -> MutexGuard<'_, Progress> {
    progress.lock().unwrap_or_else(PoisonError::into_inner)
}

fn not_run(stage: &Stage) -> Record {
    let heard = Heard::default();
    Record {
        stage: stage.name,
        outcome: Outcome::NotRun,
        seconds: 0.0,
        skipped: heard.skipped,
        counts: heard.counts,
        failures: Vec::new(),
    }
}

/// Runs a stage and passes on what it says, line by line and under its name.
fn run_stage(stage: &Stage, workspace: &Workspace) -> Record {
    say(stage, &format!("begins: make {}", stage.make.join(" ")));
    let started = Instant::now();
    let heard = spoken(stage, workspace);
    let seconds = started.elapsed().as_secs_f64();
    let (passed, Heard { skipped, counts, failures, last }) = heard.unwrap_or_else(|error| {
        let line = format!("cannot run: {error:#}");
        say(stage, &line);
        (false, Heard { failures: vec![line], ..Heard::default() })
    });
    let failures = if passed { Vec::new() } else { failures.into_iter().chain(last).collect() };
    let outcome = match (passed, skipped.is_empty()) {
        (false, _) => Outcome::Failed,
        (true, false) => Outcome::PartlySkipped,
        (true, true) => Outcome::Passed,
    };
    say(stage, &format!("{} after {seconds:.0} s", if passed { "ends" } else { "FAILED" }));
    Record { stage: stage.name, outcome, seconds, skipped, counts, failures }
}

/// How many lines that name a failure are kept, and how many of the last.
const KEPT: (usize, usize) = (20, 15);

/// What is kept of what a stage said.
#[derive(Debug, Default)]
struct Heard {
    /// What it said to have skipped.
    skipped: Vec<String>,
    /// The last that it said.
    counts: Counts,
    /// The first lines that name a failure.
    failures: Vec<String>,
    /// The last lines.
    last: VecDeque<String>,
}

/// Whether it passed, and what it said.
fn spoken(stage: &Stage, workspace: &Workspace) -> Result<(bool, Heard)> {
    let (output, writer) = std::io::pipe()?;
    let mut command = Command::new("nice");
    command.args(["-n", stage.lane.niceness(), "make", "--no-print-directory", "STAGED=1"]).args(stage.make);
    // What make says that calls this concerns its own targets only.
    command.env_remove("MAKEFLAGS").env_remove("MAKELEVEL").env_remove("MFLAGS");
    command.current_dir(&workspace.root).stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    let mut process = command.spawn().context("make does not start")?;
    // It holds the pipe's other end, which would never close.
    drop(command);
    let heard = listen(stage, output);
    Ok((process.wait()?.success(), heard))
}

fn listen(stage: &Stage, output: impl Read) -> Heard {
    let mut heard = Heard::default();
    // Whatever is no text is passed on as far as it is.
    for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line);
        let line = line.trim_end();
        if line.starts_with("SKIPPED") {
            heard.skipped.push(line.to_owned());
        }
        if names_a_failure(line) && heard.failures.len() < KEPT.0 {
            heard.failures.push(line.to_owned());
        } else {
            heard.last.push_back(line.to_owned());
            if heard.last.len() > KEPT.1 {
                heard.last.pop_front();
            }
        }
        heard.counts = Counts::of(line).unwrap_or(heard.counts);
        say(stage, line);
    }
    heard
}

/// As cargo, its tests and the live worlds write it.
fn names_a_failure(line: &str) -> bool {
    ["FAILED", "error", "panicked at"].iter().any(|word| line.contains(word))
}

fn say(stage: &Stage, line: &str) {
    // Whoever reads may have seen enough.
    let _ = writeln!(std::io::stdout(), "{:<12} | {line}", stage.name);
}

fn with<'a>(records: &'a [&Record], outcome: Outcome) -> impl Iterator<Item = &'static str> + 'a {
    records.iter().filter(move |record| record.outcome == outcome).map(|record| record.stage)
}

/// The table, what was skipped, and the count of all tests.
fn closing(records: &[&Record], took: f64) -> String {
    let row = |cells: [String; 3]| cells.to_vec();
    let mut rows = vec![row(["stage".into(), "seconds".into(), "outcome".into()])];
    rows.extend(
        records
            .iter()
            .map(|record| row([record.stage.into(), format!("{:.0}", record.seconds), record.outcome.word().into()])),
    );
    rows.push(row(["all, side by side".into(), format!("{took:.0}"), String::new()]));
    let skipped: Vec<String> =
        records.iter().flat_map(|record| record.skipped.iter().map(|line| format!("{line}\n"))).collect();
    let sum = |count: fn(&Counts) -> usize| records.iter().map(|record| count(&record.counts)).sum::<usize>();
    let (passed, failed) = (sum(|counts| counts.passed), sum(|counts| counts.failed));
    format!("{}\n{}{passed} passed, {failed} failed\n", table::render(&rows), skipped.concat())
}

/// What `target/stages.json` holds.
#[derive(Serialize)]
struct Report<'a> {
    seconds: f64,
    stages: &'a [&'a Record],
}

fn write_json(path: &std::path::Path, stages: &[&Record], seconds: f64) -> Result<()> {
    let text = serde_json::to_string_pretty(&Report { seconds, stages })? + "\n";
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// In GB; nobody knows outside of Linux.
fn available_memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kilobytes >> 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(stage: &'static str, outcome: Outcome, skipped: &[&str], counts: Counts) -> Record {
        let skipped = skipped.iter().map(|&line| line.to_owned()).collect();
        Record { stage, outcome, seconds: 2.4, skipped, counts, failures: Vec::new() }
    }

    #[test]
    fn stages_wait_for_stages_that_there_are_and_never_for_one_another() {
        let all: Vec<&Stage> = STAGES.iter().collect();
        let ordered = one_after_the_other(&all);
        for (index, stage) in ordered.iter().enumerate() {
            for needed in stage.after {
                assert!(ordered[..index].iter().any(|done| done.name == *needed), "{} waits for {needed}", stage.name);
            }
        }
        assert_eq!(ordered.len(), STAGES.len());
    }

    #[test]
    fn every_stage_is_a_target_of_make() {
        let makefile = include_str!("../../Makefile");
        for stage in STAGES {
            assert!(makefile.contains(&format!("\n{}:", stage.make[0])), "{} is no target", stage.make[0]);
        }
    }

    #[test]
    fn the_table_names_what_was_skipped_and_ends_with_the_count() {
        let counts = |passed, failed| Counts { passed, failed };
        let records = [
            record("tests", Outcome::Passed, &[], counts(12, 1)),
            record("keda: play", Outcome::PartlySkipped, &["SKIPPED: no Go"], counts(3, 0)),
            record("lint", Outcome::Failed, &[], counts(0, 0)),
        ];
        let expected = "\
stage              seconds             outcome
tests                    2              passed
keda: play               2  skipped, see below
lint                     2              FAILED
all, side by side        9

SKIPPED: no Go
15 passed, 1 failed
";
        assert_eq!(closing(&records.iter().collect::<Vec<_>>(), 9.0), expected);
    }

    #[test]
    fn only_closing_lines_are_counted() {
        assert_eq!(Counts::of("12 passed, 3 failed"), Some(Counts { passed: 12, failed: 3 }));
        assert_eq!(Counts::of("12 scenarios passed, 3 failed"), Some(Counts { passed: 12, failed: 3 }));
        for line in ["", "test result: ok. 5 passed; 0 failed", "x passed, 3 failed", "5 passed (2.1s)"] {
            assert_eq!(Counts::of(line), None, "{line}");
        }
    }

    #[test]
    fn what_a_stage_says_is_heard() {
        let said = "SKIPPED: this\nFAILED a-scenario\n4 passed, 0 failed\nlast";
        let heard = listen(&STAGES[0], said.as_bytes());
        assert_eq!((heard.skipped.as_slice(), heard.counts.passed), (["SKIPPED: this".to_owned()].as_slice(), 4));
        assert_eq!(heard.failures, ["FAILED a-scenario"]);
        assert_eq!(heard.last, ["SKIPPED: this", "4 passed, 0 failed", "last"]);
    }
}
