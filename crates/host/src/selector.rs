//! Label and field selectors, as the API server reads them.
//!
//! Labels: `a=b`, `a==b`, `a!=b`, `a in (b,c)`, `a notin (b,c)`, `a` and `!a`. Fields: `path=value`, `==` and `!=`,
//! where a path is dotted. Requirements are joined by commas and must all hold.

use std::{collections::BTreeSet, sync::LazyLock};

use serde_json::{Map, Value};

/// All requirements of a lookup.
#[derive(Debug, Default)]
pub(crate) struct Selector {
    labels: Vec<Requirement>,
    fields: Vec<Requirement>,
}

#[derive(Debug, PartialEq)]
struct Requirement {
    key: String,
    test: Test,
}

#[derive(Debug, PartialEq)]
enum Test {
    In(BTreeSet<String>),
    /// Holds for an absent key, too.
    NotIn(BTreeSet<String>),
    Exists,
    Absent,
}

impl Selector {
    /// Reads the selectors of a list; the error is a text in the API server's words.
    pub(crate) fn parse(labels: Option<&str>, fields: Option<&str>) -> Result<Self, String> {
        let labels =
            parse(labels, label_requirement).map_err(|part| format!("unable to parse requirement: {part:?}"))?;
        let fields = parse(fields, field_requirement)
            .map_err(|part| format!("invalid selector: {part:?}; can't understand {part:?}"))?;
        Ok(Self { labels, fields })
    }

    pub(crate) fn matches(&self, object: &Value) -> bool {
        self.labels.iter().all(|requirement| requirement.holds(label(object, &requirement.key)))
            && self.fields.iter().all(|requirement| requirement.holds(Some(&field(object, &requirement.key))))
    }
}

impl Requirement {
    fn holds(&self, value: Option<&str>) -> bool {
        match &self.test {
            Test::In(values) => value.is_some_and(|value| values.contains(value)),
            Test::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
            Test::Exists => value.is_some(),
            Test::Absent => value.is_none(),
        }
    }
}

fn label<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    static NONE: LazyLock<Map<String, Value>> = LazyLock::new(Map::new);
    let labels = object.pointer("/metadata/labels").and_then(Value::as_object).unwrap_or(&NONE);
    labels.get(key).and_then(Value::as_str)
}

/// The API server compares an absent field as an empty one.
fn field(object: &Value, path: &str) -> String {
    let value = path.split('.').try_fold(object, |value, part| value.get(part));
    match value {
        Some(Value::String(text)) => text.clone(),
        None | Some(Value::Null) => String::new(),
        Some(other) => other.to_string(),
    }
}

/// Reads all parts, or returns the one that cannot be read.
fn parse(selector: Option<&str>, read: fn(&str) -> Option<Requirement>) -> Result<Vec<Requirement>, &str> {
    let parts = parts(selector.unwrap_or_default());
    parts.into_iter().map(str::trim).filter(|part| !part.is_empty()).map(|part| read(part).ok_or(part)).collect()
}

/// Splits at the commas that stand outside of parentheses.
fn parts(selector: &str) -> Vec<&str> {
    let mut depth = 0;
    selector
        .split(|letter| {
            depth += i32::from(letter == '(') - i32::from(letter == ')');
            letter == ',' && depth == 0
        })
        .collect()
}

fn label_requirement(part: &str) -> Option<Requirement> {
    if let Some(requirement) = set_requirement(part).or_else(|| field_requirement(part)) {
        return Some(requirement).filter(|requirement| is_key(&requirement.key));
    }
    let (key, test) = match part.strip_prefix('!') {
        Some(key) => (key.trim(), Test::Absent),
        None => (part, Test::Exists),
    };
    is_key(key).then(|| Requirement { key: key.into(), test })
}

/// `key in (a, b)` and `key notin (a, b)`.
fn set_requirement(part: &str) -> Option<Requirement> {
    let (head, values) = part.strip_suffix(')')?.split_once('(')?;
    let (key, operator) = head.trim_end().rsplit_once(char::is_whitespace)?;
    let values = values.split(',').map(|value| value.trim().to_owned()).collect();
    let test = match operator {
        "in" => Test::In(values),
        "notin" => Test::NotIn(values),
        _ => return None,
    };
    Some(Requirement { key: key.trim().into(), test })
}

/// `key=value`, `key==value` and `key!=value`.
fn field_requirement(part: &str) -> Option<Requirement> {
    let (key, value) = part.split_once('=')?;
    let only = |value: &str| BTreeSet::from([value.trim().to_owned()]);
    let (key, test) = match key.strip_suffix('!') {
        Some(key) => (key, Test::NotIn(only(value))),
        None => (key, Test::In(only(value.strip_prefix('=').unwrap_or(value)))),
    };
    let key = key.trim();
    (!key.is_empty()).then(|| Requirement { key: key.into(), test })
}

fn is_key(key: &str) -> bool {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.' | '/');
    !key.is_empty() && key.chars().all(allowed)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn matches(labels: Option<&str>, fields: Option<&str>) -> bool {
        let object = json!({
            "metadata": {"name": "web", "namespace": "shop", "labels": {"app": "web", "app.kubernetes.io/tier": "front"}},
            "spec": {"replicas": 3, "scaleTargetRef": {"name": "web"}},
        });
        Selector::parse(labels, fields).unwrap().matches(&object)
    }

    #[test]
    fn labels() {
        for held in [
            "",
            "app",
            "app=web",
            "app == web",
            "app!=api",
            "team!=red",
            "!team",
            "app in (api, web)",
            "team notin (red)",
            "app.kubernetes.io/tier=front,app in (web,x),!team",
        ] {
            assert!(matches(Some(held), None), "{held}");
        }
        for broken in
            ["team", "app=api", "app!=web", "!app", "app in (api)", "app notin (api, web)", "app=web,team=red"]
        {
            assert!(!matches(Some(broken), None), "{broken}");
        }
    }

    #[test]
    fn fields() {
        for held in [
            "metadata.name=web",
            "metadata.namespace==shop",
            "spec.replicas=3",
            "spec.scaleTargetRef.name=web,metadata.name!=api",
            "status.phase!=Running",
        ] {
            assert!(matches(None, Some(held)), "{held}");
        }
        assert!(!matches(None, Some("metadata.name=api")));
    }

    #[test]
    fn what_cannot_be_read_is_refused_not_ignored() {
        assert_eq!(Selector::parse(Some("app=web,a b"), None).unwrap_err(), "unable to parse requirement: \"a b\"");
        assert_eq!(
            Selector::parse(None, Some("name")).unwrap_err(),
            "invalid selector: \"name\"; can't understand \"name\""
        );
    }
}
