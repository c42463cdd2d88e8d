//! What catalogues say of the policy keeps their published rules, and agrees with the policy.
//!
//! `artifacthub-pkg.yml` and `artifacthub-repo.yml` go by Artifact Hub's documentation (github.com/artifacthub/hub,
//! docs/metadata) and what it refuses (internal/pkg/metadata.go, internal/repo/manager.go); the annotations by what
//! `kwctl scaffold artifacthub` writes; `questions-ui.yml` by what Rancher's extension for Kubewarden can ask
//! (github.com/rancher/kubewarden-ui, components/Questions). `cargo xtask annotate` checks `metadata.yml` by itself.

#![allow(clippy::restriction, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::path::Path;

use autoscaler_guard::settings::table::{SETTINGS, Setting, Takes};
use autoscaler_guard_server::needs;
use serde_json::{Map, Value, json};

fn read(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(file);
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn yaml(file: &str) -> Value {
    serde_saphyr::from_str(&read(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn fields<'a>(value: &'a Value, what: &str) -> &'a Map<String, Value> {
    value.as_object().unwrap_or_else(|| panic!("{what} is no object"))
}

/// Whether an object has all fields that it needs, each a text that is not empty, and no others than are known.
fn hold_fields(what: &str, value: &Value, needed: &[&str], known: &[&str]) {
    for field in needed {
        assert!(value[field].as_str().is_some_and(|text| !text.trim().is_empty()), "{what} lacks {field}");
    }
    for field in fields(value, what).keys() {
        assert!(needed.contains(&field.as_str()) || known.contains(&field.as_str()), "{what}: nobody knows {field}");
    }
}

fn is_version(text: &str) -> bool {
    semver::Version::parse(text).is_ok()
}

/// RFC 3339, as far as a date in these files needs it: `2026-11-21T00:00:00Z`.
fn is_time(text: &str) -> bool {
    let form = "dddd-dd-ddTdd:dd:ddZ";
    let fits = |(letter, form): (u8, u8)| if form == b'd' { letter.is_ascii_digit() } else { letter == form };
    let part = |from: usize| text.get(from..from + 2).and_then(|part| part.parse::<u8>().ok()).unwrap_or(u8::MAX);
    text.len() == form.len()
        && text.bytes().zip(form.bytes()).all(fits)
        && (1..=12).contains(&part(5))
        && (1..=31).contains(&part(8))
        && part(11) < 24
        && part(14) < 60
        && part(17) < 60
}

fn is_address(text: &str) -> bool {
    text.split_once('@').is_some_and(|(name, host)| !name.is_empty() && host.contains('.') && !text.contains(' '))
}

fn is_uuid(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12])
        && parts.iter().all(|part| part.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Artifact Hub's package metadata, but for the lists below.
const PACKAGE: &[&str] = &[
    "alternativeName",
    "category",
    "logoPath",
    "logoURL",
    "digest",
    "license",
    "homeURL",
    "appVersion",
    "containersImages",
    "containsSecurityUpdates",
    "operator",
    "deprecated",
    "prerelease",
    "keywords",
    "links",
    "readme",
    "install",
    "changes",
    "maintainers",
    "provider",
    "ignore",
    "recommendations",
    "screenshots",
    "annotations",
];

#[test]
fn artifact_hub_takes_the_package() {
    let package = yaml("artifacthub-pkg.yml");
    hold_fields("the package", &package, &["version", "name", "displayName", "createdAt", "description"], PACKAGE);
    assert!(is_version(package["version"].as_str().unwrap_or_default()), "version: {}", package["version"]);
    assert!(is_time(package["createdAt"].as_str().unwrap_or_default()), "createdAt: {}", package["createdAt"]);
    let name = package["name"].as_str().unwrap_or_default();
    assert!(name.bytes().all(|letter| letter.is_ascii_alphanumeric() || letter == b'-'), "name: {name}");
    for (list, needed, known) in [
        ("containersImages", &["image"][..], &["name", "whitelisted", "platforms"][..]),
        ("links", &["name", "url"], &[]),
        ("maintainers", &["name", "email"], &[]),
        ("recommendations", &["url"], &[]),
        ("screenshots", &["title", "url"], &[]),
    ] {
        for item in package[list].as_array().into_iter().flatten() {
            hold_fields(list, item, needed, known);
            let url = item["url"].as_str().unwrap_or("https://");
            assert!(url.starts_with("https://"), "{list}: {url}");
        }
    }
    for keyword in package["keywords"].as_array().into_iter().flatten() {
        assert!(keyword.as_str().is_some_and(|word| !word.trim().is_empty()), "keywords: {keyword}");
    }
    hold_fields("provider", &package["provider"], &["name"], &[]);
    for (key, value) in fields(&package["annotations"], "annotations") {
        assert!(value.is_string(), "Artifact Hub takes texts, and annotation {key} is none");
    }
}

/// `kwctl scaffold artifacthub` makes the package of the metadata, so it says the same.
#[test]
fn the_package_says_what_the_metadata_says() {
    let (package, metadata) = (yaml("artifacthub-pkg.yml"), yaml("metadata.yml"));
    let annotation = |key: &str| metadata["annotations"][key].as_str().unwrap_or_default().to_owned();
    for (field, key) in [
        ("version", "io.kubewarden.policy.version"),
        ("name", "io.kubewarden.policy.title"),
        ("displayName", "io.artifacthub.displayName"),
        ("description", "io.kubewarden.policy.description"),
        ("license", "io.kubewarden.policy.license"),
        ("homeURL", "io.kubewarden.policy.url"),
    ] {
        assert_eq!(package[field], json!(annotation(key)), "{field}");
    }
    let version = annotation("io.kubewarden.policy.version");
    let image = format!("{}:v{version}", annotation("io.kubewarden.policy.ociUrl"));
    assert_eq!(package["containersImages"], json!([{"name": "policy", "image": image}]));
    let source = annotation("io.kubewarden.policy.source");
    let module = format!("{source}/releases/download/v{version}/policy.wasm");
    assert_eq!(package["links"], json!([{"name": "policy", "url": module}, {"name": "source", "url": source}]));
    let keywords: Vec<String> =
        annotation("io.artifacthub.keywords").split(',').map(|word| word.trim().to_owned()).collect();
    assert_eq!(package["keywords"], json!(keywords));
    let author = annotation("io.kubewarden.policy.author");
    let address = author.split_once(" <").and_then(|(_, rest)| rest.strip_suffix('>'));
    assert!(address.is_some_and(is_address), "kwctl takes authors as `name <address>`: {author}");
}

/// The values are texts of YAML, which Rancher reads again.
#[test]
fn the_annotations_are_those_of_kubewarden() {
    let (package, metadata) = (yaml("artifacthub-pkg.yml"), yaml("metadata.yml"));
    let annotations = fields(&package["annotations"], "annotations");
    let text = |key: &str| annotations[&format!("kubewarden/{key}")].as_str().expect("a text").to_owned();
    let known: BTreeSet<String> = ["contextAwareResources", "mutation", "questions-ui", "resources", "rules"]
        .into_iter()
        .map(|key| format!("kubewarden/{key}"))
        .collect();
    assert_eq!(annotations.keys().cloned().collect::<BTreeSet<_>>(), known);
    let reread = |key: &str| -> Value { serde_saphyr::from_str(&text(key)).expect("YAML in YAML") };
    assert_eq!(reread("rules"), metadata["rules"]);
    assert_eq!(reread("contextAwareResources"), metadata["contextAwareResources"]);
    assert_eq!(reread("questions-ui"), yaml("questions-ui.yml"));
    assert_eq!(json!(text("mutation")), json!(metadata["mutating"].to_string()));
    let watched: Vec<&str> = needs::watched().iter().map(|watched| watched.api.kind).collect();
    assert_eq!(text("resources"), watched.join(", "));
    assert_eq!(metadata["annotations"]["io.artifacthub.resources"], json!(watched.join(", ")));
}

/// As the release's workflow does, which knows the digest only then.
#[test]
fn the_digest_can_be_put_at_the_end_of_the_package() {
    let text = read("artifacthub-pkg.yml") + "digest: sha256:abc\n";
    let mut package: Value = serde_saphyr::from_str(&text).expect("it is YAML");
    assert_eq!(package.as_object_mut().and_then(|package| package.remove("digest")), Some(json!("sha256:abc")));
    assert_eq!(package, yaml("artifacthub-pkg.yml"));
}

#[test]
fn artifact_hub_takes_the_repository() {
    let repository = yaml("artifacthub-repo.yml");
    hold_fields("the repository", &repository, &[], &["repositoryID", "owners", "ignore"]);
    if let Some(id) = repository.get("repositoryID") {
        assert!(id.as_str().is_some_and(is_uuid), "repositoryID: {id}");
    }
    let owners = repository["owners"].as_array().expect("somebody may claim it");
    assert!(!owners.is_empty());
    for owner in owners {
        hold_fields("an owner", owner, &["name", "email"], &[]);
        assert!(owner["email"].as_str().is_some_and(is_address), "{owner}");
    }
    for ignored in repository["ignore"].as_array().into_iter().flatten() {
        hold_fields("ignore", ignored, &["name"], &["version"]);
    }
}

/// What a question may say.
const QUESTION: &[&str] = &[
    "default",
    "description",
    "group",
    "hide_input",
    "options",
    "required",
    "sequence_questions",
    "show_if",
    "subquestions",
    "tooltip",
];

/// A question with all below it.
fn flat(question: &Value) -> Vec<&Value> {
    let below = question["subquestions"].as_array().into_iter().flatten().flat_map(flat);
    std::iter::once(question).chain(below).collect()
}

fn questions(list: &Value) -> Vec<&Value> {
    list.as_array().into_iter().flatten().flat_map(flat).collect()
}

/// How a form asks for a setting, its default aside. An object and a list of objects are asked for by their fields.
fn asked(takes: &Takes) -> &'static str {
    match takes {
        Takes::Flag(_) => "boolean",
        Takes::Word(..) => "enum",
        Takes::Text(..) | Takes::Version(_) => "string",
        Takes::Patterns(_) => "array[",
        Takes::Rules | Takes::Group(_) => "map[",
        Takes::Declarations(_) => "sequence[",
    }
}

/// One question for each of the settings, and no other.
fn hold_questions(settings: &[Setting], around: &str, schema: &Value, questions: &[&Value]) -> usize {
    let mut asked_for = 0;
    for setting in settings {
        let path = format!("{around}{}", setting.name);
        let schema = &schema["properties"][setting.name];
        let own: Vec<&&Value> = questions.iter().filter(|question| question["variable"] == path.as_str()).collect();
        let [question] = own.as_slice() else { panic!("questions-ui.yml has {} questions for {path}", own.len()) };
        hold_question(&path, setting, schema, question);
        asked_for += 1;
        match setting.takes {
            Takes::Group(inside) => asked_for += hold_questions(inside, &format!("{path}."), schema, questions),
            Takes::Declarations(inside) => {
                let fields = self::questions(&question["sequence_questions"]);
                assert_eq!(hold_questions(inside, "", &schema["items"], &fields), fields.len(), "{path}: too many");
            }
            _ => {}
        }
    }
    asked_for
}

fn hold_question(path: &str, setting: &Setting, schema: &Value, question: &Value) {
    hold_fields(path, question, &["label", "type", "variable"], QUESTION);
    assert_eq!(question["type"], asked(&setting.takes), "{path}");
    let is_required = question["required"].as_bool();
    assert_eq!(is_required, Some(setting.required), "{path}: required");
    // A form needs something to begin with where a setting that has to be given has no default.
    let default = match setting.takes {
        Takes::Group(_) => json!({}),
        Takes::Text(..) if setting.required => json!(""),
        _ => schema["default"].clone(),
    };
    assert_eq!(question["default"], default, "{path}: default");
    let options = if let Takes::Word(words, _) = setting.takes { json!(words) } else { Value::Null };
    assert_eq!(question["options"], options, "{path}: options");
    let text = question["description"].as_str().or(question["tooltip"].as_str());
    assert!(text.is_some_and(|text| text.ends_with('.')), "{path} is not described in a sentence");
}

#[test]
fn ranchers_form_asks_for_every_setting_once() {
    let form = yaml("questions-ui.yml");
    let questions = questions(&form["questions"]);
    let asked_for = hold_questions(SETTINGS, "", &autoscaler_guard::settings_schema(), &questions);
    let (settings, others): (Vec<&Value>, Vec<&Value>) =
        questions.iter().partition(|question| question["variable"] != "description");
    assert_eq!(settings.len(), asked_for, "questions-ui.yml asks for something that is no setting");
    // Kubewarden's forms open with a text that looks like a question.
    assert_eq!(others.len(), 1);
    assert_eq!((&others[0]["type"], &others[0]["hide_input"]), (&json!("string"), &json!(true)));
}
