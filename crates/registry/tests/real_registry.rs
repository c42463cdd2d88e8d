//! Pushes to a real registry, which each test starts for itself.

#![allow(clippy::restriction, reason = "a test may panic")]

mod docker_registry;

use std::collections::BTreeMap;
use std::fs;
use std::process::ExitCode;

use autoscaler_guard_registry::{Error, Image, Program, Reference, annotations, push};
use docker_registry::{DockerRegistry, PASSWORD, USER};
use oci_client::client::{Client, ClientConfig, ClientProtocol};
use oci_client::manifest::WASM_LAYER_MEDIA_TYPE;
use oci_client::secrets::RegistryAuth;
use serde_json::{Value, json};

/// Registries take any bytes; hosts have their own say about what is a module.
const MODULE: &[u8] = b"\0asm, in a way";

fn main() -> ExitCode {
    docker_registry::run(
        "pushing",
        &[
            ("what_is_pushed_is_there_by_tag_and_by_digest", what_is_pushed_is_there_by_tag_and_by_digest),
            ("the_manifest_is_kwctls", the_manifest_is_kwctls),
            ("a_tag_moves_to_what_was_pushed_last", a_tag_moves_to_what_was_pushed_last),
            ("credentials_come_from_dockers_configuration", credentials_come_from_dockers_configuration),
            ("nothing_is_pushed_to_a_digest", nothing_is_pushed_to_a_digest),
            ("a_registry_that_does_not_answer_is_named", a_registry_that_does_not_answer_is_named),
            ("elsewhere_it_is_https", elsewhere_it_is_https),
            ("an_image_is_started_from_what_was_pulled", an_image_is_started_from_what_was_pulled),
        ],
    )
}

fn tag(server: &DockerRegistry, tag: &str) -> Reference {
    let text = format!("registry://{}/you/autoscaler-guard:{tag}", server.host());
    text.parse().expect("it is a reference")
}

fn metadata() -> BTreeMap<String, String> {
    let pairs = [
        ("io.kubewarden.policy.title", "guard"),
        ("io.kubewarden.policy.source", "https://example.com/source"),
        ("io.kubewarden.policy.usage", "several\nlines"),
    ];
    pairs.map(|(key, text)| (key.to_owned(), text.to_owned())).into()
}

fn pushed(module: &[u8], reference: &Reference) -> Reference {
    push(module, annotations(&metadata()), reference, None).expect("it is pushed")
}

/// What another client pulls: the module, and the manifest's digest.
fn pulled(reference: &Reference) -> (Vec<u8>, String) {
    let image = reference.to_string().trim_start_matches("registry://").parse().expect("it is a reference");
    let config = ClientConfig { protocol: ClientProtocol::Http, ..ClientConfig::default() };
    let client = Client::try_from(config).expect("a client can be made");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("threads can be started");
    let types = vec![WASM_LAYER_MEDIA_TYPE];
    let pulled = runtime.block_on(client.pull(&image, &RegistryAuth::Anonymous, types)).expect("it is pulled");
    let module = pulled.layers.into_iter().next().expect("there is a layer").data.to_vec();
    (module, pulled.digest.expect("there is a digest"))
}

fn what_is_pushed_is_there_by_tag_and_by_digest() {
    let server = DockerRegistry::open();
    let pinned = pushed(MODULE, &tag(&server, "v1"));
    for reference in [&tag(&server, "v1"), &pinned] {
        let (module, digest) = pulled(reference);
        assert_eq!((module.as_slice(), Some(digest.as_str())), (MODULE, pinned.digest()), "{reference}");
    }
}

/// To the letter what `kwctl push` sends: the same fields, types and annotations.
fn the_manifest_is_kwctls() {
    let server = DockerRegistry::open();
    let pinned = pushed(MODULE, &tag(&server, "v1"));
    let stored = fs::read(server.blob(pinned.digest().expect("it is pinned")));
    let stored: Value =
        serde_json::from_slice(&stored.expect("the manifest is stored under its digest")).expect("it is JSON");
    let expected = json!({
        "schemaVersion": 2,
        "config": {
            "mediaType": "application/vnd.wasm.config.v1+json",
            "digest": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
            "size": 2,
        },
        "layers": [{
            "mediaType": "application/vnd.wasm.content.layer.v1+wasm",
            "digest": stored["layers"][0]["digest"],
            "size": MODULE.len(),
        }],
        "annotations": {
            "io.kubewarden.policy.source": "https://example.com/source",
            "io.kubewarden.policy.title": "guard",
            "org.opencontainers.image.source": "https://example.com/source",
        },
    });
    assert_eq!(stored, expected);
    let config = fs::read(server.blob("sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"));
    assert_eq!(config.expect("the configuration is stored"), b"{}");
    let layer = stored["layers"][0]["digest"].as_str().expect("the layer has a digest");
    assert_eq!(fs::read(server.blob(layer)).expect("the module is stored"), MODULE);
}

fn a_tag_moves_to_what_was_pushed_last() {
    let server = DockerRegistry::open();
    pushed(MODULE, &tag(&server, "latest"));
    let latest: Reference = format!("oci://{}/you/autoscaler-guard", server.host()).parse().expect("it is a reference");
    assert_eq!(pulled(&latest).0, MODULE);
    pushed(b"newer", &tag(&server, "latest"));
    assert_eq!(pulled(&latest).0, b"newer");
}

fn credentials_come_from_dockers_configuration() {
    let server = DockerRegistry::closed();
    let reference = tag(&server, "v1");
    let known = server.docker_config("known", USER, PASSWORD);
    push(MODULE, annotations(&metadata()), &reference, Some(&known)).expect("it is pushed");
    let wrong = server.docker_config("wrong", USER, "dozing");
    for (docker, known) in [(None, false), (Some(wrong.as_path()), true)] {
        let error = push(MODULE, BTreeMap::new(), &reference, docker).expect_err("it is not permitted");
        assert!(matches!(error, Error::Unauthorized { known: said, .. } if said == known), "{error}");
    }
}

fn nothing_is_pushed_to_a_digest() {
    let server = DockerRegistry::open();
    let pinned = pushed(MODULE, &tag(&server, "v1"));
    let error = push(MODULE, BTreeMap::new(), &pinned, None).expect_err("a digest is no tag");
    assert!(matches!(error, Error::PushToDigest { .. }), "{error}");
}

fn a_registry_that_does_not_answer_is_named() {
    let server = DockerRegistry::open();
    let reference = tag(&server, "v1");
    let host = server.host().to_owned();
    drop(server);
    let error = push(MODULE, BTreeMap::new(), &reference, None).expect_err("nobody answers");
    assert!(error.to_string().starts_with(&format!("{host} cannot be reached: ")), "{error}");
}

/// There is no way back to plain HTTP when the certificate is not trusted.
fn elsewhere_it_is_https() {
    let issued = rcgen::generate_simple_self_signed(["127.0.0.2".to_owned()]).expect("a certificate can be issued");
    let server = DockerRegistry::secure(&issued.cert.pem(), &issued.signing_key.serialize_pem());
    let error = push(MODULE, BTreeMap::new(), &tag(&server, "v1"), None).expect_err("nobody knows the issuer");
    // Without any certificates of the system's there is no client at all.
    let expected = matches!(error, Error::Unreachable { .. } | Error::Client { .. });
    assert!(expected && error.to_string().contains("certificate"), "{error}");
}

/// Its entry point, as its configuration names it, out of its layer alone: by `make image` the real one, as nobody, in
/// a root of its own.
fn an_image_is_started_from_what_was_pulled() {
    let (server, real) = (DockerRegistry::open(), std::env::var_os("AUTOSCALER_GUARD_IMAGE_PROGRAM"));
    let program = real.clone().unwrap_or_else(|| "/bin/echo".into());
    let bytes = fs::read(program).expect("the program can be read");
    let programs = [Program { architecture: "amd64".to_owned(), bytes }];
    let image = Image::of(&programs, "autoscaler-guard", &json!({"org.opencontainers.image.title": "guard"}));
    let pinned = image.push(&tag(&server, "v1"), None).expect("it is pushed");
    assert_eq!(pinned.digest(), Some(image.digest().as_str()));

    let blob = |digest: &Value| fs::read(server.blob(digest.as_str().expect("it is a digest"))).expect("it is there");
    let read = |digest: &Value| -> Value { serde_json::from_slice(&blob(digest)).expect("it is JSON") };
    let index = read(&json!(image.digest()));
    assert_eq!(index["manifests"][0]["platform"], json!({"architecture": "amd64", "os": "linux"}));
    let manifest = read(&index["manifests"][0]["digest"]);
    let config = read(&manifest["config"]["digest"]);
    assert_eq!(config["config"]["User"], "65532:65532");
    let root = server.folder("root");
    fs::create_dir_all(&root).expect("a folder can be made");
    let layer = server.folder("layer.tar");
    fs::write(&layer, blob(&manifest["layers"][0]["digest"])).expect("the folder can be written to");
    let unpacked = std::process::Command::new("tar").arg("-xf").arg(&layer).arg("-C").arg(&root).status();
    assert!(unpacked.expect("tar runs").success());

    let entry = config["config"]["Entrypoint"][0].as_str().expect("it has an entry point");
    let at = root.join(entry.trim_start_matches('/'));
    let mut command = std::process::Command::new(&at);
    if real.is_some() && is_root() {
        command = std::process::Command::new("chroot");
        command.args(["--userspec=65532:65532"]).arg(&root).arg(entry);
    }
    let output = command.arg("--version").output().expect("it starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{output:?}");
    if real.is_some() {
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(text, format!("autoscaler-guard {version}\n"));
    }
}

fn is_root() -> bool {
    let id = std::process::Command::new("id").arg("-u").output();
    id.is_ok_and(|id| id.stdout == b"0\n")
}
