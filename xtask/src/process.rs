//! Running other programs, with errors that name the command and what it said.

use std::ffi::OsStr;
use std::process::{Command, Output};

use anyhow::{Context, Result, bail};

/// Runs a command whose output the user sees; fails if it fails.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| cannot_start(command))?;
    if !status.success() {
        bail!("`{}` failed ({status}); its own output above says why", text(command));
    }
    Ok(())
}

/// Runs a command for what it prints.
pub fn capture(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| cannot_start(command))?;
    if !output.status.success() {
        bail!("{}", failure(command, &output));
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{}` printed something that is not UTF-8", text(command)))
}

fn failure(command: &Command, output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    format!("`{}` failed ({}):\n{}", text(command), output.status, said.trim_end())
}

/// The command as one would type it.
pub fn text(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(OsStr::to_string_lossy)
        .collect::<Vec<_>>()
        .join(" ")
}

fn cannot_start(command: &Command) -> String {
    let program = command.get_program().to_string_lossy();
    format!("cannot start `{program}`: is it installed and on the PATH?")
}
