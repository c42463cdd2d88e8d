//! The clock behind the time limit: it advances an engine's epoch until it is dropped.
//!
//! Wasmtime interrupts a guest once the engine's epoch has passed the guest's deadline. Somebody has to advance the
//! epoch; a thread does it, and goes away with its policy.

use std::{
    sync::mpsc::{self, RecvTimeoutError, Sender},
    thread::{self, JoinHandle},
    time::Duration,
};

use wasmtime::Engine;

/// How finely a time limit is measured.
const TICKS: u64 = 20;

/// A running clock.
#[derive(Debug)]
pub(crate) struct Ticker {
    /// Dropping it wakes and ends the thread.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    /// Starts a clock that makes [`Ticker::deadline`] last as long as `limit`.
    pub(crate) fn start(engine: Engine, limit: Duration) -> std::io::Result<Self> {
        let interval = (limit / u32::try_from(TICKS).unwrap_or(u32::MAX)).max(Duration::from_millis(1));
        let (stop, stopped) = mpsc::channel();
        let thread = thread::Builder::new().name("policy time limit".into()).spawn(move || {
            while stopped.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
                engine.increment_epoch();
            }
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }

    /// The ticks to grant a guest: one more than the limit has, since the first may be about to happen.
    pub(crate) const fn deadline() -> u64 {
        TICKS + 1
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // The thread only counts, so there is no panic of its own to hand on.
            let _ = thread.join();
        }
    }
}
