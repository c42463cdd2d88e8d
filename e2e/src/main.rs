//! Runs the live tests; `make e2e` calls it.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail, ensure};
use autoscaler_guard_e2e::process::Reaper;
use autoscaler_guard_e2e::results::{self, Outcome};
use autoscaler_guard_e2e::runner::{self, Options};
use autoscaler_guard_e2e::scenarios::{SCENARIOS, Scenario};
use autoscaler_guard_e2e::stage::Policy;
use autoscaler_guard_e2e::tools::{COMPONENTS, Component, Tools};
use autoscaler_guard_e2e::webhook::Subject;
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
        /// Only tell where they are, and which are missing
        #[arg(long)]
        list: bool,
    },
    /// List the scenarios
    List,
    /// Play scenarios
    Run(Run),
    /// Print the table of a result file
    Table {
        /// The result file
        results: PathBuf,
    },
}

#[derive(clap::Args)]
struct Run {
    /// Ids of scenarios, or how they begin; all, if none is given
    scenarios: Vec<String>,
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
        Task::Tools { list: true } => list_tools().map(|()| ExitCode::SUCCESS),
        Task::Tools { list: false } => build(&COMPONENTS.iter().collect::<Vec<_>>()).map(|_| ExitCode::SUCCESS),
        Task::List => {
            list();
            Ok(ExitCode::SUCCESS)
        }
        Task::Table { results } => {
            print!("{}", results::table(&serde_json::from_slice::<Vec<Outcome>>(&std::fs::read(results)?)?));
            Ok(ExitCode::SUCCESS)
        }
        Task::Run(options) => {
            // Whoever interrupts drops what runs, and dropping ends every component.
            let _reaper = Reaper::start()?;
            let mut terminated = signal(SignalKind::terminate())?;
            tokio::select! {
                outcome = play(options) => outcome,
                _ = tokio::signal::ctrl_c() => bail!("interrupted"),
                _ = terminated.recv() => bail!("terminated"),
            }
        }
    }
}

/// Builds what is missing of those components; `None` on a machine without Go.
fn build(components: &[&Component]) -> Result<Option<Tools>> {
    let Some(tools) = Tools::find()? else {
        println!(
            "SKIPPED: the live tests need Go, to build etcd, Kubernetes, KEDA, Envoy Gateway, Gatekeeper and Helm; get it from https://go.dev/dl"
        );
        return Ok(None);
    };
    tools.build(components)?;
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

/// What the last complete run came to.
const RESULTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/results.json");

async fn play(options: Run) -> Result<ExitCode> {
    let whole = options.scenarios.is_empty() && options.policy == Mode::Both;
    let scenarios = select(&options.scenarios)?;
    let mut components: Vec<&str> = scenarios.iter().flat_map(|scenario| scenario.components()).collect();
    components.dedup();
    let needed = COMPONENTS.iter().filter(|component| components.contains(&component.name)).collect::<Vec<_>>();
    let Some(tools) = build(&needed)? else { return Ok(ExitCode::SUCCESS) };

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
    let options = Options { subject, policies, jobs: options.jobs.max(1), folder: folder.clone() };
    let outcomes = runner::play(&scenarios, &tools, &options).await?;

    std::fs::write(folder.join("results.json"), serde_json::to_string_pretty(&outcomes)?)?;
    let failures: Vec<&Outcome> = outcomes.iter().filter(|outcome| !outcome.passed()).collect();
    let complete = whole && failures.is_empty();
    if complete {
        // Kept in the tree: the README's table is made of it.
        std::fs::write(RESULTS, serde_json::to_string_pretty(&outcomes)? + "\n")?;
    }
    println!("{} scenarios passed, {} failed", outcomes.len() - failures.len(), failures.len());
    if failures.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    println!("Failed: {}", failures.iter().map(|outcome| outcome.id.as_str()).collect::<Vec<_>>().join(", "));
    println!("Logs are in {}/<world>/logs, what each request was answered in audit.log beside them", folder.display());
    Ok(ExitCode::FAILURE)
}

fn select(wanted: &[String]) -> Result<Vec<&'static Scenario>> {
    let all = SCENARIOS.iter().copied().flatten();
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
    let scenarios = SCENARIOS.iter().copied().flatten();
    let lines: Vec<String> = scenarios.map(|scenario| format!("{:<36} {}", scenario.id, scenario.shows)).collect();
    // Whoever reads only the first lines has closed the rest.
    let _ = writeln!(std::io::stdout(), "{}", lines.join("\n"));
}
