//! Name patterns of the settings: `*` stands for any run of characters, everything else for itself.

/// Whether `name` matches `pattern`.
pub fn matches(pattern: &str, name: &str) -> bool {
    let Some((prefix, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut tail) = name.strip_prefix(prefix) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let suffix = parts.pop().unwrap_or_default();
    for part in parts {
        match tail.find(part) {
            Some(at) => tail = tail.get(at + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    tail.ends_with(suffix)
}

/// Patterns that a setting gives, or the ones it has by default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Patterns {
    /// Built in.
    Default(&'static [&'static str]),
    /// Given by the user, in place of the default.
    Given(Vec<String>),
}

impl Patterns {
    /// The patterns.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        let (built_in, given): (&[&str], &[String]) = match self {
            Self::Default(patterns) => (patterns, &[]),
            Self::Given(patterns) => (&[], patterns),
        };
        built_in.iter().copied().chain(given.iter().map(String::as_str))
    }

    /// Whether any pattern matches `name`. An empty name matches nothing.
    pub fn match_name(&self, name: &str) -> bool {
        !name.is_empty()
            && match self {
                Self::Default(patterns) => patterns.iter().any(|pattern| matches(pattern, name)),
                Self::Given(patterns) => patterns.iter().any(|pattern| matches(pattern, name)),
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_run() {
        let cases = [
            ("helm", "helm", true),
            ("helm", "helm-controller", false),
            ("pulumi-kubernetes*", "pulumi-kubernetes-1a2b", true),
            ("*:envoy-gateway", "system:serviceaccount:edge:envoy-gateway", true),
            ("a*b*c", "aXbYc", true),
            ("a*b*c", "acb", false),
            ("a*bc*c", "abc", false),
            ("*", "anything", true),
            ("a*a", "a", false),
        ];
        for (pattern, name, expected) in cases {
            assert_eq!(matches(pattern, name), expected, "{pattern} on {name}");
        }
    }

    #[test]
    fn an_empty_name_matches_nothing() {
        assert!(!Patterns::Default(&["*"]).match_name(""));
    }
}
