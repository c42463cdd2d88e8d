//! A component that runs: a process group of its own, its output in a file, gone when this is dropped.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use process_wrap::tokio::{ChildWrapper, CommandWrap, ProcessGroup};
use tokio::process::Command;

/// A running component.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Box<dyn ChildWrapper>,
    log: PathBuf,
}

impl Process {
    /// Starts a component in a process group of its own; what it says goes to `<logs>/<name>.log`.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(name: &str, mut command: Command, logs: &Path) -> Result<Self> {
        let log = logs.join(format!("{name}.log"));
        let output = File::options().create(true).append(true).open(&log)?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).kill_on_drop(true);
        let mut command = CommandWrap::from(command);
        let child = command.wrap(ProcessGroup::leader()).spawn().with_context(|| format!("starting {name}"))?;
        Ok(Self { name: name.to_owned(), child, log })
    }

    /// Where its output is.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Its process id.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Fails once it has ended, with the last lines of its log.
    ///
    /// # Errors
    /// It has ended.
    pub fn alive(&mut self) -> Result<()> {
        let Some(status) = self.child.try_wait()? else { return Ok(()) };
        bail!("{} ended with {status}; the end of {}:\n{}", self.name, self.log.display(), self.last_lines());
    }

    fn last_lines(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }

    /// Asks it to end, and ends it if it does not within that time.
    ///
    /// # Errors
    /// It cannot be signalled or waited for.
    pub async fn stop(&mut self, within: Duration) -> Result<ExitStatus> {
        const SIGTERM: i32 = 15;
        self.child.signal(SIGTERM)?;
        if let Ok(status) = tokio::time::timeout(within, self.child.wait()).await {
            return Ok(status?);
        }
        self.child.start_kill()?;
        Ok(self.child.wait().await?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Nothing can be done about a failure here, and the usual one is that it has ended already.
        let _ = self.child.start_kill();
        let deadline = Instant::now() + Duration::from_secs(5);
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
