//! The policy behind Gatekeeper: what it has to do there as elsewhere, and what becomes of requests while its provider
//! does not answer.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use axum::Router;
use axum_server::tls_rustls::RustlsConfig;
use kube::api::PropagationPolicy;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::deletes::{self, hpa_deleted};
use super::handover::{self, DIFFERENT, lost_or_kept, upgrade_to_keda};
use super::keda::{self, deployment, hpa};
use super::{Scenario, envoy, free};
use crate::certificates::Authority;
use crate::gatekeeper::{DENYING, Gatekeeper, Patience, WARNING};
use crate::objects::{DEPLOYMENT, HPA, Kind, SCALED_OBJECT};
use crate::stage::{Answer, Stage};
use crate::world;

const fn behind(id: &'static str, shows: &'static str, play: for<'a> fn(&'a Stage<'a>) -> super::Play<'a>) -> Scenario {
    Scenario::new(id, shows, play).world(world::Kind::Gatekeeper)
}

pub(super) static SCENARIOS: &[Scenario] = &[
    behind("gatekeeper-back-to-hpa", "Gatekeeper: Helm 3 goes from KEDA back to an HPA", |stage| {
        Box::pin(back_to_hpa(stage))
    })
    .helm(3),
    behind(
        "gatekeeper-back-to-contained-hpa",
        "Gatekeeper: Helm 3 sends no request for an HPA that equals KEDA's",
        |stage| Box::pin(handover::contained(stage)),
    )
    .helm(3),
    behind("gatekeeper-envoyhpa-removed", "Gatekeeper: envoyHpa is removed from an EnvoyProxy", |stage| {
        Box::pin(envoy::removed(stage))
    }),
    behind("gatekeeper-envoyproxy-deleted", "Gatekeeper: the EnvoyProxy of a class is deleted", |stage| {
        Box::pin(envoy::proxy_deleted(stage))
    }),
    behind(
        "gatekeeper-deletes-acknowledged",
        "Gatekeeper: deletes with the annotation autoscaler-guard/allow",
        |stage| Box::pin(deletes::acknowledged(stage)),
    ),
    behind("gatekeeper-deletes-by-bypass", "Gatekeeper: deletes by someone who may bypass the rules", |stage| {
        Box::pin(deletes::bypassed(stage))
    }),
    behind(
        "gatekeeper-scaledobject-orphaned",
        "Gatekeeper: a ScaledObject is deleted with --cascade=orphan",
        |stage| Box::pin(deletes::orphaned(stage)),
    ),
    behind("gatekeeper-target-deleted-first", "Gatekeeper: deletes after the workload is gone", |stage| {
        Box::pin(deletes::target_first(stage))
    }),
    behind("gatekeeper-autoscaler-disabled", "Gatekeeper: an HPA's bounds are made equal", |stage| {
        Box::pin(keda::disabled(stage))
    }),
    behind("gatekeeper-helm3-uninstall-keda", "Gatekeeper: Helm 3 uninstalls a chart with a ScaledObject", |stage| {
        Box::pin(free::uninstall(stage, 3, "keda"))
    })
    .helm(3),
    behind("gatekeeper-keda-lives", "Gatekeeper: KEDA creates, updates, pauses, renames and finalizes", |stage| {
        Box::pin(free::keda_lives(stage))
    }),
    behind(
        "gatekeeper-envoy-gateway-lives",
        "Gatekeeper: Envoy Gateway creates, changes and deletes a fleet",
        |stage| Box::pin(envoy::lives(stage)),
    ),
    behind("gatekeeper-namespace-deleted", "Gatekeeper: a namespace with ScaledObject and HPA goes away", |stage| {
        Box::pin(free::namespace_deleted(stage))
    }),
    behind(
        "gatekeeper-gateway-namespace-deleted",
        "Gatekeeper: a namespace with EnvoyProxy and Gateway goes away",
        |stage| Box::pin(envoy::namespace_deleted(stage)),
    ),
    behind(
        "gatekeeper-trial",
        "Gatekeeper: an HPA is deleted with enforcementAction dryrun and warn, then deny",
        |stage| Box::pin(trial(stage)),
    )
    .alone(),
    behind("gatekeeper-crd-deleted", "Gatekeeper: KEDA's definition of ScaledObjects is deleted", |stage| {
        Box::pin(deletes::definition_deleted(stage))
    })
    .alone(),
    behind("gatekeeper-provider-down", "Gatekeeper: an HPA is deleted while the provider is down", |stage| {
        Box::pin(down(stage))
    })
    .alone(),
    behind("gatekeeper-provider-slow", "Gatekeeper: an HPA is deleted while the provider takes too long", |stage| {
        Box::pin(slow(stage))
    })
    .alone(),
    behind(
        "gatekeeper-provider-senseless",
        "Gatekeeper: an HPA is deleted while the provider makes no sense",
        |stage| Box::pin(senseless(stage)),
    )
    .alone(),
    behind(
        "gatekeeper-client-certificate",
        "Gatekeeper: an HPA is deleted while the provider answers nobody but Gatekeeper",
        |stage| Box::pin(certified(stage)),
    )
    .alone(),
];

/// Plays with Gatekeeper where requests are judged, and has everything as before afterwards, whatever happened.
async fn with_gatekeeper(
    stage: &Stage<'_>,
    play: impl AsyncFnOnce(&mut Gatekeeper) -> Result<String>,
) -> Result<String> {
    if !stage.guarded() {
        return hpa_deleted(stage).await;
    }
    stage.given(&deployment("web")).await?;
    stage.given(&hpa("web", "web", 5)).await?;
    let mut gatekeeper = stage.gatekeeper.context("there is no Gatekeeper")?.lock().await;
    let played = play(&mut gatekeeper).await;
    gatekeeper.install(stage.plane, stage.subject, &[]).await?;
    played
}

/// Nothing is repaired behind Gatekeeper, so the refusal's command has to help.
async fn back_to_hpa(stage: &Stage<'_>) -> Result<String> {
    let helm = stage.helm(3)?;
    helm.upgrade(&["autoscaler=hpa"], &[]).await?.succeeded()?;
    upgrade_to_keda(stage, &helm).await?;
    let back = helm.upgrade(DIFFERENT, &[]).await?;
    if !stage.guarded() {
        back.succeeded()?;
        return lost_or_kept(stage, 9).await;
    }
    ensure!(!back.success && back.text.contains("hpa-handover"), "Helm says {}", back.text);
    let command = format!("kubectl delete scaledobject web -n {} --cascade=orphan", stage.namespace);
    ensure!(back.text.contains(&command), "the refusal does not say {command}: {}", back.text);
    stage.only_hpa("web", "web").await?;
    stage.delete_by(SCALED_OBJECT, "web", PropagationPolicy::Orphan).await?.done()?;
    stage.until_gone(SCALED_OBJECT, "web").await?;
    helm.upgrade(DIFFERENT, &[]).await?.succeeded()?;
    lost_or_kept(stage, 9).await?;
    Ok("refused; after the command that it names: one HPA, the chart's".into())
}

async fn trial(stage: &Stage<'_>) -> Result<String> {
    const ACTION: &str = "/spec/enforcementAction";
    const OLD_VERSION: Kind = ("autoscaling/v1", HPA.1);
    with_gatekeeper(stage, async |gatekeeper| {
        // An audit has no operation, and nothing to judge.
        ensure!(gatekeeper.audited(stage.plane, DENYING).await? == 0, "Gatekeeper's audit complains");
        // The API server drops the first one's warning, which has several lines; the second one's sentence it shows.
        for action in ["dryrun", "warn"] {
            gatekeeper.constrain(stage.plane, DENYING, ACTION, json!(action)).await?;
            passes_with(stage, &["[autoscaler-guard-warnings]"]).await?;
        }
        gatekeeper.constrain(stage.plane, DENYING, ACTION, json!("deny")).await?;
        stage.delete(HPA, "web").await?.refused_by("hpa-deleted")?;
        // Nobody converts for Gatekeeper: it asks in the version that the client speaks.
        stage.delete(OLD_VERSION, "web").await?.refused_by("hpa-deleted")?;
        Ok("let through with a warning; with deny, refused".into())
    })
    .await
}

async fn down(stage: &Stage<'_>) -> Result<String> {
    const VIOLATIONS: &str = "/spec/parameters/violations";
    with_gatekeeper(stage, async |gatekeeper| {
        gatekeeper.provider().stop().await?;
        unjudged(stage, "connection refused").await?;
        gatekeeper.constrain(stage.plane, DENYING, VIOLATIONS, json!(["refusals"])).await?;
        passes_with(stage, &[]).await?;
        gatekeeper.constrain(stage.plane, WARNING, VIOLATIONS, json!(["warnings", "unanswered"])).await?;
        passes_with(stage, &["has not judged this change"]).await?;
        gatekeeper.constrain(stage.plane, DENYING, VIOLATIONS, json!(["refusals", "unanswered"])).await?;
        unjudged(stage, "connection refused").await?;
        // People who are not asked about drive the operators, which are.
        let driver = stage.unguarded().await?;
        driver.delete(HPA, "web").await?.done()?;
        driver.delete(DEPLOYMENT, "web").await?.done()?;
        driver.until_gone(DEPLOYMENT, "web").await?;
        free::keda_lives(&driver).await?;
        free::namespace_deleted(&driver).await?;
        Ok("refused; controllers and clean-up go on".into())
    })
    .await
}

async fn slow(stage: &Stage<'_>) -> Result<String> {
    with_gatekeeper(stage, async |gatekeeper| {
        let provider = Impostor::start(stage, gatekeeper, stage.plane.authority()).await?;
        provider.answers(|key| {
            std::thread::sleep(Duration::from_secs(4));
            json!({"response": {"items": [{"key": key, "value": allowed()}]}}).to_string()
        });
        gatekeeper.lead_to(stage.plane, provider.port, Patience::AsShipped).await?;
        let mut took = Duration::MAX;
        // The machine may stand still for a moment.
        for _ in 0..3 {
            let asked = Instant::now();
            unjudged(stage, "deadline exceeded").await?;
            took = took.min(asked.elapsed());
        }
        // By Gatekeeper's chart the API server gives up by then, and lets it pass: its failurePolicy is Ignore.
        ensure!(took < Duration::from_secs(3), "the answer took {took:?}");
        Ok("refused before the API server gives up".into())
    })
    .await
}

async fn senseless(stage: &Stage<'_>) -> Result<String> {
    with_gatekeeper(stage, async |gatekeeper| {
        let stranger = Impostor::start(stage, gatekeeper, &Authority::new()?).await?;
        unjudged(stage, "certificate signed by unknown authority").await?;
        drop(stranger);
        let provider = Impostor::start(stage, gatekeeper, stage.plane.authority()).await?;
        for (answer, reason) in SENSELESS {
            provider.answers(*answer);
            unjudged(stage, reason).await?;
        }
        // As a check of all that, one that makes sense.
        provider.answers(|key| response(&json!({"items": [{"key": key, "value": allowed()}]})));
        passes_with(stage, &[]).await?;
        Ok(format!("refused, whichever of {} kinds", SENSELESS.len() + 1))
    })
    .await
}

type Answering = fn(&str) -> String;

/// What a provider might answer to a key, and what the refusal has to say of it.
const SENSELESS: &[(Answering, &str)] = &[
    (|_| "<html>busy</html>".into(), "failed to unmarshal external data response"),
    (|_| String::new(), "failed to unmarshal external data response"),
    (|_| "[]".into(), "failed to unmarshal external data response"),
    (|_| r#"{"kind":"AdmissionReview","response":{"uid":"1","allowed":true}}"#.into(), NO_VERDICT),
    (|_| response(&json!({})), NO_VERDICT),
    (|_| response(&json!({"items": []})), NO_VERDICT),
    (|_| response(&json!({"items": [{"key": "another", "value": allowed()}]})), NO_VERDICT),
    (|key| response(&json!({"items": [{"key": key, "value": true}]})), NO_VERDICT),
    (|key| response(&json!({"items": [{"key": key, "value": allowed()}, {"key": key, "value": {}}]})), NO_VERDICT),
    (|key| response(&json!({"items": [{"key": key, "error": "out of order"}]})), "out of order"),
    (|_| response(&json!({"systemError": "too many"})), "too many"),
];

const NO_VERDICT: &str = "its provider's answer has no verdict";

fn response(response: &Value) -> String {
    json!({"apiVersion": "externaldata.gatekeeper.sh/v1beta1", "kind": "ProviderResponse", "response": response})
        .to_string()
}

fn allowed() -> Value {
    json!({"allowed": true, "message": "", "warnings": [], "rules": []})
}

async fn certified(stage: &Stage<'_>) -> Result<String> {
    with_gatekeeper(stage, async |gatekeeper| {
        ensure!(answers_strangers(stage, gatekeeper).await?, "the provider asks for a certificate without --client-ca");
        let authority = gatekeeper.authority().to_str().context("the folder's name is no text")?.to_owned();
        gatekeeper.install(stage.plane, stage.subject, &["--client-ca", &authority]).await?;
        ensure!(!answers_strangers(stage, gatekeeper).await?, "the provider answers somebody without a certificate");
        stage.delete(HPA, "web").await?.refused_by("hpa-deleted")?;
        Ok("refused; nobody else gets an answer".into())
    })
    .await
}

/// Whether the provider has an HTTP answer for somebody who shows no certificate.
async fn answers_strangers(stage: &Stage<'_>, gatekeeper: &mut Gatekeeper) -> Result<bool> {
    let address = format!("https://127.0.0.1:{}", gatekeeper.provider().port()).parse()?;
    let mut config = stage.plane.config(stage.user()).await?;
    config.cluster_url = address;
    let client = kube::Client::try_from(config)?;
    let request = http::Request::get("/gatekeeper").body(kube::client::Body::empty())?;
    match client.send(request).await {
        Ok(_) => Ok(true),
        Err(kube::Error::HyperError(_) | kube::Error::Service(_)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Fails unless the deletion of the HPA is refused, as nobody could judge it, for that reason.
async fn unjudged(stage: &Stage<'_>, reason: &str) -> Result<()> {
    let Answer::Refused(message) = stage.delete(HPA, "web").await? else {
        bail!("the delete passed, though nobody could judge it: {reason} was expected")
    };
    let reason = message.contains("autoscaler-guard has not judged this change") && message.contains(reason);
    ensure!(reason, "instead of {reason} the refusal says: {message}");
    Ok(())
}

/// Fails unless the deletion of the HPA would pass with such warnings, one each.
async fn passes_with(stage: &Stage<'_>, wanted: &[&str]) -> Result<()> {
    stage.take_warnings();
    stage.try_deletion(HPA, "web").await?.done()?;
    let mut warnings = stage.take_warnings();
    warnings.sort_unstable();
    let as_wanted =
        warnings.len() == wanted.len() && warnings.iter().zip(wanted).all(|(warning, wanted)| warning.contains(wanted));
    ensure!(as_wanted, "instead of {wanted:?} the warnings are {warnings:?}");
    Ok(())
}

/// Who answers in the provider's place.
struct Impostor {
    port: u16,
    answering: Arc<Mutex<Answering>>,
    serving: JoinHandle<std::io::Result<()>>,
}

impl Impostor {
    async fn start(stage: &Stage<'_>, gatekeeper: &Gatekeeper, authority: &Authority) -> Result<Self> {
        let signed = authority.sign(&["127.0.0.1"])?;
        let config = RustlsConfig::from_pem(signed.certificate.into_bytes(), signed.key.into_bytes()).await?;
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let answering: Arc<Mutex<Answering>> = Arc::new(Mutex::new(|_| String::new()));
        let now = Arc::clone(&answering);
        let routes = Router::new().fallback(async move |body: String| {
            let answer = *now.lock().unwrap_or_else(PoisonError::into_inner);
            let request: Value = serde_json::from_str(&body).unwrap_or_default();
            let key = request["request"]["keys"][0].as_str().unwrap_or_default().to_owned();
            tokio::task::spawn_blocking(move || answer(&key)).await.unwrap_or_default()
        });
        let serving = axum_server::from_tcp_rustls(listener, config)?.serve(routes.into_make_service());
        let serving = tokio::spawn(serving);
        gatekeeper.lead_to(stage.plane, port, Patience::Long).await?;
        Ok(Self { port, answering, serving })
    }

    /// What it answers to a key from now on.
    fn answers(&self, answer: Answering) {
        *self.answering.lock().unwrap_or_else(PoisonError::into_inner) = answer;
    }
}

impl Drop for Impostor {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
