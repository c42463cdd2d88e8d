use serde_json::json;

use super::*;

const SHOP: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {replicas: 3}
---
# A version that is asked for by another name.
apiVersion: autoscaling/v1
kind: HorizontalPodAutoscaler
metadata: {name: web, namespace: shop}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscalerList
items:
- metadata: {name: api, namespace: shop}
- metadata: {name: api, namespace: bank}
---
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: Namespace
  metadata: {name: shop}
- apiVersion: keda.sh/v1alpha1
  kind: ScaledObject
  metadata: {name: web}
";

fn shop() -> Snapshot {
    Snapshot::from_text("shop.yaml", SHOP).unwrap()
}

fn with(documents: &str) -> Snapshot {
    Snapshot::from_text("shop.yaml", &format!("{SHOP}---\n{documents}")).unwrap()
}

fn call(snapshot: &Snapshot, operation: &str, request: &Value) -> Result<Value, String> {
    snapshot.call(operation, request.to_string().as_bytes()).map(|answer| serde_json::from_slice(&answer).unwrap())
}

fn get(
    snapshot: &Snapshot,
    api_version: &str,
    kind: &str,
    namespace: Option<&str>,
    name: &str,
) -> Result<Value, String> {
    let request =
        json!({"api_version": api_version, "kind": kind, "namespace": namespace, "name": name, "disable_cache": true});
    call(snapshot, "get_resource", &request)
}

fn names(list: &Value) -> Vec<String> {
    let name = |item: &Value| {
        format!("{}/{}", item["metadata"]["namespace"].as_str().unwrap(), item["metadata"]["name"].as_str().unwrap())
    };
    list["items"].as_array().unwrap().iter().map(name).collect()
}

fn list_all(snapshot: &Snapshot, api_version: &str, kind: &str) -> Result<Value, String> {
    call(snapshot, "list_resources_all", &json!({"api_version": api_version, "kind": kind}))
}

fn list_in(snapshot: &Snapshot, namespace: &str, kind: (&str, &str), selectors: (&str, &str)) -> Result<Value, String> {
    let request = json!({
        "api_version": kind.0, "kind": kind.1, "namespace": namespace, "label_selector": selectors.0, "field_selector": selectors.1,
    });
    call(snapshot, "list_resources_by_namespace", &request)
}

const HPA: (&str, &str) = ("autoscaling/v2", "HorizontalPodAutoscaler");
const DEPLOYMENT: (&str, &str) = ("apps/v1", "Deployment");

#[test]
fn an_object_is_found_by_its_address() {
    let shop = shop();
    assert_eq!(get(&shop, "apps/v1", "Deployment", Some("shop"), "web").unwrap()["spec"]["replicas"], 3);
    assert_eq!(get(&shop, "v1", "Namespace", None, "shop").unwrap()["metadata"]["name"], "shop");
    // policy-server does not mind a namespace where there can be none.
    assert!(get(&shop, "v1", "Namespace", Some("shop"), "shop").is_ok());
    // As kubectl would have put it.
    assert_eq!(
        get(&shop, "keda.sh/v1alpha1", "ScaledObject", Some("default"), "web").unwrap()["metadata"]["namespace"],
        "default"
    );
}

#[test]
fn another_version_of_the_group_is_answered_as_it_is_stored() {
    assert_eq!(get(&shop(), HPA.0, HPA.1, Some("shop"), "web").unwrap()["apiVersion"], "autoscaling/v1");
    assert_eq!(names(&list_all(&shop(), HPA.0, HPA.1).unwrap()), ["bank/api", "shop/api", "shop/web"]);
    assert_eq!(names(&list_in(&shop(), "shop", HPA, ("", "")).unwrap()), ["shop/api", "shop/web"]);
}

#[test]
fn what_is_not_there_is_missing_even_if_there_is_nothing_of_its_kind() {
    assert_eq!(
        get(&shop(), "keda.sh/v1alpha1", "ScaledObject", Some("default"), "x").unwrap_err(),
        "Callback evaluation failure: Cannot find keda.sh/v1alpha1/ScaledObject named 'x' inside of namespace 'Some(\"default\")'"
    );
    assert!(
        get(&shop(), "example.com/v1", "Fleet", Some("shop"), "x")
            .unwrap_err()
            .contains("Cannot find example.com/v1/Fleet named")
    );
    assert_eq!(
        list_all(&shop(), "example.com/v1", "Fleet").unwrap(),
        json!({"apiVersion": "example.com/v1", "kind": "FleetList", "metadata": {}, "items": []})
    );
}

#[test]
fn scopes_are_minded_as_policy_server_minds_them() {
    assert_eq!(
        get(&shop(), "apps/v1", "Deployment", None, "web").unwrap_err(),
        "Callback evaluation failure: Resource apps/v1/Deployment is namespaced, but no namespace was provided"
    );
    assert_eq!(
        list_in(&shop(), "shop", ("v1", "Namespace"), ("", "")).unwrap_err(),
        "Callback evaluation failure: resource v1/Namespace is cluster wide. Cannot search for it inside of a namespace"
    );
}

#[test]
fn lists_mind_selectors_and_leave_out_the_types_of_built_in_kinds() {
    let list = list_in(&shop(), "shop", DEPLOYMENT, ("app in (web)", "metadata.name=web")).unwrap();
    assert_eq!(list["kind"], "DeploymentList");
    assert_eq!(
        list["items"][0],
        json!({"metadata": {"name": "web", "namespace": "shop", "labels": {"app": "web"}}, "spec": {"replicas": 3}})
    );
    assert_eq!(list_in(&shop(), "shop", DEPLOYMENT, ("app!=web", "")).unwrap()["items"], json!([]));
    assert_eq!(list_all(&shop(), "keda.sh/v1alpha1", "ScaledObject").unwrap()["items"][0]["kind"], "ScaledObject");
    let error = list_in(&shop(), "shop", DEPLOYMENT, ("a b", "")).unwrap_err();
    assert!(
        error.starts_with("Callback evaluation failure: ApiError: unable to parse requirement: \"a b\": BadRequest"),
        "{error}"
    );
}

#[test]
fn a_kind_that_is_not_served() {
    let shop = with(
        "{apiVersion: autoscaler-guard/v1, kind: NotServed, spec: {apiVersion: keda.sh/v1alpha1, kind: ScaledObject}}",
    );
    assert_eq!(
        get(&shop, "keda.sh/v1alpha1", "ScaledObject", Some("default"), "web").unwrap_err(),
        "Callback evaluation failure: Cannot find resource keda.sh/v1alpha1/ScaledObject"
    );
    let mut empty = Snapshot::default();
    empty.not_served("keda.sh/v1alpha1", "ScaledObject");
    let error = list_all(&empty, "keda.sh/v1alpha1", "ScaledObject").unwrap_err();
    assert!(error.starts_with("Callback evaluation failure: error finding resource keda.sh/v1alpha1 / ScaledObject: ApiError: 404 page not found: "), "{error}");
}

#[test]
fn a_kind_that_was_not_granted() {
    let shop =
        with("{apiVersion: autoscaler-guard/v1, kind: NotGranted, spec: {apiVersion: apps/v1, kind: Deployment}}");
    let refused = "Policy has not been granted access to Kubernetes apps/v1/Deployment resources. The violation has been reported.";
    assert_eq!(get(&shop, "apps/v1", "Deployment", Some("shop"), "web").unwrap_err(), refused);
    assert_eq!(list_all(&shop, "apps/v1", "Deployment").unwrap_err(), refused);
}

fn denied(verb: &str, namespace: &str) -> String {
    format!(
        "{{apiVersion: authorization.k8s.io/v1, kind: SubjectAccessReview, spec: {{resourceAttributes: {{group: apps, resource: deployments, verb: {verb}, namespace: {namespace}}}}}, status: {{allowed: false}}}}"
    )
}

#[test]
fn a_get_that_is_not_permitted() {
    let shop = with(&denied("get", "shop"));
    let error = get(&shop, "apps/v1", "Deployment", Some("shop"), "web").unwrap_err();
    let first = error.lines().next().unwrap();
    assert!(
        first.starts_with(
            "Callback evaluation failure: ApiError: deployments.apps \"web\" is forbidden: User \"system:serviceaccount:kubewarden:policy-server\" cannot get resource \"deployments\" in API group \"apps\" in the namespace \"shop\": Forbidden (Status {"
        ),
        "{first}"
    );
    assert!(get(&shop, "apps/v1", "Deployment", Some("bank"), "web").unwrap_err().contains("Cannot find"));
}

#[test]
fn a_list_that_is_not_permitted() {
    let shop = with(&denied("watch", "''"));
    let error = list_in(&shop, "shop", DEPLOYMENT, ("", "")).unwrap_err();
    assert!(error.contains("deployments.apps is forbidden") && error.contains("cannot watch resource"), "{error}");
    assert!(error.ends_with("In a cluster this list would never be answered: ask can_i for list and watch first."));
    assert!(get(&shop, "apps/v1", "Deployment", Some("shop"), "web").is_ok());
}

#[test]
fn can_i_is_answered_by_the_same_documents() {
    let shop = with(&denied("watch", "''"));
    let ask = |verb: &str| {
        let attributes =
            json!({"group": "apps", "resource": "deployments", "verb": verb, "namespace": "shop", "name": null});
        let request = json!({"subject_access_review": {"user": "jane", "groups": null, "resource_attributes": attributes}, "disable_cache": true});
        call(&shop, "can_i", &request).unwrap()
    };
    assert_eq!(ask("watch"), json!({"allowed": false}));
    assert_eq!(ask("list"), json!({"allowed": true}));
    assert_eq!(ask("delete"), json!({"allowed": false}));
}

#[test]
fn objects_come_and_go() {
    let mut shop = shop();
    let before = shop.objects().count();
    assert!(shop.remove("apps/v1", "Deployment", Some("shop"), "web").is_some());
    assert!(get(&shop, "apps/v1", "Deployment", Some("shop"), "web").is_err());
    shop.insert(
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop"}}),
    )
    .unwrap();
    assert_eq!(shop.objects().count(), before);
}

#[test]
fn errors_name_the_file_the_document_and_the_place() {
    let error = Snapshot::from_text("stdin", "a: 1\n---\n# second\nkind: [\n---\n").unwrap_err().to_string();
    assert_eq!(
        error,
        "stdin, document 2 (line 2): unclosed bracket '[' (line 4, column 7); correct the document or leave the file out"
    );
    let error = Snapshot::from_text("pod.json", "{\"kind\": \"Pod\",\n \"x\": }").unwrap_err().to_string();
    assert_eq!(error, "pod.json: expected value (line 2, column 7); correct the document or leave the file out");
    let error = Snapshot::from_text("list.yaml", "kind: List\nitems: [{kind: Pod, apiVersion: v1}]").unwrap_err();
    assert_eq!(
        error.to_string(),
        "list.yaml, item 1: this is no Kubernetes object, since it has no metadata.name; add one or leave the document out"
    );
    let error = Snapshot::from_paths(&["missing.yaml"]).unwrap_err().to_string();
    assert!(
        error.starts_with("missing.yaml cannot be read: ") && error.ends_with("check the path and its permissions"),
        "{error}"
    );
}

#[test]
fn json_streams_are_read() {
    let text = "{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{\"name\":\"a\"}}\n\n{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{}}";
    let error = Snapshot::from_text("two.json", text).unwrap_err().to_string();
    assert!(error.starts_with("two.json, document 2 (line 3): "), "{error}");
}

#[test]
fn quoted_and_plain_scalars_keep_their_types() {
    let text = "{apiVersion: v1, kind: ConfigMap, metadata: {name: a, creationTimestamp: null, annotations: {at: 2024-01-01T00:00:00Z, paused: \"true\", count: '10', ver: \"1.10\"}}, n: 10, b: true, f: 1.5}";
    let snapshot = Snapshot::from_text("a.yaml", &format!("\n{text}")).unwrap();
    let object = get(&snapshot, "v1", "ConfigMap", Some("default"), "a").unwrap();
    assert_eq!(
        object["metadata"]["annotations"],
        json!({"at": "2024-01-01T00:00:00Z", "paused": "true", "count": "10", "ver": "1.10"})
    );
    assert_eq!((&object["n"], &object["b"], &object["f"]), (&json!(10), &json!(true), &json!(1.5)));
}

#[test]
fn ten_thousand_objects_are_read_and_searched_quickly() {
    let hpa = |n: usize| json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": format!("h{n}"), "namespace": format!("n{}", n % 100)}});
    let snapshot = Snapshot::from_objects((0..10_000).map(hpa).collect()).unwrap();
    let started = std::time::Instant::now();
    for n in 0..1000 {
        assert!(get(&snapshot, HPA.0, HPA.1, Some(&format!("n{}", n % 100)), &format!("h{n}")).is_ok());
    }
    assert_eq!(names(&list_in(&snapshot, "n7", HPA, ("", "")).unwrap()).len(), 100);
    assert!(started.elapsed() < std::time::Duration::from_secs(10), "{:?}", started.elapsed());
}
