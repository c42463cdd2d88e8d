//! What an audit of one or several clusters came to, for the formats.

use autoscaler_guard_audit::{Finding, Report};

use super::baseline::Baseline;

/// The answer about a cluster.
#[derive(Debug)]
pub struct Audit {
    /// The kubeconfig's context, where several are looked at.
    pub context: Option<String>,
    /// What was found.
    pub report: Report,
}

/// All answers, and what is known already.
#[derive(Debug)]
pub struct Audits {
    /// One for each cluster.
    pub clusters: Vec<Audit>,
    /// What a former answer had.
    pub baseline: Baseline,
}

impl Audits {
    /// All findings, each with its cluster.
    pub fn findings(&self) -> impl Iterator<Item = (Option<&str>, &Finding)> {
        self.clusters
            .iter()
            .flat_map(|audit| audit.report.findings.iter().map(|finding| (audit.context.as_deref(), finding)))
    }

    /// Whether a finding is in the baseline.
    pub fn is_known(&self, finding: &Finding) -> bool {
        self.baseline.has(&finding.id())
    }

    /// Whether a finding counts.
    pub fn counts(&self, finding: &Finding) -> bool {
        !finding.acknowledged && !self.is_known(finding)
    }

    /// Whether everything could be read.
    pub fn is_complete(&self) -> bool {
        self.clusters.iter().all(|audit| audit.report.unread.is_empty())
    }
}
