//! What changes between two versions of an object: YAML lines, green and red, below the lines that say where they
//! belong.

use autoscaler_guard::plain::plain;
use autoscaler_guard_host::yaml::{self, Line};
use serde_json::Value;
use similar::{Algorithm, DiffOp, capture_diff_slices};

use crate::paint::{self, ADDED, FAINT, REMOVED};

/// How many unchanged lines to show around changed ones.
const CONTEXT: usize = 1;

/// The changed lines with their surroundings, a line each, no wider than asked for; empty if nothing changed.
/// `managedFields` are left out, as the API server writes them anew.
pub fn diff(old: &Value, new: &Value, width: usize) -> Vec<String> {
    let (old, new) = (lines(old), lines(new));
    let entries = entries(&old, &new);
    let shown = shown(&entries);
    let mut output = Vec::new();
    for (index, entry) in entries.iter().enumerate().filter(|(index, _)| shown[*index]) {
        let follows = index == 0 || shown[index - 1] || output.is_empty();
        if !follows {
            output.push(paint::paint(FAINT, "  …"));
        }
        output.push(entry.styled(width));
    }
    output
}

fn lines(object: &Value) -> Vec<Line> {
    if object.is_null() {
        return Vec::new();
    }
    let mut object = object.clone();
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    yaml::lines(&object)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    None,
    Added,
    Removed,
}

#[derive(Debug)]
struct Entry<'a> {
    change: Change,
    line: &'a Line,
}

impl Entry<'_> {
    fn styled(&self, width: usize) -> String {
        let text = &plain(&self.line.text);
        match self.change {
            Change::None => paint::cut(&format!("  {text}"), width),
            Change::Added => paint::paint(ADDED, paint::cut(&format!("+ {text}"), width)),
            Change::Removed => paint::paint(REMOVED, paint::cut(&format!("- {text}"), width)),
        }
    }
}

/// Both versions in one sequence.
fn entries<'a>(old: &'a [Line], new: &'a [Line]) -> Vec<Entry<'a>> {
    let texts = |lines: &'a [Line]| lines.iter().map(|line| line.text.as_str()).collect::<Vec<_>>();
    let operations = capture_diff_slices(Algorithm::Myers, &texts(old), &texts(new));
    operations.iter().flat_map(|operation| entries_of(operation, old, new)).collect()
}

fn entries_of<'a>(operation: &DiffOp, old: &'a [Line], new: &'a [Line]) -> Vec<Entry<'a>> {
    let all = |change, lines: &'a [Line]| lines.iter().map(move |line| Entry { change, line });
    let (removed, added) = (&old[operation.old_range()], &new[operation.new_range()]);
    match operation {
        DiffOp::Equal { .. } => all(Change::None, added).collect(),
        _ => all(Change::Removed, removed).chain(all(Change::Added, added)).collect(),
    }
}

/// Which entries to show: what changed, a little around it, and the lines that it is below.
fn shown(entries: &[Entry<'_>]) -> Vec<bool> {
    let mut shown = vec![false; entries.len()];
    for index in (0..entries.len()).filter(|index| entries[*index].change != Change::None) {
        let (from, to) = (index.saturating_sub(CONTEXT), (index + CONTEXT).min(entries.len() - 1));
        shown[from..=to].fill(true);
        for ancestor in ancestors(entries, index) {
            shown[ancestor] = true;
        }
    }
    shown
}

fn ancestors<'a>(entries: &'a [Entry<'a>], index: usize) -> impl Iterator<Item = usize> + 'a {
    let of = &entries[index];
    let mut depth = of.line.depth;
    (0..index).rev().filter(move |above| {
        let entry = &entries[*above];
        let is_parent = entry.line.depth < depth && (entry.change == Change::None || entry.change == of.change);
        if is_parent {
            depth = entry.line.depth;
        }
        is_parent
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn plain(old: &Value, new: &Value) -> String {
        let lines = diff(old, new, 60);
        lines.iter().map(|line| anstream::adapter::strip_str(line).to_string() + "\n").collect()
    }

    #[test]
    fn changed_lines_come_with_the_lines_that_they_are_below() {
        let old = json!({
            "kind": "HPA",
            "metadata": {"annotations": {"a": "b"}, "labels": {"c": "d", "e": "f"}, "managedFields": [1], "name": "web", "ownerReferences": [{"kind": "SO", "name": "web"}], "uid": "u"},
            "spec": {"max": 5, "min": 1, "target": {"kind": "Deployment", "name": "web"}},
        });
        let mut new = old.clone();
        new["metadata"]["annotations"]["x"] = "new".into();
        new["metadata"]["managedFields"] = json!([1, 2]);
        new["metadata"].as_object_mut().unwrap().remove("ownerReferences");
        new["spec"]["target"]["name"] = "other".into();
        let expected = "  metadata:
    annotations:
      a: b
+     x: new
    labels:
  …
    name: web
-   ownerReferences:
-   - kind: SO
-     name: web
    uid: u
  spec:
  …
    target:
      kind: Deployment
-     name: web
+     name: other
";
        assert_eq!(plain(&old, &new), expected);
    }

    #[test]
    fn equal_objects_make_no_lines() {
        let (old, new) = (json!({"metadata": {"managedFields": [1]}}), json!({"metadata": {"managedFields": [2]}}));
        assert!(diff(&old, &new, 60).is_empty());
        assert!(diff(&Value::Null, &Value::Null, 60).is_empty());
    }

    #[test]
    fn long_lines_are_cut() {
        let added = plain(&json!({}), &json!({"a": "b".repeat(100)}));
        assert!(added.lines().all(|line| line.chars().count() <= 60), "{added}");
    }
}
