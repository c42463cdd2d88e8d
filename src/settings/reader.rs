//! Walks a settings value along the table and collects every error instead of stopping at the first.

use std::fmt;

use super::catalogue::Catalogue;
use super::model::RuleAction;
use super::table::{Draft, Form, PATTERN, RULE_ACTIONS, Setting, Takes, VERSION};
use super::version::Version;
use crate::change::Kind;
use crate::pattern::Patterns;
use autoscaler_guard_reading::{Json, group_of};

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

/// What `fields` hands the value of a known field to; the field is known by its place among the known names.
type ReadField<'f> = dyn FnMut(&mut Reader, usize, Json<'_>) + 'f;

/// Fills settings from a value as the table says. What is wrong is recorded, with the path to it, and sets nothing.
pub(super) struct Reader {
    catalogue: Catalogue,
    families: Vec<(&'static str, RuleAction)>,
    pub(super) draft: Draft,
    pub(super) errors: Vec<SettingsError>,
    path: String,
}

impl Reader {
    /// A reader for settings that may name these rules.
    pub(super) fn new(catalogue: Catalogue) -> Self {
        let (draft, errors, path) = Default::default();
        Self { catalogue, families: Vec::new(), draft, errors, path }
    }

    /// Reads what a setting takes. `null` is what forms and empty YAML keys write for "not given", so it sets nothing.
    pub(super) fn read(&mut self, takes: &Takes, value: Json<'_>) {
        if value.text() == "null" {
            return;
        }
        match takes {
            Takes::Group(settings) => self.group(settings, value),
            Takes::Rules => {
                self.fields(value, self.catalogue.names, &mut |reader, index, value| reader.rule(index, value));
                // What settings say about a single rule beats what they say about its family.
                let families = std::mem::take(&mut self.families);
                self.draft.settings.rules.extend(families);
            }
            Takes::Patterns(slot) => {
                let mut patterns = Vec::new();
                let read = &mut |reader: &mut Reader, value: Json<'_>| patterns.extend(reader.pattern(value));
                if self.items("a list of patterns", value, read) {
                    *slot(&mut self.draft) = Patterns::Given(patterns);
                }
            }
            Takes::Declarations(settings) => {
                self.items("a list of declarations", value, &mut |reader, value| reader.declaration(settings, value));
            }
            Takes::Flag(slot) => match value.text() {
                flag @ ("true" | "false") => *slot(&mut self.draft) = flag == "true",
                _ => self.expected("true or false", value),
            },
            Takes::Word(words, set) => {
                if let Some(word) = self.word(words, value) {
                    set(&mut self.draft, word);
                }
            }
            Takes::Text(form, slot) => {
                if let Some(text) = self.text(*form, "must not be empty", value) {
                    *slot(&mut self.draft) = text;
                }
            }
            Takes::Version(slot) => {
                if let Some(version) = self.text(Some(&VERSION), "", value) {
                    *slot(&mut self.draft) = Version::parse(&version);
                }
            }
        }
    }

    fn group(&mut self, settings: &[Setting], value: Json<'_>) {
        let names: Vec<&str> = settings.iter().map(|setting| setting.name).collect();
        let is_object = self.fields(value, &names, &mut |reader, index, value| {
            if let Some(setting) = settings.get(index) {
                reader.read(&setting.takes, value);
            }
        });
        for Setting { name, required, .. } in settings {
            if *required && is_object && value.at(&[name]).is_none() {
                self.at(&format!(".{name}"), |reader| reader.error("must be given".to_owned()));
            }
        }
    }

    fn declaration(&mut self, settings: &[Setting], value: Json<'_>) {
        self.group(settings, value);
        let read = std::mem::take(&mut self.draft.declaration);
        // Istio and NGINX Gateway Fabric make HPAs of Gateways, too.
        if !matches!(Kind::from_group_and_kind(group_of(&read.api_version), &read.kind), Kind::Other | Kind::Gateway) {
            self.at(".kind", |reader| reader.error(format!("{} has rules of its own", read.kind)));
        }
        self.draft.settings.declarations.push(read);
    }

    /// Does something at a place below.
    fn at(&mut self, place: &str, act: impl FnOnce(&mut Self)) {
        let around = self.path.len();
        self.path.push_str(place);
        act(self);
        self.path.truncate(around);
    }

    /// Hands every field of an object to `read`, and refuses those that are not among the known names. Whether there is
    /// an object.
    fn fields(&mut self, value: Json<'_>, known: &[&str], read: &mut ReadField<'_>) -> bool {
        let Some(fields) = value.fields() else {
            self.expected("an object", value);
            return false;
        };
        let dot = if self.path.is_empty() { "" } else { "." };
        for (key, value) in fields {
            self.at(&format!("{dot}{key}"), |reader| match known.iter().position(|name| *name == key) {
                Some(index) => read(reader, index, value),
                None => reader.error(format!("unknown{}", suggestion(&key, known))),
            });
        }
        true
    }

    /// Hands every item of a list to `read`. Whether there is a list.
    fn items(&mut self, what: &str, value: Json<'_>, read: &mut dyn FnMut(&mut Self, Json<'_>)) -> bool {
        if !value.text().starts_with('[') {
            self.expected(what, value);
            return false;
        }
        for (index, value) in value.items(&[]).into_iter().enumerate() {
            self.at(&format!("[{index}]"), |reader| read(reader, value));
        }
        true
    }

    fn rule(&mut self, index: usize, value: Json<'_>) {
        let Some(name) = self.catalogue.names.get(index).filter(|_| value.text() != "null") else { return };
        let is_family = index < self.catalogue.families;
        let may_reject = self.catalogue.may_reject;
        let action = match self.word(RULE_ACTIONS, value) {
            Some(0) if !is_family && !may_reject(name) => {
                return self.error(format!(
                    "{name} never rejects: it answers a controller or gives something back; use warn or off"
                ));
            }
            Some(0) => RuleAction::Reject,
            Some(1) => RuleAction::Warn,
            Some(_) => RuleAction::Off,
            None => return,
        };
        let rules = (self.catalogue.members)(name).into_iter();
        let rules = rules.filter(|id| action != RuleAction::Reject || may_reject(id)).map(|id| (id, action));
        if is_family { self.families.extend(rules) } else { self.draft.settings.rules.extend(rules) }
    }

    fn pattern(&mut self, value: Json<'_>) -> Option<String> {
        if value.text() == "null" {
            self.error("a pattern must not be null".to_owned());
            return None;
        }
        self.text(Some(&PATTERN), "a pattern must not be empty", value)
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

    fn text(&mut self, form: Option<&Form>, if_empty: &str, value: Json<'_>) -> Option<String> {
        let Some(text) = value.string(&[]) else {
            self.expected("a string", value);
            return None;
        };
        let wrong = form.filter(|form| !(form.accepts)(&text));
        match wrong {
            _ if text.is_empty() && !if_empty.is_empty() => self.error(if_empty.to_owned()),
            Some(form) => self.error(format!("\"{text}\" is not {}", form.what)),
            None => return Some(text.into_owned()),
        }
        None
    }

    fn error(&mut self, problem: String) {
        let path = if self.path.is_empty() { "settings" } else { &self.path };
        self.errors.push(SettingsError::new(path, problem));
    }

    /// Records the wrong type.
    fn expected(&mut self, what: &str, value: Json<'_>) {
        let got = match value.text().bytes().next() {
            Some(b't' | b'f') => "true or false",
            Some(b'n') => "null",
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
