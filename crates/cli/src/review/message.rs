//! Taking the policy's texts apart, so that rule ids and commands can stand out.
//!
//! A rejection's message starts with `autoscaler-guard[<rule>]: what would happen`; notes follow, then help, such as
//! `Keep the HPA: kubectl delete …`. Warnings are such first lines, or notes.

/// A line of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part<'a> {
    /// What a rule found.
    Finding {
        /// The rule's id.
        rule: &'a str,
        /// What it says.
        text: &'a str,
    },
    /// A way on with a command to paste.
    Way {
        /// What it achieves.
        purpose: &'a str,
        /// The command.
        command: &'a str,
    },
    /// Anything else.
    Text(&'a str),
}

/// What a command to paste starts with.
const PROGRAMS: &[&str] = &["kubectl ", "helm "];

impl<'a> Part<'a> {
    /// Reads a line.
    pub fn of(line: &'a str) -> Self {
        Self::finding(line).or_else(|| Self::way(line)).unwrap_or(Self::Text(line))
    }

    fn finding(line: &'a str) -> Option<Self> {
        let (rule, text) = line.strip_prefix("autoscaler-guard[")?.split_once("]: ")?;
        Some(Self::Finding { rule, text })
    }

    fn way(line: &'a str) -> Option<Self> {
        let (purpose, command) = line.split_once(": ")?;
        let is_command = PROGRAMS.iter().any(|program| command.starts_with(program));
        is_command.then_some(Self::Way { purpose, command })
    }
}

/// Whether a warning repeats the message, perhaps shortened.
pub fn repeats(warning: &str, message: &str) -> bool {
    let warned = without_rule(warning);
    let warned = warned.strip_suffix('…').unwrap_or(warned);
    message.lines().any(|line| without_rule(line).starts_with(warned))
}

fn without_rule(line: &str) -> &str {
    match Part::of(line) {
        Part::Finding { text, .. } => text,
        _ => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: &str = "autoscaler-guard[hpa-deleted]: deleting HPA shop/web leaves Deployment shop/web alone\nA note.\nKeep it: kubectl get hpa web";

    #[test]
    fn findings_ways_and_notes_are_distinguished() {
        let parts: Vec<Part<'_>> = MESSAGE.lines().map(Part::of).collect();
        assert_eq!(
            parts,
            [
                Part::Finding { rule: "hpa-deleted", text: "deleting HPA shop/web leaves Deployment shop/web alone" },
                Part::Text("A note."),
                Part::Way { purpose: "Keep it", command: "kubectl get hpa web" },
            ]
        );
        assert_eq!(Part::of("Mind: this"), Part::Text("Mind: this"));
    }

    #[test]
    fn shortened_repetitions_are_recognised() {
        assert!(repeats("autoscaler-guard[hpa-deleted]: deleting HPA shop/web leaves…", MESSAGE));
        assert!(repeats("autoscaler-guard[hpa-deleted]: A note.", MESSAGE));
        assert!(repeats("autoscaler-guard[hpa-deleted]: Keep it: kubectl get hpa web", MESSAGE));
        assert!(!repeats("autoscaler-guard[hpa-deleted]: Another note.", MESSAGE));
    }
}
