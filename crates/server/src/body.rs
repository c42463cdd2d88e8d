//! Bodies of requests: read before anything is taken that others wait for, within a time and a budget of bytes of their
//! own.
//!
//! A short body needs no leave, since what arrives so slowly that it would matter runs out of time first. A longer one
//! has all of its bytes reserved at once, so that many that arrive side by side cannot wait for each other; very long
//! ones have a budget of their own, and do not hold up the others.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, HttpBody as _};
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout_at;

use crate::Limits;

/// What is read without leave.
const SHORT: usize = 16 << 10;
/// What shares a budget with others of its size. A review of ordinary objects has a hundredth of it.
const LONG: usize = 1 << 20;
/// The budgets count in these.
const UNIT: usize = 1 << 10;
/// How many bodies may arrive at a time.
const ARRIVING: usize = 4096;

/// The budgets of bytes.
#[derive(Debug)]
pub(crate) struct Budgets {
    limits: Limits,
    arriving: Semaphore,
    ordinary: Arc<Semaphore>,
    long: Arc<Semaphore>,
}

/// A body, and the bytes that it takes of its budget for as long as it is kept.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) bytes: Vec<u8>,
    _reserved: Option<OwnedSemaphorePermit>,
}

/// Why there is no body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoBody {
    /// It is longer than it may be, or says that it will be.
    TooLarge,
    /// It did not arrive in time.
    Slow(Duration),
    /// Others take all the room.
    NoRoom,
    /// It broke off.
    Broken(String),
}

impl Budgets {
    pub(crate) fn new(limits: Limits) -> Self {
        let half = || Arc::new(Semaphore::new(limits.bytes_in_flight() / 2 / UNIT + 1));
        Self { limits, arriving: Semaphore::new(ARRIVING), ordinary: half(), long: half() }
    }

    /// Reads a body that began to arrive at that time.
    pub(crate) async fn receive(&self, mut body: Body, began: Instant) -> Result<Received, NoBody> {
        let most = self.limits.request_bytes;
        let announced = body.size_hint().exact().map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        if announced.is_some_and(|length| length > most) {
            return Err(NoBody::TooLarge);
        }
        let _arriving = self.arriving.try_acquire().map_err(|_| NoBody::NoRoom)?;
        let (mut bytes, mut reserved) = (Vec::with_capacity(announced.unwrap_or(SHORT).min(SHORT)), None);
        let mut until = began + self.limits.body();
        loop {
            let frame = timeout_at(until.into(), body.frame()).await;
            let Some(frame) = frame.map_err(|_| NoBody::Slow(self.limits.body()))? else { break };
            let frame = frame.map_err(|error| NoBody::Broken(error.to_string()))?;
            let Ok(data) = frame.into_data() else { continue };
            if bytes.len() + data.len() > most {
                return Err(NoBody::TooLarge);
            }
            if reserved.is_none() && bytes.len() + data.len() > SHORT {
                let whole = announced.unwrap_or(most);
                reserved = match self.reserve(whole, began).await {
                    Some(reserved) => Some(reserved),
                    None => return Err(self.discard(body, began).await),
                };
                until = Instant::now() + self.limits.body();
                bytes.reserve_exact(announced.unwrap_or_default().saturating_sub(bytes.len()));
            }
            bytes.extend_from_slice(&data);
        }
        Ok(Received { bytes, _reserved: reserved })
    }

    async fn reserve(&self, bytes: usize, began: Instant) -> Option<OwnedSemaphorePermit> {
        let budget = if bytes > LONG { &self.long } else { &self.ordinary };
        let units = u32::try_from(bytes / UNIT + 1).unwrap_or(u32::MAX);
        let reserved = Arc::clone(budget).acquire_many_owned(units);
        timeout_at((began + self.limits.turn()).into(), reserved).await.ok()?.ok()
    }

    /// Reads the rest without keeping it: many a client sees no answer before it has sent everything.
    async fn discard(&self, mut body: Body, began: Instant) -> NoBody {
        let rest = async { while let Some(Ok(_)) = body.frame().await {} };
        let _ = timeout_at((began + self.limits.lookups()).into(), rest).await;
        NoBody::NoRoom
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budgets() -> Budgets {
        let limits = Limits { request_bytes: 4 << 20, timeout: Duration::from_millis(400), ..Limits::default() };
        Budgets::new(limits)
    }

    async fn received(budgets: &Budgets, bytes: usize) -> Result<Received, NoBody> {
        budgets.receive(Body::from(vec![b' '; bytes]), Instant::now()).await
    }

    #[tokio::test]
    async fn long_bodies_wait_for_room_and_ordinary_ones_do_not_wait_for_them() {
        let budgets = budgets();
        let (first, second) = (received(&budgets, 4 << 20).await, received(&budgets, 3 << 20).await);
        assert!(first.is_ok() && second.is_ok());
        assert_eq!(received(&budgets, 2 << 20).await.unwrap_err(), NoBody::NoRoom);
        assert_eq!(received(&budgets, LONG).await.unwrap().bytes.len(), LONG);
        drop(first);
        assert_eq!(received(&budgets, 2 << 20).await.unwrap().bytes.len(), 2 << 20);
    }

    #[tokio::test]
    async fn what_is_too_long_is_not_read() {
        let budgets = budgets();
        assert_eq!(received(&budgets, (4 << 20) + 1).await.unwrap_err(), NoBody::TooLarge);
        assert!(received(&budgets, 4 << 20).await.is_ok());
    }
}
