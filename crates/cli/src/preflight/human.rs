//! For people: a table per workload, what is refused or repaired on the way, and what to change.

use anstyle::Style;
use autoscaler_guard_world::preflight::{Cell, Row};
use autoscaler_guard_world::{Key, Outcome};

use super::report::Preflight;
use crate::paint::{self, BAD, COMMAND, FAINT, GOOD, HELP, STRONG, WARNING, paint, wrap};

/// The whole answer.
pub fn text(preflight: &Preflight, verbose: bool) -> String {
    let width = paint::width();
    let mut lines = Vec::new();
    for note in &preflight.assumed {
        lines.push(wrap(&format!("{} {note}", paint(FAINT, "assumed:")), width, 0));
    }
    if !preflight.assumed.is_empty() {
        lines.push(String::new());
    }
    for row in &preflight.rows {
        lines.push(workload(row, width, verbose));
        lines.push(String::new());
    }
    lines.push(conclusion(preflight));
    lines.join("\n") + "\n"
}

fn conclusion(preflight: &Preflight) -> String {
    let cells: Vec<&Cell> = preflight.rows.iter().filter_map(Row::counts).collect();
    let bad = cells.iter().filter(|cell| cell.outcome.is_bad()).count();
    let all = paint::count(cells.len(), "workload");
    if cells.is_empty() {
        "no workload has an autoscaler on either side".to_owned()
    } else if bad == 0 {
        format!("{} {all} as it should be, applied by {}", paint(GOOD, "✓"), preflight.tool.id())
    } else {
        format!("{} {bad} of {all} not as it should be, applied by {}", paint(BAD, "✗"), preflight.tool.id())
    }
}

pub fn style(outcome: Outcome) -> Style {
    match outcome {
        _ if outcome.is_bad() => BAD,
        Outcome::Gap | Outcome::Declared => WARNING,
        _ => GOOD,
    }
}

fn workload(row: &Row, width: usize, verbose: bool) -> String {
    let mut lines = vec![paint(STRONG, &row.workload)];
    lines.push(format!("  autoscaler  {} → {}", names(&row.before), names(&row.after)));
    for (label, cell) in [("without", &row.without), ("with guard", &row.with)] {
        let Some(cell) = cell else { continue };
        let dip = cell.dip.map(|dip| format!("; its count falls to {dip} on the way")).unwrap_or_default();
        let back = cell.rollback.map(|back| format!("; rolled back: {back}")).unwrap_or_default();
        let outcome = paint(style(cell.outcome), cell.outcome);
        lines.push(wrap(&format!("{label:<10}  {outcome}: {}{dip}{back}", cell.outcome.words()), width, 2));
        if cell.outcome == Outcome::Stuck
            && let Some(failure) = &cell.failure
        {
            lines.push(wrap(failure, width, 14));
        }
        for event in cell.timeline.iter().filter(|event| event.repaired) {
            lines.push(wrap(&format!("repaired: {} ({})", event.what(), event.rules.join(", ")), width, 14));
        }
        for refusal in &cell.refused {
            lines.push(wrap(&format!("refused: {}", refusal.message.replace('\n', " — ")), width, 14));
        }
        if verbose {
            lines.extend(cell.timeline.iter().map(|event| {
                wrap(&paint(FAINT, format!("{}: {}: {}", event.who, event.what(), event.answer())), width, 14)
            }));
        }
    }
    for advice in &row.advice {
        lines.push(wrap(&format!("{} {} ({})", paint(HELP, "help:"), advice.text, advice.outcome), width, 2));
        lines.extend(advice.commands.iter().map(|command| format!("        {}", paint(COMMAND, command))));
    }
    lines.join("\n")
}

pub fn names(keys: &[Key]) -> String {
    if keys.is_empty() {
        return "none".to_owned();
    }
    keys.iter().map(ToString::to_string).collect::<Vec<String>>().join(", ")
}
