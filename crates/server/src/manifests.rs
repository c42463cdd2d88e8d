//! What a cluster needs to use the webhook, or the provider behind Gatekeeper, as YAML to apply.
//!
//! The requests to be asked about and the permissions come from [`needs`], the accounts that need not ask from the
//! settings: the same as the policy itself goes by.

pub mod chart;
mod conditions;
mod gatekeeper;
pub mod native;

use autoscaler_guard::Settings;
use autoscaler_guard_host::yaml;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use self::conditions::Condition;
use crate::needs::{self, LookedUp, Watched};

/// What to print.
#[derive(Debug)]
pub struct Manifests<'a> {
    /// The namespace that everything lives in.
    pub namespace: &'a str,
    /// The image, which has the command line as its entry point.
    pub image: &'a str,
    /// Who asks.
    pub asked_by: AskedBy<'a>,
    /// Where the webhook's certificate comes from.
    pub certificate: Source,
    /// What the policy goes by.
    pub settings: &'a Settings,
    /// The same as YAML or JSON text, to be mounted; none for the defaults.
    pub settings_text: Option<&'a str>,
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AskedBy<'a> {
    /// API servers, by a webhook; what becomes of requests while it does not answer.
    ApiServer(FailurePolicy),
    /// Gatekeeper, by a provider; the PEM of who certifies it, unless anybody may ask.
    Gatekeeper(Option<&'a str>),
}

/// What becomes of requests while the webhook does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailurePolicy {
    /// They pass unjudged.
    Ignore,
    /// They are refused.
    Fail,
}

/// Where the webhook's certificate comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// From cert-manager, which also gives API servers the authority to trust.
    CertManager,
    /// From a Secret that someone else keeps, issued by the authority of this PEM.
    Authority(Vec<u8>),
}

impl Source {
    /// The authority of that PEM; none where it has no certificate.
    pub fn authority(pem: Vec<u8>) -> Option<Self> {
        let mut certificates = CertificateDer::pem_slice_iter(&pem);
        let sound = certificates.next()?.is_ok() && certificates.all(|certificate| certificate.is_ok());
        sound.then_some(Self::Authority(pem))
    }
}

/// The longest that an API server waits, in seconds; the server's own timeout is less.
const TIMEOUT: &str = "10";

const HEAD: &str = "\
# autoscaler-guard as an admission webhook of its own, for clusters without Kubewarden.
# Printed by `autoscaler-guard manifests`; needs Kubernetes 1.28 or newer for matchConditions.
";

const GATEKEEPER_HEAD: &str = "\
# autoscaler-guard behind Gatekeeper, as an external data provider.
# Printed by `autoscaler-guard manifests --gatekeeper`; Gatekeeper's chart needs the values in policies/gatekeeper.
# The last part is of a kind that Gatekeeper brings in once it has seen the part before: apply all of it again then.
";

/// What Gatekeeper runs.
const REGO: &str = include_str!("manifests/gatekeeper/autoscaler_guard.rego");

macro_rules! template {
    ($name:literal) => {
        include_str!(concat!("manifests/templates/", $name, ".yaml"))
    };
}

impl std::fmt::Display for Manifests<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let head = if self.is_for_gatekeeper() { GATEKEEPER_HEAD } else { HEAD };
        let documents: Vec<String> = self.parts().into_iter().map(|(_, text)| text).collect();
        write!(formatter, "{head}{}", documents.join("---\n"))
    }
}

impl Manifests<'_> {
    /// The parts in the order in which they have to be applied, each with what it is about.
    pub fn parts(&self) -> Vec<(&'static str, String)> {
        let mut templates = vec![("namespace", template!("namespace")), ("account", template!("account"))];
        templates.extend(self.settings_text.map(|_| ("settings", template!("settings"))));
        templates.extend(self.clients().map(|_| ("clients", template!("clients"))));
        templates.extend([("deployment", template!("deployment")), ("service", template!("service"))]);
        templates.push(("network", template!("network")));
        templates
            .extend((self.certificate == Source::CertManager).then_some(("certificate", template!("certificate"))));
        match self.asked_by {
            AskedBy::ApiServer(_) => templates.push(("webhook", template!("webhook"))),
            AskedBy::Gatekeeper(_) => templates.extend([
                ("provider", template!("provider")),
                ("template", template!("constraint-template")),
                ("constraint", template!("constraint")),
            ]),
        }
        let values = self.values();
        templates.into_iter().map(|(name, template)| (name, fill(template, &values))).collect()
    }

    fn is_for_gatekeeper(&self) -> bool {
        matches!(self.asked_by, AskedBy::Gatekeeper(_))
    }

    /// Who certifies those that may ask.
    fn clients(&self) -> Option<&str> {
        match self.asked_by {
            AskedBy::Gatekeeper(clients) => clients,
            AskedBy::ApiServer(_) => None,
        }
    }
}

/// What the templates leave open, by name.
type Values = Vec<(&'static str, String)>;

/// Puts values where a template has their names between two `@`. A name on a line of its own stands for as many lines
/// as the value has, which may be none, each as deep as the name is.
fn fill(template: &str, values: &Values) -> String {
    let mut filled = String::new();
    for line in template.lines() {
        let name = line.trim_start();
        let depth = " ".repeat(line.len() - name.len());
        let block = values
            .iter()
            .find(|(known, _)| name.strip_prefix('@').and_then(|name| name.strip_suffix('@')) == Some(known));
        let lines = match block {
            Some((_, block)) => indented(&depth, block),
            None => {
                values.iter().fold(line.to_owned(), |line, (name, value)| line.replace(&format!("@{name}@"), value))
                    + "\n"
            }
        };
        filled.push_str(&lines);
    }
    filled
}

fn indented(depth: &str, block: &str) -> String {
    block.lines().flat_map(|line| [depth, line, "\n"]).collect()
}

impl Manifests<'_> {
    fn values(&self) -> Values {
        let mounted = |block: &str| self.settings_text.map_or_else(String::new, |_| block.to_owned());
        let (annotations, bundle) = match &self.certificate {
            Source::CertManager => (injected(self.namespace), String::new()),
            Source::Authority(pem) => (String::new(), ca_bundle(pem)),
        };
        let failure_policy = match self.asked_by {
            AskedBy::ApiServer(FailurePolicy::Ignore) => IGNORE,
            AskedBy::ApiServer(FailurePolicy::Fail) => FAIL,
            AskedBy::Gatekeeper(_) => "",
        };
        let of_webhook = vec![
            ("namespace", self.namespace.to_owned()),
            ("image", self.image.to_owned()),
            ("permissions", self.permissions()),
            ("settings", self.settings_text.unwrap_or_default().to_owned()),
            ("settings-argument", mounted("- --settings=/settings/settings.yaml")),
            ("settings-mount", mounted("- name: settings\n  mountPath: /settings\n  readOnly: true")),
            ("settings-volume", mounted("- name: settings\n  configMap:\n    name: autoscaler-guard")),
            ("annotations", annotations),
            ("ca-bundle", bundle),
            ("rules", self.rules()),
            ("failure-policy", failure_policy.to_owned()),
            ("timeout", TIMEOUT.to_owned()),
            ("conditions", match_conditions(self.settings)),
        ];
        of_webhook.into_iter().chain(self.gatekeepers_values()).collect()
    }

    fn gatekeepers_values(&self) -> Values {
        let certified = |block: &str| self.clients().map_or_else(String::new, |_| block.to_owned());
        let mut arguments = if self.is_for_gatekeeper() { "- --gatekeeper\n- --timeout=1.5\n" } else { "" }.to_owned();
        arguments += &certified("- --client-ca=/clients/ca.crt\n");
        vec![
            ("gatekeeper-arguments", arguments),
            ("clients", self.clients().unwrap_or_default().to_owned()),
            ("clients-mount", certified("- name: clients\n  mountPath: /clients\n  readOnly: true")),
            ("clients-volume", certified("- name: clients\n  configMap:\n    name: autoscaler-guard-clients")),
            ("rego", REGO.to_owned()),
            ("match", gatekeeper::matched(self.settings, self.namespace)),
            ("exempt", gatekeeper::exempt(self.settings)),
        ]
    }

    /// What the webhook is asked about. The conditions keep away what else is in a group that settings name.
    fn rules(&self) -> String {
        let watched = needs::watched().into_iter().map(|watched| rule(&watched));
        let groups = conditions::declared_groups(self.settings);
        let declared = groups.keys().map(|group| {
            let group = yaml::scalar(group);
            format!(
                "- apiGroups: [{group}]\n  apiVersions: [\"*\"]\n  resources: [\"*\"]\n  operations: [UPDATE, DELETE]\n"
            )
        });
        watched.chain(declared).map(|rule| rule + "  scope: \"*\"\n").collect()
    }

    fn permissions(&self) -> String {
        let mut rules = permissions();
        rules += MAY_ASK;
        if self.settings.helm_read_releases {
            rules += MAY_READ_RELEASES;
        }
        rules
    }
}

/// The groups that every API server serves, of those that rules watch.
const SERVED_EVERYWHERE: &[&str] = &["autoscaling", "apiextensions.k8s.io", "apiregistration.k8s.io"];

/// What rules watch, as `rules` of a Kubewarden policy's manifest or metadata, in YAML.
///
/// Kubewarden's audit scanner counts an error for each kind that the cluster does not serve, even of a policy that is
/// none of its business, unless all of the kind's operations are named by `*`: then it looks no further. API servers
/// ask about the same changes either way.
pub fn rules() -> String {
    let all = |mut watched: Watched| {
        if !SERVED_EVERYWHERE.contains(&watched.api.group) && watched.operations.len() == 3 {
            watched.operations = vec!["\"*\""];
        }
        rule(&watched)
    };
    needs::watched().into_iter().map(all).collect()
}

/// What rules audit of an API group, as `rules` of the audit policy's manifest, in YAML.
pub fn audited(group: &str) -> String {
    needs::audited().iter().filter(|audited| audited.api.group == group).map(rule).collect()
}

/// What the audit scanner has to list, as `rules` of a role, in YAML.
pub fn audit_permissions() -> String {
    let list = |audited: &Watched| {
        let Watched { api, .. } = audited;
        format!("- apiGroups: [{}]\n  resources: [{}]\n  verbs: [get, list]\n", api.group, api.resource)
    };
    needs::audited().iter().map(list).collect()
}

/// The `matchConditions` of a policy with these settings, in YAML.
pub fn match_conditions(settings: &Settings) -> String {
    conditions::all(settings).iter().map(condition).collect()
}

/// What rules look up, as `rules` of a role, in YAML.
pub fn permissions() -> String {
    by_reason(|group| group.chunk_by(one_rule).map(permission).collect())
}

/// What rules look up, as `contextAwareResources` of a policy's manifest or metadata, in YAML.
pub fn looked_up() -> String {
    let resource =
        |LookedUp { api, .. }: &LookedUp| format!("- apiVersion: {}\n  kind: {}\n", api.api_version(), api.kind);
    by_reason(|group| group.iter().map(resource).collect())
}

/// What rules look up, a block for each reason with the reason above it.
fn by_reason(block: impl Fn(&[LookedUp]) -> String) -> String {
    let looked_up = needs::looked_up();
    let groups = looked_up.chunk_by(|one, other| one.why == other.why);
    groups.flat_map(|group| ["# ".to_owned(), group[0].why.to_owned(), "\n".to_owned(), block(group)]).collect()
}

fn ca_bundle(pem: &[u8]) -> String {
    if pem.is_empty() { NO_AUTHORITY.to_owned() } else { format!("caBundle: {}", BASE64_STANDARD.encode(pem)) }
}

const NO_AUTHORITY: &str = "\
# Whom to trust: the authority that issued the certificate in Secret autoscaler-guard-tls, PEM in base64.
caBundle: \"\"";

const MAY_ASK: &str = "\
# Who may bypass a rule, asked before a rejection.
- apiGroups: [authorization.k8s.io]
  resources: [subjectaccessreviews]
  verbs: [create]
";

const MAY_READ_RELEASES: &str = "\
# Whether Helm is uninstalling a release: setting helm.readReleases. Helm keeps its releases in Secrets, and RBAC cannot name them
# from others.
- apiGroups: [\"\"]
  resources: [secrets]
  verbs: [list, watch]
";

const IGNORE: &str = "\
# While the webhook does not answer, changes pass unjudged, as with KEDA's own webhook. `Fail` closes that gap; then people
# cannot write or delete autoscalers until it is back. Controllers and clean-up can, by the conditions below.
failurePolicy: Ignore";

const FAIL: &str = "\
# While the webhook does not answer, what the conditions below let through to it is refused. Controllers and clean-up are not
# among that.
failurePolicy: Fail";

fn injected(namespace: &str) -> String {
    format!("annotations:\n  cert-manager.io/inject-ca-from: {namespace}/autoscaler-guard")
}

/// Whether two kinds fit into one rule of a role.
fn one_rule(one: &LookedUp, other: &LookedUp) -> bool {
    one.api.group == other.api.group && one.listed == other.listed
}

fn permission(group: &[LookedUp]) -> String {
    let Some(LookedUp { api, .. }) = group.first() else { return String::new() };
    let resources: Vec<&str> = group.iter().map(|looked_up| looked_up.api.resource).collect();
    let verbs = group.first().map_or(&[][..], LookedUp::verbs);
    let names = group.first().map_or(&[][..], LookedUp::names);
    let group = yaml::scalar(api.group);
    let names = match names {
        [] => String::new(),
        names => format!("  resourceNames: [{}]\n", names.join(", ")),
    };
    let (resources, verbs) = (resources.join(", "), verbs.join(", "));
    format!("- apiGroups: [{group}]\n  resources: [{resources}]\n{names}  verbs: [{verbs}]\n")
}

fn rule(watched: &Watched) -> String {
    let Watched { api, operations } = watched;
    let operations = operations.join(", ");
    format!(
        "- apiGroups: [{}]\n  apiVersions: [{}]\n  resources: [{}]\n  operations: [{operations}]\n",
        api.group, api.version, api.resource
    )
}

fn condition(condition: &conditions::Condition) -> String {
    let Condition { name, why, expression } = condition;
    format!("# {why}\n- name: {name}\n  expression: >-\n{}", indented("    ", expression))
}

#[cfg(test)]
mod tests;
