//! The YAML in which Helm charts write configuration files, as JSON text: block mappings and lists, plain and quoted
//! scalars, JSON in one line. What it does not know (anchors, tags, block scalars, several documents) it does not read
//! at all.

use autoscaler_guard_reading::{Json, quoted};

/// A line that says something: how far it is indented, and the rest of it.
type Line<'y> = (usize, &'y str);

/// The document as JSON, or `None` where it is written in a way that is not read here.
pub fn to_json(yaml: &str) -> Option<String> {
    let lines = yaml.lines().filter(|line| *line != "---").filter_map(said);
    let mut lines: Vec<Line<'_>> = lines.collect();
    if lines.is_empty() {
        return Some("{}".to_owned());
    }
    // Read from the end, as a stack.
    lines.reverse();
    let mut json = String::new();
    block(&mut lines, &mut json)?;
    lines.is_empty().then_some(json)
}

/// What a line says, without its comment.
fn said(line: &str) -> Option<Line<'_>> {
    let rest = line.trim_start_matches(' ');
    let indent = line.len() - rest.len();
    let rest =
        if rest.starts_with(['"', '\'']) { rest } else { rest.split(" #").next().unwrap_or_default() }.trim_end();
    (!rest.is_empty() && !rest.starts_with('#')).then_some((indent, rest))
}

/// A mapping or a list, all of whose lines are indented alike.
fn block(lines: &mut Vec<Line<'_>>, json: &mut String) -> Option<()> {
    let (indent, first) = *lines.last()?;
    let is_list = item(first).is_some();
    json.push(if is_list { '[' } else { '{' });
    let mut is_first = true;
    while let Some((at, line)) =
        lines.last().copied().filter(|(at, line)| *at == indent && item(line).is_some() == is_list)
    {
        if !is_first {
            json.push(',');
        }
        is_first = false;
        lines.pop();
        if is_list {
            let rest = item(line)?;
            if rest.is_empty() {
                below(lines, at + 1, json)?;
            } else if entry(rest).is_some() || item(rest).is_some() {
                // What stands behind the dash is the first line of a block.
                lines.push((at + line.len() - rest.len(), rest));
                block(lines, json)?;
            } else {
                scalar(rest, json)?;
            }
        } else {
            let (key, rest) = entry(line)?;
            json.push_str(&quoted(key));
            json.push(':');
            if rest.is_empty() {
                // A list may stand as far to the left as its key.
                let is_list = lines.last().is_some_and(|(next, line)| *next == at && item(line).is_some());
                below(lines, if is_list { at } else { at + 1 }, json)?;
            } else {
                scalar(rest, json)?;
            }
        }
    }
    json.push(if is_list { ']' } else { '}' });
    lines.last().is_none_or(|(at, line)| *at < indent || *at == indent && is_list && item(line).is_none()).then_some(())
}

/// The block that is indented by so much at least, or null.
fn below(lines: &mut Vec<Line<'_>>, least: usize, json: &mut String) -> Option<()> {
    if lines.last().is_some_and(|(at, _)| *at >= least) {
        return block(lines, json);
    }
    json.push_str("null");
    Some(())
}

fn item(line: &str) -> Option<&str> {
    if line == "-" { Some("") } else { line.strip_prefix("- ").map(str::trim_start) }
}

/// The key of a mapping's line, and what stands behind it.
fn entry(line: &str) -> Option<(&str, &str)> {
    if line.starts_with(['{', '[']) {
        return None;
    }
    let quote = line.chars().next().filter(|first| matches!(first, '"' | '\''));
    if let Some(quote) = quote {
        let (key, rest) = line.get(1..)?.split_once(quote)?;
        let rest = rest.strip_prefix(':')?;
        return (!key.contains('\\')).then_some((key, rest.trim_start()));
    }
    let (key, rest) = line.split_once(": ").or_else(|| line.strip_suffix(':').map(|key| (key, "")))?;
    Some((key, rest.trim_start()))
}

fn scalar(text: &str, json: &mut String) -> Option<()> {
    let plain = match text.chars().next()? {
        '|' | '>' | '&' | '*' | '!' | '%' | '@' | '`' => return None,
        '{' | '[' | '"' => {
            json.push_str(Json::parse(text).ok()?.text());
            return Some(());
        }
        '\'' => quoted(&text.strip_prefix('\'')?.strip_suffix('\'')?.replace("''", "'")),
        _ if matches!(text, "true" | "false" | "null") || text.parse::<i64>().is_ok_and(|_| !text.starts_with('+')) => {
            text.to_owned()
        }
        _ if text == "~" => "null".to_owned(),
        _ => quoted(text),
    };
    json.push_str(&plain);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(yaml: &str) -> Option<serde_json::Value> {
        to_json(yaml).map(|json| serde_json::from_str(&json).unwrap_or_else(|error| panic!("{json}: {error}")))
    }

    #[test]
    fn reads_what_a_chart_writes() {
        let yaml = "---\n# by Helm\napiVersion: gateway.envoyproxy.io/v1alpha1\ngateway:\n  controllerName: 'it''s' # mine\n\
                    provider:\n  kubernetes:\n    deploy: {\"type\": \"GatewayNamespace\"}\n    watch:\n      namespaces:\n      - a\n      - \"b\"\n\
                    \x20 type: Kubernetes\nempty:\nnested:\n  - name: x\n    count: 3\n  - - 1\n    - -2\n  -\n    y: true\n\"a.b/c\": [\"z\"]\n";
        let expected = serde_json::json!({
            "apiVersion": "gateway.envoyproxy.io/v1alpha1", "gateway": {"controllerName": "it's"},
            "provider": {"kubernetes": {"deploy": {"type": "GatewayNamespace"}, "watch": {"namespaces": ["a", "b"]}}, "type": "Kubernetes"},
            "empty": null, "nested": [{"name": "x", "count": 3}, [1, -2], {"y": true}], "a.b/c": ["z"],
        });
        assert_eq!(read(yaml), Some(expected));
        assert_eq!(read("\n# nothing\n"), Some(serde_json::json!({})));
    }

    #[test]
    fn what_it_does_not_know_is_not_read() {
        for yaml in ["a: |\n  text", "a: &b 1", "a: 1\n   b: 2", "a: [x, y]", "just text", "a: {b: 1}", "- 1\nb: 2"] {
            assert_eq!(read(yaml), None, "{yaml}");
        }
    }
}
