//! Where a policy's module comes from: a file, or a registry; and the way back, `push` and `pull`.

use std::path::PathBuf;

use autoscaler_guard_host::{Limits, Policy};
use autoscaler_guard_registry::{self as registry, Options, Reference, Registry};
use serde::Serialize;

use crate::arguments::{PullOptions, PushOptions, RegistryOptions, RegistryOutput};
use crate::fault::Fault;
use crate::review::Judge;
use crate::{Answer, documents};

/// Where a module is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// In a file.
    File(PathBuf),
    /// In a registry.
    Registry(Reference),
}

impl Source {
    /// Reads an argument. The error is for whoever wrote it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if Reference::is_meant(text) {
            return text.parse().map(Self::Registry).map_err(|error: registry::ReferenceError| error.to_string());
        }
        match text.split_once("://") {
            Some((scheme, _)) => Err(format!("{scheme}:// is not known; name a file, registry://… or oci://…")),
            None => Ok(Self::File(text.into())),
        }
    }

    /// The module that judges, or the built-in rules.
    pub fn judge(source: Option<&Self>, registries: &RegistryOptions, limits: Limits) -> Result<Judge, Fault> {
        match source {
            None => Judge::load(None, limits),
            Some(Self::File(path)) => Judge::load(Some(path), limits),
            Some(Self::Registry(reference)) => {
                let policy = pulled(reference, registries)?;
                Judge::module(&policy.pinned.to_string(), &policy.module, limits)
            }
        }
    }
}

/// What was pushed or pulled; `push --help` documents the fields, which stay.
#[derive(Serialize)]
struct Moved {
    reference: String,
    digest: String,
    pinned: String,
}

impl Moved {
    fn new(reference: &Reference, policy: &registry::Policy) -> Self {
        let digest = policy.pinned.digest().unwrap_or_default().to_owned();
        Self { reference: reference.to_string(), digest, pinned: policy.pinned.to_string() }
    }

    fn answer(&self, headline: &str, output: RegistryOutput) -> Result<Answer, Fault> {
        let text = match output {
            RegistryOutput::Human => {
                format!("{headline}\ndigest: {}\npinned: {}\n", self.digest, self.pinned)
            }
            RegistryOutput::Json => {
                let json = serde_json::to_string_pretty(self);
                json.map_err(|error| Fault::new("the answer cannot be written as JSON").because(error))? + "\n"
            }
        };
        Ok(Answer::fine(text))
    }
}

/// Pushes a module, if it is one that a policy server would run.
pub fn push(options: &PushOptions) -> Result<Answer, Fault> {
    let PushOptions { module: path, reference, registries, output } = options;
    let unusable = || Fault::new(format!("the module {} cannot be used", path.display()));
    let module = std::fs::read(path)
        .map_err(|error| unusable().because(error).help("`make annotated-policy.wasm` builds one"))?;
    let policy = Policy::load(&module, Limits::default()).map_err(|error| unusable().because(error))?;
    let metadata = policy.metadata().ok_or_else(|| {
        let fault = unusable().because("it has no metadata, without which no policy server runs it");
        fault.help("`make annotated-policy.wasm` or `kwctl annotate` writes them into a module")
    })?;
    let pushed = open(registries)?.push(&module, registry::annotations(&metadata.annotations), reference);
    let pushed = pushed.map_err(|error| {
        let fault = Fault::new(format!("{} cannot be pushed to {reference}", path.display()));
        told(fault, &error)
    })?;
    let headline = format!("pushed {} to {reference}", path.display());
    Moved::new(reference, &pushed).answer(&headline, *output)
}

/// Pulls a module into a file.
pub fn pull(options: &PullOptions) -> Result<Answer, Fault> {
    let PullOptions { reference, file, registries, output } = options;
    let policy = pulled(reference, registries)?;
    documents::write(file, &policy.module)?;
    Moved::new(reference, &policy).answer(&format!("pulled {reference} to {}", file.display()), *output)
}

fn pulled(reference: &Reference, registries: &RegistryOptions) -> Result<registry::Policy, Fault> {
    let pulled = open(registries)?.pull(reference);
    pulled.map_err(|error| told(Fault::new(format!("the policy {reference} cannot be used")), &error))
}

fn open(registries: &RegistryOptions) -> Result<Registry, Fault> {
    let registry = Registry::new(Options::usual(registries.insecure.clone()));
    registry.map_err(|error| Fault::new("registries cannot be asked").because(error))
}

/// Adds the reason and what to do.
fn told(fault: Fault, error: &registry::Error) -> Fault {
    use registry::Error::{
        Cache, Client, Credentials, NotAPolicy, NotFound, PushToDigest, Tampered, Unauthorized, Unreachable,
    };
    let fault = fault.because(error);
    match error {
        NotFound { .. } => fault.help("check host, repository and tag; some registries hide what needs `docker login`"),
        Unauthorized { registry, .. } | Credentials { registry, .. } => {
            fault.help(format!("`docker login {registry}` keeps the credentials where this program finds them"))
        }
        Unreachable { last: Some(last), .. } => {
            fault.help(format!("{last} is what was pulled last, and needs no registry while it is cached"))
        }
        Unreachable { registry, .. } if registry::is_here(registry) => fault.help("check that it runs, and its port"),
        Unreachable { registry, .. } => fault.help(format!(
            "check the name and the network; where the registry speaks plain HTTP: --insecure-registry {registry}"
        )),
        NotAPolicy { .. } => fault.help("policies are pushed by `autoscaler-guard push` or `kwctl push`"),
        Tampered { .. } => fault.help("do not trust this registry until it is known why; nothing of it was kept"),
        PushToDigest { .. } => fault.help("name a tag; the digest is told when it is pushed"),
        Client { .. } => fault.help(
            "install the system's certificates (Debian's package is ca-certificates), or name a file of them by SSL_CERT_FILE",
        ),
        Cache { .. } => fault.help("set XDG_CACHE_HOME to a folder that can be written to"),
        _ => fault,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_registries_are_told_apart() {
        assert_eq!(Source::parse("annotated-policy.wasm"), Ok(Source::File("annotated-policy.wasm".into())));
        assert!(matches!(Source::parse("registry://ghcr.io/you/guard:v1"), Ok(Source::Registry(_))));
        assert!(matches!(Source::parse("oci://ghcr.io/you/guard"), Ok(Source::Registry(_))));
        let error = Source::parse("https://example.com/policy.wasm").unwrap_err();
        assert_eq!(error, "https:// is not known; name a file, registry://… or oci://…");
        assert!(Source::parse("registry://ghcr.io/You/guard").unwrap_err().starts_with("invalid reference format; "));
    }

    #[test]
    fn an_unreachable_registry_gets_the_help_that_fits() {
        let unreachable = |last: Option<&str>| registry::Error::Unreachable {
            registry: "lab:5000".to_owned(),
            cause: "Connection refused".to_owned(),
            last: last.map(ToOwned::to_owned),
        };
        let text = |last| told(Fault::new("x cannot be used"), &unreachable(last)).to_string();
        assert!(text(None).ends_with("where the registry speaks plain HTTP: --insecure-registry lab:5000"));
        let cached = text(Some("registry://lab:5000/guard@sha256:0"));
        assert!(cached.contains("\nhelp: registry://lab:5000/guard@sha256:0 is what was pulled last"), "{cached}");
    }
}
