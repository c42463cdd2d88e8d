//! `manifests`: what a cluster needs to use `serve`.

use std::path::Path;

use autoscaler_guard::Settings;
use autoscaler_guard_host::{documents, yaml};
use autoscaler_guard_server::manifests::{self, AskedBy, Manifests, Source};
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::arguments::{FailurePolicy, ManifestsOptions, ManifestsOutput};
use crate::fault::Fault;
use crate::review::{Judge, SettingsText};

/// Words the manifests.
pub fn run(options: &ManifestsOptions) -> Result<Answer, Fault> {
    let text = SettingsText::read(options.settings.as_deref(), &Judge::Core)?;
    // They were checked just now.
    let settings = Settings::from_json(text.as_str()).unwrap_or_default();
    let text = options.settings.as_ref().map(|_| pretty(text.as_str()));
    let clients = options.client_ca.as_deref().map(certificates).transpose()?;
    let manifests = Manifests {
        namespace: &options.namespace,
        image: &options.image,
        asked_by: match (options.gatekeeper, options.failure_policy) {
            (true, _) => AskedBy::Gatekeeper(clients.as_deref()),
            (false, FailurePolicy::Ignore) => AskedBy::ApiServer(manifests::FailurePolicy::Ignore),
            (false, FailurePolicy::Fail) => AskedBy::ApiServer(manifests::FailurePolicy::Fail),
        },
        certificate: options.ca_bundle.as_deref().map_or(Ok(Source::CertManager), authority)?,
        settings: &settings,
        settings_text: text.as_deref(),
    };
    let yaml = manifests.to_string();
    match options.output {
        ManifestsOutput::Yaml => Ok(Answer::fine(yaml)),
        ManifestsOutput::Json => Ok(Answer::fine(list(&yaml)?)),
    }
}

fn authority(path: &Path) -> Result<Source, Fault> {
    let unusable = || Fault::new(format!("the authority in {} cannot be used", path.display()));
    let pem =
        std::fs::read(path).map_err(|error| unusable().because(error).help("check the path and its permissions"))?;
    Source::authority(pem).ok_or_else(|| unusable().because("it has no certificate in PEM format"))
}

/// The certificates of an authority, as text.
fn certificates(path: &Path) -> Result<String, Fault> {
    let Source::Authority(pem) = authority(path)? else { return Ok(String::new()) };
    String::from_utf8(pem)
        .map_err(|error| Fault::new(format!("the authority in {} cannot be used", path.display())).because(error))
}

fn pretty(settings: &str) -> String {
    yaml::document(&serde_json::from_str(settings).unwrap_or_default())
}

fn list(yaml: &str) -> Result<String, Fault> {
    let documents = documents::read("the manifests", yaml);
    let documents = documents.map_err(|error| Fault::new("they cannot be turned into JSON").because(error))?;
    let items: Vec<Value> = documents.into_iter().map(|document| document.value).collect();
    Ok(format!("{:#}\n", json!({"apiVersion": "v1", "kind": "List", "items": items})))
}
