//! Single objects, read and written: with preconditions, and on trial.

use std::sync::Arc;

use kube::core::params::{DeleteParams, GetParams, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy};
use serde_json::{Value, json};

use super::{Api, LiveCluster, built, parse, requests, segment, wait};
use crate::wording;

/// What is done to an object.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    /// Deletes it, and keeps what it owns.
    Delete,
    /// A merge patch.
    Patch(Value),
    /// Applies fields server-side, without force.
    Apply(Value),
    /// Makes it.
    Create(Value),
}

/// An object to write.
#[derive(Debug, Clone, PartialEq)]
pub struct Writing {
    /// Group and version.
    pub api_version: String,
    /// The kind.
    pub kind: String,
    /// The namespace, empty for what lives in none.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// What to do.
    pub write: Write,
    /// Only if it still is this object.
    pub uid: Option<String>,
    /// Only if nobody has changed it since.
    pub resource_version: Option<String>,
    /// As whom.
    pub field_manager: String,
    /// Whether only to try.
    pub dry_run: bool,
}

/// Why something was not written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The API server's status code; none where there was no answer.
    pub code: Option<u16>,
    /// In words for people.
    pub reason: String,
}

impl LiveCluster {
    /// Reads an object; none where it is not there.
    pub fn read_one(
        &self,
        api_version: &str,
        kind: &str,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Value>, Refused> {
        let api = Arc::clone(&self.api);
        let [api_version, kind, namespace, name] = [api_version, kind, namespace, name].map(str::to_owned);
        let read = async move {
            let (paths, name) = place(&api, &api_version, &kind, &namespace, &name).await?;
            let request = built(paths.get(&name, &GetParams::default())).map_err(|reason| failed(&reason))?;
            match send(&api, request).await {
                Ok(found) => Ok(Some(found)),
                Err(refused) if refused.code == Some(404) => Ok(None),
                Err(refused) => Err(refused),
            }
        };
        self.runtime
            .as_ref()
            .and_then(|runtime| wait(runtime, read))
            .unwrap_or_else(|| Err(failed("it was interrupted")))
    }

    /// Writes an object; the answer is the object as it is then, or a status.
    pub fn write(&self, writing: Writing) -> Result<Value, Refused> {
        let api = Arc::clone(&self.api);
        let write = async move {
            let Writing { api_version, kind, namespace, name, write, uid, resource_version, field_manager, dry_run } =
                writing;
            let (paths, in_path) = place(&api, &api_version, &kind, &namespace, &name).await?;
            let conditioned = |mut fields: Value| {
                let metadata = &mut fields["metadata"];
                if let Some(uid) = &uid {
                    metadata["uid"] = Value::from(uid.as_str());
                }
                if let Some(version) = &resource_version {
                    metadata["resourceVersion"] = Value::from(version.as_str());
                }
                fields
            };
            let parameters =
                PatchParams { dry_run, field_manager: Some(field_manager.clone()), ..PatchParams::default() };
            let request = match write {
                Write::Delete => paths.delete(
                    &in_path,
                    &DeleteParams {
                        dry_run,
                        propagation_policy: Some(PropagationPolicy::Orphan),
                        preconditions: Some(Preconditions { uid, resource_version }),
                        ..DeleteParams::default()
                    },
                ),
                Write::Patch(fields) => paths.patch(&in_path, &parameters, &Patch::Merge(conditioned(fields))),
                Write::Apply(fields) => {
                    let mut fields = conditioned(fields);
                    fields["apiVersion"] = Value::from(api_version);
                    fields["kind"] = Value::from(kind);
                    fields["metadata"]["name"] = json!(name);
                    paths.patch(&in_path, &parameters, &Patch::Apply(fields))
                }
                Write::Create(object) => {
                    let parameters = PostParams { dry_run, field_manager: Some(field_manager) };
                    paths.create(&parameters, object.to_string().into_bytes())
                }
            };
            send(&api, built(request).map_err(|reason| failed(&reason))?).await
        };
        self.runtime
            .as_ref()
            .and_then(|runtime| wait(runtime, write))
            .unwrap_or_else(|| Err(failed("it was interrupted")))
    }
}

fn failed(reason: &str) -> Refused {
    Refused { code: None, reason: wording::in_words(reason).to_owned() }
}

/// The requests for a kind in a namespace, and the name as part of a path.
async fn place(
    api: &Api,
    api_version: &str,
    kind: &str,
    namespace: &str,
    name: &str,
) -> Result<(kube::core::Request, String), Refused> {
    let known = api.kind(api_version, kind).await.map_err(|reason| failed(&reason))?;
    let within = Some(namespace).filter(|namespace| !namespace.is_empty());
    let (Some(in_path), Some(within)) = (segment(name), within.map_or(Some(None), |it| segment(it).map(Some))) else {
        return Err(failed(&format!("there can be no object named {name:?}")));
    };
    Ok((requests(&known, within.as_deref()), in_path.into_owned()))
}

async fn send(api: &Api, request: http::Request<Vec<u8>>) -> Result<Value, Refused> {
    match api.within(api.client.request_text(request)).await {
        Ok(Ok(text)) => parse(&text).map_err(|reason| failed(&reason)),
        Ok(Err(kube::Error::Api(status))) => Err(Refused { code: Some(status.code), reason: status.message.clone() }),
        Ok(Err(error)) => Err(failed(&error.to_string())),
        Err(reason) => Err(failed(&reason)),
    }
}
