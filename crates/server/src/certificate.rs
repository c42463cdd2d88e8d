//! The server's certificate: read from files, read again when they change, and reported before it expires.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{fs, io};

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::version::TLS13;
use rustls::{RootCertStore, ServerConfig};

use crate::connections::Tls;
use crate::metrics::Metrics;
use crate::{Host, Line, log};

/// From how long before its end on to report it. By then cert-manager has renewed a certificate of 90 days.
const NOTICE: Duration = Duration::from_hours(14 * 24);
/// How often.
const DAILY: Duration = Duration::from_hours(24);

/// PEM files, as a Secret of type `kubernetes.io/tls` has them.
#[derive(Debug, Clone)]
pub struct CertificateFiles {
    /// The certificate, followed by those that it was issued by.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// By whom clients have to be certified; without, any client may ask.
    pub client_authority: Option<PathBuf>,
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
    /// The authority of clients cannot be used.
    #[error("{} cannot be used to know clients by: {cause}; it has to be the certificate of who certifies them", path.display())]
    Authority {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: String,
    },
    /// The two do not make a server.
    #[error("{} and {} cannot be used: {cause}; check that the key is that of the first certificate", .files.certificate.display(), .files.key.display())]
    Unusable {
        /// The files.
        files: Box<CertificateFiles>,
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
    host: Host,
    pub(crate) config: Arc<ServerConfig>,
    /// When the first of the chain expires; none where it does not say so in a way that is understood.
    expires: Option<SystemTime>,
    /// By which a change of the files is noticed; the key itself is not kept twice.
    mark: u64,
}

impl Certificate {
    /// Reads the files and checks that they fit.
    pub fn load(files: CertificateFiles, host: Host) -> Result<Self, CertificateError> {
        let (config, expires, mark) = files.load(host)?;
        Ok(Self { files, host, config, expires, mark })
    }

    /// The certificate, if its files have changed since.
    fn renewed(self) -> Result<Option<Self>, CertificateError> {
        if mark(&self.files.read()?) == self.mark { Ok(None) } else { Self::load(self.files, self.host).map(Some) }
    }
}

/// What is in the files.
#[derive(Hash)]
struct Contents {
    chain: Vec<u8>,
    key: Vec<u8>,
    client_authority: Option<Vec<u8>>,
}

impl CertificateFiles {
    fn load(&self, host: Host) -> Result<(Arc<ServerConfig>, Option<SystemTime>, u64), CertificateError> {
        let contents = self.read()?;
        let mark = mark(&contents);
        let broken = |path: &PathBuf, wanted, cause| CertificateError::NotPem { path: path.clone(), wanted, cause };
        let chain = certificates(&contents.chain).map_err(|cause| broken(&self.certificate, "certificate", cause))?;
        let key =
            PrivateKeyDer::from_pem_slice(&contents.key).map_err(|cause| broken(&self.key, "private key", cause))?;
        let clients = match (&self.client_authority, &contents.client_authority) {
            (Some(path), Some(pem)) => {
                let authority = certificates(pem).map_err(|cause| broken(path, "certificate", cause))?;
                let unusable = |cause| CertificateError::Authority { path: path.clone(), cause };
                Some(verifier(authority).map_err(unusable)?)
            }
            _ => None,
        };
        let expires = chain.iter().filter_map(expiry).min();
        let config = config(host, clients, chain, key)
            .map_err(|cause| CertificateError::Unusable { files: Box::new(self.clone()), cause })?;
        Ok((Arc::new(config), expires, mark))
    }

    fn read(&self) -> Result<Contents, CertificateError> {
        let read =
            |path: &PathBuf| fs::read(path).map_err(|cause| CertificateError::Unreadable { path: path.clone(), cause });
        Ok(Contents {
            chain: read(&self.certificate)?,
            key: read(&self.key)?,
            client_authority: self.client_authority.as_ref().map(read).transpose()?,
        })
    }
}

pub(crate) fn expiry(certificate: &CertificateDer<'_>) -> Option<SystemTime> {
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let seconds = u64::try_from(certificate.validity().not_after.timestamp()).unwrap_or_default();
    Some(UNIX_EPOCH + Duration::from_secs(seconds))
}

/// When the certificate in use expires.
#[derive(Debug, Clone)]
pub(crate) struct Expiry(Arc<AtomicU64>);

impl Expiry {
    pub(crate) fn of(certificate: &Certificate) -> Self {
        let expiry = Self(Arc::new(AtomicU64::new(u64::MAX)));
        expiry.set(certificate);
        expiry
    }

    fn set(&self, certificate: &Certificate) {
        let since = certificate.expires.and_then(|expires| expires.duration_since(UNIX_EPOCH).ok());
        self.0.store(since.map_or(u64::MAX, |since| since.as_secs()), Ordering::Relaxed);
    }

    /// The seconds until then; negative ones are past.
    fn left(&self) -> Option<i64> {
        let expires = self.0.load(Ordering::Relaxed);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        (expires != u64::MAX)
            .then(|| i64::try_from(expires).unwrap_or(i64::MAX) - i64::try_from(now).unwrap_or_default())
    }

    /// Whether no client takes it any more.
    pub(crate) fn has_passed(&self) -> bool {
        self.left().is_some_and(|left| left <= 0)
    }

    /// What there is to say about it.
    fn notice(&self) -> Option<Line> {
        let left = self.left()?;
        if left <= 0 {
            let expired = "the certificate has expired: no API server takes an answer, and /readyz fails";
            return Some(Line::error(expired));
        }
        let notice = i64::try_from(NOTICE.as_secs()).unwrap_or(i64::MAX);
        (left < notice).then(|| Line::warn(format!("the certificate expires in {} hours; renew it", left / 3600)))
    }
}

/// At least one.
fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, pem::Error> {
    let certificates = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>()?;
    if certificates.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(certificates) }
}

fn verifier(authority: Vec<CertificateDer<'static>>) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let mut roots = RootCertStore::empty();
    for certificate in authority {
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    builder.build().map_err(|error| error.to_string())
}

fn config(
    host: Host,
    clients: Option<Arc<dyn ClientCertVerifier>>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider);
    let builder = match host {
        Host::ApiServer => builder.with_safe_default_protocol_versions()?,
        // Gatekeeper takes nothing older either.
        Host::Gatekeeper => builder.with_protocol_versions(&[&TLS13])?,
    };
    let builder = match clients {
        Some(clients) => builder.with_client_cert_verifier(clients),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn mark(contents: &Contents) -> u64 {
    let mut hasher = DefaultHasher::new();
    contents.hash(&mut hasher);
    hasher.finish()
}

/// Looks at the files from time to time, for ever. Secrets are mounted by links that are swapped, which file watches
/// are known to miss; reading two small files is cheap. A pair that cannot be used, such as one that is half written,
/// leaves the old one in place.
pub(crate) async fn keep_fresh(
    mut certificate: Certificate,
    every: Duration,
    served: Tls,
    expiry: Expiry,
    metrics: Arc<Metrics>,
) {
    let mut complaint = String::new();
    let mut reported: Option<(SystemTime, bool)> = None;
    loop {
        if let Some(expires) = certificate.expires {
            metrics.certificate_expires(expires);
        }
        // At start, when it is read, daily, and when it happens.
        let due = reported.is_none_or(|(when, passed)| {
            passed != expiry.has_passed() || when.elapsed().is_ok_and(|since| since >= DAILY)
        });
        if due {
            reported = Some((SystemTime::now(), expiry.has_passed()));
            if let Some(notice) = expiry.notice() {
                log(&notice);
            }
        }
        tokio::time::sleep(every).await;
        let looked_at = certificate.clone();
        let Ok(renewed) = tokio::task::spawn_blocking(|| looked_at.renewed()).await else { continue };
        match renewed {
            Ok(None) => complaint.clear(),
            Ok(Some(renewed)) => {
                certificate = renewed;
                complaint.clear();
                expiry.set(&certificate);
                reported = None;
                *served.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&certificate.config);
                metrics.certificate_reloaded(true);
                log(&Line::info("the certificate has changed and was loaded"));
            }
            Err(error) => {
                let text = error.to_string();
                if text != complaint {
                    let stays = "the certificate has changed and cannot be loaded, so the old one stays";
                    log(&Line::error(stays).with("reason", text.clone()));
                    metrics.certificate_reloaded(false);
                    complaint = text;
                }
            }
        }
    }
}
