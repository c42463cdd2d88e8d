//! `cargo xtask test`: all tests of the workspace, and one line in the end that says how many there were.

use std::io::{BufRead, BufReader};
use std::ops::AddAssign;
use std::path::PathBuf;
use std::process::{Child, Stdio};

use anyhow::{Context, Result, bail};

use crate::process;
use crate::workspace::Workspace;

/// Which tests to run.
#[derive(clap::Args)]
pub struct Options {
    /// The annotated module that the tests run in a host
    #[arg(long, default_value = "annotated-policy.wasm")]
    module: PathBuf,
    /// What to pass on to cargo test
    #[arg(last = true)]
    arguments: Vec<String>,
}

/// Runs the tests, lets their output through and sums them up.
pub fn run(options: &Options) -> Result<()> {
    let module = options
        .module
        .canonicalize()
        .with_context(|| format!("there is no {}: `make annotated-policy.wasm` builds it", options.module.display()))?;
    let mut command = Workspace::own()?.cargo();
    command.args(["test", "--workspace", "--locked", "--no-fail-fast"]).args(&options.arguments);
    command.env("AUTOSCALER_GUARD_MODULE", module).stdout(Stdio::piped());
    let mut tests = command.spawn().with_context(|| format!("cannot start `{}`", process::text(&command)))?;
    let counts = sum_up(&mut tests)?;
    let status = tests.wait().context("the tests went astray")?;
    println!("{} passed, {} failed", counts.passed, counts.failed);
    if !status.success() {
        bail!("`{}` failed ({status})", process::text(&command));
    }
    Ok(())
}

fn sum_up(tests: &mut Child) -> Result<Counts> {
    let output = tests.stdout.take().context("the tests have no output")?;
    let mut counts = Counts::default();
    for line in BufReader::new(output).lines() {
        let line = line.context("cannot read what the tests print")?;
        println!("{line}");
        counts += Counts::of(&line).unwrap_or_default();
    }
    Ok(counts)
}

/// How many tests came out how.
#[derive(Debug, Default, PartialEq)]
struct Counts {
    passed: usize,
    failed: usize,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

impl Counts {
    /// Reads the line that a test binary closes with: `test result: ok. 5 passed; 0 failed; …`
    fn of(line: &str) -> Option<Self> {
        let (_, results) = line.strip_prefix("test result: ")?.split_once(". ")?;
        let mut counts = results.split("; ").map(|result| result.split_once(' '));
        let mut next = |word| counts.next().flatten().filter(|(_, found)| *found == word)?.0.parse().ok();
        Some(Self { passed: next("passed")?, failed: next("failed")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closing_line_of_a_test_binary_is_counted() {
        let line = "test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.20s";
        assert_eq!(Counts::of(line), Some(Counts { passed: 12, failed: 3 }));
    }

    #[test]
    fn other_lines_are_not() {
        for line in ["", "test tests::one ... ok", "running 2 tests", "test result: unknown"] {
            assert_eq!(Counts::of(line), None, "{line}");
        }
    }
}
