//! autoscaler-guard: no workload silently loses its autoscaler, no HPA is left behind.
//!
//! [`evaluate`] is the whole of it: a [`Change`] someone asks the API server for, the [`Cluster`] around it and the
//! [`Settings`] go in, a [`Verdict`] comes out. It knows no host and does no I/O; [`kubewarden`] and the other hosts
//! are thin adapters.
//!
//! ```text
//! AdmissionReview ──► Change ──► gate ──► rules ──► findings ──► overrides ──► Verdict
//!  (a host)                  controllers  one file   rule, what,  settings,        allow, repair
//!                            exempt       each       help         annotation, RBAC or reject
//! ```
//!
//! Where to read on: [`rules`] is the list, each rule's file opens with its page; [`gate`] says who is never judged;
//! [`facts`] holds the facts about other projects' objects, each in one place; [`overrides`] what lets a finding pass.

pub mod change;
pub mod cluster;
pub mod command;
pub mod context;
pub mod engine;
pub mod facts;
pub mod finding;
pub mod gate;
#[cfg(feature = "kubewarden")]
pub mod kubewarden;
pub mod overrides;
pub mod pattern;
pub mod plain;
pub mod repair;
pub mod rule;
pub mod rules;
pub mod settings;
pub mod subject;
pub mod verdict;
pub mod wording;

pub use autoscaler_guard_reading::Request;
pub use change::{AdmissionRequest, Change, Unreadable};
pub use cluster::{Cluster, Presence};
#[cfg(not(target_arch = "wasm32"))]
pub use engine::settings_schema;
pub use engine::{evaluate, is_watched, passes, review, review_request};
pub use settings::{Settings, SettingsError};
pub use verdict::{Decision, Verdict, VerdictKind};
