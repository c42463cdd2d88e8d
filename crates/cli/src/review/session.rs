//! Sessions: the lookups of a review in a file, which kwctl replays, too.

use std::path::Path;

use autoscaler_guard_host::{Call, Replay, Session};

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
pub fn record(path: &Path, calls: &[Call]) -> Result<(), Fault> {
    let session = Session::of(calls)
        .map_err(|error| Fault::new(format!("the session {} cannot be written", path.display())).because(error))?;
    documents::write(path, session.to_string().as_bytes())
}

/// Finds out whether the session was that of these requests. Verdicts by another one would mean nothing; what is left
/// of it in the end is a warning.
pub fn check(path: &Path, replay: &Replay) -> Result<(), Fault> {
    let left = replay.finish().map_err(|difference| {
        let fault = Fault::new(format!("the session {} does not fit", path.display())).because(difference);
        fault.help("give the requests, settings and policy that it was recorded with, or record it anew by --record")
    })?;
    if !left.is_empty() {
        let asked: Vec<String> = left.iter().map(ToString::to_string).collect();
        anstream::eprintln!(
            "{}: {} of the session {} went unused: {}",
            paint(WARNING, "warning"),
            paint::count(left.len(), "lookup"),
            path.display(),
            asked.join(", ")
        );
    }
    Ok(())
}
