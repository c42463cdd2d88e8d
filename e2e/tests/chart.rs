//! The Helm chart, as both Helms render it: the same as what `autoscaler-guard manifests` prints, refusing what does
//! not go together, and without anything that differs from one rendering to the next. `make chart-test` builds the
//! Helms that are missing; otherwise the tests that need one say that they are skipped.

#![allow(clippy::restriction, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use autoscaler_guard::Settings;
use autoscaler_guard_e2e::tools::{COMPONENTS, Tools};
use autoscaler_guard_server::manifests::{AskedBy, FailurePolicy, Manifests, Source};
use serde_json::{Value, json};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn chart() -> PathBuf {
    root().join("charts/autoscaler-guard")
}

fn read(file: &str) -> String {
    std::fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The Helms that there are, by version.
fn helms() -> Vec<(&'static str, PathBuf)> {
    let required = std::env::var_os("CHART_TOOLS_REQUIRED").is_some();
    let tools = Tools::find().expect("Go works");
    let mut found = Vec::new();
    for name in ["helm3", "helm4"] {
        let Some(tools) = &tools else { continue };
        let component = COMPONENTS.iter().find(|component| component.name == name).expect("it is a component");
        if required {
            tools.build(&[component]).expect("it can be built");
        }
        if tools.is_built(component).unwrap_or(false) {
            found.push((name, tools.program(name, "helm").expect("it has a program")));
        }
    }
    assert!(!required || found.len() == 2, "both Helms are required; they are built by Go");
    if found.is_empty() {
        println!("SKIPPED: the chart's tests need Helm; `make chart-test` builds it, by Go.");
    }
    found
}

fn helm(program: &Path, arguments: &[&str], values: &Value) -> Output {
    let chart = chart();
    let file = tempfile(values);
    let mut command = Command::new(program);
    command.args(&arguments[..1]);
    if arguments[0] == "template" {
        command.arg("guard");
    }
    // One that was built as a Go module takes the cluster for Kubernetes 1.20.
    command.args(["--kube-version", "1.36.0"]);
    command.arg(chart).args(["--namespace", "guard", "--values"]).arg(&file).args(&arguments[1..]);
    let output = command.output().expect("helm runs");
    let _ = std::fs::remove_file(file);
    output
}

fn tempfile(values: &Value) -> PathBuf {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let file = std::env::temp_dir().join(format!("autoscaler-guard-values-{}-{count}.json", std::process::id()));
    std::fs::write(&file, values.to_string()).expect("a file can be written");
    file
}

fn rendered(program: &Path, values: &Value, more: &[&str]) -> String {
    let arguments = [&["template"], more].concat();
    let output = helm(program, &arguments, values);
    assert!(output.status.success(), "{values}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("it is text")
}

/// Objects by kind and name.
type Objects = BTreeMap<String, Value>;

fn objects(yaml: &str) -> Objects {
    let documents = autoscaler_guard_e2e::objects::documents(yaml).unwrap_or_else(|error| panic!("{error}\n{yaml}"));
    let name = |object: &Value| {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        format!("{} {}", text(&object["kind"]), text(&object["metadata"]["name"]))
    };
    documents.into_iter().filter(|object| !object.is_null()).map(|object| (name(&object), object)).collect()
}

const IMAGE: &str = "example.com/guard:v1";
const AUTHORITY: &str = include_str!("fixtures/authority.pem");
const SERVED: &[&str] = &["--api-versions", "constraints.gatekeeper.sh/v1beta1/AutoscalerGuard"];

/// Settings that show in the manifests: who is exempt, which kinds are asked about, what may be read.
fn settings() -> Vec<Value> {
    vec![
        json!({}),
        json!({"exempt": {"users": ["o'brien", "a:#b*", "x.y+*"], "groups": ["ops", "team-*"]}}),
        json!({"controllers": {"keda": ["system:serviceaccount:scaling:*"], "envoyGateway": []}}),
        json!({"controllers": {"keda": [], "envoyGateway": null}, "helm": {"readReleases": true}}),
        json!({"envoyGateway": {"namespace": "edge"}, "repair": false}),
        json!({"declarations": [
            {"apiVersion": "operator.victoriametrics.com/v1beta1", "kind": "VMAgent", "pointer": "/spec/hpa", "hpa": {"name": "vmagent-{name}"}},
            {"apiVersion": "v1", "kind": "ConfigMap", "pointer": "/data/hpa", "hpa": {"name": "{name}"}},
            {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledJob", "pointer": "/spec/hpa", "hpa": {"name": "{name}"}},
        ]}),
    ]
}

#[test]
fn the_chart_is_what_the_command_prints() {
    for (version, program) in helms() {
        for settings in settings() {
            for (source, gatekeeper) in
                [("cert-manager", false), ("existing", false), ("existing", true), ("self-managed", false)]
            {
                let bundle = if source == "existing" { AUTHORITY } else { "" };
                let values = json!({
                    "image": {"repository": "example.com/guard", "tag": "v1"},
                    "settings": settings,
                    "gatekeeper": {"enabled": gatekeeper, "clientCA": if gatekeeper { AUTHORITY } else { "" }},
                    "certificates": {"source": source, "caBundle": bundle},
                    "webhook": {"failurePolicy": "Fail"},
                });
                let of_chart = objects(&rendered(&program, &values, SERVED));
                let given = Settings::from_json(&settings.to_string()).expect("they are settings");
                let text = settings.to_string();
                let printed = Manifests {
                    namespace: "guard",
                    image: IMAGE,
                    asked_by: if gatekeeper {
                        AskedBy::Gatekeeper(Some(AUTHORITY))
                    } else {
                        AskedBy::ApiServer(FailurePolicy::Fail)
                    },
                    certificate: if source == "existing" {
                        Source::authority(AUTHORITY.as_bytes().to_vec()).expect("it is an authority")
                    } else {
                        Source::CertManager
                    },
                    settings: &given,
                    settings_text: (settings != json!({})).then_some(text.as_str()),
                };
                compare(&format!("{version}, {source}, {settings}"), &of_chart, &objects(&printed.to_string()), source);
            }
        }
    }
}

/// Every object that is printed is in the chart, and says the same; what the chart has besides is listed here.
fn compare(what: &str, chart: &Objects, printed: &Objects, source: &str) {
    for (name, printed) in printed {
        let kind = printed["kind"].as_str().unwrap_or_default();
        let of_self_managed = source == "self-managed" && ["Issuer", "Certificate"].contains(&kind);
        if kind == "Namespace" || of_self_managed {
            continue;
        }
        let found = chart.get(name).unwrap_or_else(|| panic!("{what}: the chart has no {name}"));
        assert_eq!(found["apiVersion"], printed["apiVersion"], "{what}: {name}");
        assert_eq!(found["metadata"]["namespace"], printed["metadata"]["namespace"], "{what}: {name}");
        match kind {
            "Deployment" => deployment(what, &found["spec"], &printed["spec"], source),
            "ConfigMap" => {
                for (key, text) in printed["data"].as_object().expect("it has data") {
                    let read = |text: &Value| {
                        let text = text.as_str().unwrap_or_default();
                        if key == "settings.yaml" { json!(documents(text)) } else { json!(text.trim()) }
                    };
                    assert_eq!(read(&found["data"][key]), read(text), "{what}: {name}");
                }
            }
            "ClusterRole" => {
                let mut rules = found["rules"].as_array().cloned().expect("it has rules");
                if source == "self-managed" {
                    let own = rules.pop().expect("there is one more");
                    assert_eq!(own["resourceNames"], json!(["autoscaler-guard"]), "{what}: {name}");
                }
                assert_eq!(json!(rules), printed["rules"], "{what}: {name}");
            }
            "MutatingWebhookConfiguration" => {
                assert_eq!(in_order(found), in_order(printed), "{what}: {name}");
                if source == "cert-manager" {
                    assert_eq!(found["metadata"]["annotations"], printed["metadata"]["annotations"], "{what}");
                }
            }
            _ => {
                for field in ["spec", "roleRef", "subjects", "rules"] {
                    assert_eq!(found[field], printed[field], "{what}: {field} of {name}");
                }
            }
        }
    }
}

/// The webhooks, their conditions by name: all have to hold, in whatever order.
fn in_order(configuration: &Value) -> Value {
    let mut webhooks = configuration["webhooks"].clone();
    if let Some(conditions) = webhooks[0]["matchConditions"].as_array_mut() {
        conditions.sort_by_key(|condition| condition["name"].as_str().unwrap_or_default().to_owned());
    }
    webhooks
}

fn documents(text: &str) -> Vec<Value> {
    autoscaler_guard_e2e::objects::documents(text).expect("it is YAML")
}

/// What is printed is all there; the chart spreads over zones, too, has a priority, and notices new settings.
fn deployment(what: &str, chart: &Value, printed: &Value, source: &str) {
    let (own, plain) = (&chart["template"]["spec"], &printed["template"]["spec"]);
    assert_eq!(chart["replicas"], printed["replicas"], "{what}");
    assert_eq!(chart["selector"], printed["selector"], "{what}");
    for field in ["serviceAccountName", "terminationGracePeriodSeconds", "securityContext"] {
        assert_eq!(own[field], plain[field], "{what}: {field}");
    }
    assert_eq!(own["topologySpreadConstraints"][0], plain["topologySpreadConstraints"][0], "{what}");
    let (own, plain) = (&own["containers"][0], &plain["containers"][0]);
    for field in ["image", "ports", "readinessProbe", "livenessProbe", "resources", "securityContext"] {
        assert_eq!(own[field], plain[field], "{what}: {field}");
    }
    let arguments = |container: &Value| -> Vec<String> {
        let all = container["args"].as_array().expect("there are arguments");
        all.iter().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let mut own = arguments(own);
    own.retain(|argument| source != "self-managed" || !argument.starts_with("--se") || argument.contains("settings"));
    assert_eq!(own, arguments(plain), "{what}");
}

/// What does not go together is refused in plain words, and what is misspelt by the schema.
#[test]
fn wrong_values_are_refused() {
    for (version, program) in helms() {
        for (values, word) in [
            (json!({"certificates": {"source": "existing"}}), "needs certificates.caBundle"),
            (
                json!({"gatekeeper": {"enabled": true}, "certificates": {"source": "cert-manager"}}),
                "cannot make Gatekeeper",
            ),
            (json!({"gatekeeper": {"clientCA": "x"}}), "needs gatekeeper.enabled"),
            (json!({"settings": {"audit": true}}), "audit scanner"),
            (json!({"settings": {"repiar": true}}), "repiar"),
            (json!({"replcias": 2}), "replcias"),
            (json!({"webhook": {"failurePolicy": "fail"}}), "failurePolicy"),
        ] {
            let output = helm(&program, &["template"], &values);
            let text = String::from_utf8_lossy(&output.stderr);
            assert!(!output.status.success() && text.contains(word), "{version}: {values}: {text}");
        }
    }
}

#[test]
fn helm_finds_nothing_to_complain_of() {
    for (version, program) in helms() {
        for values in [json!({}), everything()] {
            let output = helm(&program, &["lint", "--strict"], &values);
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success(), "{version}: {text}{}", String::from_utf8_lossy(&output.stderr));
        }
    }
}

fn everything() -> Value {
    json!({
        "settings": settings()[5],
        "log": {"format": "json"},
        "serviceMonitor": {"enabled": true, "labels": {"release": "prometheus"}},
        "prometheusRule": {"enabled": true, "labels": {"release": "prometheus"}},
        "dashboard": {"enabled": true},
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"operator": "Exists"}],
        "networkPolicy": {"from": [{"ipBlock": {"cidr": "10.0.0.0/28"}}]},
        "podLabels": {"a": "b"}, "podAnnotations": {"c": "d"}, "extraArgs": ["--max-in-flight=8"],
        "imagePullSecrets": [{"name": "pull"}],
        "image": {"digest": format!("sha256:{}", "0".repeat(64))},
    })
}

/// Argo CD and Flux render again and again, and take every difference for drift: nothing is generated, and what is
/// injected is left out.
#[test]
fn rendering_again_gives_the_same_and_leaves_the_bundle_to_whoever_injects_it() {
    for file in std::fs::read_dir(chart().join("templates")).unwrap().flatten() {
        let text = std::fs::read_to_string(file.path()).unwrap_or_default();
        for word in ["genCA", "genSelfSignedCert", "genSignedCert", "randAlpha", "lookup \"", "uuidv4", " now "] {
            let used = text.lines().any(|line| line.contains("{{") && line.contains(word) && !line.contains("/*"));
            assert!(!used, "{}: {word}", file.path().display());
        }
    }
    for (version, program) in helms() {
        for source in ["cert-manager", "self-managed"] {
            let values = json!({"certificates": {"source": source}});
            let one = rendered(&program, &values, &[]);
            assert_eq!(one, rendered(&program, &values, &[]), "{version}");
            assert!(!one.contains("caBundle"), "{version}, {source}");
        }
    }
}

/// The guard does not block its own upgrade: nothing that the chart has is asked about in the release's namespace, nor
/// is any kind of it.
#[test]
fn the_chart_s_own_objects_are_not_asked_about() {
    for (version, program) in helms() {
        let all = objects(&rendered(&program, &everything(), &[]));
        let webhook = &all["MutatingWebhookConfiguration autoscaler-guard"]["webhooks"][0];
        let excluded = &webhook["namespaceSelector"]["matchExpressions"][0];
        assert!(excluded["values"].as_array().is_some_and(|names| names.contains(&json!("guard"))), "{version}");
        for object in all.values() {
            let group = object["apiVersion"].as_str().and_then(|version| version.split_once('/')).map_or("", |it| it.0);
            let rules = webhook["rules"].as_array().expect("it has rules");
            // ConfigMaps are asked about by a declaration of this test's; those of the chart are in the excluded
            // namespace.
            let asked = rules.iter().any(|rule| rule["apiGroups"][0] == group);
            assert!(!asked || object["metadata"]["namespace"] == "guard", "{version}: {object}");
        }
    }
}

/// What the Pod security standard `restricted` asks for, of every Pod.
#[test]
fn pods_are_restricted() {
    for (version, program) in helms() {
        let all = objects(&rendered(&program, &everything(), &[]));
        let test = &all["Pod autoscaler-guard-test"];
        let selector = &all["Service autoscaler-guard"]["spec"]["selector"]["app.kubernetes.io/name"];
        assert_ne!(&test["metadata"]["labels"]["app.kubernetes.io/name"], selector, "{version}: no server");
        let test = &test["spec"];
        for pod in [&all["Deployment autoscaler-guard"]["spec"]["template"]["spec"], test] {
            assert_eq!(pod["securityContext"]["runAsNonRoot"], true, "{version}");
            assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault", "{version}");
            for container in pod["containers"].as_array().expect("it has containers") {
                let context = &container["securityContext"];
                assert_eq!(context["allowPrivilegeEscalation"], false, "{version}");
                assert_eq!(context["capabilities"]["drop"], json!(["ALL"]), "{version}");
                assert_eq!(context["readOnlyRootFilesystem"], true, "{version}");
                assert!(container["resources"]["limits"]["memory"].is_string(), "{version}");
                assert!(container["image"].as_str().is_some_and(|image| image.contains("@sha256:")), "{version}");
            }
        }
    }
}

/// Alerts and dashboard ask for metrics that the server has.
#[test]
fn metrics_that_are_asked_for_are_there() {
    let page = read("docs/serve.md");
    let mut seen = 0;
    for file in ["alerts.yaml", "dashboard.json"] {
        let text = read(&format!("charts/autoscaler-guard/files/{file}"));
        let names = text.match_indices("autoscaler_guard_").map(|(at, _)| {
            let rest = &text[at..];
            &rest[..rest.find(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_')).unwrap_or(rest.len())]
        });
        for name in names {
            seen += 1;
            let name = name.trim_end_matches("_bucket");
            assert!(page.contains(&format!("`{name}`")), "{file}: docs/serve.md has no {name}");
        }
    }
    assert!(seen > 8);
}

/// The alerts fire when they should, by Prometheus' own tool where it is installed.
#[test]
fn alerts_are_tried() {
    let Ok(version) = Command::new("promtool").arg("--version").output() else {
        assert!(
            std::env::var_os("CHART_TOOLS_REQUIRED").is_none(),
            "promtool is required; Debian's package is prometheus"
        );
        println!("SKIPPED: trying the alerts needs promtool; Debian's package is prometheus.");
        return;
    };
    assert!(version.status.success());
    let run = |arguments: &[&str]| {
        let output = Command::new("promtool").args(arguments).current_dir(root().join("charts")).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {text}");
    };
    run(&["check", "rules", "autoscaler-guard/files/alerts.yaml"]);
    run(&["test", "rules", "alerts.test.yaml"]);
    let tests = read("charts/alerts.test.yaml");
    for line in read("charts/autoscaler-guard/files/alerts.yaml").lines() {
        if let Some(name) = line.trim().strip_prefix("- alert: ") {
            assert!(tests.contains(&format!("alertname: {name}")), "{name} is not tried");
        }
    }
}
