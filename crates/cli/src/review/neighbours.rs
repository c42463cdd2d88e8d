//! The objects around a request: from files, from a cluster, or unknown.

use std::path::PathBuf;
use std::sync::Arc;

use autoscaler_guard_host::{Capabilities, LiveCluster, LiveOptions, Recorded, Replay, Session, Snapshot};

use super::session;
use super::settings::SettingsText;
use crate::arguments::ReviewOptions;
use crate::documents;
use crate::fault::Fault;
use crate::flags::ClusterFlags;
use crate::paint;

/// Whatever answers lookups, with a record of them.
#[derive(Clone)]
pub struct Neighbours {
    /// What answers.
    pub lookups: Arc<Recorded<Arc<dyn Capabilities>>>,
    /// What a reader has to know about it.
    pub note: String,
    /// The session that answers, if one does: to be asked in the end whether it fitted.
    pub replay: Option<Arc<Replay>>,
    /// Whether what it does not have counts as absent, though nobody said so.
    pub is_complete: bool,
}

/// No cluster. The host's own says that permissions are missing, which would send a reader looking for them.
struct Nothing;

impl Capabilities for Nothing {
    fn call(&self, _: &str, _: &[u8]) -> Result<Vec<u8>, String> {
        Err("no cluster was given".to_owned())
    }
}

impl std::fmt::Debug for Neighbours {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Neighbours").field("note", &self.note).finish_non_exhaustive()
    }
}

impl Neighbours {
    /// Takes what the options name.
    pub fn open(options: &ReviewOptions, settings: &SettingsText) -> Result<Self, Fault> {
        if options.live || options.of.is_named() {
            return Self::live(&options.of, settings);
        }
        if let Some(path) = &options.replay {
            return Ok(Self::session(session::read(path)?));
        }
        if options.cluster.is_empty() {
            return Ok(Self::none());
        }
        Ok(Self::snapshot(snapshot(&options.cluster)?))
    }

    /// Knows nothing.
    pub fn none() -> Self {
        let note = "no cluster given: neighbours are unknown (--cluster, --context or --live names one)";
        Self::new(Arc::new(Nothing), note.to_owned())
    }

    /// Knows these objects, and that there are no others.
    pub fn snapshot(snapshot: Snapshot) -> Self {
        let note =
            format!("cluster: {}; anything else counts as absent", paint::count(snapshot.objects().count(), "object"));
        Self { is_complete: true, ..Self::new(Arc::new(snapshot), note) }
    }

    /// Asks what is still being filled; what it does not have yet counts as absent.
    pub fn filling(capabilities: Arc<dyn Capabilities>) -> Self {
        Self { is_complete: true, ..Self::new(capabilities, String::new()) }
    }

    /// Knows what was once looked up.
    pub fn session(session: Session) -> Self {
        let replay = Arc::new(Replay::new(session));
        let note = "cluster: as recorded in the session".to_owned();
        Self { replay: Some(replay.clone()), ..Self::new(replay, note) }
    }

    fn live(of: &ClusterFlags, settings: &SettingsText) -> Result<Self, Fault> {
        let ClusterFlags { context, kubeconfig } = of.clone();
        let note = match &context {
            Some(context) => format!("cluster: context {context}, as it is now"),
            None => "cluster: the current context, as it is now".to_owned(),
        };
        let stands_for = Some(settings.service_account());
        let cluster = LiveCluster::connect(LiveOptions { context, kubeconfig, stands_for, ..LiveOptions::default() });
        let cluster = cluster.map_err(|error| Fault::new("there is no cluster to ask").because(error))?;
        Ok(Self::new(Arc::new(cluster), note))
    }

    fn new(capabilities: Arc<dyn Capabilities>, note: String) -> Self {
        Self { lookups: Arc::new(Recorded::new(capabilities)), note, replay: None, is_complete: false }
    }
}

fn snapshot(paths: &[PathBuf]) -> Result<Snapshot, Fault> {
    let snapshot = documents::cluster(paths)?;
    if snapshot.is_empty() {
        let fault = Fault::new("there is no object in what --cluster names, so everything would count as absent");
        return Err(fault.help("leave --cluster out where neighbours are not known"));
    }
    Ok(snapshot)
}
