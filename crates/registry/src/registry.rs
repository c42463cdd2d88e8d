//! Pushing.

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};
use std::time::Duration;

use oci_client::Client;
use oci_client::client::{ClientConfig, ClientProtocol, Config, ImageLayer};
use oci_client::manifest::{OciImageManifest, WASM_CONFIG_MEDIA_TYPE, WASM_LAYER_MEDIA_TYPE};
use oci_client::secrets::RegistryAuth;

use crate::{Error, Reference, credentials, error};

/// How long a registry may take to accept a connection, and to send anything at all.
const PATIENCE: Duration = Duration::from_secs(20);

/// The folder of docker's configuration, which has the credentials: `$DOCKER_CONFIG` or `~/.docker`.
pub fn docker_folder() -> Option<PathBuf> {
    let named = env::var_os("DOCKER_CONFIG").map(PathBuf::from).filter(|folder| !folder.as_os_str().is_empty());
    named.or_else(|| env::home_dir().map(|home| home.join(".docker")))
}

/// Pushes a module under a tag, as kwctl would, with the [`annotations`](crate::annotations) of its metadata. Returns
/// the reference that names it for good. The credentials come from a folder of docker's, see [`docker_folder`].
///
/// # Errors
/// The reference names a digest, or the registry does not take the module.
pub fn push(
    module: &[u8],
    annotations: BTreeMap<String, String>,
    reference: &Reference,
    docker: Option<&Path>,
) -> Result<Reference, Error> {
    if reference.digest().is_some() {
        return Err(Error::PushToDigest { reference: reference.to_string() });
    }
    let runtime = runtime()?;
    let (client, auth) = (client(reference)?, credentials::find(reference, docker)?);
    let layers = [ImageLayer::new(module.to_vec(), WASM_LAYER_MEDIA_TYPE.to_owned(), None)];
    let config = Config::new(&b"{}"[..], WASM_CONFIG_MEDIA_TYPE.to_owned(), None);
    let manifest = OciImageManifest::build(&layers, &config, Some(annotations));
    let pushed = client.push(reference.inner(), &layers, config, &auth, Some(manifest));
    let pushed = runtime.block_on(pushed);
    let pushed = pushed.map_err(|error| error::of(error, reference, auth != RegistryAuth::Anonymous))?;
    let digest = pushed.manifest_url.rsplit('/').next().filter(|part| part.starts_with("sha256:"));
    let digest = digest.ok_or_else(|| Error::Refused {
        registry: reference.registry().to_owned(),
        cause: format!("it names no digest for what was pushed, but {}", pushed.manifest_url),
    })?;
    Ok(reference.pinned(digest))
}

/// What asks the registry.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Error> {
    // Fails only if there is a provider already, which will do.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Error::Client { cause: error.to_string() })
}

pub(crate) fn client(reference: &Reference) -> Result<Client, Error> {
    let config = ClientConfig {
        protocol: protocol(reference.registry()),
        connect_timeout: Some(PATIENCE),
        read_timeout: Some(PATIENCE),
        user_agent: concat!("autoscaler-guard/", env!("CARGO_PKG_VERSION")),
        ..ClientConfig::default()
    };
    Client::try_from(config).map_err(|error| Error::Client { cause: error::root_cause(&error) })
}

/// Plain HTTP to a registry on this machine, as docker does; HTTPS to all others.
fn protocol(registry: &str) -> ClientProtocol {
    let host = registry.split_once(':').map_or(registry, |(host, _)| host);
    if ["localhost", "127.0.0.1"].contains(&host) { ClientProtocol::Http } else { ClientProtocol::Https }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_spoken_to_in_the_clear() {
        for plain in ["localhost", "localhost:5000", "127.0.0.1:5000"] {
            assert_eq!(protocol(plain), ClientProtocol::Http, "{plain}");
        }
        for secure in ["ghcr.io", "lab", "lab:5001", "localhost.example.com", "127.0.0.1.example.com:5000"] {
            assert_eq!(protocol(secure), ClientProtocol::Https, "{secure}");
        }
    }
}
