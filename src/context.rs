//! What a rule sees: the change, its neighbours, the settings.

use crate::change::{Attributes, Change};
use crate::cluster::Neighbours;
use crate::settings::Settings;

/// Everything a check may read.
#[derive(Debug)]
pub struct Context<'a> {
    /// What the request says beside its objects.
    pub request: &'a Attributes<'a>,
    /// The change that is judged.
    pub change: &'a Change<'a>,
    /// The objects around it.
    pub neighbours: Neighbours<'a>,
    /// How the policy is set.
    pub settings: &'a Settings,
}
