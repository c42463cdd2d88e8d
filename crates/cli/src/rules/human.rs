//! Rules for people: an aligned table, and a page to read.

use autoscaler_guard::rule::{DefaultAction, Rule};
use autoscaler_guard::rules::RULES;

use super::default::default;
use super::page::{Page, Section};
use crate::paint::{self, BAD, FAINT, REPAIR, STRONG, WARNING, paint};

/// All rules, a line each.
pub fn catalogue(width: usize) -> String {
    let ids = RULES.iter().map(|rule| rule.id.len()).max().unwrap_or_default();
    let mut text = paint(FAINT, format!("{:ids$}  {:7}  {:5}  {}", "RULE", "DEFAULT", "SINCE", "PROBLEM")) + "\n";
    for rule in RULES {
        let padding = " ".repeat(ids - rule.id.len());
        let action = paint(style(rule), format!("{:7}", default(rule)));
        let line = format!("{}{padding}  {action}  {:5}  {}", paint(STRONG, rule.id), rule.since, rule.title);
        text += &(paint::hang(&line, width, 0, ids + 18) + "\n");
    }
    text + &paint(FAINT, "\nautoscaler-guard rules RULE shows a rule's page.") + "\n"
}

/// A rule's page.
pub fn page(rule: &Rule, page: &Page, width: usize) -> String {
    let facts =
        format!("by default: {}, since {}, {}", paint(style(rule), default(rule)), rule.since, rule.stage.name());
    let summary = paint::wrap(&paint::code_spans(&page.summary.replace('\n', " ")), width, 0);
    let sections = page.sections.iter().map(|section| self::section(section, width));
    format!("{}  {}\n\n{summary}\n{}", paint(STRONG, rule.id), facts, sections.collect::<String>())
}

fn section(section: &Section, width: usize) -> String {
    let blocks = section.blocks();
    let blocks = blocks.iter().map(|block| {
        let rest = if block.starts_with("* ") { 4 } else { 2 };
        paint::hang(&paint::code_spans(block), width, 2, rest) + "\n"
    });
    format!("\n{}\n{}", paint(STRONG, &section.heading), blocks.collect::<String>())
}

fn style(rule: &Rule) -> anstyle::Style {
    match rule.default {
        DefaultAction::Warn => WARNING,
        DefaultAction::Repair => REPAIR,
        DefaultAction::Reject => BAD,
    }
}
