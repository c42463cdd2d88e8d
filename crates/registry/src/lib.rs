//! Pushes a policy module to an OCI registry as `kwctl push` does, so that policy-server runs it from there. `make
//! push` and the release use it; to pull a policy there are kwctl and oras.
//!
//! A policy in a registry is an image manifest with one layer, the module, and an empty configuration. The manifest's
//! digest names both for good, as it says the layer's.
//!
//! | | |
//! |---|---|
//! | `reference.rs` | where a policy is: `registry://host/repository:tag` |
//! | `registry.rs` | [`push`] |
//! | `image.rs` | an [`Image`] of the command line, from scratch |
//! | `manifest.rs` | what a policy's manifest says |
//! | `credentials.rs` | the credentials in docker's configuration |
//! | `error.rs` | why something could not be pushed |

mod credentials;
mod error;
mod image;
mod manifest;
mod reference;
mod registry;

pub use error::Error;
pub use image::{Image, Program};
pub use manifest::annotations;
pub use reference::{Reference, ReferenceError};
pub use registry::{docker_folder, push};
