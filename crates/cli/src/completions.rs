//! `completions`: a script by which a shell completes the commands and options.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::answer::Answer;
use crate::arguments::Arguments;

/// Writes the script.
pub fn run(shell: Shell) -> Answer {
    let mut command = Arguments::command();
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    Answer::fine(String::from_utf8_lossy(&script).into_owned())
}
