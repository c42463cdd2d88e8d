//! Push and pull against a real registry, which each test starts for itself.

mod docker_registry;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use autoscaler_guard_registry::{Error, Options, Policy, Reference, Registry, annotations};
use docker_registry::{DockerRegistry, PASSWORD, USER};
use serde_json::{Value, json};

/// Registries take any bytes; hosts have their own say about what is a module.
const MODULE: &[u8] = b"\0asm, in a way";

fn main() -> ExitCode {
    docker_registry::run(
        "pushing and pulling",
        &[
            ("what_is_pushed_is_pulled_by_tag_and_by_digest", what_is_pushed_is_pulled_by_tag_and_by_digest),
            ("the_manifest_is_kwctls", the_manifest_is_kwctls),
            ("a_pinned_policy_needs_no_registry_twice", a_pinned_policy_needs_no_registry_twice),
            ("a_tag_is_resolved_each_time", a_tag_is_resolved_each_time),
            ("a_tampered_module_is_refused_and_not_kept", a_tampered_module_is_refused_and_not_kept),
            ("a_tampered_manifest_is_refused_and_not_kept", a_tampered_manifest_is_refused_and_not_kept),
            ("a_damaged_cache_is_mended", a_damaged_cache_is_mended),
            ("credentials_come_from_dockers_configuration", credentials_come_from_dockers_configuration),
            ("what_is_not_there_is_told", what_is_not_there_is_told),
            ("an_image_is_no_policy", an_image_is_no_policy),
            ("nothing_is_pushed_to_a_digest", nothing_is_pushed_to_a_digest),
        ],
    )
}

fn registry(cache: &Path) -> Registry {
    Registry::new(Options { cache: Some(cache.to_owned()), ..Options::default() }).expect("a client can be made")
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

fn push(registry: &Registry, reference: &Reference) -> Policy {
    registry.push(MODULE, annotations(&metadata()), reference).expect("it is pushed")
}

fn digest(policy: &Policy) -> &str {
    policy.pinned.digest().expect("it is pinned")
}

/// The digest of the module that a manifest names.
fn layer(server: &DockerRegistry, policy: &Policy) -> String {
    let manifest: Value =
        serde_json::from_slice(&fs::read(server.blob(digest(policy))).expect("it is stored")).expect("it is JSON");
    manifest["layers"][0]["digest"].as_str().expect("the layer has a digest").to_owned()
}

fn files(folder: &Path) -> usize {
    fs::read_dir(folder.join("sha256")).map_or(0, Iterator::count)
}

fn what_is_pushed_is_pulled_by_tag_and_by_digest() {
    let server = DockerRegistry::open();
    let pushed = push(&registry(&server.folder("nothing")), &tag(&server, "v1"));
    for (reference, cache) in [(tag(&server, "v1"), "by-tag"), (pushed.pinned.clone(), "by-digest")] {
        let pulled = registry(&server.folder(cache)).pull(&reference).expect("it is pulled");
        assert_eq!(pulled, pushed, "{reference}");
        assert_eq!(files(&server.folder(cache)), 2, "manifest and module are kept");
    }
}

/// To the letter what `kwctl push` sends: the same fields, types and annotations.
fn the_manifest_is_kwctls() {
    let server = DockerRegistry::open();
    let pushed = push(&registry(&server.folder("cache")), &tag(&server, "v1"));
    let stored = fs::read(server.blob(digest(&pushed))).expect("the manifest is stored under its digest");
    let stored: Value = serde_json::from_slice(&stored).expect("it is JSON");
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
    assert_eq!(fs::read(server.blob(&layer(&server, &pushed))).expect("the module is stored"), MODULE);
}

fn a_pinned_policy_needs_no_registry_twice() {
    let server = DockerRegistry::open();
    let folder = tempfile::tempdir().expect("a folder can be made");
    let registry = registry(folder.path());
    let pushed = push(&registry, &tag(&server, "v1"));
    let tagged = tag(&server, "v1");
    registry.pull(&tagged).expect("it is pulled");
    drop(server);
    assert_eq!(registry.pull(&pushed.pinned).expect("it is cached"), pushed);
    let error = registry.pull(&tagged).expect_err("nobody says what the tag stands for");
    let Error::Unreachable { last, .. } = &error else { panic!("{error}") };
    assert_eq!(last.as_ref(), Some(&pushed.pinned.to_string()));
    assert!(error.to_string().ends_with(&format!("; the tag last stood for {}", pushed.pinned)), "{error}");
}

fn a_tag_is_resolved_each_time() {
    let server = DockerRegistry::open();
    let registry = registry(&server.folder("cache"));
    push(&registry, &tag(&server, "latest"));
    let latest: Reference = format!("oci://{}/you/autoscaler-guard", server.host()).parse().expect("it is a reference");
    assert_eq!(registry.pull(&latest).expect("it is pulled").module, MODULE);
    let newer = registry.push(b"newer", BTreeMap::new(), &tag(&server, "latest")).expect("it is pushed");
    assert_eq!(registry.pull(&latest).expect("it is pulled"), newer);
}

fn a_tampered_module_is_refused_and_not_kept() {
    let server = DockerRegistry::open();
    let cache = server.folder("cache");
    let registry = registry(&cache);
    let pushed = push(&registry, &tag(&server, "v1"));
    let layer = layer(&server, &pushed);
    let mut tampered = MODULE.to_vec();
    tampered[4] ^= 1;
    fs::write(server.blob(&layer), &tampered).expect("the storage can be written to");
    for reference in [tag(&server, "v1"), pushed.pinned.clone()] {
        let error = registry.pull(&reference).expect_err("it was tampered with");
        assert!(matches!(&error, Error::Tampered { expected, .. } if *expected == layer), "{reference}: {error}");
    }
    for other in [&MODULE[..4], &[MODULE, b"and more"].concat()] {
        fs::write(server.blob(&layer), other).expect("the storage can be written to");
        registry.pull(&pushed.pinned).expect_err("it was tampered with");
    }
    assert_eq!(files(&cache), 0, "something is cached");
    fs::write(server.blob(&layer), MODULE).expect("the storage can be written to");
    assert_eq!(registry.pull(&pushed.pinned).expect("it is whole again"), pushed);
}

fn a_tampered_manifest_is_refused_and_not_kept() {
    let server = DockerRegistry::open();
    let cache = server.folder("cache");
    let registry = registry(&cache);
    let pushed = push(&registry, &tag(&server, "v1"));
    let file = server.blob(digest(&pushed));
    let manifest = fs::read_to_string(&file).expect("it is stored");
    fs::write(&file, manifest.replace("guard", "gourd")).expect("the storage can be written to");
    for reference in [tag(&server, "v1"), pushed.pinned.clone()] {
        let error = registry.pull(&reference).expect_err("it was tampered with");
        assert!(matches!(&error, Error::Tampered { expected, .. } if expected == digest(&pushed)), "{error}");
    }
    assert_eq!(files(&cache), 0, "something is cached");
}

fn a_damaged_cache_is_mended() {
    let server = DockerRegistry::open();
    let cache = tempfile::tempdir().expect("a folder can be made");
    let registry = registry(cache.path());
    let pushed = push(&registry, &tag(&server, "v1"));
    registry.pull(&pushed.pinned).expect("it is pulled");
    for file in fs::read_dir(cache.path().join("sha256")).expect("there is a cache") {
        fs::write(file.expect("it can be read").path(), b"damaged").expect("it can be written to");
    }
    assert_eq!(registry.pull(&pushed.pinned).expect("it is pulled again"), pushed);
    drop(server);
    assert_eq!(registry.pull(&pushed.pinned).expect("it is cached again"), pushed);
}

fn credentials_come_from_dockers_configuration() {
    let server = DockerRegistry::closed();
    let with = |docker| {
        let options = Options { docker, ..Options::default() };
        Registry::new(options).expect("a client can be made")
    };
    let reference = tag(&server, "v1");
    let known = with(Some(server.docker_config("known", USER, PASSWORD)));
    let pushed = push(&known, &reference);
    assert_eq!(known.pull(&reference).expect("it is pulled"), pushed);
    let wrong = with(Some(server.docker_config("wrong", USER, "dozing")));
    for (stranger, known) in [(with(None), false), (wrong, true)] {
        let pulled = stranger.pull(&reference).expect_err("it is not permitted");
        let pushed = stranger.push(MODULE, BTreeMap::new(), &reference).expect_err("it is not permitted");
        for error in [pulled, pushed] {
            assert!(matches!(error, Error::Unauthorized { known: said, .. } if said == known), "{error}");
        }
    }
}

fn what_is_not_there_is_told() {
    let server = DockerRegistry::open();
    let registry = registry(&server.folder("cache"));
    let not_there = registry.pull(&tag(&server, "v1")).expect_err("there is no repository");
    assert!(matches!(not_there, Error::NotFound { .. }), "{not_there}");
    let pushed = push(&registry, &tag(&server, "v1"));
    for reference in [tag(&server, "v2"), pushed.pinned.pinned(&format!("sha256:{}", "0".repeat(64)))] {
        let error = registry.pull(&reference).expect_err("there is no such tag or digest");
        assert_eq!(error.to_string(), format!("{reference} is not there"));
    }
}

fn an_image_is_no_policy() {
    use oci_client::client::{Client, ClientConfig, ClientProtocol, Config, ImageLayer};

    let server = DockerRegistry::open();
    let cache = server.folder("cache");
    let registry = registry(&cache);
    let reference = tag(&server, "image");
    let image: oci_client::Reference =
        reference.to_string().trim_start_matches("registry://").parse().expect("it is a reference");
    let config = ClientConfig { protocol: ClientProtocol::Http, ..ClientConfig::default() };
    let client = Client::try_from(config).expect("a client can be made");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("threads can be started");
    let anonymous = oci_client::secrets::RegistryAuth::Anonymous;
    let layers = [ImageLayer::oci_v1_gzip(MODULE, None)];
    let pushed = client.push(&image, &layers, Config::oci_v1(&b"{}"[..], None), &anonymous, None);
    runtime.block_on(pushed).expect("it is pushed");
    let error = registry.pull(&reference).expect_err("it is no policy").to_string();
    assert!(
        error.ends_with(" is no policy: it has a layer of type application/vnd.oci.image.layer.v1.tar+gzip"),
        "{error}"
    );
    assert_eq!(files(&cache), 0, "something is cached");
}

fn nothing_is_pushed_to_a_digest() {
    let server = DockerRegistry::open();
    let registry = registry(&server.folder("cache"));
    let pinned = push(&registry, &tag(&server, "v1")).pinned;
    let error = registry.push(MODULE, BTreeMap::new(), &pinned).expect_err("a digest is no tag");
    assert!(matches!(error, Error::PushToDigest { .. }), "{error}");
}
