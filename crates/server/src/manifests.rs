//! What a cluster needs to use the webhook, as YAML to apply.
//!
//! The requests to be asked about and the permissions come from [`needs`](crate::needs), the accounts that need not ask from the
//! settings: the same as the policy itself goes by.

mod conditions;

use std::fmt::Write;

use autoscaler_guard::Settings;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::needs::{self, LookedUp, Watched};

/// What to print.
#[derive(Debug)]
pub struct Manifests<'a> {
    /// The namespace that everything lives in.
    pub namespace: &'a str,
    /// The image, which has the command line as its entry point.
    pub image: &'a str,
    /// What becomes of requests while the webhook does not answer.
    pub failure_policy: FailurePolicy,
    /// Where the webhook's certificate comes from.
    pub certificate: Source,
    /// What the policy goes by.
    pub settings: &'a Settings,
    /// The same as YAML or JSON text, to be mounted; none for the defaults.
    pub settings_text: Option<&'a str>,
}

/// What becomes of requests while the webhook does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailurePolicy {
    /// They pass unasked.
    Ignore,
    /// They are refused.
    Fail,
}

/// Where the webhook's certificate comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// From cert-manager, which also tells API servers whom to trust.
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

/// The longest that an API server waits; the server's own timeout is less.
const TIMEOUT_SECONDS: u8 = 10;

impl std::fmt::Display for Manifests<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let documents = [
            self.namespace(),
            self.account(),
            self.settings(),
            self.deployment(),
            self.service(),
            self.certificate(),
            self.webhook(),
        ];
        formatter.write_str(HEAD)?;
        formatter.write_str(&documents.into_iter().flatten().collect::<Vec<_>>().join("---\n"))
    }
}

const HEAD: &str = "\
# autoscaler-guard as an admission webhook of its own, for clusters without Kubewarden.
# Printed by `autoscaler-guard manifests`; needs Kubernetes 1.28 or newer for matchConditions.
";

impl Manifests<'_> {
    fn namespace(&self) -> Option<String> {
        let namespace = self.namespace;
        Some(format!(
            "\
apiVersion: v1
kind: Namespace
metadata:
  name: {namespace}
  labels:
    app.kubernetes.io/name: autoscaler-guard
    pod-security.kubernetes.io/enforce: restricted
"
        ))
    }

    fn account(&self) -> Option<String> {
        let namespace = self.namespace;
        let rules = self.permissions();
        Some(format!(
            "\
apiVersion: v1
kind: ServiceAccount
metadata:
  name: autoscaler-guard
  namespace: {namespace}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: autoscaler-guard-webhook
rules:
{rules}---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: autoscaler-guard-webhook
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: autoscaler-guard-webhook
subjects:
  - kind: ServiceAccount
    name: autoscaler-guard
    namespace: {namespace}
"
        ))
    }

    fn permissions(&self) -> String {
        let mut rules = String::new();
        let mut told = "";
        for group in needs::LOOKED_UP.chunk_by(one_rule) {
            if let Some(LookedUp { why, .. }) = group.first().filter(|first| first.why != told) {
                told = why;
                let _ = writeln!(rules, "  # {why}");
            }
            rules += &permission(group);
        }
        rules += "  # Who may bypass a rule, asked before a rejection.
  - apiGroups: [authorization.k8s.io]
    resources: [subjectaccessreviews]
    verbs: [create]
";
        if self.settings.helm_read_releases {
            rules += "  # Whether Helm is uninstalling a release: setting helm.readReleases. Helm keeps its releases in Secrets, and RBAC
  # cannot tell them from others.
  - apiGroups: [\"\"]
    resources: [secrets]
    verbs: [list, watch]
";
        }
        rules
    }

    fn settings(&self) -> Option<String> {
        let (namespace, text) = (self.namespace, self.settings_text?);
        let lines: String = text.lines().map(|line| format!("    {line}\n")).collect();
        Some(format!(
            "\
apiVersion: v1
kind: ConfigMap
metadata:
  name: autoscaler-guard
  namespace: {namespace}
data:
  # Read at start: `kubectl rollout restart` after a change.
  settings.yaml: |
{lines}"
        ))
    }

    fn deployment(&self) -> Option<String> {
        let (namespace, image) = (self.namespace, self.image);
        let (argument, mount, volume) = match self.settings_text {
            Some(_) => (
                "\n            - --settings=/settings/settings.yaml",
                "\n            - name: settings\n              mountPath: /settings\n              readOnly: true",
                "\n        - name: settings\n          configMap:\n            name: autoscaler-guard",
            ),
            None => ("", "", ""),
        };
        Some(format!(
            "\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: autoscaler-guard
  namespace: {namespace}
  labels:
    app.kubernetes.io/name: autoscaler-guard
spec:
  replicas: 2
  selector:
    matchLabels:
      app.kubernetes.io/name: autoscaler-guard
  template:
    metadata:
      labels:
        app.kubernetes.io/name: autoscaler-guard
    spec:
      serviceAccountName: autoscaler-guard
      # More than it takes requests after SIGTERM and finishes those in flight: 5 + 8 seconds.
      terminationGracePeriodSeconds: 30
      topologySpreadConstraints:
        - maxSkew: 1
          topologyKey: kubernetes.io/hostname
          whenUnsatisfiable: ScheduleAnyway
          labelSelector:
            matchLabels:
              app.kubernetes.io/name: autoscaler-guard
      securityContext:
        runAsNonRoot: true
        runAsUser: 65532
        runAsGroup: 65532
        fsGroup: 65532
        seccompProfile:
          type: RuntimeDefault
      containers:
        - name: autoscaler-guard
          image: {image}
          args:
            - serve
            - --listen=0.0.0.0:8443
            - --metrics-listen=0.0.0.0:8080
            - --tls-cert=/tls/tls.crt
            - --tls-key=/tls/tls.key{argument}
          ports:
            - name: https
              containerPort: 8443
            - name: metrics
              containerPort: 8080
          readinessProbe:
            httpGet:
              path: /readyz
              port: https
              scheme: HTTPS
            periodSeconds: 5
          livenessProbe:
            httpGet:
              path: /livez
              port: https
              scheme: HTTPS
            periodSeconds: 10
          resources:
            requests:
              cpu: 50m
              memory: 64Mi
            limits:
              memory: 512Mi
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities:
              drop: [ALL]
          volumeMounts:
            - name: tls
              mountPath: /tls
              readOnly: true{mount}
      volumes:
        - name: tls
          secret:
            secretName: autoscaler-guard-tls{volume}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: autoscaler-guard
  namespace: {namespace}
spec:
  minAvailable: 1
  selector:
    matchLabels:
      app.kubernetes.io/name: autoscaler-guard
"
        ))
    }

    fn service(&self) -> Option<String> {
        let namespace = self.namespace;
        Some(format!(
            "\
apiVersion: v1
kind: Service
metadata:
  name: autoscaler-guard
  namespace: {namespace}
  labels:
    app.kubernetes.io/name: autoscaler-guard
spec:
  selector:
    app.kubernetes.io/name: autoscaler-guard
  ports:
    - name: https
      port: 443
      targetPort: https
    - name: metrics
      port: 8080
      targetPort: metrics
"
        ))
    }

    fn certificate(&self) -> Option<String> {
        let namespace = self.namespace;
        (self.certificate == Source::CertManager).then(|| {
            format!(
                "\
apiVersion: cert-manager.io/v1
kind: Issuer
metadata:
  name: autoscaler-guard
  namespace: {namespace}
spec:
  selfSigned: {{}}
---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata:
  name: autoscaler-guard
  namespace: {namespace}
spec:
  secretName: autoscaler-guard-tls
  dnsNames:
    - autoscaler-guard.{namespace}.svc
    - autoscaler-guard.{namespace}.svc.cluster.local
  privateKey:
    algorithm: ECDSA
    rotationPolicy: Always
  issuerRef:
    kind: Issuer
    name: autoscaler-guard
"
            )
        })
    }

    fn webhook(&self) -> Option<String> {
        let namespace = self.namespace;
        let (annotations, bundle) = match &self.certificate {
            Source::CertManager => (
                format!("\n  annotations:\n    cert-manager.io/inject-ca-from: {namespace}/autoscaler-guard"),
                String::new(),
            ),
            Source::Authority(pem) => (String::new(), format!("\n      caBundle: {}", BASE64_STANDARD.encode(pem))),
        };
        let (policy, why) = match self.failure_policy {
            FailurePolicy::Ignore => ("Ignore", IGNORE),
            FailurePolicy::Fail => ("Fail", FAIL),
        };
        let rules: String = needs::watched().iter().map(rule).collect();
        let conditions: String = conditions::all(self.settings).iter().map(condition).collect();
        Some(format!(
            "\
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata:
  name: autoscaler-guard{annotations}
webhooks:
  - name: autoscaler-guard.github.io
    admissionReviewVersions: [v1]
    clientConfig:
      service:
        name: autoscaler-guard
        namespace: {namespace}
        path: /validate
        port: 443{bundle}
    # Just what the rules look at. Status and scale are sub-resources, so the HPA controller's own work never comes here.
    rules:
{rules}    # Clients of autoscaling/v1 are asked about too: the API server converts what they send.
    matchPolicy: Equivalent
{why}
    failurePolicy: {policy}
    # It only looks, so a dry run gets the same answer.
    sideEffects: None
    # More than the server's own timeout of 8 seconds, so that its answer arrives.
    timeoutSeconds: {TIMEOUT_SECONDS}
    namespaceSelector:
      matchExpressions:
        - key: kubernetes.io/metadata.name
          operator: NotIn
          values: [kube-system, {namespace}]
    # What the policy would let pass without a look need not come here, and passes while the webhook is down.
    matchConditions:
{conditions}"
        ))
    }
}

const IGNORE: &str = "    # While the webhook does not answer, changes pass unasked, as with KEDA's own webhook. `Fail` closes that gap; then people
    # cannot write or delete autoscalers until it is back. Controllers and clean-up can, by the conditions below.";

const FAIL: &str = "    # While the webhook does not answer, what the conditions below let through to it is refused. Controllers and clean-up are not
    # among that.";

/// Whether two kinds fit into one rule of a role.
fn one_rule(one: &LookedUp, other: &LookedUp) -> bool {
    one.api.group == other.api.group && one.listed == other.listed && one.why == other.why
}

fn permission(group: &[LookedUp]) -> String {
    let Some(LookedUp { api, .. }) = group.first() else { return String::new() };
    let resources: Vec<&str> = group.iter().map(|looked_up| looked_up.api.resource).collect();
    let verbs = group.first().map_or(&[][..], LookedUp::verbs);
    let group = if api.group.is_empty() { "\"\"" } else { api.group };
    format!("  - apiGroups: [{group}]\n    resources: [{}]\n    verbs: [{}]\n", resources.join(", "), verbs.join(", "))
}

fn rule(watched: &Watched) -> String {
    let Watched { api, operations } = watched;
    format!(
        "      - apiGroups: [{}]\n        apiVersions: [{}]\n        resources: [{}]\n        operations: [{}]\n        scope: \"*\"\n",
        api.group,
        api.version,
        api.resource,
        operations.join(", ")
    )
}

fn condition(condition: &conditions::Condition) -> String {
    let lines: String = condition.expression.lines().map(|line| format!("          {line}\n")).collect();
    format!("      # {}\n      - name: {}\n        expression: >-\n{lines}", condition.why, condition.name)
}

#[cfg(test)]
mod tests;
