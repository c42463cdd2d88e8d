//! `review`: what becomes of admission requests.
//!
//! ```text
//! input ──► requests ──┐
//! settings ────────────┼──► judge (the core, or a module in the embedded host) ──► judgements ──► human or JSON
//! neighbours ──────────┘
//! ```
//!
//! Neighbours can be a session: lookups that were recorded before.

mod audit_log;
pub mod diff;
pub mod human;
mod input;
mod json;
mod judge;
mod judgement;
mod lookups;
mod manifests;
mod message;
mod neighbours;
mod request;
mod scope;
mod sequence;
mod session;
mod settings;

pub use autoscaler_guard::VerdictKind;
pub use diff::diff;
pub use judge::Judge;
pub use judgement::Judgement;
pub use neighbours::Neighbours;
pub use request::Request;
pub use settings::SettingsText;

use autoscaler_guard_host::{Call, Limits};

use crate::answer::Answer;
use crate::arguments::{ReviewOptions, ReviewOutput};
use crate::fault::Fault;

/// The exit code if any verdict is as bad as `--fail-on` says.
const FAILED: u8 = 1;

/// Judges all requests and words the outcome.
pub fn run(options: &ReviewOptions) -> Result<Answer, Fault> {
    input::check_stdin(options)?;
    let judge = Judge::load(options.policy.as_deref(), Limits::default())?;
    let settings = SettingsText::read(options.settings.as_deref(), &judge)?;
    if !options.sources.audit_log.is_empty() {
        return audit_log::run(options, &judge, &settings);
    }
    let (requests, mut faults) = match options.sources.operation {
        Some(operation) => manifests::requests(options, operation)?,
        None => input::requests(&input::named(options))?,
    };
    if options.sources.sequence {
        return sequence::run(options, &judge, &settings, requests, faults);
    }
    let neighbours = Neighbours::open(options, &settings)?;
    let mut judgements = Vec::new();
    for request in requests {
        let placed = scope::placed(request, options.namespace.as_deref(), &settings.known());
        match placed.and_then(|request| Judgement::of(&judge, &request, &settings, &neighbours)) {
            Ok(judgement) => judgements.push(judgement),
            Err(fault) => faults.push(fault),
        }
    }
    if judgements.is_empty() {
        return Ok(Answer { text: String::new(), code: 0, faults });
    }
    if let (Some(path), Some(replay)) = (&options.replay, &neighbours.replay) {
        session::check(path, replay)?;
    }
    if let Some(path) = &options.record {
        let lookups: Vec<Call> = judgements.iter().flat_map(|judgement| judgement.lookups.clone()).collect();
        session::record(path, &lookups)?;
    }
    let text = match options.output {
        ReviewOutput::Human => {
            human::Sheet { verbose: options.verbose, ..human::Sheet::new() }.all(&judgements, &neighbours)
        }
        ReviewOutput::Json => json::all(&judgements)?,
    };
    let fails = judgements.iter().any(|judgement| options.fail_on.fails(judgement.verdict()));
    Ok(Answer { text, code: if fails { FAILED } else { 0 }, faults })
}
