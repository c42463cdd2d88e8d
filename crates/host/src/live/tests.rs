use std::{
    convert::Infallible,
    sync::{Mutex, PoisonError},
};

use http::{Method, Response};
use kube::client::Body;
use tower::service_fn;

use super::*;

type Requests = Arc<Mutex<Vec<String>>>;

/// A small API server: deployments in apps/v1, namespaces and pods in v1, nothing of KEDA.
fn answer(method: &Method, path: &str, body: &Value) -> (u16, String) {
    let forbidden = |what: &str| {
        let status = json!({
            "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 403, "reason": "Forbidden",
            "message": format!("{what} is forbidden: User \"jane\" cannot get resource \"pods\" in API group \"\" in the namespace \"shop\""),
        });
        (403, status.to_string())
    };
    let resource = |name: &str, kind: &str, namespaced: bool| json!({"name": name, "kind": kind, "namespaced": namespaced, "singularName": "", "verbs": ["get", "list"]});
    let web = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicas": 3, "paused": false},
        "metadata": {"name": "web", "namespace": "shop", "managedFields": [{}], "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"}},
    });
    let listed = json!({"kind": "DeploymentList", "apiVersion": "apps/v1", "metadata": {"resourceVersion": "7"}, "items": [web]});
    let resources = |group_version: &str, resources: Value| {
        (200, json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": resources}).to_string())
    };
    match (method.as_str(), path) {
        ("GET", "/apis/apps/v1") => resources(
            "apps/v1",
            json!([resource("deployments", "Deployment", true), resource("deployments/scale", "Scale", true)]),
        ),
        ("GET", "/api/v1") => {
            resources("v1", json!([resource("namespaces", "Namespace", false), resource("pods", "Pod", true)]))
        }
        ("GET", "/apis/apps/v1/namespaces/shop/deployments/web") => (200, web.to_string()),
        (
            "GET",
            "/apis/apps/v1/deployments?" | "/apis/apps/v1/namespaces/shop/deployments?&labelSelector=app%3Dweb",
        ) => (200, listed.to_string()),
        ("GET", "/api/v1/namespaces/shop") => {
            (200, json!({"kind": "Namespace", "metadata": {"name": "shop"}}).to_string())
        }
        ("GET", "/api/v1/namespaces/shop/pods/web") => forbidden("pods \"web\""),
        ("GET", "/api/v1/namespaces/slow/pods/web") => (0, String::new()),
        ("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews?") => {
            let reason = body["spec"]["user"].clone();
            (201, json!({"status": {"allowed": false, "reason": reason}}).to_string())
        }
        ("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews?") => {
            let denied = body["spec"]["resourceAttributes"]["resource"] == "secrets";
            (201, json!({"status": {"allowed": body["spec"]["user"].is_null() && !denied}}).to_string())
        }
        ("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews?") => {
            (201, json!({"status": {"userInfo": {"username": "jane"}}}).to_string())
        }
        ("GET", path) if path.starts_with("/apis/apps/v1/") || path.starts_with("/api/v1/") => {
            let status = json!({"kind": "Status", "status": "Failure", "code": 404, "reason": "NotFound", "message": "not found"});
            (404, status.to_string())
        }
        _ => (404, "404 page not found\n".into()),
    }
}

fn cluster() -> (LiveCluster, Requests) {
    let requests = Requests::default();
    let log = Arc::clone(&requests);
    let service = service_fn(move |request: http::Request<Body>| {
        let log = Arc::clone(&log);
        async move {
            let (parts, body) = request.into_parts();
            let path = parts.uri.path_and_query().map(ToString::to_string).unwrap();
            let body = body.collect_bytes().await.unwrap();
            log.lock().unwrap_or_else(PoisonError::into_inner).push(path.clone());
            let (status, text) = answer(&parts.method, &path, &serde_json::from_slice(&body).unwrap_or_default());
            if status == 0 {
                std::future::pending::<()>().await;
            }
            let response = Response::builder().status(status).body(Body::from(text.into_bytes()));
            Ok::<_, Infallible>(response.unwrap())
        }
    });
    let options = LiveOptions {
        stands_for: Some("policy-server".into()),
        timeout: Duration::from_secs(2),
        ..LiveOptions::default()
    };
    let runtime = runtime().unwrap();
    let client = runtime.block_on(async { Client::new(service, "default") });
    (LiveCluster { api: Arc::new(Api::new(client, options)), runtime: Some(runtime) }, requests)
}

fn call(cluster: &LiveCluster, operation: &str, request: &Value) -> Result<Value, String> {
    cluster.call(operation, request.to_string().as_bytes()).map(|answer| serde_json::from_slice(&answer).unwrap())
}

fn get(
    cluster: &LiveCluster,
    api_version: &str,
    kind: &str,
    namespace: Option<&str>,
    name: &str,
) -> Result<Value, String> {
    let request =
        json!({"api_version": api_version, "kind": kind, "namespace": namespace, "name": name, "disable_cache": true});
    call(cluster, "get_resource", &request)
}

#[test]
fn an_object_is_fetched_whole_or_masked() {
    let (cluster, requests) = cluster();
    let web = get(&cluster, "apps/v1", "Deployment", Some("shop"), "web").unwrap();
    assert_eq!(web["metadata"]["managedFields"], json!([{}]));
    let masked = json!({"api_version": "apps/v1", "kind": "Deployment", "namespace": "shop", "name": "web", "disable_cache": true, "field_masks": ["spec.replicas"]});
    assert_eq!(call(&cluster, "get_resource", &masked).unwrap()["spec"], json!({"replicas": 3}));
    let discovered = requests.lock().unwrap().iter().filter(|path| *path == "/apis/apps/v1").count();
    assert_eq!(discovered, 1, "discovery is kept");
    assert!(get(&cluster, "v1", "Namespace", Some("ignored"), "shop").is_ok());
}

#[test]
fn lists_are_made_within_a_namespace_or_everywhere() {
    let (cluster, _) = cluster();
    let request =
        json!({"api_version": "apps/v1", "kind": "Deployment", "namespace": "shop", "label_selector": "app=web"});
    let list = call(&cluster, "list_resources_by_namespace", &request).unwrap();
    assert_eq!(list["items"][0]["metadata"], json!({"name": "web", "namespace": "shop", "annotations": {}}));
    let list = call(&cluster, "list_resources_all", &json!({"api_version": "apps/v1", "kind": "Deployment"})).unwrap();
    assert_eq!((&list["kind"], &list["apiVersion"]), (&json!("DeploymentList"), &json!("apps/v1")));
    let request = json!({"api_version": "v1", "kind": "Namespace", "namespace": "shop"});
    assert_eq!(
        call(&cluster, "list_resources_by_namespace", &request).unwrap_err(),
        "Callback evaluation failure: resource v1/Namespace is cluster wide. Cannot search for it inside of a namespace"
    );
}

#[test]
fn failures_are_worded_as_policy_server_words_them() {
    let (cluster, _) = cluster();
    assert_eq!(
        get(&cluster, "apps/v1", "Deployment", Some("shop"), "x").unwrap_err(),
        "Callback evaluation failure: Cannot find apps/v1/Deployment named 'x' inside of namespace 'Some(\"shop\")'"
    );
    assert_eq!(
        get(&cluster, "apps/v1", "Fleet", Some("shop"), "x").unwrap_err(),
        "Callback evaluation failure: Cannot find resource apps/v1/Fleet"
    );
    let error = get(&cluster, "keda.sh/v1alpha1", "ScaledObject", Some("shop"), "x").unwrap_err();
    assert!(
        error.starts_with("Callback evaluation failure: error finding resource keda.sh/v1alpha1 / ScaledObject: ApiError: 404 page not found: "),
        "{error}"
    );
    assert_eq!(
        get(&cluster, "apps/v1", "Deployment", None, "x").unwrap_err(),
        "Callback evaluation failure: Resource apps/v1/Deployment is namespaced, but no namespace was provided"
    );
    let error = get(&cluster, "v1", "Pod", Some("shop"), "web").unwrap_err();
    assert!(
        error.starts_with("Callback evaluation failure: ApiError: pods \"web\" is forbidden: User \"jane\" cannot get resource \"pods\" in API group \"\" in the namespace \"shop\": Forbidden (Status {"),
        "{error}"
    );
}

#[test]
fn an_answer_that_does_not_come_is_not_waited_for() {
    let (cluster, _) = cluster();
    assert_eq!(
        get(&cluster, "v1", "Pod", Some("slow"), "web").unwrap_err(),
        "Callback evaluation failure: the API server gave no answer within 2s"
    );
}

#[test]
fn the_policy_servers_own_rights_are_the_runners() {
    let (cluster, _) = cluster();
    let may = |user: &str, resource: &str| {
        let attributes = json!({"verb": "list", "resource": resource, "group": null, "namespace": null});
        let request = json!({"subject_access_review": {"user": user, "groups": ["a"], "resource_attributes": attributes}, "disable_cache": true});
        call(&cluster, "can_i", &request)
    };
    assert_eq!(may("jane", "pods"), Ok(json!({"allowed": false, "reason": "jane"})));
    assert_eq!(may("policy-server", "pods"), Ok(json!({"allowed": true})));
    // It is jane who asks.
    let denied = Err("Callback evaluation failure: jane may not list secrets".to_owned());
    assert_eq!(may("policy-server", "secrets"), denied);
}

#[test]
fn it_works_inside_of_another_runtime() {
    let outer = runtime().unwrap();
    outer.block_on(async {
        let (cluster, _) = std::thread::spawn(cluster).join().unwrap();
        assert!(get(&cluster, "apps/v1", "Deployment", Some("shop"), "web").is_ok());
        drop(cluster);
    });
}

fn refused(options: LiveOptions) -> String {
    LiveCluster::connect(options).unwrap_err().to_string()
}

fn kubeconfig(text: &str) -> PathBuf {
    use std::hash::{BuildHasher, RandomState};
    let path = std::env::temp_dir().join(format!("kubeconfig-{:x}", RandomState::new().hash_one(text)));
    std::fs::write(&path, text).unwrap();
    path
}

const CONTEXTS: &str = "
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}]
users: [{name: u, user: {}}]
contexts: [{name: staging, context: {cluster: c, user: u}}, {name: production, context: {cluster: c, user: u}}]
";

#[test]
fn an_unknown_context_is_answered_with_those_there_are() {
    let path = kubeconfig(CONTEXTS);
    let error =
        refused(LiveOptions { kubeconfig: Some(path.clone()), context: Some("prod".into()), ..LiveOptions::default() });
    assert_eq!(error, "the kubeconfig has no context `prod`; it has `staging`, `production`");
    let error = refused(LiveOptions {
        kubeconfig: Some(path.clone()),
        context: Some("staging".into()),
        ..LiveOptions::default()
    });
    assert!(error.starts_with("the API server http://127.0.0.1:1/ does not answer: "), "{error}");
    std::fs::remove_file(path).unwrap();
}

#[test]
fn an_unusable_kubeconfig_is_named() {
    let error = refused(LiveOptions { kubeconfig: Some("missing/kubeconfig".into()), ..LiveOptions::default() });
    assert!(error.starts_with("the kubeconfig missing/kubeconfig cannot be read: No such file"), "{error}");
    assert!(error.ends_with("check it with `kubectl config view`"), "{error}");
}

#[test]
fn names_are_no_paths_and_versions_no_queries() {
    let (cluster, requests) = cluster();
    for name in ["web/scale", "web%2Fscale", "..", ".", ""] {
        let absent = get(&cluster, "apps/v1", "Deployment", Some("shop"), name).unwrap_err();
        assert!(absent.contains("Cannot find apps/v1/Deployment named"), "{absent}");
        let absent = get(&cluster, "apps/v1", "Deployment", Some(name), "web").unwrap_err();
        assert!(absent.contains("Cannot find apps/v1/Deployment named"), "{absent}");
    }
    let absent = get(&cluster, "apps/v1", "Deployment", Some("shop"), "web?x=1#y").unwrap_err();
    assert!(absent.contains("named 'web?x=1#y'"), "{absent}");
    for version in ["apps/v1?x", "apps/v1/deployments", "../v1", "a b/v1", ""] {
        let absent = get(&cluster, version, "Deployment", Some("shop"), "web").unwrap_err();
        assert!(absent.contains("Cannot find resource"), "{absent}");
    }
    let asked = requests.lock().unwrap().clone();
    assert_eq!(asked, ["/apis/apps/v1", "/apis/apps/v1/namespaces/shop/deployments/web%3Fx%3D1%23y"]);
}

#[test]
fn lookups_end_with_their_budget_or_when_nobody_waits() {
    let (cluster, _) = cluster();
    let request =
        json!({"api_version": "v1", "kind": "Pod", "namespace": "slow", "name": "web", "disable_cache": true});
    let request = request.to_string();
    let ask = |until: Duration, gone: bool| {
        let budget =
            Budget { until: std::time::Instant::now() + until, gone: tokio_util::sync::CancellationToken::new() };
        if gone {
            budget.gone.cancel();
        }
        cluster.call_within("get_resource", request.as_bytes(), &budget)
    };
    for (until, gone) in [(Duration::from_millis(50), false), (Duration::from_hours(1), true), (Duration::ZERO, false)]
    {
        assert_eq!(ask(until, gone), Err(Budget::exhausted()));
    }
}
