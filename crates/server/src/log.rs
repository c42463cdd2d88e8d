//! Lines on standard error, for whoever operates the server.
//!
//! Nothing that answers requests ever waits for a log: lines go into a bounded queue, and a thread of its own writes
//! them. A disk that is full, a reader that is gone or one that reads nothing costs lines, never an answer. What is
//! left out is counted.

use std::borrow::Cow;
use std::io::Write;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use autoscaler_guard::plain::plain;
use serde_json::Value;
use time::OffsetDateTime;

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

/// How lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// `time level message key="value"`.
    Text,
    /// An object with `time`, `level`, `message` and the rest.
    Json,
}

static JSON: AtomicBool = AtomicBool::new(false);

/// From now on lines are written so.
pub fn log_as(format: LogFormat) {
    JSON.store(format == LogFormat::Json, Ordering::Relaxed);
}

/// A line of the log: what happened, and the facts about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    level: &'static str,
    message: Cow<'static, str>,
    facts: Vec<(&'static str, String)>,
}

impl Line {
    /// What is as it should be.
    pub fn info(message: impl Into<Cow<'static, str>>) -> Self {
        Self { level: "info", message: message.into(), facts: Vec::new() }
    }

    /// What somebody should see to, soon.
    pub fn warn(message: impl Into<Cow<'static, str>>) -> Self {
        Self { level: "warn", ..Self::info(message) }
    }

    /// What fails already.
    pub fn error(message: impl Into<Cow<'static, str>>) -> Self {
        Self { level: "error", ..Self::info(message) }
    }

    /// A fact about it.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.facts.push((key, value.into()));
        self
    }

    /// Values come from clients too, so they are quoted and cannot forge a line.
    fn text(&self, time: &str) -> String {
        let facts: Vec<String> = self.facts.iter().map(|(key, value)| format!(" {key}={value:?}")).collect();
        let facts = facts.concat();
        format!("{time} {:<5} {}{facts}", self.level, self.message)
    }

    fn json(&self, time: &str) -> String {
        let head = [("time", time), ("level", self.level), ("message", &*self.message)];
        let facts = self.facts.iter().map(|(key, value)| (*key, value.as_str()));
        let pairs = head.into_iter().chain(facts).map(|(key, value)| {
            // It has to stay an object, so its parts are what has an end.
            format!("\"{key}\":{}", Value::from(clipped(&plain(value), LONGEST / 4)))
        });
        format!("{{{}}}", pairs.collect::<Vec<_>>().join(","))
    }

    fn written(&self, time: &str) -> String {
        if JSON.load(Ordering::Relaxed) { self.json(time) } else { clipped(&self.text(time), LONGEST) }
    }
}

/// `2026-11-30T16:38:11.123Z`
fn timestamp() -> String {
    let now = OffsetDateTime::now_utc();
    let (date, time) = (now.date(), now.time());
    let (hour, minute, second, milli) = time.as_hms_milli();
    format!(
        "{:04}-{:02}-{:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z",
        date.year(),
        u8::from(date.month()),
        date.day()
    )
}

/// Writes a line for whoever operates the server to standard error. Returns at once, whatever becomes of the line.
pub fn log(line: &Line) {
    let queue = QUEUE.get_or_init(|| {
        let (queue, lines) = sync_channel(WAITING);
        // Without the thread its end of the queue is gone, and every line is counted as left out.
        let _ = std::thread::Builder::new().name("log".into()).spawn(move || write(&lines, &mut std::io::stderr()));
        queue
    });
    if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) =
        queue.try_send(Entry::Line(line.written(&timestamp())))
    {
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
    std::panic::set_hook(Box::new(|panic| log(&Line::error("crashed").with("reason", panic.to_string()))));
}

fn clipped(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let kept = text.get(..text.floor_char_boundary(most)).unwrap_or_default();
    format!("{kept}…")
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
    fn a_line_has_a_time_a_level_and_its_facts_in_both_formats() {
        let line = Line::warn("not judged").with("reason", "late\nlevel=info").with("name", "w\"eb");
        let text = line.text("2026-11-30T00:00:00.000Z");
        assert_eq!(text, r#"2026-11-30T00:00:00.000Z warn  not judged reason="late\nlevel=info" name="w\"eb""#);
        let json: Value = serde_json::from_str(&line.json("2026-11-30T00:00:00.000Z")).unwrap();
        let expected = serde_json::json!({
            "time": "2026-11-30T00:00:00.000Z", "level": "warn", "message": "not judged",
            "reason": r"late\u{a}level=info", "name": "w\"eb",
        });
        assert_eq!(json, expected);
        assert!(timestamp().starts_with("20") && timestamp().len() == "2026-11-30T00:00:00.000Z".len());
    }

    #[test]
    fn a_line_has_an_end() {
        assert_eq!(clipped("short", LONGEST), "short");
        let long = clipped(&"ü".repeat(LONGEST), LONGEST);
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
