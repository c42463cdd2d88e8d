//! Rules for documentation.

use autoscaler_guard::change::Operation;
use autoscaler_guard::rule::{Lookup, Rule};
use autoscaler_guard::rules::{LOOKUPS, RULES};

use super::default::default;
use super::page::Page;

/// The table of all rules, each with a link to its page in `folder`.
pub fn table(folder: &str) -> String {
    let row = |rule: &&Rule| format!("| [`{0}`]({folder}{0}.md) | {1} | {2} |\n", rule.id, rule.title, default(rule));
    let rows: String = RULES.iter().map(row).collect();
    format!("| rule | what goes wrong | default |\n|---|---|---|\n{rows}")
}

/// Every rule's page, by file name.
pub fn pages() -> Vec<(String, String)> {
    RULES.iter().map(|rule| (format!("{}.md", rule.id), page(rule, &Page::of(rule.id)))).collect()
}

/// A rule's page.
pub fn page(rule: &Rule, page: &Page) -> String {
    format!("# {}\n\n{}\n{}", rule.id, page.markdown().trim_end(), facts(rule))
}

/// What settings, manifests and permissions have to know of a rule.
fn facts(rule: &Rule) -> String {
    let operation = |operation: &Operation| format!("{operation:?}").to_ascii_uppercase();
    let watched = rule.watches.iter().map(|(kind, operations)| {
        format!("{} of {}", operations.iter().map(operation).collect::<Vec<_>>().join(", "), kind.name())
    });
    let look_up = |look_up: &Lookup| {
        match look_up {
        Lookup::Get(kind) => format!("{} by name", kind.kind),
        Lookup::List(kind) => format!("a list of {}", kind.resource),
        Lookup::Owner => "the owner that is named".to_owned(),
        Lookup::Fleets => {
            "Envoy Gateway's fleets (lists of deployments, gateways and gatewayclasses; ConfigMap and EnvoyProxy by name)"
                .to_owned()
        }
    }
    };
    let own = LOOKUPS.iter().find(|(id, _)| *id == rule.id).map(|(_, own)| *own).unwrap_or_default();
    let looked_up = if own.is_empty() {
        "nothing of its own".to_owned()
    } else {
        own.iter().map(look_up).collect::<Vec<_>>().join(", ")
    };
    let rows = [
        ("By default", default(rule).to_owned()),
        ("Watches", watched.collect::<Vec<_>>().join("; ")),
        ("Looks up", format!("{looked_up}; where it speaks, the workload and the namespace")),
        ("Since", format!("{} ({})", rule.since, rule.stage.name())),
    ];
    let rows: Vec<String> = rows.iter().map(|(what, text)| format!("| {what} | {text} |")).collect();
    format!("\n## Facts\n| | |\n|---|---|\n{}\n", rows.join("\n"))
}
