//! Files and standard input, as the host's reader of documents wants them; and writing a file.

use std::fs;
use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

use autoscaler_guard_host::Snapshot;
use autoscaler_guard_host::documents::{self, SyntaxError};
pub use autoscaler_guard_host::documents::{Document, Origin};
use tempfile::NamedTempFile;

use crate::fault::Fault;

/// Standard input's name on the command line.
const STDIN: &str = "-";

/// Whether a path stands for standard input.
pub fn is_stdin(path: &Path) -> bool {
    path == Path::new(STDIN)
}

/// The objects that `--cluster` names: files, folders, or standard input alone.
pub fn cluster(paths: &[PathBuf]) -> Result<Snapshot, Fault> {
    let snapshot = if paths.iter().any(|path| is_stdin(path)) {
        if paths.len() > 1 {
            return Err(Fault::new("--cluster - cannot be combined with other paths")
                .help("put everything into one stream, or into files"));
        }
        let Source { name, text } = Source::stdin("the cluster's objects")?;
        Snapshot::from_text(&name, &text)
    } else {
        Snapshot::from_paths(paths)
    };
    snapshot.map_err(|error| Fault::new("the cluster's objects cannot be used").because(error))
}

/// A text and what to call it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The path as it was given, or `standard input`.
    pub name: String,
    /// All of it.
    pub text: String,
}

impl Source {
    /// Reads standard input; a terminal is refused, with `what` it should bring.
    pub fn stdin(what: &str) -> Result<Self, Fault> {
        let name = "standard input".to_owned();
        let mut stdin = io::stdin().lock();
        if stdin.is_terminal() {
            let fault = Fault::new(format!("{what} would be read from standard input, which is a terminal"));
            return Err(fault.help("name files, or pipe something in; --help has examples"));
        }
        let mut bytes = Vec::new();
        stdin.read_to_end(&mut bytes).map_err(|error| unreadable(&name, &error))?;
        Self::new(name, bytes)
    }

    /// Reads a file.
    pub fn file(path: &Path) -> Result<Self, Fault> {
        let name = path.display().to_string();
        let bytes = fs::read(path).map_err(|error| unreadable(&name, &error))?;
        Self::new(name, bytes)
    }

    fn new(name: String, bytes: Vec<u8>) -> Result<Self, Fault> {
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Self { name, text }),
            Err(error) => {
                let reason = format!("it is not UTF-8 text (byte {})", error.utf8_error().valid_up_to());
                Err(Fault::new(format!("{name} cannot be read")).because(reason))
            }
        }
    }

    /// All documents; empty ones are left out.
    pub fn documents(&self) -> Result<Vec<Document>, Fault> {
        documents::read(&self.name, &self.text).map_err(|error| {
            let fault = Fault::new(format!("{} is neither JSON nor YAML", error.origin));
            let SyntaxError { position, reason, .. } = error;
            fault.because(format!("{reason}{}", documents::at(position))).help("correct it, or leave it out")
        })
    }
}

/// Writes a file in one go, so that nobody ever sees half of it.
pub fn write(path: &Path, content: &[u8]) -> Result<(), Fault> {
    // A link stays one, and what is no file, such as /dev/null, is not replaced by one.
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let folder = real.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let written = if real.exists() && !real.is_file() {
        fs::write(&real, content)
    } else {
        half_file(folder).and_then(|mut file| {
            file.write_all(content)?;
            file.persist(&real).map(drop).map_err(io::Error::from)
        })
    };
    written.map_err(|error| {
        Fault::new(format!("{} cannot be written", path.display()))
            .because(error)
            .help("check the path and its permissions")
    })
}

fn half_file(folder: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    // As readable as any other file; the umask has the last word.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder)
}

fn unreadable(name: &str, error: &io::Error) -> Fault {
    Fault::new(format!("{name} cannot be read")).because(error).help("check the path and its permissions")
}

/// The path itself, or the JSON and YAML files below it in a stable order.
pub fn files(path: &Path) -> Result<Vec<PathBuf>, Fault> {
    documents::files(path).map_err(|(path, error)| unreadable(&path.display().to_string(), &error))
}
