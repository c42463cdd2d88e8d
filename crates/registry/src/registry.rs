//! Pushing and pulling.

use std::collections::BTreeMap;
use std::env;
use std::path::PathBuf;
use std::time::Duration;

use futures_util::TryStreamExt;
use oci_client::Client;
use oci_client::client::{ClientConfig, ClientProtocol, Config, ImageLayer};
use oci_client::manifest::{
    IMAGE_MANIFEST_LIST_MEDIA_TYPE, IMAGE_MANIFEST_MEDIA_TYPE, OCI_IMAGE_INDEX_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE,
    OciDescriptor, OciImageManifest, WASM_CONFIG_MEDIA_TYPE, WASM_LAYER_MEDIA_TYPE,
};
use oci_client::secrets::RegistryAuth;

use crate::cache::{self, Cache};
use crate::{Error, Reference, credentials, error, manifest};

/// How long a registry may take to accept a connection, and to send anything at all.
const PATIENCE: Duration = Duration::from_secs(20);

/// The largest module that is pulled: some hundred times a policy's usual size.
const LARGEST: u64 = 256 << 20;

/// What a registry may answer with when it is asked for a manifest. Lists are named so that it is told what they are.
const MANIFESTS: [&str; 4] =
    [OCI_IMAGE_MEDIA_TYPE, IMAGE_MANIFEST_MEDIA_TYPE, OCI_IMAGE_INDEX_MEDIA_TYPE, IMAGE_MANIFEST_LIST_MEDIA_TYPE];

/// How to use registries.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Registries that are spoken to by plain HTTP, with their port if it is not 80. Those on this machine always are.
    pub insecure: Vec<String>,
    /// Where to keep what was pulled; nowhere if none.
    pub cache: Option<PathBuf>,
    /// The folder of docker's configuration, which has the credentials; everybody is asked as nobody in particular if none.
    pub docker: Option<PathBuf>,
}

impl Options {
    /// As on every machine: what is pulled is kept in `autoscaler-guard/policies` in `$XDG_CACHE_HOME` or `~/.cache`, and
    /// credentials come from `$DOCKER_CONFIG` or `~/.docker`.
    pub fn usual(insecure: Vec<String>) -> Self {
        let named = |variable| env::var_os(variable).map(PathBuf::from).filter(|folder| !folder.as_os_str().is_empty());
        let at_home = |folder| env::home_dir().map(|home| home.join(folder));
        // The specification has paths that are not absolute ignored.
        let cache = named("XDG_CACHE_HOME").filter(|folder| folder.is_absolute()).or_else(|| at_home(".cache"));
        Self {
            insecure,
            cache: cache.map(|folder| folder.join("autoscaler-guard").join("policies")),
            docker: named("DOCKER_CONFIG").or_else(|| at_home(".docker")),
        }
    }
}

/// Whether a registry, with or without its port, is on this machine.
pub fn is_here(registry: &str) -> bool {
    let host = registry.split_once(':').map_or(registry, |(host, _)| host);
    ["localhost", "127.0.0.1"].contains(&host)
}

/// A policy that was pulled or pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The module.
    pub module: Vec<u8>,
    /// Where it is for good.
    pub pinned: Reference,
}

/// Pushes policies to OCI registries and pulls them.
#[derive(Debug)]
pub struct Registry {
    insecure: Vec<String>,
    cache: Option<Cache>,
    docker: Option<PathBuf>,
    runtime: tokio::runtime::Runtime,
}

/// A client for one registry, and who it says that it is.
struct Connection {
    client: Client,
    auth: RegistryAuth,
}

impl Registry {
    /// Makes ready; nothing is asked yet.
    pub fn new(options: Options) -> Result<Self, Error> {
        // Fails only if there is a provider already, which will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Error::Client { cause: error.to_string() })?;
        let Options { insecure, cache, docker } = options;
        Ok(Self { insecure, cache: cache.map(Cache::at), docker, runtime })
    }

    /// Pushes a module under a tag, as kwctl would, with the [`annotations`](crate::annotations) of its metadata.
    pub fn push(
        &self,
        module: &[u8],
        annotations: BTreeMap<String, String>,
        reference: &Reference,
    ) -> Result<Policy, Error> {
        if reference.digest().is_some() {
            return Err(Error::PushToDigest { reference: reference.to_string() });
        }
        let Connection { client, auth } = self.connect(reference)?;
        let layers = [ImageLayer::new(module.to_vec(), WASM_LAYER_MEDIA_TYPE.to_owned(), None)];
        let config = Config::new(&b"{}"[..], WASM_CONFIG_MEDIA_TYPE.to_owned(), None);
        let manifest = OciImageManifest::build(&layers, &config, Some(annotations));
        let pushed = client.push(reference.inner(), &layers, config, &auth, Some(manifest));
        let pushed = self.runtime.block_on(pushed).map_err(|error| worded(error, reference, &auth))?;
        let digest = pushed.manifest_url.rsplit('/').next().filter(|part| part.starts_with("sha256:"));
        let digest = digest.ok_or_else(|| Error::Refused {
            registry: reference.registry().to_owned(),
            cause: format!("it does not tell the digest of what was pushed, but {}", pushed.manifest_url),
        })?;
        Ok(Policy { module: module.to_vec(), pinned: reference.pinned(digest) })
    }

    /// Pulls a policy. One that is pinned and was pulled before is not asked for again; what a tag stands for is.
    pub fn pull(&self, reference: &Reference) -> Result<Policy, Error> {
        if let Some(digest) = reference.digest()
            && let Some(policy) = self.cached(reference, digest)?
        {
            return Ok(policy);
        }
        self.download(reference).map_err(|error| self.with_last(error, reference))
    }

    fn cached(&self, reference: &Reference, digest: &str) -> Result<Option<Policy>, Error> {
        let Some(cache) = &self.cache else { return Ok(None) };
        let Some(manifest) = cache.read(digest) else { return Ok(None) };
        let module = cache.read(&manifest::module(&manifest, reference)?.digest);
        Ok(module.map(|module| Policy { module, pinned: reference.pinned(digest) }))
    }

    fn download(&self, reference: &Reference) -> Result<Policy, Error> {
        let connection = self.connect(reference)?;
        let manifest = self.runtime.block_on(connection.manifest(reference))?;
        let digest = cache::digest(&manifest);
        let layer = manifest::module(&manifest, reference)?;
        let known = self.cache.as_ref().and_then(|cache| cache.read(&layer.digest));
        let module = match known {
            Some(module) => module,
            None => self.runtime.block_on(connection.module(reference, &layer))?,
        };
        if let Some(cache) = &self.cache {
            // The manifest comes after its module, so that it is never there alone.
            let kept = cache.keep(&module).and_then(|()| cache.keep(&manifest));
            let kept = if reference.digest().is_none() {
                kept.and_then(|()| cache.resolved(reference, &digest))
            } else {
                kept
            };
            kept.map_err(|cause| Error::Cache { folder: cache.folder().to_owned(), cause })?;
        }
        Ok(Policy { module, pinned: reference.pinned(&digest) })
    }

    /// Adds what a tag last stood for.
    fn with_last(&self, error: Error, reference: &Reference) -> Error {
        match error {
            Error::Unreachable { registry, cause, .. } if reference.digest().is_none() => {
                let last = self.cache.as_ref().and_then(|cache| cache.last(reference));
                Error::Unreachable { registry, cause, last: last.map(|digest| reference.pinned(&digest).to_string()) }
            }
            error => error,
        }
    }

    fn connect(&self, reference: &Reference) -> Result<Connection, Error> {
        let config = ClientConfig {
            protocol: self.protocol(reference.registry()),
            connect_timeout: Some(PATIENCE),
            read_timeout: Some(PATIENCE),
            user_agent: concat!("autoscaler-guard/", env!("CARGO_PKG_VERSION")),
            ..ClientConfig::default()
        };
        let client = Client::try_from(config).map_err(|error| Error::Client { cause: error::root_cause(&error) })?;
        Ok(Connection { client, auth: credentials::find(reference, self.docker.as_deref())? })
    }

    fn protocol(&self, registry: &str) -> ClientProtocol {
        if is_here(registry) || self.insecure.iter().any(|named| named == registry) {
            ClientProtocol::Http
        } else {
            ClientProtocol::Https
        }
    }
}

impl Connection {
    /// The manifest's text; the client holds it to the digest, if the reference has one.
    async fn manifest(&self, reference: &Reference) -> Result<Vec<u8>, Error> {
        let pulled = self.client.pull_manifest_raw(reference.inner(), &self.auth, &MANIFESTS).await;
        let (manifest, _) = pulled.map_err(|error| worded(error, reference, &self.auth))?;
        Ok(manifest.to_vec())
    }

    /// The module, no more of it than the manifest says; the client holds it to its digest.
    async fn module(&self, reference: &Reference, layer: &OciDescriptor) -> Result<Vec<u8>, Error> {
        let no_policy = |found: String| Error::NotAPolicy { reference: reference.to_string(), found };
        let size = u64::try_from(layer.size).unwrap_or(u64::MAX);
        if size > LARGEST {
            return Err(no_policy(format!("its module is said to have {} bytes", layer.size)));
        }
        let wrong = |error| worded(error, reference, &self.auth);
        let mut stream = self.client.pull_blob_stream(reference.inner(), layer).await.map_err(wrong)?.stream;
        let mut module = Vec::new();
        while let Some(part) = stream.try_next().await.map_err(|error| error::of_stream(error, reference))? {
            module.extend_from_slice(&part);
            if module.len() as u64 > size {
                return Err(no_policy(format!("its module has more than the {size} bytes that its manifest says")));
            }
        }
        Ok(module)
    }
}

fn worded(error: oci_client::errors::OciDistributionError, reference: &Reference, auth: &RegistryAuth) -> Error {
    error::of(error, reference, *auth != RegistryAuth::Anonymous)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_and_what_was_named_is_spoken_to_in_the_clear() {
        let options = Options { insecure: vec!["lab:5000".to_owned()], ..Options::default() };
        let registry = Registry::new(options).unwrap();
        for plain in ["localhost", "localhost:5000", "127.0.0.1:5000", "lab:5000"] {
            assert_eq!(registry.protocol(plain), ClientProtocol::Http, "{plain}");
        }
        for secure in ["ghcr.io", "lab", "lab:5001", "localhost.example.com", "127.0.0.1.example.com:5000"] {
            assert_eq!(registry.protocol(secure), ClientProtocol::Https, "{secure}");
        }
    }
}
