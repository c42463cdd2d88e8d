//! Who writes: a tool that declares what it writes, and whether it is the tool that manages an object.

use std::borrow::Cow;

use autoscaler_guard_reading::Json;

use super::helm;
use super::mark::{Application, Member, Tool};
use crate::context::Context;

/// Whether the writer of a change declares what it writes (setting `handover.fieldManagers`): Helm, Flux, Argo CD and
/// their like.
pub fn declares(context: &Context<'_>) -> bool {
    context.settings.handover_field_managers.match_name(&field_manager(context))
}

/// Who writes: the field manager that the client gave, else the one that the API server made of its user agent, as for
/// kapp and Terraform (k8s.io/apiserver, `managerOrUserAgent`): it is in the newest entry of managedFields that this
/// change brings.
fn field_manager<'a>(context: &Context<'a>) -> Cow<'a, str> {
    let given = &context.request.field_manager;
    // Nobody writes what is audited.
    let unnamed = given.is_empty() && !context.change.is_audit();
    let Some(new) = context.change.after().filter(|_| unnamed) else { return given.clone() };
    let before: Vec<&str> = match context.change.before() {
        Some(old) => old.metadata.managed_fields().into_iter().map(Json::text).collect(),
        None => Vec::new(),
    };
    let entries = new.metadata.managed_fields().into_iter();
    let written = entries.filter(|entry| entry.word(&["subresource"]).is_none() && !before.contains(&entry.text()));
    let newest = written.max_by_key(|entry| entry.string(&["time"]).unwrap_or_default().into_owned());
    newest.and_then(|entry| entry.string(&["manager"])).unwrap_or_default()
}

/// Namespace and name of the service account that asks.
pub fn service_account<'c>(context: &'c Context<'_>) -> Option<(&'c str, &'c str)> {
    context.request.user.username.strip_prefix("system:serviceaccount:")?.split_once(':')
}

/// The application of the tool that asks for the deletion of an object that it manages, as far as is known. Flux and
/// Argo CD have accounts of their own; who calls Helm, kapp or Terraform has any.
pub fn acting(context: &Context<'_>, member: Member<'_, '_>) -> Option<Application> {
    let by_label = is_argo_cd(context).then(|| member.argo_cd_by_label()).flatten();
    member.applications().into_iter().chain(by_label).find(|application| match application.tool {
        Tool::Helm => helm::softens_delete(context, member.object),
        Tool::Flux => is_flux(context, application),
        Tool::ArgoCd => is_argo_cd(context),
        Tool::Kapp | Tool::Terraform => true,
        Tool::Operator => false,
    })
}

/// Whether the deletion of an object is softened, as the tool that manages it may be removing the whole application.
pub fn softens_delete(context: &Context<'_>, member: Member<'_, '_>) -> bool {
    acting(context, member).is_some()
}

/// kustomize-controller, or the account that it impersonates for a Kustomization, which lives in the Kustomization's
/// namespace (`spec.serviceAccountName`).
pub fn is_flux(context: &Context<'_>, application: &Application) -> bool {
    service_account(context)
        .is_some_and(|(namespace, name)| name == "kustomize-controller" || namespace == application.namespace)
}

/// `argocd-application-controller` under whatever prefix, `argocd-manager` in a remote cluster, or a cloud's role of
/// such a name.
pub fn is_argo_cd(context: &Context<'_>) -> bool {
    ["argocd", "argo-cd"].iter().any(|part| context.request.user.username.contains(part))
}

/// Whether it is Argo CD that writes, which may write a workload after its autoscaler.
pub fn writes_late(context: &Context<'_>) -> bool {
    is_argo_cd(context) || context.request.field_manager.starts_with("argocd")
}

/// Whether Flux asks what would become of an object. It asks so about all objects of a revision first, and a refusal of
/// one stops the whole reconciliation: nothing is written, nothing pruned (fluxcd/pkg, `ssa/manager_apply.go`,
/// `ApplyAllStaged`).
pub fn is_dry_run_of_flux(context: &Context<'_>) -> bool {
    let controller = "kustomize-controller";
    context.request.dry_run
        && context.change.after().is_some()
        && (context.request.field_manager == controller
            || service_account(context).is_some_and(|(_, name)| name == controller))
}
