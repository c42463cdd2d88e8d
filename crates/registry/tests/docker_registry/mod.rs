//! A real registry: Debian's docker-registry, on a free port, with its storage in a folder that goes with it.

#![allow(dead_code, reason = "each program of tests uses a part")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

use libtest_mimic::{Arguments, Failed, Trial};

const PROGRAM: &str = "docker-registry";

const HERE: &str = "127.0.0.1";

/// Whom the registry lets in, if it asks.
pub const USER: &str = "guard";
pub const PASSWORD: &str = "watchful";

/// The two as `htpasswd -B` writes them.
const HTPASSWD: &str = "guard:$2b$04$WwiWY3gNwABeXKgRyL8an.SwqTFS98qzW2BclH9kLdqvNODwFoEvi\n";

/// A registry that runs until it is dropped.
pub struct DockerRegistry {
    process: Child,
    host: String,
    folder: tempfile::TempDir,
}

impl DockerRegistry {
    /// One that lets everybody in.
    pub fn open() -> Self {
        Self::start(HERE, "", "", &[])
    }

    /// One that wants [`USER`] and [`PASSWORD`].
    pub fn closed() -> Self {
        Self::start(HERE, "", "auth: {htpasswd: {realm: test, path: htpasswd}}\n", &[("htpasswd", HTPASSWD)])
    }

    /// One that speaks HTTPS, with this certificate for 127.0.0.2. That is this machine too, but by a name that nobody
    /// takes for it.
    pub fn secure(certificate: &str, key: &str) -> Self {
        let tls = ", tls: {certificate: tls.crt, key: tls.key}";
        Self::start("127.0.0.2", tls, "", &[("tls.crt", certificate), ("tls.key", key)])
    }

    fn start(host: &str, tls: &str, auth: &str, files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let config = format!(
            "version: 0.1\nlog: {{level: info}}\nstorage: {{filesystem: {{rootdirectory: storage}}}}\nhttp: {{addr: '{host}:0'{tls}}}\n{auth}"
        );
        for (name, text) in [&[("config.yml", config.as_str())], files].concat() {
            fs::write(folder.path().join(name), text).expect("the folder can be written to");
        }
        let mut command = Command::new(PROGRAM);
        command.args(["serve", "config.yml"]).current_dir(folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = command.spawn().expect("docker-registry starts");
        let mut log = BufReader::new(process.stderr.take().expect("its log is piped")).lines().map_while(Result::ok);
        let host = log.find_map(|line| Some(line.split_once("listening on ")?.1.split(['"', ',']).next()?.to_owned()));
        // It would stop at a full pipe.
        std::thread::spawn(move || log.for_each(drop));
        Self { process, host: host.expect("it says where it listens"), folder }
    }

    /// Where it listens, as in a reference.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The file with the bytes of a digest.
    pub fn blob(&self, digest: &str) -> PathBuf {
        let hex = digest.strip_prefix("sha256:").expect("a digest is a sha256");
        let blobs = self.folder.path().join("storage/docker/registry/v2/blobs/sha256");
        blobs.join(&hex[..2]).join(hex).join("data")
    }

    /// A docker configuration with the credentials, as `docker login` writes it, in a folder below this one.
    pub fn docker_config(&self, name: &str, user: &str, password: &str) -> PathBuf {
        let folder = self.folder.path().join(name);
        fs::create_dir_all(&folder).expect("a folder can be made");
        let config = format!(r#"{{"auths": {{"{}": {{"username": "{user}", "password": "{password}"}}}}}}"#, self.host);
        fs::write(folder.join("config.json"), config).expect("the folder can be written to");
        folder
    }

    /// A folder of the test's own, which goes with the registry.
    pub fn folder(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for DockerRegistry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Runs tests that need the program, or says that they are skipped: the harness counts them as ignored then, not as
/// passed.
pub fn run(what: &str, tests: &[(&'static str, fn())]) -> ExitCode {
    let arguments = Arguments::from_args();
    let skipped = !is_installed();
    if skipped && !arguments.list {
        println!(
            "SKIPPED: the tests of {what} need {PROGRAM} on PATH, Debian's package of that name; {} are not run.",
            tests.len()
        );
    }
    let trial = |&(name, test): &(&'static str, fn())| {
        Trial::test(name, move || {
            test();
            Ok::<(), Failed>(())
        })
        .with_ignored_flag(skipped)
    };
    libtest_mimic::run(&arguments, tests.iter().map(trial).collect()).exit_code()
}

fn is_installed() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder: PathBuf| Path::is_file(&folder.join(PROGRAM)))
}
