//! The real control plane on one machine: etcd, the API server, the controller manager, KEDA, Envoy Gateway and Helm,
//! with the policy behind the API server as a webhook.
//!
//! A scenario ([`scenarios`]) plays twice, without the policy and with it: without, the hazard has to happen, and with,
//! the cure has to hold. [`runner`] starts a [`world`] for the scenarios that share one and plays them side by side,
//! each on a [`stage`] of its own.

#![allow(clippy::restriction, reason = "it is a test, and tests may panic")]

pub mod audit;
pub mod certificates;
pub mod control_plane;
pub mod gatekeeper;
pub mod helm;
pub mod law;
pub mod native;
pub mod objects;
pub mod operators;
pub mod process;
pub mod progress;
pub mod results;
pub mod runner;
pub mod scenarios;
pub mod soak;
pub mod stage;
pub mod tools;
pub mod webhook;
pub mod world;
