//! A rule's page: the comment that its file opens with.

use autoscaler_guard::rules::SOURCES;

/// A rule's page. Its texts are Markdown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// What happens, in one sentence.
    pub summary: String,
    /// Headings and what is below them.
    pub sections: Vec<Section>,
}

/// A section of a page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Section {
    /// The heading.
    pub heading: String,
    /// What is below it.
    pub text: String,
}

impl Page {
    /// The page of a rule; empty if there is no such rule.
    pub fn of(id: &str) -> Self {
        let source = SOURCES.iter().find(|(rule, _)| *rule == id);
        source.map(|(_, source)| Self::parse(source)).unwrap_or_default()
    }

    fn parse(source: &str) -> Self {
        let comment = source.lines().map_while(|line| line.strip_prefix("//!"));
        let markdown = comment.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect::<Vec<_>>().join("\n");
        let mut parts = markdown.split("\n## ");
        let summary = parts.next().unwrap_or_default().trim().to_owned();
        Self { summary, sections: parts.map(Section::parse).collect() }
    }

    /// The text below a heading; empty if there is none.
    pub fn section(&self, heading: &str) -> &str {
        let section = self.sections.iter().find(|section| section.heading == heading);
        section.map(|section| section.text.as_str()).unwrap_or_default()
    }

    /// All of it.
    pub fn markdown(&self) -> String {
        let sections = self.sections.iter().map(|Section { heading, text }| format!("\n## {heading}\n{text}\n"));
        format!("{}\n{}", self.summary, sections.collect::<String>())
    }
}

impl Section {
    fn parse(part: &str) -> Self {
        let (heading, text) = part.split_once('\n').unwrap_or((part, ""));
        Self { heading: heading.trim().to_owned(), text: text.trim().to_owned() }
    }

    /// The text as paragraphs and list items, each on one line.
    pub fn blocks(&self) -> Vec<String> {
        let mut blocks: Vec<String> = Vec::new();
        let mut goes_on = false;
        for line in self.text.lines().map(str::trim) {
            match blocks.last_mut().filter(|_| goes_on && !line.starts_with("* ") && !line.is_empty()) {
                Some(block) => *block = format!("{block} {line}"),
                None if line.is_empty() => {}
                None => blocks.push(line.to_owned()),
            }
            goes_on = !line.is_empty();
        }
        blocks
    }
}

#[cfg(test)]
mod tests {
    use autoscaler_guard::rules::RULES;

    use super::*;

    const SOURCE: &str = "//! Something\n//! happens.\n//!\n//! ## Why\n//! Because it\n//! does.\n//!\n//! Really.\n//!\n//! ## Overrides\n//! * One, which\n//!   is long.\n//! * Two.\n\nuse nothing;\n//! no page\n";

    #[test]
    fn a_page_is_the_comment_that_the_file_opens_with() {
        let page = Page::parse(SOURCE);
        assert_eq!(page.summary, "Something\nhappens.");
        assert_eq!(page.section("Why"), "Because it\ndoes.\n\nReally.");
        assert_eq!(page.section("When"), "");
        assert_eq!(page.sections.len(), 2);
        assert!(page.markdown().ends_with("\n## Overrides\n* One, which\n  is long.\n* Two.\n"), "{}", page.markdown());
    }

    #[test]
    fn paragraphs_and_items_become_a_line_each() {
        let page = Page::parse(SOURCE);
        assert_eq!(page.sections[0].blocks(), ["Because it does.", "Really."]);
        assert_eq!(page.sections[1].blocks(), ["* One, which is long.", "* Two."]);
    }

    #[test]
    fn every_rule_has_a_whole_page() {
        for rule in RULES {
            let page = Page::of(rule.id);
            assert!(!page.summary.is_empty(), "{}", rule.id);
            for section in &page.sections {
                assert!(!section.text.is_empty(), "{}: {}", rule.id, section.heading);
            }
        }
    }
}
