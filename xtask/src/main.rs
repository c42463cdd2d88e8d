//! What make calls: builds the policy's module, annotates it, measures it and proves that it can be built anew.
//!
//! Run as `cargo xtask <task>`; every task has its own `--help`. One module per task, and beneath them what they share:
//! the workspace as cargo sees it, the wasm toolchain, a module's sections, and running other programs.

#![allow(clippy::indexing_slicing, reason = "JSON is read and built by key")]

mod annotate;
mod bench;
mod build;
#[cfg(feature = "push")]
mod image;
mod metadata;
mod packages;
mod process;
#[cfg(feature = "push")]
mod push;
mod reproducible;
mod size;
mod stages;
mod table;
mod test;
mod toolchain;
mod wasm;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Builds, annotates and measures the policy module.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

/// What can be asked for.
#[derive(Subcommand)]
enum Task {
    /// Build the policy as a WebAssembly module, the same bytes on every machine
    Build(build::Options),
    /// Write the metadata into a module, as `kwctl annotate` does
    Annotate(annotate::Options),
    /// Show what the module's bytes are spent on, and hold it to its limit
    Size(size::Options),
    /// Measure how long a verdict takes, beside the smallest policy
    Bench(bench::Options),
    /// Build the module a second time, elsewhere, and compare the bytes
    Reproducible(reproducible::Options),
    /// Push the module to a registry, as `kwctl push` does
    #[cfg(feature = "push")]
    Push(push::Options),
    /// Put static programs into an image from scratch
    #[cfg(feature = "push")]
    Image(image::Options),
    /// Write the manifests of package managers for a release's archives
    Packages(packages::Options),
    /// Run all that has to pass, stage by stage, and close with what each took
    Stages(stages::Options),
    /// Run all tests of the workspace and close with their counts
    Test(test::Options),
}

fn main() -> ExitCode {
    match run(&Arguments::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Without the backtrace that Rust adds for those who have asked for one in general: it says nothing here.
            eprintln!("error: {}", error.chain().map(ToString::to_string).collect::<Vec<_>>().join("\n  because: "));
            ExitCode::FAILURE
        }
    }
}

fn run(task: &Task) -> anyhow::Result<()> {
    match task {
        Task::Build(options) => build::run(options),
        Task::Annotate(options) => annotate::run(options),
        Task::Size(options) => size::run(options),
        Task::Bench(options) => bench::run(options),
        Task::Reproducible(options) => reproducible::run(options),
        #[cfg(feature = "push")]
        Task::Push(options) => push::run(options),
        #[cfg(feature = "push")]
        Task::Image(options) => image::run(options),
        Task::Packages(options) => packages::run(options),
        Task::Stages(options) => stages::run(options),
        Task::Test(options) => test::run(options),
    }
}
