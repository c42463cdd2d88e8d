//! Runs the live tests; `make e2e` calls it.

#![allow(clippy::restriction, reason = "it is a test, and tests may panic")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail, ensure};
use autoscaler_guard_e2e::process::Reaper;
use autoscaler_guard_e2e::results::{self, Outcome};
use autoscaler_guard_e2e::runner::{self, Options};
use autoscaler_guard_e2e::scenarios::{SCENARIOS, Scenario};
use autoscaler_guard_e2e::soak::{self, Soak};
use autoscaler_guard_e2e::stage::Policy;
use autoscaler_guard_e2e::tools::{COMPONENTS, Component, Tools};
use autoscaler_guard_e2e::webhook::Subject;
use autoscaler_guard_e2e::world::{KINDS, Kind};
use clap::{Parser, Subcommand, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};

/// Shows the hazards and the cures on a real control plane.
#[derive(Parser)]
#[command(name = "e2e")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Build the components that are missing
    Tools {
        /// Only print where they are, and which are missing
        #[arg(long)]
        list: bool,
        /// What these worlds need; those of `make test`, if none is named
        #[arg(long = "world", value_parser = Kind::named)]
        worlds: Vec<Kind>,
    },
    /// List the worlds and their scenarios
    List,
    /// Play scenarios
    Run(Run),
    /// Have deletes refused by the hundred, and see that none passes
    Soak {
        /// How long each phase takes
        #[arg(long, default_value_t = 20)]
        seconds: u64,
        /// How many requests a replica answers while its memory is looked at
        #[arg(long, default_value_t = 1_000_000)]
        requests: usize,
        /// The command line that serves the policy; by default the one beside this program
        #[arg(long)]
        program: Option<PathBuf>,
        /// Where the components work
        #[arg(long, default_value = "target/soak")]
        folder: PathBuf,
        /// Keep the figures in the tree
        #[arg(long)]
        keep: bool,
    },
    /// Print the table of a result file
    Table {
        /// The result file
        results: PathBuf,
    },
}

#[derive(clap::Args)]
struct Run {
    /// Ids of scenarios, or how they begin; all of the worlds, if none is given
    scenarios: Vec<String>,
    /// The worlds to play; those of `make test`, if neither a world nor a scenario is named
    #[arg(long = "world", value_parser = Kind::named)]
    worlds: Vec<Kind>,
    /// All worlds
    #[arg(long, conflicts_with = "worlds")]
    all: bool,
    /// Leave this world out
    #[arg(long, value_parser = Kind::named)]
    skip: Vec<Kind>,
    /// Start no world after this time, in seconds since 1970
    #[arg(long)]
    begin_before: Option<u64>,
    /// Start no world that may take longer than until then; one that still does has failed
    #[arg(long)]
    end_before: Option<u64>,
    /// The command line that serves the policy; by default the one beside this program
    #[arg(long)]
    program: Option<PathBuf>,
    /// The annotated module
    #[arg(long, default_value = "annotated-policy.wasm")]
    module: PathBuf,
    /// Whether to play without the policy, with it, or both
    #[arg(long, value_enum, default_value_t = Mode::Both)]
    policy: Mode,
    /// How many runs at once
    #[arg(long, default_value_t = 6)]
    jobs: usize,
    /// Where the components work, and where logs stay when something failed
    #[arg(long, default_value = "target/e2e")]
    folder: PathBuf,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Mode {
    Off,
    On,
    Both,
}

fn main() -> ExitCode {
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.into()),
    };
    match runtime.block_on(run(Arguments::parse().task)) {
        Ok(code) => code,
        Err(error) => failed(&error),
    }
}

fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {}", error.chain().map(ToString::to_string).collect::<Vec<_>>().join("\n  because: "));
    ExitCode::FAILURE
}

async fn run(task: Task) -> Result<ExitCode> {
    match task {
        Task::Tools { list: true, .. } => list_tools().map(|()| ExitCode::SUCCESS),
        Task::Tools { list: false, worlds } => {
            let worlds = if worlds.is_empty() { in_test() } else { worlds };
            let scenarios = SCENARIOS.iter().copied().flatten().filter(|scenario| worlds.contains(&scenario.world));
            build(&scenarios.collect::<Vec<_>>()).map(|_| ExitCode::SUCCESS)
        }
        Task::List => {
            list();
            Ok(ExitCode::SUCCESS)
        }
        Task::Table { results } => {
            print!("{}", results::table(&serde_json::from_slice::<Vec<Outcome>>(&std::fs::read(results)?)?));
            Ok(ExitCode::SUCCESS)
        }
        Task::Soak { seconds, requests, program, folder, keep } => {
            unless_ended(soak((seconds, requests), program, &folder, keep)).await
        }
        Task::Run(options) => Box::pin(unless_ended(play(options))).await,
    }
}

async fn unless_ended(playing: impl Future<Output = Result<ExitCode>>) -> Result<ExitCode> {
    // Whoever interrupts drops what runs, and dropping ends every component.
    let _reaper = Reaper::start()?;
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        outcome = playing => outcome,
        _ = tokio::signal::ctrl_c() => bail!("interrupted"),
        _ = terminated.recv() => bail!("terminated"),
    }
}

/// What the soak came to that is kept in the tree.
const SOAK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/soak.json");

async fn soak(
    (seconds, requests): (u64, usize),
    program: Option<PathBuf>,
    folder: &Path,
    keep: bool,
) -> Result<ExitCode> {
    let needed: Vec<&Component> =
        COMPONENTS.iter().filter(|component| soak::COMPONENTS.contains(&component.name)).collect();
    let Some(tools) = Tools::find()? else {
        println!("SKIPPED: the soak needs Go, to build etcd, Kubernetes and KEDA; get it from https://go.dev/dl");
        return Ok(ExitCode::SUCCESS);
    };
    tools.build(&needed)?;
    let program = std::path::absolute(match program {
        Some(program) => program,
        None => std::env::current_exe()?.with_file_name("autoscaler-guard"),
    })?;
    let folder = std::path::absolute(folder)?;
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder)?;
    let subject = Subject { program, module: PathBuf::new() };
    let played = soak::play(&tools, &subject, &folder, seconds, requests).await?;
    let before = std::fs::read(SOAK).ok().and_then(|kept| serde_json::from_slice::<Soak>(&kept).ok());
    print!("{}", played.beside(before.as_ref()));
    let complaints = played.complaints();
    for complaint in &complaints {
        println!("FAILED: {complaint}");
    }
    let text = serde_json::to_string_pretty(&played)? + "\n";
    std::fs::write(folder.join("soak.json"), &text)?;
    if !complaints.is_empty() {
        println!("Logs are in {}/logs", folder.display());
        return Ok(ExitCode::FAILURE);
    }
    if keep {
        std::fs::write(SOAK, text)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The worlds that `make test` plays.
fn in_test() -> Vec<Kind> {
    KINDS.iter().copied().filter(|kind| kind.is_in_test()).collect()
}

/// Builds what is missing of the components of those scenarios; `None` on a machine without Go.
fn build(scenarios: &[&Scenario]) -> Result<Option<Tools>> {
    let Some(tools) = Tools::find()? else {
        println!(
            "SKIPPED: the live tests need Go, to build etcd, Kubernetes, KEDA, Envoy Gateway, Gatekeeper and Helm; get it from https://go.dev/dl"
        );
        return Ok(None);
    };
    let names: Vec<&str> = scenarios.iter().flat_map(|scenario| scenario.components()).collect();
    let components = COMPONENTS.iter().filter(|component| names.contains(&component.name));
    tools.build(&components.collect::<Vec<&Component>>())?;
    Ok(Some(tools))
}

fn list_tools() -> Result<()> {
    let Some(tools) = Tools::find()? else { bail!("there is no Go, so there are no tools") };
    for component in COMPONENTS {
        let state = if tools.is_built(component)? { "built" } else { "missing" };
        println!("{:<20} {state:<8} {}", component.name, tools.folder(component)?.display());
    }
    Ok(())
}

/// What every scenario came to when it last passed.
const RESULTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/results.json");

async fn play(options: Run) -> Result<ExitCode> {
    let scenarios = select(&options)?;
    let runner_options = runner_options(&options)?;
    let (mut outcomes, mut left_out) = (Vec::new(), Vec::new());
    for kind in KINDS {
        let here: Vec<&Scenario> = scenarios.iter().copied().filter(|scenario| scenario.world == *kind).collect();
        if here.is_empty() {
            continue;
        }
        // Building takes time, too.
        let late = || too_late(*kind, &options, now()).map(|reason| format!("{}: {reason}", kind.name()));
        if let Some(reason) = late() {
            left_out.push(reason);
            continue;
        }
        let Some(tools) = build(&here)? else { return Ok(ExitCode::SUCCESS) };
        if let Some(reason) = late() {
            left_out.push(reason);
            continue;
        }
        let playing = runner::play(*kind, &here, &tools, &runner_options);
        let left = options.end_before.map(|end| Duration::from_secs(end.saturating_sub(now())));
        let played = match left {
            Some(left) => tokio::time::timeout(left, playing)
                .await
                .with_context(|| format!("the time is up, and world {} has not ended", kind.name()))??,
            None => playing.await?,
        };
        keep(&played, &runner_options.folder)?;
        outcomes.extend(played);
    }
    Ok(closed(&outcomes, &left_out, &runner_options.folder))
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Why a world can no longer be started.
fn too_late(kind: Kind, options: &Run, now: u64) -> Option<String> {
    if options.begin_before.is_some_and(|last| now >= last) {
        return Some("it is too late to begin".to_owned());
    }
    let (left, needed) = (options.end_before?.saturating_sub(now) / 60, kind.longest());
    (left < needed).then(|| format!("it may take {needed} minutes, and {left} are left"))
}

fn runner_options(options: &Run) -> Result<Options> {
    let absolute = |path: &Path| std::path::absolute(path).with_context(|| format!("{} is no path", path.display()));
    let policies = match options.policy {
        Mode::Off => vec![Policy::Off],
        Mode::On => vec![Policy::On],
        Mode::Both => vec![Policy::Off, Policy::On],
    };
    let folder = absolute(&options.folder)?;
    std::fs::create_dir_all(&folder)?;
    let program = match &options.program {
        Some(program) => absolute(program)?,
        None => std::env::current_exe()?.with_file_name("autoscaler-guard"),
    };
    let subject = Subject { program, module: absolute(&options.module)? };
    if options.policy != Mode::Off {
        for file in [&subject.program, &subject.module] {
            ensure!(file.is_file(), "{} is not there; `make e2e` builds it", file.display());
        }
    }
    Ok(Options { subject, policies, jobs: options.jobs.max(1), folder })
}

/// Keeps what was seen: beside the logs, and in the tree, as the README's table is made of it.
fn keep(played: &[Outcome], folder: &Path) -> Result<()> {
    std::fs::write(folder.join("results.json"), serde_json::to_string_pretty(played)?)?;
    let known = serde_json::from_slice(&std::fs::read(RESULTS)?).context("e2e/results.json cannot be read")?;
    let merged = serde_json::to_string_pretty(&results::merged(known, played))? + "\n";
    // A test may be reading it.
    let half = Path::new(RESULTS).with_extension("half");
    std::fs::write(&half, merged)?;
    Ok(std::fs::rename(half, RESULTS)?)
}

/// Prints what came out, with the count in the last line.
fn closed(outcomes: &[Outcome], left_out: &[String], folder: &Path) -> ExitCode {
    let failures: Vec<&str> =
        outcomes.iter().filter(|outcome| !outcome.passed()).map(|outcome| outcome.id.as_str()).collect();
    if !failures.is_empty() {
        println!("Failed: {}", failures.join(", "));
        println!(
            "Logs are in {}/<world>/logs, what each request was answered in audit.log beside them",
            folder.display()
        );
    }
    for world in left_out {
        println!("Not played: {world}");
    }
    println!("{} scenarios passed, {} failed", outcomes.len() - failures.len(), failures.len());
    if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn select(options: &Run) -> Result<Vec<&'static Scenario>> {
    let wanted = &options.scenarios;
    let worlds = match (options.all || !wanted.is_empty(), options.worlds.is_empty()) {
        (_, false) => options.worlds.clone(),
        (true, true) => KINDS.to_vec(),
        (false, true) => in_test(),
    };
    let plays = |scenario: &&Scenario| worlds.contains(&scenario.world) && !options.skip.contains(&scenario.world);
    let all = SCENARIOS.iter().copied().flatten().filter(plays);
    for id in wanted {
        if !all.clone().any(|scenario| scenario.id.starts_with(id.as_str())) {
            bail!("no scenario's id begins with {id}; `make e2e-list` lists them");
        }
    }
    let is_wanted =
        |scenario: &&Scenario| wanted.is_empty() || wanted.iter().any(|id| scenario.id.starts_with(id.as_str()));
    // An exact id is that scenario alone.
    let exact = |scenario: &&Scenario| wanted.iter().any(|id| scenario.id == id);
    let chosen: Vec<&Scenario> = all.clone().filter(is_wanted).collect();
    let named: Vec<&Scenario> = all.filter(exact).collect();
    Ok(if named.len() == wanted.len() && !wanted.is_empty() { named } else { chosen })
}

fn list() {
    let mut lines = Vec::new();
    for kind in KINDS {
        let also = if kind.is_in_test() { "" } else { ", in make e2e-all only" };
        lines.push(format!("World {}{also}", kind.name()));
        let here = SCENARIOS.iter().copied().flatten().filter(|scenario| scenario.world == *kind);
        lines.extend(here.map(|scenario| format!("  {:<36} {}", scenario.id, scenario.shows)));
    }
    // Whoever reads only the first lines has closed the rest.
    let _ = writeln!(std::io::stdout(), "{}", lines.join("\n"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(arguments: &[&str]) -> Run {
        let Task::Run(run) = Arguments::parse_from(["e2e", "run"].iter().chain(arguments)).task else {
            panic!("it is a run")
        };
        run
    }

    fn worlds(arguments: &[&str]) -> Vec<&'static str> {
        let chosen = select(&options(arguments)).expect("there are such scenarios");
        let is_there = |kind: &&Kind| chosen.iter().any(|scenario| scenario.world == **kind);
        KINDS.iter().filter(is_there).map(|kind| kind.name()).collect()
    }

    #[test]
    fn without_a_name_the_worlds_of_make_test_are_played() {
        assert_eq!(worlds(&[]), ["keda", "envoy-gateway-1.9.1", "native"]);
        assert_eq!(
            worlds(&["--all", "--skip", "keda"])[..3],
            ["envoy-gateway-1.9.1", "envoy-gateway-1.3.0", "gatekeeper"]
        );
        assert_eq!(worlds(&["--world", "gatekeeper"]), ["gatekeeper"]);
        assert_eq!(worlds(&["gatekeeper-crd-deleted"]), ["gatekeeper"]);
    }

    #[test]
    fn a_world_that_may_not_end_in_time_does_not_begin() {
        let needed = Kind::Gatekeeper.longest() * 60;
        let late = |arguments: &[&str]| too_late(Kind::Gatekeeper, &options(arguments), 1_000);
        assert_eq!(late(&[]), None);
        assert_eq!(late(&["--end-before", &(1_000 + needed).to_string()]), None);
        assert!(late(&["--end-before", &(999 + needed).to_string()]).is_some());
        assert!(late(&["--begin-before", "1000"]).is_some());
    }
}
