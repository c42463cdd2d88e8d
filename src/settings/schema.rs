//! The settings as a JSON Schema (draft 2020-12): for editors, and for whoever writes settings by program.
//!
//! It is the table in another notation. Tests hold it and the reader to the same answers, but for what a schema cannot
//! say: of a doubled key the reader judges both, a number in a version must fit 32 bits, and no kind may be declared
//! that has rules of its own.

use serde_json::{Map, Value, json};

use super::catalogue::Catalogue;
use super::table::{Draft, Form, PATTERN, RULE_ACTIONS, SETTINGS, Setting, Takes, VERSION};
use crate::pattern::Patterns;

/// The schema; its keys are sorted.
pub fn schema(catalogue: &Catalogue) -> Value {
    let mut schema = group(SETTINGS, &mut Draft::default(), catalogue);
    schema.insert("$schema".to_owned(), "https://json-schema.org/draft/2020-12/schema".into());
    schema.insert("title".to_owned(), "Settings of autoscaler-guard".into());
    let about = "What is not given, or null, keeps its default; a list that is given replaces the default list.";
    schema.insert("description".to_owned(), about.into());
    let mut schema = Value::Object(schema);
    schema.sort_all_objects();
    schema
}

fn group(settings: &[Setting], defaults: &mut Draft, catalogue: &Catalogue) -> Map<String, Value> {
    let mut schema = object(settings.iter().map(|setting| {
        let mut schema = takes(&setting.takes, defaults, catalogue);
        schema.insert("description".to_owned(), setting.about.into());
        if setting.required {
            not_null(&mut schema);
        }
        (setting.name, schema)
    }));
    let required: Vec<&str> = settings.iter().filter(|setting| setting.required).map(|setting| setting.name).collect();
    if !required.is_empty() {
        schema.insert("required".to_owned(), json!(required));
    }
    schema
}

fn not_null(schema: &mut Map<String, Value>) {
    if let Some(first) = schema.get("type").and_then(|types| types.get(0)).cloned() {
        schema.insert("type".to_owned(), first);
    }
}

/// An object of just these properties.
fn object<'n>(properties: impl Iterator<Item = (&'n str, Map<String, Value>)>) -> Map<String, Value> {
    let properties: Map<String, Value> =
        properties.map(|(name, schema)| (name.to_owned(), Value::Object(schema))).collect();
    fields(json!({"type": ["object", "null"], "properties": properties, "additionalProperties": false}))
}

fn takes(takes: &Takes, defaults: &mut Draft, catalogue: &Catalogue) -> Map<String, Value> {
    fields(match takes {
        Takes::Group(settings) => return group(settings, defaults, catalogue),
        Takes::Rules => {
            let mut schema = object(
                catalogue.names.iter().enumerate().map(|(index, name)| (*name, rule_action(catalogue, index, name))),
            );
            schema.insert("default".to_owned(), json!({}));
            return schema;
        }
        Takes::Flag(slot) => json!({"type": ["boolean", "null"], "default": *slot(defaults)}),
        Takes::Word(words, _) => json!({"enum": nullable(words), "default": words.first()}),
        Takes::Text(form, slot) => {
            let mut schema = text(*form);
            let default = slot(defaults);
            if !default.is_empty() {
                schema.insert("default".to_owned(), default.as_str().into());
            }
            return schema;
        }
        Takes::Version(_) => return text(Some(&VERSION)),
        Takes::Declarations(settings) => {
            let mut item = group(settings, defaults, catalogue);
            not_null(&mut item);
            json!({"type": ["array", "null"], "items": item, "default": []})
        }
        Takes::Patterns(slot) => {
            let default = match slot(defaults) {
                Patterns::Default(patterns) => json!(patterns),
                Patterns::Given(patterns) => json!(patterns),
            };
            json!({"type": ["array", "null"], "items": {"type": "string", "pattern": PATTERN.pattern}, "default": default})
        }
    })
}

fn text(form: Option<&Form>) -> Map<String, Value> {
    fields(match form {
        Some(form) => json!({"type": ["string", "null"], "pattern": form.pattern}),
        None => json!({"type": ["string", "null"], "minLength": 1}),
    })
}

fn rule_action(catalogue: &Catalogue, index: usize, name: &str) -> Map<String, Value> {
    let is_family = index < catalogue.families;
    let may = |action: &&&str| is_family || (catalogue.may_reject)(name) || **action != "reject";
    let actions: Vec<&str> = RULE_ACTIONS.iter().filter(may).copied().collect();
    let about = if is_family {
        format!("All rules of the family {name}; what is said about a single rule beats it.")
    } else {
        (catalogue.title)(name).to_owned()
    };
    fields(json!({"enum": nullable(&actions), "description": about}))
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
