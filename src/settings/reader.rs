//! Walks a settings value and collects every error instead of stopping at the first.

use std::fmt;

use super::Version;
use crate::json::Json;
use crate::pattern::Patterns;

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

/// Reads one field of an object; for one that it does not know it gives those it does.
pub(super) type ReadField<'f> = dyn FnMut(&str, Reader<'_>) -> Result<(), &'static [&'static str]> + 'f;

/// A value at a path. Reading the wrong type records an error and gives the default.
pub(super) struct Reader<'r> {
    value: Json<'r>,
    path: String,
    errors: &'r mut Vec<SettingsError>,
}

impl<'r> Reader<'r> {
    pub(super) fn new(value: Json<'r>, errors: &'r mut Vec<SettingsError>) -> Self {
        Self { value, path: String::new(), errors }
    }

    /// Hands every field to `read`, which says `Err(known names)` for one it does not know.
    pub(super) fn fields(&mut self, read: &mut ReadField<'_>) {
        let Some(fields) = self.value.fields() else { return self.expected("an object") };
        for (key, value) in fields {
            let path = if self.path.is_empty() { key.to_string() } else { format!("{}.{key}", self.path) };
            let field = Reader { value, path: path.clone(), errors: self.errors };
            if let Err(known) = read(&key, field) {
                self.errors.push(SettingsError::new(&path, format!("unknown{}", suggestion(&key, known))));
            }
        }
    }

    pub(super) fn bool(&mut self, default: bool) -> bool {
        match self.value.text() {
            "true" => true,
            "false" => false,
            _ => {
                self.expected("true or false");
                default
            }
        }
    }

    pub(super) fn text(&mut self, default: &str) -> String {
        match self.value.string(&[]) {
            Some(text) if text.is_empty() => self.error("must not be empty".to_owned()),
            Some(text) => return text.into_owned(),
            None => self.expected("a string"),
        }
        default.to_owned()
    }

    pub(super) fn word<T: Copy>(&mut self, words: &[(&str, T)], default: T) -> T {
        let Some(text) = self.value.string(&[]) else {
            // YAML reads a bare `off` as false.
            self.expected("a word in quotes");
            return default;
        };
        if let Some((_, meaning)) = words.iter().find(|(word, _)| **word == text) {
            return *meaning;
        }
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        self.error(format!("\"{text}\" is not one of {}{}", known.join(", "), suggestion(&text, &known)));
        default
    }

    pub(super) fn version(&mut self) -> Option<Version> {
        let Some(text) = self.value.string(&[]) else {
            self.expected("a string");
            return None;
        };
        let version = Version::parse(&text);
        if version.is_none() {
            self.error(format!("\"{text}\" is not a version; give major.minor or major.minor.patch, such as 1.4.6"));
        }
        version
    }

    pub(super) fn patterns(&mut self, default: Patterns) -> Patterns {
        if !self.value.text().starts_with('[') {
            self.expected("a list of patterns");
            return default;
        }
        let mut patterns = Vec::new();
        for (index, value) in self.value.items(&[]).into_iter().enumerate() {
            let mut entry = Reader { value, path: format!("{}[{index}]", self.path), errors: self.errors };
            patterns.extend(entry.pattern());
        }
        Patterns::Given(patterns)
    }

    fn pattern(&mut self) -> Option<String> {
        match self.value.string(&[]) {
            None if self.value.text() == "null" => self.error("a pattern must not be null".to_owned()),
            None => self.expected("a string"),
            Some(text) if text.is_empty() => self.error("a pattern must not be empty".to_owned()),
            Some(text) if text.contains(char::is_whitespace) => {
                self.error(format!("\"{text}\" is not a pattern: no name has spaces; give one name an entry, * for any run of characters"));
            }
            Some(text) => return Some(text.into_owned()),
        }
        None
    }

    pub(super) fn error(&mut self, problem: String) {
        let path = if self.path.is_empty() { "settings" } else { &self.path };
        self.errors.push(SettingsError::new(path, problem));
    }

    /// Records the wrong type. `null` is what forms and empty YAML keys write for "not given", so it means the default.
    fn expected(&mut self, what: &str) {
        let got = match self.value.text().bytes().next() {
            Some(b'n') => return,
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
