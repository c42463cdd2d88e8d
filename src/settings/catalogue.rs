//! What settings need to know of the rules, handed in by whoever knows them.

/// The rules that settings may name.
#[derive(Clone, Copy, Debug)]
pub struct Catalogue {
    /// Every name that `rules` may have: families first, then the ids of rules.
    pub names: &'static [&'static str],
    /// How many of the names are families'.
    pub families: usize,
    /// The ids of a family's rules, or of the rule of that name.
    pub members: fn(&str) -> Vec<&'static str>,
    /// Whether the rule of that id may ever reject.
    pub may_reject: fn(&str) -> bool,
    /// What the rule of that id says it is for; only the schema has it.
    #[cfg(not(target_arch = "wasm32"))]
    pub title: fn(&str) -> &'static str,
}
