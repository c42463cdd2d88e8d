//! `serve`: the policy as an HTTPS admission webhook, or as Gatekeeper's provider. Everything that can be wrong is
//! found out before it listens.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use autoscaler_guard::Settings;
use autoscaler_guard::kubewarden::HostCluster;
use autoscaler_guard_host::{Capabilities, ConnectError, LiveCluster, LiveOptions};
use autoscaler_guard_server as server;

use crate::answer::Answer;
use crate::arguments::{LogFormat, ServeOptions};
use crate::fault::Fault;
use crate::review::{Judge, SettingsText};

/// How often to look for a new certificate. The kubelet takes about a minute to bring one.
const CERTIFICATE_CHECK: Duration = Duration::from_secs(5);

/// The most that is kept of what is listed: some ten thousand autoscalers. With the requests in flight it fits the
/// manifests' limit.
const WATCHED_BYTES: usize = 64 << 20;

/// A judge and the settings it judges by.
struct Settled {
    judge: Judge,
    settings: SettingsText,
    /// The settings of the built-in rules, read once.
    read: Settings,
}

impl Settled {
    fn new(judge: Judge, settings: SettingsText) -> Self {
        // What a module makes of its settings is its own affair; the built-in rules have taken theirs already.
        let read = Settings::from_json(settings.as_str()).unwrap_or_default();
        Self { judge, settings, read }
    }
}

impl server::Judge for Settled {
    fn judge(&self, request: &str, lookups: &Arc<dyn Capabilities>) -> Result<server::Verdict, String> {
        match &self.judge {
            Judge::Core => {
                let call = |operation: &str, request: &[u8]| lookups.call(operation, request);
                Ok(autoscaler_guard::review(request, &HostCluster::new(&call), &self.read).into())
            }
            judge @ Judge::Module(_) => {
                judge.ask(request, self.settings.as_str(), lookups).map(|ruling| ruling.response.into())
            }
        }
    }

    fn passes(&self, request: &str) -> bool {
        matches!(self.judge, Judge::Core) && autoscaler_guard::passes(request, &self.read)
    }

    fn may_change(&self) -> bool {
        self.judge.may_change()
    }
}

/// Serves until a signal ends it.
pub fn run(options: &ServeOptions) -> Result<Answer, Fault> {
    server::log_as(match options.log_format {
        LogFormat::Text => server::LogFormat::Text,
        LogFormat::Json => server::LogFormat::Json,
    });
    let limits = autoscaler_guard_host::Limits { time: options.timeout, ..autoscaler_guard_host::Limits::default() };
    let judge = Judge::load(options.policy.as_deref(), limits)?;
    let host = if options.gatekeeper { server::Host::Gatekeeper } else { server::Host::ApiServer };
    let settings = settings(options, &judge)?;
    if let Some((namespace, secret)) = &options.self_managed {
        self_managed(options, host, namespace, secret)?;
    }
    let certificate = certificate(options, host)?;
    let lookups = Arc::new(cluster(options, &settings)?);
    let options = server::Options {
        host,
        listen: options.listen,
        metrics_listen: options.metrics_listen,
        certificate,
        certificate_check: CERTIFICATE_CHECK,
        limits: server::Limits {
            request_bytes: options.max_request_bytes,
            in_flight: options.max_in_flight,
            timeout: options.timeout,
        },
        drain: options.drain,
    };
    let server = server::Server::bind(options, Arc::new(Settled::new(judge, settings)), lookups)
        .map_err(|error| Fault::new("it is not possible to serve").because(error))?;
    let lines = addresses(&server).map_err(|error| Fault::new("the server's address is not known").because(error))?;
    let ended = server.run_until_signalled(|| announce(lines));
    ended.map_err(|error| Fault::new("the server has ended").because(error))?;
    Ok(Answer::fine(String::new()))
}

/// Gatekeeper can refuse, but not drop an owner reference: what would be repaired has to be judged anew.
fn settings(options: &ServeOptions, judge: &Judge) -> Result<SettingsText, Fault> {
    let settings = SettingsText::proven(options.settings.as_deref(), judge)?;
    if !options.gatekeeper {
        return Ok(settings);
    }
    let fault = || Fault::new("the policy does not do without repairs, which Gatekeeper cannot make");
    settings.without_repair(judge).map_err(|reasons| reasons.into_iter().fold(fault(), Fault::because))
}

/// Sees to it that there is a pair, now and as long as this runs.
fn self_managed(options: &ServeOptions, host: server::Host, namespace: &str, secret: &str) -> Result<(), Fault> {
    let managed = server::SelfManaged {
        namespace: namespace.to_owned(),
        secret: secret.to_owned(),
        service: options.service.clone(),
        host,
        trusted_by: "autoscaler-guard".to_owned(),
        files: files(options),
    };
    let live = LiveOptions {
        context: options.cluster.context.clone(),
        kubeconfig: options.cluster.kubeconfig.clone(),
        ..LiveOptions::default()
    };
    managed.start(live).map_err(|error| Fault::new("a certificate cannot be kept").because(error))
}

fn files(options: &ServeOptions) -> server::CertificateFiles {
    server::CertificateFiles {
        certificate: options.tls_cert.clone(),
        key: options.tls_key.clone(),
        client_authority: options.client_ca.clone(),
    }
}

fn certificate(options: &ServeOptions, host: server::Host) -> Result<server::Certificate, Fault> {
    server::Certificate::load(files(options), host)
        .map_err(|error| Fault::new("the certificate cannot be used").because(error))
}

fn cluster(options: &ServeOptions, settings: &SettingsText) -> Result<LiveCluster, Fault> {
    let options = LiveOptions {
        context: options.cluster.context.clone(),
        kubeconfig: options.cluster.kubeconfig.clone(),
        stands_for: Some(settings.service_account()),
        // A lookup that fails leaves time to say so.
        timeout: options.timeout / 2,
        watch: Some(WATCHED_BYTES),
    };
    // While it does not answer, changes that would lose something are refused; by /readyz others are asked.
    let failed = |error: &ConnectError| {
        server::log(&server::Line::warn("not ready").with("reason", error.to_string()));
    };
    let cluster = LiveCluster::connect_eventually(options, failed);
    cluster.map_err(|error| Fault::new("there is no cluster to ask").because(error))
}

/// Where it listens, a line each, for whoever let it choose a port.
fn addresses(server: &server::Server) -> io::Result<String> {
    let listening = format!("listening on https://{}\n", server.address()?);
    match server.metrics_address() {
        Some(address) => Ok(format!("{listening}metrics on http://{}/metrics\n", address?)),
        None => Ok(listening),
    }
}

/// By a thread of its own: somebody may have stopped reading.
fn announce(lines: String) {
    std::thread::spawn(move || {
        let mut output = io::stdout().lock();
        output.write_all(lines.as_bytes()).and_then(|()| output.flush())
    });
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::arguments::{Arguments, Command};

    fn settings_of(more: &[&str]) -> String {
        let words = ["autoscaler-guard", "serve", "--tls-cert", "a", "--tls-key", "b"];
        let Command::Serve(options) = Arguments::parse_from(words.iter().chain(more)).command else {
            panic!("it is serve")
        };
        settings(&options, &Judge::Core).unwrap().as_str().to_owned()
    }

    #[test]
    fn behind_gatekeeper_nothing_is_repaired() {
        assert_eq!(settings_of(&[]), "{}");
        assert_eq!(settings_of(&["--gatekeeper"]), r#"{"repair":false}"#);
    }
}
