//! An image from scratch: one static program for each architecture and nothing else, run as nobody. The same programs
//! give the same bytes.

#![expect(clippy::indexing_slicing, reason = "JSON is built by key, and a header's fields have fixed places")]

use std::fs;
use std::io;
use std::path::Path;

use oci_client::RegistryOperation;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::registry::{client, runtime};
use crate::{Error, Reference, credentials, error};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// Whom it runs as: nobody that has anything on a node.
const USER: u32 = 65532;

/// A program for one architecture, as OCI calls it: `amd64`, `arm64`.
#[derive(Debug, Clone)]
pub struct Program {
    /// The architecture.
    pub architecture: String,
    /// The program, which needs nothing around it.
    pub bytes: Vec<u8>,
}

/// An image, put together.
#[derive(Debug, Clone)]
pub struct Image {
    /// Layers and configurations.
    blobs: Vec<Vec<u8>>,
    manifests: Vec<Vec<u8>>,
    index: Vec<u8>,
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{:x}", Sha256::digest(bytes))
}

fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": digest(bytes), "size": bytes.len()})
}

impl Image {
    /// An image of these programs, which are called `name` in it and are its entry point; with labels, which are its
    /// annotations, too.
    pub fn of(programs: &[Program], name: &str, labels: &Value) -> Self {
        let (mut blobs, mut manifests, mut described) = (Vec::new(), Vec::new(), Vec::new());
        for Program { architecture, bytes } in programs {
            let layer = archive(name, bytes);
            let config = json!({
                "architecture": architecture, "os": "linux", "created": "1970-01-01T00:00:00Z",
                "config": {"User": format!("{USER}:{USER}"), "Entrypoint": [format!("/{name}")], "Labels": labels},
                "rootfs": {"type": "layers", "diff_ids": [digest(&layer)]},
                "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "make image"}],
            });
            let config = config.to_string().into_bytes();
            let manifest = json!({
                "schemaVersion": 2, "mediaType": MANIFEST, "annotations": labels,
                "config": descriptor(CONFIG, &config), "layers": [descriptor(LAYER, &layer)],
            });
            let manifest = manifest.to_string().into_bytes();
            let mut one = descriptor(MANIFEST, &manifest);
            one["platform"] = json!({"architecture": architecture, "os": "linux"});
            described.push(one);
            blobs.extend([layer, config]);
            manifests.push(manifest);
        }
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "annotations": labels, "manifests": described});
        Self { blobs, manifests, index: index.to_string().into_bytes() }
    }

    /// What names it for good.
    pub fn digest(&self) -> String {
        digest(&self.index)
    }

    /// Writes it as an OCI image layout, which skopeo, podman and others read.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        let blobs = folder.join("blobs/sha256");
        fs::create_dir_all(&blobs)?;
        for bytes in self.blobs.iter().chain(&self.manifests).chain([&self.index]) {
            fs::write(blobs.join(digest(bytes).trim_start_matches("sha256:")), bytes)?;
        }
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor(INDEX, &self.index)]});
        fs::write(folder.join("index.json"), index.to_string())?;
        fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)
    }

    /// Pushes it under a tag. Returns the reference that names it for good.
    ///
    /// # Errors
    /// The reference names a digest, or the registry does not take it.
    pub fn push(&self, reference: &Reference, docker: Option<&Path>) -> Result<Reference, Error> {
        if reference.digest().is_some() {
            return Err(Error::PushToDigest { reference: reference.to_string() });
        }
        let (client, auth) = (client(reference)?, credentials::find(reference, docker)?);
        let place = reference.inner();
        let pushed = async {
            client.auth(place, &auth, RegistryOperation::Push).await?;
            for blob in &self.blobs {
                client.push_blob(place, blob.clone(), &digest(blob)).await?;
            }
            let kind = |text| http::HeaderValue::from_static(text);
            for manifest in &self.manifests {
                let by_digest = place.clone_with_digest(digest(manifest));
                client.push_manifest_raw(&by_digest, manifest.clone(), kind(MANIFEST)).await?;
            }
            client.push_manifest_raw(place, self.index.clone(), kind(INDEX)).await
        };
        let is_anonymous = auth == oci_client::secrets::RegistryAuth::Anonymous;
        runtime()?.block_on(pushed).map_err(|error| error::of(error, reference, !is_anonymous))?;
        Ok(reference.pinned(&self.digest()))
    }
}

/// A tar archive (ustar) of one program, owned by root and executable by all.
fn archive(name: &str, bytes: &[u8]) -> Vec<u8> {
    const BLOCK: usize = 512;
    let mut header = [0; BLOCK];
    let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, "0000555\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{:011o}\0", bytes.len()));
    put(136, "00000000000\0");
    // The checksum is that of the header with blanks in its place.
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\x0000");
    let sum: u32 = header.iter().copied().map(u32::from).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let padding = bytes.len().next_multiple_of(BLOCK) - bytes.len();
    [&header[..], bytes, &vec![0; padding], &[0; 2 * BLOCK]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(bytes: &[u8]) -> Image {
        let program = |architecture: &str| Program { architecture: architecture.to_owned(), bytes: bytes.to_vec() };
        Image::of(&[program("amd64"), program("arm64")], "guard", &json!({"a": "b"}))
    }

    #[test]
    fn the_same_program_is_the_same_image() {
        assert_eq!(image(b"one").digest(), image(b"one").digest());
        assert_ne!(image(b"one").digest(), image(b"two").digest());
    }

    #[test]
    fn a_layout_has_all_that_it_names() {
        let folder = tempfile::tempdir().unwrap();
        let image = image(b"program");
        image.write(folder.path()).unwrap();
        let mut names = vec![image.digest()];
        let mut seen = 0;
        while let Some(name) = names.pop() {
            let bytes = fs::read(folder.path().join("blobs/sha256").join(name.trim_start_matches("sha256:"))).unwrap();
            assert_eq!(digest(&bytes), name);
            seen += 1;
            let Ok(value) = serde_json::from_slice::<Value>(&bytes) else { continue };
            let below = [&value["manifests"], &value["layers"]].into_iter().filter_map(Value::as_array).flatten();
            let below = below.chain([&value["config"]]);
            names.extend(below.filter_map(|one| one["digest"].as_str()).map(str::to_owned));
        }
        // Two configurations and manifests, and the layer that both share, seen twice.
        assert_eq!(seen, 1 + 2 + 2 + 2);
    }

    #[test]
    fn tar_reads_the_layer() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("layer.tar"), archive("guard", b"#!/bin/sh\necho here\n")).unwrap();
        let run = |program: &str, arguments: &[&str]| {
            let output =
                std::process::Command::new(program).args(arguments).current_dir(folder.path()).output().unwrap();
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).unwrap()
        };
        assert_eq!(run("tar", &["-tvf", "layer.tar"]).split_whitespace().next(), Some("-r-xr-xr-x"));
        run("tar", &["-xf", "layer.tar"]);
        assert_eq!(run("./guard", &[]), "here\n");
    }
}
