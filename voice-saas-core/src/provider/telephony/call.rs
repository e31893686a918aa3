//! Single calls at a carrier.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{ProviderCallId, Removal};
use crate::{money::Money, provider::ProviderError};

/// How far a call has come, in the carrier's view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ProviderCallStatus {
    /// Accepted, not dialled yet.
    Queued,
    /// Being dialled.
    Initiated,
    /// Ringing.
    Ringing,
    /// Answered.
    InProgress,
    /// Answered and over.
    Completed,
    /// The callee was busy.
    Busy,
    /// Nobody answered.
    NoAnswer,
    /// It could not be connected.
    Failed,
    /// Ended before it was answered.
    Canceled,
    /// A word that this library does not know.
    Unknown,
}

/// A call in the carrier's books.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProviderCall {
    /// The carrier's id.
    pub id: ProviderCallId,
    /// How far it has come.
    pub status: ProviderCallStatus,
    /// When it was answered or began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// How long it lasted.
    pub duration: Option<Duration>,
    /// What the carrier charged; `None` until the call is rated.
    pub price: Option<Money>,
}

impl ProviderCall {
    /// A call of which only the status is known.
    pub fn new(id: ProviderCallId, status: ProviderCallStatus) -> Self {
        Self {
            id,
            status,
            started_at: None,
            ended_at: None,
            duration: None,
            price: None,
        }
    }

    /// When it began and ended.
    #[must_use]
    pub fn with_times(mut self, started_at: Option<Timestamp>, ended_at: Option<Timestamp>) -> Self {
        self.started_at = started_at;
        self.ended_at = ended_at;
        self
    }

    /// How long it lasted.
    #[must_use]
    pub fn with_duration(mut self, duration: Option<Duration>) -> Self {
        self.duration = duration;
        self
    }

    /// What it cost.
    #[must_use]
    pub fn with_price(mut self, price: Option<Money>) -> Self {
        self.price = price;
        self
    }
}

/// Single calls at a carrier.
#[async_trait]
pub trait CallProvider: fmt::Debug + Send + Sync + 'static {
    /// The call as the carrier sees it; lags behind its callbacks.
    async fn fetch(&self, id: &ProviderCallId) -> Result<ProviderCall, ProviderError>;

    /// Ends a live call. A call that is over already is `AlreadyGone`.
    async fn hang_up(&self, id: &ProviderCallId) -> Result<Removal, ProviderError>;
}
