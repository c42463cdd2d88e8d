//! Runs a Kubewarden policy module as policy-server does, without a cluster or with one.
//!
//! A policy is a WebAssembly module that is handed an admission request and answers with a verdict; on the way it may
//! ask its host about other objects. This crate is such a host, to be embedded: [`Policy`] runs the module, with limits
//! on time and memory; something that implements [`Capabilities`] answers its questions; [`admission`] turns the
//! verdict into what the API server would get.
//!
//! | answers lookups | from |
//! |---|---|
//! | [`Snapshot`] | files: `kubectl get -o yaml`, manifests; permissions and missing operators can be staged |
//! | [`LiveCluster`] | an API server, with the rights of whoever runs this |
//! | [`NoCluster`] | nothing: every lookup is refused |
//! | [`Replay`] | a [`Session`]: lookups that were recorded before, here or by kwctl |
//! | [`Recorded`] | any of them, and keeps what was asked and answered |
//!
//! To a policy all of this looks like policy-server: same protocol, same JSON, same words when something fails, since
//! those words are all that a policy can know failures by. What differs is said where it does.
//!
//! ```no_run
//! use std::sync::Arc;
//! use autoscaler_guard_host::{Capabilities, Limits, Policy, Recorded, Snapshot, admission};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let policy = Policy::load(&std::fs::read("policy.wasm")?, Limits::default())?;
//! let lookups = Arc::new(Recorded::new(Snapshot::from_paths(&["cluster.yaml"])?));
//! let capabilities: Arc<dyn Capabilities> = lookups.clone();
//!
//! let request = r#"{"uid": "1", "operation": "DELETE", "object": null}"#;
//! let verdict = policy.validate(request, "{}", &capabilities)?;
//! for call in lookups.take() {
//!     println!("asked: {call}");
//! }
//!
//! let mutating = policy.metadata().is_none_or(|metadata| metadata.mutating);
//! let review = admission::Review { uid: "1", policy: "my-policy", object: None, mutating };
//! println!("{}", serde_json::to_string(&admission::respond(review, verdict))?);
//! # Ok(())
//! # }
//! ```
//!
//! Where to read on: `policy.rs` (a call from outside), `guest.rs` (the same call, as the guest sees it),
//! `snapshot.rs` and `live.rs` (answers), `wording.rs` (policy-server's words).

#![allow(clippy::indexing_slicing, reason = "JSON is read and built by key")]

pub mod admission;
mod budget;
mod capabilities;
pub mod documents;
mod grants;
mod guest;
mod live;
mod load;
mod lookup;
mod metadata;
mod patch;
mod policy;
mod recorded;
mod selector;
mod session;
mod snapshot;
mod ticker;
mod view;
mod wording;
pub mod yaml;

pub use admission::Response;
pub use budget::Budget;
pub use capabilities::{Capabilities, NoCluster, WatchAge};
pub use documents::Origin;
pub use live::{ConnectError, LiveCluster, LiveOptions, Refused, Unlisted, Wanted, Write, Writing, client};
pub use load::LoadError;
pub use lookup::{CanI, Get, List, Lookup, Outcome, ResourceAttributes, SubjectAccessReview};
pub use metadata::{ContextAwareResource, Metadata};
pub use policy::{CallError, Limits, Policy, SettingsResponse, Work};
pub use recorded::{Call, Recorded};
pub use session::{Mismatch, Replay, Session, SessionError};
pub use snapshot::{Snapshot, SnapshotError};
pub use wording::in_words;
