//! The program: reads its arguments and leaves the rest to the library.

use std::path::Path;
use std::process::ExitCode;

use autoscaler_guard_cli::{Arguments, run};
use clap::{CommandFactory, FromArgMatches};

/// As kubectl finds it: `kubectl autoscaler-guard`.
const PLUGIN: &str = "kubectl-autoscaler_guard";

fn main() -> ExitCode {
    let called = std::env::args_os().next().unwrap_or_default();
    let is_plugin = Path::new(&called).file_stem().is_some_and(|name| name == PLUGIN);
    let mut command = Arguments::command();
    if is_plugin {
        command = command.bin_name("kubectl autoscaler-guard");
    }
    let matches = command.clone().get_matches();
    match Arguments::from_arg_matches(&matches) {
        Ok(arguments) => run(&arguments),
        Err(error) => error.format(&mut command).exit(),
    }
}
