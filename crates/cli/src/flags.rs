//! Options that several commands share, so that they are called alike everywhere, and as kubectl calls them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use autoscaler_guard::VerdictKind;
use clap::{Args, ValueEnum};

/// Which cluster to ask.
#[derive(Debug, Clone, Default, Args)]
#[group(skip)]
pub struct ClusterFlags {
    /// The cluster of this kubeconfig, instead of $KUBECONFIG, ~/.kube/config or the Pod's own
    #[arg(long, value_name = "FILE", help_heading = "Cluster")]
    pub kubeconfig: Option<PathBuf>,
    /// The cluster of this kubeconfig context
    #[arg(long, value_name = "NAME", help_heading = "Cluster")]
    pub context: Option<String>,
}

impl ClusterFlags {
    /// Whether a cluster is named; without, the current context's is meant, if any.
    pub fn is_named(&self) -> bool {
        self.kubeconfig.is_some() || self.context.is_some()
    }

    /// The flag of kubectl for the same.
    pub fn kubectl(&self) -> Vec<String> {
        self.words("--context")
    }

    /// The flag of helm for the same.
    pub fn helm(&self) -> Vec<String> {
        self.words("--kube-context")
    }

    fn words(&self, context: &str) -> Vec<String> {
        let kubeconfig = self.kubeconfig.iter().map(|file| ("--kubeconfig", file.display().to_string()));
        let context = self.context.iter().map(|name| (context, name.clone()));
        kubeconfig.chain(context).flat_map(|(flag, value)| [flag.to_owned(), value]).collect()
    }
}

/// Which namespaces of a cluster to look at.
#[derive(Debug, Clone, Default, Args)]
#[group(skip)]
pub struct NamespaceFlags {
    /// In this namespace only
    #[arg(long, short, value_name = "NAME", help_heading = "Cluster")]
    pub namespace: Option<String>,
    /// In all namespaces
    #[arg(long, short = 'A', conflicts_with = "namespace", help_heading = "Cluster")]
    pub all_namespaces: bool,
}

/// What makes a verdict's exit code 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum VerdictFailOn {
    /// Something is rejected
    Rejected,
    /// Something is rejected, repaired or warned of
    Warned,
    /// Nothing
    Never,
}

impl VerdictFailOn {
    /// Whether a verdict shows in the exit code.
    pub fn fails(self, verdict: VerdictKind) -> bool {
        match self {
            Self::Rejected => verdict == VerdictKind::Rejected,
            Self::Warned => verdict != VerdictKind::Allowed,
            Self::Never => false,
        }
    }
}

/// An address to listen on: `127.0.0.1:8443`, `[::]:8443`, or `:8443` for all of this machine's.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    let everywhere = text.strip_prefix(':').map(|port| format!("0.0.0.0:{port}"));
    everywhere.as_deref().unwrap_or(text).parse().map_err(|_| {
        "it must be an address with a port, such as 127.0.0.1:8443, [::1]:8443 or, for all addresses, :8443".to_owned()
    })
}

/// A time of up to a minute: `5s`, `500ms`, `1m`, or `5` for seconds.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let wrong = || "it must be from 0 to 60 seconds, such as 5s, 500ms or 5".to_owned();
    let number = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = match text.strip_prefix(number).unwrap_or_default() {
        "" | "s" => 1.0,
        "ms" => 0.001,
        "m" => 60.0,
        _ => return Err(wrong()),
    };
    let seconds = number.parse::<f64>().map_err(|_| wrong())? * unit;
    if (0.0..=60.0).contains(&seconds) { Ok(Duration::from_secs_f64(seconds)) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_taken_as_kubectl_takes_them() {
        for (text, expected) in [("5", 5000), ("5s", 5000), ("1.5", 1500), ("500ms", 500), ("1m", 60_000), ("0", 0)] {
            assert_eq!(seconds(text), Ok(Duration::from_millis(expected)), "{text}");
        }
        for text in ["", "s", "soon", "61", "2m", "-1", "5h", "NaN", "inf"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_port_alone_is_an_address() {
        assert_eq!(address(":8443"), "0.0.0.0:8443".parse().map_err(|_| String::new()));
        assert_eq!(address("[::1]:0"), "[::1]:0".parse().map_err(|_| String::new()));
        for text in ["8443", ":", "localhost", "localhost:1", ":70000"] {
            assert!(address(text).is_err_and(|error| error.contains(":8443")), "{text}");
        }
    }

    #[test]
    fn a_cluster_is_named_to_other_programs_by_their_words() {
        let flags = ClusterFlags { kubeconfig: Some("a".into()), context: Some("b".to_owned()) };
        assert_eq!(flags.kubectl(), ["--kubeconfig", "a", "--context", "b"]);
        assert_eq!(flags.helm(), ["--kubeconfig", "a", "--kube-context", "b"]);
        assert!(flags.is_named() && !ClusterFlags::default().is_named());
    }
}
