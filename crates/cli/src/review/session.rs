//! Sessions: the look-ups of a review in a file, which kwctl replays, too.

use std::path::Path;

use autoscaler_guard_host::{Call, Session};

use super::{Judgement, Neighbours};
use crate::documents::{self, Source};
use crate::fault::Fault;
use crate::paint::{self, WARNING, paint};

/// Reads a session.
pub fn read(path: &Path) -> Result<Session, Fault> {
    let source = Source::file(path)?;
    Session::read(&source.text).map_err(|error| {
        let fault = Fault::new(format!("the session {} cannot be used", source.name)).because(error);
        fault.help("`review --record` writes one, and `kwctl run --record-host-capabilities-interactions` does")
    })
}

/// Writes down what was looked up for all requests, in their order.
pub fn record(path: Option<&Path>, judgements: &[Judgement]) -> Result<(), Fault> {
    let Some(path) = path else { return Ok(()) };
    let calls: Vec<Call> = judgements.iter().flat_map(|judgement| judgement.lookups.clone()).collect();
    let session = Session::of(&calls)
        .map_err(|error| Fault::new(format!("the session {} cannot be written", path.display())).because(error))?;
    documents::write(path, session.to_string().as_bytes())
}

/// Finds out whether the session was that of these requests. Verdicts by another one would mean nothing; what is left of it in
/// the end is told.
pub fn check(path: Option<&Path>, neighbours: &Neighbours) -> Result<(), Fault> {
    let (Some(path), Some(replay)) = (path, &neighbours.replay) else { return Ok(()) };
    let left = replay.finish().map_err(|misfit| {
        let fault = Fault::new(format!("the session {} does not fit", path.display())).because(misfit);
        fault.help("give the requests, settings and policy that it was recorded with, or record it anew by --record")
    })?;
    if !left.is_empty() {
        let asked: Vec<String> = left.iter().map(ToString::to_string).collect();
        anstream::eprintln!(
            "{}: {} of the session {} nobody asked for: {}",
            paint(WARNING, "warning"),
            paint::count(left.len(), "look-up"),
            path.display(),
            asked.join(", ")
        );
    }
    Ok(())
}
