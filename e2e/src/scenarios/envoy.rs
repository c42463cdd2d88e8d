//! Incident 2 and what else takes a fleet's autoscaler, on an Envoy Gateway that deletes such HPAs and on one that leaves them behind.

use super::Scenario;

pub(super) static SCENARIOS: &[Scenario] = &[];
