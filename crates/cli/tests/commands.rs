//! The program from outside: what it prints, where, and how it exits.
//!
//! `tests/cmd` holds commands and their output; `TRYCMD=overwrite cargo test -p autoscaler-guard-cli` writes them anew.

#![allow(clippy::restriction, reason = "a test may panic")]

use std::io::Write;
use std::process::{Command, Output, Stdio};

const REQUESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/requests/keda-hpa-helm3");
const CLUSTER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/objects/scaledobject-web.yaml");

#[test]
fn commands_print_what_they_are_said_to_print() {
    trycmd::TestCases::new().env("NO_COLOR", "1").case("tests/cmd/*.trycmd");
}

/// Runs the program without anything of this environment that bears on colours.
fn run(arguments: &[&str], environment: &[(&str, &str)], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_autoscaler-guard"));
    command.args(arguments).env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE").envs(environment.iter().copied());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    // A program that refuses its arguments does not wait for its input.
    let _ = child.stdin.take().expect("its input is piped").write_all(input.as_bytes());
    child.wait_with_output().expect("the program ends")
}

fn request(name: &str) -> String {
    std::fs::read_to_string(format!("{REQUESTS}/{name}.json")).expect("the fixture is there")
}

#[test]
fn colours_show_on_terminals_only_unless_asked_for() {
    let coloured = |arguments: &[&str], environment: &[(&str, &str)]| {
        run(&[&["rules"], arguments].concat(), environment, "").stdout.contains(&0x1b)
    };
    assert!(!coloured(&[], &[]));
    assert!(coloured(&["--color", "always"], &[]));
    assert!(coloured(&[], &[("CLICOLOR_FORCE", "1")]));
    assert!(!coloured(&["--color", "never"], &[("CLICOLOR_FORCE", "1")]));
    assert!(!coloured(&[], &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]));
}

#[test]
fn requests_come_from_standard_input_too() {
    let deletion = request("004-delete-horizontalpodautoscaler-lab-admin");
    for arguments in [&["review", "--cluster", CLUSTER][..], &["review", "-", "--cluster", CLUSTER]] {
        let output = run(arguments, &[], &deletion);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("DELETE HorizontalPodAutoscaler shop/web by lab-admin"), "{text}");
    }
    let both = run(&["review", "--output", "json"], &[], &format!("{deletion}\n{deletion}"));
    let judgements: Vec<serde_json::Value> = serde_json::from_slice(&both.stdout).expect("it prints JSON");
    assert_eq!(judgements.len(), 2);
}

#[test]
fn neighbours_come_from_standard_input_too() {
    let listing = std::fs::read_to_string(CLUSTER).expect("the fixture is there");
    let file = format!("{REQUESTS}/007-update-horizontalpodautoscaler-lab-admin.json");
    let output = run(&["review", &file, "--cluster", "-"], &[], &listing);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.starts_with("cluster: 1 object;") && text.contains("~ repaired"), "{text}");
}

#[test]
fn what_is_unusable_is_all_named_after_the_rest_was_judged() {
    let input = format!(
        "{}\n{{\"kind\": \"Pod\"}}\n{}",
        request("001-create-horizontalpodautoscaler-lab-admin"),
        request("004-delete-horizontalpodautoscaler-lab-admin").replace("\"DELETE\"", "\"Delete\""),
    );
    let output = run(&["review", "-", "no-such.json"], &[], &input);
    let (printed, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(2));
    assert!(printed.contains("CREATE HorizontalPodAutoscaler shop/web") && !printed.contains("Delete"), "{printed}");
    for fault in [
        "error: no-such.json cannot be read",
        "is no admission request: it is a Pod\nhelp: ",
        " cannot be judged: no API server sends the operation Delete",
    ] {
        assert!(errors.contains(fault), "{errors}");
    }
    let alone = run(&["review"], &[], "{\"kind\": \"Pod\"}");
    assert_eq!((alone.status.code(), alone.stdout.as_slice()), (Some(2), &b""[..]));
}

#[test]
fn what_no_rule_watches_is_not_judged() {
    let pod = r#"{"operation": "CREATE", "kind": {"group": "", "kind": "Pod"}, "name": "web", "namespace": "shop"}"#;
    let output = run(&["review"], &[], pod);
    assert!(String::from_utf8_lossy(&output.stdout).contains("? not judged  CREATE Pod shop/web\n  no rule watches"));
    let output = run(&["review", "--output", "json"], &[], pod);
    let answers: serde_json::Value = serde_json::from_slice(&output.stdout).expect("it prints JSON");
    assert_eq!((&answers[0]["verdict"], &answers[0]["judged"]), (&"allowed".into(), &false.into()));
}

#[test]
fn rules_for_scripts_carry_their_facts_and_page() {
    let rules: Vec<serde_json::Value> =
        serde_json::from_slice(&run(&["rules", "--output", "json"], &[], "").stdout).expect("it prints JSON");
    for rule in &rules {
        for field in ["id", "title", "default", "since", "stage", "overrides", "page"] {
            assert!(rule[field].as_str().is_some_and(|text| !text.is_empty()), "{field} of {rule}");
        }
        assert!(rule["watches"][0]["operations"][0].is_string(), "{rule}");
        let id = rule["id"].as_str().unwrap_or_default();
        let one: serde_json::Value =
            serde_json::from_slice(&run(&["rules", id, "--output", "json"], &[], "").stdout).expect("it prints JSON");
        assert_eq!(&one, rule);
    }
}

#[test]
fn settings_are_checked_from_files_and_from_standard_input() {
    let output = run(&["settings", "check", "-", "--output", "json"], &[], "repiar: true\nhelm: 1\n");
    let checked: serde_json::Value = serde_json::from_slice(&output.stdout).expect("it prints JSON");
    let expected = serde_json::json!([{"file": "standard input", "valid": false, "errors": [
        {"path": "helm", "problem": "expected an object, got a number"},
        {"path": "repiar", "problem": "unknown; did you mean repair?"},
    ]}]);
    assert_eq!((output.status.code(), checked), (Some(1), expected));
    let schema: serde_json::Value =
        serde_json::from_slice(&run(&["settings", "schema"], &[], "").stdout).expect("it prints JSON");
    assert_eq!(schema["properties"]["repair"]["default"], true);
}

#[test]
fn every_shell_gets_its_script_and_every_command_its_help() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run(&["completions", shell], &[], "").stdout;
        assert!(String::from_utf8_lossy(&script).contains("review"), "{shell}");
    }
    let commands = [
        &["review"][..],
        &["rules"],
        &["settings", "schema"],
        &["settings", "check"],
        &["serve"],
        &["manifests"],
        &["manifests", "native"],
        &["completions"],
        &["probe"],
    ];
    for command in commands {
        let help = run(&[command, &["--help"]].concat(), &[], "").stdout;
        assert!(String::from_utf8_lossy(&help).contains("Examples:"), "{command:?}");
    }
}

#[test]
fn manifests_for_scripts_are_a_list() {
    let settings = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/inputs/no-repair.yaml");
    let arguments = [
        "manifests",
        "--cert-manager",
        "--output",
        "json",
        "--failure-policy",
        "Fail",
        "--settings",
        settings,
        "--image",
        "guard",
    ];
    let list: serde_json::Value = serde_json::from_slice(&run(&arguments, &[], "").stdout).expect("it prints JSON");
    let find = |kind: &str| list["items"].as_array().and_then(|items| items.iter().find(|item| item["kind"] == kind));
    let webhook = find("MutatingWebhookConfiguration").expect("there is a webhook");
    assert_eq!(webhook["webhooks"][0]["failurePolicy"], "Fail");
    let settings = find("ConfigMap").and_then(|map| map["data"]["settings.yaml"].as_str()).expect("there are settings");
    let settings: serde_json::Value = serde_saphyr::from_str(settings).expect("settings are YAML");
    assert_eq!(settings, serde_json::json!({"repair": false}));
}

#[test]
fn files_are_named_as_kubectl_has_it_too() {
    let file = format!("{REQUESTS}/004-delete-horizontalpodautoscaler-lab-admin.json");
    let plain = run(&["review", &file, "--cluster", CLUSTER], &[], "").stdout;
    for flag in ["-f", "--filename"] {
        assert_eq!(run(&["review", flag, &file, "--cluster", CLUSTER], &[], "").stdout, plain);
    }
    let settings = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/inputs/no-repair.yaml");
    let checked = |arguments: &[&str]| run(&[&["settings", "check"], arguments].concat(), &[], "").stdout;
    assert_eq!(checked(&["-f", settings]), checked(&[settings]));
}

#[test]
fn the_exit_code_says_what_one_wants_to_know() {
    let file = |name: &str| format!("{REQUESTS}/{name}.json");
    let code = |name: &str, fail_on: &str| {
        let owned = CLUSTER.replace("scaledobject-web", "hpa-web-owned");
        let scaled = CLUSTER.replace("scaledobject", "deployment");
        let request = file(name);
        let cluster = ["--cluster", CLUSTER, "--cluster", &owned, "--cluster", &scaled];
        let arguments = [&["review", &request, "--fail-on", fail_on][..], &cluster].concat();
        run(&arguments, &[], "").status.code()
    };
    let repaired = "007-update-horizontalpodautoscaler-lab-admin";
    let rejected = "008-delete-scaledobject-lab-admin";
    let allowed = "003-update-scaledobject-keda-operator";
    for (name, codes) in [(allowed, [0, 0, 0]), (repaired, [0, 1, 0]), (rejected, [1, 1, 0])] {
        for (fail_on, expected) in ["rejected", "warned", "never"].iter().zip(codes) {
            assert_eq!(code(name, fail_on), Some(expected), "{name} {fail_on}");
        }
    }
}

#[test]
fn an_answer_goes_to_a_file_without_colours() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = folder.path().join("rules.txt");
    let path = file.to_str().expect("the path is UTF-8");
    let output = run(&["rules", "--output-file", path, "--color", "always"], &[], "");
    assert_eq!((output.status.code(), output.stdout.len()), (Some(0), 0));
    let text = std::fs::read_to_string(&file).expect("the file is there");
    assert!(text.starts_with("RULE") && !text.contains('\u{1b}'), "{text}");
    let nowhere = run(&["rules", "--output-file", "/nowhere/rules.txt"], &[], "");
    let errors = String::from_utf8_lossy(&nowhere.stderr).into_owned();
    assert_eq!(nowhere.status.code(), Some(2));
    assert!(errors.starts_with("error: /nowhere/rules.txt cannot be written: "), "{errors}");
}

/// Nothing that goes wrong is said in the words of a library, twice, or without what to do about it.
#[test]
fn errors_are_in_plain_words_and_say_what_to_do() {
    let file = format!("{REQUESTS}/004-delete-horizontalpodautoscaler-lab-admin.json");
    let folder = tempfile::tempdir().expect("a folder can be made");
    let at = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("the folder can be written to");
        path.to_str().expect("the path is UTF-8").to_owned()
    };
    let (half, colons) = (at("half.json", "{\"kind\": \"Pod\""), at("colons.yaml", "a: b: c\n"));
    let config = at(
        "config",
        "apiVersion: v1\nkind: Config\nclusters: [{name: a, cluster: {server: 'http://127.0.0.1:1'}}]\ncontexts: [{name: a, context: {cluster: a, user: a}}]\ncurrent-context: a\nusers: [{name: a, user: {}}]\n",
    );
    let unset = [("KUBECONFIG", "/nowhere/config")];
    for arguments in [
        &["review", &half][..],
        &["review", &colons],
        &["review", "/nowhere"],
        &["review", &file, "--cluster", &half],
        &["review", &file, "--cluster", "/nowhere"],
        &["review", &file, "--settings", &half],
        &["review", &file, "--replay", &colons],
        &["review", &file, "--policy", "/nowhere.wasm"],
        &["review", &file, "--live"],
        &["review", &file, "--context", "b"],
        &["review", &file, "--kubeconfig", &colons],
        &["review", &file, "--kubeconfig", &config],
        &["review", &file, "--kubeconfig", &config, "--context", "b"],
        &["settings", "check", &half, "/nowhere"],
        &["serve", "--tls-cert", &colons, "--tls-key", &colons],
        &["manifests", "--cert-manager"],
        &["manifests", "--ca-bundle", "/nowhere"],
        &["preflight", "--before", "/nowhere", "--after", &colons],
        &["rules", "nope"],
        &["probe", "http://127.0.0.1:1/"],
        &["probe", "nope"],
    ] {
        let output = run(arguments, &unset, "");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
        for word in
            ["os error", "EOF", "ServiceError", "Err(", "infer", "Some(", "panicked", "environment variable", "--> <"]
        {
            assert!(!text.contains(word), "{arguments:?} says {word}: {text}");
        }
        for error in text.split("error: ").skip(1) {
            assert!(error.contains("help: ") || error.contains("; "), "{arguments:?} does not say what to do: {text}");
            let parts: Vec<&str> = error.lines().next().unwrap_or_default().split(": ").collect();
            let mut once = parts.clone();
            once.dedup();
            assert_eq!(parts, once, "{text}");
        }
    }
}
