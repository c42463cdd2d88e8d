//! `push`, `pull` and policies by reference, against a real registry that each test starts for itself.

#[path = "../../registry/tests/docker_registry/mod.rs"]
mod docker_registry;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Output};

use docker_registry::{DockerRegistry, PASSWORD, USER};
use serde_json::Value;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures");

fn main() -> ExitCode {
    docker_registry::run(
        "the command line with a registry",
        &[
            (
                "a_pushed_module_judges_by_its_tag_and_by_its_digest",
                a_pushed_module_judges_by_its_tag_and_by_its_digest,
            ),
            ("what_is_pulled_is_the_module", what_is_pulled_is_the_module),
            (
                "credentials_and_cache_are_where_the_environment_says",
                credentials_and_cache_are_where_the_environment_says,
            ),
            ("serve_takes_a_policy_by_reference", serve_takes_a_policy_by_reference),
            ("elsewhere_it_is_https_by_a_trusted_certificate", elsewhere_it_is_https_by_a_trusted_certificate),
        ],
    )
}

fn module() -> PathBuf {
    let module = std::env::var_os("AUTOSCALER_GUARD_MODULE");
    module.map(PathBuf::from).expect("AUTOSCALER_GUARD_MODULE names the module; `make test` builds it and sets it")
}

/// Runs the program with a cache and credentials of its own, and trust in nothing but `trusted.crt`, if there is one.
fn run(server: &DockerRegistry, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_autoscaler-guard"));
    command.args(arguments).env("NO_COLOR", "1").env("XDG_CACHE_HOME", server.folder("cache"));
    let trusted = server.folder("trusted.crt");
    if trusted.exists() {
        command.env("SSL_CERT_FILE", trusted).env("SSL_CERT_DIR", server.folder("none"));
    }
    command.env("DOCKER_CONFIG", server.folder("docker")).output().expect("the program starts")
}

/// What it prints when all is well.
fn well(server: &DockerRegistry, arguments: &[&str]) -> String {
    let Output { status, stdout, stderr } = run(server, arguments);
    assert!(status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).expect("it prints text")
}

/// What it prints when it cannot answer.
fn refused(server: &DockerRegistry, arguments: &[&str]) -> String {
    let Output { status, stdout, stderr } = run(server, arguments);
    let text = String::from_utf8_lossy(&stderr).into_owned();
    assert_eq!((status.code(), stdout.as_slice()), (Some(2), &b""[..]), "{arguments:?}: {text}");
    text
}

/// Pushes the module and returns its tagged and its pinned reference.
fn push(server: &DockerRegistry) -> [String; 2] {
    let tagged = format!("registry://{}/you/autoscaler-guard:v1", server.host());
    let module = module();
    let module = module.to_str().expect("the path is UTF-8");
    let told: Value =
        serde_json::from_str(&well(server, &["push", module, &tagged, "-o", "json"])).expect("it prints JSON");
    let pinned = told["pinned"].as_str().expect("it tells the pinned reference").to_owned();
    let digest = told["digest"].as_str().expect("it tells the digest");
    assert_eq!((told["reference"].as_str(), pinned.ends_with(&format!("@{digest}"))), (Some(tagged.as_str()), true));
    [tagged, pinned]
}

fn a_pushed_module_judges_by_its_tag_and_by_its_digest() {
    let server = DockerRegistry::open();
    let references = push(&server);
    let request = format!("{FIXTURES}/requests/keda-hpa-helm3/007-update-horizontalpodautoscaler-lab-admin.json");
    let cluster = format!("{FIXTURES}/objects/scaledobject-web.yaml");
    let review = ["review", request.as_str(), "--cluster", cluster.as_str(), "--output", "json"];
    let built_in = well(&server, &review);
    for reference in &references {
        assert_eq!(well(&server, &[&review[..], &["--policy", reference]].concat()), built_in);
    }
    let manifest = references[1].rsplit('@').next().expect("it is pinned");
    let manifest = fs::read_to_string(server.blob(manifest)).expect("it is stored");
    let manifest: Value = serde_json::from_str(&manifest).expect("it is JSON");
    let annotations = &manifest["annotations"];
    assert_eq!(annotations["io.kubewarden.policy.title"], "autoscaler-guard");
    assert_eq!(annotations["org.opencontainers.image.source"], annotations["io.kubewarden.policy.source"]);
    let layer = server.blob(manifest["layers"][0]["digest"].as_str().expect("there is a layer"));
    fs::write(layer, "\0asm, but another").expect("the storage can be written to");
    // Cached, and so not asked for again.
    well(&server, &[&review[..], &["--policy", &references[1]]].concat());
    fs::remove_dir_all(server.folder("cache")).expect("there is a cache");
    for reference in &references {
        let text = refused(&server, &[&review[..], &["--policy", reference]].concat());
        assert!(
            text.starts_with(&format!("error: the policy {reference} cannot be used: what {} sent", server.host())),
            "{text}"
        );
        assert!(text.contains("\nhelp: do not trust this registry"), "{text}");
    }
}

fn what_is_pulled_is_the_module() {
    let server = DockerRegistry::open();
    let [tagged, pinned] = push(&server);
    let file = server.folder("pulled.wasm");
    let file = file.to_str().expect("the path is UTF-8");
    let digest = pinned.rsplit('@').next().expect("it is pinned");
    let told = well(&server, &["pull", &tagged, file]);
    assert_eq!(told, format!("pulled {tagged} to {file}\ndigest: {digest}\npinned: {pinned}\n"));
    let pulled = fs::read(file).expect("it is there");
    assert!(pulled == fs::read(module()).expect("it can be read"), "it is another module");
    let text = refused(&server, &["pull", &tagged.replace(":v1", ":v2"), file]);
    assert!(text.contains(":v2 is not there\nhelp: check host, repository and tag"), "{text}");
    let text = refused(&server, &["push", &format!("{FIXTURES}/objects/deployment-web.yaml"), &tagged]);
    assert!(text.contains("deployment-web.yaml cannot be used: this is not a WebAssembly module"), "{text}");
    let host = server.host().to_owned();
    fs::remove_file(file).expect("it is there");
    drop(server);
    let server = DockerRegistry::open();
    let gone = format!("registry://{host}/you/autoscaler-guard:v1");
    let text = refused(&server, &["pull", &gone, file]);
    assert!(
        text.contains(&format!("{host} cannot be reached: "))
            && text.ends_with("\nhelp: check that it runs, and its port\n"),
        "{text}"
    );
    assert!(!std::path::Path::new(file).exists(), "something was written");
}

fn credentials_and_cache_are_where_the_environment_says() {
    let server = DockerRegistry::closed();
    let reference = format!("registry://{}/you/autoscaler-guard:v1", server.host());
    let module = module();
    let module = module.to_str().expect("the path is UTF-8");
    let text = refused(&server, &["push", module, &reference]);
    assert!(text.contains("does not permit it; docker's configuration has no credentials for it"), "{text}");
    assert!(text.contains(&format!("\nhelp: `docker login {}`", server.host())), "{text}");
    server.docker_config("docker", USER, PASSWORD);
    let [_, pinned] = push(&server);
    let file = server.folder("pulled.wasm");
    well(&server, &["pull", &pinned, file.to_str().expect("the path is UTF-8")]);
    let kept = server.folder("cache/autoscaler-guard/policies/sha256");
    let digest = pinned.rsplit(':').next().expect("it is pinned");
    assert!(kept.join(digest).is_file(), "{} is not in the cache", kept.join(digest).display());
}

/// Without a cluster it does not start, but that it finds out after it has read its policy.
fn serve_takes_a_policy_by_reference() {
    let server = DockerRegistry::open();
    let [tagged, _] = push(&server);
    let serve = |reference: &str| {
        refused(&server, &["serve", "--tls-cert", "no.crt", "--tls-key", "no.key", "--policy", reference])
    };
    assert!(serve(&tagged).starts_with("error: the certificate cannot be used"));
    let missing = serve(&tagged.replace(":v1", ":v2"));
    assert!(missing.contains(":v2 is not there"), "{missing}");
}

fn elsewhere_it_is_https_by_a_trusted_certificate() {
    let issued = rcgen::generate_simple_self_signed(["127.0.0.2".to_owned()]).expect("a certificate can be issued");
    let server = DockerRegistry::secure(&issued.cert.pem(), &issued.signing_key.serialize_pem());
    let file = server.folder("pulled.wasm");
    let reference = format!("registry://{}/you/autoscaler-guard:v1", server.host());
    let pull = ["pull", &reference, file.to_str().expect("the path is UTF-8")];
    fs::write(server.folder("trusted.crt"), "").expect("the folder can be written to");
    let text = refused(&server, &pull);
    assert!(text.contains("No CA certificates were loaded from the system"), "{text}");
    assert!(text.contains("\nhelp: install the system's certificates"), "{text}");
    let other = rcgen::generate_simple_self_signed(["127.0.0.2".to_owned()]).expect("a certificate can be issued");
    fs::write(server.folder("trusted.crt"), other.cert.pem()).expect("the folder can be written to");
    let text = refused(&server, &pull);
    assert!(text.contains("cannot be reached: invalid peer certificate: "), "{text}");
    // It does not fall back to plain HTTP, and where it is told to use that, it does.
    let plain = refused(&server, &[&pull[..], &["--insecure-registry", server.host()]].concat());
    assert!(plain.contains("HTTP request to an HTTPS server"), "{plain}");
    fs::write(server.folder("trusted.crt"), issued.cert.pem()).expect("the folder can be written to");
    push(&server);
    well(&server, &pull);
    assert!(
        fs::read(file).expect("it is there") == fs::read(module()).expect("it can be read"),
        "it is another module"
    );
}
