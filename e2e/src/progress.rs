//! How far `go build` is. It names each module that it downloads and each package that it compiles, a line each and
//! hundreds of them: they are counted, and the counts printed now and then. Everything else it says is passed on.

use std::io::{BufRead, BufReader};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

/// How often to print the counts.
const EVERY: Duration = Duration::from_secs(15);

/// Runs `go build -v` and prints how far it is with that program.
///
/// # Errors
/// Go does not start.
pub fn watch(go: &mut Command, program: &str) -> Result<ExitStatus> {
    let mut process = go.stderr(Stdio::piped()).spawn().context("running `go build`")?;
    let lines = BufReader::new(process.stderr.take().context("go has no output")?).lines();
    let (mut counts, mut printed) = (Counts::default(), Instant::now());
    for line in lines.map_while(Result::ok) {
        if !counts.takes(&line) {
            eprintln!("{line}");
        }
        if printed.elapsed() >= EVERY {
            eprintln!("  {program}: {}", counts.text());
            printed = Instant::now();
        }
    }
    Ok(process.wait()?)
}

#[derive(Debug, Default, PartialEq)]
struct Counts {
    downloaded: usize,
    compiled: usize,
}

impl Counts {
    /// Whether the line is one of those to count.
    fn takes(&mut self, line: &str) -> bool {
        let is_package = |line: &str| !line.is_empty() && !line.contains([' ', ':', '#']);
        if line.starts_with("go: downloading ") {
            self.downloaded += 1;
        } else if is_package(line) {
            self.compiled += 1;
        } else {
            return false;
        }
        true
    }

    fn text(&self) -> String {
        let downloaded =
            if self.downloaded > 0 { format!("{} modules downloaded, ", self.downloaded) } else { String::new() };
        format!("{downloaded}{} packages compiled", self.compiled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn downloads_and_packages_are_counted_and_errors_are_passed_on() {
        let mut counts = Counts::default();
        for line in ["go: downloading k8s.io/api v0.36.3", "k8s.io/api/core/v1", "internal/goarch"] {
            assert!(counts.takes(line), "{line}");
        }
        assert_eq!(counts, Counts { downloaded: 1, compiled: 2 });
        assert_eq!(counts.text(), "1 modules downloaded, 2 packages compiled");
        for line in ["# k8s.io/api/core/v1", "main.go:3:1: syntax error", "go: no such module", ""] {
            assert!(!counts.takes(line), "{line}");
        }
    }
}
