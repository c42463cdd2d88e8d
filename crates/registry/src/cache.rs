//! What was pulled before: manifests and modules, each in a file that is named by its SHA-256, and which digest a tag last
//! stood for.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::Reference;

/// A folder of files by digest.
#[derive(Debug, Clone)]
pub(crate) struct Cache {
    folder: PathBuf,
}

/// The digest of these bytes: `sha256:…`.
pub(crate) fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold("sha256:".to_owned(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl Cache {
    pub(crate) fn at(folder: PathBuf) -> Self {
        Self { folder }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The bytes of that digest. What was damaged since it was written counts as missing.
    pub(crate) fn read(&self, wanted: &str) -> Option<Vec<u8>> {
        let bytes = fs::read(self.blob(wanted)?).ok()?;
        (digest(&bytes) == wanted).then_some(bytes)
    }

    /// Keeps bytes.
    pub(crate) fn keep(&self, bytes: &[u8]) -> io::Result<()> {
        match self.blob(&digest(bytes)) {
            Some(file) => replace(&file, bytes),
            None => Ok(()),
        }
    }

    /// The digest that a tag stood for when it was last resolved.
    pub(crate) fn last(&self, tag: &Reference) -> Option<String> {
        let digest = fs::read_to_string(self.tag(tag)).ok()?;
        self.blob(&digest).map(|_| digest)
    }

    /// Keeps the digest that a tag stands for.
    pub(crate) fn resolved(&self, tag: &Reference, digest: &str) -> io::Result<()> {
        replace(&self.tag(tag), digest.as_bytes())
    }

    /// Where the bytes of a digest are; nowhere if it is none, which keeps what registries say out of paths.
    fn blob(&self, digest: &str) -> Option<PathBuf> {
        let hex = digest.strip_prefix("sha256:")?;
        let sound = hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
        sound.then(|| self.folder.join("sha256").join(hex))
    }

    fn tag(&self, reference: &Reference) -> PathBuf {
        let name = reference.inner().to_string().replace('/', "%2F").replace(':', "%3A");
        self.folder.join("tags").join(name)
    }
}

/// Writes a file in one go, so that nobody ever sees half of it.
fn replace(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = file.parent().ok_or(io::ErrorKind::InvalidFilename)?;
    fs::create_dir_all(folder)?;
    let mut half = tempfile::NamedTempFile::new_in(folder)?;
    half.write_all(bytes)?;
    half.as_file().sync_all()?;
    half.persist(file)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_comes_back_and_what_was_damaged_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().join("policies"));
        let module = digest(b"module");
        assert_eq!(cache.read(&module), None);
        cache.keep(b"module").unwrap();
        assert_eq!(cache.read(&module).as_deref(), Some(&b"module"[..]));
        fs::write(cache.blob(&module).unwrap(), b"modulf").unwrap();
        assert_eq!(cache.read(&module), None);
        cache.keep(b"module").unwrap();
        assert!(cache.read(&module).is_some());
        let files = fs::read_dir(cache.folder().join("sha256")).unwrap().count();
        assert_eq!(files, 1, "temporary files are left");
    }

    #[test]
    fn digests_are_no_paths() {
        let cache = Cache::at("/nowhere".into());
        for wrong in ["sha256:../../../etc/passwd", "sha512:00", "", &format!("sha256:{}/", "0".repeat(63))] {
            assert_eq!(cache.blob(wrong), None);
        }
    }

    #[test]
    fn tags_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().to_owned());
        let [one, other] = ["registry://a.io/b/c:1", "registry://a.io/b_c:1"].map(|text| text.parse().unwrap());
        assert_eq!(cache.last(&one), None);
        cache.resolved(&one, &digest(b"1")).unwrap();
        cache.resolved(&other, &digest(b"2")).unwrap();
        assert_eq!((cache.last(&one), cache.last(&other)), (Some(digest(b"1")), Some(digest(b"2"))));
    }
}
