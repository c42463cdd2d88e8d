//! `cargo xtask packages`: the manifests of package managers, with the version and checksums of a release's archives.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use crate::workspace::Workspace;

/// Which archives, and where to write.
#[derive(clap::Args)]
pub struct Options {
    /// The archives' checksums, as sha256sum writes them
    #[arg(long)]
    sums: PathBuf,
    /// The folder for what is written
    #[arg(long, default_value = "target/packages")]
    out: PathBuf,
}

/// The templates, and what they become.
const PACKAGES: &[(&str, &str)] = &[("krew.yaml", "autoscaler-guard.yaml"), ("homebrew.rb", "autoscaler-guard.rb")];

/// Writes all of them.
pub fn run(options: &Options) -> Result<()> {
    let root = Workspace::own()?.root;
    let sums =
        std::fs::read_to_string(&options.sums).with_context(|| format!("cannot read {}", options.sums.display()))?;
    std::fs::create_dir_all(&options.out)?;
    for (template, package) in PACKAGES {
        let text = std::fs::read_to_string(root.join("packaging").join(template))?;
        let filled = fill(&text, env!("CARGO_PKG_VERSION"), &sums).with_context(|| format!("packaging/{template}"))?;
        let path = options.out.join(package);
        std::fs::write(&path, filled).with_context(|| format!("cannot write {}", path.display()))?;
        println!("{}", path.display());
    }
    Ok(())
}

/// Puts in what stands between two `@`.
fn fill(template: &str, version: &str, sums: &str) -> Result<String> {
    let sums: BTreeMap<&str, &str> = sums
        .lines()
        .filter_map(|line| line.split_once("  ").map(|(sum, file)| (file.trim_start_matches("./"), sum)))
        .collect();
    let mut filled = String::new();
    for (index, part) in template.split('@').enumerate() {
        if index % 2 == 0 {
            filled.push_str(part);
            continue;
        }
        match part.strip_prefix("sha256 ") {
            Some(file) => {
                let sum = sums.get(file).with_context(|| format!("there is no checksum of {file}"))?;
                let is_sum = sum.len() == 64 && sum.bytes().all(|byte| byte.is_ascii_hexdigit());
                filled.push_str(if is_sum { sum } else { bail!("{sum:?} is no checksum") });
            }
            None if part == "version" => filled.push_str(version),
            None if part == "base" => {
                let releases = concat!(env!("CARGO_PKG_REPOSITORY"), "/releases/download");
                filled.push_str(releases);
                filled.push_str("/v");
                filled.push_str(version);
            }
            None => bail!("nothing is called {part:?}"),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    const TARGETS: [&str; 4] =
        ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu", "x86_64-apple-darwin", "aarch64-apple-darwin"];

    fn sums() -> String {
        let line = |target: &str| format!("{:x}  autoscaler-guard-{target}.tar.gz\n", sha256(target));
        TARGETS.map(line).concat()
    }

    fn sha256(text: &str) -> sha2::digest::Output<sha2::Sha256> {
        use sha2::Digest;
        sha2::Sha256::digest(text)
    }

    #[test]
    fn krew_takes_its_manifest() {
        let text = fill(include_str!("../../packaging/krew.yaml"), "1.2.3", &sums()).unwrap();
        let plugin: Value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(plugin["apiVersion"], "krew.googlecontainertools.github.com/v1alpha2");
        assert_eq!(
            (plugin["kind"].as_str(), plugin["metadata"]["name"].as_str()),
            (Some("Plugin"), Some("autoscaler-guard"))
        );
        let spec = &plugin["spec"];
        assert_eq!(spec["version"], "v1.2.3");
        // What krew-index asks for: https://krew.sigs.k8s.io/docs/developer-guide/develop/best-practices/
        let short = spec["shortDescription"].as_str().unwrap();
        assert!(short.len() <= 50 && !short.ends_with('.') && !short.to_lowercase().contains("kubectl"), "{short}");
        assert!(spec["description"].as_str().unwrap().lines().all(|line| line.len() <= 80));
        let platforms = spec["platforms"].as_array().unwrap();
        assert_eq!(platforms.len(), 4);
        for platform in platforms {
            let uri = platform["uri"].as_str().unwrap();
            let (_, file) = uri.rsplit_once('/').unwrap();
            let target = file.trim_start_matches("autoscaler-guard-").trim_end_matches(".tar.gz");
            assert!(uri.starts_with("https://github.com/") && uri.contains("/v1.2.3/"), "{uri}");
            assert_eq!(platform["sha256"], format!("{:x}", sha256(target)));
            assert_eq!(platform["bin"], "autoscaler-guard");
            let labels = &platform["selector"]["matchLabels"];
            let (os, arch) = (labels["os"].as_str().unwrap(), labels["arch"].as_str().unwrap());
            assert_eq!(target.contains("linux"), os == "linux", "{target}");
            assert_eq!(target.starts_with("x86_64"), arch == "amd64", "{target}");
        }
    }

    /// Ruby reads it, where there is one.
    #[test]
    fn homebrew_takes_its_formula() {
        let text = fill(include_str!("../../packaging/homebrew.rb"), "1.2.3", &sums()).unwrap();
        for target in TARGETS {
            assert!(text.contains(&format!("/v1.2.3/autoscaler-guard-{target}.tar.gz\"")), "{target}");
            assert!(text.contains(&format!("sha256 \"{:x}\"", sha256(target))), "{target}");
        }
        let ends = text.lines().filter(|line| line.trim() == "end").count();
        let begins =
            |line: &&str| line.ends_with(" do") || line.starts_with("class ") || line.trim().starts_with("def ");
        assert_eq!(ends, text.lines().filter(begins).count());
        let ruby = std::process::Command::new("ruby").args(["-c", "-e", &text]).output();
        assert!(ruby.is_err() || ruby.is_ok_and(|checked| checked.status.success()));
    }

    #[test]
    fn what_is_missing_is_named() {
        let error = |template: &str| fill(template, "1.2.3", "short  a.tar.gz\n").unwrap_err().to_string();
        assert_eq!(error("@sha256 b.tar.gz@"), "there is no checksum of b.tar.gz");
        assert_eq!(error("@sha256 a.tar.gz@"), "\"short\" is no checksum");
        assert_eq!(error("@nothing@"), "nothing is called \"nothing\"");
    }

    /// The archives that the release packs are those that package managers know, and `cargo binstall` finds
    /// them.
    #[test]
    fn archives_are_called_as_the_release_calls_them() {
        let release = include_str!("../../.github/workflows/release.yml");
        for target in TARGETS {
            assert!(release.contains(&format!("target: {target},")), "{target}");
        }
        assert!(release.contains("program/autoscaler-guard-$TARGET.tar.gz"));
        let cli = include_str!("../../crates/cli/Cargo.toml");
        let (_, binstall) = cli.split_once("[package.metadata.binstall]\n").unwrap();
        assert!(binstall.contains("/releases/download/v{ version }/autoscaler-guard-{ target }.tar.gz"));
        assert!(binstall.contains("bin-dir = \"{ bin }{ binary-ext }\"") && binstall.contains("pkg-fmt = \"tgz\""));
    }
}
