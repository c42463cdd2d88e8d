//! Why something could not be pushed or pulled.

use std::{io, path::PathBuf};

use oci_client::errors::{DigestError, OciDistributionError, OciErrorCode};

use crate::Reference;

/// Why something could not be pushed or pulled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no such repository, tag or digest.
    #[error("{reference} is not there")]
    NotFound {
        /// What was asked for.
        reference: String,
    },
    /// The registry does not let this in, or not do this.
    #[error("{registry} does not permit it{}", if *known { "" } else { "; docker's configuration has no credentials for it" })]
    Unauthorized {
        /// The registry.
        registry: String,
        /// Whether there were credentials.
        known: bool,
    },
    /// The registry does not answer.
    #[error("{registry} cannot be reached: {cause}{}", last.as_ref().map(|last| format!("; the tag last stood for {last}")).unwrap_or_default())]
    Unreachable {
        /// The registry.
        registry: String,
        /// Why.
        cause: String,
        /// The pinned reference that the tag stood for when it was last resolved here.
        last: Option<String>,
    },
    /// The registry answers with an error of another kind.
    #[error("{registry} refuses: {cause}")]
    Refused {
        /// The registry.
        registry: String,
        /// What it says.
        cause: String,
    },
    /// What is there is something else.
    #[error("{reference} is no policy: {found}")]
    NotAPolicy {
        /// What was asked for.
        reference: String,
        /// What it is instead.
        found: String,
    },
    /// What the registry sent is not what the digest names.
    #[error("what {registry} sent was tampered with or damaged: it has digest {found}, not {expected}")]
    Tampered {
        /// The registry.
        registry: String,
        /// The digest that was asked for.
        expected: String,
        /// The digest of what came.
        found: String,
    },
    /// There are credentials, but of no use.
    #[error("the credentials for {registry} in docker's configuration cannot be used: {cause}")]
    Credentials {
        /// The registry.
        registry: String,
        /// Why.
        cause: String,
    },
    /// A push names a digest, which is the registry's to find.
    #[error("{reference} names a digest, which nothing can be pushed to")]
    PushToDigest {
        /// Where it should have been pushed.
        reference: String,
    },
    /// The cache cannot be written to.
    #[error("what was pulled cannot be kept in {}: {cause}", folder.display())]
    Cache {
        /// The cache's folder.
        folder: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// There is no client.
    #[error("no connection can be made: {cause}")]
    Client {
        /// Why.
        cause: String,
    },
}

/// Words what the client says about a reference.
pub(crate) fn of(error: OciDistributionError, reference: &Reference, known: bool) -> Error {
    let registry = reference.registry().to_owned();
    let refused = |cause: String| Error::Refused { registry: registry.clone(), cause };
    match error {
        OciDistributionError::RequestError(error) if error.is_status() => refused(error.to_string()),
        OciDistributionError::RequestError(error) => {
            Error::Unreachable { registry, cause: root_cause(&error), last: None }
        }
        OciDistributionError::DigestError(DigestError::VerificationError { expected, actual }) => {
            Error::Tampered { registry, expected, found: actual }
        }
        OciDistributionError::UnsupportedMediaTypeError(found) => {
            Error::NotAPolicy { reference: reference.to_string(), found: format!("it has type {found}") }
        }
        error if is_unauthorized(&error) => Error::Unauthorized { registry, known },
        error if is_absent(&error) => Error::NotFound { reference: reference.to_string() },
        error => refused(error.to_string()),
    }
}

/// Words why a download ended early.
pub(crate) fn of_stream(error: io::Error, reference: &Reference) -> Error {
    let registry = reference.registry().to_owned();
    match error.downcast::<DigestError>() {
        Ok(DigestError::VerificationError { expected, actual }) => {
            Error::Tampered { registry, expected, found: actual }
        }
        Ok(other) => Error::Refused { registry, cause: other.to_string() },
        Err(error) => Error::Unreachable { registry, cause: root_cause(&error), last: None },
    }
}

fn is_unauthorized(error: &OciDistributionError) -> bool {
    match error {
        OciDistributionError::UnauthorizedError { .. } | OciDistributionError::AuthenticationFailure(_) => true,
        OciDistributionError::ServerError { code, .. } => [401, 403].contains(code),
        error => says(error, &[OciErrorCode::Unauthorized, OciErrorCode::Denied]),
    }
}

fn is_absent(error: &OciDistributionError) -> bool {
    use OciErrorCode::{BlobUnknown, ManifestUnknown, NameUnknown, NotFound};
    match error {
        OciDistributionError::ServerError { code, .. } => *code == 404,
        error => says(error, &[BlobUnknown, ManifestUnknown, NameUnknown, NotFound]),
    }
}

fn says(error: &OciDistributionError, codes: &[OciErrorCode]) -> bool {
    match error {
        OciDistributionError::RegistryError { envelope, .. } => {
            envelope.errors.iter().any(|error| codes.contains(&error.code))
        }
        _ => false,
    }
}

/// The layers above only say that something went wrong.
pub(crate) fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(below) = cause.source() {
        cause = below;
    }
    cause.to_string()
}
