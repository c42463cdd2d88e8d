//! A pair that the server makes for itself, where nobody else issues one: kept in a Secret for all replicas, renewed
//! long before it expires, and handed to whoever has to trust it.
//!
//! The Secret has an authority of ten years and a certificate of ninety days by it. A renewal changes the certificate
//! alone, so whoever trusts the authority needs no news. A new authority is trusted beside the old one before
//! anything is issued by it, so that no answer is refused meanwhile. Replicas agree by the Secret's resourceVersion:
//! whoever comes second takes what the first has made. The server reads the pair from files, as it does any other.

use std::fmt::Display;
use std::fs;
use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use autoscaler_guard_host::LiveOptions;
use axum::http::{Method, Request, header::CONTENT_TYPE};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use kube::Client;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::certificate::{CertificateFiles, expiry};
use crate::{Host, Line, log};

const DAY: Duration = Duration::from_hours(24);
/// How long a certificate is good for, and how long before its end there is a new one: three tries a quarter are enough
/// to notice trouble.
const CERTIFICATE: Duration = Duration::from_hours(24 * 90);
const RENEWED: Duration = Duration::from_hours(24 * 30);
/// The same for the authority.
const AUTHORITY: Duration = Duration::from_hours(24 * 3650);
const SUCCEEDED: Duration = Duration::from_hours(24 * 365);
/// How often to look, and how soon again while something is left to do.
const EVERY: Duration = Duration::from_mins(1);
const SOON: Duration = Duration::from_secs(2);
/// How many authorities to have trusted, at most: this one's, and those that are on their way out.
const TRUSTED: usize = 4;
/// How often replicas may be in each other's way before it is tried again later.
const TRIES: usize = 5;

/// The pair of one server.
#[derive(Debug, Clone)]
pub struct SelfManaged {
    /// The namespace that all of it is in.
    pub namespace: String,
    /// The Secret that keeps the pair.
    pub secret: String,
    /// The Service by whose name the server is asked.
    pub service: String,
    /// Who asks, and so has to trust it.
    pub host: Host,
    /// The name of the webhook's configuration, or of the provider.
    pub trusted_by: String,
    /// Where the server reads the pair.
    pub files: CertificateFiles,
}

/// What is left to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Settled {
    /// Nothing.
    Trusted,
    /// Nobody is there yet who could trust it.
    Nobody,
}

/// Why an API server did not do what it was asked.
#[derive(Debug)]
enum Failure {
    /// It said so, by this status.
    Status(u16, String),
    /// It could not be asked.
    Unsent(String),
}

impl Display for Failure {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Status(_, reason) | Self::Unsent(reason) => formatter.write_str(reason),
        }
    }
}

/// An API server: a real one, or a test's.
trait Api {
    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Failure>;
}

impl Api for Client {
    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        let kind = if method == Method::PATCH { "application/json-patch+json" } else { "application/json" };
        let body = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
        let request = Request::builder().method(method).uri(path).header(CONTENT_TYPE, kind).body(body);
        let request = request.map_err(|error| Failure::Unsent(error.to_string()))?;
        self.request(request).await.map_err(|error| match error {
            kube::Error::Api(status) => Failure::Status(status.code, status.message.clone()),
            error => Failure::Unsent(error.to_string()),
        })
    }
}

impl SelfManaged {
    /// Keeps the pair for as long as the program runs, on a thread of its own. Returns once there are files to read.
    pub fn start(self, live: LiveOptions) -> Result<(), String> {
        let there = self.files.certificate.exists() && self.files.key.exists();
        let (done, first) = sync_channel(1);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let client = runtime.block_on(autoscaler_guard_host::client(live)).map_err(|error| error.to_string())?;
        let keep = move || runtime.block_on(self.keep(client, || _ = done.try_send(())));
        std::thread::Builder::new().name("certificate".into()).spawn(keep).map_err(|error| error.to_string())?;
        if !there {
            first.recv().map_err(|_| "the thread that makes it has ended".to_owned())?;
        }
        Ok(())
    }

    async fn keep(&self, client: Client, done: impl Fn()) {
        let mut said = String::new();
        loop {
            let next = match self.settle(&client, SystemTime::now()).await {
                Ok(settled) => {
                    said.clear();
                    done();
                    if settled == Settled::Trusted { EVERY } else { SOON }
                }
                Err(reason) => {
                    if reason != said {
                        log(&Line::error("the certificate cannot be kept").with("reason", reason.clone()));
                        said = reason;
                    }
                    SOON
                }
            };
            tokio::time::sleep(next).await;
        }
    }

    /// Sees to it that there is a pair, that it is trusted, and that it is in the files, in this order.
    async fn settle(&self, api: &impl Api, now: SystemTime) -> Result<Settled, String> {
        for _ in 0..TRIES {
            let secret = self.secret(api).await?;
            let known = secret.as_ref().and_then(Pair::read);
            let pair = match known.clone() {
                Some(pair) => pair.renewed(&self.names(), now)?,
                None => Pair::new(&self.names(), now)?,
            };
            if known.as_ref() != Some(&pair) {
                if !self.store(api, secret, &pair).await? {
                    continue;
                }
                let until = pair.expires().map(day).unwrap_or_default();
                let what = if known.is_some() { "the certificate was renewed" } else { "a certificate was made" };
                log(&Line::info(what).with("until", until));
            }
            let settled = self.have_trusted(api, &pair, now).await?;
            self.write(&pair).map_err(|error| format!("the pair cannot be written: {error}"))?;
            return Ok(settled);
        }
        Err(format!("Secret {}/{} keeps changing", self.namespace, self.secret))
    }

    fn names(&self) -> [String; 2] {
        let name = format!("{}.{}.svc", self.service, self.namespace);
        [name.clone(), format!("{name}.cluster.local")]
    }

    async fn secret(&self, api: &impl Api) -> Result<Option<Value>, String> {
        let path = format!("/api/v1/namespaces/{}/secrets/{}", self.namespace, self.secret);
        match api.send(Method::GET, &path, None).await {
            Ok(secret) => Ok(Some(secret)),
            Err(Failure::Status(404, _)) => Ok(None),
            Err(failure) => Err(failure.to_string()),
        }
    }

    /// Writes the Secret; false if somebody else was faster.
    async fn store(&self, api: &impl Api, found: Option<Value>, pair: &Pair) -> Result<bool, String> {
        let path = format!("/api/v1/namespaces/{}/secrets", self.namespace);
        let answer = if let Some(mut secret) = found {
            secret["data"] = pair.data();
            api.send(Method::PUT, &format!("{path}/{}", self.secret), Some(&secret)).await
        } else {
            let secret = json!({
                "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "data": pair.data(),
                "metadata": {
                    "name": self.secret, "namespace": self.namespace,
                    "labels": {"app.kubernetes.io/name": "autoscaler-guard"},
                },
            });
            api.send(Method::POST, &path, Some(&secret)).await
        };
        match answer {
            Ok(_) => Ok(true),
            Err(Failure::Status(409, _)) => Ok(false),
            Err(failure) => Err(failure.to_string()),
        }
    }

    /// Has whoever asks trust the pair's authorities, and those that it trusts already.
    async fn have_trusted(&self, api: &impl Api, pair: &Pair, now: SystemTime) -> Result<Settled, String> {
        let (path, list) = match self.host {
            Host::ApiServer => ("admissionregistration.k8s.io/v1/mutatingwebhookconfigurations", Some("/webhooks")),
            Host::Gatekeeper => ("externaldata.gatekeeper.sh/v1beta1/providers", None),
        };
        let path = format!("/apis/{path}/{}", self.trusted_by);
        let asking = match api.send(Method::GET, &path, None).await {
            Ok(asking) => asking,
            Err(Failure::Status(404, _)) => return Ok(Settled::Nobody),
            Err(failure) => return Err(failure.to_string()),
        };
        let places = match list {
            Some(list) => {
                let count = asking.pointer(list).and_then(Value::as_array).map_or(0, Vec::len);
                (0..count).map(|index| format!("{list}/{index}/clientConfig/caBundle")).collect()
            }
            None => vec!["/spec/caBundle".to_owned()],
        };
        let mut patch = vec![json!({
            "op": "test", "path": "/metadata/resourceVersion", "value": asking["metadata"]["resourceVersion"],
        })];
        for place in places {
            let present = asking.pointer(&place).and_then(Value::as_str).unwrap_or_default();
            let wanted = bundle(pair, present, now);
            if wanted != present {
                patch.push(json!({"op": "add", "path": place, "value": wanted}));
            }
        }
        if patch.len() > 1 {
            match api.send(Method::PATCH, &path, Some(&Value::Array(patch))).await {
                Ok(_) => log(&Line::info("the certificate's authority is trusted now").with("by", &*self.trusted_by)),
                // Somebody else has written it: look again.
                Err(Failure::Status(409 | 422, _)) => return Ok(Settled::Nobody),
                Err(failure) => return Err(failure.to_string()),
            }
        }
        Ok(Settled::Trusted)
    }

    /// Writes what has changed, the certificate last: with one that does not fit its key the server stays with the old
    /// pair.
    fn write(&self, pair: &Pair) -> std::io::Result<()> {
        for (path, text) in [(&self.files.key, &pair.key), (&self.files.certificate, &pair.certificate)] {
            if fs::read_to_string(path).is_ok_and(|present| present == *text) {
                continue;
            }
            let half = path.with_extension("new");
            write_private(&half, text)?;
            fs::rename(half, path)?;
        }
        Ok(())
    }
}

#[cfg(unix)]
fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}

#[cfg(not(unix))]
fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    fs::write(path, text)
}

/// What to trust, in base64: the pair's authorities, and of those that are trusted already the ones that are still
/// good.
fn bundle(pair: &Pair, present: &str, now: SystemTime) -> String {
    let before = BASE64_STANDARD.decode(present).unwrap_or_default();
    let mut all: Vec<String> = Vec::new();
    for pem in [pair.authorities.as_bytes(), &before] {
        for certificate in CertificateDer::pem_slice_iter(pem).filter_map(Result::ok) {
            let text = to_pem(&certificate);
            if !all.contains(&text) && expiry(&certificate).is_some_and(|end| end > now) {
                all.push(text);
            }
        }
    }
    all.truncate(TRUSTED);
    BASE64_STANDARD.encode(all.concat())
}

fn to_pem(certificate: &CertificateDer<'_>) -> String {
    let text = BASE64_STANDARD.encode(certificate);
    let lines = text.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line) + "\n").collect::<String>();
    format!("-----BEGIN CERTIFICATE-----\n{lines}-----END CERTIFICATE-----\n")
}

/// `2026-11-30`
fn day(time: SystemTime) -> String {
    OffsetDateTime::from(time).date().to_string()
}

/// What the Secret has.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pair {
    /// The authority, followed by those before it.
    authorities: String,
    authority_key: String,
    certificate: String,
    key: String,
}

impl Pair {
    fn new(names: &[String], now: SystemTime) -> Result<Self, String> {
        let (authority, authority_key) = authority(now)?;
        let (certificate, key) = issue(&authority_key, names, now)?;
        Ok(Self { authorities: authority, authority_key, certificate, key })
    }

    /// The pair of a Secret; none where it has none that this made, or one that is broken.
    fn read(secret: &Value) -> Option<Self> {
        let text = |key: &str| {
            let bytes = BASE64_STANDARD.decode(secret["data"][key].as_str()?).ok()?;
            String::from_utf8(bytes).ok()
        };
        let pair = Self {
            authorities: text("ca.crt")?,
            authority_key: text("ca.key")?,
            certificate: text("tls.crt")?,
            key: text("tls.key")?,
        };
        let keys_are_sound = KeyPair::from_pem(&pair.authority_key).is_ok() && KeyPair::from_pem(&pair.key).is_ok();
        (keys_are_sound && pair.expires().is_some() && end(&pair.authorities).is_some()).then_some(pair)
    }

    fn data(&self) -> Value {
        let encoded = |text: &str| BASE64_STANDARD.encode(text);
        json!({
            "ca.crt": encoded(&self.authorities), "ca.key": encoded(&self.authority_key),
            "tls.crt": encoded(&self.certificate), "tls.key": encoded(&self.key),
        })
    }

    fn expires(&self) -> Option<SystemTime> {
        end(&self.certificate)
    }

    /// The same, with what is due made anew. A new authority issues nothing at first: by the next renewal it has long
    /// been trusted.
    fn renewed(self, names: &[String], now: SystemTime) -> Result<Self, String> {
        let left = |end: Option<SystemTime>| end.and_then(|end| end.duration_since(now).ok()).unwrap_or_default();
        if left(end(&self.authorities)) < SUCCEEDED {
            if left(self.expires()) < DAY {
                return Self::new(names, now);
            }
            let (authority, authority_key) = authority(now)?;
            return Ok(Self { authorities: authority + &self.authorities, authority_key, ..self });
        }
        if left(self.expires()) < RENEWED {
            let (certificate, key) = issue(&self.authority_key, names, now)?;
            return Ok(Self { certificate, key, ..self });
        }
        Ok(self)
    }
}

/// When the first certificate of a PEM text ends.
fn end(pem: &str) -> Option<SystemTime> {
    CertificateDer::pem_slice_iter(pem.as_bytes()).next()?.ok().and_then(|certificate| expiry(&certificate))
}

fn valid(params: &mut CertificateParams, now: SystemTime, time: Duration) {
    // Clocks differ a little.
    params.not_before = OffsetDateTime::from(now.checked_sub(Duration::from_hours(1)).unwrap_or(UNIX_EPOCH));
    params.not_after = OffsetDateTime::from(now + time);
}

fn authority_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "autoscaler-guard");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    params
}

fn authority(now: SystemTime) -> Result<(String, String), String> {
    let key = KeyPair::generate().map_err(|error| error.to_string())?;
    let mut params = authority_params();
    valid(&mut params, now, AUTHORITY);
    let certificate = params.self_signed(&key).map_err(|error| error.to_string())?;
    Ok((to_pem(certificate.der()), key.serialize_pem()))
}

fn issue(authority_key: &str, names: &[String], now: SystemTime) -> Result<(String, String), String> {
    let issued = || -> Result<_, rcgen::Error> {
        let issuer = Issuer::new(authority_params(), KeyPair::from_pem(authority_key)?);
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name = DistinguishedName::new();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        valid(&mut params, now, CERTIFICATE);
        let certificate = params.signed_by(&key, &issuer)?;
        Ok((to_pem(certificate.der()), key.serialize_pem()))
    };
    issued().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
