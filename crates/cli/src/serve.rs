//! `serve`: the policy as an HTTPS admission webhook. Everything that can be wrong is found out before it listens.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use autoscaler_guard_host::{Capabilities, LiveCluster, LiveOptions, Response};
use autoscaler_guard_server as server;

use crate::Answer;
use crate::arguments::ServeOptions;
use crate::fault::Fault;
use crate::review::{Judge, SettingsText};

/// How often to look for a new certificate. The kubelet takes about a minute to bring one.
const CERTIFICATE_CHECK: Duration = Duration::from_secs(5);

/// A judge and the settings it judges by.
struct Settled {
    judge: Judge,
    settings: SettingsText,
}

impl server::Judge for Settled {
    fn judge(&self, request: &str, lookups: &Arc<dyn Capabilities>) -> Result<Response, String> {
        self.judge.ask(request, self.settings.as_str(), lookups)
    }

    fn may_change(&self) -> bool {
        self.judge.may_change()
    }
}

/// Serves until a signal ends it.
pub fn run(options: &ServeOptions) -> Result<Answer, Fault> {
    let limits = autoscaler_guard_host::Limits { time: options.timeout, ..autoscaler_guard_host::Limits::default() };
    let judge = Judge::load(options.policy.as_deref(), limits)?;
    let settings = SettingsText::proven(options.settings.as_deref(), &judge)?;
    let certificate = certificate(options)?;
    let lookups = Arc::new(cluster(options, &settings)?);
    let options = server::Options {
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
    let server = server::Server::bind(options, Arc::new(Settled { judge, settings }), lookups)
        .map_err(|error| Fault::new("it is not possible to serve").because(error))?;
    announce(&server)?;
    server.run_until_signalled().map_err(|error| Fault::new("the server has ended").because(error))?;
    Ok(Answer::fine(String::new()))
}

fn certificate(options: &ServeOptions) -> Result<server::Certificate, Fault> {
    let files = server::CertificateFiles { certificate: options.tls_cert.clone(), key: options.tls_key.clone() };
    server::Certificate::load(files).map_err(|error| Fault::new("the certificate cannot be used").because(error))
}

fn cluster(options: &ServeOptions, settings: &SettingsText) -> Result<LiveCluster, Fault> {
    let options = LiveOptions {
        context: options.context.clone(),
        kubeconfig: options.kubeconfig.clone(),
        stands_for: Some(settings.service_account()),
        timeout: options.timeout,
    };
    LiveCluster::connect(options).map_err(|error| Fault::new("the cluster cannot be asked").because(error))
}

/// Tells where it listens, a line each, for whoever let it choose a port.
fn announce(server: &server::Server) -> Result<(), Fault> {
    let mut lines = server.address().map(|address| format!("listening on https://{address}\n"));
    if let Some(address) = server.metrics_address() {
        lines = lines.and_then(|lines| Ok(format!("{lines}metrics on http://{}/metrics\n", address?)));
    }
    let mut output = std::io::stdout().lock();
    let told = lines.and_then(|lines| output.write_all(lines.as_bytes()).and_then(|()| output.flush()));
    told.map_err(|error| Fault::new("it cannot be told where the server listens").because(error))
}
