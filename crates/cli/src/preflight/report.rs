//! What a preflight found out.

use autoscaler_guard_world::Tool;
use autoscaler_guard_world::preflight::Row;

use super::input::Manifest;

/// What was found out.
#[derive(Debug)]
pub struct Preflight {
    /// The tool.
    pub tool: Tool,
    /// What nobody said and was taken for granted.
    pub assumed: Vec<String>,
    /// The workloads.
    pub rows: Vec<Row>,
    /// The manifests of after, with their places.
    pub manifests: Vec<Manifest>,
}
