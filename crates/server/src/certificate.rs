//! The server's certificate: read from files, and read again when they change.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io};

use axum_server::tls_rustls::RustlsConfig;
use rustls::ServerConfig;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::log;
use crate::metrics::Metrics;

/// PEM files, as a Secret of type `kubernetes.io/tls` has them.
#[derive(Debug, Clone)]
pub struct CertificateFiles {
    /// The certificate, followed by those that it was issued by.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("{} cannot be read: {cause}; check the path and its permissions", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// A file has no such thing in PEM format.
    #[error("{} has no {wanted} in PEM format{}; check that certificate and key are not swapped", path.display(), because(cause))]
    NotPem {
        /// The file.
        path: PathBuf,
        /// What it should have.
        wanted: &'static str,
        /// Why.
        cause: pem::Error,
    },
    /// The two do not make a server.
    #[error("{} and {} cannot be used: {cause}; check that the key is that of the first certificate", .files.certificate.display(), .files.key.display())]
    Unusable {
        /// The files.
        files: CertificateFiles,
        /// Why.
        #[source]
        cause: rustls::Error,
    },
}

fn because(cause: &pem::Error) -> String {
    if matches!(cause, pem::Error::NoItemsFound) { String::new() } else { format!(" ({cause})") }
}

/// A certificate in use, and where it comes from.
#[derive(Debug, Clone)]
pub struct Certificate {
    files: CertificateFiles,
    pub(crate) config: Arc<ServerConfig>,
    /// By which a change of the files is noticed; the key itself is not kept twice.
    mark: u64,
}

impl Certificate {
    /// Reads both files and checks that they fit.
    pub fn load(files: CertificateFiles) -> Result<Self, CertificateError> {
        let (config, mark) = files.load()?;
        Ok(Self { files, config, mark })
    }

    /// The certificate, if its files have changed since.
    fn renewed(self) -> Result<Option<Self>, CertificateError> {
        let (chain, key) = self.files.read()?;
        if mark(&chain, &key) == self.mark { Ok(None) } else { Self::load(self.files).map(Some) }
    }
}

impl CertificateFiles {
    fn load(&self) -> Result<(Arc<ServerConfig>, u64), CertificateError> {
        let (chain, key) = self.read()?;
        let mark = mark(&chain, &key);
        let broken = |path: &PathBuf, wanted, cause| CertificateError::NotPem { path: path.clone(), wanted, cause };
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&chain)
            .collect::<Result<_, _>>()
            .map_err(|cause| broken(&self.certificate, "certificate", cause))?;
        if chain.is_empty() {
            return Err(broken(&self.certificate, "certificate", pem::Error::NoItemsFound));
        }
        let key = PrivateKeyDer::from_pem_slice(&key).map_err(|cause| broken(&self.key, "private key", cause))?;
        let config = config(chain, key).map_err(|cause| CertificateError::Unusable { files: self.clone(), cause })?;
        Ok((Arc::new(config), mark))
    }

    fn read(&self) -> Result<(Vec<u8>, Vec<u8>), CertificateError> {
        let read =
            |path: &PathBuf| fs::read(path).map_err(|cause| CertificateError::Unreadable { path: path.clone(), cause });
        Ok((read(&self.certificate)?, read(&self.key)?))
    }
}

fn config(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<ServerConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = builder.with_no_client_auth().with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn mark(chain: &[u8], key: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    (chain, key).hash(&mut hasher);
    hasher.finish()
}

/// Looks at the files from time to time, for ever. Secrets are mounted by links that are swapped, which file watches are known to
/// miss; reading two small files is cheap. A pair that cannot be used, such as one that is half written, leaves the old one in
/// place.
pub(crate) async fn keep_fresh(
    mut certificate: Certificate,
    every: Duration,
    served: RustlsConfig,
    metrics: Arc<Metrics>,
) {
    let mut complaint = String::new();
    loop {
        tokio::time::sleep(every).await;
        let looked_at = certificate.clone();
        let Ok(renewed) = tokio::task::spawn_blocking(|| looked_at.renewed()).await else { continue };
        match renewed {
            Ok(None) => complaint.clear(),
            Ok(Some(renewed)) => {
                certificate = renewed;
                complaint.clear();
                served.reload_from_config(Arc::clone(&certificate.config));
                metrics.certificate_reloaded(true);
                log("the certificate has changed and was loaded");
            }
            Err(error) => {
                let text = error.to_string();
                if text != complaint {
                    log(&format!("the certificate has changed and cannot be loaded, so the old one stays: {text}"));
                    metrics.certificate_reloaded(false);
                    complaint = text;
                }
            }
        }
    }
}
