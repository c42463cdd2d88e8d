//! Whole lists, page by page: for those who look at a cluster at large, and keep little of each object.

use std::sync::Arc;

use kube::core::params::ListParams;
use serde_json::Value;

use super::{Api, LiveCluster, built, parse, requests, segment, wait};
use crate::wording;

/// Which objects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Group and version.
    pub api_version: String,
    /// The kind.
    pub kind: String,
    /// In which namespace; none for the whole cluster.
    pub namespace: Option<String>,
    /// With which labels, in kubectl's notation.
    pub label_selector: Option<String>,
    /// With which fields, likewise.
    pub field_selector: Option<String>,
}

/// Why there is no list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unlisted {
    /// The API server does not know the kind.
    NotServed,
    /// It may not be read, or there was no answer; in words for people.
    Failed(String),
}

/// How many objects a page has, as kubectl asks for them.
const PAGE: u32 = 500;

impl LiveCluster {
    /// The namespace of the context.
    pub fn default_namespace(&self) -> &str {
        self.api.client.default_namespace()
    }

    /// Lists objects, page by page; `keep` says what is kept of each. A list that changes too much meanwhile is begun anew.
    pub fn read_all(&self, wanted: &Wanted, keep: fn(&mut Value)) -> Result<Vec<Value>, Unlisted> {
        let (mut objects, mut next, mut restarts) = (Vec::new(), None, 0);
        loop {
            let (api, wanted, from) = (Arc::clone(&self.api), wanted.clone(), next.take());
            let page = async move { page(&api, &wanted, from).await };
            let answer = self.runtime.as_ref().and_then(|runtime| wait(runtime, page));
            match answer.unwrap_or_else(|| Err(Failure::Other("the list was interrupted".to_owned()))) {
                Ok((found, more)) => {
                    objects.extend(found.into_iter().map(|mut object| {
                        keep(&mut object);
                        object
                    }));
                    match more {
                        Some(more) => next = Some(more),
                        None => return Ok(objects),
                    }
                }
                Err(Failure::Expired) if restarts < 3 => {
                    restarts += 1;
                    objects.clear();
                }
                Err(Failure::Expired) => return Err(Unlisted::Failed("the list changes too fast".to_owned())),
                Err(Failure::NotServed) => return Err(Unlisted::NotServed),
                Err(Failure::Other(reason)) => return Err(Unlisted::Failed(reason)),
            }
        }
    }
}

enum Failure {
    NotServed,
    Expired,
    Other(String),
}

type Page = (Vec<Value>, Option<String>);

async fn page(api: &Api, wanted: &Wanted, from: Option<String>) -> Result<Page, Failure> {
    let known = api.kind(&wanted.api_version, &wanted.kind).await.map_err(|reason| {
        if wording::is_unserved(&reason) { Failure::NotServed } else { Failure::Other(words(&reason)) }
    })?;
    let namespace = wanted.namespace.as_deref().filter(|_| known.namespaced);
    let Some(within) = namespace.map_or(Some(None), |it| segment(it).map(Some)) else {
        return Err(Failure::Other(format!("there can be no namespace {namespace:?}")));
    };
    let parameters = ListParams {
        label_selector: wanted.label_selector.clone(),
        field_selector: wanted.field_selector.clone(),
        limit: Some(PAGE),
        continue_token: from,
        ..ListParams::default()
    };
    let request = built(requests(&known, within.as_deref()).list(&parameters))
        .map_err(|reason| Failure::Other(words(&reason)))?;
    let text = match api.within(api.client.request_text(request)).await {
        Ok(Ok(text)) => text,
        Ok(Err(kube::Error::Api(status))) if status.code == 410 => return Err(Failure::Expired),
        Ok(Err(kube::Error::Api(status))) if status.code == 404 => return Err(Failure::NotServed),
        Ok(Err(kube::Error::Api(status))) => return Err(Failure::Other(status.message.clone())),
        Ok(Err(error)) => return Err(Failure::Other(words(&error.to_string()))),
        Err(reason) => return Err(Failure::Other(words(&reason))),
    };
    let mut list = parse(&text).map_err(|reason| Failure::Other(words(&reason)))?;
    let more = list.pointer("/metadata/continue").and_then(Value::as_str).filter(|more| !more.is_empty());
    let more = more.map(str::to_owned);
    let mut items = list.get_mut("items").and_then(Value::as_array_mut).map(std::mem::take).unwrap_or_default();
    for item in &mut items {
        // The API server omits them from the items of its own kinds.
        item["apiVersion"] = Value::from(wanted.api_version.as_str());
        item["kind"] = Value::from(wanted.kind.as_str());
    }
    Ok((items, more))
}

fn words(reason: &str) -> String {
    wording::in_words(reason).to_owned()
}
