//! What `review` takes besides requests: plain manifests, a sequence, an audit log.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// What `review` takes besides requests.
#[derive(Debug, Default, Args)]
pub struct Sources {
    /// Take FILES as plain manifests, and judge what this would be about them
    #[arg(long, value_enum, value_name = "OPERATION", help_heading = "Manifests")]
    pub operation: Option<Operation>,
    /// With --operation update: the manifests as they are now; without, they are taken from --cluster
    #[arg(long, value_name = "FILE", requires = "operation", help_heading = "Manifests")]
    pub old: Vec<PathBuf>,
    /// Judge one request after the other, each in the cluster that those before have left: what is allowed is done, and
    /// the controllers react
    #[arg(long, requires = "cluster")]
    pub sequence: bool,
    /// Judge the writes in these audit logs of an API server, level `RequestResponse`: what would have been refused or
    /// repaired
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with_all = ["files", "sequence", "operation", "context", "live", "replay", "record"])]
    pub audit_log: Vec<PathBuf>,
}

/// What is done to manifests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Operation {
    /// They are created
    Create,
    /// They are applied over what is there
    Update,
    /// They are deleted
    Delete,
}
