//! All settings in one table: what each is called, what it takes, where that goes and what it is for.
//!
//! The reader, the JSON Schema and the checks of the documentation all walk it.

use super::declaration::{Declaration, Effect, fields};
use super::model::{EnvoyHpaRemoval, FluxPrune, HelmHpaDeletes, Settings};
use super::version::Version;
use crate::pattern::Patterns;

/// What is being read: the settings, and the declaration that is not among them yet.
#[derive(Debug, Default)]
pub struct Draft {
    /// The settings.
    pub settings: Settings,
    /// An item of `declarations`.
    pub declaration: Declaration,
}

/// One setting, or a group of them.
#[derive(Debug)]
pub struct Setting {
    /// Its key in the object around it.
    pub name: &'static str,
    /// What it takes.
    pub takes: Takes,
    /// Whether the object around it needs it.
    pub required: bool,
    /// What it is for, in a sentence or two. The module does without: only the schema has it.
    #[cfg(not(target_arch = "wasm32"))]
    pub about: &'static str,
}

/// What a setting takes, and the field that it sets.
#[derive(Debug)]
pub enum Takes {
    /// An object with these settings.
    Group(&'static [Setting]),
    /// `true` or `false`.
    Flag(fn(&mut Draft) -> &mut bool),
    /// One of these words, the first by default; which one is handed over by its place.
    Word(&'static [&'static str], fn(&mut Draft, usize)),
    /// A text that is not empty and, if there is one, of a form.
    Text(Option<&'static Form>, fn(&mut Draft) -> &mut String),
    /// A [`VERSION`].
    Version(fn(&mut Draft) -> &mut Option<Version>),
    /// A list of name [patterns](PATTERN).
    Patterns(fn(&mut Draft) -> &mut Patterns),
    /// An object with a [word](RULE_ACTIONS) for each rule.
    Rules,
    /// A list of [`Declaration`]s, objects with these settings.
    Declarations(&'static [Setting]),
}

/// What `rules` may say about a rule, in the order of `RuleAction`.
pub const RULE_ACTIONS: &[&str] = &["reject", "warn", "off"];

/// What a text has to look like.
#[derive(Debug)]
pub struct Form {
    /// What a text of this form is, and how to write one, to go on after "is not".
    pub what: &'static str,
    /// Whether a text is of this form.
    pub accepts: fn(&str) -> bool,
    /// The same as a regular expression, for the schema.
    #[cfg(not(target_arch = "wasm32"))]
    pub pattern: &'static str,
}

/// A version, as settings and image tags write it.
pub static VERSION: Form = form(
    "a version; give major.minor or major.minor.patch, such as 1.4.6",
    |text| Version::parse(text).is_some(),
    r"^v?[0-9]+\.[0-9]+(\.[0-9]+)?([-+]|$)",
);

/// A pattern of names. In JavaScript `\s` is something else than white space here.
pub static PATTERN: Form = form(
    "a pattern: no name has spaces; give one name an entry, * for any run of characters",
    |text| !text.contains(char::is_whitespace),
    r"^[^\t-\r \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+$",
);

static API_VERSION: Form = form(
    "an API version; give group/version, such as operator.victoriametrics.com/v1beta1",
    |text| text == "v1" || text.split_once('/').is_some_and(|(group, version)| is_name(group) && is_name(version)),
    r"^(v1|[a-z0-9.-]+/[a-z0-9.-]+)$",
);

static KIND: Form = form(
    "a kind; give it as objects do, such as VMAgent",
    |text| {
        text.bytes().all(|byte| byte.is_ascii_alphanumeric())
            && text.as_bytes().first().is_some_and(u8::is_ascii_uppercase)
    },
    r"^[A-Z][A-Za-z0-9]*$",
);

static POINTER: Form = form(
    "a JSON pointer; give one such as /spec/hpa",
    |text| text.starts_with('/') && !text.replace("~0", "/").replace("~1", "/").contains('~'),
    r"^/([^~]|~[01])*$",
);

static TEMPLATE: Form = form(
    "a template; give lower-case letters, digits, - and ., with {name} and {namespace} for the object's",
    |text| fields(&Declaration::fill(text, "x", "x"), &|_| Some("x".to_owned())).is_some_and(|filled| is_name(&filled)),
    r"^([a-z0-9.-]|\{name\}|\{namespace\}|\{/[^}]*\})+$",
);

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.'))
}

const fn form(what: &'static str, accepts: fn(&str) -> bool, pattern: &'static str) -> Form {
    #[cfg(target_arch = "wasm32")]
    let _ = pattern;
    Form {
        what,
        accepts,
        #[cfg(not(target_arch = "wasm32"))]
        pattern,
    }
}

const fn setting(name: &'static str, takes: Takes, about: &'static str) -> Setting {
    // A constant that no static keeps is not in the module.
    #[cfg(target_arch = "wasm32")]
    let _ = about;
    Setting {
        name,
        takes,
        required: false,
        #[cfg(not(target_arch = "wasm32"))]
        about,
    }
}

const fn required(name: &'static str, takes: Takes, about: &'static str) -> Setting {
    Setting { required: true, ..setting(name, takes, about) }
}

/// Every setting, in the order in which they are listed.
pub static SETTINGS: &[Setting] = &[
    setting(
        "repair",
        Takes::Flag(|draft| &mut draft.settings.repair),
        "Whether the policy may change requests. If not, it rejects what it would have repaired, or warns of it. Set the policy's `mutating` to the same.",
    ),
    setting(
        "audit",
        Takes::Flag(|draft| &mut draft.settings.audit),
        "Whether to judge existing objects, as the audit scanner replays them, instead of changes: see policies/audit.yaml.",
    ),
    setting(
        "maxAction",
        Takes::Word(&["reject", "warn"], |draft, word| draft.settings.only_warns = word == 1),
        "The strongest action of any rule, including rules of later versions. `warn` is for a trial: nothing is refused. Repairs still happen unless `repair` is false.",
    ),
    setting(
        "rules",
        Takes::Rules,
        "What rules or families of rules do instead of their default. `reject` applies where the rule acts by default; cases that it only warns of stay warnings.",
    ),
    setting(
        "handover",
        Takes::Group(&[setting(
            "fieldManagers",
            Takes::Patterns(|draft| &mut draft.settings.handover_field_managers),
            "Field managers that declare HPAs. When one of them writes a ScaledObject's HPA, that is a handover.",
        )]),
        "When a change hands over a ScaledObject's HPA.",
    ),
    setting(
        "helm",
        Takes::Group(&[
            setting(
                "hpaDeletes",
                Takes::Word(&["warn", "reject"], |draft, word| {
                    draft.settings.helm_hpa_deletes =
                        if word == 0 { HelmHpaDeletes::Warn } else { HelmHpaDeletes::Reject };
                }),
                "What happens when a Helm-managed HPA is deleted and its workload would be left without an autoscaler.",
            ),
            setting(
                "readReleases",
                Takes::Flag(|draft| &mut draft.settings.helm_read_releases),
                "Whether to read a release's Secrets to see if Helm is uninstalling it. Needs Secret in contextAwareResources, and the permission to list and watch Secrets.",
            ),
        ]),
        "How deletes by Helm are judged.",
    ),
    setting(
        "flux",
        Takes::Group(&[setting(
            "prune",
            Takes::Word(&["warn", "reject"], |draft, word| {
                draft.settings.flux_prune = if word == 0 { FluxPrune::Warn } else { FluxPrune::Reject };
            }),
            "What happens when Flux prunes an autoscaler and its Kustomization does not say whether the workload goes too. `reject` needs kustomize-controller 1.9 or later, which tries again; earlier versions forget what was refused.",
        )]),
        "How deletes by Flux are judged.",
    ),
    setting(
        "envoyHpaRemoval",
        Takes::Word(&["reject", "pin"], |draft, word| {
            draft.settings.envoy_hpa_removal = if word == 0 { EnvoyHpaRemoval::Reject } else { EnvoyHpaRemoval::Pin };
        }),
        "What happens when envoyHpa is removed. `pin` keeps it and sets minReplicas and maxReplicas to the declared or present count.",
    ),
    setting(
        "envoyGateway",
        Takes::Group(&[
            setting(
                "version",
                Takes::Version(|draft| &mut draft.settings.envoy_gateway.version),
                "The version of Envoy Gateway, as the hazards differ. By default it is read from the image tag of its Deployment.",
            ),
            setting(
                "namespace",
                Takes::Text(None, |draft| &mut draft.settings.envoy_gateway.namespace),
                "The namespace of its controller, and of its fleets unless gateway namespace mode is on. An Envoy Gateway elsewhere is found by its Deployment's label.",
            ),
            setting(
                "gatewayNamespaceMode",
                Takes::Flag(|draft| &mut draft.settings.envoy_gateway.gateway_namespace_mode),
                "Whether fleets live in their Gateway's namespace. Needed only if the ConfigMap envoy-gateway-config may not be read.",
            ),
            setting(
                "controllerName",
                Takes::Text(None, |draft| &mut draft.settings.envoy_gateway.controller_name),
                "Which GatewayClasses are Envoy Gateway's. Unless this is set, others are found by its configuration.",
            ),
        ]),
        "Which Envoy Gateway runs in the cluster, and how. Needed only where its Deployment and ConfigMap do not say it.",
    ),
    setting(
        "declarations",
        Takes::Declarations(&[
            required(
                "apiVersion",
                Takes::Text(Some(&API_VERSION), |draft| &mut draft.declaration.api_version),
                "The objects' API, as group/version or v1. Objects of its other versions count, too.",
            ),
            required("kind", Takes::Text(Some(&KIND), |draft| &mut draft.declaration.kind), "The objects' kind."),
            required(
                "pointer",
                Takes::Text(Some(&POINTER), |draft| &mut draft.declaration.pointer),
                "Where the object declares the HPA: a JSON pointer (RFC 6901). The value `false` declares none; neither does a reference to another kind.",
            ),
            setting(
                "effect",
                Takes::Word(&["orphaned", "lost"], |draft, word| {
                    draft.declaration.effect = if word == 0 { Effect::Orphaned } else { Effect::Lost };
                }),
                "What the operator does with an HPA that is no longer declared: `orphaned` is left behind, `lost` is deleted.",
            ),
            required(
                "hpa",
                Takes::Group(&[
                    required(
                        "name",
                        Takes::Text(Some(&TEMPLATE), |draft| &mut draft.declaration.hpa_name),
                        "The HPA's name. {name} and {namespace} stand for the object's, {/a/pointer} for the value of a field.",
                    ),
                    setting(
                        "namespace",
                        Takes::Text(Some(&TEMPLATE), |draft| &mut draft.declaration.hpa_namespace),
                        "The HPA's namespace, written likewise.",
                    ),
                ]),
                "The HPA that the operator makes.",
            ),
        ]),
        "Objects of other operators that declare an HPA. It stays behind when the declaration goes (rule declared-hpa-removed). The policy's `rules` have to register these kinds, too.",
    ),
    setting(
        "exempt",
        Takes::Group(&[
            setting(
                "users",
                Takes::Patterns(|draft| &mut draft.settings.exempt_users),
                "User names, such as system:serviceaccount:platform:deployer.",
            ),
            setting("groups", Takes::Patterns(|draft| &mut draft.settings.exempt_groups), "Group names."),
        ]),
        "Who is never judged.",
    ),
    setting(
        "controllers",
        Takes::Group(&[
            setting(
                "keda",
                Takes::Patterns(|draft| &mut draft.settings.keda_controllers),
                "The accounts of KEDA's operator.",
            ),
            setting(
                "envoyGateway",
                Takes::Patterns(|draft| &mut draft.settings.envoy_gateway_controllers),
                "The accounts of Envoy Gateway.",
            ),
        ]),
        "The accounts of the controllers that write autoscalers. They are never refused.",
    ),
    setting(
        "lookups",
        Takes::Group(&[setting(
            "serviceAccount",
            Takes::Text(None, |draft| &mut draft.settings.service_account),
            "The account that makes the policy server's lookups. Before any list, the policy asks whether this account may list.",
        )]),
        "How the policy looks up what is around a change.",
    ),
];
