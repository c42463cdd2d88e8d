//! Where a policy is in a registry.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

/// What a reference starts with, as Kubewarden's manifests write it. `oci://` means the same.
const SCHEMES: [&str; 2] = ["registry://", "oci://"];

/// Where a policy is: `registry://host/repository:tag`, or `registry://host/repository@sha256:…` for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference(oci_client::Reference);

/// Why a text is no reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}; a policy in a registry is named like registry://ghcr.io/you/autoscaler-guard:v1 or …@sha256:…")]
pub struct ReferenceError {
    reason: String,
}

impl Reference {
    /// The registry's host, and its port if it is not the usual one.
    pub fn registry(&self) -> &str {
        self.0.registry()
    }

    /// The digest, if there is one; it outdoes a tag.
    pub fn digest(&self) -> Option<&str> {
        self.0.digest()
    }

    /// The same repository, at a digest.
    #[must_use]
    pub fn pinned(&self, digest: &str) -> Self {
        Self(self.0.clone_with_digest(digest.to_owned()))
    }

    pub(crate) fn inner(&self) -> &oci_client::Reference {
        &self.0
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = |reason: &str| ReferenceError { reason: reason.to_owned() };
        let Some(rest) = SCHEMES.iter().find_map(|scheme| text.strip_prefix(scheme)) else {
            return Err(wrong("it does not start with registry:// or oci://"));
        };
        // The library would take Docker Hub for it, as docker does; in manifests the registry is always named.
        let host = rest.split_once('/').map_or("", |(host, _)| host);
        if !host.contains(['.', ':']) && host != "localhost" {
            return Err(wrong("it names no registry (Docker Hub's is docker.io)"));
        }
        let reference: oci_client::Reference =
            rest.parse().map_err(|error: oci_client::ParseError| wrong(&error.to_string()))?;
        // Others are permitted in theory, but no registry makes them.
        if reference.digest().is_some_and(|digest| !digest.starts_with("sha256:")) {
            return Err(wrong("its digest is no sha256"));
        }
        Ok(Self(reference))
    }
}

impl Display for Reference {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "registry://{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:72b4569c3daee67abeaa64192fb53895d0edb2d44fa6e1d9d4c5d3f8ece09f6e";

    fn read(text: &str) -> String {
        text.parse::<Reference>().map_or_else(|error| error.reason, |reference| reference.to_string())
    }

    #[test]
    fn both_schemes_mean_the_same_and_latest_is_the_default() {
        for scheme in SCHEMES {
            assert_eq!(read(&format!("{scheme}ghcr.io/you/guard:v1")), "registry://ghcr.io/you/guard:v1");
        }
        assert_eq!(read("oci://localhost:5000/guard"), "registry://localhost:5000/guard:latest");
        assert_eq!(read("oci://localhost/guard"), "registry://localhost/guard:latest");
    }

    #[test]
    fn a_digest_pins_whatever_the_tag() {
        let reference: Reference = format!("registry://ghcr.io/you/guard:v1@{DIGEST}").parse().unwrap();
        assert_eq!(reference.digest(), Some(DIGEST));
        let tagged: Reference = "registry://ghcr.io/you/guard:v1".parse().unwrap();
        assert_eq!(tagged.pinned(DIGEST).to_string(), format!("registry://ghcr.io/you/guard@{DIGEST}"));
    }

    #[test]
    fn what_is_no_reference_is_explained() {
        for (text, reason) in [
            ("https://ghcr.io/you/guard", "it does not start with registry:// or oci://"),
            ("registry://", "it names no registry (Docker Hub's is docker.io)"),
            ("registry://you/guard", "it names no registry (Docker Hub's is docker.io)"),
            ("registry://ghcr.io/", "invalid reference format"),
            ("registry://ghcr.io/You/guard", "invalid reference format"),
            ("registry://ghcr.io/you/guard@sha256:72b4569c3daee67abeaa64192fb53895", "invalid checksum digest length"),
        ] {
            assert_eq!(read(text), reason);
        }
        let sha512 = format!("registry://ghcr.io/you/guard@sha512:{}", "0".repeat(128));
        assert_eq!(read(&sha512), "its digest is no sha256");
    }
}
