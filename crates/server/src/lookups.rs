//! Look-ups, counted and timed.

use std::sync::Arc;
use std::time::Instant;

use autoscaler_guard_host::{Capabilities, Lookup, Outcome};

use crate::metrics::Metrics;

/// Answers as the capabilities that it wraps.
pub(crate) struct Counted {
    pub(crate) inner: Arc<dyn Capabilities>,
    pub(crate) metrics: Arc<Metrics>,
}

impl Capabilities for Counted {
    fn call(&self, operation: &str, request: &[u8]) -> Result<Vec<u8>, String> {
        let started = Instant::now();
        let answer = self.inner.call(operation, request);
        if let Ok(lookup) = Lookup::parse(operation, request) {
            let (operation, kind) = match &lookup {
                Lookup::Get(get) => ("get", get.kind.as_str()),
                Lookup::List(list) => ("list", list.kind.as_str()),
                Lookup::CanI(_) => ("can_i", "SubjectAccessReview"),
            };
            self.metrics.looked_up(operation, kind, word(Outcome::of(&answer)), started.elapsed());
        }
        answer
    }

    fn log(&self, line: &str) {
        self.inner.log(line);
    }
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Answered => "answered",
        Outcome::Absent => "absent",
        Outcome::NotServed => "not_served",
        Outcome::Failed => "failed",
    }
}
