//! A component that runs: a process group of its own, its output in a file, gone when this is dropped.
//!
//! A panic and Ctrl-C drop what runs. Against an end without any dropping (SIGKILL) there is a [`Reaper`].

use std::fs::File;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
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
        if let Some(group) = child.id() {
            instruct_reaper(&group.to_string())?;
        }
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

const REAP: &str = r#"
    groups=
    while read -r group; do
        [ "$group" = done ] && exit
        groups="$groups -$group"
    done
    [ -z "$groups" ] || kill -s KILL -- $groups 2>/dev/null
"#;

/// The running reaper.
static REAPER: Mutex<Option<Child>> = Mutex::new(None);

/// Kills every component when this program ends without having said that all is well: a shell that reads process groups
/// until its input is closed.
#[derive(Debug)]
pub struct Reaper(());

impl Reaper {
    /// Starts it; what is started afterwards it knows.
    ///
    /// # Errors
    /// There is no shell.
    pub fn start() -> Result<Self> {
        let mut command = std::process::Command::new("sh");
        // In a group of its own, so that Ctrl-C does not reach it.
        command.args(["-c", REAP]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        *REAPER.lock().unwrap_or_else(PoisonError::into_inner) = Some(command.spawn().context("starting a shell")?);
        Ok(Self(()))
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        // Whoever dropped this has dropped the components before.
        let _ = instruct_reaper("done");
        if let Some(mut reaper) = REAPER.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = reaper.wait();
        }
    }
}

fn instruct_reaper(line: &str) -> Result<()> {
    let mut reaper = REAPER.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(input) = reaper.as_mut().and_then(|reaper| reaper.stdin.as_mut()) {
        writeln!(input, "{line}").context("the reaper is gone")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_dropped_component_is_gone_with_its_children() -> Result<()> {
        let logs = tempfile::tempdir()?;
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 600 & echo $!; wait"]);
        let process = Process::start("sleeper", command, logs.path())?;
        let child = loop {
            let text = std::fs::read_to_string(process.log())?;
            if let Some(line) = text.lines().next().filter(|_| text.ends_with('\n')) {
                break PathBuf::from("/proc").join(line);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        assert!(child.exists());
        drop(process);
        let deadline = Instant::now() + Duration::from_secs(10);
        while is_running(&child) {
            assert!(Instant::now() < deadline, "the component's child lives on");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    #[test]
    fn the_reaper_kills_the_groups_that_it_knows() -> Result<()> {
        let mut group = std::process::Command::new("sleep").arg("600").process_group(0).spawn()?;
        let mut reaper = std::process::Command::new("sh").args(["-c", REAP]).stdin(Stdio::piped()).spawn()?;
        writeln!(reaper.stdin.take().context("no input")?, "{}", group.id())?;
        reaper.wait()?;
        assert!(!group.wait()?.success());
        Ok(())
    }

    /// Gone, or dead and not yet waited for by whoever took it over.
    fn is_running(process: &Path) -> bool {
        std::fs::read_to_string(process.join("stat")).is_ok_and(|stat| !stat.contains(") Z "))
    }
}
