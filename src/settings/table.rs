//! All settings in one table: what each is called, what it takes, where that goes and what it is for.
//!
//! The reader, the JSON Schema and the checks of the documentation all walk it, so a setting is added here and nowhere else.

use super::{EnvoyHpaRemoval, HelmHpaDeletes, Settings, Version};
use crate::pattern::Patterns;

/// One setting, or a group of them.
#[derive(Debug)]
pub struct Setting {
    /// Its key in the object around it.
    pub name: &'static str,
    /// What it takes.
    pub takes: Takes,
    /// What it is for, in a sentence or two. The module does without: only the schema tells it.
    #[cfg(not(target_arch = "wasm32"))]
    pub about: &'static str,
}

/// What a setting takes, and the field that it sets.
#[derive(Debug)]
pub enum Takes {
    /// An object with these settings.
    Group(&'static [Setting]),
    /// `true` or `false`.
    Flag(fn(&mut Settings) -> &mut bool),
    /// One of these words, the first by default; which one is handed over by its place.
    Word(&'static [&'static str], fn(&mut Settings, usize)),
    /// A text that is not empty.
    Text(fn(&mut Settings) -> &mut String),
    /// A version, such as 1.4.6.
    Version(fn(&mut Settings) -> &mut Option<Version>),
    /// A list of name patterns.
    Patterns(fn(&mut Settings) -> &mut Patterns),
    /// An object with a [word](RULE_ACTIONS) for each rule.
    Rules,
}

/// What `rules` may say about a rule, in the order of `RuleAction`.
pub const RULE_ACTIONS: &[&str] = &["reject", "warn", "off"];

const fn setting(name: &'static str, takes: Takes, about: &'static str) -> Setting {
    // A constant that no static keeps is not in the module.
    #[cfg(target_arch = "wasm32")]
    let _ = about;
    Setting {
        name,
        takes,
        #[cfg(not(target_arch = "wasm32"))]
        about,
    }
}

/// Every setting, in the order in which they are told.
pub static SETTINGS: &[Setting] = &[
    setting(
        "repair",
        Takes::Flag(|settings| &mut settings.repair),
        "Whether requests may be changed. Without, what would be repaired is rejected or warned of. Goes with the policy's `mutating`.",
    ),
    setting(
        "rules",
        Takes::Rules,
        "What single rules do instead of their default. `reject` holds where the rule would act by default; cases that it softens stay soft.",
    ),
    setting(
        "handover",
        Takes::Group(&[setting(
            "fieldManagers",
            Takes::Patterns(|settings| &mut settings.handover_field_managers),
            "Field managers who declare HPAs: when one writes a ScaledObject's HPA, that is a hand-over.",
        )]),
        "When a ScaledObject's HPA is handed over.",
    ),
    setting(
        "helm",
        Takes::Group(&[
            setting(
                "hpaDeletes",
                Takes::Word(&["warn", "reject"], |settings, word| {
                    settings.helm_hpa_deletes = if word == 0 { HelmHpaDeletes::Warn } else { HelmHpaDeletes::Reject };
                }),
                "What becomes of the delete of a Helm-managed HPA that would leave its workload without an autoscaler.",
            ),
            setting(
                "readReleases",
                Takes::Flag(|settings| &mut settings.helm_read_releases),
                "Whether to ask a release's Secrets if it is being uninstalled. Needs Secret in contextAwareResources, and list and watch on Secrets.",
            ),
        ]),
        "How Helm's deletes are judged.",
    ),
    setting(
        "envoyHpaRemoval",
        Takes::Word(&["reject", "pin"], |settings, word| {
            settings.envoy_hpa_removal = if word == 0 { EnvoyHpaRemoval::Reject } else { EnvoyHpaRemoval::Pin };
        }),
        "What becomes of the removal of envoyHpa; `pin` keeps it, with minReplicas = maxReplicas = the declared or present count.",
    ),
    setting(
        "envoyGateway",
        Takes::Group(&[
            setting(
                "version",
                Takes::Version(|settings| &mut settings.envoy_gateway.version),
                "Which Envoy Gateway runs, as the hazards differ. Without, the image tag of Deployment envoy-gateway tells.",
            ),
            setting(
                "namespace",
                Takes::Text(|settings| &mut settings.envoy_gateway.namespace),
                "Where its controller runs, and its fleets, unless in gateway namespace mode.",
            ),
            setting(
                "gatewayNamespaceMode",
                Takes::Flag(|settings| &mut settings.envoy_gateway.gateway_namespace_mode),
                "Whether fleets live in their Gateway's namespace.",
            ),
            setting(
                "controllerName",
                Takes::Text(|settings| &mut settings.envoy_gateway.controller_name),
                "Which GatewayClasses are Envoy Gateway's.",
            ),
        ]),
        "Which Envoy Gateway runs in the cluster, and how.",
    ),
    setting(
        "exempt",
        Takes::Group(&[
            setting(
                "users",
                Takes::Patterns(|settings| &mut settings.exempt_users),
                "Names of users, such as system:serviceaccount:platform:deployer.",
            ),
            setting("groups", Takes::Patterns(|settings| &mut settings.exempt_groups), "Names of groups."),
        ]),
        "Who is never judged.",
    ),
    setting(
        "controllers",
        Takes::Group(&[
            setting(
                "keda",
                Takes::Patterns(|settings| &mut settings.keda_controllers),
                "The accounts of KEDA's operator.",
            ),
            setting(
                "envoyGateway",
                Takes::Patterns(|settings| &mut settings.envoy_gateway_controllers),
                "The accounts of Envoy Gateway.",
            ),
        ]),
        "Which accounts the controllers run as that write autoscalers. They are never refused.",
    ),
    setting(
        "lookups",
        Takes::Group(&[setting(
            "serviceAccount",
            Takes::Text(|settings| &mut settings.service_account),
            "As whom the policy server makes look-ups: before any list the policy asks whether this account may.",
        )]),
        "How the policy looks at the neighbours of a change.",
    ),
];
