//! The program: reads its arguments and leaves the rest to the library.

use std::process::ExitCode;

use autoscaler_guard_cli::{Arguments, run};
use clap::Parser;

fn main() -> ExitCode {
    run(&Arguments::parse())
}
