//! What the settings come to once they are read.

use super::declaration::Declaration;
use super::version::Version;
use crate::pattern::Patterns;

/// How the policy is to behave. `Settings::default()` is what an empty settings object means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `repair`: whether requests may be changed. Without, what would be repaired is rejected or warned of.
    pub repair: bool,
    /// `audit`: judge objects that are there, as the audit scanner replays them, instead of changes.
    pub audit: bool,
    /// `rules`: what single rules do instead of their default.
    pub rules: Vec<(&'static str, RuleAction)>,
    /// `handover.fieldManagers`: who declares HPAs, so that their write of a ScaledObject's HPA is a handover.
    pub handover_field_managers: Patterns,
    /// `helm.hpaDeletes: reject`: a Helm-managed HPA's delete is judged like any other.
    pub helm_hpa_deletes: HelmHpaDeletes,
    /// `helm.readReleases`: ask the release's Secret whether it is being uninstalled.
    pub helm_read_releases: bool,
    /// `maxAction: warn`: no rule refuses, for a trial.
    pub only_warns: bool,
    /// `flux.prune: reject`: what Flux prunes is judged like any other delete where its Kustomization does not say the
    /// outcome.
    pub flux_prune: FluxPrune,
    /// `envoyHpaRemoval: pin`: envoyHpa stays with min = max instead of a rejection.
    pub envoy_hpa_removal: EnvoyHpaRemoval,
    /// `envoyGateway`: which Envoy Gateway runs, and how.
    pub envoy_gateway: EnvoyGateway,
    /// `declarations`: which objects of other operators declare an HPA.
    pub declarations: Vec<Declaration>,
    /// `exempt.users`: who is never judged.
    pub exempt_users: Patterns,
    /// `exempt.groups`: whose members are never judged.
    pub exempt_groups: Patterns,
    /// `controllers.keda`: the accounts of KEDA's operator.
    pub keda_controllers: Patterns,
    /// `controllers.envoyGateway`: the accounts of Envoy Gateway.
    pub envoy_gateway_controllers: Patterns,
    /// `lookups.serviceAccount`: the account that makes the lookups; asked about before any list.
    pub service_account: String,
}

/// What a rule does in place of its default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleAction {
    /// Where the rule would repair or warn by default, it rejects.
    Reject,
    /// Where the rule would reject or repair, it warns.
    Warn,
    /// The rule is not asked.
    Off,
}

/// What a refused deletion of a Helm-managed HPA becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HelmHpaDeletes {
    /// A warning: a refused one would leave `helm uninstall` stuck.
    Warn,
    /// A rejection, like anybody's.
    Reject,
}

/// What becomes of an autoscaler that Flux prunes when its Kustomization does not say whether the workload goes too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FluxPrune {
    /// A warning: kustomize-controller before 1.9 forgets what it could not delete.
    Warn,
    /// A rejection: later ones try again, and then their record says.
    Reject,
}

/// What the removal of envoyHpa from a governed fleet becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnvoyHpaRemoval {
    /// A rejection.
    Reject,
    /// A repair: envoyHpa stays, with min = max = the count.
    Pin,
}

/// Which Envoy Gateway runs in the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvoyGateway {
    /// `envoyGateway.version`; unset: read from the image of Deployment `envoy-gateway`.
    pub version: Option<Version>,
    /// `envoyGateway.namespace`: where the controller, and outside gateway namespace mode every fleet, lives.
    pub namespace: String,
    /// `envoyGateway.gatewayNamespaceMode`: fleets live in their Gateway's namespace.
    pub gateway_namespace_mode: bool,
    /// `envoyGateway.controllerName`: which GatewayClasses are Envoy Gateway's.
    pub controller_name: String,
}

/// Declarative writers: their write of an HPA says what the HPA shall be from now on.
const FIELD_MANAGERS: &[&str] = &[
    "helm",
    "helm-controller",
    "argocd-controller",
    "argocd-application-controller",
    "kustomize-controller",
    "fleetagent",
    "kapp",
    "Terraform",
    // Its provider's typed resources, out of their user agent.
    "HashiCorp",
    "pulumi-kubernetes*",
];

/// KEDA's own chart, the operators of OpenShift and OperatorHub, the add-on of AKS, Kyma's module
/// (kyma-project/keda-manager).
const KEDA_ACCOUNTS: &[&str] = &[
    "system:serviceaccount:keda:keda-operator",
    "system:serviceaccount:keda-system:keda-operator",
    "system:serviceaccount:openshift-keda:keda-operator",
    "system:serviceaccount:kube-system:keda-operator",
    "system:serviceaccount:kyma-system:keda-operator",
    "system:serviceaccount:operators:keda-operator",
];

const ENVOY_GATEWAY_ACCOUNTS: &[&str] =
    &["system:serviceaccount:envoy-gateway-system:envoy-gateway", "system:serviceaccount:envoy-gateway:envoy-gateway"];

impl Default for Settings {
    fn default() -> Self {
        Self {
            repair: true,
            audit: false,
            rules: Vec::new(),
            only_warns: false,
            handover_field_managers: Patterns::Default(FIELD_MANAGERS),
            helm_hpa_deletes: HelmHpaDeletes::Warn,
            helm_read_releases: false,
            flux_prune: FluxPrune::Warn,
            envoy_hpa_removal: EnvoyHpaRemoval::Reject,
            envoy_gateway: EnvoyGateway::default(),
            declarations: Vec::new(),
            exempt_users: Patterns::Default(&[]),
            exempt_groups: Patterns::Default(&[]),
            keda_controllers: Patterns::Default(KEDA_ACCOUNTS),
            envoy_gateway_controllers: Patterns::Default(ENVOY_GATEWAY_ACCOUNTS),
            service_account: "system:serviceaccount:kubewarden:policy-server".to_owned(),
        }
    }
}

impl Default for EnvoyGateway {
    fn default() -> Self {
        Self {
            version: None,
            namespace: "envoy-gateway-system".to_owned(),
            gateway_namespace_mode: false,
            controller_name: "gateway.envoyproxy.io/gatewayclass-controller".to_owned(),
        }
    }
}

impl Settings {
    /// What follows from what is given: where Envoy Gateway runs gives the account that it runs as.
    pub fn derive(&mut self) {
        let namespace = &self.envoy_gateway.namespace;
        let account = format!("system:serviceaccount:{namespace}:envoy-gateway");
        if matches!(self.envoy_gateway_controllers, Patterns::Default(_))
            && !ENVOY_GATEWAY_ACCOUNTS.contains(&&*account)
        {
            let known = ENVOY_GATEWAY_ACCOUNTS.iter().map(|known| (*known).to_owned());
            self.envoy_gateway_controllers = Patterns::Given(known.chain([account]).collect());
        }
    }

    /// What the settings say about a rule, if anything.
    pub fn rule_action(&self, id: &str) -> Option<RuleAction> {
        self.rules.iter().find(|(rule, _)| *rule == id).map(|(_, action)| *action)
    }
}
