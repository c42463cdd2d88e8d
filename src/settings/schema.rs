//! The settings as a JSON Schema (draft 2020-12): for editors, and for whoever writes settings by program.
//!
//! It is the table in another notation. Tests hold it and the reader to the same answers, but for what a schema cannot say: of a doubled
//! key the reader judges both, and a number in a version must fit 32 bits.

use serde_json::{Map, Value, json};

use super::Settings;
use super::table::{RULE_ACTIONS, SETTINGS, Setting, Takes};
use crate::pattern::Patterns;
use crate::rules::{RULES, Rule};

/// What `Version::parse` reads.
const VERSION: &str = r"^v?[0-9]+\.[0-9]+(\.[0-9]+)?([-+]|$)";

/// No white space, as `char::is_whitespace` has it: `\s` of JavaScript differs from it.
const NO_SPACE: &str = r"^[^\t-\r \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+$";

/// The schema; its keys are sorted.
pub fn schema() -> Value {
    let mut schema = group(SETTINGS, &mut Settings::default());
    schema.insert("$schema".to_owned(), "https://json-schema.org/draft/2020-12/schema".into());
    schema.insert("title".to_owned(), "Settings of autoscaler-guard".into());
    let about = "What is not given, or null, keeps its default; a list that is given replaces the default list.";
    schema.insert("description".to_owned(), about.into());
    let mut schema = Value::Object(schema);
    schema.sort_all_objects();
    schema
}

fn group(settings: &[Setting], defaults: &mut Settings) -> Map<String, Value> {
    object(settings.iter().map(|setting| {
        let mut schema = takes(&setting.takes, defaults);
        schema.insert("description".to_owned(), setting.about.into());
        (setting.name, schema)
    }))
}

/// An object of just these properties.
fn object<'n>(properties: impl Iterator<Item = (&'n str, Map<String, Value>)>) -> Map<String, Value> {
    let properties: Map<String, Value> =
        properties.map(|(name, schema)| (name.to_owned(), Value::Object(schema))).collect();
    fields(json!({"type": ["object", "null"], "properties": properties, "additionalProperties": false}))
}

fn takes(takes: &Takes, defaults: &mut Settings) -> Map<String, Value> {
    fields(match takes {
        Takes::Group(settings) => return group(settings, defaults),
        Takes::Rules => {
            let mut schema = object(RULES.iter().map(|rule| (rule.id, rule_action(rule))));
            schema.insert("default".to_owned(), json!({}));
            return schema;
        }
        Takes::Flag(slot) => json!({"type": ["boolean", "null"], "default": *slot(defaults)}),
        Takes::Word(words, _) => json!({"enum": nullable(words), "default": words.first()}),
        Takes::Text(slot) => json!({"type": ["string", "null"], "minLength": 1, "default": slot(defaults)}),
        Takes::Version(_) => json!({"type": ["string", "null"], "pattern": VERSION}),
        Takes::Patterns(slot) => {
            let default = match slot(defaults) {
                Patterns::Default(patterns) => json!(patterns),
                Patterns::Given(patterns) => json!(patterns),
            };
            json!({"type": ["array", "null"], "items": {"type": "string", "pattern": NO_SPACE}, "default": default})
        }
    })
}

fn rule_action(rule: &Rule) -> Map<String, Value> {
    let may = |action: &&&str| rule.may_reject || **action != "reject";
    let actions: Vec<&str> = RULE_ACTIONS.iter().filter(may).copied().collect();
    fields(json!({"enum": nullable(&actions), "description": rule.title}))
}

fn nullable(words: &[&str]) -> Vec<Value> {
    words.iter().map(|word| json!(word)).chain([Value::Null]).collect()
}

fn fields(schema: Value) -> Map<String, Value> {
    match schema {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}
