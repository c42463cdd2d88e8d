//! A policy module, loaded once and asked as often as needed.
//!
//! Each call gets a fresh instance of the precompiled module, so calls cannot influence each other and may run on as
//! many threads as there are.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    Capabilities, LoadError, Metadata, NoCluster, Response,
    grants::Grants,
    guest::{Conversation, Failure, Prepared},
    load,
    ticker::Ticker,
};

/// How much a policy may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How long the guest may run, lookups included; they themselves are not cut short. Policy-server's default is
    /// two seconds, too.
    pub time: Duration,
    /// How large the guest's memory may grow, in bytes. Policy-server sets no limit.
    pub memory: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { time: Duration::from_secs(2), memory: 128 << 20 }
    }
}

/// A policy, ready to be asked.
pub struct Policy {
    prepared: Prepared,
    metadata: Option<Metadata>,
    grants: Option<Arc<Grants>>,
    limits: Limits,
    counting: bool,
    /// Advances the time that the guest's deadline is measured in.
    _ticker: Ticker,
}

/// What a call took of the guest, however fast the machine is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Work {
    /// The WebAssembly instructions that were executed; only where the policy [counts](Policy::load_counting).
    pub instructions: Option<u64>,
    /// How large the guest's memory was in the end, in bytes; it never shrinks.
    pub memory: usize,
}

/// What a policy says of its settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingsResponse {
    /// Whether they can be used.
    pub valid: bool,
    /// Why not.
    pub message: Option<String>,
}

/// Why a policy gave no verdict. A cluster would answer the request with an internal error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The guest crashed.
    #[error("the policy crashed during `{operation}`: {reason}{}; this is a defect of the policy: report it with the request that caused it", said(.last_line.as_ref()))]
    Trap {
        /// The operation.
        operation: &'static str,
        /// The trap.
        reason: String,
        /// The last line that the guest logged.
        last_line: Option<String>,
    },
    /// The guest ran too long.
    #[error(
        "the policy was stopped after {limit:?} during `{operation}`: look for slow lookups, or allow it more time (in a cluster: `timeoutEvalSeconds`)"
    )]
    TimeLimit {
        /// The operation.
        operation: &'static str,
        /// The limit.
        limit: Duration,
    },
    /// The guest wanted too much memory.
    #[error(
        "the policy was stopped during `{operation}` because it wanted more than {limit} bytes of memory: send a smaller request, narrow its lists with field masks, or allow it more"
    )]
    MemoryLimit {
        /// The operation.
        operation: &'static str,
        /// The limit.
        limit: usize,
    },
    /// The guest said that it failed.
    #[error("the policy failed at `{operation}`: {message}; check the request and the settings it was given")]
    Guest {
        /// The operation.
        operation: &'static str,
        /// Its own words.
        message: String,
    },
    /// The guest answered with something else than the protocol's JSON.
    #[error(
        "the policy's answer to `{operation}` is unreadable: {source}; it may speak another protocol version than v1: {answer}"
    )]
    Unreadable {
        /// The operation.
        operation: &'static str,
        /// What is wrong with the answer.
        #[source]
        source: serde_json::Error,
        /// How the answer starts.
        answer: String,
    },
}

impl Policy {
    /// Compiles a module and checks that it can be run here.
    pub fn load(bytes: &[u8], limits: Limits) -> Result<Self, LoadError> {
        Self::compile(bytes, limits, false)
    }

    /// As [`Policy::load`], but instructions are counted: to measure with, as it takes its time.
    pub fn load_counting(bytes: &[u8], limits: Limits) -> Result<Self, LoadError> {
        Self::compile(bytes, limits, true)
    }

    fn compile(bytes: &[u8], limits: Limits, counting: bool) -> Result<Self, LoadError> {
        let load::Loaded { engine, prepared, metadata } = load::load(bytes, counting)?;
        let grants = metadata.as_ref().map(|metadata| Arc::new(Grants::new(&metadata.context_aware_resources)));
        let ticker = Ticker::start(engine, limits.time).map_err(LoadError::Clock)?;
        Ok(Self { prepared, metadata, grants, limits, counting, _ticker: ticker })
    }

    /// Lets the policy look up every kind. What its metadata lists is a proposal: in a cluster, the manifest decides.
    #[must_use]
    pub fn with_every_kind_granted(mut self) -> Self {
        self.grants = None;
        self
    }

    /// What the module says of itself, if it was annotated.
    pub fn metadata(&self) -> Option<&Metadata> {
        self.metadata.as_ref()
    }

    /// Judges an admission request. Both `request`, an `AdmissionRequest`, and `settings` are JSON texts that reach
    /// the policy as they are, so it is the policy that complains of malformed ones.
    ///
    /// Where the module's metadata lists `contextAwareResources`, or is there without, gets and lists of other kinds
    /// are refused; a module that was not annotated may look up everything.
    pub fn validate(
        &self,
        request: &str,
        settings: &str,
        capabilities: &Arc<dyn Capabilities>,
    ) -> Result<Response, CallError> {
        read("validate", &self.answer(request, settings, capabilities)?)
    }

    /// What the module answers to [`Policy::validate`], unread: all that is the module's own work, for those who
    /// measure it.
    pub fn answer(
        &self,
        request: &str,
        settings: &str,
        capabilities: &Arc<dyn Capabilities>,
    ) -> Result<Vec<u8>, CallError> {
        self.answer_and_work(request, settings, capabilities).map(|(answer, _)| answer)
    }

    /// The same, and what it took.
    pub fn answer_and_work(
        &self,
        request: &str,
        settings: &str,
        capabilities: &Arc<dyn Capabilities>,
    ) -> Result<(Vec<u8>, Work), CallError> {
        let payload = [r#"{"request":"#, request, r#","settings":"#, settings, "}"].concat();
        self.call("validate", payload.into_bytes(), Arc::clone(capabilities))
    }

    /// Checks settings, a JSON text.
    pub fn validate_settings(&self, settings: &str) -> Result<SettingsResponse, CallError> {
        self.ask("validate_settings", settings.into(), Arc::new(NoCluster))
    }

    /// The protocol that the policy says it speaks: `v1`.
    pub fn protocol_version(&self) -> Result<String, CallError> {
        self.ask("protocol_version", Vec::new(), Arc::new(NoCluster))
    }

    fn ask<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        payload: Vec<u8>,
        capabilities: Arc<dyn Capabilities>,
    ) -> Result<T, CallError> {
        read(operation, &self.call(operation, payload, capabilities)?.0)
    }

    fn call(
        &self,
        operation: &'static str,
        payload: Vec<u8>,
        capabilities: Arc<dyn Capabilities>,
    ) -> Result<(Vec<u8>, Work), CallError> {
        let conversation = Conversation::new(operation, payload, capabilities, self.grants.clone(), self.limits.memory);
        conversation
            .hold(&self.prepared, Ticker::deadline(), self.counting)
            .map_err(|failure| self.call_error(operation, failure))
    }

    fn call_error(&self, operation: &'static str, failure: Failure) -> CallError {
        match failure {
            Failure::Trap { reason, last_line } => CallError::Trap { operation, reason, last_line },
            Failure::TimeLimit => CallError::TimeLimit { operation, limit: self.limits.time },
            Failure::MemoryLimit => CallError::MemoryLimit { operation, limit: self.limits.memory },
            Failure::Guest(message) => CallError::Guest { operation, message },
        }
    }
}

impl std::fmt::Debug for Policy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Policy").field("metadata", &self.metadata).field("limits", &self.limits).finish_non_exhaustive()
    }
}

fn said(last_line: Option<&String>) -> String {
    last_line.map(|line| format!(" (it last logged: {line})")).unwrap_or_default()
}

fn read<T: DeserializeOwned>(operation: &'static str, answer: &[u8]) -> Result<T, CallError> {
    serde_json::from_slice(answer).map_err(|source| CallError::Unreadable {
        operation,
        source,
        answer: excerpt(answer),
    })
}

/// Enough of an answer to recognise it by.
fn excerpt(answer: &[u8]) -> String {
    const LONGEST: usize = 200;
    let text = String::from_utf8_lossy(answer);
    if text.chars().nth(LONGEST).is_none() {
        return text.into_owned();
    }
    text.chars().take(LONGEST).chain(['…']).collect()
}
