//! `preflight`: what happens to every autoscaler when these manifests are applied.
//!
//! The world model does the work ([`autoscaler_guard_world`]); here manifests are read (`input`), and what came out is
//! shown.

mod each;
mod formats;
mod human;
pub mod input;
mod json;
mod question;
mod render;
mod report;

use crate::answer::Answer;
use crate::arguments::{PreflightOptions, PreflightOutput};
use crate::fault::Fault;
use question::{fails, find_out};
pub use report::Preflight;

/// Runs the command.
pub fn run(options: &PreflightOptions) -> Result<Answer, Fault> {
    if options.each {
        return each::run(options);
    }
    let preflight = find_out(options, render::manifests(options)?)?;
    let text = match options.output {
        PreflightOutput::Human => human::text(&preflight, options.verbose),
        PreflightOutput::Json => json::text(&preflight)?,
        PreflightOutput::Markdown => formats::markdown(&preflight, options.verbose),
        PreflightOutput::Sarif => formats::sarif(&preflight)?,
        PreflightOutput::Junit => formats::junit(&preflight),
        PreflightOutput::Github => formats::github(&preflight),
    };
    Ok(Answer { text, code: u8::from(fails(&preflight.rows, options.fail_on)), faults: Vec::new() })
}
