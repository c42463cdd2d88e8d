//! How answers look: styles, wrapping, the width to keep to.
//!
//! Answers are always written with styles; whether any are shown is decided when they are printed.

use std::fmt::Display;
use std::io;

use anstyle::{AnsiColor, Style};
use textwrap::{Options, WordSeparator, WordSplitter};

/// What passed.
pub const GOOD: Style = AnsiColor::Green.on_default().bold();
/// What passed, but.
pub const WARNING: Style = AnsiColor::Yellow.on_default().bold();
/// What was changed.
pub const REPAIR: Style = AnsiColor::Cyan.on_default().bold();
/// What was refused, or failed.
pub const BAD: Style = AnsiColor::Red.on_default().bold();
/// A way on.
pub const HELP: Style = AnsiColor::Blue.on_default().bold();
/// A command to paste.
pub const COMMAND: Style = AnsiColor::Cyan.on_default();
/// A line that a patch adds.
pub const ADDED: Style = AnsiColor::Green.on_default();
/// A line that a patch removes.
pub const REMOVED: Style = AnsiColor::Red.on_default();
/// What matters.
pub const STRONG: Style = Style::new().bold();
/// What matters less.
pub const FAINT: Style = Style::new().dimmed();

/// Where there is no terminal: enough for a log, and the same on every machine.
const WIDTH_WITHOUT_TERMINAL: usize = 100;

/// Nothing can be laid out in less, however narrow the terminal is.
const NARROWEST: usize = 40;

/// How wide to write.
pub fn width() -> usize {
    let terminal = terminal_size::terminal_size_of(io::stdout());
    let columns = terminal.map_or(WIDTH_WITHOUT_TERMINAL, |(width, _)| usize::from(width.0));
    columns.max(NARROWEST)
}

/// A text in a style.
pub fn paint(style: Style, text: impl Display) -> String {
    format!("{style}{text}{style:#}")
}

/// Wraps a paragraph between words. Names and commands hold hyphens and slashes, so nothing is broken there.
pub fn wrap(text: &str, width: usize, indent: usize) -> String {
    hang(text, width, indent, indent)
}

/// Wraps a paragraph whose first line is indented otherwise.
pub fn hang(text: &str, width: usize, first: usize, rest: usize) -> String {
    let (first, rest) = (" ".repeat(first), " ".repeat(rest));
    let options = Options::new(width)
        .initial_indent(&first)
        .subsequent_indent(&rest)
        .break_words(false)
        .word_splitter(WordSplitter::NoHyphenation)
        .word_separator(WordSeparator::AsciiSpace);
    textwrap::fill(text, options)
}

/// A line that does not fit is cut.
pub fn cut(line: &str, width: usize) -> String {
    if line.chars().count() <= width {
        return line.to_owned();
    }
    line.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// Styles what a text has in backquotes, and drops them.
pub fn code_spans(text: &str) -> String {
    let spans = text.split('`').enumerate();
    spans.map(|(index, span)| if index % 2 == 1 { paint(COMMAND, span) } else { span.to_owned() }).collect()
}

/// `1 request`, `2 requests`.
pub fn count(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_never_broken_and_styles_take_no_width() {
        let text = format!("the HPA {} is owned", paint(STRONG, "keda-hpa-web"));
        assert_eq!(wrap(&text, 24, 2), format!("  the HPA {}\n  is owned", paint(STRONG, "keda-hpa-web")));
        assert_eq!(wrap("a-very-long-name/of-a-thing", 10, 0), "a-very-long-name/of-a-thing");
    }

    #[test]
    fn long_lines_are_cut_at_characters() {
        assert_eq!(cut("äöü", 3), "äöü");
        assert_eq!(cut("äöüß", 3), "äö…");
    }

    #[test]
    fn code_is_styled_without_its_quotes() {
        assert_eq!(code_spans("say `a b` now"), format!("say {} now", paint(COMMAND, "a b")));
    }
}
