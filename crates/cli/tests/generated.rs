//! What is written from the code stands in the tree as the code says: the table of rules and the pages about them, the
//! manifests' rules, the settings' page and schema, what Artifact Hub shows.
//!
//! `AUTOSCALER_GUARD_WRITE=1 cargo test --workspace --test generated` writes all of it anew.

#![allow(clippy::restriction, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use autoscaler_guard::Settings;
use autoscaler_guard::rule::{DefaultAction, Rule};
use autoscaler_guard::rules::RULES;
use autoscaler_guard_audit::problems::{PROBLEMS, Problem};
use autoscaler_guard_server::manifests::native::{self, Part};
use autoscaler_guard_server::manifests::{self, AskedBy, Manifests, Source};
use autoscaler_guard_server::needs::{self, Watched};
use serde_json::{Value, json};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(file: &str) -> String {
    std::fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// Part of a page, between two comments that name it.
fn hold_page(file: &str, part: &str, fresh: &str) {
    let _turn = turn();
    let found = read(file);
    let (begin, end) = (format!("<!-- {part}:begin -->\n"), format!("<!-- {part}:end -->"));
    let (before, rest) = found.split_once(&begin).unwrap_or_else(|| panic!("{file} lacks the comment {part}:begin"));
    let (_, after) = rest.split_once(&end).unwrap_or_else(|| panic!("{file} lacks the comment {part}:end"));
    let depth = before.rsplit('\n').next().unwrap_or_default();
    // An empty line is as deep as any.
    let line = |line: &str| if line.is_empty() { "\n".to_owned() } else { format!("{depth}{line}\n") };
    let lines = fresh.trim_end().lines().map(line).collect::<Vec<_>>().concat();
    hold(file, &found, &format!("{before}{begin}{lines}{depth}{end}{after}"));
}

#[test]
fn the_book_lists_the_rules() {
    let entries: Vec<String> = RULES.iter().map(|rule| format!("- [{0}](rules/{0}.md)\n", rule.id)).collect();
    hold_page("docs/SUMMARY.md", "rules", &entries.concat());
}

#[test]
fn the_book_has_every_setting() {
    hold_page("docs/settings.md", "settings", &autoscaler_guard_cli::settings::reference());
}

/// The stages before rejections are settings that name every rule concerned, so a new rule has to come in.
#[test]
fn the_stages_of_a_roll_out_name_their_rules() {
    let warned = |chosen: &dyn Fn(&Rule) -> bool| {
        let rules = RULES.iter().filter(|rule| chosen(rule));
        rules.map(|rule| format!("  {}: warn\n", rule.id)).collect::<Vec<_>>().concat()
    };
    let block = |settings: &str| format!("```yaml settings\n{settings}```\n");
    let refusing = warned(&|rule| rule.may_reject && rule.default != DefaultAction::Repair);
    let all = warned(&|_| true);
    let file = "docs/rollout.md";
    hold_page(file, "warn", &block(&format!("rules:\n{refusing}")));
    hold_page(file, "watch", &block(&format!("repair: false\nrules:\n{all}")));
}

#[test]
fn every_rule_has_a_page_in_the_docs() {
    let mut pages = autoscaler_guard_cli::rules::pages();
    let table = autoscaler_guard_cli::rules::table("");
    pages.push(("README.md".to_owned(), format!("# Rules\n\n{table}")));
    hold_pages("docs/rules", &pages);
}

#[test]
fn every_problem_has_a_page_in_the_docs() {
    let mut pages: Vec<(String, String)> =
        PROBLEMS.iter().map(|problem| (format!("{}.md", problem.id), problem.page())).collect();
    let row = |problem: &Problem| format!("| [{0}]({0}.md) | {1} |\n", problem.id, problem.title);
    let table = PROBLEMS.iter().map(row).collect::<Vec<_>>().concat();
    pages.push(("README.md".to_owned(), format!("# Problems\n\n| problem | what it is |\n|---|---|\n{table}")));
    hold_pages("docs/problems", &pages);
    let entries: Vec<String> =
        PROBLEMS.iter().map(|problem| format!("- [{0}](problems/{0}.md)\n", problem.id)).collect();
    hold_page("docs/SUMMARY.md", "problems", &entries.concat());
}

/// A folder of pages, and nothing else in it.
fn hold_pages(place: &str, pages: &[(String, String)]) {
    let folder = root().join(place);
    if writes() {
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap_or_else(|error| panic!("{place}: {error}"));
        for (name, page) in pages {
            std::fs::write(folder.join(name), page).expect("a page can be written");
        }
    }
    for (name, page) in pages {
        let stands = std::fs::read_to_string(folder.join(name)).unwrap_or_default();
        assert!(&stands == page, "{place}/{name} is stale: run this test with AUTOSCALER_GUARD_WRITE=1");
    }
    let found = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{place}: {error}")).count();
    assert_eq!(found, pages.len(), "{place} has pages of what is no more");
}

/// Tests run side by side, and some write parts of the same file.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn writes() -> bool {
    std::env::var_os("AUTOSCALER_GUARD_WRITE").is_some()
}

#[test]
fn the_schema_of_the_settings_is_kept() {
    let file = "docs/settings.schema.json";
    hold(
        file,
        &std::fs::read_to_string(root().join(file)).unwrap_or_default(),
        &autoscaler_guard_cli::settings::schema(),
    );
}

/// Compares a file with what it should be, or writes that.
fn hold(file: &str, found: &str, fresh: &str) {
    if writes() {
        std::fs::write(root().join(file), fresh).unwrap_or_else(|error| panic!("{file}: {error}"));
        return;
    }
    assert!(found == fresh, "{file} is stale: run this test with AUTOSCALER_GUARD_WRITE=1");
}

/// A part of a manifest, between two comments that name it; a file of several manifests may have it several times.
fn hold_part(file: &str, part: &str, fresh: &str) {
    let _turn = turn();
    let found = read(file);
    let (begin, end) = (format!("# {part}:begin\n"), format!("# {part}:end\n"));
    let (mut written, mut rest) = (String::new(), found.as_str());
    assert!(rest.contains(&begin), "{file} lacks the comment {part}:begin");
    while let Some((before, after)) = rest.split_once(&begin) {
        let (_, after) = after.split_once(&end).unwrap_or_else(|| panic!("{file} lacks the comment {part}:end"));
        let depth = before.rsplit('\n').next().unwrap_or_default();
        written.extend([before, &begin]);
        written.extend(fresh.lines().flat_map(|line| [depth, line, "\n"]));
        written.extend([depth, &end]);
        rest = after;
    }
    hold(file, &found, &(written + rest));
}

#[test]
fn manifests_are_written_from_what_rules_watch_and_look_up() {
    let conditions = manifests::match_conditions(&Settings::default());
    for file in ["policies/guard.yaml", "policies/guard-no-repair.yaml"] {
        hold_part(file, "conditions", &conditions);
    }
    for file in ["metadata.yml", "policies/guard.yaml", "policies/guard-no-repair.yaml"] {
        hold_part(file, "rules", &manifests::rules());
        hold_part(file, "looked-up", &manifests::looked_up());
    }
    hold_part("policies/audit.yaml", "audited-hpas", &manifests::audited("autoscaling"));
    hold_part("policies/audit.yaml", "audited-keda", &manifests::audited("keda.sh"));
    assert_eq!(needs::audited().len(), 2, "policies/audit.yaml has a policy for each kind");
    hold_part("policies/audit.yaml", "looked-up", &manifests::looked_up());
    hold_part("policies/rbac.yaml", "permissions", &manifests::permissions());
    hold_part("policies/rbac.yaml", "audited", &manifests::audit_permissions());
    // After the metadata, of which it takes the lookups.
    hold_part("artifacthub-pkg.yml", "from-code", &artifact_hub());
}

/// What the chart takes from the code.
#[test]
fn the_chart_has_what_rules_watch_and_look_up() {
    hold_whole("charts/autoscaler-guard/files/policy.json", &format!("{:#}\n", manifests::chart::facts()));
}

/// Helm holds values to it: those of the policy's settings are the settings' own.
#[test]
fn the_chart_s_values_have_a_schema() {
    hold_whole("charts/autoscaler-guard/values.schema.json", &format!("{:#}\n", values_schema()));
    let values: Value = serde_saphyr::from_str(&read("charts/autoscaler-guard/values.yaml")).expect("values are YAML");
    let validator = jsonschema::draft7::new(&values_schema()).expect("it is a schema");
    assert!(validator.is_valid(&values), "the defaults: {:?}", validator.validate(&values));
    let wrong = |pointer: &str, value: Value| {
        let mut values = values.clone();
        let (parent, key) = pointer.rsplit_once('/').expect("it is a pointer");
        values.pointer_mut(parent).expect("it is there")[key] = value;
        !validator.is_valid(&values)
    };
    for (pointer, value) in [
        ("/settings/repiar", json!(true)),
        ("/settings/rules", json!({"hpa-deletd": "warn"})),
        ("/certificates/source", json!("none")),
        ("/webhook/failurePolicy", json!("ignore")),
        ("/replcias", json!(1)),
        ("/webhook/timeoutSeconds", json!(5)),
        ("/image/digest", json!("latest")),
    ] {
        assert!(wrong(pointer, value), "{pointer}");
    }
    assert!(!wrong("/settings/rules", json!({"hpa-deleted": "warn"})));
}

/// Helm's regular expressions have no `\\u2028`: the letter itself is in its place.
fn literal(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if let Some(Value::String(pattern)) = fields.get_mut("pattern") {
                let mut parts = pattern.split("\\u");
                let mut text = parts.next().unwrap_or_default().to_owned();
                for part in parts {
                    let (code, rest) = part.split_at(4);
                    let letter = u32::from_str_radix(code, 16).ok().and_then(char::from_u32);
                    text.extend(letter);
                    text.push_str(rest);
                }
                *pattern = text;
            }
            fields.values_mut().for_each(literal);
        }
        Value::Array(items) => items.iter_mut().for_each(literal),
        _ => {}
    }
}

/// The schema of the chart's values, in the draft that Helm reads.
fn values_schema() -> Value {
    let mut settings: Value = serde_json::from_str(&autoscaler_guard_cli::settings::schema()).expect("it is JSON");
    if let Some(fields) = settings.as_object_mut() {
        fields.remove("$schema");
    }
    literal(&mut settings);
    // The kinds of objects in Kubernetes have schemas of their own, and API servers hold manifests to them.
    let object = || json!({"type": "object"});
    let objects = || json!({"type": "array", "items": {"type": "object"}});
    let text = || json!({"type": "string"});
    let group = |properties: Value| json!({"type": "object", "additionalProperties": false, "properties": properties});
    let switched = |mut more: Value| {
        more["enabled"] = json!({"type": "boolean"});
        group(more)
    };
    let mut schema = group(json!({
        "image": group(json!({
            "repository": {"type": "string", "minLength": 1},
            "tag": text(),
            "digest": {"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"},
            "pullPolicy": {"enum": ["Always", "IfNotPresent", "Never"]},
        })),
        "imagePullSecrets": objects(),
        "replicas": {"type": "integer", "minimum": 1},
        "settings": settings,
        "webhook": group(json!({
            "failurePolicy": {"enum": ["Ignore", "Fail"]},
            "timeoutSeconds": {"type": "integer", "minimum": 9, "maximum": 30},
            "excludedNamespaces": {"type": "array", "items": {"type": "string", "minLength": 1}},
        })),
        "gatekeeper": switched(json!({"constraints": {"enum": ["auto", "always", "never"]}, "clientCA": text()})),
        "certificates": group(json!({
            "source": {"enum": ["cert-manager", "self-managed", "existing"]},
            "secretName": text(),
            "caBundle": text(),
            "issuerRef": object(),
        })),
        "log": group(json!({"format": {"enum": ["text", "json"]}})),
        "resources": object(),
        "podDisruptionBudget": switched(json!({})),
        "networkPolicy": switched(json!({"from": objects()})),
        "port": {"type": "integer", "minimum": 1024, "maximum": 65535, "not": {"const": 8080}},
        "priorityClassName": text(),
        "nodeSelector": object(),
        "tolerations": objects(),
        "affinity": object(),
        "podSecurityContext": object(),
        "podAnnotations": object(),
        "podLabels": object(),
        "extraArgs": {"type": "array", "items": text()},
        "serviceMonitor": switched(json!({"labels": object()})),
        "prometheusRule": switched(json!({"labels": object()})),
        "dashboard": switched(json!({"labels": object()})),
        // Helm's own, for those who have it as a part of another chart.
        "global": object(),
    }));
    schema["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    schema["title"] = json!("Values of the chart autoscaler-guard");
    schema
}

/// By the defaults, and with no authority: whose certificate the server has, only the user knows.
#[test]
fn gatekeepers_manifests_are_those_that_the_command_prints() {
    let manifests = Manifests {
        namespace: "autoscaler-guard",
        image: concat!("autoscaler-guard:v", env!("CARGO_PKG_VERSION")),
        asked_by: AskedBy::Gatekeeper(None),
        certificate: Source::Authority(Vec::new()),
        settings: &Settings::default(),
        settings_text: None,
    };
    let parts = manifests.parts();
    let own = ["provider", "template", "constraint"];
    let server: Vec<&str> =
        parts.iter().filter(|(part, _)| !own.contains(part)).map(|(_, text)| text.as_str()).collect();
    hold_whole("policies/gatekeeper/server.yaml", &server.join("---\n"));
    for (part, text) in parts.iter().filter(|(part, _)| own.contains(part)) {
        hold_whole(&format!("policies/gatekeeper/{part}.yaml"), text);
    }
}

/// What the API server needs to guard by itself, by default settings; and what it comes to, in the docs.
#[test]
fn the_native_policies_are_those_that_the_command_prints() {
    for part in Part::ALL {
        hold_whole(
            &format!("policies/native/{}/policies.yaml", part.name()),
            &native::yaml(part, &Settings::default()),
        );
    }
    hold_page("docs/native.md", "hosts", &native::table("rules/"));
    hold_page("docs/native.md", "law", &law());
}

/// What came of the last time that all cases were played on an API server: scenario `native-law` of the live tests.
#[expect(clippy::format_push_string, reason = "a table of a few lines")]
fn law() -> String {
    let count: Value = serde_json::from_str(&read("e2e/native.json")).expect("e2e/native.json is JSON");
    let of =
        |name: &str| count[name].as_u64().unwrap_or_else(|| count[name].as_array().map_or(0, |all| all.len() as u64));
    let mut text = format!(
        "| cases played | passed by both | refused by both | refused by the module alone | refused by the API server alone |\n|---|---|---|---|---|\n| {} | {} | {} | {} | {} |\n",
        of("played"),
        of("passed"),
        of("refused"),
        of("milder"),
        of("stricter") + count["unseen"].as_object().map_or(0, |unseen| unseen.len() as u64),
    );
    for (case, why) in count["unseen"].as_object().into_iter().flatten() {
        text += &format!("\nRefused here alone: *{case}*. {}\n", why.as_str().unwrap_or_default());
    }
    text += "\nNot played:\n\n| why | cases |\n|---|---|\n";
    for (why, cases) in count["unplayable"].as_object().into_iter().flatten() {
        text += &format!("| {why} | {} |\n", cases.as_array().map_or(0, Vec::len));
    }
    text
}

fn hold_whole(file: &str, fresh: &str) {
    let _turn = turn();
    hold(file, &std::fs::read_to_string(root().join(file)).unwrap_or_default(), fresh);
}

/// What Artifact Hub and Rancher say of the policy, as `kwctl scaffold artifacthub` takes it from the metadata.
fn artifact_hub() -> String {
    let metadata: Value = serde_saphyr::from_str(&read("metadata.yml")).expect("metadata.yml is YAML");
    let looked_up = metadata["contextAwareResources"].as_array().expect("it is a list").iter().map(|one| {
        let text = |field: &str| one[field].as_str().unwrap_or_default().to_owned();
        format!("- apiVersion: {}\n  kind: {}\n", text("apiVersion"), text("kind"))
    });
    let blocks = [
        ("rules", manifests::rules()),
        ("contextAwareResources", looked_up.collect()),
        ("questions-ui", read("questions-ui.yml")),
    ];
    let block = |(key, text): (&str, String)| {
        let lines: String = text.lines().flat_map(|line| ["  ", line, "\n"]).collect();
        format!("kubewarden/{key}: |\n{lines}")
    };
    let resources = metadata["annotations"]["io.artifacthub.resources"].as_str().unwrap_or_default();
    let mutates = metadata["mutating"].as_bool().unwrap_or_default();
    format!("kubewarden/resources: {resources}\nkubewarden/mutation: \"{mutates}\"\n")
        + &blocks.into_iter().map(block).collect::<String>()
}

/// What stands before a version of this project, by files and folders.
const VERSIONS: &[(&[&str], &[&str])] = &[
    (&["metadata.yml"], &["\n  io.kubewarden.policy.version: "]),
    (&["artifacthub-pkg.yml"], &["\nversion: ", "autoscaler-guard:v", "?ref=v", "/releases/download/v"]),
    (&["charts/autoscaler-guard/Chart.yaml"], &["\nversion: ", "\nappVersion: "]),
    (&["policies"], &["autoscaler-guard:v", "?ref=v", "githubusercontent.com/autoscaler-guard/autoscaler-guard/v"]),
    (
        &["README.md", "docs"],
        &[
            "autoscaler-guard:v",
            "?ref=v",
            "--branch v",
            "@refs/tags/v",
            "/releases/download/v",
            "--version ",
            "autoscaler-guard/autoscaler-guard@v",
            "-server:v",
        ],
    ),
    (&["action.yml"], &["default: v"]),
];

/// The version stands in `Cargo.toml`; wherever else it is named, it is that one.
#[test]
fn the_version_is_that_of_the_workspace_everywhere() {
    for (places, prefixes) in VERSIONS {
        let files = places.iter().flat_map(|place| files(place));
        let named: usize = files.map(|file| hold_version(&file, prefixes)).sum();
        assert!(named > 0, "{places:?} name no version");
    }
}

/// As long as the changelog has no day for the version, it is not out, and any will do.
#[test]
fn artifact_hubs_package_is_of_the_changelogs_day() {
    let heading = concat!("## [", env!("CARGO_PKG_VERSION"), "] - ");
    let changelog = read("CHANGELOG.md");
    let day = changelog.lines().find_map(|line| line.strip_prefix(heading));
    let day = day.unwrap_or_else(|| panic!("CHANGELOG.md has no section `{heading}…`"));
    if day != "unreleased" {
        let _turn = turn();
        let file = "artifacthub-pkg.yml";
        let found = read(file);
        let (before, rest) = found.split_once("\ncreatedAt: ").expect("it says when it was made");
        let (_, after) = rest.split_once('\n').expect("it goes on after that");
        hold(file, &found, &format!("{before}\ncreatedAt: {day}T00:00:00Z\n{after}"));
    }
}

/// A file, or the texts in a folder.
fn files(place: &str) -> Vec<String> {
    if root().join(place).is_file() {
        return vec![place.to_owned()];
    }
    let entries = std::fs::read_dir(root().join(place)).unwrap_or_else(|error| panic!("{place}: {error}"));
    let names = entries.filter_map(Result::ok).map(|entry| format!("{place}/{}", entry.file_name().to_string_lossy()));
    let is_text = |file: &String| [".md", ".yaml", ".yml"].iter().any(|kind| file.ends_with(kind));
    names.filter(|path| root().join(path).is_dir() || is_text(path)).flat_map(|path| files(&path)).collect()
}

/// How often a file names the version.
fn hold_version(file: &str, prefixes: &[&str]) -> usize {
    let _turn = turn();
    let found = read(file);
    let mut fresh = found.clone();
    let mut named = 0;
    for prefix in prefixes {
        let mut parts = fresh.split(prefix);
        let mut text = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let is_version = |letter: char| letter.is_ascii_alphanumeric() || ".-".contains(letter);
            let version = &part[..part.len() - part.trim_start_matches(is_version).len()];
            // The full stop of a sentence is none of it.
            let rest = &part[version.trim_end_matches('.').len()..];
            text.extend([prefix, env!("CARGO_PKG_VERSION"), rest]);
            named += 1;
        }
        fresh = text;
    }
    hold(file, &found, &fresh);
    named
}

/// `apiVersion resource operation` for all that rules watch.
fn watched() -> BTreeSet<String> {
    let pairs = |watched: Watched| {
        let of = move |one| format!("{}/{} {} {one}", watched.api.group, watched.api.version, watched.api.resource);
        watched.operations.into_iter().map(of)
    };
    needs::watched().into_iter().flat_map(pairs).collect()
}

/// The same, of the rules in a manifest.
fn registered(rules: &Value) -> BTreeSet<String> {
    let words = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let mut pairs = BTreeSet::new();
    for rule in rules.as_array().into_iter().flatten() {
        for group in words(&rule["apiGroups"]) {
            for version in words(&rule["apiVersions"]) {
                for resource in words(&rule["resources"]) {
                    let of = |operation| format!("{group}/{version} {resource} {operation}");
                    let all = || ["CREATE", "UPDATE", "DELETE"].map(str::to_owned).to_vec();
                    let operations = words(&rule["operations"]);
                    pairs.extend(if operations == ["*"] { all() } else { operations }.iter().map(of));
                }
            }
        }
    }
    pairs
}

#[test]
fn manifests_register_what_the_rules_watch() {
    for (file, at) in [
        ("metadata.yml", "/rules"),
        ("policies/guard.yaml", "/spec/rules"),
        ("policies/guard-no-repair.yaml", "/spec/rules"),
    ] {
        let manifest: Value = serde_saphyr::from_str(&read(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert_eq!(registered(manifest.pointer(at).unwrap_or(&Value::Null)), watched(), "{file}");
    }
}

#[test]
fn manifests_grant_no_look_up_that_the_metadata_does_not_name() {
    let kinds = |manifest: &Value, at: &str| -> BTreeSet<String> {
        let kinds = manifest.pointer(at).and_then(Value::as_array).cloned().unwrap_or_default();
        kinds.iter().map(|kind| format!("{} {}", kind["apiVersion"], kind["kind"])).collect()
    };
    let metadata: Value = serde_saphyr::from_str(&read("metadata.yml")).expect("metadata.yml is YAML");
    let known = kinds(&metadata, "/contextAwareResources");
    assert!(!known.is_empty());
    for file in ["policies/guard.yaml", "policies/guard-no-repair.yaml"] {
        let manifest: Value = serde_saphyr::from_str(&read(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        let granted = kinds(&manifest, "/spec/contextAwareResources");
        assert!(!granted.is_empty() && granted.is_subset(&known), "{file}: {:?}", granted.difference(&known));
    }
}

/// The webhook's manifests are made of the same facts.
#[test]
fn the_policy_server_is_permitted_what_rules_look_up() {
    let role: Vec<Value> =
        serde_saphyr::from_multiple(&read("policies/rbac.yaml")).expect("policies/rbac.yaml is YAML");
    let rules = role[0]["rules"].as_array().expect("the first document is the role");
    let mut granted = BTreeSet::new();
    for rule in rules {
        for resource in rule["resources"].as_array().expect("a rule names resources") {
            granted.insert(format!("{} {resource} {}", rule["apiGroups"], rule["verbs"]));
        }
    }
    let of = |one: &needs::LookedUp| {
        format!("{} {} {}", json!([one.api.group]), json!(one.api.resource), json!(one.verbs()))
    };
    assert_eq!(granted, needs::looked_up().iter().map(of).collect());
    let metadata: Value = serde_saphyr::from_str(&read("metadata.yml")).expect("metadata.yml is YAML");
    for one in needs::looked_up() {
        let kind = json!({"apiVersion": one.api.api_version(), "kind": one.api.kind});
        let named = metadata["contextAwareResources"].as_array().is_some_and(|kinds| kinds.contains(&kind));
        assert!(named, "metadata.yml does not name {kind}");
    }
}

#[test]
fn the_manifests_settings_are_valid() {
    for file in ["policies/guard.yaml", "policies/guard-no-repair.yaml"] {
        let manifest: Value = serde_saphyr::from_str(&read(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        let settings = manifest["spec"]["settings"].to_string();
        assert!(autoscaler_guard::Settings::from_json(&settings).is_ok(), "{file}: {settings}");
    }
}
