//! One conversation with a guest: the waPC protocol over wasmtime.
//!
//! The host puts an operation and its payload into a fresh instance and calls `__guest_call`; the guest fetches both,
//! may call back for lookups, and leaves an answer or an error. The imports and their order of precedence are those
//! of `wapc` and `wasmtime-provider`, which policy-server is built on. They are served here by wasmtime itself, because
//! that provider turns every failure into a text: whether a guest trapped, ran out of time or out of memory could not
//! be known from one another.

use std::{str, sync::Arc};

use wasmtime::{Caller, Engine, InstancePre, Linker, Memory, Module, ResourceLimiter, Store, Trap};

use crate::{Capabilities, Work, grants::Grants, wording};

pub(crate) const IMPORTS: &str = "wapc";
pub(crate) const GUEST_CALL: &str = "__guest_call";
pub(crate) const MEMORY: &str = "memory";

/// The functions a guest may import from `wapc`.
pub(crate) const FUNCTIONS: [&str; 9] = [
    "__console_log",
    "__guest_error",
    "__guest_request",
    "__guest_response",
    "__host_call",
    "__host_error",
    "__host_error_len",
    "__host_response",
    "__host_response_len",
];

/// Called in this order before the first operation, where a guest exports them.
const STARTERS: [&str; 2] = ["_start", "wapc_init"];

/// The most lookups of one operation, so that no request chooses how many there are. Policies whose requests do not ask
/// for a great many.
const MOST_LOOKUPS: usize = 256;

/// More than a guest can use up.
const ALL_FUEL: u64 = u64::MAX;

/// A module ready to be instantiated.
pub(crate) type Prepared = InstancePre<Conversation>;

/// Everything the guest's imports work on.
pub(crate) struct Conversation {
    operation: &'static str,
    payload: Vec<u8>,
    capabilities: Arc<dyn Capabilities>,
    grants: Option<Arc<Grants>>,
    memory_limit: usize,
    memory: usize,
    lookups: usize,
    host_answer: Result<Vec<u8>, String>,
    guest_response: Option<Vec<u8>>,
    guest_error: Option<String>,
    last_line: Option<String>,
}

/// How a conversation failed.
#[derive(Debug)]
pub(crate) enum Failure {
    Trap { reason: String, last_line: Option<String> },
    TimeLimit,
    MemoryLimit,
    Guest(String),
}

/// The guest wanted more memory than it may have.
#[derive(Debug, thiserror::Error)]
#[error("memory limit exceeded")]
struct MemoryRefused;

impl Conversation {
    pub(crate) fn new(
        operation: &'static str,
        payload: Vec<u8>,
        capabilities: Arc<dyn Capabilities>,
        grants: Option<Arc<Grants>>,
        memory_limit: usize,
    ) -> Self {
        Self {
            operation,
            payload,
            capabilities,
            grants,
            memory_limit,
            memory: 0,
            lookups: 0,
            host_answer: Ok(Vec::new()),
            guest_response: None,
            guest_error: None,
            last_line: None,
        }
    }

    /// Runs the operation in a fresh instance of the module, within `ticks` of the engine's epoch for each call.
    pub(crate) fn hold(self, prepared: &Prepared, ticks: u64, counting: bool) -> Result<(Vec<u8>, Work), Failure> {
        let mut store = Store::new(prepared.module().engine(), self);
        store.limiter(|conversation| conversation);
        let succeeded = counting.then(|| store.set_fuel(ALL_FUEL)).transpose();
        let succeeded = succeeded.and_then(|_| run(&mut store, prepared, ticks));
        // An instruction takes one unit of fuel.
        let instructions = store.get_fuel().ok().map(|left| ALL_FUEL - left);
        let conversation = store.into_data();
        let work = Work { instructions, memory: conversation.memory };
        match succeeded {
            Ok(succeeded) => conversation.answer(succeeded).map(|answer| (answer, work)),
            Err(error) => Err(conversation.failure(&error)),
        }
    }

    fn answer(self, succeeded: bool) -> Result<Vec<u8>, Failure> {
        match (self.guest_response, self.guest_error) {
            (Some(response), _) if succeeded => Ok(response),
            (_, Some(error)) => Err(Failure::Guest(error)),
            _ => Err(Failure::Guest("it gave neither an answer nor an error".into())),
        }
    }

    fn failure(self, error: &wasmtime::Error) -> Failure {
        match error.downcast_ref::<Trap>() {
            Some(Trap::Interrupt) => Failure::TimeLimit,
            Some(trap) => Failure::Trap { reason: trap.to_string(), last_line: self.last_line },
            None if error.is::<MemoryRefused>() => Failure::MemoryLimit,
            None => Failure::Trap { reason: error.root_cause().to_string(), last_line: self.last_line },
        }
    }

    fn host_call(
        &mut self,
        binding: &str,
        namespace: &str,
        operation: &str,
        request: &[u8],
    ) -> Result<Vec<u8>, String> {
        match (binding, namespace, operation) {
            ("kubewarden", "kubernetes", _) => {
                if self.lookups == MOST_LOOKUPS {
                    return Err(wording::too_many_lookups(MOST_LOOKUPS));
                }
                self.lookups += 1;
                if let Some(grants) = &self.grants {
                    grants.check(operation, request)?;
                }
                self.capabilities.call(operation, request)
            }
            ("kubewarden", "tracing", "log") => {
                self.log(&String::from_utf8_lossy(request));
                Ok(Vec::new())
            }
            ("kubewarden", "tracing", other) => Err(wording::unknown_operation(other)),
            ("kubewarden", "oci" | "net" | "crypto" | "cache", _) => Err(wording::not_offered(namespace, operation)),
            ("kubewarden", other, _) => Err(wording::unknown_namespace(other)),
            (other, _, _) => Err(wording::unknown_binding(other)),
        }
    }

    fn log(&mut self, line: &str) {
        self.capabilities.log(line);
        self.last_line = Some(line.into());
    }
}

impl ResourceLimiter for Conversation {
    /// An error stops the guest at once; answering "no", as WebAssembly also allows, would leave it to trap by itself
    /// for a reason that says nothing of memory.
    fn memory_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        if desired > self.memory_limit {
            return Err(MemoryRefused.into());
        }
        self.memory = desired;
        Ok(true)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired.saturating_mul(size_of::<usize>()) <= self.memory_limit)
    }
}

/// Whether the guest says that it succeeded.
fn run(store: &mut Store<Conversation>, prepared: &Prepared, ticks: u64) -> wasmtime::Result<bool> {
    store.set_epoch_deadline(ticks);
    let instance = prepared.instantiate(&mut *store)?;
    for starter in STARTERS {
        if let Some(start) = instance.get_func(&mut *store, starter) {
            store.set_epoch_deadline(ticks);
            start.typed::<(), ()>(&*store)?.call(&mut *store, ())?;
        }
    }
    let call = instance.get_typed_func::<(i32, i32), i32>(&mut *store, GUEST_CALL)?;
    let lengths = (length(store.data().operation.len())?, length(store.data().payload.len())?);
    store.set_epoch_deadline(ticks);
    Ok(call.call(&mut *store, lengths)? != 0)
}

/// Links the module to the functions it imports.
pub(crate) fn prepare(engine: &Engine, module: &Module) -> wasmtime::Result<Prepared> {
    let mut linker = Linker::new(engine);
    link_requests(&mut linker)?;
    link_answers(&mut linker)?;
    link_host_calls(&mut linker)?;
    linker.instantiate_pre(module)
}

fn link_requests(linker: &mut Linker<Conversation>) -> wasmtime::Result<()> {
    linker.func_wrap(
        IMPORTS,
        "__guest_request",
        |mut caller: Caller<'_, Conversation>, operation: i32, payload: i32| {
            let memory = memory(&mut caller)?;
            let (bytes, conversation) = memory.data_and_store_mut(&mut caller);
            write(bytes, payload, &conversation.payload)?;
            write(bytes, operation, conversation.operation.as_bytes())
        },
    )?;
    Ok(())
}

fn link_answers(linker: &mut Linker<Conversation>) -> wasmtime::Result<()> {
    linker.func_wrap(IMPORTS, "__guest_response", |mut caller: Caller<'_, Conversation>, at: i32, length: i32| {
        let response = read(&mut caller, at, length)?.to_vec();
        caller.data_mut().guest_response = Some(response);
        wasmtime::Result::Ok(())
    })?;
    linker.func_wrap(IMPORTS, "__guest_error", |mut caller: Caller<'_, Conversation>, at: i32, length: i32| {
        let error = String::from_utf8_lossy(read(&mut caller, at, length)?).into_owned();
        caller.data_mut().guest_error = Some(error);
        wasmtime::Result::Ok(())
    })?;
    linker.func_wrap(IMPORTS, "__console_log", |mut caller: Caller<'_, Conversation>, at: i32, length: i32| {
        let line = String::from_utf8_lossy(read(&mut caller, at, length)?).into_owned();
        caller.data_mut().log(&line);
        wasmtime::Result::Ok(())
    })?;
    Ok(())
}

fn link_host_calls(linker: &mut Linker<Conversation>) -> wasmtime::Result<()> {
    linker.func_wrap(IMPORTS, "__host_call", host_call)?;
    linker.func_wrap(IMPORTS, "__host_response_len", |caller: Caller<'_, Conversation>| {
        length(caller.data().host_answer.as_ref().map_or(0, Vec::len))
    })?;
    linker.func_wrap(IMPORTS, "__host_error_len", |caller: Caller<'_, Conversation>| {
        length(caller.data().host_answer.as_ref().err().map_or(0, String::len))
    })?;
    linker.func_wrap(IMPORTS, "__host_response", |mut caller: Caller<'_, Conversation>, at: i32| {
        let memory = memory(&mut caller)?;
        let (bytes, conversation) = memory.data_and_store_mut(&mut caller);
        conversation.host_answer.as_ref().map_or(Ok(()), |answer| write(bytes, at, answer))
    })?;
    linker.func_wrap(IMPORTS, "__host_error", |mut caller: Caller<'_, Conversation>, at: i32| {
        let memory = memory(&mut caller)?;
        let (bytes, conversation) = memory.data_and_store_mut(&mut caller);
        conversation.host_answer.as_ref().err().map_or(Ok(()), |error| write(bytes, at, error.as_bytes()))
    })?;
    Ok(())
}

#[expect(clippy::too_many_arguments, reason = "the protocol passes four ranges of memory")]
fn host_call(
    mut caller: Caller<'_, Conversation>,
    binding: i32,
    binding_length: i32,
    namespace: i32,
    namespace_length: i32,
    operation: i32,
    operation_length: i32,
    request: i32,
    request_length: i32,
) -> wasmtime::Result<i32> {
    let memory = memory(&mut caller)?;
    let (bytes, conversation) = memory.data_and_store_mut(&mut caller);
    let answer = conversation.host_call(
        str::from_utf8(range(bytes, binding, binding_length)?)?,
        str::from_utf8(range(bytes, namespace, namespace_length)?)?,
        str::from_utf8(range(bytes, operation, operation_length)?)?,
        range(bytes, request, request_length)?,
    );
    conversation.host_answer = answer;
    Ok(i32::from(conversation.host_answer.is_ok()))
}

fn memory(caller: &mut Caller<'_, Conversation>) -> wasmtime::Result<Memory> {
    let export = caller.get_export(MEMORY).and_then(wasmtime::Extern::into_memory);
    export.ok_or_else(|| wasmtime::Error::msg("the guest exports no memory"))
}

fn read<'a>(caller: &'a mut Caller<'_, Conversation>, at: i32, length: i32) -> wasmtime::Result<&'a [u8]> {
    let memory = memory(caller)?;
    range(memory.data(caller), at, length)
}

fn range(bytes: &[u8], at: i32, length: i32) -> wasmtime::Result<&[u8]> {
    let (start, length) = (at.cast_unsigned() as usize, length.cast_unsigned() as usize);
    bytes.get(start..start.saturating_add(length)).ok_or_else(outside)
}

fn write(bytes: &mut [u8], at: i32, source: &[u8]) -> wasmtime::Result<()> {
    let start = at.cast_unsigned() as usize;
    let target = bytes.get_mut(start..start.saturating_add(source.len())).ok_or_else(outside)?;
    target.copy_from_slice(source);
    Ok(())
}

fn outside() -> wasmtime::Error {
    wasmtime::Error::msg("the guest named a range outside its memory")
}

fn length(length: usize) -> wasmtime::Result<i32> {
    Ok(i32::try_from(length)?)
}
