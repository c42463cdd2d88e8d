//! Loading a module: is it one that can be run here, and if not, why?

use wasmtime::{Config, Engine, Module};

use crate::{
    guest::{self, FUNCTIONS, GUEST_CALL, IMPORTS, MEMORY, Prepared},
    metadata,
};

/// Why a module cannot be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The bytes are something else.
    #[error(
        "this is not a WebAssembly module: it starts with {start:?}, not with \"\\0asm\"; pass the .wasm file of a policy"
    )]
    NotWasm {
        /// The first bytes.
        start: String,
    },
    /// The module is broken or uses a WebAssembly feature that is not supported.
    #[error("the module cannot be compiled: {reason}; build or download it anew")]
    Uncompilable {
        /// What the compiler says.
        reason: String,
    },
    /// The module is no waPC guest.
    #[error("the module exports no `{export}`: it is not a Kubewarden policy in execution mode kubewarden-wapc{hint}")]
    MissingExport {
        /// What is missing.
        export: &'static str,
        /// What it might be instead.
        hint: &'static str,
    },
    /// The module needs a function that neither waPC nor this host has.
    #[error("the module imports `{module}.{name}`, which nobody provides{hint}")]
    UnknownImport {
        /// The import's module.
        module: String,
        /// The import's name.
        name: String,
        /// What to do.
        hint: &'static str,
    },
    /// An import or export has another type than waPC's.
    #[error("the module does not fit waPC: {reason}; build it with a current Kubewarden SDK")]
    Incompatible {
        /// What does not fit.
        reason: String,
    },
    /// The custom section is there but unreadable.
    #[error(
        "the module's `io.kubewarden.metadata` section is unreadable: {0}; annotate the module again from a valid metadata.yml"
    )]
    Metadata(#[source] serde_json::Error),
    /// The time limit's clock could not be started.
    #[error("no thread could be started to enforce the policy's time limit: {0}; free some resources and try again")]
    Clock(#[source] std::io::Error),
}

/// A module that can be instantiated, and what it says of itself.
pub(crate) struct Loaded {
    pub(crate) engine: Engine,
    pub(crate) prepared: Prepared,
    pub(crate) metadata: Option<metadata::Metadata>,
}

/// Reads and compiles a module; one that counts its instructions runs slower.
pub(crate) fn load(bytes: &[u8], counting: bool) -> Result<Loaded, LoadError> {
    if !bytes.starts_with(b"\0asm") {
        let start = bytes.get(..8).unwrap_or(bytes);
        return Err(LoadError::NotWasm { start: String::from_utf8_lossy(start).into_owned() });
    }
    let mut config = Config::new();
    config.epoch_interruption(true).consume_fuel(counting);
    let engine = Engine::new(&config).map_err(|error| uncompilable(&error))?;
    let module = Module::from_binary(&engine, bytes).map_err(|error| uncompilable(&error))?;
    check_exports(&module)?;
    check_imports(&module)?;
    let prepared =
        guest::prepare(&engine, &module).map_err(|error| LoadError::Incompatible { reason: chain(&error) })?;
    let metadata = metadata::read(bytes).map_err(LoadError::Metadata)?;
    Ok(Loaded { engine, prepared, metadata })
}

fn check_exports(module: &Module) -> Result<(), LoadError> {
    let exports = |name: &str| module.get_export(name).is_some();
    match [GUEST_CALL, MEMORY].into_iter().find(|name| !exports(name)) {
        None => Ok(()),
        Some(export) => Err(LoadError::MissingExport { export, hint: other_mode(&exports) }),
    }
}

/// Names the execution mode that a module without waPC's exports seems to be made for.
fn other_mode(exports: &dyn Fn(&str) -> bool) -> &'static str {
    if exports("opa_eval_ctx_new") {
        ", but one in mode opa or gatekeeper, which only policy-server and kwctl run"
    } else if exports("_start") {
        ", but a program, perhaps one in mode wasi, which only policy-server and kwctl run"
    } else {
        "; build it as a cdylib with the Kubewarden SDK, for wasm32-unknown-unknown"
    }
}

fn check_imports(module: &Module) -> Result<(), LoadError> {
    let provided = |import: &wasmtime::ImportType| import.module() == IMPORTS && FUNCTIONS.contains(&import.name());
    match module.imports().find(|import| !provided(import)) {
        None => Ok(()),
        Some(import) => Err(LoadError::UnknownImport {
            module: import.module().into(),
            name: import.name().into(),
            hint: import_hint(import.module()),
        }),
    }
}

fn import_hint(module: &str) -> &'static str {
    if module.starts_with("wasi") {
        ": it is built for WASI; build it for wasm32-unknown-unknown, or run it in policy-server or kwctl"
    } else if module == "__wbindgen_placeholder__" {
        ": a dependency of it wants a browser; switch off that dependency's JavaScript feature"
    } else {
        "; build it with the Kubewarden SDK, for wasm32-unknown-unknown"
    }
}

fn uncompilable(error: &wasmtime::Error) -> LoadError {
    LoadError::Uncompilable { reason: chain(error) }
}

/// The error and its causes on one line.
fn chain(error: &wasmtime::Error) -> String {
    error.chain().map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
