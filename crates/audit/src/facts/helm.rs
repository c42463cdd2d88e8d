//! Helm's releases: which revision is deployed, and what it declares.
//!
//! A revision is a Secret `sh.helm.release.v1.<release>.v<revision>` whose `release` is JSON, packed with gzip and
//! encoded in base64 (helm/helm, pkg/storage/driver/util.go); or a ConfigMap, with `HELM_DRIVER=configmap`.

use std::collections::BTreeMap;
use std::io::Read;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::inventory::Inventory;
use crate::object::{Object, text};

/// A revision of a release.
#[derive(Clone, Debug)]
pub struct Revision {
    /// The release.
    pub release: String,
    /// Its namespace.
    pub namespace: String,
    /// Which revision.
    pub number: i64,
    /// When it was deployed.
    pub since: Option<String>,
    /// Whether a newer revision is being rolled out, or the release removed.
    pub is_moving: bool,
    /// What it declares.
    pub objects: Vec<Value>,
}

/// Longer releases are not Helm's: the API server takes no Secret over 1 MB.
const LONGEST: u64 = 64 << 20;

/// The newest deployed revision of every release.
pub fn deployed(inventory: &Inventory) -> Vec<Revision> {
    let mut releases: BTreeMap<(String, String), Vec<&Object>> = BTreeMap::new();
    let stored = inventory.kind("", "Secret").chain(inventory.kind("", "ConfigMap"));
    for object in stored {
        let name = object.key.name.strip_prefix("sh.helm.release.v1.").and_then(|rest| rest.rsplit_once(".v"));
        if let Some((release, _)) = name {
            releases.entry((object.key.namespace.clone(), release.to_owned())).or_default().push(object);
        }
    }
    releases.into_values().filter_map(newest).collect()
}

fn number(object: &Object) -> i64 {
    let number = object.key.name.rsplit_once(".v").and_then(|(_, number)| number.parse().ok());
    number.unwrap_or_default()
}

fn newest(mut revisions: Vec<&Object>) -> Option<Revision> {
    revisions.sort_by_key(|object| number(object));
    let status = |object: &Object| match object.label("status") {
        Some(status) => status.to_owned(),
        None => unpack(object).map(|release| text(&release, "/info/status").to_owned()).unwrap_or_default(),
    };
    let last = status(revisions.last()?);
    let is_moving = last.starts_with("pending-") || last == "uninstalling";
    let deployed = revisions.iter().rev().find(|object| status(object) == "deployed")?;
    let release = unpack(deployed)?;
    let namespace = Some(text(&release, "/namespace")).filter(|it| !it.is_empty()).unwrap_or(&deployed.key.namespace);
    let since = Some(text(&release, "/info/last_deployed")).filter(|time| !time.is_empty());
    Some(Revision {
        release: text(&release, "/name").to_owned(),
        namespace: namespace.to_owned(),
        number: number(deployed),
        since: since.map(str::to_owned),
        is_moving,
        objects: objects(text(&release, "/manifest")),
    })
}

/// The release in a Secret or ConfigMap.
fn unpack(object: &Object) -> Option<Value> {
    let data = object.text("/data/release");
    let data = if data.is_empty() { object.text("/stringData/release") } else { data };
    let mut bytes = decode(data.as_bytes())?;
    // A Secret's data is encoded once more by the API.
    if !is_packed(&bytes)
        && let Some(inner) = decode(&bytes)
    {
        bytes = inner;
    }
    if is_packed(&bytes) {
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(&*bytes).take(LONGEST).read_to_end(&mut unpacked).ok()?;
        bytes = unpacked;
    }
    serde_json::from_slice(&bytes).ok()
}

fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let text: Vec<u8> = text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    STANDARD.decode(text).ok()
}

fn is_packed(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x1f, 0x8b])
}

/// The documents of a manifest; one that cannot be read is passed over, as Helm applied it.
fn objects(manifest: &str) -> Vec<Value> {
    let mut parts: Vec<String> = vec![String::new()];
    for line in manifest.lines() {
        if line.trim_end() == "---" || line.starts_with("--- ") {
            parts.push(String::new());
        } else if let Some(part) = parts.last_mut() {
            part.push_str(line);
            part.push('\n');
        }
    }
    let options = serde_saphyr::options! { budget: None, with_snippet: false };
    let read = |part: &String| serde_saphyr::from_str_with_options::<Value>(part, options.clone()).ok();
    parts.iter().filter_map(read).filter(Value::is_object).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use serde_json::json;

    use super::*;

    fn secret(release: &str, revision: i64, status: &str, manifest: &str) -> Value {
        let release_json = json!({
            "name": release, "namespace": "shop", "version": revision, "manifest": manifest,
            "info": {"status": status, "last_deployed": "2026-11-21T17:00:00Z"},
        });
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        packed.write_all(release_json.to_string().as_bytes()).expect("it is packed");
        let encoded = STANDARD.encode(STANDARD.encode(packed.finish().expect("it is packed")));
        json!({
            "apiVersion": "v1", "kind": "Secret", "type": "helm.sh/release.v1",
            "metadata": {
                "name": format!("sh.helm.release.v1.{release}.v{revision}"), "namespace": "shop",
                "labels": {"owner": "helm", "name": release, "status": status, "version": revision.to_string()},
            },
            "data": {"release": encoded},
        })
    }

    const HPA: &str =
        "---\n# Source: web/hpa.yaml\nkind: HorizontalPodAutoscaler\nmetadata:\n  name: web\n---\nkind: Service\n";

    #[test]
    fn the_newest_deployed_revision_counts() {
        let inventory = Inventory::of([
            secret("web", 1, "superseded", ""),
            secret("web", 2, "deployed", HPA),
            secret("web", 10, "failed", ""),
            secret("gone", 1, "uninstalled", HPA),
        ]);
        let found = deployed(&inventory);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].release.as_str(), found[0].number, found[0].is_moving), ("web", 2, false));
        assert_eq!(found[0].objects.len(), 2);
    }

    #[test]
    fn what_is_under_way_is_known() {
        let inventory = Inventory::of([secret("web", 1, "deployed", HPA), secret("web", 2, "pending-upgrade", "")]);
        assert!(deployed(&inventory)[0].is_moving);
    }
}
