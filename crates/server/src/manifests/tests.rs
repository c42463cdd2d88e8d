use serde_json::{Value, json};

use super::*;

fn manifests(settings: &Settings) -> Manifests<'_> {
    Manifests {
        namespace: "guard",
        image: "example.com/guard:1",
        asked_by: AskedBy::ApiServer(FailurePolicy::Ignore),
        certificate: Source::CertManager,
        settings,
        settings_text: None,
    }
}

fn documents(manifests: &Manifests<'_>) -> Vec<Value> {
    serde_saphyr::from_multiple(&manifests.to_string()).unwrap_or_else(|error| panic!("{error}\n{manifests}"))
}

fn find(manifests: &Manifests<'_>, kind: &str) -> Value {
    let found = documents(manifests).into_iter().find(|document| document["kind"] == kind);
    found.unwrap_or_else(|| panic!("there is no {kind}"))
}

#[test]
fn everything_is_there_and_lives_in_the_namespace() {
    let settings = Settings::default();
    let kinds: Vec<String> = documents(&manifests(&settings))
        .iter()
        .map(|document| {
            let namespace = document["metadata"]["namespace"].as_str();
            assert!(namespace.is_none_or(|namespace| namespace == "guard"), "{document}");
            document["kind"].as_str().unwrap_or_default().to_owned()
        })
        .collect();
    assert_eq!(
        kinds,
        [
            "Namespace",
            "ServiceAccount",
            "ClusterRole",
            "ClusterRoleBinding",
            "Deployment",
            "PodDisruptionBudget",
            "Service",
            "NetworkPolicy",
            "Issuer",
            "Certificate",
            "MutatingWebhookConfiguration"
        ]
    );
}

#[test]
fn the_webhook_is_asked_about_what_rules_watch() {
    let settings = Settings::default();
    let configuration = find(&manifests(&settings), "MutatingWebhookConfiguration");
    assert_eq!(configuration["metadata"]["annotations"]["cert-manager.io/inject-ca-from"], "guard/autoscaler-guard");
    let webhook = &configuration["webhooks"][0];
    let registered: Vec<Value> = needs::watched()
        .iter()
        .map(|watched| {
            json!({
                "apiGroups": [watched.api.group], "apiVersions": [watched.api.version],
                "resources": [watched.api.resource], "operations": watched.operations, "scope": "*",
            })
        })
        .collect();
    assert_eq!(webhook["rules"], json!(registered));
    assert_eq!(
        webhook["namespaceSelector"]["matchExpressions"][0],
        json!({"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["kube-system", "guard"]})
    );
    for (field, expected) in [
        ("matchPolicy", json!("Equivalent")),
        ("failurePolicy", json!("Ignore")),
        ("sideEffects", json!("None")),
        ("timeoutSeconds", json!(10)),
        ("admissionReviewVersions", json!(["v1"])),
    ] {
        assert_eq!(webhook[field], expected, "{field}");
    }
    let service =
        json!({"service": {"name": "autoscaler-guard", "namespace": "guard", "path": "/validate", "port": 443}});
    assert_eq!(webhook["clientConfig"], service);
}

#[test]
fn the_expressions_survive_yaml() {
    let settings = Settings::from_json(r#"{"exempt": {"users": ["o'brien", "a:#b*"]}}"#).unwrap();
    let webhook = find(&manifests(&settings), "MutatingWebhookConfiguration")["webhooks"][0].clone();
    let written: Vec<&str> =
        webhook["matchConditions"].as_array().unwrap().iter().filter_map(|one| one["expression"].as_str()).collect();
    let meant: Vec<String> =
        conditions::all(&settings).iter().map(|condition| condition.expression.replace('\n', " ")).collect();
    assert_eq!(written, meant);
}

#[test]
fn permissions_are_those_of_the_lookups() {
    let quiet = Settings::default();
    let role = find(&manifests(&quiet), "ClusterRole");
    let rules = role["rules"].as_array().unwrap();
    for looked_up in needs::looked_up() {
        let granting = rules.iter().filter(|rule| {
            rule["apiGroups"] == json!([looked_up.api.group])
                && rule["resources"].as_array().unwrap().contains(&json!(looked_up.api.resource))
        });
        let verbs: Vec<&Value> = granting.map(|rule| &rule["verbs"]).collect();
        assert_eq!(verbs, [&json!(looked_up.verbs())], "{}", looked_up.api.resource);
    }
    assert!(!role.to_string().contains("secrets") && !role.to_string().contains('*'));
    let reading = Settings::from_json(r#"{"helm": {"readReleases": true}}"#).unwrap();
    let role = find(&manifests(&reading), "ClusterRole").to_string();
    assert!(role.contains(r#"{"apiGroups":[""],"resources":["secrets"],"verbs":["list","watch"]}"#), "{role}");
}

#[test]
fn a_certificate_authority_may_be_given_instead() {
    assert_eq!(Source::authority(b"no certificate".to_vec()), None);
    let issued = rcgen::generate_simple_self_signed(["ca".to_owned()]).unwrap();
    let settings = Settings::default();
    let given = Manifests {
        certificate: Source::authority(issued.cert.pem().into_bytes()).unwrap(),
        asked_by: AskedBy::ApiServer(FailurePolicy::Fail),
        ..manifests(&settings)
    };
    let configuration = find(&given, "MutatingWebhookConfiguration");
    let bundle = configuration["webhooks"][0]["clientConfig"]["caBundle"].as_str().unwrap();
    assert_eq!(BASE64_STANDARD.decode(bundle).unwrap(), issued.cert.pem().into_bytes());
    assert_eq!(configuration["webhooks"][0]["failurePolicy"], "Fail");
    assert!(configuration["metadata"].get("annotations").is_none());
    assert!(!documents(&given).iter().any(|document| document["kind"] == "Certificate"));
}

#[test]
fn settings_are_mounted() {
    let settings = Settings::default();
    let given = Manifests { settings_text: Some("repair: true\nrules: {}\n"), ..manifests(&settings) };
    assert_eq!(find(&given, "ConfigMap")["data"]["settings.yaml"], "repair: true\nrules: {}\n");
    let pod = find(&given, "Deployment")["spec"]["template"]["spec"].clone();
    let container = &pod["containers"][0];
    assert!(container["args"].as_array().unwrap().contains(&json!("--settings=/settings/settings.yaml")));
    for mount in container["volumeMounts"].as_array().unwrap() {
        let volumes = pod["volumes"].as_array().unwrap();
        assert!(volumes.iter().any(|volume| volume["name"] == mount["name"]), "{mount}");
    }
}

#[test]
fn the_pod_may_do_nothing_but_look() {
    let settings = Settings::default();
    let pod = find(&manifests(&settings), "Deployment")["spec"]["template"]["spec"].clone();
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(
        pod["containers"][0]["securityContext"],
        json!({"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]}})
    );
    let arguments = &pod["containers"][0]["args"];
    assert_eq!(arguments[0], "serve");
}

/// A flood at the port for verdicts must not make the kubelet end the server.
#[test]
fn both_hosts_are_probed_beside_the_port_for_verdicts() {
    let settings = Settings::default();
    for manifests in [manifests(&settings), behind_gatekeeper(&settings)] {
        let container = find(&manifests, "Deployment")["spec"]["template"]["spec"]["containers"][0].clone();
        assert!(container["args"].as_array().unwrap().contains(&json!("--metrics-listen=0.0.0.0:8080")));
        for probe in ["readinessProbe", "livenessProbe"] {
            let get = &container[probe]["httpGet"];
            assert_eq!((&get["port"], get.get("scheme")), (&json!("metrics"), None), "{probe}");
        }
        let ports = find(&manifests, "NetworkPolicy")["spec"]["ingress"].clone();
        assert_eq!(ports, json!([{"ports": [{"port": "https"}]}, {"ports": [{"port": "metrics"}]}]));
    }
}

fn behind_gatekeeper(settings: &Settings) -> Manifests<'_> {
    Manifests {
        asked_by: AskedBy::Gatekeeper(None),
        certificate: Source::Authority(b"the authority".to_vec()),
        ..manifests(settings)
    }
}

#[test]
fn gatekeeper_has_a_provider_instead_of_a_webhook() {
    let settings = Settings::default();
    let manifests = behind_gatekeeper(&settings);
    let kinds: Vec<Value> = documents(&manifests).iter().map(|document| document["kind"].clone()).skip(4).collect();
    let service = ["Deployment", "PodDisruptionBudget", "Service", "NetworkPolicy"];
    let gatekeepers = ["Provider", "ConstraintTemplate", "AutoscalerGuard", "AutoscalerGuard"];
    assert_eq!(kinds, [&service[..], &gatekeepers].concat());
    let provider = find(&manifests, "Provider")["spec"].clone();
    assert_eq!(provider["url"], "https://autoscaler-guard.guard.svc:443/gatekeeper");
    assert_eq!(BASE64_STANDARD.decode(provider["caBundle"].as_str().unwrap()).unwrap(), b"the authority");
    let container = find(&manifests, "Deployment")["spec"]["template"]["spec"]["containers"][0].clone();
    let arguments = container["args"].as_array().unwrap();
    assert!(arguments.contains(&json!("--gatekeeper")), "{arguments:?}");
    // Gatekeeper waits longer than the server, and the API server longer than either.
    let timeout = arguments.iter().find_map(|one| one.as_str()?.strip_prefix("--timeout=")).unwrap();
    assert!(timeout.parse::<f64>().unwrap() < provider["timeout"].as_f64().unwrap());
    assert_eq!(find(&manifests, "ConstraintTemplate")["spec"]["targets"][0]["rego"], REGO);
}

#[test]
fn constraints_match_what_rules_watch_and_what_settings_declare() {
    let declared = r#"{"declarations": [{"apiVersion": "example.com/v1", "kind": "Fleet", "pointer": "/spec/hpa", "hpa": {"name": "{name}"}}]}"#;
    let settings = Settings::from_json(declared).unwrap();
    let constraints: Vec<Value> =
        documents(&behind_gatekeeper(&settings)).into_iter().filter(|one| one["kind"] == "AutoscalerGuard").collect();
    let watched = needs::watched().into_iter().map(|watched| (watched.api.group, watched.api.kind));
    let kinds: Vec<Value> = watched
        .chain([("example.com", "Fleet")])
        .map(|(group, kind)| json!({"apiGroups": [group], "kinds": [kind]}))
        .collect();
    for constraint in &constraints {
        assert_eq!(constraint["spec"]["match"]["kinds"], json!(kinds));
        assert_eq!(constraint["spec"]["match"]["excludedNamespaces"], json!(["kube-system", "guard"]));
    }
    let reports = |constraint: &Value| {
        (constraint["spec"]["enforcementAction"].clone(), constraint["spec"]["parameters"]["violations"].clone())
    };
    let reported: Vec<(Value, Value)> = constraints.iter().map(reports).collect();
    assert_eq!(reported, [(json!("deny"), json!(["refusals", "unanswered"])), (json!("warn"), json!(["warnings"]))]);
}

/// A constraint matches every operation, so the Rego leaves out what nobody watches.
#[test]
fn but_for_definitions_gatekeeper_asks_about_every_operation() {
    let partly: Vec<_> = needs::watched().into_iter().filter(|watched| watched.operations.len() < 3).collect();
    let partly: Vec<_> = partly.iter().map(|watched| (watched.api.kind, &watched.operations[..])).collect();
    let definitions = ("CustomResourceDefinition", &["DELETE"][..]);
    let metrics_apis = ("APIService", &["UPDATE", "DELETE"][..]);
    assert_eq!(partly, [definitions, metrics_apis]);
    assert!(
        REGO.contains("input.review.kind.kind == \"CustomResourceDefinition\"\n  input.review.operation != \"DELETE\"")
            && REGO.contains("input.review.kind.kind == \"APIService\"\n  input.review.operation == \"CREATE\"")
    );
}

#[test]
fn gatekeeper_knows_who_need_not_ask() {
    let settings = Settings::from_json(r#"{"exempt": {"users": ["o'brien*"], "groups": ["a.b"]}}"#).unwrap();
    let parameters = find(&behind_gatekeeper(&settings), "AutoscalerGuard")["spec"]["parameters"].clone();
    let users = parameters["exemptUsers"].as_array().unwrap();
    for user in ["^system:serviceaccount:keda:keda-operator$", "^system:kube-controller-manager$", r"^o\'brien.*$"] {
        assert!(users.contains(&json!(user)), "{user} is not among {users:?}");
    }
    assert_eq!(parameters["exemptGroups"], json!([r"^a\.b$"]));
}

#[test]
fn gatekeeper_may_have_to_prove_itself() {
    let settings = Settings::default();
    let given = Manifests { asked_by: AskedBy::Gatekeeper(Some("a\nb\n")), ..behind_gatekeeper(&settings) };
    assert_eq!(find(&given, "ConfigMap")["data"]["ca.crt"], "a\nb\n");
    let pod = find(&given, "Deployment")["spec"]["template"]["spec"].clone();
    assert!(pod["containers"][0]["args"].as_array().unwrap().contains(&json!("--client-ca=/clients/ca.crt")));
    assert_eq!(pod["containers"][0]["volumeMounts"][1]["name"], pod["volumes"][1]["name"]);
}

#[test]
fn the_webhook_is_asked_about_kinds_that_settings_declare() {
    let hpa = json!({"name": "{name}"});
    let declared = |api: &str, kind: &str| json!({"apiVersion": api, "kind": kind, "pointer": "/spec/hpa", "hpa": hpa});
    let both =
        [declared("example.com/v1", "Fleet"), declared("example.com/v2", "Farm"), declared("keda.sh/v1", "Other")];
    let settings = Settings::from_json(&json!({"declarations": both}).to_string()).unwrap();
    let webhook = find(&manifests(&settings), "MutatingWebhookConfiguration")["webhooks"][0].clone();
    let rules = webhook["rules"].as_array().unwrap();
    let of = |group: &str| {
        json!({
            "apiGroups": [group], "apiVersions": ["*"], "resources": ["*"], "operations": ["UPDATE", "DELETE"], "scope": "*",
        })
    };
    assert_eq!(rules[needs::watched().len()..], [of("example.com"), of("keda.sh")]);
}
