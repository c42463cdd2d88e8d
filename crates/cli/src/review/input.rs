//! Finding the requests in whatever was named: files, folders, standard input, lists, arrays.

use std::path::PathBuf;

use serde_json::Value;

use super::request::Request;
use crate::arguments::ReviewOptions;
use crate::documents::{self, Document, Origin, Source, is_stdin};
use crate::fault::Fault;

/// What was named, in either way.
pub fn named(options: &ReviewOptions) -> Vec<PathBuf> {
    options.files.iter().chain(&options.filename).cloned().collect()
}

/// Standard input can be read but once.
pub fn check_stdin(options: &ReviewOptions) -> Result<(), Fault> {
    let files = named(options);
    let for_requests = files.is_empty() || files.iter().any(|file| is_stdin(file));
    let for_cluster = options.cluster.iter().any(|path| is_stdin(path));
    if for_requests && for_cluster {
        let fault = Fault::new("both the requests and --cluster would be read from standard input");
        return Err(fault.help("name a file for one of them"));
    }
    Ok(())
}

/// Reads all requests, and what is none of what was named.
pub fn requests(files: &[PathBuf]) -> Result<(Vec<Request>, Vec<Fault>), Fault> {
    let (mut requests, mut faults) = (Vec::new(), Vec::new());
    let sources = sources(files, &mut faults);
    for source in &sources {
        match source.documents() {
            Ok(documents) => {
                for document in documents {
                    collect(document, &mut requests, &mut faults);
                }
            }
            Err(fault) => faults.push(fault),
        }
    }
    if requests.is_empty() && faults.is_empty() {
        let names: Vec<&str> = sources.iter().map(|source| source.name.as_str()).collect();
        let place = if names.is_empty() { paths(files) } else { names.join(", ") };
        return Err(Fault::new(format!("there is no request in {place}")).help(WHAT_REQUESTS_ARE));
    }
    Ok((requests, faults))
}

const WHAT_REQUESTS_ARE: &str = "a request is an AdmissionReview or an AdmissionRequest, such as `kwctl scaffold admission-request` makes of an object";

fn sources(files: &[PathBuf], faults: &mut Vec<Fault>) -> Vec<Source> {
    let mut read = Vec::new();
    if files.is_empty() {
        read.push(Source::stdin("requests"));
    }
    for path in files {
        if is_stdin(path) {
            read.push(Source::stdin("requests"));
            continue;
        }
        match documents::files(path) {
            Ok(files) => read.extend(files.iter().map(|file| Source::file(file))),
            Err(fault) => read.push(Err(fault)),
        }
    }
    read.into_iter().filter_map(|source| source.map_err(|fault| faults.push(fault)).ok()).collect()
}

fn paths(files: &[PathBuf]) -> String {
    files.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// Takes a document apart until there are requests.
fn collect(document: Document, requests: &mut Vec<Request>, faults: &mut Vec<Fault>) {
    let Document { origin, mut value } = document;
    let items = match &mut value {
        Value::Array(items) => Some(std::mem::take(items)),
        value => list_items(value),
    };
    let Some(items) = items else {
        let fault = unusable(&origin, &value);
        match Request::new(origin.to_string(), value) {
            Some(request) => requests.push(request),
            None => faults.push(fault),
        }
        return;
    };
    for (index, value) in items.into_iter().enumerate() {
        collect(Document { origin: Origin { item: Some(index + 1), ..origin.clone() }, value }, requests, faults);
    }
}

fn list_items(value: &mut Value) -> Option<Vec<Value>> {
    let is_list = value["kind"].as_str().is_some_and(|kind| kind.ends_with("List"));
    match value.get_mut("items") {
        Some(Value::Array(items)) if is_list => Some(std::mem::take(items)),
        _ => None,
    }
}

fn unusable(origin: &Origin, value: &Value) -> Fault {
    let fault = Fault::new(format!("{origin} is no admission request"));
    match value["kind"].as_str() {
        Some("AdmissionReview") => {
            fault.because("it is an AdmissionReview without a request that has operation and kind")
        }
        Some(kind) => fault.because(format!("it is a {kind}")).help(WHAT_REQUESTS_ARE),
        None => fault.because("it has no operation and kind").help(WHAT_REQUESTS_ARE),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: Value) -> Result<Vec<String>, Fault> {
        let (mut requests, mut faults) = (Vec::new(), Vec::new());
        let origin = Origin { source: "input".into(), document: None, item: None };
        collect(Document { origin, value }, &mut requests, &mut faults);
        faults.into_iter().next().map_or(Ok(()), Err)?;
        Ok(requests.into_iter().map(|request| request.origin).collect())
    }

    fn request() -> Value {
        json!({"operation": "DELETE", "kind": {"kind": "Pod"}})
    }

    #[test]
    fn arrays_and_lists_are_taken_apart() {
        assert_eq!(read(request()), Ok(vec!["input".to_owned()]));
        let items = Ok(vec!["input, item 1".to_owned(), "input, item 2".to_owned()]);
        assert_eq!(read(json!([request(), {"request": request()}])), items);
        assert_eq!(read(json!({"kind": "List", "items": [request(), request()]})), items);
    }

    #[test]
    fn what_is_no_request_is_named_by_its_kind() {
        let message = read(json!([request(), {"kind": "Deployment"}])).unwrap_err().to_string();
        assert!(
            message.starts_with("error: input, item 2 is no admission request: it is a Deployment\nhelp: "),
            "{message}"
        );
        let message = read(json!({"kind": "AdmissionReview", "response": {}})).unwrap_err().to_string();
        assert!(message.contains("without a request"), "{message}");
        assert!(read(json!("text")).is_err());
    }
}
