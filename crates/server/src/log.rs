//! Lines on standard error, for whoever operates the server.
//!
//! Nothing that answers requests ever waits for a log: lines go into a bounded queue, and a thread of its own writes them. A disk that is
//! full, a reader that is gone or one that reads nothing costs lines, never an answer. What is left out is counted.

use std::io::Write;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

/// How many lines may wait to be written.
const WAITING: usize = 1024;
/// How many lines are written a second: what a flood of requests says is said by its first lines.
const A_SECOND: u64 = 200;
/// The longest line, in bytes.
const LONGEST: usize = 2048;

static QUEUE: OnceLock<SyncSender<Entry>> = OnceLock::new();
static DROPPED: AtomicU64 = AtomicU64::new(0);

enum Entry {
    Line(String),
    /// All lines before have been written.
    Flush(SyncSender<()>),
}

/// Tells whoever operates the server something, on a line of standard error. Returns at once, whatever becomes of the line.
pub fn log(line: &str) {
    let queue = QUEUE.get_or_init(|| {
        let (queue, lines) = sync_channel(WAITING);
        // Without the thread its end of the queue is gone, and every line is counted as left out.
        let _ = std::thread::Builder::new().name("log".into()).spawn(move || write(&lines, &mut std::io::stderr()));
        queue
    });
    if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = queue.try_send(Entry::Line(clipped(line))) {
        DROPPED.fetch_add(1, Ordering::Relaxed);
    }
}

/// How many lines were left out so far.
pub(crate) fn dropped() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

/// Waits for what is queued to be written, but not for long: somebody may have stopped reading.
pub(crate) fn flush(within: Duration) {
    let Some(queue) = QUEUE.get() else { return };
    let (done, written) = sync_channel(1);
    if queue.try_send(Entry::Flush(done)).is_ok() {
        let _ = written.recv_timeout(within);
    }
}

/// A crash of a request is a line like any other.
pub(crate) fn log_panics() {
    std::panic::set_hook(Box::new(|panic| log(&format!("crashed={:?}", panic.to_string()))));
}

fn clipped(line: &str) -> String {
    if line.len() <= LONGEST {
        return line.to_owned();
    }
    format!("{}…", &line[..line.floor_char_boundary(LONGEST)])
}

/// Writes line by line. A line that cannot be written is left out.
fn write(lines: &Receiver<Entry>, output: &mut impl Write) {
    let (mut second, mut written, mut left_out) = (Instant::now(), 0, 0);
    while let Ok(entry) = lines.recv() {
        if second.elapsed() >= Duration::from_secs(1) {
            (second, written) = (Instant::now(), 0);
        }
        match entry {
            Entry::Flush(done) => _ = done.try_send(()),
            Entry::Line(_) if written >= A_SECOND => left_out += 1,
            Entry::Line(mut line) => {
                written += 1;
                line.push('\n');
                left_out += u64::from(output.write_all(line.as_bytes()).is_err());
            }
        }
        DROPPED.fetch_add(std::mem::take(&mut left_out), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(lines: usize, output: &mut impl Write) {
        let (queue, entries) = sync_channel(lines);
        for number in 0..lines {
            queue.send(Entry::Line(format!("line {number}"))).unwrap();
        }
        drop(queue);
        write(&entries, output);
    }

    #[test]
    fn a_flood_of_lines_is_cut_and_counted() {
        let (before, mut output) = (dropped(), Vec::new());
        written(100_000, &mut output);
        let lines = u64::try_from(output.split(|byte| *byte == b'\n').count() - 1).unwrap();
        // More than one second may have passed.
        assert!((A_SECOND..50_000).contains(&lines), "{lines}");
        assert!(dropped() - before >= 100_000 - lines);
    }

    #[test]
    fn a_line_has_an_end() {
        assert_eq!(clipped("short"), "short");
        let long = clipped(&"ü".repeat(LONGEST));
        assert!(long.len() <= LONGEST + '…'.len_utf8() && long.ends_with("ü…"), "{long}");
    }

    #[test]
    fn what_cannot_be_written_is_counted_and_no_failure() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
                Err(std::io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let before = dropped();
        written(3, &mut Full);
        assert!(dropped() - before >= 3);
    }
}
