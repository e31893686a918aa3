//! SIP trunks: how calls get from one provider to the other.
//!
//! Two providers meet at a trunk. The carrier (Twilio) sends the calls of its numbers to a SIP address and takes
//! calls out from whoever knows the credentials; the media side (`LiveKit`) takes the calls of a number, and says who
//! answers them. Either is a [`TrunkProvider`].

use std::fmt;

use async_trait::async_trait;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ProviderPage, Removal};
use crate::{phone::E164, provider::ProviderError};

/// What a provider made for one trunk, in its own words: a trunk, a rule, a list of credentials. Kept as it came, and
/// understood by the adapter that made it alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RouteHandle(Value);

impl RouteHandle {
    /// What the adapter will find its things by.
    pub fn new(value: Value) -> Self {
        Self(value)
    }

    /// For the adapter that made it.
    pub fn value(&self) -> &Value {
        &self.0
    }
}

/// What opens the SIP address of the other side.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SipCredentials {
    /// The user.
    pub username: String,
    /// The password.
    pub password: SecretString,
}

impl SipCredentials {
    /// User and password.
    pub fn new(username: impl Into<String>, password: SecretString) -> Self {
        Self {
            username: username.into(),
            password,
        }
    }
}

/// Who answers in the room, at a media side.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AgentDispatch {
    /// The name under which its workers have registered.
    pub agent_name: String,
    /// What its job is told, as the worker wants it.
    pub metadata: String,
    /// What the names of the rooms begin with.
    pub room_prefix: String,
}

impl AgentDispatch {
    /// A room of its own for each caller, with this agent in it.
    pub fn new(
        agent_name: impl Into<String>,
        metadata: impl Into<String>,
        room_prefix: impl Into<String>,
    ) -> Self {
        Self {
            agent_name: agent_name.into(),
            metadata: metadata.into(),
            room_prefix: room_prefix.into(),
        }
    }
}

/// A trunk to be there.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TrunkOrder {
    /// What finds it again: its name at the provider, unique to this trunk.
    pub tag: String,
    /// The number whose calls it carries.
    pub number: E164,
    /// The SIP host of the other side: where a carrier sends the calls, where a media side sends calls out.
    pub peer: Option<String>,
    /// What opens this trunk for calls out (at a carrier), or the other side's (at a media side).
    pub credentials: Option<SipCredentials>,
    /// Who answers; a carrier has no use for it.
    pub dispatch: Option<AgentDispatch>,
    /// Whether calls to the number go through it. Without them a carrier reports the number's calls to its webhook
    /// again, and a media side refuses them; calls out go on.
    pub takes_calls: bool,
}

impl TrunkOrder {
    /// A trunk that only takes calls in.
    pub fn new(tag: impl Into<String>, number: E164) -> Self {
        Self {
            tag: tag.into(),
            number,
            peer: None,
            credentials: None,
            dispatch: None,
            takes_calls: true,
        }
    }

    /// For a number that is out of service: it is there, and takes no calls in.
    #[must_use]
    pub fn without_calls_in(mut self) -> Self {
        self.takes_calls = false;
        self
    }

    /// With this SIP host on the other side.
    #[must_use]
    pub fn with_peer(mut self, host: impl Into<String>, credentials: Option<SipCredentials>) -> Self {
        self.peer = Some(host.into());
        self.credentials = credentials;
        self
    }

    /// Answered by this agent.
    #[must_use]
    pub fn with_dispatch(mut self, dispatch: AgentDispatch) -> Self {
        self.dispatch = Some(dispatch);
        self
    }
}

/// A trunk as its provider has it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProviderTrunk {
    /// All that was made for it, or as much as is there.
    pub handle: RouteHandle,
    /// The tag that it was ordered under, or whatever name it bears.
    pub tag: String,
    /// The numbers whose calls it carries.
    pub numbers: Vec<E164>,
    /// The SIP host of this side: a carrier's takes calls out, a media side's takes calls in.
    pub sip_host: Option<String>,
    /// Whether all parts of it are there: a trunk without its rule carries nothing.
    pub complete: bool,
}

impl ProviderTrunk {
    /// A whole trunk.
    pub fn new(handle: RouteHandle, tag: impl Into<String>, numbers: Vec<E164>) -> Self {
        Self {
            handle,
            tag: tag.into(),
            numbers,
            sip_host: None,
            complete: true,
        }
    }

    /// Where calls out are sent.
    #[must_use]
    pub fn with_sip_host(mut self, host: Option<String>) -> Self {
        self.sip_host = host;
        self
    }

    /// Whether all its parts are there.
    #[must_use]
    pub fn with_complete(mut self, complete: bool) -> Self {
        self.complete = complete;
        self
    }
}

/// SIP trunks at a provider.
#[async_trait]
pub trait TrunkProvider: fmt::Debug + Send + Sync + 'static {
    /// Sees to it that the trunk is there, with all its parts: looks by number and tag first, makes what is missing,
    /// and makes nothing twice. Repeating it after any failure is the way to go on. An order without calls in takes away
    /// the part that brings them, so that the trunk is not complete; the next order with them makes it again.
    ///
    /// # Errors
    /// `Conflict` when the number's calls go through a trunk with another tag.
    async fn ensure(&self, order: &TrunkOrder) -> Result<ProviderTrunk, ProviderError>;

    /// The trunk with this tag, or what there is of it.
    async fn find(&self, tag: &str, number: &E164) -> Result<Option<ProviderTrunk>, ProviderError>;

    /// All trunks of the account, and parts that belong to none, page by page.
    async fn list(&self, page: Option<&str>) -> Result<ProviderPage<ProviderTrunk>, ProviderError>;

    /// Takes the trunk away with all its parts, in the order that leaves no call without a rule. Parts that are gone
    /// are no error. The number stays.
    async fn delete(&self, handle: &RouteHandle) -> Result<Removal, ProviderError>;
}
