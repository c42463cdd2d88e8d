//! Generated worlds: what scales a workload before and after, who changes it, and what else there is.

use serde_json::{Value, json};

use crate::object::{self, Key};
use crate::play::assumed;
use crate::search::{Disturbance, Scenario};
use crate::server::{Propagation, Request, Setup, Verb, Version, World};
use crate::writers::{Change, Tool};

const NAMESPACE: &str = "shop";

/// What scales a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scaling {
    /// Nothing, and no count.
    Nothing,
    /// A declared count.
    Count,
    /// An HPA of the workload's name.
    Hpa,
    /// That HPA beside a declared count.
    HpaAndCount,
    /// An HPA of another name.
    OtherHpa,
    /// A ScaledObject with KEDA's name for its HPA.
    Keda,
    /// A ScaledObject whose HPA has the workload's name, with the annotation that takes one over.
    KedaNamed,
    /// The same under another name.
    KedaRenamed,
    /// The same, paused.
    KedaPaused,
    /// A ScaledObject whose HPA equals the plain one.
    KedaEqual,
    /// The workload is not there at all.
    Gone,
    /// The workload has another name, scaled by an HPA of its own name.
    WorkloadRenamed,
    /// The workload has another name, and the HPA keeps its own.
    WorkloadRenamedHpaKept,
}

impl Scaling {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::Nothing,
        Self::Count,
        Self::Hpa,
        Self::HpaAndCount,
        Self::OtherHpa,
        Self::Keda,
        Self::KedaNamed,
        Self::KedaRenamed,
        Self::KedaPaused,
        Self::KedaEqual,
        Self::Gone,
        Self::WorkloadRenamed,
        Self::WorkloadRenamedHpaKept,
    ];

    fn words(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Count => "a count",
            Self::Hpa => "HPA",
            Self::HpaAndCount => "HPA and a count",
            Self::OtherHpa => "HPA of another name",
            Self::Keda => "ScaledObject",
            Self::KedaNamed => "ScaledObject with the HPA's name",
            Self::KedaRenamed => "ScaledObject of another name",
            Self::KedaPaused => "paused ScaledObject",
            Self::KedaEqual => "ScaledObject with an equal HPA",
            Self::Gone => "no workload",
            Self::WorkloadRenamed => "workload and HPA renamed",
            Self::WorkloadRenamedHpaKept => "workload renamed",
        }
    }

    /// The manifests, for a workload of that name.
    pub fn manifests(self, name: &str) -> Vec<Value> {
        let renamed = format!("{name}-v2");
        let other = format!("{name}-other");
        let transfer = json!({"scaledobject.keda.sh/transfer-hpa-ownership": "true"});
        match self {
            Self::Gone => vec![config_map(name)],
            Self::Nothing => vec![deployment(name, None)],
            Self::Count => vec![deployment(name, Some(4))],
            Self::Hpa => vec![deployment(name, None), hpa(name, name, 5)],
            Self::HpaAndCount => vec![deployment(name, Some(4)), hpa(name, name, 5)],
            Self::OtherHpa => vec![deployment(name, None), hpa(&other, name, 5)],
            Self::Keda => vec![deployment(name, None), scaled_object(name, name, None, 7, None)],
            Self::KedaNamed => {
                vec![deployment(name, None), scaled_object(name, name, Some(name), 7, Some(transfer))]
            }
            Self::KedaEqual => {
                vec![deployment(name, None), scaled_object(name, name, Some(name), 5, Some(transfer))]
            }
            Self::KedaRenamed => {
                vec![deployment(name, None), scaled_object(&other, name, Some(name), 7, Some(transfer))]
            }
            Self::KedaPaused => {
                let paused = json!({"autoscaling.keda.sh/paused": "true"});
                vec![deployment(name, None), scaled_object(name, name, Some(name), 7, Some(paused))]
            }
            Self::WorkloadRenamed => vec![deployment(&renamed, None), hpa(&renamed, &renamed, 5)],
            Self::WorkloadRenamedHpaKept => vec![deployment(&renamed, None), hpa(name, &renamed, 5)],
        }
    }
}

fn config_map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": NAMESPACE}})
}

fn deployment(name: &str, replicas: Option<i64>) -> Value {
    let labels = json!({"app": name});
    let mut object = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}}},
    });
    if let Some(replicas) = replicas {
        object["spec"]["replicas"] = replicas.into();
    }
    object
}

fn hpa(name: &str, target: &str, max: i64) -> Value {
    json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": target}, "minReplicas": 2, "maxReplicas": max,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}],
        },
    })
}

fn scaled_object(name: &str, target: &str, hpa: Option<&str>, max: i64, annotations: Option<Value>) -> Value {
    let mut object = json!({
        "apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "scaleTargetRef": {"name": target}, "minReplicaCount": 2, "maxReplicaCount": max,
            "triggers": [{"type": "cpu", "metricType": "Utilization", "metadata": {"value": "80"}}],
        },
    });
    if let Some(hpa) = hpa {
        object["spec"]["advanced"] = json!({"horizontalPodAutoscalerConfig": {"name": hpa}});
    }
    if let Some(annotations) = annotations {
        object["metadata"]["annotations"] = annotations;
    }
    object
}

/// Every change from one way of scaling to another, by every tool.
pub fn changes() -> impl Iterator<Item = Scenario> {
    let pairs = Scaling::ALL.iter().flat_map(|before| Scaling::ALL.iter().map(move |after| (*before, *after)));
    let starts = pairs.filter(|(before, after)| {
        let renamed = |scaling: &Scaling| matches!(scaling, Scaling::WorkloadRenamed | Scaling::WorkloadRenamedHpaKept);
        before != after && !renamed(before) && *before != Scaling::Gone
    });
    starts.flat_map(|(before, after)| Tool::ALL.iter().map(move |tool| change(*tool, before, after)))
}

fn change(tool: Tool, before: Scaling, after: Scaling) -> Scenario {
    let (from, to) = (before.manifests("web"), after.manifests("web"));
    let change = Change::new(tool, "web", NAMESPACE, &from, &to);
    let start = started(&change);
    let name = format!("{}: {} → {}", tool.id(), before.words(), after.words());
    Scenario { name, start, change, disturbances: Vec::new() }
}

fn started(change: &Change) -> World {
    assumed(Setup { log: false, ..Setup::default() }, change).with(|setup| setup.keda_webhook = true)
}

/// What changes in applications of several workloads.
const FEW: &[(Scaling, Scaling)] = &[
    (Scaling::KedaNamed, Scaling::Hpa),
    (Scaling::Hpa, Scaling::KedaNamed),
    (Scaling::Hpa, Scaling::OtherHpa),
    (Scaling::Hpa, Scaling::Nothing),
    (Scaling::Keda, Scaling::Hpa),
    (Scaling::Hpa, Scaling::Count),
    (Scaling::KedaEqual, Scaling::Hpa),
    (Scaling::Hpa, Scaling::WorkloadRenamedHpaKept),
    (Scaling::KedaNamed, Scaling::KedaPaused),
    (Scaling::Hpa, Scaling::Gone),
];

/// Two workloads in one application, each changing in a way of its own.
pub fn pairs() -> impl Iterator<Item = Scenario> {
    let pairs = FEW.iter().enumerate().flat_map(|(at, one)| FEW.iter().skip(at).map(move |two| vec![*one, *two]));
    pairs.flat_map(|parts| Tool::ALL.iter().map(move |tool| together(*tool, &parts)))
}

/// Three of them: all that their controllers can do between the tool's requests.
pub fn triples() -> impl Iterator<Item = Scenario> {
    let triples = FEW.iter().enumerate().flat_map(|(first, one)| {
        FEW.iter()
            .enumerate()
            .skip(first)
            .flat_map(move |(second, two)| FEW.iter().skip(second).map(move |three| vec![*one, *two, *three]))
    });
    triples.flat_map(|parts| Tool::ALL.iter().map(move |tool| together(*tool, &parts)))
}

fn together(tool: Tool, parts: &[(Scaling, Scaling)]) -> Scenario {
    let names = ["web", "api", "jobs"];
    let side = |which: &dyn Fn(&(Scaling, Scaling)) -> Scaling| {
        parts.iter().zip(names).flat_map(|(part, name)| which(part).manifests(name)).collect::<Vec<Value>>()
    };
    let change = Change::new(tool, "web", NAMESPACE, &side(&|part| part.0), &side(&|part| part.1));
    let words: Vec<String> = parts.iter().map(|(from, to)| format!("{} → {}", from.words(), to.words())).collect();
    Scenario {
        name: format!("{}: {}", tool.id(), words.join(", beside ")),
        start: started(&change),
        change,
        disturbances: Vec::new(),
    }
}

/// The same, while somebody interferes.
pub fn interfered() -> impl Iterator<Item = Scenario> {
    let hpa = Key::hpa(NAMESPACE, "web");
    let scaled_object = Key::scaled_object(NAMESPACE, "web");
    let delete = |propagation| Verb::Delete { propagation, uid: None };
    let mut unpause = json!({});
    object::annotate(&mut unpause, "autoscaling.keda.sh/paused", "true");
    let people = vec![
        ("somebody deletes the HPA", Request::new(hpa.clone(), delete(Propagation::Background))),
        ("somebody deletes the ScaledObject", Request::new(scaled_object.clone(), delete(Propagation::Background))),
        (
            "somebody deletes the ScaledObject and keeps the HPA",
            Request::new(scaled_object.clone(), delete(Propagation::Orphan)),
        ),
        ("somebody pauses the ScaledObject", Request::new(scaled_object, Verb::Patch(unpause))),
        (
            "somebody takes the owner off",
            Request::new(hpa, Verb::Patch(json!({"metadata": {"ownerReferences": null}}))),
        ),
    ];
    let few = [
        (Scaling::KedaNamed, Scaling::Hpa),
        (Scaling::Hpa, Scaling::KedaNamed),
        (Scaling::KedaEqual, Scaling::Hpa),
        (Scaling::KedaNamed, Scaling::KedaRenamed),
    ];
    few.into_iter().flat_map(move |(before, after)| {
        let people = people.clone();
        Tool::ALL.iter().flat_map(move |tool| {
            people.clone().into_iter().map(move |(words, request)| {
                let scenario = change(*tool, before, after);
                let name = format!("{}; {words}", scenario.name);
                Scenario { name, disturbances: vec![Disturbance::Person(request)], ..scenario }
            })
        })
    })
}

/// Fleets of Envoy Gateway, of versions that differ.
pub fn fleets() -> impl Iterator<Item = Scenario> {
    let versions = [Version(1, 3, 0), Version(1, 4, 6), Version(1, 9, 1)];
    let hpa = json!({"envoyHpa": {"minReplicas": 2, "maxReplicas": 5}});
    let sides = vec![
        ("envoyHpa", hpa.clone()),
        ("nothing", json!({})),
        ("a count", json!({"envoyDeployment": {"replicas": 3}})),
        ("envoyHpa of another name", json!({"envoyHpa": {"minReplicas": 2, "maxReplicas": 5, "name": "edge"}})),
        (
            "envoyHpa and another Deployment",
            json!({"envoyHpa": {"minReplicas": 2, "maxReplicas": 5}, "envoyDeployment": {"name": "edge"}}),
        ),
    ];
    let tools = [Tool::Helm3, Tool::Helm4, Tool::Flux, Tool::ArgoCd, Tool::Kubectl];
    versions.into_iter().flat_map(move |version| {
        let sides = sides.clone();
        tools.into_iter().flat_map(move |tool| {
            let sides = sides.clone();
            let pairs: Vec<_> =
                sides.iter().flat_map(|one| sides.iter().map(move |two| (one.clone(), two.clone()))).collect();
            pairs.into_iter().filter(|(one, two)| one.0 != two.0).map(move |(one, two)| {
                let change = Change::new(tool, "edge", "edge", &fleet(&one.1), &fleet(&two.1));
                let setup = Setup { log: false, envoy_gateway: version, ..Setup::default() };
                let mut start = assumed(setup, &change);
                // The policy reads the version there.
                start.put(&controller(version), "", "helm");
                let Version(major, minor, patch) = version;
                let name = format!("{}, Envoy Gateway {major}.{minor}.{patch}: {} → {}", tool.id(), one.0, two.0);
                Scenario { name, start, change, disturbances: Vec::new() }
            })
        })
    })
}

fn fleet(kubernetes: &Value) -> Vec<Value> {
    let reference =
        json!({"group": "gateway.envoyproxy.io", "kind": "EnvoyProxy", "name": "edge", "namespace": "edge"});
    vec![
        json!({
            "apiVersion": "gateway.envoyproxy.io/v1alpha1", "kind": "EnvoyProxy", "metadata": {"name": "edge", "namespace": "edge"},
            "spec": {"provider": {"type": "Kubernetes", "kubernetes": kubernetes}},
        }),
        json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "GatewayClass", "metadata": {"name": "edge"},
            "spec": {"controllerName": "gateway.envoyproxy.io/gatewayclass-controller", "parametersRef": reference},
        }),
        json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "metadata": {"name": "eg", "namespace": "edge"},
            "spec": {"gatewayClassName": "edge", "listeners": [{"name": "http", "protocol": "HTTP", "port": 80}]},
        }),
    ]
}

fn controller(Version(major, minor, patch): Version) -> Value {
    let image = format!("docker.io/envoyproxy/gateway:v{major}.{minor}.{patch}");
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "envoy-gateway", "namespace": "envoy-gateway-system"},
        "spec": {"selector": {"matchLabels": {"control-plane": "envoy-gateway"}}, "template": {
            "metadata": {"labels": {"control-plane": "envoy-gateway"}}, "spec": {"containers": [{"name": "envoy-gateway", "image": image}]},
        }},
    })
}

/// The same, while the load moves and KEDA restarts.
fn disturbed(scenario: Scenario) -> Scenario {
    let web = Key::new("apps", "Deployment", NAMESPACE, "web");
    let api = Key::new("apps", "Deployment", NAMESPACE, "api");
    let loads = [(web.clone(), 4), (api, 5), (web, 2)];
    let mut disturbances: Vec<Disturbance> =
        loads.into_iter().map(|(workload, count)| Disturbance::Load(workload, count)).collect();
    disturbances.push(Disturbance::KedaRestarts);
    Scenario { name: format!("{}; the load moves, KEDA restarts", scenario.name), disturbances, ..scenario }
}

/// All worlds, the small ones first.
pub fn all() -> impl Iterator<Item = Scenario> {
    small().chain(pairs().map(disturbed)).chain(triples().map(disturbed))
}

/// Those with one application of one workload.
pub fn small() -> impl Iterator<Item = Scenario> {
    changes().chain(fleets()).chain(interfered())
}
