//! Rules for scripts.

use autoscaler_guard::change::{Kind, Operation};
use autoscaler_guard::rule::Rule;
use autoscaler_guard::rules::RULES;
use serde::Serialize;

use super::default::default;
use super::page::Page;
use crate::fault::Fault;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    id: &'a str,
    title: &'a str,
    default: &'a str,
    may_reject: bool,
    since: &'a str,
    stage: &'a str,
    watches: Vec<Watch>,
    overrides: &'a str,
    page: String,
}

#[derive(Serialize)]
struct Watch {
    kind: String,
    operations: Vec<String>,
}

/// An array of all rules.
pub fn catalogue() -> Result<String, Fault> {
    let pages: Vec<(&Rule, Page)> = RULES.iter().map(|rule| (*rule, Page::of(rule.id))).collect();
    write(&pages.iter().map(|(rule, page)| entry(rule, page)).collect::<Vec<_>>())
}

/// One rule.
pub fn page(rule: &Rule, page: &Page) -> Result<String, Fault> {
    write(&entry(rule, page))
}

fn write(value: &impl Serialize) -> Result<String, Fault> {
    let text = serde_json::to_string_pretty(value);
    text.map(|text| text + "\n").map_err(|error| Fault::new("the rules cannot be written as JSON").because(error))
}

fn entry<'a>(rule: &'a Rule, page: &'a Page) -> Entry<'a> {
    Entry {
        id: rule.id,
        title: rule.title,
        default: default(rule),
        may_reject: rule.may_reject,
        since: rule.since,
        stage: rule.stage.name(),
        watches: watches(rule),
        overrides: page.section("Overrides"),
        page: page.markdown(),
    }
}

fn watches(rule: &Rule) -> Vec<Watch> {
    let watch = |(kind, operations): &(Kind, &[Operation])| Watch {
        kind: if *kind == Kind::Other { "of setting declarations".to_owned() } else { format!("{kind:?}") },
        operations: operations.iter().map(|operation| format!("{operation:?}").to_ascii_uppercase()).collect(),
    };
    rule.watches.iter().map(watch).collect()
}
