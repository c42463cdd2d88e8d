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
        self.reasons.push(reason.to_string());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_reason_stays_on_the_line_and_several_get_their_own() {
        let one = Fault::new("web.json cannot be read").because("no such file").help("check the path");
        assert_eq!(one.to_string(), "error: web.json cannot be read: no such file\nhelp: check the path");
        let two = Fault::new("settings.yaml cannot be used").because("a").because("b");
        assert_eq!(two.to_string(), "error: settings.yaml cannot be used\n  a\n  b");
    }
}
