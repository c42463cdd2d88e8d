//! Damages a JSON value here and there, and writes it in an unusual but legal way.

use std::fmt::Write;

use arbitrary::Unstructured;
use serde_json::{Value, json};

/// As many edits as the choices say; none when there are no choices.
pub(crate) fn damage(value: &mut Value, choices: &mut Unstructured<'_>) {
    for _ in 0..choices.arbitrary::<u8>().unwrap_or_default() % 8 {
        let mut found = Vec::new();
        places(value, String::new(), &mut found);
        // Copies of copies grow.
        if found.len() > 20_000 {
            return;
        }
        let Ok(place) = choices.choose(&found).cloned() else { return };
        let other = choices.choose(&found).cloned().unwrap_or_default();
        let another = value.pointer(&other).cloned().unwrap_or_default();
        let Some(at) = value.pointer_mut(&place) else { return };
        match choices.arbitrary::<u8>().unwrap_or_default() % 4 {
            0 => *at = scalar(choices),
            1 => *at = another,
            2 => remove(at, choices),
            _ => insert(at, another, choices),
        }
    }
}

fn places(value: &Value, at: String, into: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                places(value, format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")), into);
            }
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| places(item, format!("{at}/{index}"), into));
        }
        _ => {}
    }
    into.push(at);
}

fn scalar(choices: &mut Unstructured<'_>) -> Value {
    let usual = [
        json!(null),
        json!(true),
        json!(false),
        json!(0),
        json!(-1),
        json!(i64::MAX),
        json!(1.5),
        json!(""),
        json!("web"),
        json!("\"\\\n\u{7f}é\u{1f600}"),
        json!([]),
        json!({}),
        json!("autoscaler-guard/released-from"),
        json!([[[[{"a": [1]}]]]]),
    ];
    match choices.choose(&usual) {
        Ok(value) => value.clone(),
        Err(_) => Value::Null,
    }
}

fn remove(at: &mut Value, choices: &mut Unstructured<'_>) {
    match at {
        Value::Object(fields) => {
            let keys: Vec<String> = fields.keys().cloned().collect();
            if let Ok(key) = choices.choose(&keys) {
                fields.remove(key);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            items.remove(choices.choose_index(items.len()).unwrap_or_default());
        }
        other => *other = Value::Null,
    }
}

fn insert(at: &mut Value, value: Value, choices: &mut Unstructured<'_>) {
    match at {
        Value::Object(fields) => {
            let keys = ["metadata", "spec", "ownerReferences", "annotations", "k\"ey", ""];
            fields.insert((*choices.choose(&keys).unwrap_or(&"")).to_owned(), value);
        }
        Value::Array(items) => items.push(value),
        other => *other = value,
    }
}

/// The value as text, with escapes and white space where the choices put some.
pub(crate) fn text(value: &Value, choices: &mut Unstructured<'_>) -> String {
    let mut into = String::new();
    write(value, choices, &mut into);
    into
}

fn write(value: &Value, choices: &mut Unstructured<'_>, into: &mut String) {
    match value {
        Value::Object(fields) => {
            into.push('{');
            for (index, (key, value)) in fields.iter().enumerate() {
                into.push_str(if index > 0 { "," } else { "" });
                write_string(key, choices, into);
                into.push(':');
                write(value, choices, into);
            }
            into.push('}');
        }
        Value::Array(items) => {
            into.push('[');
            for (index, item) in items.iter().enumerate() {
                into.push_str(if index > 0 { "," } else { "" });
                write(item, choices, into);
            }
            into.push(']');
        }
        Value::String(text) => write_string(text, choices, into),
        Value::Number(number) => match choices.arbitrary::<u8>().unwrap_or_default() {
            200..=219 => into.push_str("1.50"),
            220..=239 => into.push_str("1e400"),
            240..=255 => into.push_str("-0"),
            _ => into.push_str(&number.to_string()),
        },
        other => into.push_str(&other.to_string()),
    }
}

fn write_string(text: &str, choices: &mut Unstructured<'_>, into: &mut String) {
    let style = choices.arbitrary::<u8>().unwrap_or_default();
    into.push_str(if style >= 250 { " \n\t" } else { "" });
    match text.chars().next() {
        Some(first @ ' '..='~') if (200..225).contains(&style) => {
            let rest = Value::from(text.get(1..).unwrap_or_default()).to_string();
            let _ = write!(into, "\"\\u{:04x}{}", u32::from(first), &rest[1..]);
        }
        _ => into.push_str(&Value::from(text).to_string()),
    }
    into.push_str(if (225..250).contains(&style) { " \r" } else { "" });
}
