//! What the runner itself may do, remembered for a moment: a policy asks before every list.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::ResourceAttributes;

/// As long as policy-server remembers.
const REMEMBERED: Duration = Duration::from_secs(5);

/// Answers to access reviews, with the time at which they were given.
#[derive(Default)]
pub(super) struct Rights(Mutex<HashMap<String, (Instant, Vec<u8>)>>);

impl Rights {
    pub(super) fn known(&self, attributes: &ResourceAttributes) -> Option<Vec<u8>> {
        let rights = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, answer) = rights.get(&key(attributes))?;
        (since.elapsed() < REMEMBERED).then(|| answer.clone())
    }

    pub(super) fn remember(&self, attributes: &ResourceAttributes, answer: &[u8]) {
        let mut rights = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rights.retain(|_, (since, _)| since.elapsed() < REMEMBERED);
        rights.insert(key(attributes), (Instant::now(), answer.to_vec()));
    }
}

fn key(attributes: &ResourceAttributes) -> String {
    let ResourceAttributes { group, name, namespace, resource, subresource, verb, version } = attributes;
    [verb, group, version, resource, subresource, namespace, name].map(String::as_str).join(" ")
}
