//! `manifests`: what a cluster needs to use `serve`, or to do without.

use std::path::Path;

use autoscaler_guard::Settings;
use autoscaler_guard_host::{documents, yaml};
use autoscaler_guard_server::manifests::native::{self, Part};
use autoscaler_guard_server::manifests::{self, AskedBy, Manifests, Source};
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::arguments::{FailurePolicy, ManifestsOptions, ManifestsOutput, NativeOptions, NativePart, WithoutServer};
use crate::fault::Fault;
use crate::review::{Judge, SettingsText};

/// Words the manifests.
pub fn run(options: &ManifestsOptions) -> Result<Answer, Fault> {
    if let Some(WithoutServer::Native(options)) = &options.without_server {
        return without_server(options);
    }
    let text = SettingsText::read(options.settings.as_deref(), &Judge::Core)?;
    // They were checked just now.
    let settings = Settings::from_json(text.as_str()).unwrap_or_default();
    let text = options.settings.as_ref().map(|_| pretty(text.as_str()));
    let clients = options.client_ca.as_deref().map(certificates).transpose()?;
    let certificate = options.ca_bundle.as_deref().map_or(Ok(Source::CertManager), authority)?;
    let image = image(options)?;
    let manifests = Manifests {
        namespace: &options.namespace,
        image: &image,
        asked_by: match (options.gatekeeper, options.failure_policy) {
            (true, _) => AskedBy::Gatekeeper(clients.as_deref()),
            (false, FailurePolicy::Ignore) => AskedBy::ApiServer(manifests::FailurePolicy::Ignore),
            (false, FailurePolicy::Fail) => AskedBy::ApiServer(manifests::FailurePolicy::Fail),
        },
        certificate,
        settings: &settings,
        settings_text: text.as_deref(),
    };
    answer(options.output, manifests.to_string())
}

/// The image that belongs to this program, which the release names when it builds it: by its digest, so that nobody can
/// put another there.
const RELEASED: Option<&str> = option_env!("AUTOSCALER_GUARD_IMAGE");

fn image(options: &ManifestsOptions) -> Result<String, Fault> {
    let image = options.image.as_deref().or(RELEASED).map(str::to_owned);
    image.ok_or_else(|| {
        Fault::new("no image is known")
            .because("this program is not of a release")
            .help("name one by --image; `make image REGISTRY=registry.example.com` builds and pushes it")
    })
}

/// The policies by which API servers guard by themselves.
fn without_server(options: &NativeOptions) -> Result<Answer, Fault> {
    let text = SettingsText::read(options.settings.as_deref(), &Judge::Core)?;
    // They were checked just now.
    let settings = Settings::from_json(text.as_str()).unwrap_or_default();
    let wanted = |part: &Part| {
        let name = match part {
            Part::Handover => NativePart::Handover,
            Part::Guards => NativePart::Guards,
            Part::Warnings => NativePart::Warnings,
        };
        options.part.is_empty() || options.part.contains(&name)
    };
    let parts = Part::ALL.into_iter().filter(wanted).map(|part| native::yaml(part, &settings));
    let parts: Vec<String> = parts.filter(|part| !part.is_empty()).collect();
    answer(options.output, parts.join("---\n"))
}

fn answer(output: ManifestsOutput, yaml: String) -> Result<Answer, Fault> {
    match output {
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
