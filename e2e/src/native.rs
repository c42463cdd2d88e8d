//! The policies by which the API server guards by itself: installed for some namespaces, and asked what it makes of
//! their expressions.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::control_plane::{ControlPlane, UNGUARDED_USER};
use crate::objects::{self, VALIDATING_POLICY};
use crate::webhook::{POLICY_LABEL, Subject};

/// What `autoscaler-guard manifests native` prints for settings by which whoever plays without the policy is exempt.
///
/// # Errors
/// It prints none.
pub async fn policies(subject: &Subject, folder: &Path) -> Result<Vec<Value>> {
    let settings = folder.join("native-settings.json");
    std::fs::write(&settings, json!({"exempt": {"users": [UNGUARDED_USER]}}).to_string())?;
    let mut command = Command::new(&subject.program);
    command.args(["manifests", "native", "--output", "json", "--settings"]).arg(&settings);
    let output = command.kill_on_drop(true).output().await?;
    ensure!(output.status.success(), "`manifests native` failed: {}", String::from_utf8_lossy(&output.stderr));
    let list: Value = serde_json::from_slice(&output.stdout)?;
    list["items"].as_array().cloned().context("`manifests native` printed no list")
}

/// Installs the policies, for namespaces with one of these labels and for objects without a namespace. What cannot be
/// evaluated is refused here, so all kinds that policies look at have to be served.
///
/// # Errors
/// The API server refuses one.
pub async fn install(plane: &ControlPlane, policies: &[Value], labels: &[&str]) -> Result<()> {
    for policy in policies {
        let mut policy = policy.clone();
        if policy["spec"]["failurePolicy"] == "Ignore" {
            // Shipped, an expression that cannot be evaluated lets pass; here it would be a fault that nobody sees.
            policy["spec"]["failurePolicy"] = json!("Fail");
        }
        let is_binding = policy["kind"].as_str().is_some_and(|kind| kind.ends_with("Binding"));
        if is_binding && !labels.is_empty() {
            policy["spec"]["matchResources"]["namespaceSelector"]["matchExpressions"] =
                json!([{"key": POLICY_LABEL, "operator": "In", "values": labels}]);
        }
        plane.apply(&policy.to_string()).await?;
    }
    Ok(())
}

/// Fails unless the API server has checked all validating policies and has nothing to say about their types.
///
/// # Errors
/// It has, or has not looked within a minute.
pub async fn types_are_sound(plane: &ControlPlane, policies: &[Value]) -> Result<usize> {
    let api = objects::api(plane.admin(), VALIDATING_POLICY, "")?;
    let deadline = Instant::now() + Duration::from_mins(1);
    let mut checked = 0;
    for policy in policies.iter().filter(|policy| policy["kind"] == VALIDATING_POLICY.1) {
        let name = policy["metadata"]["name"].as_str().unwrap_or_default();
        loop {
            let found = api.get(name).await?;
            let status = found.data.get("status").cloned().unwrap_or_default();
            if status["observedGeneration"].as_i64() == found.metadata.generation && status["typeChecking"].is_object()
            {
                let warnings = &status["typeChecking"]["expressionWarnings"];
                ensure!(warnings.is_null(), "{name} is not sound: {warnings:#}");
                checked += 1;
                break;
            }
            if Instant::now() > deadline {
                bail!("the API server has not checked the types of {name}: {status}");
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
    Ok(checked)
}
