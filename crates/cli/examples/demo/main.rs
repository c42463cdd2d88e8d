//! Plays both incidents that autoscaler-guard exists for through the policy's module, on real captured requests:
//!
//! ```console
//! cargo run -p autoscaler-guard-cli --example demo -- annotated-policy.wasm
//! ```
//!
//! Every scene says which verdict it expects; the demo fails if the module gives another.

#![allow(clippy::restriction, reason = "the demo may panic")]

mod envoy_gateway;
mod fixtures;
mod keda;
mod stage;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use autoscaler_guard_cli::fault::Fault;
use autoscaler_guard_cli::review::Judge;
use autoscaler_guard_host::Limits;
use stage::Stage;

fn main() -> ExitCode {
    match play() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(fault) => {
            anstream::eprintln!("{}", fault.styled());
            ExitCode::from(2)
        }
    }
}

fn play() -> Result<bool, Fault> {
    let module = std::env::args_os().nth(1).map(PathBuf::from);
    let module = module.ok_or_else(|| {
        let fault = Fault::new("the demo needs the policy's module");
        fault.help("`make demo` builds it and plays it; or name a module: demo annotated-policy.wasm")
    })?;
    let judge = Judge::load(Some(&module), Limits::default())?;
    let mut stage = Stage::new(judge);
    opening(&stage, &module);
    keda::play(&mut stage)?;
    envoy_gateway::play(&mut stage)?;
    Ok(stage.close())
}

fn opening(stage: &Stage, module: &Path) {
    stage.heading("autoscaler-guard");
    stage.say(
        "In Kubernetes a HorizontalPodAutoscaler (HPA) keeps a workload at the size that its load asks for. \
         autoscaler-guard is a policy that the API server asks about every change to what autoscaling hangs on. It \
         refuses or repairs those that would silently leave a workload without its HPA, or an HPA without an owner.",
    );
    stage.say(&format!(
        "Here the policy's WebAssembly module, {}, answers requests that a real API server sent while two well-known \
         incidents happened.",
        module.file_name().unwrap_or(module.as_os_str()).display()
    ));
}
