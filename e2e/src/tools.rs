//! The components of the live tests: Go programs, pinned in `e2e/tools/<component>/go.mod`, built on first use.
//!
//! What is built is kept outside the tree, in a folder named after all that decides its bytes, so that a changed pin
//! builds anew and nothing else does.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::progress;

/// A component: a Go module of ours in `e2e/tools`, and the programs to build in it.
#[derive(Debug)]
pub struct Component {
    /// The folder in `e2e/tools`.
    pub name: &'static str,
    /// The programs: name of the binary and Go package.
    programs: &'static [(&'static str, &'static str)],
    /// Further linker flags.
    linker_flags: &'static str,
}

/// What the build of every component has in common. Without C the binaries are static, as in the projects' images, and
/// run anywhere.
const BUILD: &[(&str, &str)] = &[("CGO_ENABLED", "0"), ("GOFLAGS", "-buildvcs=false")];
const LINKER_FLAGS: &str = "-s -w";

/// All of them, in the order in which they are built: what most scenarios need first.
pub static COMPONENTS: &[Component] = &[
    Component { name: "etcd", programs: &[("etcd", "go.etcd.io/etcd/server/v3")], linker_flags: "" },
    Component {
        name: "kubernetes",
        programs: &[
            ("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
            ("kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager"),
        ],
        // Without it the server says v0.0.0-master, and clients misbehave.
        linker_flags: "-X k8s.io/component-base/version.gitVersion=v1.36.3 \
            -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=36",
    },
    // For those who ask for it; its module says by which Go.
    Component {
        name: "kubernetes-1.37",
        programs: &[
            ("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
            ("kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager"),
        ],
        linker_flags: "-X k8s.io/component-base/version.gitVersion=v1.37.2 \
            -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=37",
    },
    Component { name: "helm3", programs: &[("helm", "helm.sh/helm/v3/cmd/helm")], linker_flags: "" },
    // Named as in its image: KEDA's field manager is the program's name.
    Component { name: "keda", programs: &[("keda", "github.com/kedacore/keda/v2/cmd/operator")], linker_flags: "" },
    Component { name: "helm4", programs: &[("helm", "helm.sh/helm/v4/cmd/helm")], linker_flags: "" },
    Component { name: "kustomize", programs: &[("kustomize", "sigs.k8s.io/kustomize/kustomize/v5")], linker_flags: "" },
    Component {
        name: "gatekeeper",
        programs: &[("gatekeeper", "github.com/open-policy-agent/gatekeeper/v3")],
        linker_flags: "",
    },
    Component { name: "envoy-gateway-1.9.1", programs: ENVOY_GATEWAY, linker_flags: "" },
    Component { name: "envoy-gateway-1.3.0", programs: ENVOY_GATEWAY, linker_flags: "" },
];

const ENVOY_GATEWAY: &[(&str, &str)] = &[("envoy-gateway", "github.com/envoyproxy/gateway/cmd/envoy-gateway")];

/// Where the components' modules are, and where their binaries are kept.
#[derive(Clone, Debug)]
pub struct Tools {
    modules: PathBuf,
    cache: PathBuf,
    go_version: String,
}

impl Tools {
    /// Finds Go; `None` where there is none, and then nothing can be built or run.
    ///
    /// # Errors
    /// Go is there but does not work, or no folder for the cache is known.
    pub fn find() -> Result<Option<Self>> {
        let go = Command::new("go").args(["env", "GOVERSION"]).stderr(Stdio::inherit()).output();
        let output = match go {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            output => output.context("running `go env GOVERSION`")?,
        };
        ensure!(output.status.success(), "`go env GOVERSION` failed: {}", output.status);
        let go_version = String::from_utf8(output.stdout)?.trim().to_owned();
        let modules = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools");
        Ok(Some(Self { modules, cache: cache_folder()?.join("tools"), go_version }))
    }

    /// Where the programs of a component are, built or not.
    ///
    /// # Errors
    /// The component's module cannot be read.
    pub fn folder(&self, component: &Component) -> Result<PathBuf> {
        let mut digest = Sha256::new();
        for file in ["go.mod", "go.sum"] {
            let path = self.modules.join(component.name).join(file);
            digest.update(std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?);
        }
        digest.update(format!("{}{BUILD:?}{LINKER_FLAGS}{component:?}", self.go_version));
        let key = format!("{:x}", digest.finalize());
        Ok(self.cache.join(format!("{}-{key:.16}", component.name)))
    }

    /// Whether all programs of that component are built.
    ///
    /// # Errors
    /// The component's module cannot be read.
    pub fn is_built(&self, component: &Component) -> Result<bool> {
        let folder = self.folder(component)?;
        Ok(component.programs.iter().all(|(name, _)| folder.join(name).is_file()))
    }

    /// Builds what is missing, one after the other, and prints how far it is.
    ///
    /// # Errors
    /// A build failed.
    pub fn build(&self, components: &[&Component]) -> Result<()> {
        let mut missing = Vec::new();
        for component in components {
            if !self.is_built(component)? {
                missing.push(*component);
            }
        }
        for (position, component) in missing.iter().enumerate() {
            eprintln!(
                "Building {} ({} of {}); the first time takes minutes",
                component.name,
                position + 1,
                missing.len()
            );
            let started = Instant::now();
            self.build_one(component)?;
            eprintln!("Built {} in {} s", component.name, started.elapsed().as_secs());
        }
        Ok(())
    }

    fn build_one(&self, component: &Component) -> Result<()> {
        let folder = self.folder(component)?;
        // Built aside and renamed, so that a build that is broken off leaves nothing that looks finished.
        let unfinished = folder.with_extension(format!("building-{}", std::process::id()));
        std::fs::create_dir_all(&unfinished)?;
        for (name, package) in component.programs {
            let mut go = self.go(component.name);
            go.args(["build", "-v", "-trimpath", "-ldflags", &format!("{LINKER_FLAGS} {}", component.linker_flags)]);
            go.arg("-o").arg(unfinished.join(name)).arg(package);
            let status = progress::watch(&mut go, name)?;
            ensure!(status.success(), "`go build {package}` in e2e/tools/{} failed: {status}", component.name);
        }
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        std::fs::rename(&unfinished, &folder)?;
        Ok(())
    }

    fn go(&self, component: &str) -> Command {
        let folder = self.modules.join(component);
        let mut go = Command::new("go");
        // A module may ask for a newer Go than there is; Go fetches it by itself only on request.
        if let Some(toolchain) = toolchain(&folder) {
            go.env("GOTOOLCHAIN", toolchain);
        }
        go.current_dir(folder).envs(BUILD.iter().copied());
        go
    }

    /// The path of a built program.
    ///
    /// # Errors
    /// There is no such component.
    pub fn program(&self, component: &str, program: &str) -> Result<PathBuf> {
        Ok(self.folder(find(component)?)?.join(program))
    }

    /// The folder with the sources of a module that a component requires, where its CRDs are.
    ///
    /// # Errors
    /// Go does not know it or cannot fetch it.
    pub fn sources(&self, component: &str, module: &str) -> Result<PathBuf> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Download {
            dir: PathBuf,
        }
        let output = self.go(component).args(["mod", "download", "-json", module]).stderr(Stdio::inherit()).output()?;
        ensure!(output.status.success(), "`go mod download {module}` failed: {}", output.status);
        Ok(serde_json::from_slice::<Download>(&output.stdout)?.dir)
    }
}

/// The toolchain that a module asks for, by a line of its own in go.mod.
fn toolchain(folder: &Path) -> Option<String> {
    let module = std::fs::read_to_string(folder.join("go.mod")).ok()?;
    module.lines().find_map(|line| line.strip_prefix("toolchain ")).map(|toolchain| toolchain.trim().to_owned())
}

/// The component of that name.
///
/// # Errors
/// There is none.
pub fn find(name: &str) -> Result<&'static Component> {
    COMPONENTS.iter().find(|component| component.name == name).with_context(|| format!("no component is called {name}"))
}

/// Where this project keeps what is expensive to make, outside the tree.
fn cache_folder() -> Result<PathBuf> {
    let variables: BTreeMap<&str, PathBuf> = ["AUTOSCALER_GUARD_CACHE", "XDG_CACHE_HOME", "HOME"]
        .into_iter()
        .filter_map(|name| Some((name, PathBuf::from(std::env::var_os(name).filter(|value| !value.is_empty())?))))
        .collect();
    if let Some(folder) = variables.get("AUTOSCALER_GUARD_CACHE") {
        return Ok(folder.clone());
    }
    if let Some(folder) = variables.get("XDG_CACHE_HOME") {
        return Ok(folder.join("autoscaler-guard"));
    }
    match variables.get("HOME") {
        Some(home) => Ok(home.join(".cache/autoscaler-guard")),
        None => bail!("neither HOME nor AUTOSCALER_GUARD_CACHE is set, so there is no place for what is built"),
    }
}
