//! The command line of autoscaler-guard: asks the policy before the cluster does.
//!
//! | command | shows |
//! |---|---|
//! | `review` | what becomes of admission requests: the verdict, its reasons, what helps, and the patch |
//! | `preflight` | what happens to every autoscaler when manifests are applied |
//! | `audit` | what is wrong now, in a whole cluster |
//! | `fix` | what would be done about that; and does it |
//! | `rules` | the catalogue of rules, and each one's page |
//! | `settings` | what the policy can be set to, as a JSON Schema, and what is wrong with a file of settings |
//! | `serve` | nothing but where it listens: it answers API servers |
//! | `manifests` | what a cluster needs to use `serve` |
//! | `probe` | whether a server is well |
//! | `completions` | what a shell needs to complete all this |
//!
//! Every command but `serve` and `fix` computes its whole [`Answer`] before anything is printed, so that a failure
//! half-way leaves nothing on standard output that a script might take for an answer.
//!
//! Where to read on: `arguments.rs` (what can be asked), [`review`], [`rules`], [`paint`] (how answers look) and
//! [`fault`] (how failures do).

#![allow(clippy::indexing_slicing, reason = "JSON is read and built by key")]

mod answer;
pub mod arguments;
pub mod audit;
mod completions;
mod documents;
pub mod fault;
mod fix;
pub mod flags;
mod manifests;
pub mod paint;
pub mod preflight;
mod probe;
pub mod review;
pub mod rules;
mod serve;
pub mod settings;
pub mod sources;

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

pub use answer::Answer;
pub use arguments::Arguments;
use arguments::Command;
use fault::Fault;

/// The exit code of a command that could not answer.
const UNUSABLE: u8 = 2;

/// Runs a command and prints what it says.
pub fn run(arguments: &Arguments) -> ExitCode {
    arguments.color.apply();
    let (code, faults) = match answer(&arguments.command) {
        Ok(answer) => {
            let written = write(&answer.text, arguments.output_file.as_deref());
            (answer.code, written.err().into_iter().chain(answer.faults).collect())
        }
        Err(fault) => (UNUSABLE, vec![fault]),
    };
    for fault in &faults {
        anstream::eprintln!("{}", fault.styled());
    }
    if faults.is_empty() { code } else { UNUSABLE }.into()
}

/// Computes a command's answer without printing it.
pub fn answer(command: &Command) -> Result<Answer, Fault> {
    match command {
        Command::Review(options) => review::run(options),
        Command::Preflight(options) => preflight::run(options),
        Command::Audit(options) => audit::run(options),
        Command::Fix(options) => fix::run(options),
        Command::Rules(options) => rules::run(options),
        Command::Settings(command) => settings::run(command),
        Command::Serve(options) => serve::run(options),
        Command::Manifests(options) => manifests::run(options),
        Command::Probe { url } => probe::run(url),
        Command::Completions { shell } => Ok(completions::run(*shell)),
    }
}

/// Prints an answer, or writes it to a file, where styles mean nothing.
fn write(text: &str, file: Option<&Path>) -> Result<(), Fault> {
    match file {
        Some(file) => documents::write(file, anstream::adapter::strip_str(text).to_string().as_bytes()),
        None => print(text),
    }
}

fn print(text: &str) -> Result<(), Fault> {
    let mut output = anstream::stdout().lock();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        // Whoever reads has seen enough, as `head` does.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Fault::new("the answer cannot be written").because(error)),
        Ok(()) => Ok(()),
    }
}
