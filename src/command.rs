//! Commands, for people to paste.

use std::borrow::Cow;
use std::fmt;

/// A command to paste into a shell. Its arguments are kept apart, and quoted only when they are printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// The program.
    pub program: &'static str,
    /// Its arguments, as the program gets them.
    pub arguments: Vec<Cow<'static, str>>,
}

impl Command {
    /// `kubectl` with these arguments.
    pub fn kubectl(arguments: &[&'static str]) -> Self {
        Self { program: "kubectl", arguments: arguments.iter().map(|argument| Cow::Borrowed(*argument)).collect() }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<Cow<'static, str>>) -> Self {
        self.arguments.push(argument.into());
        self
    }
}

impl fmt::Display for Command {
    /// The command as a POSIX shell takes it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.program)?;
        for argument in &self.arguments {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:=,@%+".contains(&byte);
            if !argument.is_empty() && argument.bytes().all(plain) {
                write!(formatter, " {argument}")?;
            } else {
                write!(formatter, " '{}'", argument.replace('\'', r"'\''"))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_quoted_when_they_are_printed() {
        let command = Command::kubectl(&["patch", "hpa"]).arg("web").arg("-p").arg(r#"{"a":"it's"}"#).arg("");
        assert_eq!(command.to_string(), r#"kubectl patch hpa web -p '{"a":"it'\''s"}' ''"#);
        assert_eq!(command.arguments.len(), 6);
    }
}
