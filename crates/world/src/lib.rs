//! What will a change do? A deterministic, in-memory Kubernetes, as far as autoscaling needs one.
//!
//! [`World`] is the state: objects with the API server's semantics ([`server`], [`fields`]), the policy as its
//! admission (`guard`). [`controllers`] act by steps, [`writers`] are tools as sequences of requests, [`outcome`] says
//! what became of each workload, and [`mod@play`] puts them together. Nothing here does I/O or knows a clock, so the
//! same change ends the same way every time.
//!
//! Facts about other projects name their source where they stand.

#![allow(clippy::indexing_slicing, reason = "JSON is read and built by key")]

pub mod advice;
pub mod controllers;
pub mod fields;
mod guard;
pub mod object;
pub mod outcome;
pub mod play;
pub mod preflight;
pub mod replay;
pub mod search;
pub mod server;
pub mod worlds;
pub mod writers;

pub use object::Key;
pub use outcome::{Outcome, Report};
pub use play::{Eager, Side, play};
pub use server::{Setup, World};
pub use writers::{Change, Tool};
