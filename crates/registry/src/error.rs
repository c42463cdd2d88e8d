//! Why something could not be pushed.

use oci_client::errors::{OciDistributionError, OciErrorCode};

use crate::Reference;

/// Why something could not be pushed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The registry does not let this in, or not do this.
    #[error("{registry} does not permit it{}", if *known { "" } else { "; docker's configuration has no credentials for it" })]
    Unauthorized {
        /// The registry.
        registry: String,
        /// Whether there were credentials.
        known: bool,
    },
    /// The registry does not answer.
    #[error("{registry} cannot be reached: {cause}")]
    Unreachable {
        /// The registry.
        registry: String,
        /// Why.
        cause: String,
    },
    /// The registry answers with an error of another kind.
    #[error("{registry} refuses: {cause}")]
    Refused {
        /// The registry.
        registry: String,
        /// What it says.
        cause: String,
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
        OciDistributionError::RequestError(error) => Error::Unreachable { registry, cause: root_cause(&error) },
        error if is_unauthorized(&error) => Error::Unauthorized { registry, known },
        error => refused(error.to_string()),
    }
}

fn is_unauthorized(error: &OciDistributionError) -> bool {
    match error {
        OciDistributionError::UnauthorizedError { .. } | OciDistributionError::AuthenticationFailure(_) => true,
        OciDistributionError::ServerError { code, .. } => [401, 403].contains(code),
        error => says(error, &[OciErrorCode::Unauthorized, OciErrorCode::Denied]),
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
