//! A Kubewarden policy's metadata: `metadata.yml`, checked, and the JSON that a policy server reads from the module.
//!
//! The fields, their order and which of them are left out when absent are those of Kubewarden's own `Metadata`, so that
//! `kwctl inspect` and a policy server see what `kwctl annotate` would have written.

use std::collections::{BTreeMap, BTreeSet};

use semver::Version;
use serde::{Deserialize, Serialize};

/// The annotation that holds the policy's instructions, taken from a file.
pub const USAGE: &str = "io.kubewarden.policy.usage";

const TITLE: &str = "io.kubewarden.policy.title";
const VERSION: &str = "io.kubewarden.policy.version";
const SEVERITY: &str = "io.kubewarden.policy.severity";

/// What Kubewarden's convention and the Artifact Hub want to know about every policy.
const REQUIRED: [&str; 14] = [
    TITLE,
    USAGE,
    VERSION,
    SEVERITY,
    "io.kubewarden.policy.description",
    "io.kubewarden.policy.author",
    "io.kubewarden.policy.url",
    "io.kubewarden.policy.ociUrl",
    "io.kubewarden.policy.source",
    "io.kubewarden.policy.license",
    "io.kubewarden.policy.category",
    "io.artifacthub.displayName",
    "io.artifacthub.resources",
    "io.artifacthub.keywords",
];

const OPTIONAL: [&str; 1] = ["io.kubewarden.hidden-ui"];

const SEVERITIES: [&str; 5] = ["info", "low", "medium", "high", "critical"];

/// What a policy may ask of a policy server.
pub const HOST_CAPABILITIES: [&str; 11] = [
    "crypto/v1/is_certificate_trusted",
    "kubernetes/can_i",
    "kubernetes/get_resource",
    "kubernetes/list_resources_all",
    "kubernetes/list_resources_by_namespace",
    "net/v1/dns_lookup_host",
    "oci/v1/manifest_digest",
    "oci/v1/oci_manifest",
    "oci/v1/oci_manifest_config",
    "oci/v1/verify",
    "oci/v2/verify",
];

/// The metadata of a policy.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Metadata {
    /// How host and policy talk; the policy itself answers with the same.
    #[serde(skip_deserializing)]
    protocol_version: ProtocolVersion,
    rules: Vec<Rule>,
    /// Facts for people and catalogues.
    pub annotations: BTreeMap<String, String>,
    mutating: bool,
    background_audit: bool,
    execution_mode: ExecutionMode,
    policy_type: PolicyType,
    context_aware_resources: BTreeSet<Resource>,
    /// What the policy asks of its host; a host may refuse everything else.
    pub host_capabilities: BTreeSet<String>,
    minimum_kubewarden_version: Version,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "lowercase")]
enum ProtocolVersion {
    #[default]
    V1,
}

/// Which requests the policy is asked about.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Rule {
    api_groups: Vec<String>,
    api_versions: Vec<String>,
    resources: Vec<String>,
    operations: Vec<Operation>,
}

#[derive(Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
enum Operation {
    Create,
    Update,
    Delete,
    Connect,
    #[serde(rename = "*")]
    All,
}

/// How the module is run. There are other ways, but not for this module.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
enum ExecutionMode {
    KubewardenWapc,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum PolicyType {
    Kubernetes,
    Raw,
}

/// A kind of object that the policy may look up.
#[derive(Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Resource {
    api_version: String,
    kind: String,
}

impl Metadata {
    /// Everything that is wrong with it, each with its place in the file.
    pub fn problems(&self, version: &Version) -> Vec<String> {
        let mut problems = self.annotation_problems();
        problems.extend(self.version_problem(version));
        problems.extend(self.host_capability_problems());
        if self.rules.is_empty() {
            problems.push("rules: there are none, so the policy would never be asked".to_owned());
        }
        for (index, rule) in self.rules.iter().enumerate() {
            problems.extend(rule.problems().map(|problem| format!("rules[{index}].{problem}")));
        }
        problems
    }

    fn annotation_problems(&self) -> Vec<String> {
        let missing = REQUIRED.iter().filter(|key| self.annotation(key).trim().is_empty());
        let mut problems: Vec<String> = missing.map(|key| format!("annotations.{key}: is missing or empty")).collect();
        let unknown = self.annotations.keys().filter(|key| !is_known(key));
        problems.extend(
            unknown.map(|key| format!("annotations.{key}: Kubewarden knows no such annotation; check its spelling")),
        );
        problems.extend(self.title_problem());
        problems.extend(self.severity_problem());
        problems
    }

    fn annotation(&self, key: &str) -> &str {
        self.annotations.get(key).map_or("", String::as_str)
    }

    /// `kwctl scaffold` names the Kubernetes object after the title.
    fn title_problem(&self) -> Option<String> {
        let title = self.annotation(TITLE);
        (!title.is_empty() && !is_label(title)).then(|| {
            format!(
                "annotations.{TITLE}: `{title}` cannot name a Kubernetes object; a name is at most 63 lower-case \
                 letters, digits and hyphens, with neither end a hyphen (RFC 1123)"
            )
        })
    }

    fn severity_problem(&self) -> Option<String> {
        let severity = self.annotation(SEVERITY);
        (!severity.is_empty() && !SEVERITIES.contains(&severity))
            .then(|| format!("annotations.{SEVERITY}: `{severity}` is none of {}", SEVERITIES.join(", ")))
    }

    fn version_problem(&self, version: &Version) -> Option<String> {
        let annotated = self.annotation(VERSION);
        (!annotated.is_empty() && annotated != version.to_string()).then(|| {
            format!("annotations.{VERSION}: is {annotated}, but Cargo.toml's version is {version}; make them one")
        })
    }

    fn host_capability_problems(&self) -> impl Iterator<Item = String> {
        let known = |name: &&String| HOST_CAPABILITIES.contains(&name.as_str());
        let unknown = self.host_capabilities.iter().filter(move |name| !known(name));
        unknown.map(|name| format!("hostCapabilities: `{name}` is none of {}", HOST_CAPABILITIES.join(", ")))
    }
}

/// Annotations under other prefixes than these two are anybody's own.
fn is_known(key: &str) -> bool {
    let theirs = key.starts_with("io.kubewarden.") || key.starts_with("io.artifacthub.");
    !theirs || REQUIRED.contains(&key) || OPTIONAL.contains(&key)
}

fn is_label(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    name.len() <= 63 && name.bytes().all(plain) && !name.starts_with('-') && !name.ends_with('-')
}

impl Rule {
    fn problems(&self) -> impl Iterator<Item = String> {
        let lists = [
            ("apiGroups", list_problem(&self.api_groups, &"*".to_owned())),
            ("apiVersions", list_problem(&self.api_versions, &"*".to_owned())),
            ("resources", list_problem(&self.resources, &"*/*".to_owned())),
            ("operations", list_problem(&self.operations, &Operation::All)),
        ];
        lists.into_iter().filter_map(|(list, problem)| Some(format!("{list}: {}", problem?)))
    }
}

fn list_problem<T: PartialEq>(list: &[T], everything: &T) -> Option<&'static str> {
    if list.is_empty() {
        Some("is empty, so the rule fits nothing")
    } else if list.len() > 1 && list.contains(everything) {
        Some("names everything and something besides; the API server refuses that")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The project's own file is the example that every test starts from.
    const OWN: &str = include_str!("../../metadata.yml");

    fn parse(yaml: &str) -> Metadata {
        serde_saphyr::from_str(yaml).unwrap()
    }

    fn problems(yaml: &str) -> Vec<String> {
        let own_version = parse(OWN).annotations[VERSION].parse().unwrap();
        let mut metadata = parse(yaml);
        metadata.annotations.insert(USAGE.to_owned(), "# Usage".to_owned());
        metadata.problems(&own_version)
    }

    #[test]
    fn the_projects_own_metadata_has_no_problem() {
        assert_eq!(problems(OWN), Vec::<String>::new());
    }

    #[test]
    fn instructions_are_wanted() {
        let metadata = parse(OWN);
        let version = metadata.annotations[VERSION].parse().unwrap();
        assert_eq!(metadata.problems(&version), ["annotations.io.kubewarden.policy.usage: is missing or empty"]);
    }

    #[test]
    fn the_json_has_kubewardens_names_in_kubewardens_order() {
        let json = serde_json::to_string(&parse(OWN)).unwrap();
        let fields = [
            r#"{"protocolVersion":"v1","rules":[{"apiGroups":["#,
            r#"],"annotations":{"#,
            r#"},"mutating":true,"backgroundAudit":"#,
            r#","executionMode":"kubewarden-wapc","policyType":"kubernetes","contextAwareResources":[{"apiVersion":"#,
            r#"],"hostCapabilities":["#,
            r#"],"minimumKubewardenVersion":""#,
        ];
        let places: Vec<_> = fields.iter().map(|field| json.find(field)).collect();
        assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{places:?} in {json}");
    }

    #[test]
    fn an_unknown_key_is_refused() {
        let error = serde_saphyr::from_str::<Metadata>(&format!("{OWN}\nmutates: true\n")).unwrap_err();
        assert!(error.to_string().contains("unknown field `mutates`"), "{error}");
    }

    #[test]
    fn all_problems_are_reported_at_once_with_their_places() {
        let yaml = OWN
            .replace("policy.title: autoscaler-guard", "policy.title: Autoscaler Guard")
            .replace("policy.severity: ", "policy.severitty: ")
            .replace("policy.version: ", "policy.version: 9")
            .replace("  - kubernetes/can_i\n", "  - kubernetes/can_he\n");
        let places: Vec<String> =
            problems(&yaml).iter().filter_map(|problem| Some(problem.split_once(": ")?.0.to_owned())).collect();
        let expected = [
            "annotations.io.kubewarden.policy.severity",
            "annotations.io.kubewarden.policy.severitty",
            "annotations.io.kubewarden.policy.title",
            "annotations.io.kubewarden.policy.version",
            "hostCapabilities",
        ];
        assert_eq!(places, expected);
    }

    #[test]
    fn a_list_that_says_everything_and_more_is_refused() {
        let rule = "{apiGroups: ['*', apps], apiVersions: [], resources: [x], operations: ['*', CREATE]}";
        let rule: Rule = serde_saphyr::from_str(rule).unwrap();
        let problems: Vec<String> = rule.problems().collect();
        assert_eq!(
            problems,
            [
                "apiGroups: names everything and something besides; the API server refuses that",
                "apiVersions: is empty, so the rule fits nothing",
                "operations: names everything and something besides; the API server refuses that",
            ]
        );
    }
}
