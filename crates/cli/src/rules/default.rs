//! What a rule does by itself.

use autoscaler_guard::rule::{DefaultAction, Rule};

/// What a rule does by itself, in a word.
pub fn default(rule: &Rule) -> &'static str {
    match rule.default {
        DefaultAction::Warn => "warn",
        DefaultAction::Repair => "repair",
        DefaultAction::Reject => "reject",
    }
}
