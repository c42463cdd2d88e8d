//! What can be asked: commands, options and their help.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anstream::ColorChoice;
use clap::builder::styling::{AnsiColor, Styles};
use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::flags::{ClusterFlags, VerdictFailOn, address, seconds};

/// The colours of help and usage errors.
const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Yellow.on_default().bold())
    .usage(AnsiColor::Yellow.on_default().bold())
    .literal(AnsiColor::Green.on_default())
    .placeholder(AnsiColor::Cyan.on_default());

/// Everything on the command line.
#[derive(Debug, Parser)]
#[command(
    name = "autoscaler-guard",
    bin_name = "autoscaler-guard",
    version,
    styles = STYLES,
    about = "Keeps workloads from silently losing their autoscaler: asks the policy before the cluster does",
    after_help = "Exit codes: 0 all allowed, 1 something rejected or wrong, 2 unusable input.",
    after_long_help = EXAMPLES
)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// When to use colours.
    #[arg(long, help = "When to use colours; auto heeds NO_COLOR and CLICOLOR_FORCE", global = true, value_enum, value_name = "WHEN", default_value_t = Color::Auto)]
    pub color: Color,
    /// Where the answer goes.
    #[arg(
        long,
        help = "Write the answer to this file instead of standard output, all of it or nothing",
        global = true,
        value_name = "FILE"
    )]
    pub output_file: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  What would the policy say to this request, with these objects around it?
    autoscaler-guard review request.json --cluster cluster.yaml

  What happens to every autoscaler when these manifests are applied?
    autoscaler-guard preflight --before old/ --after new/ --as helm3

  What is wrong now, in the whole cluster that kubectl talks to?
    autoscaler-guard audit -A

  Be the cluster's admission webhook:
    autoscaler-guard serve --tls-cert tls.crt --tls-key tls.key

  Which rules are there, and what is this one about?
    autoscaler-guard rules
    autoscaler-guard rules hpa-handover

  Are these settings right?
    autoscaler-guard settings check policies/guard.yaml

Exit codes: 0 all allowed, 1 something rejected or wrong, 2 unusable input.";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Judge admission requests, as the policy would in a cluster
    #[command(long_about = REVIEW, after_long_help = REVIEW_EXAMPLES)]
    Review(ReviewOptions),
    /// Show what happens to every autoscaler when manifests are applied, before they are
    #[command(long_about = PREFLIGHT, after_long_help = PREFLIGHT_EXAMPLES)]
    Preflight(Box<PreflightOptions>),
    /// Show what is wrong now with the autoscalers of a cluster, and what mends it
    #[command(long_about = AUDIT, after_long_help = AUDIT_EXAMPLES)]
    Audit(Box<AuditOptions>),
    /// Fix what audit finds, with preconditions
    #[command(long_about = FIX, after_long_help = FIX_EXAMPLES)]
    Fix(Box<FixOptions>),
    /// Show the rules, or one rule's page
    #[command(after_long_help = RULES_EXAMPLES)]
    Rules(RulesOptions),
    /// Show which settings there are, or check a file of them
    #[command(subcommand)]
    Settings(SettingsCommand),
    /// Answer an API server's admission reviews, or Gatekeeper, by HTTPS
    #[command(long_about = SERVE, after_long_help = SERVE_EXAMPLES)]
    Serve(ServeOptions),
    /// Ask a server for its health, by plain HTTP
    #[command(after_long_help = PROBE_EXAMPLES)]
    Probe {
        /// What to ask, such as <http://autoscaler-guard.guard.svc:8080/readyz>
        url: String,
    },
    /// Print what a cluster needs to use `serve` as its admission webhook, or behind Gatekeeper, or to do without
    #[command(after_long_help = MANIFESTS_EXAMPLES)]
    Manifests(ManifestsOptions),
    /// Print a script by which a shell completes commands and options
    #[command(after_long_help = COMPLETIONS_EXAMPLES)]
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: Shell,
    },
}

const REVIEW: &str = "\
Judge admission requests, as the policy would in a cluster.

Requests are AdmissionReview or AdmissionRequest objects, JSON or YAML, one or many: several files, folders, several \
documents in a file, arrays, lists.

The policy asks the cluster about neighbours: the workload that an HPA scales, the ScaledObject that owns it. They come \
from files (--cluster), from a cluster (--context, --live) or from a session (--replay). In files, whatever is not there \
counts as absent, and what a verdict took for absent is listed; files without any object are unusable. Without any of them neighbours are unknown, and where it matters the policy says so.

A session holds the lookups of one review and their answers, in order: those of all its requests, one after the other. \
--record writes it; --replay, and `kwctl run --replay-host-capabilities-interactions` for a single request, answer from it \
what is asked in the same order and words, and nothing else.";

const REVIEW_EXAMPLES: &str = "\
Examples:
  A captured request, with the objects around it:
    autoscaler-guard review request.json --cluster objects/

  The same against the cluster that kubectl talks to, showing what is looked up:
    autoscaler-guard review request.json --live --verbose

  Neighbours straight from kubectl:
    kubectl get hpa,so,deploy,ns -A -o yaml | autoscaler-guard review request.json --cluster -

  With the settings of the policy that is installed, by the module that is installed:
    autoscaler-guard review requests/ --cluster objects/ --settings settings.yaml --policy annotated-policy.wasm

  What a cluster answered, to be judged again without it:
    autoscaler-guard review request.json --live --record session.yml
    autoscaler-guard review request.json --replay session.yml

  What is rejected, for scripts:
    autoscaler-guard review requests/ --output json | jq '.[] | select(.verdict == \"rejected\") | .request'

Output of --output json: an array with one object per request, in the order of the input.
  request     uid, operation, kind, namespace, name, user; namespace is null for cluster-scoped kinds
  verdict     allowed, warned, repaired or rejected
  judged      whether any rule watches such a change; if none does, allowed says nothing about it
  rules       the ids of the rules that spoke, strongest first
  response    the AdmissionResponse as Kubewarden's policy server sends it
  operations  the patch of the response, decoded: JSON Patch operations
  lookups     lookup (what was asked, in words), outcome (in words) and failed (whether there was no answer)
  assumedAbsent  what was looked up and taken for absent because --cluster does not have it
New fields may be added; these stay.

Exit codes: 0 all allowed, 1 something rejected, 2 some input is unusable: all of that is named on standard error, after the rest was judged.";

const RULES_EXAMPLES: &str = "\
Examples:
  autoscaler-guard rules
  autoscaler-guard rules scaledobject-deleted
  autoscaler-guard rules --output json | jq -r '.[].id'";

const SERVE: &str = "\
Answer an API server's admission reviews by HTTPS: the webhook for clusters without Kubewarden.

It judges at POST /validate and answers with a JSON Patch where it repairs. GET /readyz and /livez answer for its health, \
/metrics what it does. Neighbours come from the cluster, by kubeconfig or, in a Pod, by its service account.

What cannot be judged is answered with an HTTP error, so that the webhook's failurePolicy decides: 400 for what is no \
AdmissionReview v1, 408 for one that does not arrive, 413 for one that is too large, 503 with Retry-After when too many \
wait, 500 when there is no verdict in time or at all.

With --gatekeeper it is an external data provider instead and judges at POST /gatekeeper, without repairs. Errors are \
given as systemError then, or as the error of one item.

While the cluster does not answer, /readyz fails, and what would lose something is refused.

On SIGTERM it fails /readyz, sends connections elsewhere, takes requests for --drain more seconds, finishes what is in flight, and ends with 0.";

const SERVE_EXAMPLES: &str = "\
Examples:
  In a Pod, with the Secret that cert-manager keeps:
    autoscaler-guard serve --tls-cert /tls/tls.crt --tls-key /tls/tls.key --settings settings.yaml

  On this machine, against the cluster that kubectl talks to, on any free port:
    autoscaler-guard serve --tls-cert tls.crt --tls-key tls.key --listen 127.0.0.1:0

  Behind Gatekeeper, which has to prove that it is the one who asks:
    autoscaler-guard serve --gatekeeper --tls-cert tls.crt --tls-key tls.key --client-ca ca.crt

  By a module instead of the rules that are built in:
    autoscaler-guard serve --tls-cert tls.crt --tls-key tls.key --policy annotated-policy.wasm

Its first line on standard output is `listening on https://ADDRESS:PORT`. What it needs in a cluster is printed by \
autoscaler-guard manifests.

Exit codes: 0 ended by a signal, 2 unusable input: then it has not listened.";

const MANIFESTS_EXAMPLES: &str = "\
Examples:
  With a certificate that cert-manager keeps:
    autoscaler-guard manifests --cert-manager --image guard:v1 | kubectl apply -f -

  With a certificate of your own for autoscaler-guard.guard.svc, in Secret autoscaler-guard-tls:
    autoscaler-guard manifests --ca-bundle ca.crt --namespace guard --image guard:v1

  With settings, which also say who need not ask:
    autoscaler-guard manifests --cert-manager --settings settings.yaml --image guard:v1

  Behind Gatekeeper, with a certificate in Secret autoscaler-guard-tls:
    autoscaler-guard manifests --gatekeeper --ca-bundle ca.crt --client-ca gatekeeper-ca.crt --image guard:v1

  Without a server, by policies of the API server itself:
    autoscaler-guard manifests native | kubectl apply -f -

Printed are Namespace, ServiceAccount, ClusterRole with its binding, Deployment, PodDisruptionBudget, Service and \
MutatingWebhookConfiguration; with --cert-manager Issuer and Certificate; with --settings a ConfigMap; with \
--gatekeeper Provider, ConstraintTemplate and constraints in place of the webhook's configuration.";

const PROBE_EXAMPLES: &str = "\
Examples:
  autoscaler-guard probe http://autoscaler-guard.guard.svc:8080/readyz

Exit codes: 0 it answers 200, 1 it answers something else, 2 it does not answer.";

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  source <(autoscaler-guard completions bash)
  autoscaler-guard completions zsh > ~/.zfunc/_autoscaler-guard
  autoscaler-guard completions fish > ~/.config/fish/completions/autoscaler-guard.fish";

const PREFLIGHT: &str = "\
Show what happens to every autoscaler when manifests are applied, before they are.

It plays the change in a model of the cluster: the tool's requests in the order in which that tool really sends them, \
the API server, KEDA, Envoy Gateway, the HPA controller and the garbage collector; once without autoscaler-guard, and \
once with it. Nothing is sent to any cluster.

Without a cluster the manifests of before are taken as the cluster, with what KEDA and Envoy Gateway make of them. What \
was taken for granted is listed as `assumed`.";

const PREFLIGHT_EXAMPLES: &str = "\
Examples:
  Two folders of rendered manifests, applied by Helm 3:
    autoscaler-guard preflight --before old/ --after new/ --as helm3 --namespace shop

  A release in the cluster that kubectl talks to, and the chart that shall replace it:
    autoscaler-guard preflight --release web -n shop --chart ./web --values values.yaml --live

  A pull request, plain manifests, kustomization or chart:
    autoscaler-guard preflight --git origin/main deploy/ --as argocd

  What the guard would have prevented in the last year, and what it would have refused for nothing:
    autoscaler-guard preflight --git HEAD@{1.year.ago}..HEAD deploy/ --each --as flux

  Two kustomizations, and the objects that are in the cluster:
    kubectl get deploy,sts,hpa,so -A -o yaml | autoscaler-guard preflight --kustomize old/ new/ --cluster - --as flux

  For code scanning, with file and line of the manifest at fault:
    autoscaler-guard preflight --before old/ --after new/ --output sarif

Outcomes: none, gained, kept, gap (none for a moment), handed-over (same HPA, other owner), declared (a count instead), \
acknowledged, gone (the workload, too); and those that should not be: lost, orphaned, duplicate, dangling, frozen, \
at-zero, fighting, stuck.

Exit codes, by the side with the guard unless --guard off: 0 all as it should be, 1 a workload ends as --fail-on says, \
2 unusable input.";

const AUDIT: &str = "\
Show what is wrong now with the autoscalers of a cluster, and what mends it.

It only reads, and nothing has to be installed. Without --cluster it reads the cluster that kubectl talks to, in the \
context's namespace, or in those of -n, or in all (-A); files are read whole. Kinds that could not be read are listed.

Problems: lost, orphaned, duplicate, dangling, unfinished, stale-owner, disabled, fighting, frozen, at-zero. \
docs/problems has a page about each.";

const AUDIT_EXAMPLES: &str = "\
Examples:
  The whole cluster that kubectl talks to, releases of Helm included:
    autoscaler-guard audit -A --helm-secrets

  A namespace of two clusters:
    autoscaler-guard audit -n shop --context blue --context green

  What kubectl printed:
    kubectl get hpa,so,deploy,sts -A -o yaml --show-managed-fields | autoscaler-guard audit --cluster -

  In CI, but for what was found the last time:
    autoscaler-guard audit -A --output json --output-file audit.json
    autoscaler-guard audit -A --baseline audit.json

Output of --output json: an object with
  findings  id, rule, problem, object (what is wrong or missing), workload, message, commands, since, certainty (certain or
            likely), acknowledged, and baseline (whether the file of --baseline has it); context with several --context
  unread    kind, namespace and reason of what could not be read
  acknowledgements  object, annotation, value and since of what somebody said is meant to be so
docs/audit.schema.json describes it. New fields may be added; these stay.

Exit codes: 0 nothing found, 1 something found, 2 it could not look: a kind that findings rest on could not be read, or \
the input is unusable. What is acknowledged or in the baseline does not count.";

/// Which objects of which cluster are looked at.
#[derive(Debug, Clone, Args)]
pub struct Place {
    /// Look at these objects: files, folders, or what kubectl get -o yaml prints; - for standard input
    #[arg(long, short = 'f', visible_alias = "filename", value_name = "PATH", num_args = 1.., conflicts_with_all = ["context", "kubeconfig", "all_namespaces"], help_heading = "Cluster")]
    pub cluster: Vec<PathBuf>,
    /// Look at all namespaces
    #[arg(long, short = 'A', conflicts_with = "namespace", help_heading = "Cluster")]
    pub all_namespaces: bool,
    /// Look at this namespace; may be repeated
    #[arg(long, short, value_name = "NAMESPACE", help_heading = "Cluster")]
    pub namespace: Vec<String>,
    /// Look at the cluster of this kubeconfig context; audit takes several
    #[arg(long, value_name = "NAME", help_heading = "Cluster")]
    pub context: Vec<String>,
    /// The kubeconfig, instead of $KUBECONFIG or ~/.kube/config
    #[arg(long, value_name = "FILE", help_heading = "Cluster")]
    pub kubeconfig: Option<PathBuf>,
    /// Read the Secrets in which Helm keeps its releases, too; those in files are read anyway
    #[arg(long, help_heading = "Cluster")]
    pub helm_secrets: bool,
}

/// The options of `audit`.
#[derive(Debug, Args)]
pub struct AuditOptions {
    /// Where to look.
    #[command(flatten)]
    pub place: Place,
    /// The policy's settings, YAML or JSON, or a policy manifest that has them in spec.settings
    #[arg(long, value_name = "FILE", help_heading = "Policy")]
    pub settings: Option<PathBuf>,
    /// Do not count what this former answer has: the JSON of --output json, or ids, one a line
    #[arg(long, value_name = "FILE")]
    pub baseline: Option<PathBuf>,
    /// What makes the exit code 1
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = AuditFailOn::Any)]
    pub fail_on: AuditFailOn,
    /// How to answer
    #[arg(long, short, value_enum, value_name = "FORMAT", default_value_t = AuditOutput::Human)]
    pub output: AuditOutput,
    /// Look again every half minute, and answer whenever something has changed
    #[arg(long, conflicts_with = "cluster")]
    pub watch: bool,
}

const FIX: &str = "\
Fix what audit finds: show what would be done, ask, do it, look whether it helped, and say how to undo it.

Every request is made only if the object still is the one that was looked at, so an interrupted run can be repeated. For \
what Flux or Argo CD manages the change to make in Git is printed instead. From files (--cluster) it only shows.";

const FIX_EXAMPLES: &str = "\
Examples:
  All that is found in a namespace, one after the other:
    autoscaler-guard fix -n shop

  One finding, tried by the API server first:
    autoscaler-guard fix -n shop stale-owner/HPA/shop/web --dry-run=server
    autoscaler-guard fix -n shop stale-owner/HPA/shop/web --yes

Exit codes: 0 all that was asked for is fixed, 1 something is left to do, 2 unusable input, or a request failed.";

/// The options of `fix`.
#[derive(Debug, Args)]
pub struct FixOptions {
    /// The findings to fix, by id; all if none is named
    #[arg(value_name = "ID")]
    pub ids: Vec<String>,
    /// Where to look.
    #[command(flatten)]
    pub place: Place,
    /// The policy's settings, YAML or JSON, or a policy manifest that has them in spec.settings
    #[arg(long, value_name = "FILE", help_heading = "Policy")]
    pub settings: Option<PathBuf>,
    /// Do it without asking
    #[arg(long, short)]
    pub yes: bool,
    /// Have the API server try it, and change nothing
    #[arg(long, value_enum, value_name = "WHERE")]
    pub dry_run: Option<DryRun>,
    /// Where to keep what is deleted, so that it can be put back
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    pub undo_folder: PathBuf,
}

/// Who tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DryRun {
    /// The API server, admission included
    Server,
}

/// What makes `audit` fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AuditFailOn {
    /// Any finding
    Any,
    /// The problem lost alone
    Lost,
    /// Nothing
    Never,
}

/// How `audit` answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AuditOutput {
    /// For people
    Human,
    /// For scripts
    Json,
    /// For code scanning
    Sarif,
    /// For test reports
    Junit,
    /// For pull requests
    Markdown,
}

/// The options of `preflight`.
#[derive(Debug, Args)]
pub struct PreflightOptions {
    /// The manifests as they were applied last: files, folders of *.json, *.yaml and *.yml, or - for standard input
    #[arg(long, value_name = "PATH", num_args = 1.., help_heading = "Manifests")]
    pub before: Vec<PathBuf>,
    /// The manifests that are to be applied
    #[arg(long, value_name = "PATH", num_args = 1.., help_heading = "Manifests")]
    pub after: Vec<PathBuf>,
    /// Take the manifests of before from this Helm release, by the helm on PATH
    #[arg(long, value_name = "NAME", requires = "chart", conflicts_with_all = ["before", "after"], help_heading = "Manifests")]
    pub release: Option<String>,
    /// Take those of after from this chart: a folder, an archive or a reference
    #[arg(long, value_name = "CHART", requires = "release", help_heading = "Manifests")]
    pub chart: Option<String>,
    /// Values for the chart; may be repeated
    #[arg(long, value_name = "FILE", help_heading = "Manifests")]
    pub values: Vec<PathBuf>,
    /// A value for the chart; may be repeated
    #[arg(long, value_name = "KEY=VALUE", help_heading = "Manifests")]
    pub set: Vec<String>,
    /// Take both from kustomizations
    #[arg(long, value_names = ["OLD", "NEW"], num_args = 2, conflicts_with_all = ["before", "after", "release"], help_heading = "Manifests")]
    pub kustomize: Vec<PathBuf>,
    /// Take both from a folder at two commits: plain manifests, a kustomization or a chart; without HEAD, as it is now
    #[arg(long, value_names = ["BASE[..HEAD]", "PATH"], num_args = 2, conflicts_with_all = ["before", "after", "release", "kustomize"], help_heading = "Manifests")]
    pub git: Vec<String>,
    /// Play every commit of the range by itself, merges as one
    #[arg(long, requires = "git", help_heading = "Manifests")]
    pub each: bool,
    /// The namespace for objects that name none
    #[arg(long, short, value_name = "NAMESPACE", help_heading = "Manifests")]
    pub namespace: Option<String>,
    /// The tool that applies them; guessed from labels if absent
    #[arg(long = "as", value_enum, value_name = "TOOL")]
    pub tool: Option<ToolName>,
    /// Play the way back, too
    #[arg(long)]
    pub rollback: bool,
    /// Play it with autoscaler-guard, without, or both
    #[arg(long, value_enum, value_name = "WHICH", default_value_t = Guard::Both, help_heading = "Policy")]
    pub guard: Guard,
    /// The policy's settings, YAML or JSON, or a policy manifest that has them in spec.settings
    #[arg(long, value_name = "FILE", help_heading = "Policy")]
    pub settings: Option<PathBuf>,
    /// Take the cluster's objects from a file, a folder or what kubectl get -o yaml prints; - for standard input
    #[arg(long, value_name = "PATH", conflicts_with_all = ["kubeconfig", "context", "live"], help_heading = "Cluster")]
    pub cluster: Vec<PathBuf>,
    /// Take them from the cluster that kubectl talks to, by kubectl; so do --context and --kubeconfig
    #[arg(long, help_heading = "Cluster")]
    pub live: bool,
    /// Which cluster that is.
    #[command(flatten)]
    pub of: ClusterFlags,
    /// How to answer
    #[arg(long, short, value_enum, value_name = "FORMAT", default_value_t = PreflightOutput::Human)]
    pub output: PreflightOutput,
    /// What makes the exit code 1
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = FailOn::Lost)]
    pub fail_on: FailOn,
    /// Show every request, too
    #[arg(long, short)]
    pub verbose: bool,
}

/// Who applies manifests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ToolName {
    /// helm upgrade, version 3
    Helm3,
    /// helm upgrade, version 4
    Helm4,
    /// helm upgrade --server-side=false, version 4
    Helm4ClientSide,
    /// kubectl apply
    Kubectl,
    /// kubectl apply --prune
    Prune,
    /// Flux's kustomize-controller
    Flux,
    /// Argo CD with automated pruning
    #[value(name = "argocd")]
    ArgoCd,
    /// Argo CD with sync option PruneLast=true
    #[value(name = "argocd-prune-last")]
    ArgoCdPruneLast,
}

impl From<ToolName> for autoscaler_guard_world::Tool {
    fn from(name: ToolName) -> Self {
        match name {
            ToolName::Helm3 => Self::Helm3,
            ToolName::Helm4 => Self::Helm4,
            ToolName::Helm4ClientSide => Self::Helm4ClientSide,
            ToolName::Kubectl => Self::Kubectl,
            ToolName::Prune => Self::Prune,
            ToolName::Flux => Self::Flux,
            ToolName::ArgoCd => Self::ArgoCd,
            ToolName::ArgoCdPruneLast => Self::ArgoCdPruneLast,
        }
    }
}

/// Which sides `preflight` plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Guard {
    /// With autoscaler-guard
    On,
    /// Without
    Off,
    /// Both
    Both,
}

/// How `preflight` answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PreflightOutput {
    /// For people
    Human,
    /// For scripts
    Json,
    /// For a comment on a pull request
    Markdown,
    /// For code scanning
    Sarif,
    /// For test reports
    Junit,
    /// GitHub's annotations
    Github,
}

/// What makes `preflight` fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FailOn {
    /// A workload ends lost, orphaned, duplicate, dangling, frozen, at-zero, fighting or stuck
    Lost,
    /// That, or one has no autoscaler for a moment
    Gap,
    /// That, or something is warned of
    Warned,
    /// Nothing
    Never,
}

/// The options of `review`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("neighbours").multiple(true).args(["cluster", "kubeconfig", "context", "live"]))]
pub struct ReviewOptions {
    /// Requests: files, folders of *.json, *.yaml and *.yml, or - for standard input, which is also taken if none is
    /// named
    #[arg(value_name = "FILES")]
    pub files: Vec<PathBuf>,
    /// The same, as kubectl has it; may be repeated
    #[arg(long, short = 'f', value_name = "FILE")]
    pub filename: Vec<PathBuf>,
    /// Take neighbours from a file, a folder or what kubectl get -o yaml prints; - for standard input; may be repeated
    #[arg(long, value_name = "PATH", conflicts_with_all = ["kubeconfig", "context", "live"], help_heading = "Cluster")]
    pub cluster: Vec<PathBuf>,
    /// Take neighbours from the cluster that kubectl talks to; so do --context and --kubeconfig
    #[arg(long, help_heading = "Cluster")]
    pub live: bool,
    /// Which cluster that is.
    #[command(flatten)]
    pub of: ClusterFlags,
    /// Take neighbours from a session: what was recorded by --record, or by kwctl
    #[arg(long, value_name = "FILE", conflicts_with = "neighbours", help_heading = "Cluster")]
    pub replay: Option<PathBuf>,
    /// Write what is looked up to a session, which --replay and kwctl replay
    #[arg(long, value_name = "FILE", requires = "neighbours", conflicts_with = "replay", help_heading = "Cluster")]
    pub record: Option<PathBuf>,
    /// Where objects are that name no namespace, as those of rendered charts do
    #[arg(long, short, value_name = "NAME")]
    pub namespace: Option<String>,
    /// The policy's settings, YAML or JSON, or a policy manifest that has them in spec.settings
    #[arg(long, value_name = "FILE", help_heading = "Policy")]
    pub settings: Option<PathBuf>,
    /// Run the module in this file, as Kubewarden's policy server would, instead of the rules that are built in
    #[arg(long, value_name = "FILE", value_parser = module, help_heading = "Policy")]
    pub policy: Option<PathBuf>,
    /// How to answer
    #[arg(long, short, value_enum, value_name = "FORMAT", default_value_t = ReviewOutput::Human)]
    pub output: ReviewOutput,
    /// What makes the exit code 1
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = VerdictFailOn::Rejected)]
    pub fail_on: VerdictFailOn,
    /// Show what was looked up, too
    #[arg(long, short)]
    pub verbose: bool,
    /// What there is besides requests
    #[command(flatten)]
    pub sources: crate::sources::Sources,
}

/// How `review` answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReviewOutput {
    /// For people
    Human,
    /// For scripts
    Json,
}

/// The options of `serve`.
#[derive(Debug, Args)]
pub struct ServeOptions {
    /// The certificate, PEM, followed by those that it was issued by; read again when the file changes
    #[arg(long, value_name = "FILE")]
    pub tls_cert: PathBuf,
    /// The certificate's private key, PEM; read again when the file changes
    #[arg(long, value_name = "FILE")]
    pub tls_key: PathBuf,
    /// Make that pair, keep it in this Secret, renew it, and have the webhook's configuration autoscaler-guard, or with
    /// --gatekeeper the provider of that name, trust it
    #[arg(long, value_name = "NAMESPACE/SECRET", value_parser = secret)]
    pub self_managed: Option<(String, String)>,
    /// The Service by whose name it is asked, for that pair
    #[arg(long, value_name = "NAME", default_value = "autoscaler-guard", value_parser = namespace)]
    pub service: String,
    /// Be Gatekeeper's external data provider, at POST /gatekeeper, instead of a webhook: by TLS 1.3, and without
    /// repairs
    #[arg(long)]
    pub gatekeeper: bool,
    /// Take requests only from clients with a certificate by this authority, PEM; read again when the file changes.
    /// Have health checked at --metrics-listen then
    #[arg(long, value_name = "FILE")]
    pub client_ca: Option<PathBuf>,
    /// Where to listen; without a host at all addresses, and port 0 takes any free one
    #[arg(long, value_name = "ADDRESS", default_value = ":8443", value_parser = address)]
    pub listen: SocketAddr,
    /// Where to answer /readyz, /livez and /metrics by plain HTTP, too
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    pub metrics_listen: Option<SocketAddr>,
    /// How to write the log, on standard error
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// The policy's settings, YAML or JSON, or a policy manifest that has them in spec.settings
    #[arg(long, value_name = "FILE", help_heading = "Policy")]
    pub settings: Option<PathBuf>,
    /// Run the module in this file, as Kubewarden's policy server would, instead of the rules that are built in
    #[arg(long, value_name = "FILE", value_parser = module, help_heading = "Policy")]
    pub policy: Option<PathBuf>,
    /// Where to take neighbours from.
    #[command(flatten)]
    pub cluster: ClusterFlags,
    /// The longest request, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 8 << 20, help_heading = "Limits")]
    pub max_request_bytes: usize,
    /// How many requests are judged at a time; more wait for their turn
    #[arg(long, value_name = "NUMBER", default_value_t = 32, value_parser = in_flight, help_heading = "Limits")]
    pub max_in_flight: usize,
    /// How long a request may take; less than the webhook's timeoutSeconds
    #[arg(long, value_name = "TIME", default_value = "8s", value_parser = seconds, help_heading = "Limits")]
    pub timeout: Duration,
    /// How long to take new requests after SIGTERM: until every API server knows
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = seconds, help_heading = "Limits")]
    pub drain: Duration,
}

/// How `serve` writes its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// key=value, a line each
    Text,
    /// An object, a line each
    Json,
}

/// A file; kwctl and oras have the credentials and the cache that registries take.
fn module(text: &str) -> Result<PathBuf, String> {
    match text.split_once("://") {
        Some(_) => Err("it must be a file; `kwctl pull` or `oras pull` brings a module from a registry".to_owned()),
        None => Ok(text.into()),
    }
}

fn secret(text: &str) -> Result<(String, String), String> {
    let (place, name) = text.split_once('/').ok_or("it must be a namespace and a name, such as guard/guard-tls")?;
    Ok((namespace(place)?, namespace(name)?))
}

fn in_flight(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number @ 1..=1024) => Ok(number),
        _ => Err("it must be a number from 1 to 1024".to_owned()),
    }
}

/// The options of `manifests`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("certificate").required(true).args(["cert_manager", "ca_bundle"]))]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct ManifestsOptions {
    /// What needs no server.
    #[command(subcommand)]
    pub without_server: Option<WithoutServer>,
    /// Have Gatekeeper ask, by a provider and constraints, instead of API servers by a webhook. A Provider has its
    /// authority in it, where cert-manager cannot write
    #[arg(long, requires = "ca_bundle", conflicts_with_all = ["cert_manager", "failure_policy"])]
    pub gatekeeper: bool,
    /// Answer none but clients with a certificate by this authority, PEM: that of Gatekeeper's own
    #[arg(long, value_name = "FILE", requires = "gatekeeper")]
    pub client_ca: Option<PathBuf>,
    /// Have cert-manager issue the webhook's certificate and have API servers trust it
    #[arg(long)]
    pub cert_manager: bool,
    /// Have API servers or Gatekeeper trust this authority, PEM; its certificate for the webhook is expected in Secret
    /// autoscaler-guard-tls
    #[arg(long, value_name = "FILE")]
    pub ca_bundle: Option<PathBuf>,
    /// The namespace to live in
    #[arg(long, value_name = "NAME", default_value = "autoscaler-guard", value_parser = namespace)]
    pub namespace: String,
    /// The image to run, which has autoscaler-guard as its entry point; that of the release that this program is of, if
    /// it is of one
    #[arg(long, value_name = "IMAGE", value_parser = image)]
    pub image: Option<String>,
    /// What becomes of changes while the webhook does not answer
    #[arg(long, value_enum, value_name = "POLICY", default_value_t = FailurePolicy::Ignore)]
    pub failure_policy: FailurePolicy,
    /// The policy's settings, YAML or JSON, or a policy manifest that has them in spec.settings
    #[arg(long, value_name = "FILE")]
    pub settings: Option<PathBuf>,
    /// How to answer
    #[arg(long, short, value_enum, value_name = "FORMAT", default_value_t = ManifestsOutput::Yaml)]
    pub output: ManifestsOutput,
}

/// What `manifests` prints that needs no server.
#[derive(Debug, Subcommand)]
pub enum WithoutServer {
    /// Print policies by which API servers guard by themselves: nothing to run
    #[command(after_long_help = NATIVE_EXAMPLES)]
    Native(NativeOptions),
}

/// The options of `manifests native`.
#[derive(Debug, Args)]
pub struct NativeOptions {
    /// Only this part; several by repeating it
    #[arg(long, value_enum, value_name = "PART")]
    pub part: Vec<NativePart>,
    /// The policy's settings, YAML or JSON, or a policy manifest that has them in spec.settings
    #[arg(long, value_name = "FILE")]
    pub settings: Option<PathBuf>,
    /// How to answer
    #[arg(long, short, value_enum, value_name = "FORMAT", default_value_t = ManifestsOutput::Yaml)]
    pub output: ManifestsOutput,
}

/// A part of the policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum NativePart {
    /// What changes requests: Kubernetes 1.36 or newer
    Handover,
    /// What refuses: Kubernetes 1.30 or newer
    Guards,
    /// What warns, likewise; beside the module it would warn twice
    Warnings,
}

const NATIVE_EXAMPLES: &str = "\
Examples:
  On Kubernetes 1.36 or newer:
    autoscaler-guard manifests native | kubectl apply -f -

  On Kubernetes 1.30 to 1.35:
    autoscaler-guard manifests native --part guards --part warnings | kubectl apply -f -

  With settings, which also say who is exempt:
    autoscaler-guard manifests native --settings settings.yaml

Printed are MutatingAdmissionPolicy and ValidatingAdmissionPolicy, each with its binding. docs/native.md lists the rules \
and what they do not see.";

/// What becomes of changes while the webhook does not answer, in Kubernetes' words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FailurePolicy {
    /// They pass unjudged
    #[value(name = "Ignore")]
    Ignore,
    /// They are refused, but for those of controllers and of clean-up
    #[value(name = "Fail")]
    Fail,
}

/// How `manifests` answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ManifestsOutput {
    /// With comments
    Yaml,
    /// As a list, for scripts
    Json,
}

/// Both go into YAML as they are.
fn namespace(text: &str) -> Result<String, String> {
    let letter = |letter: u8| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    let sound = text.bytes().all(|byte| letter(byte) || byte == b'-') && text.len() <= 63;
    if sound && text.starts_with(|first: char| first.is_ascii_lowercase()) && !text.ends_with('-') {
        return Ok(text.to_owned());
    }
    Err("a namespace is at most 63 lower-case letters, digits and hyphens, from a letter to no hyphen".to_owned())
}

fn image(text: &str) -> Result<String, String> {
    let sound = |letter: char| letter.is_ascii_alphanumeric() || "-._/:@".contains(letter);
    if text.starts_with(|first: char| first.is_ascii_alphanumeric()) && text.chars().all(sound) {
        return Ok(text.to_owned());
    }
    Err("an image is named like registry.example.com/autoscaler-guard:v1".to_owned())
}

/// The options of `rules`.
#[derive(Debug, Args)]
pub struct RulesOptions {
    /// The rule whose page to show
    pub id: Option<String>,
    /// How to answer
    #[arg(long, short, value_enum, value_name = "FORMAT", default_value_t = RulesOutput::Human)]
    pub output: RulesOutput,
}

/// How `rules` answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RulesOutput {
    /// For people
    Human,
    /// For scripts
    Json,
    /// For documentation
    Markdown,
}

/// What to do about settings.
#[derive(Debug, Subcommand)]
pub enum SettingsCommand {
    /// Print the JSON Schema of the settings
    #[command(long_about = SCHEMA, after_long_help = SCHEMA_EXAMPLES)]
    Schema,
    /// Check settings and list all errors
    #[command(after_long_help = CHECK_EXAMPLES)]
    Check(CheckOptions),
}

const SCHEMA: &str = "\
Print the JSON Schema (draft 2020-12) of the settings: each with what it is for, what it takes and its default.

It is in docs/settings.schema.json, too.";

const SCHEMA_EXAMPLES: &str = "\
Examples:
  autoscaler-guard settings schema > settings.schema.json

  An editor with the YAML language server completes and checks a file whose first line is
    # yaml-language-server: $schema=settings.schema.json";

const CHECK_EXAMPLES: &str = "\
Examples:
  autoscaler-guard settings check settings.yaml
  autoscaler-guard settings check policies/guard.yaml
  kubectl get clusteradmissionpolicy autoscaler-guard -o yaml | autoscaler-guard settings check -

Output of --output json: an array with one object per file, in the order of the arguments.
  file    its name
  valid   whether the policy takes the settings
  errors  path (where) and problem (what is wrong and what would be right), sorted by path
New fields may be added; these stay.

Exit codes: 0 all valid, 1 something wrong, 2 unusable input.";

/// The options of `settings check`.
#[derive(Debug, Args)]
pub struct CheckOptions {
    /// Settings, YAML or JSON, or policy manifests that have them in spec.settings; - for standard input
    #[arg(value_name = "FILES", required_unless_present = "filename")]
    pub files: Vec<PathBuf>,
    /// The same, as kubectl has it; may be repeated
    #[arg(long, short = 'f', value_name = "FILE")]
    pub filename: Vec<PathBuf>,
    /// How to answer
    #[arg(long, short, value_enum, value_name = "FORMAT", default_value_t = CheckOutput::Human)]
    pub output: CheckOutput,
}

/// How `settings check` answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CheckOutput {
    /// For people
    Human,
    /// For scripts
    Json,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal
    Auto,
    /// Everywhere
    Always,
    /// Nowhere
    Never,
}

impl Color {
    /// Makes it so for everything that is printed from now on.
    pub fn apply(self) {
        let choice = match self {
            Self::Auto => ColorChoice::Auto,
            Self::Always => ColorChoice::Always,
            Self::Never => ColorChoice::Never,
        };
        choice.write_global();
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definitions_are_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_module_is_a_file() {
        assert_eq!(module("annotated-policy.wasm"), Ok("annotated-policy.wasm".into()));
        assert!(module("registry://ghcr.io/you/guard:v1").is_err_and(|error| error.contains("kwctl pull")));
    }
}
