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
    /// Whether a name in it is none that the API server would take.
    misnamed: bool,
}

impl Command {
    /// `kubectl` with these arguments.
    pub fn kubectl(arguments: &[&'static str]) -> Self {
        Self {
            program: "kubectl",
            arguments: arguments.iter().map(|argument| Cow::Borrowed(*argument)).collect(),
            misnamed: false,
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<Cow<'static, str>>) -> Self {
        self.arguments.push(argument.into());
        self
    }
}

impl Command {
    /// Adds an argument out of names: an object's, its kind's, or an annotation's key and a name.
    #[must_use]
    pub fn name(mut self, names: impl Into<Cow<'static, str>>) -> Self {
        let names = names.into();
        self.misnamed |= !names.split(['/', '=']).all(is_dns_name);
        self.arg(names)
    }

    /// Whether all of it may be pasted into a shell: names are DNS-1123 names, and nothing else needs a careful quote.
    pub fn is_plain(&self) -> bool {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:=,@%+<>~{}[]\" ".contains(&byte);
        !self.misnamed && self.arguments.iter().all(|argument| argument.bytes().all(plain))
    }
}

/// A DNS-1123 subdomain: what the API server takes as a name of most objects.
fn is_dns_name(name: &str) -> bool {
    let ends = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let bytes = name.as_bytes();
    let within = |byte: &u8| ends(Some(byte)) || matches!(byte, b'-' | b'.');
    bytes.len() <= 253 && ends(bytes.first()) && ends(bytes.last()) && bytes.iter().all(within)
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
