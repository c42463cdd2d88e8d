//! Policy modules in OCI registries: pushed as `kwctl push` does, so that policy-server runs them, and pulled again.
//!
//! A policy in a registry is an image manifest with one layer, the module, and an empty configuration. The manifest's digest
//! names both for good, as it says the layer's; whatever a registry sends is held to the digest that was asked for.
//!
//! | | |
//! |---|---|
//! | `reference.rs` | where a policy is: `registry://host/repository:tag` or `@sha256:…` |
//! | `registry.rs` | [`Registry`]: push and pull |
//! | `cache.rs` | what was pulled before, by digest |
//! | `manifest.rs` | what a policy's manifest says |
//! | `credentials.rs` | who this is, as docker's configuration says |
//! | `error.rs` | why something could not be pushed or pulled |

mod cache;
mod credentials;
mod error;
mod manifest;
mod reference;
mod registry;

pub use error::Error;
pub use manifest::annotations;
pub use reference::{Reference, ReferenceError};
pub use registry::{Options, Policy, Registry, is_here};
