//! What each tool does to an autoscaler, predicted and seen side by side; the table in `docs/preflight.md` is written
//! from here: `AUTOSCALER_GUARD_WRITE=1 cargo test --workspace --test flows`.
//!
//! Seen with Kubernetes 1.36, KEDA 2.21 without its webhook, Helm 3.22 and 4.3, kustomize-controller 1.9.6 and Argo CD
//! 3.6.1.

#![allow(clippy::restriction, reason = "a test may panic")]

use std::fmt::Write;
use std::fs;
use std::path::Path;

use autoscaler_guard_world::play::assumed;
use autoscaler_guard_world::worlds::Scaling;
use autoscaler_guard_world::{Change, Eager, Outcome, Setup, Tool, play};
use serde_json::{Value, json};

/// A change, and what was seen of it: tool and outcome, or the outcomes that timing decides between.
struct Flow {
    name: &'static str,
    before: Vec<Value>,
    after: Vec<Value>,
    seen: &'static [(Tool, &'static [Outcome])],
}

fn stateful_set(manifests: &[Value]) -> Vec<Value> {
    as_kind(manifests, "apps/v1", "StatefulSet")
}

fn as_kind(manifests: &[Value], api_version: &str, kind: &str) -> Vec<Value> {
    let mut changed = manifests.to_vec();
    for manifest in &mut changed {
        if manifest["kind"] == "Deployment" {
            manifest["apiVersion"] = api_version.into();
            manifest["kind"] = kind.into();
        } else {
            manifest["spec"]["scaleTargetRef"]["apiVersion"] = api_version.into();
            manifest["spec"]["scaleTargetRef"]["kind"] = kind.into();
        }
    }
    changed
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn flows() -> Vec<Flow> {
    use Outcome::{Declared, Gap, Gone, HandedOver, Kept, Lost, Stuck};
    use Scaling as S;
    use Tool::{ArgoCd, ArgoCdPruneLast, Flux, Helm3, Helm4, Helm4ClientSide};
    const ADOPTED: &[Outcome] = &[Kept, HandedOver];
    let flow = |name, before: Scaling, after: Scaling, seen| Flow {
        name,
        before: before.manifests("web"),
        after: after.manifests("web"),
        seen,
    };
    vec![
        flow(
            "HPA → ScaledObject, one HPA name",
            S::Hpa,
            S::KedaNamed,
            &[(Helm3, &[Gap]), (Helm4, &[Gap]), (Flux, &[Gap]), (ArgoCd, &[Gap]), (ArgoCdPruneLast, ADOPTED)],
        ),
        flow(
            "ScaledObject → HPA, one HPA name",
            S::KedaNamed,
            S::Hpa,
            &[
                (Helm3, &[Lost]),
                (Helm4, &[Stuck]),
                (Helm4ClientSide, &[Lost]),
                (Flux, &[Lost]),
                (ArgoCd, &[Gap]),
                (ArgoCdPruneLast, &[Lost]),
            ],
        ),
        flow(
            "ScaledObject → HPA, equal specs",
            S::KedaEqual,
            S::Hpa,
            &[(Helm3, &[Lost]), (Helm4, &[Lost]), (Flux, &[Lost]), (ArgoCd, &[Gap])],
        ),
        flow(
            "HPA → ScaledObject, two names",
            S::Hpa,
            S::Keda,
            &[(Flux, &[Gap, Kept]), (ArgoCd, &[Gap]), (ArgoCdPruneLast, &[Kept])],
        ),
        flow(
            "ScaledObject → HPA, two names",
            S::Keda,
            S::Hpa,
            &[(Helm3, &[Kept]), (Flux, &[Kept]), (ArgoCd, &[Gap]), (ArgoCdPruneLast, &[Kept])],
        ),
        flow(
            "HPA renamed",
            S::Hpa,
            S::OtherHpa,
            &[(Helm3, &[Kept]), (Flux, &[Kept]), (ArgoCd, &[Gap]), (ArgoCdPruneLast, &[Kept])],
        ),
        flow("ScaledObject renamed, one HPA name", S::KedaNamed, S::KedaRenamed, &[(Flux, ADOPTED), (ArgoCd, &[Gap])]),
        flow(
            "autoscaler dropped",
            S::Hpa,
            S::Nothing,
            &[(Helm3, &[Lost]), (Flux, &[Lost]), (ArgoCd, &[Lost]), (ArgoCdPruneLast, &[Lost])],
        ),
        flow(
            "a count instead",
            S::Hpa,
            S::Count,
            &[
                (Helm3, &[Declared]),
                (Helm4, &[Declared]),
                (Flux, &[Declared]),
                (ArgoCd, &[Declared]),
                (ArgoCdPruneLast, &[Declared]),
            ],
        ),
        flow(
            "workload and HPA dropped",
            S::Hpa,
            S::Gone,
            &[(Helm3, &[Gone]), (Flux, &[Gone]), (ArgoCd, &[Gone]), (ArgoCdPruneLast, &[Gone])],
        ),
        flow(
            "workload and HPA renamed",
            S::Hpa,
            S::WorkloadRenamed,
            &[(Helm3, &[Gone]), (Flux, &[Gone]), (ArgoCd, &[Gone]), (ArgoCdPruneLast, &[Gone])],
        ),
        flow(
            "workload renamed, HPA keeps its name",
            S::Hpa,
            S::WorkloadRenamedHpaKept,
            &[(Helm3, &[Gone]), (Flux, &[Gone]), (ArgoCd, &[Gone])],
        ),
        Flow {
            name: "Deployment → StatefulSet, one HPA",
            before: S::Hpa.manifests("web"),
            after: stateful_set(&S::Hpa.manifests("web")),
            seen: &[(Flux, &[Gone]), (ArgoCd, &[Gone]), (ArgoCdPruneLast, &[Gone])],
        },
        Flow {
            name: "Deployment → Rollout, one HPA",
            before: S::Hpa.manifests("web"),
            after: as_kind(&S::Hpa.manifests("web"), "argoproj.io/v1alpha1", "Rollout"),
            seen: &[(Helm3, &[]), (ArgoCd, &[])],
        },
        Flow {
            name: "umbrella chart: one of two switched",
            before: [S::KedaNamed.manifests("web"), S::Hpa.manifests("api")].concat(),
            after: [S::Hpa.manifests("web"), S::Hpa.manifests("api")].concat(),
            seen: &[(Helm3, &[Lost])],
        },
        Flow {
            name: "ScaledObject → HPA, one HPA name, in waves",
            before: in_waves(S::KedaNamed.manifests("web")),
            after: in_waves(S::Hpa.manifests("web")),
            seen: &[(ArgoCd, &[Lost])],
        },
        Flow {
            name: "HPA renamed, in waves",
            before: in_waves(S::Hpa.manifests("web")),
            after: in_waves(S::OtherHpa.manifests("web")),
            seen: &[(ArgoCd, &[Gap])],
        },
        Flow {
            name: "a count beside the HPA, as before",
            before: S::HpaAndCount.manifests("web"),
            after: with_image(S::HpaAndCount.manifests("web")),
            seen: &[(Helm3, &[Kept]), (Helm4, &[Stuck])],
        },
    ]
}

/// The workload in wave 0, its autoscaler in wave 1.
fn in_waves(mut manifests: Vec<Value>) -> Vec<Value> {
    for (number, manifest) in manifests.iter_mut().enumerate() {
        manifest["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"] = number.to_string().into();
    }
    manifests
}

fn with_image(mut manifests: Vec<Value>) -> Vec<Value> {
    manifests[0]["spec"]["template"]["metadata"]["annotations"] = json!({"revision": "2"});
    manifests
}

fn predicted(flow: &Flow, tool: Tool) -> Outcome {
    let change = Change::new(tool, "web", "shop", &flow.before, &flow.after);
    let start = assumed(Setup::default(), &change);
    let side = play(&start, &change, None, Eager::Yes);
    let of_web =
        side.reports.iter().find(|report| &*report.workload.name == "web" && &*report.workload.kind == "Deployment");
    of_web.expect("the workload is there").outcome
}

fn table() -> (String, Vec<String>) {
    let mut wrong = Vec::new();
    let mut text = "| change | tool | predicted | seen |\n|---|---|---|---|\n".to_owned();
    for flow in flows() {
        for (tool, seen) in flow.seen {
            let predicted = predicted(&flow, *tool);
            let words: Vec<&str> = seen.iter().map(|outcome| outcome.id()).collect();
            let words = if seen.is_empty() { "not tried".to_owned() } else { words.join(" or ") };
            if !seen.is_empty() && !seen.contains(&predicted) {
                wrong.push(format!("{} by {}: predicted {predicted}, seen {words}", flow.name, tool.id()));
            }
            let _ = writeln!(text, "| {} | `{}` | {predicted} | {words} |", flow.name, tool.id());
        }
    }
    (text, wrong)
}

#[test]
fn what_is_predicted_is_what_was_seen() {
    let (text, wrong) = table();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/preflight.md");
    let page = fs::read_to_string(&path).expect("the page is there");
    let (begin, end) = ("<!-- flows:begin -->\n", "<!-- flows:end -->");
    let (head, rest) = page.split_once(begin).expect("the table begins");
    let (_, tail) = rest.split_once(end).expect("the table ends");
    let wanted = format!("{head}{begin}{text}{end}{tail}");
    if std::env::var_os("AUTOSCALER_GUARD_WRITE").is_some() {
        fs::write(&path, wanted).expect("the page can be written");
    } else {
        assert!(
            page == wanted,
            "docs/preflight.md is old: AUTOSCALER_GUARD_WRITE=1 cargo test --workspace --test flows"
        );
    }
}
