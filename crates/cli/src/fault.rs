//! Why there is no answer: what is unusable, why, and what to do about it.

use std::fmt::{self, Display, Formatter};

use crate::paint::{self, BAD, HELP};

/// Something that cannot be used. One of the user's inputs always, never a verdict.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fault {
    what: String,
    reasons: Vec<String>,
    help: Option<String>,
}

impl Fault {
    /// What cannot be used, and where it is, without a full stop.
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), ..Self::default() }
    }

    /// Why. May be said several times.
    #[must_use]
    pub fn because(mut self, reason: impl Display) -> Self {
        let reason = plainly(&reason.to_string());
        if !self.reasons.contains(&reason) {
            self.reasons.push(reason);
        }
        self
    }

    /// What to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// For a terminal.
    pub fn styled(&self) -> String {
        self.worded(|label| paint::paint(if label == "help" { HELP } else { BAD }, label))
    }

    fn worded(&self, label: impl Fn(&str) -> String) -> String {
        let what = format!("{}: {}", label("error"), self.what);
        let mut lines = match self.reasons.as_slice() {
            [] => vec![what],
            [only] => vec![format!("{what}: {only}")],
            several => [what].into_iter().chain(several.iter().map(|reason| format!("  {reason}"))).collect(),
        };
        lines.extend(self.help.iter().map(|help| format!("{}: {help}", label("help"))));
        lines.join("\n")
    }
}

impl Display for Fault {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.worded(ToOwned::to_owned))
    }
}

impl std::error::Error for Fault {}

/// What operating systems and parsers say, and what that means.
const WORDS: &[(&str, &str)] = &[
    ("No such file or directory (os error 2)", "there is no such file or folder"),
    ("Permission denied (os error 13)", "this account may not"),
    ("Not a directory (os error 20)", "a part of the path is no folder"),
    ("Is a directory (os error 21)", "it is a folder"),
    ("No space left on device (os error 28)", "the disk is full"),
    ("Read-only file system (os error 30)", "nothing can be written there"),
    ("Address already in use (os error 98)", "another program listens there"),
    ("Cannot assign requested address (os error 99)", "this machine has no such address"),
    ("Connection refused (os error 111)", "nothing listens there"),
    ("EOF while parsing a", "it ends within a"),
    ("it ends within a value", "it ends where a value should be"),
];

/// A reason without the words of a library: a name for what is known, no numbers of errors, no paths of temporary
/// files.
fn plainly(reason: &str) -> String {
    let mut text = WORDS.iter().fold(reason.to_owned(), |text, (said, meant)| text.replace(said, meant));
    if let Some((before, _)) = text.split_once(" at path \"") {
        text = before.to_owned();
    }
    while let Some((before, rest)) = text.split_once(" (os error ") {
        let after = rest.trim_start_matches(|letter: char| letter.is_ascii_digit());
        text = format!("{before}{}", after.strip_prefix(')').unwrap_or(after));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_in_plain_words_and_said_once() {
        for (said, meant) in [
            ("No such file or directory (os error 2) at path \"/nope/.tmp1\"", "there is no such file or folder"),
            ("a: Too many open files (os error 24); close some", "a: Too many open files; close some"),
            ("EOF while parsing an object (line 2, column 0)", "it ends within an object (line 2, column 0)"),
            ("EOF while parsing a value", "it ends where a value should be"),
        ] {
            assert_eq!(plainly(said), meant);
        }
        assert_eq!(Fault::new("a").because("b").because("b").to_string(), "error: a: b");
    }

    #[test]
    fn one_reason_stays_on_the_line_and_several_get_their_own() {
        let one = Fault::new("web.json cannot be read").because("no such file").help("check the path");
        assert_eq!(one.to_string(), "error: web.json cannot be read: no such file\nhelp: check the path");
        let two = Fault::new("settings.yaml cannot be used").because("a").because("b");
        assert_eq!(two.to_string(), "error: settings.yaml cannot be used\n  a\n  b");
    }
}
