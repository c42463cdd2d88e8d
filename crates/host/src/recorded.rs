//! Lookups on the record: what a policy asked for, and what it got.

use std::{
    fmt::{self, Display, Formatter},
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{Capabilities, Lookup};

/// Answers as the wrapped capabilities do, and keeps every call.
#[derive(Debug, Default)]
pub struct Recorded<C> {
    inner: C,
    calls: Mutex<Vec<Call>>,
}

/// One lookup and its outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// `get_resource`, `list_resources_by_namespace`, `list_resources_all` or `can_i`.
    pub operation: String,
    /// The guest's JSON.
    pub request: Vec<u8>,
    /// The JSON it was answered with, or the failure it got.
    pub outcome: Result<Vec<u8>, String>,
}

impl<C> Recorded<C> {
    /// Starts a record of the calls to `inner`.
    pub fn new(inner: C) -> Self {
        Self { inner, calls: Mutex::default() }
    }

    /// What answers.
    pub fn inner(&self) -> &C {
        &self.inner
    }

    /// How many calls there were.
    pub fn count(&self) -> usize {
        self.record().len()
    }

    /// The calls so far, oldest first; the record starts anew.
    pub fn take(&self) -> Vec<Call> {
        mem::take(&mut self.record())
    }

    fn record(&self) -> MutexGuard<'_, Vec<Call>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C: Capabilities> Capabilities for Recorded<C> {
    fn call(&self, operation: &str, request: &[u8]) -> Result<Vec<u8>, String> {
        let outcome = self.inner.call(operation, request);
        self.record().push(Call { operation: operation.into(), request: request.into(), outcome: outcome.clone() });
        outcome
    }

    fn log(&self, line: &str) {
        self.inner.log(line);
    }
}

impl Display for Call {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match Lookup::parse(&self.operation, &self.request) {
            Ok(lookup) => write!(f, "{lookup}: ")?,
            Err(_) => write!(f, "{}: ", self.operation)?,
        }
        match &self.outcome {
            Ok(answer) => write!(f, "{} bytes", answer.len()),
            Err(failure) => f.write_str(failure.lines().next().unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NoCluster;

    #[test]
    fn calls_are_kept_in_order_and_read_well() {
        let recorded = Recorded::new(NoCluster);
        let request = br#"{"api_version":"v1","kind":"Pod","name":"web","namespace":"shop","disable_cache":true}"#;
        assert!(recorded.call("get_resource", request).is_err());
        assert!(recorded.call("watch", b"{}").is_err());
        assert_eq!(recorded.count(), 2);
        let calls: Vec<String> = recorded.take().iter().map(ToString::to_string).collect();
        assert_eq!(
            calls,
            [
                "get v1 Pod shop/web: Policy has not been granted access to Kubernetes v1/Pod resources. The violation has been reported.",
                "watch: unknown operation: watch"
            ]
        );
        assert_eq!(recorded.count(), 0);
    }
}
