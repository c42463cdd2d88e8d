//! `manifests`: what a cluster needs to use `serve`.

use std::path::Path;

use autoscaler_guard::Settings;
use autoscaler_guard_server::manifests::{self, Manifests, Source};
use serde_json::{Value, json};

use crate::Answer;
use crate::arguments::{FailurePolicy, ManifestsOptions, ManifestsOutput};
use crate::fault::Fault;
use crate::review::{Judge, SettingsText};

/// Words the manifests.
pub fn run(options: &ManifestsOptions) -> Result<Answer, Fault> {
    let text = SettingsText::read(options.settings.as_deref(), &Judge::Core)?;
    // They were checked just now.
    let settings = Settings::from_json(text.as_str()).unwrap_or_default();
    let text = options.settings.as_ref().map(|_| pretty(text.as_str()));
    let manifests = Manifests {
        namespace: &options.namespace,
        image: &options.image,
        failure_policy: match options.failure_policy {
            FailurePolicy::Ignore => manifests::FailurePolicy::Ignore,
            FailurePolicy::Fail => manifests::FailurePolicy::Fail,
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

/// JSON is YAML.
fn pretty(settings: &str) -> String {
    let value: Value = serde_json::from_str(settings).unwrap_or_default();
    format!("{value:#}\n")
}

fn list(yaml: &str) -> Result<String, Fault> {
    let items: Result<Vec<Value>, _> = serde_saphyr::from_multiple(yaml);
    let items = items.map_err(|error| Fault::new("the manifests cannot be turned into JSON").because(error))?;
    Ok(format!("{:#}\n", json!({"apiVersion": "v1", "kind": "List", "items": items})))
}
