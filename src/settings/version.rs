//! Versions as settings and image tags write them.

use std::fmt;

/// `major.minor.patch`, ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    major: u32,
    minor: u32,
    patch: u32,
}

impl Version {
    /// A version known beforehand.
    pub const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self { major, minor, patch }
    }

    /// Reads `1.4`, `v1.4.6`, `1.5.0-rc.1`; anything else, such as `latest` or a digest, is no version.
    /// A pre-release counts as its release, which it behaves like.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let numbers = text.split_once(['-', '+']).map_or(text, |(numbers, _)| numbers);
        let mut parts = numbers.split('.');
        let major = parts.next()?.parse().ok()?;
        let minor = parts.next()?.parse().ok()?;
        let patch = parts.next().map_or(Some(0), |patch| patch.parse().ok())?;
        parts.next().is_none().then_some(Self { major, minor, patch })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_settings_and_image_tags_write() {
        let cases = [
            ("1.4", Some(Version::new(1, 4, 0))),
            ("v1.4.6", Some(Version::new(1, 4, 6))),
            ("1.5.0-rc.1", Some(Version::new(1, 5, 0))),
            ("latest", None),
            ("1", None),
            ("1.2.3.4", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(Version::parse(text), expected, "{text}");
        }
    }

    #[test]
    fn orders_by_number_not_by_letter() {
        assert!(Version::parse("1.10.0") > Version::parse("1.9.1"));
    }
}
