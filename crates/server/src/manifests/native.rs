//! What the API server guards by itself, in CEL: admission policies that need no server.
//!
//! A policy asks about one change and, where it looks something up, about each object of one kind in turn: whether
//! *there is* one such that it is wrong. CEL cannot ask whether there is none, nor join two kinds, nor look into
//! another namespace, so what needs that is a warning, or left to the module. The law: what the module passes with its
//! default settings passes here too.
//!
//! `facts` has every expression once, under a name; `policies` says which rule is made of which facts; here they are
//! put together. A policy gets the facts that it names, and those that they name, as variables.

mod facts;
mod policies;

use std::fmt::Write as _;

use autoscaler_guard::Settings;
use autoscaler_guard::overrides::ALLOW;
use autoscaler_guard::rule::DefaultAction as RuleDefault;
use autoscaler_guard::rules::{self, RULES};
use autoscaler_guard::settings::RuleAction;

use super::conditions::{self, quoted};
use super::indented;
use crate::needs::Api;

pub use self::policies::{Limit, limit};

/// A part of the policies, a folder of `policies/native`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// What changes a request: the handover, and what belongs to it. Needs Kubernetes 1.36.
    Handover,
    /// What refuses.
    Guards,
    /// What only warns. Beside the module it would warn twice.
    Warnings,
}

impl Part {
    /// All parts, in the order in which they are printed.
    pub const ALL: [Self; 3] = [Self::Handover, Self::Guards, Self::Warnings];

    /// Its name, and that of its folder.
    pub fn name(self) -> &'static str {
        match self {
            Self::Handover => "handover",
            Self::Guards => "guards",
            Self::Warnings => "warnings",
        }
    }

    fn head(self) -> &'static str {
        match self {
            Self::Handover => HANDOVER,
            Self::Guards => GUARDS,
            Self::Warnings => WARNINGS,
        }
    }
}

const HANDOVER: &str = "\
# What autoscaler-guard changes in requests, done by the API server itself: Kubernetes 1.36 or newer.
# Printed by `autoscaler-guard manifests native`; docs/native.md describes what it does and what it cannot see.
";

const GUARDS: &str = "\
# What autoscaler-guard refuses, done by the API server itself: Kubernetes 1.30 or newer.
# Printed by `autoscaler-guard manifests native`; docs/native.md describes what it does and what it cannot see.
";

const WARNINGS: &str = "\
# What autoscaler-guard warns of, done by the API server itself: Kubernetes 1.30 or newer.
# Printed by `autoscaler-guard manifests native`; beside the module leave it out, as that warns of the same.
";

/// What a policy does about what it finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Does {
    /// Changes the request by these JSON Patch operations, a list in CEL.
    Repairs(&'static str),
    /// Refuses it.
    Refuses,
    /// Says so.
    Warns,
}

/// Whose changes a policy looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// Those of everybody but controllers and who is exempt.
    Judged,
    /// KEDA's.
    Kedas,
}

/// Which objects a policy looks at beside the changed one, each in turn.
#[derive(Debug, Clone, Copy)]
struct Looks {
    api: Api,
    /// Where, if not in the namespace of the change.
    namespace: Option<fn(&Settings) -> &str>,
}

/// A policy.
#[derive(Debug, Clone, Copy)]
struct Policy {
    /// The rule that it plays.
    rule: &'static str,
    /// What sets it apart from the rule's others; empty for the only or the first one.
    suffix: &'static str,
    /// What it is for, a comment.
    why: &'static str,
    does: Does,
    whose: Whose,
    on: Api,
    operation: &'static [&'static str],
    looks_at: Option<Looks>,
    /// What has to hold before anything is looked at, without variables: a name and CEL.
    when: &'static [(&'static str, &'static str)],
    /// Whether something is wrong, in CEL.
    finds: &'static str,
    /// What would happen and why, a text in CEL.
    what: &'static str,
    /// What helps: a purpose, and a command or text in CEL.
    help: &'static [(&'static str, &'static str)],
    /// What an acknowledgement takes on oneself, and the object that it is put on as kubectl addresses it; none for
    /// warnings.
    acknowledge: Option<(&'static str, &'static str)>,
}

impl Policy {
    fn name(&self) -> String {
        let suffix = if self.suffix.is_empty() { String::new() } else { format!("-{}", self.suffix) };
        format!("autoscaler-guard-{}{suffix}", self.rule)
    }

    fn part(&self) -> Part {
        match self.does {
            Does::Repairs(_) => Part::Handover,
            Does::Refuses => Part::Guards,
            Does::Warns => Part::Warnings,
        }
    }

    /// The policy as the settings want it: none where the rule is off, or where it repairs and nothing may be changed.
    fn by(mut self, settings: &Settings) -> Option<Self> {
        let rule = rules::find(self.rule)?;
        let by_default = match rule.default {
            RuleDefault::Warn => self.does == Does::Warns,
            RuleDefault::Repair => matches!(self.does, Does::Repairs(_)),
            RuleDefault::Reject => self.does == Does::Refuses,
        };
        // It writes down what another policy of the rule goes by, and is none without that.
        if matches!(self.does, Does::Repairs(_)) && rule.default != RuleDefault::Repair {
            let refuses = !matches!(settings.rule_action(self.rule), Some(RuleAction::Off | RuleAction::Warn));
            return (settings.repair && refuses).then_some(self);
        }
        match settings.rule_action(self.rule) {
            Some(RuleAction::Off) => return None,
            Some(RuleAction::Warn) => self.does = Does::Warns,
            Some(RuleAction::Reject) if by_default && rule.may_reject => self.does = Does::Refuses,
            _ if !settings.repair && matches!(self.does, Does::Repairs(_)) => {
                self.does = if rule.may_reject { Does::Refuses } else { Does::Warns };
            }
            _ => {}
        }
        // What answers a controller is of use as a change alone.
        (self.whose == Whose::Judged || matches!(self.does, Does::Repairs(_))).then_some(self)
    }
}

/// What a rule comes to without a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coverage {
    /// It does what it does in the module.
    Full,
    /// It warns where it would refuse or repair.
    Warns,
    /// It is left to the module.
    Not,
}

/// What a rule comes to without a server, with default settings.
pub fn coverage(rule: &str) -> Coverage {
    let settings = Settings::default();
    let of_rule = policies::all().filter(|policy| policy.rule == rule).filter_map(|policy| policy.by(&settings));
    let wants = rules::find(rule).map(|rule| rule.default);
    let mut coverage = Coverage::Not;
    for policy in of_rule {
        let full = match policy.does {
            Does::Repairs(_) | Does::Refuses => true,
            Does::Warns => wants == Some(RuleDefault::Warn),
        };
        if full {
            return Coverage::Full;
        }
        coverage = Coverage::Warns;
    }
    coverage
}

/// The table of rules by host, in Markdown.
pub fn table(folder: &str) -> String {
    let mut table = "| rule | Kubewarden, webhook | Gatekeeper | API server alone | what it does not see |\n|---|---|---|---|---|\n".to_owned();
    for rule in RULES {
        let module = match rule.default {
            RuleDefault::Warn => "warns",
            RuleDefault::Repair => "repairs",
            RuleDefault::Reject => "refuses",
        };
        let gatekeeper = match rule.default {
            RuleDefault::Repair if rule.may_reject => "refuses instead",
            RuleDefault::Repair => "warns instead",
            _ => module,
        };
        let native = match coverage(rule.id) {
            Coverage::Full => "full",
            Coverage::Warns => "warns only",
            Coverage::Not => "not",
        };
        let limit = limit(rule.id).map_or("", |limit| limit.unseen);
        let _ =
            writeln!(table, "| [{id}]({folder}{id}.md) | {module} | {gatekeeper} | {native} | {limit} |", id = rule.id);
    }
    table
}

/// A part's policies and bindings, in YAML.
pub fn yaml(part: Part, settings: &Settings) -> String {
    let texts = facts::Texts::of(settings);
    let policies = policies::all().filter_map(|policy| policy.by(settings)).filter(|policy| policy.part() == part);
    let documents: Vec<String> = policies.map(|policy| document(&policy, settings, &texts)).collect();
    if documents.is_empty() { String::new() } else { format!("{}{}", part.head(), documents.join("---\n")) }
}

fn document(policy: &Policy, settings: &Settings, texts: &facts::Texts) -> String {
    let repairs = matches!(policy.does, Does::Repairs(_));
    let kind = if repairs { "MutatingAdmissionPolicy" } else { "ValidatingAdmissionPolicy" };
    let name = policy.name();
    let mut yaml = format!("# {}\n", policy.why);
    let _ = write!(
        yaml,
        "apiVersion: admissionregistration.k8s.io/v1\nkind: {kind}\nmetadata:\n  name: {name}\nspec:\n  failurePolicy: Ignore\n"
    );
    if repairs {
        yaml += "  reinvocationPolicy: IfNeeded\n";
    }
    if let Some(Looks { api, .. }) = &policy.looks_at {
        let _ = write!(yaml, "  paramKind:\n    apiVersion: {}\n    kind: {}\n", api.api_version(), api.kind);
    }
    let Api { group, version, resource, .. } = policy.on;
    let _ = write!(
        yaml,
        "  matchConstraints:\n    resourceRules:\n      - apiGroups: [{group}]\n        apiVersions: [{version}]\n        resources: [{resource}]\n        operations: [{}]\n",
        policy.operation.join(", ")
    );
    yaml += "  matchConditions:\n";
    for (name, expression) in conditions_of(policy, settings) {
        let _ = write!(
            yaml,
            "    - name: {name}\n      expression: >-\n{}",
            indented("        ", &texts.fill(&expression))
        );
    }
    let rest = Rest::of(policy);
    yaml += "  variables:\n";
    for (name, expression) in rest.variables(texts) {
        let _ = write!(yaml, "    - name: {name}\n      expression: >-\n{}", indented("        ", &expression));
    }
    yaml += &rest.verdict(policy);
    yaml += &binding(policy, settings, kind, &name);
    yaml
}

/// What lets a change pass before anything is looked at.
fn conditions_of(policy: &Policy, settings: &Settings) -> Vec<(&'static str, String)> {
    let mut all = match policy.whose {
        Whose::Judged => {
            let mut judged = vec![("not-exempt", format!("!({})", conditions::exempt(settings)))];
            judged.extend(conditions::keda(settings).map(|keda| ("not-keda", format!("!({keda})"))));
            judged
        }
        Whose::Kedas => {
            vec![("keda", conditions::keda(settings).unwrap_or_else(|| "false".to_owned()))]
        }
    };
    let terminating = if policy.operation == ["DELETE"] { "oldObject" } else { "object" };
    all.push(("not-terminating", format!("!has({terminating}.metadata.deletionTimestamp)")));
    all.extend(policy.when.iter().map(|(name, expression)| (*name, (*expression).to_owned())));
    all
}

/// What of a policy is made of facts.
struct Rest {
    expressions: Vec<(&'static str, String)>,
    edits: &'static str,
}

impl Rest {
    fn of(policy: &Policy) -> Self {
        let rule = quoted(policy.rule);
        let acknowledged = format!(
            "[object, oldObject].exists(one, one != null &&\none.metadata.?annotations[?'{ALLOW}'].orValue('').split(',').exists(rule, rule.trim() == {rule}))"
        );
        let passes =
            "variables.acknowledged ||\n(namespaceObject != null && has(namespaceObject.metadata.deletionTimestamp))";
        let mut expressions =
            vec![("acknowledged", acknowledged), ("passes", passes.to_owned()), ("finds", policy.finds.to_owned())];
        match policy.does {
            // The type of a patch's operations is known to the patch alone.
            Does::Repairs(_) => {}
            Does::Refuses | Does::Warns => expressions.push(("what", policy.what.to_owned())),
        }
        if policy.does == Does::Refuses {
            expressions.push((
                "mayBypass",
                format!(
                    "authorizer.group('autoscaler-guard').resource({rule}).namespace(request.?namespace.orValue('')).check('bypass').allowed() &&\n!authorizer.group('autoscaler-guard').resource('not-a-rule').namespace(request.?namespace.orValue('')).check('bypass').allowed()"
                ),
            ));
        }
        let edits = if let Does::Repairs(edits) = policy.does { edits } else { "" };
        Self { expressions, edits }
    }

    /// The facts that the expressions name, and those that they name, each before who names it; the expressions last.
    fn variables(&self, texts: &facts::Texts) -> Vec<(String, String)> {
        let mut variables: Vec<(String, String)> = Vec::new();
        for (name, expression) in &self.expressions {
            let expression = texts.fill(expression);
            for fact in named(&expression) {
                self.add(&fact, texts, &mut variables);
            }
            variables.push(((*name).to_owned(), expression));
        }
        for fact in named(self.edits) {
            self.add(&fact, texts, &mut variables);
        }
        variables
    }

    fn add(&self, name: &str, texts: &facts::Texts, variables: &mut Vec<(String, String)>) {
        let own = self.expressions.iter().any(|(own, _)| *own == name);
        if own || variables.iter().any(|(known, _)| known == name) {
            return;
        }
        let fact = facts::FACTS.iter().find(|(known, _)| *known == name);
        debug_assert!(fact.is_some(), "no fact is called {name}");
        let expression = texts.fill(fact.map_or("", |(_, expression)| expression));
        for other in named(&expression) {
            self.add(&other, texts, variables);
        }
        variables.push((name.to_owned(), expression));
    }

    #[expect(clippy::unused_self, reason = "it stands with its kin")]
    fn verdict(&self, policy: &Policy) -> String {
        match policy.does {
            Does::Repairs(edits) => format!(
                "  mutations:\n    - patchType: JSONPatch\n      jsonPatch:\n        expression: >-\n          !variables.finds || variables.passes ? [] :\n{}",
                indented("          ", edits)
            ),
            Does::Refuses => {
                let message = refusal(policy);
                format!(
                    "  validations:\n    - expression: >-\n        !variables.finds || variables.passes || variables.mayBypass\n      reason: Forbidden\n      messageExpression: >-\n{}",
                    indented("        ", &message)
                )
            }
            Does::Warns => warnings(policy).iter().fold("  validations:\n".to_owned(), |yaml, message| {
                yaml + &format!(
                    "    - expression: >-\n        !variables.finds || variables.passes\n      messageExpression: >-\n{}",
                    indented("        ", message)
                )
            }),
        }
    }
}

/// One line, as the API server takes no other: each command between backquotes, so that it is seen where it ends.
fn refusal(policy: &Policy) -> String {
    let mut message = format!("'autoscaler-guard[{}]: ' + variables.what", policy.rule);
    for (purpose, command) in policy.help {
        let _ = write!(message, " +\n{} + {command} + '`'", quoted(&format!(". {purpose}: `")));
    }
    if let Some((at_stake, subject)) = policy.acknowledge {
        let _ = write!(
            message,
            " +\n{} + {subject} + ' autoscaler-guard/allow={}`'",
            quoted(&format!(". Or acknowledge {at_stake}: `kubectl annotate ")),
            policy.rule
        );
    }
    message
}

/// What is wrong, and each way on in a warning of its own.
fn warnings(policy: &Policy) -> Vec<String> {
    let head = format!("'autoscaler-guard[{}]: '", policy.rule);
    let what = format!("{head} + variables.what");
    let help = policy
        .help
        .iter()
        .map(|(purpose, command)| format!("{head} + {} + {command}", quoted(&format!("{purpose}: "))));
    std::iter::once(what).chain(help).collect()
}

fn binding(policy: &Policy, settings: &Settings, kind: &str, name: &str) -> String {
    let mut yaml = format!(
        "---\napiVersion: admissionregistration.k8s.io/v1\nkind: {kind}Binding\nmetadata:\n  name: {name}\nspec:\n  policyName: {name}\n"
    );
    match policy.does {
        Does::Repairs(_) => {}
        Does::Refuses => yaml += "  validationActions: [Deny]\n",
        Does::Warns => yaml += "  validationActions: [Warn]\n",
    }
    if let Some(Looks { namespace, .. }) = policy.looks_at {
        let namespace = namespace.map_or_else(String::new, |of| format!("    namespace: {}\n", of(settings)));
        let _ = write!(yaml, "  paramRef:\n{namespace}    selector: {{}}\n    parameterNotFoundAction: Allow\n");
    }
    yaml
}

/// The variables that an expression names.
fn named(expression: &str) -> Vec<String> {
    let parts = expression.split("variables.").skip(1);
    let name = |part: &str| part.chars().take_while(char::is_ascii_alphanumeric).collect();
    parts.map(name).collect()
}

#[cfg(test)]
mod tests;
