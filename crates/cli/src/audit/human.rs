//! For people: a table, what mends each, a summary per namespace, what could not be read, what is acknowledged.

use std::collections::BTreeMap;

use autoscaler_guard_audit::{Certainty, Finding};

use super::audits::Audits;
use crate::paint::{self, BAD, COMMAND, FAINT, GOOD, HELP, STRONG, WARNING, paint, wrap};

/// The whole answer.
pub fn text(audits: &Audits) -> String {
    let width = paint::width();
    let (counting, apart): (Vec<_>, Vec<_>) = audits.findings().partition(|(_, finding)| audits.counts(finding));
    let mut lines = Vec::new();
    if !counting.is_empty() {
        lines.push(table(&counting, width));
    }
    if !apart.is_empty() {
        lines.push(paint(STRONG, "Known, and not counted:"));
        lines.extend(apart.iter().map(|(_, finding)| {
            let why = if finding.acknowledged { "acknowledged" } else { "in the baseline" };
            format!("  {} ({why})", finding.id())
        }));
        lines.push(String::new());
    }
    for audit in &audits.clusters {
        for standing in &audit.report.acknowledgements {
            let since = standing.since.as_ref().map(|since| format!(" since {since}")).unwrap_or_default();
            let text = format!("acknowledged: {}: {}={}{since}", standing.object, standing.annotation, standing.value);
            lines.push(wrap(&paint(FAINT, text), width, 0));
        }
        for unread in &audit.report.unread {
            let place = unread.namespace.as_ref().map(|name| format!(" in namespace {name}")).unwrap_or_default();
            let cluster = audit.context.as_ref().map(|context| format!("{context}: ")).unwrap_or_default();
            let text = format!("{} {cluster}{}{place}: {}", paint(WARNING, "not read:"), unread.kind, unread.reason);
            lines.push(wrap(&text, width, 0));
        }
    }
    lines.extend(summary(&counting));
    lines.push(conclusion(audits, counting.len()));
    lines.join("\n") + "\n"
}

fn table(findings: &[(Option<&str>, &Finding)], width: usize) -> String {
    let has_context = findings.iter().any(|(context, _)| context.is_some());
    let row = |context: &str, finding: &Finding| {
        let certainty = if finding.certainty == Certainty::Certain { "certain" } else { "likely" };
        let since = finding.since.clone().unwrap_or_else(|| "unknown".to_owned());
        let mut row = vec![finding.problem.to_owned(), finding.subject().to_string(), since, certainty.to_owned()];
        if has_context {
            row.insert(0, context.to_owned());
        }
        row
    };
    let mut header: Vec<String> = ["PROBLEM", "WHAT", "SINCE", "CERTAINTY"].map(str::to_owned).to_vec();
    if has_context {
        header.insert(0, "CONTEXT".to_owned());
    }
    let rows: Vec<Vec<String>> = findings.iter().map(|(context, it)| row(context.unwrap_or_default(), it)).collect();
    let wide = |column: usize| {
        let cells = rows.iter().chain([&header]).filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..header.len()).map(wide).collect();
    let line = |row: &[String]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let mut lines = vec![paint(FAINT, line(&header))];
    for ((_, finding), row) in findings.iter().zip(&rows) {
        let style = if finding.certainty == Certainty::Certain { BAD } else { WARNING };
        lines.push(paint(style, line(row)));
        lines.push(wrap(&finding.message, width, 4));
        for command in &finding.commands {
            lines.push(format!("    {} {}", paint(HELP, "help:"), paint(COMMAND, command)));
        }
    }
    lines.push(String::new());
    lines.join("\n")
}

/// How many of which problem each namespace has.
fn summary(findings: &[(Option<&str>, &Finding)]) -> Vec<String> {
    let mut places: BTreeMap<String, BTreeMap<&str, usize>> = BTreeMap::new();
    for (context, finding) in findings {
        let namespace = &finding.subject().namespace;
        let namespace = if namespace.is_empty() { "cluster" } else { namespace };
        let place = context.map_or_else(|| namespace.to_owned(), |context| format!("{context}: {namespace}"));
        *places.entry(place).or_default().entry(finding.problem).or_default() += 1;
    }
    let line = |(place, problems): (String, BTreeMap<&str, usize>)| {
        let each: Vec<String> = problems.iter().map(|(problem, count)| format!("{count} {problem}")).collect();
        format!("{}: {}", paint(STRONG, place), each.join(", "))
    };
    places.into_iter().map(line).collect()
}

fn conclusion(audits: &Audits, count: usize) -> String {
    match (count, audits.is_complete()) {
        (0, true) => format!("{} nothing found", paint(GOOD, "✓")),
        (0, false) => format!("{} nothing found in what could be read", paint(WARNING, "!")),
        _ => format!("{} {} found", paint(BAD, "✗"), paint::count(count, "problem")),
    }
}
