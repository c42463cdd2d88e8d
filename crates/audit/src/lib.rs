//! What is wrong now: problems of autoscaling in a whole cluster.
//!
//! [`Inventory`] holds the objects, from files or from a cluster; [`audit`] looks at all of them at once, in three
//! steps: facts are gathered ([`facts`], [`View`]), problems are asked one after the other ([`problems`], one file
//! each, which opens with its page), and what somebody acknowledged is marked. What the core knows of Envoy Gateway,
//! KEDA and operators is asked there; nothing here does I/O.

#![allow(clippy::indexing_slicing, reason = "JSON is read and built by key")]

mod acknowledged;
pub mod facts;
pub mod finding;
pub mod fix;
pub mod inventory;
pub mod object;
pub mod problems;
mod trim;
pub mod view;

use autoscaler_guard::Settings;
pub use finding::{Acknowledgement, Certainty, Finding, Report};
pub use inventory::{Inventory, Unread};
pub use jiff::Timestamp;
pub use object::{Object, Ref};
pub use trim::trim;
pub use view::View;

use crate::finding::Found;

/// Looks at a cluster.
pub fn audit(inventory: &Inventory, settings: &Settings, now: Timestamp) -> Report {
    let view = View::new(inventory, settings, now);
    let mut found = Found::default();
    for step in problems::STEPS {
        step(&view, &mut found);
    }
    let mut findings = found.findings;
    // What goes with its namespace is nothing to mend.
    findings.retain(|finding| !view.is_going(&finding.subject().namespace));
    for finding in &mut findings {
        finding.acknowledged = acknowledged::is(&view, finding);
    }
    findings.sort_by_cached_key(|finding| (problems::rank(finding.problem), finding.subject().clone()));
    findings.dedup_by_key(|finding| finding.id());
    Report { findings, unread: inventory.all_unread().to_vec(), acknowledgements: acknowledged::all(inventory) }
}
