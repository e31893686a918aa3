//! A tenant's calls.

use async_trait::async_trait;
use jiff::Timestamp;

use super::{Call, CallEvent, CallEventKind, CallStatus, Transcript};
use crate::{
    id::{AgentId, CallId},
    page::{Page, PageRequest},
    provider::{
        telephony::ProviderCallId,
        voice_agent::{Direction, Turn},
    },
    store::StoreError,
};

/// Which calls to list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct CallFilter {
    /// Only these.
    pub status: Option<CallStatus>,
    /// Only these.
    pub direction: Option<Direction>,
    /// Only those that this agent took.
    pub agent: Option<AgentId>,
    /// Only those from this number.
    pub from: Option<String>,
    /// Only those to this number.
    pub to: Option<String>,
    /// Only those that began at this time or later.
    pub since: Option<Timestamp>,
    /// Only those that began before this time.
    pub until: Option<Timestamp>,
}

/// A tenant's calls.
#[async_trait]
pub trait CallRepo: Send {
    /// Writes a fresh call and its first event; `false`, and nothing written, when the carrier's call is known.
    async fn add(&mut self, call: &Call, first: &CallEventKind) -> Result<bool, StoreError>;
    /// The call.
    async fn find(&mut self, id: CallId) -> Result<Call, StoreError>;
    /// The call, locked until the end of this unit of work.
    async fn find_for_update(&mut self, id: CallId) -> Result<Call, StoreError>;
    /// The call that the carrier knows by this id.
    async fn find_by_provider_call(
        &mut self,
        provider: &str,
        call: &ProviderCallId,
    ) -> Result<Option<Call>, StoreError>;
    /// Writes the call back.
    async fn update(&mut self, call: &Call) -> Result<(), StoreError>;
    /// Lets the first media socket in: `false` when one came before or the call is over.
    async fn claim_media(&mut self, id: CallId, at: Timestamp) -> Result<bool, StoreError>;
    /// Appends what happened; gives it the next place in the call.
    async fn append(
        &mut self,
        id: CallId,
        at: Timestamp,
        kind: &CallEventKind,
    ) -> Result<CallEvent, StoreError>;
    /// What happened after this place (0 = from the start), oldest first.
    async fn events(&mut self, id: CallId, after: u32, limit: u16) -> Result<Vec<CallEvent>, StoreError>;
    /// Keeps the platform's own record of what was said, in place of an earlier one.
    async fn save_transcript(&mut self, id: CallId, turns: &[Turn]) -> Result<(), StoreError>;
    /// The platform's record, or else what the events say.
    async fn transcript(&mut self, id: CallId) -> Result<Transcript, StoreError>;
    /// Newest first.
    async fn list(&mut self, filter: &CallFilter, page: PageRequest) -> Result<Page<Call>, StoreError>;
}
