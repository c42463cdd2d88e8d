//! Where KEDA runs: its operator's Deployment names the account that it acts as, whatever namespace it was installed
//! into.

use crate::cluster::{Presence, api};
use crate::context::Context;

/// KEDA's operator is called so in all its distributions (kedacore/charts keda/templates/manager, kedacore/keda
/// config/manager, the bundle on OperatorHub).
const OPERATOR: &str = "keda-operator";

/// Whether KEDA's operator asks: its Deployment, in the namespace of the service account that asks, runs as that
/// account. Settings name the accounts that need no lookup.
pub fn is_keda(context: &Context<'_>) -> bool {
    let account = context.request.user.username.strip_prefix("system:serviceaccount:");
    let Some((namespace, name)) = account.and_then(|account| account.split_once(':')) else { return false };
    let fields = &["spec.template.spec.serviceAccountName"];
    match context.neighbours.get(&api::DEPLOYMENT, namespace, OPERATOR, fields) {
        Presence::Found(operator) => {
            let runs_as = operator.spec().word(&["template", "spec", "serviceAccountName"]);
            let is_part = operator.metadata.label("app.kubernetes.io/part-of").as_deref() == Some(OPERATOR);
            is_part && runs_as.as_deref() == Some(name)
        }
        Presence::Absent | Presence::Unknown(_) => false,
    }
}
