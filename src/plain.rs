//! Words of others, fit to be shown: names and annotations end up on the terminals of people who did not write them.

/// The text on one line, with whatever would act on a terminal or turn the order of letters around escaped: control
/// characters, line breaks, and Unicode's invisible and bidirectional formatting (Unicode TR36, "Bidirectional Text
/// Spoofing").
pub fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for letter in text.chars() {
        if acts(letter) {
            plain.extend(letter.escape_unicode());
        } else {
            plain.push(letter);
        }
    }
    plain
}

/// The same for a text of several lines.
pub fn plain_lines(text: &str) -> String {
    text.split('\n').map(plain).collect::<Vec<_>>().join("\n")
}

fn acts(letter: char) -> bool {
    letter.is_control()
        || matches!(letter,
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_acts_on_a_terminal() {
        assert_eq!(plain("Deployment shop/wörter “x” …"), "Deployment shop/wörter “x” …");
        assert_eq!(plain("a\u{1b}[31mb\n\u{9b}c\u{7f}"), r"a\u{1b}[31mb\u{a}\u{9b}c\u{7f}");
        assert_eq!(plain("\u{202e}txet\u{2069}\u{200b}"), r"\u{202e}txet\u{2069}\u{200b}");
        assert_eq!(plain_lines("a\u{7}\nb"), "a\\u{7}\nb");
    }
}
