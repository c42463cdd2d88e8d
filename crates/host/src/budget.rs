//! How long the lookups of a request may take, all of them together.

use std::time::Instant;

use tokio_util::sync::CancellationToken;

use crate::wording;

/// The time for the lookups of one request. What it does not suffice for fails, which a policy takes for unknown.
#[derive(Debug, Clone)]
pub struct Budget {
    /// Until when there is time.
    pub until: Instant,
    /// Cancelled once nobody waits for the verdict any more.
    pub gone: CancellationToken,
}

impl Budget {
    /// Whether there is time left, and somebody who waits.
    pub fn is_left(&self) -> bool {
        !self.gone.is_cancelled() && Instant::now() < self.until
    }

    /// What a guest gets for which there is no time.
    pub fn exhausted() -> String {
        wording::failure("there was no time left to look it up")
    }

    /// That answer, or that there is no time for it.
    pub async fn within<T>(&self, answer: impl Future<Output = Result<T, String>>) -> Result<T, String> {
        tokio::select! {
            answer = answer => answer,
            () = tokio::time::sleep_until(self.until.into()) => Err(Self::exhausted()),
            () = self.gone.cancelled() => Err(Self::exhausted()),
        }
    }
}
