//! The credentials that `docker login` has left.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;

use docker_credential::{CredentialRetrievalError, DockerCredential};
use oci_client::secrets::RegistryAuth;

use crate::{Error, Reference};

/// Docker Hub's name in docker's configuration.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// Finds the credentials for a registry in the folder of docker's configuration; without any, it is asked as anybody.
pub(crate) fn find(reference: &Reference, folder: Option<&Path>) -> Result<RegistryAuth, Error> {
    let Some(folder) = folder else { return Ok(RegistryAuth::Anonymous) };
    let registry = reference.registry();
    let unusable = |cause: String| Error::Credentials { registry: registry.to_owned(), cause };
    let path = folder.join("config.json");
    let file = match File::open(&path) {
        Ok(file) => BufReader::new(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(RegistryAuth::Anonymous),
        Err(error) => return Err(unusable(format!("{}: {error}", path.display()))),
    };
    let server = if registry == "docker.io" { DOCKER_HUB } else { registry };
    match docker_credential::get_credential_from_reader(file, server) {
        Ok(DockerCredential::UsernamePassword(user, password)) => Ok(RegistryAuth::Basic(user, password)),
        Ok(DockerCredential::IdentityToken(_)) => {
            Err(unusable("they are an identity token, which this program cannot use".to_owned()))
        }
        Err(CredentialRetrievalError::NoCredentialConfigured) => Ok(RegistryAuth::Anonymous),
        // What helpers say when they know nothing of the registry.
        Err(CredentialRetrievalError::HelperFailure { stdout, stderr, .. })
            if (stdout.clone() + &stderr).contains("credentials not found") =>
        {
            Ok(RegistryAuth::Anonymous)
        }
        Err(error) => Err(unusable(format!("{}: {error}", path.display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(config: &str, registry: &str) -> Result<RegistryAuth, String> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.json"), config).unwrap();
        let reference: Reference = format!("registry://{registry}/you/guard").parse().unwrap();
        find(&reference, Some(folder.path())).map_err(|error| error.to_string())
    }

    #[test]
    fn each_registry_gets_its_own_and_others_get_none() {
        // "jane:secret"
        let config = r#"{"auths": {"ghcr.io": {"auth": "amFuZTpzZWNyZXQ="}, "https://index.docker.io/v1/": {"auth": "amFuZTpzZWNyZXQ="}}}"#;
        let jane = RegistryAuth::Basic("jane".to_owned(), "secret".to_owned());
        assert_eq!(found(config, "ghcr.io"), Ok(jane.clone()));
        assert_eq!(found(config, "docker.io"), Ok(jane));
        assert_eq!(found(config, "quay.io"), Ok(RegistryAuth::Anonymous));
        assert_eq!(found("{}", "ghcr.io"), Ok(RegistryAuth::Anonymous));
    }

    #[test]
    fn without_a_configuration_anybody_asks() {
        let reference: Reference = "registry://ghcr.io/you/guard".parse().unwrap();
        let folder = tempfile::tempdir().unwrap();
        for folder in [None, Some(folder.path())] {
            assert!(matches!(find(&reference, folder), Ok(RegistryAuth::Anonymous)));
        }
    }

    #[test]
    fn what_cannot_be_used_is_reported_and_not_left_out() {
        let broken = found("{", "ghcr.io").unwrap_err();
        assert!(
            broken.starts_with("the credentials for ghcr.io in docker's configuration cannot be used: "),
            "{broken}"
        );
        let token = r#"{"auths": {"ghcr.io": {"identitytoken": "x"}}}"#;
        assert!(found(token, "ghcr.io").unwrap_err().ends_with("an identity token, which this program cannot use"));
    }
}
