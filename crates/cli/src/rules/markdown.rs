//! Rules for documentation.

use autoscaler_guard::rules::{RULES, Rule};

use super::default;
use super::page::Page;

/// The table of all rules, as the README has it.
pub fn table() -> String {
    let row = |rule: &&Rule| format!("| `{}` | {} | {} |\n", rule.id, rule.title, default(rule));
    let rows: String = RULES.iter().map(row).collect();
    format!("| rule | protects | default |\n|---|---|---|\n{rows}")
}

/// A rule's page.
pub fn page(rule: &Rule, page: &Page) -> String {
    format!("# {}\n{}\n\nDefault: {}. Since {}.\n", rule.id, page.markdown(), default(rule), rule.since)
}
