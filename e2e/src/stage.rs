//! What a scenario works with: a namespace of its own, a user, Helm, and means to wait for what happens.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use kube::Client;
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, PropagationPolicy};
use kube::runtime::wait::await_condition;
use serde_json::{Value, json};

use crate::audit::{self, Event};
use crate::control_plane::{ControlPlane, GUARDED_USER, UNGUARDED_USER};
use crate::gatekeeper::Gatekeeper;
use crate::helm::Helm;
use crate::objects::{self, HPA, Kind};
use crate::operators::Keda;
use crate::tools::Tools;
use crate::webhook::{self, POLICY_LABEL, Subject, Warnings, Webhook};
use crate::world::World;

/// How long what should happen may take: the garbage collector and KEDA need seconds, two busy cores more.
const PATIENCE: Duration = Duration::from_secs(90);
/// How long nothing may move for an object to count as at rest; KEDA's loops come every few milliseconds.
const REST: Duration = Duration::from_secs(20);

/// Whether requests are judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// They are not: the hazard has to happen.
    Off,
    /// They are: the cure has to hold.
    On,
}

/// What a request led to.
#[derive(Clone, Debug)]
pub enum Answer {
    /// It was done.
    Done,
    /// Admission refused it, with that message; a webhook that does not answer refuses, too.
    Refused(String),
}

/// One run of a scenario.
pub struct Stage<'a> {
    /// Where it plays.
    pub plane: &'a ControlPlane,
    /// The programs.
    pub tools: &'a Tools,
    /// KEDA, where the scenario asked for it.
    pub keda: Option<&'a tokio::sync::Mutex<Keda>>,
    /// Gatekeeper, where the policy is behind it.
    pub gatekeeper: Option<&'a tokio::sync::Mutex<Gatekeeper>>,
    /// What is tested.
    pub subject: &'a Subject,
    /// Whether requests are judged.
    pub policy: Policy,
    /// The scenario's own namespace.
    pub namespace: String,
    world: &'a World,
    client: Client,
    warnings: Warnings,
    folder: PathBuf,
    has_own_webhook: Cell<bool>,
}

impl<'a> Stage<'a> {
    /// Sets up: the namespace is there already.
    ///
    /// # Errors
    /// No client can be made.
    pub async fn new(
        world: &'a World,
        tools: &'a Tools,
        subject: &'a Subject,
        policy: Policy,
        namespace: String,
    ) -> Result<Self> {
        let plane = &world.plane;
        let warnings = Warnings::default();
        let user = if policy == Policy::On { GUARDED_USER } else { UNGUARDED_USER };
        let client = warnings.kept_of(plane.config(user).await?)?;
        let folder = plane.folder().join("scenarios").join(&namespace);
        std::fs::create_dir_all(&folder)?;
        Ok(Self {
            plane,
            tools,
            keda: world.keda.as_ref(),
            gatekeeper: world.gatekeeper.as_ref(),
            subject,
            policy,
            namespace,
            world,
            client,
            warnings,
            folder,
            has_own_webhook: Cell::new(false),
        })
    }

    /// The same place for a user whose requests are not judged.
    ///
    /// # Errors
    /// No client can be made.
    pub async fn unguarded(&self) -> Result<Self> {
        let namespace = self.namespace.clone();
        Self::new(self.world, self.tools, self.subject, Policy::Off, namespace).await
    }

    /// Whether requests are judged.
    pub fn guarded(&self) -> bool {
        self.policy == Policy::On
    }

    /// The user that acts.
    pub fn user(&self) -> &'static str {
        if self.guarded() { GUARDED_USER } else { UNGUARDED_USER }
    }

    /// A folder for files of its own.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Helm of that major version, as the scenario's user.
    ///
    /// # Errors
    /// It is not there.
    pub fn helm(&self, major: u8) -> Result<Helm> {
        let program = self.tools.program(&format!("helm{major}"), "helm")?;
        Helm::new(program, self.plane.kubeconfig(self.user())?, self.namespace.clone(), self.folder.clone())
    }

    /// The warnings that came with answers since they were last asked for.
    pub fn take_warnings(&self) -> Vec<String> {
        self.warnings.take()
    }

    /// Takes the warnings, of which one has to be that rule's with the policy; without it there may be none.
    ///
    /// # Errors
    /// Nobody warned, or somebody else did.
    pub fn warned_by(&self, rule: &str) -> Result<()> {
        let warnings = self.take_warnings();
        let warned = warnings.iter().any(|warning| warning.contains(&format!("[{rule}]")));
        let as_wanted = if self.guarded() { warned } else { warnings.is_empty() };
        ensure!(as_wanted, "the warnings are {warnings:?}");
        Ok(())
    }

    fn api(&self, kind: (&str, &str)) -> Result<kube::Api<DynamicObject>> {
        objects::api(&self.client, kind, &self.namespace)
    }

    /// The API for a document, in its own namespace if it says one.
    fn api_for(&self, document: &Value) -> Result<(kube::Api<DynamicObject>, String)> {
        let (api_version, kind, name) = objects::identity(document)?;
        let namespace = document.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or(&self.namespace);
        Ok((objects::api(&self.client, (api_version, kind), namespace)?, name.to_owned()))
    }

    /// Serves a policy of the scenario's own for its namespace, with other settings or rights.
    ///
    /// # Errors
    /// It does not start, or is not asked.
    pub async fn own_policy(&self, settings: &Value, kubeconfig: &Path) -> Result<Webhook> {
        let name = format!("policy-of-{}", self.namespace);
        let policy = Webhook::start(self.plane, self.subject, &name, settings, kubeconfig).await?;
        self.lead_to(policy.port(), &webhook::declared_rules(settings)?).await?;
        Ok(policy)
    }

    /// Leads requests for the namespace to a webhook on that port, whether one listens there or not.
    ///
    /// # Errors
    /// It is not asked.
    pub async fn own_webhook(&self, port: u16) -> Result<()> {
        self.lead_to(port, &[]).await
    }

    async fn lead_to(&self, port: u16, further_rules: &[Value]) -> Result<()> {
        self.has_own_webhook.set(true);
        webhook::configure(self.plane, &self.namespace, port, "Fail", further_rules).await?;
        self.plane.namespace(&self.namespace, &json!({POLICY_LABEL: self.namespace})).await?;
        webhook::until_asked(self.plane, &self.namespace, true).await
    }

    /// The same, by a configuration that is written already.
    ///
    /// # Errors
    /// It is not asked.
    pub async fn own_configuration(&self, configuration: &Value) -> Result<()> {
        self.has_own_webhook.set(true);
        self.plane.apply(&configuration.to_string()).await?;
        self.plane.namespace(&self.namespace, &json!({POLICY_LABEL: self.namespace})).await?;
        webhook::until_asked(self.plane, &self.namespace, true).await
    }

    /// Lets requests pass while no webhook listens on that port.
    ///
    /// # Errors
    /// They still fail.
    pub async fn ignore_failures(&self, port: u16) -> Result<()> {
        webhook::configure(self.plane, &self.namespace, port, "Ignore", &[]).await?;
        webhook::until_asked(self.plane, &self.namespace, false).await
    }

    /// Takes the namespace from a webhook of its own, which is gone by now, so that KEDA can go on in it.
    ///
    /// # Errors
    /// The API server refuses.
    pub async fn leave(&self) -> Result<()> {
        if self.has_own_webhook.get() {
            self.plane.namespace(&self.namespace, &json!({POLICY_LABEL: "off"})).await?;
        }
        Ok(())
    }

    /// Applies manifests server-side, as that field manager and with force.
    ///
    /// # Errors
    /// The request fails, other than by a refusal.
    pub async fn apply_as(&self, manager: &str, yaml: &str) -> Result<Answer> {
        for document in objects::documents(yaml)? {
            let (api, name) = self.api_for(&document)?;
            let parameters = PatchParams::apply(manager).force();
            let answer = api.patch(&name, &parameters, &Patch::Apply(&document)).await;
            if let Answer::Refused(message) = answered(answer.map(drop))? {
                return Ok(Answer::Refused(message));
            }
        }
        Ok(Answer::Done)
    }

    /// Creates what the manifests say, as `kubectl create` does.
    ///
    /// # Errors
    /// The request fails, other than by a refusal.
    pub async fn create(&self, yaml: &str) -> Result<Answer> {
        let parameters = PostParams { field_manager: Some("kubectl-create".into()), ..PostParams::default() };
        for document in objects::documents(yaml)? {
            let (api, _) = self.api_for(&document)?;
            let object: DynamicObject = serde_json::from_value(document)?;
            if let Answer::Refused(message) = answered(api.create(&parameters, &object).await.map(drop))? {
                return Ok(Answer::Refused(message));
            }
        }
        Ok(Answer::Done)
    }

    /// Creates what has to be there before the scenario begins.
    ///
    /// # Errors
    /// The request fails or is refused.
    pub async fn given(&self, yaml: &str) -> Result<()> {
        self.create(yaml).await?.done()
    }

    /// Applies manifests as `kubectl apply` does without `--server-side`.
    ///
    /// # Errors
    /// The request fails, other than by a refusal.
    pub async fn apply_client_side(&self, yaml: &str) -> Result<Answer> {
        const MANAGER: &str = "kubectl-client-side-apply";
        for mut document in objects::documents(yaml)? {
            let (api, name) = self.api_for(&document)?;
            let applied = document.to_string();
            document["metadata"]["annotations"][objects::LAST_APPLIED] = json!(applied);
            let answer = if api.get_opt(&name).await?.is_some() {
                let parameters = PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() };
                api.patch(&name, &parameters, &Patch::Merge(&document)).await
            } else {
                let parameters = PostParams { field_manager: Some(MANAGER.into()), ..PostParams::default() };
                api.create(&parameters, &serde_json::from_value(document)?).await
            };
            if let Answer::Refused(message) = answered(answer.map(drop))? {
                return Ok(Answer::Refused(message));
            }
        }
        Ok(Answer::Done)
    }

    /// Asks what a patch would lead to, as `kubectl patch --dry-run=server` does.
    ///
    /// # Errors
    /// The request fails, other than by a refusal.
    pub async fn try_out(&self, kind: Kind, name: &str, patch: &Value) -> Result<Answer> {
        let parameters =
            PatchParams { field_manager: Some("kubectl-patch".into()), dry_run: true, ..PatchParams::default() };
        answered(self.api(kind)?.patch(name, &parameters, &Patch::Merge(patch)).await.map(drop))
    }

    /// Patches an object, as `kubectl patch --type merge` does.
    ///
    /// # Errors
    /// The request fails, other than by a refusal.
    pub async fn patch(&self, kind: Kind, name: &str, patch: Value) -> Result<Answer> {
        let parameters = PatchParams { field_manager: Some("kubectl-patch".into()), ..PatchParams::default() };
        answered(self.api(kind)?.patch(name, &parameters, &Patch::Merge(patch)).await.map(drop))
    }

    /// Sets an annotation, or removes it.
    ///
    /// # Errors
    /// The request fails, other than by a refusal.
    pub async fn annotate(&self, kind: Kind, name: &str, annotation: &str, value: Option<&str>) -> Result<Answer> {
        self.patch(kind, name, json!({"metadata": {"annotations": {annotation: value}}})).await
    }

    /// Deletes an object, as kubectl and Helm do.
    ///
    /// # Errors
    /// The request fails, other than by a refusal.
    pub async fn delete(&self, kind: Kind, name: &str) -> Result<Answer> {
        self.delete_by(kind, name, PropagationPolicy::Background).await
    }

    /// Deletes an object and says what becomes of what it owns.
    ///
    /// # Errors
    /// The request fails, other than by a refusal.
    pub async fn delete_by(&self, kind: Kind, name: &str, propagation: PropagationPolicy) -> Result<Answer> {
        let parameters = DeleteParams { propagation_policy: Some(propagation), ..DeleteParams::default() };
        answered(self.api(kind)?.delete(name, &parameters).await.map(drop))
    }

    /// Asks what a deletion would lead to, as `kubectl delete --dry-run=server` does.
    ///
    /// # Errors
    /// The request fails, other than by a refusal.
    pub async fn try_deletion(&self, kind: Kind, name: &str) -> Result<Answer> {
        let parameters = DeleteParams { dry_run: true, ..DeleteParams::background() };
        answered(self.api(kind)?.delete(name, &parameters).await.map(drop))
    }

    /// Deletes an object in another namespace, as kubectl and Helm do.
    ///
    /// # Errors
    /// The request fails, other than by a refusal.
    pub async fn delete_in(&self, namespace: &str, kind: Kind, name: &str) -> Result<Answer> {
        let api = objects::api(&self.client, kind, namespace)?;
        answered(api.delete(name, &DeleteParams::background()).await.map(drop))
    }

    /// Deletes an object as another user.
    ///
    /// # Errors
    /// The request fails, other than by a refusal.
    pub async fn delete_as(&self, user: &str, kind: Kind, name: &str) -> Result<Answer> {
        let client = self.plane.client(user).await?;
        let parameters =
            DeleteParams { propagation_policy: Some(PropagationPolicy::Background), ..DeleteParams::default() };
        answered(objects::api(&client, kind, &self.namespace)?.delete(name, &parameters).await.map(drop))
    }

    /// An object as it is now.
    ///
    /// # Errors
    /// The API server does not say.
    pub async fn get(&self, kind: Kind, name: &str) -> Result<Option<DynamicObject>> {
        Ok(self.api(kind)?.get_opt(name).await?)
    }

    /// All objects of a kind in the namespace.
    ///
    /// # Errors
    /// The API server does not say.
    pub async fn list(&self, kind: Kind) -> Result<Vec<DynamicObject>> {
        Ok(self.api(kind)?.list(&ListParams::default()).await?.items)
    }

    /// Waits until an object is as wanted, and returns it.
    ///
    /// # Errors
    /// It does not come to be so in time.
    pub async fn until(
        &self,
        kind: Kind,
        name: &str,
        wanted: &str,
        condition: impl Fn(&DynamicObject) -> bool,
    ) -> Result<DynamicObject> {
        self.until_in(&self.namespace, kind, name, wanted, condition).await
    }

    /// The same, in another namespace.
    ///
    /// # Errors
    /// It does not come to be so in time.
    pub async fn until_in(
        &self,
        namespace: &str,
        kind: Kind,
        name: &str,
        wanted: &str,
        condition: impl Fn(&DynamicObject) -> bool,
    ) -> Result<DynamicObject> {
        let api = objects::api(self.plane.admin(), kind, namespace)?;
        let met = await_condition(api.clone(), name, |object: Option<&DynamicObject>| object.is_some_and(&condition));
        match tokio::time::timeout(PATIENCE, met).await {
            Ok(object) => object?.with_context(|| format!("{} {name} vanished", kind.1)),
            Err(_) => bail!(
                "{} {namespace}/{name} did not come to be {wanted} within {} s; it is {}",
                kind.1,
                PATIENCE.as_secs(),
                described(api.get_opt(name).await?.as_ref())
            ),
        }
    }

    /// Waits until an object is gone.
    ///
    /// # Errors
    /// It stays.
    pub async fn until_gone(&self, kind: Kind, name: &str) -> Result<()> {
        self.until_gone_in(&self.namespace, kind, name).await
    }

    /// The same, in another namespace.
    ///
    /// # Errors
    /// It stays.
    pub async fn until_gone_in(&self, namespace: &str, kind: Kind, name: &str) -> Result<()> {
        let api = objects::api(self.plane.admin(), kind, namespace)?;
        let gone = await_condition(api.clone(), name, |object: Option<&DynamicObject>| object.is_none());
        match tokio::time::timeout(PATIENCE, gone).await {
            Ok(outcome) => outcome.map(drop).map_err(Into::into),
            Err(_) => bail!(
                "{} {namespace}/{name} is still there after {} s: {}",
                kind.1,
                PATIENCE.as_secs(),
                described(api.get_opt(name).await?.as_ref())
            ),
        }
    }

    /// Waits until nobody has written an object for a while: whoever fights over one never comes to rest.
    ///
    /// # Errors
    /// It is written again and again, or vanishes.
    pub async fn at_rest(&self, kind: Kind, name: &str) -> Result<DynamicObject> {
        self.at_rest_in(&self.namespace, kind, name).await
    }

    /// The same, in another namespace.
    ///
    /// # Errors
    /// It is written again and again, or vanishes.
    pub async fn at_rest_in(&self, namespace: &str, kind: Kind, name: &str) -> Result<DynamicObject> {
        let api = objects::api(self.plane.admin(), kind, namespace)?;
        let resting = async {
            loop {
                let Some(object) = api.get_opt(name).await? else { bail!("{} {namespace}/{name} vanished", kind.1) };
                let version = object.metadata.resource_version.clone();
                let changed = await_condition(api.clone(), name, |now: Option<&DynamicObject>| {
                    now.is_none_or(|now| now.metadata.resource_version != version)
                });
                if tokio::time::timeout(REST, changed).await.is_err() {
                    return Ok(object);
                }
            }
        };
        match tokio::time::timeout(PATIENCE, resting).await {
            Ok(object) => object,
            Err(_) => bail!("{} {namespace}/{name} does not come to rest", kind.1),
        }
    }

    /// The one HPA on a workload, at rest.
    ///
    /// # Errors
    /// There is none, or another one, or two, or it does not come to rest.
    pub async fn only_hpa(&self, name: &str, target: &str) -> Result<DynamicObject> {
        let hpa = self.at_rest(HPA, name).await?;
        let all = self.autoscalers_of(target).await?;
        ensure!(all == [name], "{target} should be scaled by HPA {name} alone, but it is by {all:?}");
        Ok(hpa)
    }

    /// The names of the HPAs that aim at a workload.
    ///
    /// # Errors
    /// The API server does not say.
    pub async fn autoscalers_of(&self, target: &str) -> Result<Vec<String>> {
        let aimed = |hpa: &DynamicObject| objects::field(hpa, "/spec/scaleTargetRef/name") == Some(&json!(target));
        let all = self.list(HPA).await?;
        Ok(all.iter().filter(|hpa| aimed(hpa)).filter_map(|hpa| hpa.metadata.name.clone()).collect())
    }

    /// Fails unless KEDA's log is free of errors about this namespace, but for those that come with any policy or none.
    ///
    /// # Errors
    /// There is one.
    pub async fn keda_is_content(&self) -> Result<()> {
        let Some(keda) = self.keda else { return Ok(()) };
        let log = std::fs::read_to_string(keda.lock().await.log())?;
        keda_error(&log, &self.namespace).map_or(Ok(()), |line| bail!("KEDA logged an error: {line}"))
    }

    /// What the API server wrote down about requests for this namespace, and for objects without one.
    ///
    /// # Errors
    /// The audit log cannot be read.
    pub fn events(&self) -> Result<Vec<Event>> {
        let events = audit::events(&self.plane.audit_log())?;
        let mine = |event: &Event| match event.resource() {
            // Scenarios call their class as their namespace.
            "gatewayclasses" => event.name() == self.namespace,
            "customresourcedefinitions" | "apiservices" => event.user() == self.user(),
            _ => event.namespace() == self.namespace,
        };
        Ok(events.into_iter().filter(mine).collect())
    }

    /// Fails unless that rule judged a request of this scenario.
    ///
    /// # Errors
    /// It had not.
    pub fn judged_by(&self, rule: &str) -> Result<()> {
        let events = self.events()?;
        let judged = events.iter().any(|event| event.rules().contains(&rule));
        ensure!(judged, "the audit log says of no request in {} that rule {rule} judged it", self.namespace);
        Ok(())
    }
}

impl Answer {
    /// Fails unless it was done.
    ///
    /// # Errors
    /// It was refused.
    pub fn done(self) -> Result<()> {
        match self {
            Self::Done => Ok(()),
            Self::Refused(message) => bail!("this should have been let through, but was refused: {message}"),
        }
    }

    /// Fails unless it was refused by that rule.
    ///
    /// # Errors
    /// It was not.
    pub fn refused_by(self, rule: &str) -> Result<()> {
        match self {
            Self::Done => bail!("this should have been refused by {rule}, but was let through"),
            Self::Refused(message) => {
                ensure!(message.contains(rule), "this should have been refused by {rule}, but was with: {message}");
                Ok(())
            }
        }
    }
}

/// Sets a refusal by admission apart from a failure.
fn answered(answer: kube::Result<()>) -> Result<Answer> {
    match answer {
        Ok(()) => Ok(Answer::Done),
        Err(kube::Error::Api(status)) if audit::is_refusal(&status.message) => {
            Ok(Answer::Refused(status.message.clone()))
        }
        Err(error) => Err(error.into()),
    }
}

/// The first error that a controller of KEDA logged about a namespace, and that is nobody else's doing.
fn keda_error<'log>(log: &'log str, namespace: &str) -> Option<&'log str> {
    // KEDA tries again after somebody else's write, or after Helm has deleted the HPA that it would take over; and it
    // is ended between two writes when it is restarted.
    const PASSING: [&str; 3] =
        ["the object has been modified", "horizontalpodautoscalers.autoscaling \"web\" not found", "context canceled"];
    log.lines().find(|line| {
        let Ok(entry) = serde_json::from_str::<Value>(line) else { return false };
        let error = entry["error"].as_str().unwrap_or_default();
        entry["level"] == "error"
            && entry["namespace"] == namespace
            && !PASSING.iter().any(|passing| error.contains(passing))
    })
}

fn described(object: Option<&DynamicObject>) -> String {
    object.map_or("gone".into(), |object| {
        let mut object = object.clone();
        object.metadata.managed_fields = None;
        serde_json::to_string(&object).unwrap_or_default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_read_from_keda_s_log() {
        let line = |level: &str, error: &str| {
            json!({
                "level": level, "ts": "2026-11-22T10:00:50Z", "msg": "Failed to create new HPA in cluster",
                "controller": "scaledobject", "ScaledObject": {"name": "web", "namespace": "shop"}, "namespace": "shop",
                "name": "web", "error": error,
            })
            .to_string()
        };
        let taken = line("error", "horizontalpodautoscalers.autoscaling \"api\" already exists");
        assert_eq!(keda_error(&format!("I1122 a line of klog\n{taken}\n"), "shop"), Some(taken.as_str()));
        assert_eq!(keda_error(&taken, "cart"), None);
        assert_eq!(keda_error(&line("info", ""), "shop"), None);
        let modified = "Operation cannot be fulfilled on scaledobjects.keda.sh \"web\": the object has been modified; please apply your changes to the latest version and try again";
        assert_eq!(keda_error(&line("error", modified), "shop"), None);
    }
}
