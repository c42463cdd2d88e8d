//! Finding the cluster: kubeconfig and context, or the cluster that this runs in.

use std::{io, path::PathBuf, time::Duration};

use hyper_util::{client::legacy::connect::HttpConnector, rt::TokioExecutor};
use kube::{
    Client, Config,
    client::{Body, ConfigExt as _, retry::RetryPolicy},
    config::{InferConfigError, KubeConfigOptions, Kubeconfig, KubeconfigError},
};
use tower::{ServiceBuilder, retry::RetryLayer};

use super::{Api, LiveOptions};
use crate::wording;

/// Why there is no connection to a cluster.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// Nothing says which cluster.
    #[error("{}; name one by --kubeconfig, or set KUBECONFIG", unconfigured(.0))]
    NoConfiguration(#[source] Box<InferConfigError>),
    /// The kubeconfig is broken.
    #[error("{}; check it with `kubectl config view`", unusable(path.as_ref(), cause))]
    Kubeconfig {
        /// The file, if it was named.
        path: Option<PathBuf>,
        /// What is wrong.
        #[source]
        cause: Box<KubeconfigError>,
    },
    /// The kubeconfig has no such context.
    #[error("the kubeconfig has no context `{context}`; it has {known}")]
    UnknownContext {
        /// The context asked for.
        context: String,
        /// Those there are.
        known: String,
    },
    /// The configuration is complete, but does not make a client.
    #[error("the configuration for {server} cannot be used: {cause}; check its certificates and credentials")]
    Client {
        /// The API server.
        server: String,
        /// What is wrong.
        #[source]
        cause: Box<kube::Error>,
    },
    /// The API server does not answer, or does not let this in.
    #[error(
        "the API server {server} does not answer: {cause}; check that `kubectl version` works with the same context"
    )]
    Unreachable {
        /// The API server.
        server: String,
        /// Why.
        cause: String,
    },
    /// The threads for lookups could not be started.
    #[error("no thread could be started for lookups: {0}; free some resources and try again")]
    Runtime(#[source] io::Error),
    /// Connecting came to an unforeseen end.
    #[error("connecting to the cluster was interrupted by a defect of this program; please report it")]
    Interrupted,
}

/// A client of that cluster's API server, for what is no lookup.
pub async fn client(options: LiveOptions) -> Result<Client, ConnectError> {
    configure(options).await.map(|(api, _)| api.client)
}

/// An API that was not asked anything yet, and the server's address.
pub(super) async fn configure(options: LiveOptions) -> Result<(Api, String), ConnectError> {
    let config = configuration(&options).await?;
    let server = config.cluster_url.to_string();
    let client =
        connection(config).map_err(|cause| ConnectError::Client { server: server.clone(), cause: cause.into() })?;
    Ok((Api::new(client, options), server))
}

/// Sees whether the API server answers.
pub(super) async fn greet(api: &Api, server: &str) -> Result<(), ConnectError> {
    let unreachable = |cause| ConnectError::Unreachable { server: server.to_owned(), cause };
    match api.within(api.client.apiserver_version()).await {
        Ok(Ok(_)) => {
            api.greeted.get_or_init(|| ());
            Ok(())
        }
        Ok(Err(error)) => Err(unreachable(why(&error))),
        Err(_) => Err(unreachable(format!("no answer within {:?}", api.timeout))),
    }
}

/// What the API server said, or the innermost reason for which it could not be asked: those around it are names of
/// layers of a client.
fn why(error: &kube::Error) -> String {
    if matches!(error, kube::Error::Api(_)) {
        return wording::in_words(&error.to_string()).to_owned();
    }
    let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    causes.last().map_or_else(|| error.to_string(), ToString::to_string)
}

/// Why there is no configuration: what is wrong with the kubeconfig that there is, or that there is none.
fn unconfigured(cause: &InferConfigError) -> String {
    match std::error::Error::source(cause).and_then(|cause| cause.downcast_ref()) {
        Some(KubeconfigError::ReadConfig(error, path)) if error.kind() == io::ErrorKind::NotFound => {
            format!("there is no kubeconfig at {}, and this is no Pod", path.display())
        }
        Some(cause) => unusable(None, cause),
        None => cause.to_string(),
    }
}

/// What is wrong with a kubeconfig, by its path where that is known. Of a parser's words the first line: a picture of
/// the place follows.
fn unusable(path: Option<&PathBuf>, cause: &KubeconfigError) -> String {
    let reason = match cause {
        KubeconfigError::ReadConfig(error, read) => {
            return format!("{} cannot be read: {error}", name(path.or(Some(read))));
        }
        KubeconfigError::CurrentContextNotSet => "it has no current context".to_owned(),
        cause => cause.to_string(),
    };
    let line = reason.lines().next().unwrap_or_default();
    let line = line.strip_prefix("failed to parse kubeconfig YAML: ").unwrap_or(line);
    format!("{} cannot be used: {}", name(path), line.strip_prefix("error: ").unwrap_or(line))
}

/// How soon a connection that nothing is heard on is asked whether anybody is there, how often, and how many times.
const KEEP_ALIVE: (Duration, Duration, u32) = (Duration::from_secs(15), Duration::from_secs(5), 3);

/// kube's own client keeps no connection alive, so that one whose other side is gone would be waited for.
fn connection(config: Config) -> kube::Result<Client> {
    if config.proxy_url.is_some() {
        return Client::try_from(config);
    }
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_connect_timeout(config.connect_timeout);
    let (after, every, times) = KEEP_ALIVE;
    connector.set_keepalive(Some(after));
    connector.set_keepalive_interval(Some(every));
    connector.set_keepalive_retries(Some(times));
    let connector = config.rustls_https_connector_with_connector(connector)?;
    let http = hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build::<_, Body>(connector);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        // What the API server asks to be asked again (429, 503) is, for as long as there is time.
        .layer(RetryLayer::new(RetryPolicy::server_retry()))
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(tower::BoxError::from)
        .service(http);
    Ok(Client::new(service, config.default_namespace))
}

async fn configuration(options: &LiveOptions) -> Result<Config, ConnectError> {
    let LiveOptions { context, kubeconfig: path, .. } = options;
    if context.is_none() && path.is_none() {
        return Config::infer().await.map_err(|cause| ConnectError::NoConfiguration(cause.into()));
    }
    let broken = |cause: KubeconfigError| ConnectError::Kubeconfig { path: path.clone(), cause: cause.into() };
    let kubeconfig = path.as_ref().map_or_else(Kubeconfig::read, Kubeconfig::read_from).map_err(broken)?;
    if let Some(context) = context.as_ref().filter(|context| !contexts(&kubeconfig).any(|known| known == *context)) {
        return Err(ConnectError::UnknownContext { context: context.clone(), known: listing(&kubeconfig) });
    }
    let options = KubeConfigOptions { context: context.clone(), ..KubeConfigOptions::default() };
    Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(broken)
}

fn contexts(kubeconfig: &Kubeconfig) -> impl Iterator<Item = &String> {
    kubeconfig.contexts.iter().map(|context| &context.name)
}

fn listing(kubeconfig: &Kubeconfig) -> String {
    let known: Vec<String> = contexts(kubeconfig).map(|name| format!("`{name}`")).collect();
    if known.is_empty() { "none".into() } else { known.join(", ") }
}

fn name(path: Option<&PathBuf>) -> String {
    path.map_or("the kubeconfig".into(), |path| format!("the kubeconfig {}", path.display()))
}
