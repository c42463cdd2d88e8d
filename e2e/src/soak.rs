//! The soak: deletes that must be refused, by the hundred, through a real API server and the policy as
//! `autoscaler-guard manifests` installs it. What passes is counted, and may be nothing.
//!
//! Pods do not run here, so processes take their place, with the arguments of the printed Deployment, and a proxy takes
//! the place of the Service: it knows who is ready, a second late, as kube-proxy does.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use futures::StreamExt as _;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::control_plane::{ControlPlane, GUARDED_USER, free_ports};
use crate::objects::{self, DEPLOYMENT, HPA, SCALED_OBJECT};
use crate::process::Process;
use crate::tools::Tools;
use crate::webhook::Subject;

/// What a soak needs to be built.
pub const COMPONENTS: &[&str] = &["etcd", "kubernetes", "keda"];

const NAMESPACE: &str = "soak";
/// How many ScaledObjects there are to be deleted.
const OBJECTS: usize = 64;
/// How long a replica may take until it listens, in ms.
const LISTENING_MILLISECONDS: u64 = 100;
/// How many rolling restarts.
const RESTARTS: usize = 20;

/// What a soak came to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Soak {
    /// For how long each phase was played.
    pub seconds: u64,
    /// Its phases.
    pub phases: Vec<Phase>,
    /// The most memory that a replica had, in kB.
    pub peak_kilobytes: u64,
    /// What the printed Deployment allows it, in kB.
    pub limit_kilobytes: u64,
    /// How long the slower of two replicas took from its start until it listened, while nothing else happened, in ms.
    pub listening_milliseconds: u64,
    /// What a replica's memory came to.
    pub steady: Steady,
}

/// The memory of one replica that is asked again and again, without the API server in between.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Steady {
    /// How many requests it had answered when it was first looked at: a tenth.
    pub early_requests: usize,
    /// Its resident memory then, in kB.
    pub early_kilobytes: usize,
    /// How many requests it had answered in the end.
    pub requests: usize,
    /// Its resident memory then, in kB.
    pub kilobytes: usize,
    /// Requests a second.
    pub per_second: usize,
}

/// Deletes by so many clients at once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Phase {
    /// What happens meanwhile.
    pub what: String,
    /// How many at once.
    pub clients: usize,
    /// How many were refused.
    pub refused: usize,
    /// How many passed; may be none.
    pub passed: usize,
    /// How many failed in another way, such as a timeout of the API server's own.
    pub failed: usize,
    /// Verdicts a second.
    pub per_second: usize,
    /// How long most waited: of a hundred, ninety-nine less than so many milliseconds.
    pub p99_milliseconds: u64,
}

impl Soak {
    /// What is not as it has to be.
    pub fn complaints(&self) -> Vec<String> {
        let mut complaints = Vec::new();
        for phase in &self.phases {
            if phase.passed > 0 {
                complaints.push(format!("{}: {} deletes passed", phase.what, phase.passed));
            }
            if phase.refused == 0 {
                complaints.push(format!("{}: nothing was refused, so nothing is shown", phase.what));
            }
        }
        let rate = |clients| {
            let phase = self.phases.iter().find(|phase| phase.clients == clients);
            phase.map_or(0, |phase| phase.per_second)
        };
        if rate(128) * 100 < rate(32) * 95 {
            complaints.push(format!("{} verdicts a second at 128 clients, but {} at 32", rate(128), rate(32)));
        }
        if self.peak_kilobytes > self.limit_kilobytes {
            complaints.push(format!("{} kB of memory, but {} are allowed", self.peak_kilobytes, self.limit_kilobytes));
        }
        if self.listening_milliseconds > LISTENING_MILLISECONDS {
            let (took, most) = (self.listening_milliseconds, LISTENING_MILLISECONDS);
            complaints.push(format!("a replica listened after {took} ms, but {most} are allowed"));
        }
        let Steady { early_requests, early_kilobytes, requests, kilobytes, .. } = self.steady;
        if kilobytes * 10 > early_kilobytes * 11 {
            complaints.push(format!(
                "{kilobytes} kB of memory after {requests} requests, but {early_kilobytes} after {early_requests}"
            ));
        }
        complaints
    }

    /// A table of this one and another.
    pub fn beside(&self, before: Option<&Self>) -> String {
        let mut table = "| clients | meanwhile | refused | passed | failed | a second | before | p99 ms |\n".to_owned();
        for (number, phase) in self.phases.iter().enumerate() {
            let Phase { what, clients, refused, passed, failed, per_second, p99_milliseconds } = phase;
            let then = before.and_then(|before| before.phases.get(number)).map_or(0, |phase| phase.per_second);
            // Writing to a String cannot fail.
            let _ = writeln!(
                table,
                "| {clients} | {what} | {refused} | {passed} | {failed} | {per_second} | {then} | {p99_milliseconds} |"
            );
        }
        let then = before.map_or(0, |before| before.peak_kilobytes);
        let _ = writeln!(
            table,
            "peak memory of a replica: {} kB, before {then} kB, allowed {} kB",
            self.peak_kilobytes, self.limit_kilobytes
        );
        let then = before.map_or(0, |before| before.listening_milliseconds);
        let _ = writeln!(table, "a replica listens after {} ms, before {then} ms", self.listening_milliseconds);
        let Steady { early_requests, early_kilobytes, requests, kilobytes, per_second } = self.steady;
        let _ = writeln!(
            table,
            "memory of a replica: {early_kilobytes} kB after {early_requests} requests, {kilobytes} kB after {requests}, \
             {per_second} requests a second"
        );
        table
    }
}

/// Plays it in that folder.
///
/// # Errors
/// Something does not start; deletes that pass are no error but in the answer.
pub async fn play(tools: &Tools, subject: &Subject, folder: &Path, seconds: u64, requests: usize) -> Result<Soak> {
    let plane = ControlPlane::start(tools, folder).await?;
    let sources = tools.sources("keda", "github.com/kedacore/keda/v2")?;
    plane.apply_definitions(&sources.join("config/crd/bases")).await?;
    let policy = Policy::install(&plane, subject).await?;
    plane.namespace(NAMESPACE, &json!({})).await?;
    for number in 0..OBJECTS {
        given(&plane, number).await?;
    }
    policy.until_asked(&plane).await?;

    let each = Duration::from_secs(seconds.max(1));
    let mut phases = Vec::new();
    // The first answers fill caches and connections.
    Load::new(&plane, 32).run("", Duration::from_secs(2)).await?;
    for clients in [32, 128, 300] {
        phases.push(Load::new(&plane, clients).run("nothing else", each).await?);
        eprintln!("{:?}", phases.last());
    }
    let restarting = policy.restart_for_ever();
    let load = Load::new(&plane, 33);
    let enough = async {
        while policy.restarts.load(Ordering::Relaxed) < RESTARTS {
            ensure!(!restarting.is_finished(), "the restarts have ended");
            sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    };
    let (played, done) = tokio::join!(load.run_until(&policy.restarts), enough);
    restarting.abort();
    done?;
    phases.push(Phase { what: format!("{RESTARTS} rolling restarts"), clients: 32, ..played? });
    eprintln!("{:?}", phases.last());
    let steady = policy.steady(&plane, requests).await?;
    let peak_kilobytes = policy.peak.load(Ordering::Relaxed) as u64;
    let Policy { limit_kilobytes, listening_milliseconds, .. } = policy;
    Ok(Soak { seconds, phases, peak_kilobytes, limit_kilobytes, listening_milliseconds, steady })
}

/// A workload that KEDA scales: its delete would leave none behind.
async fn given(plane: &ControlPlane, number: usize) -> Result<()> {
    let name = format!("web-{number}");
    let apply = async |kind, object: Value| -> Result<kube::api::DynamicObject> {
        let api = objects::api(plane.admin(), kind, NAMESPACE)?;
        Ok(api.patch(&name, &PatchParams::apply("soak").force(), &Patch::Apply(&object)).await?)
    };
    let labels = json!({"app": name});
    apply(
        DEPLOYMENT,
        json!({"apiVersion": DEPLOYMENT.0, "kind": DEPLOYMENT.1, "metadata": {"name": name}, "spec": {
            "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels},
            "spec": {"containers": [{"name": "web", "image": "registry.invalid/web"}]}}}}),
    )
    .await?;
    let scaled_object = apply(
        SCALED_OBJECT,
        json!({"apiVersion": SCALED_OBJECT.0, "kind": SCALED_OBJECT.1, "metadata": {"name": name}, "spec": {
            "scaleTargetRef": {"name": name}, "triggers": [{"type": "cpu", "metadata": {"value": "80"}}],
            "advanced": {"horizontalPodAutoscalerConfig": {"name": name}}}}),
    )
    .await?;
    let owner = json!({
        "apiVersion": SCALED_OBJECT.0, "kind": SCALED_OBJECT.1, "name": name, "uid": scaled_object.metadata.uid,
        "controller": true, "blockOwnerDeletion": true,
    });
    apply(
        HPA,
        json!({"apiVersion": HPA.0, "kind": HPA.1, "metadata": {"name": name, "ownerReferences": [owner]}, "spec": {
            "scaleTargetRef": {"apiVersion": DEPLOYMENT.0, "kind": DEPLOYMENT.1, "name": name},
            "minReplicas": 1, "maxReplicas": 3}}),
    )
    .await?;
    Ok(())
}

/// Clients that delete.
struct Load<'a> {
    plane: &'a ControlPlane,
    clients: usize,
}

/// What became of a delete.
enum Fate {
    Refused,
    Passed,
    Failed(String),
}

impl<'a> Load<'a> {
    fn new(plane: &'a ControlPlane, clients: usize) -> Self {
        Self { plane, clients }
    }

    async fn run(&self, what: &str, time: Duration) -> Result<Phase> {
        let ended = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&ended);
        let timer = tokio::spawn(async move {
            sleep(time).await;
            end.store(true, Ordering::Relaxed);
        });
        let played = self.play(what, || ended.load(Ordering::Relaxed)).await;
        timer.abort();
        played
    }

    async fn run_until(&self, restarts: &AtomicUsize) -> Result<Phase> {
        self.play("", || restarts.load(Ordering::Relaxed) >= RESTARTS).await
    }

    async fn play(&self, what: &str, ended: impl Fn() -> bool) -> Result<Phase> {
        let started = Instant::now();
        let mut phase = Phase {
            what: what.to_owned(),
            clients: self.clients,
            refused: 0,
            passed: 0,
            failed: 0,
            per_second: 0,
            p99_milliseconds: 0,
        };
        let mut took = Vec::new();
        // One client, whose requests go side by side: each takes a connection of its own.
        let api = objects::api(&self.plane.client(GUARDED_USER).await?, SCALED_OBJECT, NAMESPACE)?;
        let deletes =
            futures::stream::iter(0..).take_while(|_| futures::future::ready(!ended())).map(|number: usize| {
                let api = api.clone();
                async move {
                    let (name, began) = (format!("web-{}", number % OBJECTS), Instant::now());
                    let fate = match api.delete(&name, &DeleteParams::default()).await {
                        Ok(_) => Fate::Passed,
                        Err(kube::Error::Api(status)) if status.message.contains("autoscaler-guard[") => Fate::Refused,
                        Err(error) => Fate::Failed(error.to_string()),
                    };
                    (number % OBJECTS, fate, began.elapsed())
                }
            });
        let mut deletes = std::pin::pin!(deletes.buffer_unordered(self.clients));
        while let Some((number, fate, time)) = deletes.next().await {
            took.push(time);
            match fate {
                Fate::Refused => phase.refused += 1,
                Fate::Passed => {
                    phase.passed += 1;
                    eprintln!("a delete passed that must be refused");
                    sleep(Duration::from_millis(500)).await;
                    given(self.plane, number).await?;
                }
                Fate::Failed(reason) => {
                    phase.failed += 1;
                    if phase.failed < 4 {
                        eprintln!("a delete failed: {reason}");
                    }
                }
            }
        }
        took.sort();
        let milliseconds = started.elapsed().as_millis().max(1);
        phase.per_second = usize::try_from(phase.refused as u128 * 1000 / milliseconds)?;
        phase.p99_milliseconds =
            took.get(took.len() * 99 / 100).map_or(0, |time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        Ok(phase)
    }
}

/// The policy as it is installed: two replicas behind an address.
struct Policy {
    replica: Replica,
    running: Running,
    restarts: Arc<AtomicUsize>,
    peak: Arc<AtomicUsize>,
    limit_kilobytes: u64,
    listening_milliseconds: u64,
    _proxy: JoinHandle<()>,
}

type Running = Arc<tokio::sync::Mutex<Vec<(Process, u16)>>>;

/// Where requests may be sent.
type Endpoints = Arc<Mutex<Vec<u16>>>;

/// How to start one.
#[derive(Clone)]
struct Replica {
    program: PathBuf,
    arguments: Vec<String>,
    kubeconfig: PathBuf,
    tls: PathBuf,
    logs: PathBuf,
    number: Arc<AtomicUsize>,
    endpoints: Endpoints,
}

impl Replica {
    /// A replica that is ready.
    async fn start(&self) -> Result<(Process, u16)> {
        let (process, port, _) = self.start_and_measure().await?;
        Ok((process, port))
    }

    /// How long it took until it listened, too.
    async fn start_and_measure(&self) -> Result<(Process, u16, Duration)> {
        let [port, observed] = free_ports()?;
        let mut command = Command::new(&self.program);
        for argument in &self.arguments {
            let argument = argument.replace("0.0.0.0:8443", &format!("127.0.0.1:{port}"));
            let argument = argument.replace("0.0.0.0:8080", &format!("127.0.0.1:{observed}"));
            command.arg(argument.replace("/tls/", &format!("{}/", self.tls.display())));
        }
        command.arg("--kubeconfig").arg(&self.kubeconfig);
        let name = format!("replica-{}", self.number.fetch_add(1, Ordering::Relaxed));
        let started = Instant::now();
        let mut process = Process::start(&name, command, &self.logs)?;
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            process.alive()?;
            sleep(Duration::from_millis(1)).await;
        }
        let listening = started.elapsed();
        let deadline = Instant::now() + Duration::from_secs(30);
        while !is_ready(observed).await {
            process.alive()?;
            ensure!(Instant::now() < deadline, "{name} is not ready after 30 seconds");
            sleep(Duration::from_millis(50)).await;
        }
        self.endpoints.lock().unwrap_or_else(PoisonError::into_inner).push(port);
        Ok((process, port, listening))
    }
}

async fn is_ready(port: u16) -> bool {
    let ask = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        std::io::Result::Ok(answer.starts_with("HTTP/1.1 200 "))
    };
    ask.await.unwrap_or(false)
}

impl Policy {
    async fn install(plane: &ControlPlane, subject: &Subject) -> Result<Self> {
        let authority = plane.folder().join("soak-ca.crt");
        std::fs::write(&authority, plane.authority().certificate())?;
        let all = subject.manifests(&authority, &[]).await?;
        let of_kind = |kind: &'static str| all.iter().filter(move |object| object["kind"] == kind);
        for object in ["Namespace", "ServiceAccount", "ClusterRole", "ClusterRoleBinding"].into_iter().flat_map(of_kind)
        {
            plane.apply(&object.to_string()).await?;
        }
        let tls = plane.folder().join("soak-tls");
        plane.authority().write(&tls, &["127.0.0.1"])?;
        let deployment = of_kind("Deployment").next().context("no Deployment is printed")?;
        let container = &deployment["spec"]["template"]["spec"]["containers"][0];
        let arguments = container["args"].as_array().context("no arguments")?.iter().filter_map(Value::as_str);
        let limit = container["resources"]["limits"]["memory"].as_str().context("no limit of memory")?;
        let limit: u64 = limit.strip_suffix("Mi").context("the limit is not in Mi")?.parse()?;
        let replica = Replica {
            program: subject.program.clone(),
            arguments: arguments.map(str::to_owned).collect(),
            kubeconfig: plane.service_account("autoscaler-guard", "autoscaler-guard", "").await?,
            tls,
            logs: plane.logs(),
            number: Arc::default(),
            endpoints: Endpoints::default(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let proxy = tokio::spawn(forward(listener, Arc::clone(&replica.endpoints)));
        let (running, mut slowest) = (Running::default(), Duration::ZERO);
        for _ in 0..2 {
            let (process, port, listening) = replica.start_and_measure().await?;
            running.lock().await.push((process, port));
            slowest = slowest.max(listening);
        }
        let mut configuration =
            of_kind("MutatingWebhookConfiguration").next().context("no webhook is printed")?.clone();
        configuration["webhooks"][0]["clientConfig"] = json!({
            "url": format!("https://127.0.0.1:{port}/validate"),
            "caBundle": BASE64_STANDARD.encode(plane.authority().certificate()),
        });
        plane.apply(&configuration.to_string()).await?;
        let policy = Self {
            replica,
            running,
            restarts: Arc::default(),
            peak: Arc::default(),
            limit_kilobytes: limit << 10,
            listening_milliseconds: u64::try_from(slowest.as_millis())?,
            _proxy: proxy,
        };
        policy.measure();
        Ok(policy)
    }

    /// Keeps the most memory that any replica has.
    fn measure(&self) {
        let (running, peak) = (Arc::downgrade(&self.running), Arc::clone(&self.peak));
        tokio::spawn(async move {
            while let Some(running) = running.upgrade() {
                for (process, _) in running.lock().await.iter() {
                    let kilobytes = process.id().and_then(|id| kilobytes(id, "VmHWM:")).unwrap_or_default();
                    peak.fetch_max(kilobytes, Ordering::Relaxed);
                }
                drop(running);
                sleep(Duration::from_millis(500)).await;
            }
        });
    }

    /// Asks one replica so many times: about a new label, and each tenth time about a delete that it has to refuse, for
    /// which it looks things up.
    async fn steady(&self, plane: &ControlPlane, requests: usize) -> Result<Steady> {
        let (process, port) = self.replica.start().await?;
        let id = process.id().context("the replica has ended")?;
        let mut config = plane.config(GUARDED_USER).await?;
        config.cluster_url = format!("https://127.0.0.1:{port}").parse()?;
        let client = kube::Client::try_from(config)?;
        let old = objects::api(plane.admin(), SCALED_OBJECT, NAMESPACE)?.get("web-0").await?;
        let (group, version) = SCALED_OBJECT.0.split_once('/').context("a kind with a group")?;
        let review = |operation: &str, object: &Value| {
            let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
                "uid": "00000000-0000-4000-8000-000000000000",
                "kind": {"group": group, "version": version, "kind": SCALED_OBJECT.1},
                "resource": {"group": group, "version": version, "resource": "scaledobjects"},
                "name": "web-0", "namespace": NAMESPACE, "operation": operation,
                "userInfo": {"username": GUARDED_USER}, "object": object, "oldObject": old,
            }});
            review.to_string().into_bytes()
        };
        let mut labelled = serde_json::to_value(&old)?;
        labelled["metadata"]["labels"] = json!({"soak": "true"});
        let (deletion, update) = (review("DELETE", &Value::Null), review("UPDATE", &labelled));
        let ask = async |number: usize| -> Result<()> {
            let (body, expected) = match number % 10 {
                0 => (&deletion, r#""allowed":false"#),
                _ => (&update, r#""allowed":true"#),
            };
            let request = http::Request::post("/validate?timeout=10s")
                .header("content-type", "application/json")
                .body(body.clone())?;
            let answer = client.request_text(request).await?;
            ensure!(answer.contains(expected), "this was expected to be {expected}: {answer}");
            Ok(())
        };
        let (early_requests, started) = (requests / 10, Instant::now());
        let mut early_kilobytes = 0;
        for (count, is_early) in [(early_requests, true), (requests - early_requests, false)] {
            let mut asked = std::pin::pin!(futures::stream::iter(0..count).map(&ask).buffer_unordered(32));
            while let Some(answer) = asked.next().await {
                answer?;
            }
            if is_early {
                early_kilobytes = kilobytes(id, "VmRSS:").context("its memory is not known")?;
            }
        }
        let milliseconds = started.elapsed().as_millis().max(1);
        Ok(Steady {
            early_requests,
            early_kilobytes,
            requests,
            kilobytes: kilobytes(id, "VmRSS:").context("its memory is not known")?,
            per_second: usize::try_from(requests as u128 * 1000 / milliseconds)?,
        })
    }

    /// Waits until deletes are refused: the API server learns of a configuration a little later.
    async fn until_asked(&self, plane: &ControlPlane) -> Result<()> {
        let api = objects::api(&plane.client(GUARDED_USER).await?, SCALED_OBJECT, NAMESPACE)?;
        let deadline = Instant::now() + Duration::from_secs(30);
        let dry_run = DeleteParams { dry_run: true, ..DeleteParams::default() };
        while api.delete("web-0", &dry_run).await.is_ok() {
            if Instant::now() > deadline {
                bail!("the webhook is not asked");
            }
            sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    }

    /// One replica after the other: a new one that is ready, then the end of the oldest, as a Deployment does it.
    fn restart_for_ever(&self) -> JoinHandle<Result<()>> {
        let (replica, running, restarts) =
            (self.replica.clone(), Arc::clone(&self.running), Arc::clone(&self.restarts));
        tokio::spawn(async move {
            loop {
                for _ in 0..2 {
                    let fresh = replica.start().await?;
                    let (mut old, port) = {
                        let mut running = running.lock().await;
                        running.push(fresh);
                        running.remove(0)
                    };
                    let endpoints = Arc::clone(&replica.endpoints);
                    tokio::spawn(async move {
                        // Endpoints and kube-proxy hear of it while it ends.
                        sleep(Duration::from_secs(1)).await;
                        endpoints.lock().unwrap_or_else(PoisonError::into_inner).retain(|known| *known != port);
                    });
                    let status = old.stop(Duration::from_secs(30)).await?;
                    ensure!(status.success(), "a replica ended with {status}");
                }
                restarts.fetch_add(1, Ordering::Relaxed);
            }
        })
    }
}

/// What the system says of a process.
fn kilobytes(process: u32, key: &str) -> Option<usize> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix(key))?.trim().trim_end_matches(" kB").parse().ok()
}

/// Each connection to one that is ready, in turn.
async fn forward(listener: TcpListener, endpoints: Endpoints) {
    let mut turn = 0;
    while let Ok((mut client, _)) = listener.accept().await {
        let known = endpoints.lock().unwrap_or_else(PoisonError::into_inner).clone();
        turn += 1;
        let Some(port) = known.get(turn % known.len().max(1)).copied() else { continue };
        tokio::spawn(async move {
            if let Ok(mut server) = TcpStream::connect(("127.0.0.1", port)).await {
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phase(clients: usize, passed: usize, per_second: usize) -> Phase {
        let what = format!("by {clients}");
        Phase { what, clients, refused: 10, passed, failed: 0, per_second, p99_milliseconds: 1 }
    }

    #[test]
    fn what_passes_slows_down_or_grows_is_complained_of() {
        let soak = |phases: Vec<Phase>, peak_kilobytes, listening_milliseconds, kilobytes| Soak {
            seconds: 1,
            phases,
            peak_kilobytes,
            limit_kilobytes: 9,
            listening_milliseconds,
            steady: Steady { early_requests: 1, early_kilobytes: 100, requests: 10, kilobytes, per_second: 1 },
        };
        let good = soak(vec![phase(32, 0, 100), phase(128, 0, 95)], 9, 100, 110);
        assert_eq!(good.complaints(), Vec::<String>::new());
        let bad = soak(vec![phase(32, 0, 100), phase(128, 1, 94)], 10, 101, 111).complaints();
        assert_eq!(
            bad,
            [
                "by 128: 1 deletes passed",
                "94 verdicts a second at 128 clients, but 100 at 32",
                "10 kB of memory, but 9 are allowed",
                "a replica listened after 101 ms, but 100 are allowed",
                "111 kB of memory after 10 requests, but 100 after 1",
            ]
        );
    }
}
