//! One authority for all servers of a control plane, and their certificates.

use std::path::Path;

use anyhow::Result;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};

/// An authority that signs the servers' certificates.
#[derive(Debug)]
pub struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, in PEM.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The certificate.
    pub certificate: String,
    /// The key.
    pub key: String,
}

impl Authority {
    /// A new one.
    ///
    /// # Errors
    /// The key or the certificate cannot be made.
    pub fn new() -> Result<Self> {
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        parameters.distinguished_name.push(DnType::CommonName, "autoscaler-guard-e2e");
        let key = KeyPair::generate()?;
        let certificate = parameters.self_signed(&key)?.pem();
        Ok(Self { certificate, issuer: Issuer::new(parameters, key) })
    }

    /// The authority's own certificate, in PEM: what clients trust.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// A certificate for a server of those names.
    ///
    /// # Errors
    /// The key or the certificate cannot be made.
    pub fn sign(&self, names: &[&str]) -> Result<Certificate> {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut parameters = CertificateParams::new(names.clone())?;
        parameters.distinguished_name.push(DnType::CommonName, names.first().map_or("server", String::as_str));
        let key = KeyPair::generate()?;
        let certificate = parameters.signed_by(&key, &self.issuer)?.pem();
        Ok(Certificate { certificate, key: key.serialize_pem() })
    }

    /// Writes a new certificate and its key, and the authority's, into a folder.
    ///
    /// # Errors
    /// They cannot be made or written.
    pub fn write(&self, folder: &Path, names: &[&str]) -> Result<()> {
        std::fs::create_dir_all(folder)?;
        let signed = self.sign(names)?;
        std::fs::write(folder.join("tls.crt"), signed.certificate)?;
        std::fs::write(folder.join("tls.key"), signed.key)?;
        Ok(std::fs::write(folder.join("ca.crt"), &self.certificate)?)
    }
}
