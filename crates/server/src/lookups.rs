//! Lookups, counted and timed, in one budget of time for each request. What it does not suffice for is unknown.

use std::sync::Arc;
use std::time::Instant;

use autoscaler_guard_host::{Budget, Capabilities, Lookup, Outcome};

use crate::metrics::Metrics;

/// Whether there is time for lookups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Time {
    /// As much as the budget has.
    Left,
    /// None at all.
    None,
}

/// The lookups of one request: answers as the capabilities that it wraps.
pub(crate) struct Lookups {
    inner: Arc<dyn Capabilities>,
    metrics: Arc<Metrics>,
    budget: Budget,
    time: Time,
}

impl Lookups {
    pub(crate) fn new(inner: Arc<dyn Capabilities>, metrics: Arc<Metrics>, budget: Budget, time: Time) -> Self {
        Self { inner, metrics, budget, time }
    }

    fn answer(&self, operation: &str, request: &[u8]) -> Result<Vec<u8>, String> {
        match self.time {
            Time::Left => self.inner.call_within(operation, request, &self.budget),
            Time::None => Err(Budget::exhausted()),
        }
    }
}

impl Capabilities for Lookups {
    fn call(&self, operation: &str, request: &[u8]) -> Result<Vec<u8>, String> {
        let started = Instant::now();
        let answer = self.answer(operation, request);
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
