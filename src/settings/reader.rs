//! Walks a settings value along the table and collects every error instead of stopping at the first.

use std::borrow::Cow;
use std::fmt;

use super::table::{RULE_ACTIONS, Setting, Takes};
use super::{RuleAction, Settings, Version};
use crate::json::Json;
use crate::pattern::Patterns;
use crate::rules::{self, RULES};

/// One thing that is wrong with the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsError {
    /// Where: `handover.fieldManagers[1]`.
    pub path: String,
    /// What is wrong and what would be right.
    pub problem: String,
}

impl SettingsError {
    pub(super) fn new(path: &str, problem: String) -> Self {
        Self { path: path.to_owned(), problem }
    }
}

impl fmt::Display for SettingsError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.path, self.problem)
    }
}

impl std::error::Error for SettingsError {}

/// What `fields` hands the value of a known field to; the field is told by its place among the known names.
type ReadField<'f> = dyn FnMut(&mut Reader<'_>, usize, Json<'_>) + 'f;

/// Fills settings from a value as the table says. What is wrong is recorded, with the path to it, and sets nothing.
pub(super) struct Reader<'s> {
    pub(super) settings: &'s mut Settings,
    pub(super) errors: Vec<SettingsError>,
    pub(super) path: String,
}

impl Reader<'_> {
    /// Reads what a setting takes. `null` is what forms and empty YAML keys write for "not given", so it sets nothing.
    pub(super) fn read(&mut self, takes: &Takes, value: Json<'_>) {
        if value.text() == "null" {
            return;
        }
        match takes {
            Takes::Group(settings) => self.group(settings, value),
            Takes::Rules => self.fields(value, rules::IDS, &mut |reader, index, value| reader.rule(index, value)),
            Takes::Patterns(slot) => self.patterns(*slot, value),
            Takes::Flag(slot) => match value.text() {
                flag @ ("true" | "false") => *slot(self.settings) = flag == "true",
                _ => self.expected("true or false", value),
            },
            Takes::Word(words, set) => {
                if let Some(word) = self.word(words, value) {
                    set(self.settings, word);
                }
            }
            Takes::Text(slot) => {
                if let Some(text) = self.text(value) {
                    *slot(self.settings) = text.into_owned();
                }
            }
            Takes::Version(slot) => {
                if let Some(version) = self.version(value) {
                    *slot(self.settings) = Some(version);
                }
            }
        }
    }

    fn group(&mut self, settings: &[Setting], value: Json<'_>) {
        let names: Vec<&str> = settings.iter().map(|setting| setting.name).collect();
        self.fields(value, &names, &mut |reader, index, value| {
            if let Some(setting) = settings.get(index) {
                reader.read(&setting.takes, value);
            }
        });
    }

    /// Hands every field of an object to `read`, and refuses those that are not among the known names.
    fn fields(&mut self, value: Json<'_>, known: &[&str], read: &mut ReadField<'_>) {
        let Some(fields) = value.fields() else { return self.expected("an object", value) };
        let around = self.path.len();
        for (key, value) in fields {
            if around > 0 {
                self.path.push('.');
            }
            self.path.push_str(&key);
            match known.iter().position(|name| *name == key) {
                Some(index) => read(self, index, value),
                None => self.error(format!("unknown{}", suggestion(&key, known))),
            }
            self.path.truncate(around);
        }
    }

    fn rule(&mut self, index: usize, value: Json<'_>) {
        let Some(rule) = RULES.get(index).filter(|_| value.text() != "null") else { return };
        let action = match self.word(RULE_ACTIONS, value) {
            Some(0) if !rule.may_reject => {
                let id = rule.id;
                return self.error(format!(
                    "{id} never rejects: it answers a controller or gives something back; use warn or off"
                ));
            }
            Some(0) => RuleAction::Reject,
            Some(1) => RuleAction::Warn,
            Some(_) => RuleAction::Off,
            None => return,
        };
        self.settings.rules.push((rule.id, action));
    }

    fn patterns(&mut self, slot: fn(&mut Settings) -> &mut Patterns, value: Json<'_>) {
        if !value.text().starts_with('[') {
            return self.expected("a list of patterns", value);
        }
        let mut patterns = Vec::new();
        let around = self.path.len();
        for (index, value) in value.items(&[]).into_iter().enumerate() {
            self.path.push_str(&format!("[{index}]"));
            patterns.extend(self.pattern(value));
            self.path.truncate(around);
        }
        *slot(self.settings) = Patterns::Given(patterns);
    }

    fn pattern(&mut self, value: Json<'_>) -> Option<String> {
        match value.string(&[]) {
            None if value.text() == "null" => self.error("a pattern must not be null".to_owned()),
            None => self.expected("a string", value),
            Some(text) if text.is_empty() => self.error("a pattern must not be empty".to_owned()),
            Some(text) if text.contains(char::is_whitespace) => {
                self.error(format!("\"{text}\" is not a pattern: no name has spaces; give one name an entry, * for any run of characters"));
            }
            Some(text) => return Some(text.into_owned()),
        }
        None
    }

    /// Which of the words it is.
    fn word(&mut self, words: &[&str], value: Json<'_>) -> Option<usize> {
        let Some(text) = value.string(&[]) else {
            // YAML reads a bare `off` as false.
            self.expected("a word in quotes", value);
            return None;
        };
        let place = words.iter().position(|word| *word == text);
        if place.is_none() {
            self.error(format!("\"{text}\" is not one of {}{}", words.join(", "), suggestion(&text, words)));
        }
        place
    }

    fn text<'v>(&mut self, value: Json<'v>) -> Option<Cow<'v, str>> {
        let text = value.string(&[]);
        match &text {
            None => self.expected("a string", value),
            Some(text) if text.is_empty() => self.error("must not be empty".to_owned()),
            Some(_) => return text,
        }
        None
    }

    fn version(&mut self, value: Json<'_>) -> Option<Version> {
        let Some(text) = value.string(&[]) else {
            self.expected("a string", value);
            return None;
        };
        let version = Version::parse(&text);
        if version.is_none() {
            self.error(format!("\"{text}\" is not a version; give major.minor or major.minor.patch, such as 1.4.6"));
        }
        version
    }

    fn error(&mut self, problem: String) {
        let path = if self.path.is_empty() { "settings" } else { &self.path };
        self.errors.push(SettingsError::new(path, problem));
    }

    /// Records the wrong type.
    fn expected(&mut self, what: &str, value: Json<'_>) {
        let got = match value.text().bytes().next() {
            Some(b't' | b'f') => "true or false",
            Some(b'"') => "a string",
            Some(b'[') => "a list",
            Some(b'{') => "an object",
            _ => "a number",
        };
        self.error(format!("expected {what}, got {got}"));
    }
}

/// `; did you mean …?` when a known word is near, else the list of known words when it is short.
pub(crate) fn suggestion(word: &str, known: &[&str]) -> String {
    let near = known.iter().map(|candidate| (strsim::osa_distance(word, candidate), candidate)).min();
    match near {
        Some((steps, candidate)) if steps <= 1 + candidate.len() / 5 => format!("; did you mean {candidate}?"),
        _ if known.len() <= 12 => format!("; known: {}", known.join(", ")),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_only_what_is_near() {
        assert_eq!(suggestion("hpaDelete", &["hpaDeletes", "readReleases"]), "; did you mean hpaDeletes?");
        assert_eq!(suggestion("zzz", &["users", "groups"]), "; known: users, groups");
    }
}
