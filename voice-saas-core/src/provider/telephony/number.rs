//! Numbers at a carrier: searched, bought, set up, given back.

use std::fmt;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use url::Url;

use super::{ProviderNumberId, ProviderPage, Removal};
use crate::{
    money::Money,
    phone::{Country, E164},
    provider::ProviderError,
};

/// Kinds of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NumberKind {
    /// Belongs to a place.
    #[default]
    Local,
    /// Free for the caller.
    TollFree,
    /// Belongs to a mobile network.
    Mobile,
}

/// What a number can carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NumberCapabilities {
    /// Calls.
    pub voice: bool,
    /// Text messages.
    pub sms: bool,
    /// Picture messages.
    pub mms: bool,
}

/// A search for numbers that can be bought and carry calls.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NumberQuery {
    /// Where.
    pub country: Country,
    /// Which kind.
    pub kind: NumberKind,
    /// The area code, where the country has them.
    pub area_code: Option<String>,
    /// Digits that the number contains.
    pub contains: Option<String>,
    /// Near this number, where the carrier knows how far numbers are apart (Twilio: US and Canada). Others are
    /// left out, not put last.
    pub near: Option<E164>,
    /// How near, in miles.
    pub near_miles: u16,
    /// What it must carry. Calls always.
    pub capabilities: NumberCapabilities,
    /// At most this many.
    pub limit: u16,
}

impl NumberQuery {
    /// Any local number of the country.
    pub fn new(country: Country) -> Self {
        Self {
            country,
            kind: NumberKind::default(),
            area_code: None,
            contains: None,
            near: None,
            near_miles: 25,
            capabilities: NumberCapabilities {
                voice: true,
                ..NumberCapabilities::default()
            },
            limit: 20,
        }
    }

    /// Of this kind.
    #[must_use]
    pub fn with_kind(mut self, kind: NumberKind) -> Self {
        self.kind = kind;
        self
    }

    /// In this area.
    #[must_use]
    pub fn with_area_code(mut self, area_code: impl Into<String>) -> Self {
        self.area_code = Some(area_code.into());
        self
    }

    /// With these digits in it.
    #[must_use]
    pub fn with_contains(mut self, digits: impl Into<String>) -> Self {
        self.contains = Some(digits.into());
        self
    }

    /// At most this many miles from this number.
    #[must_use]
    pub fn with_near(mut self, number: E164, miles: u16) -> Self {
        self.near = Some(number);
        self.near_miles = miles;
        self
    }

    /// That carry all this, beside calls.
    #[must_use]
    pub fn with_capabilities(mut self, capabilities: NumberCapabilities) -> Self {
        self.capabilities = NumberCapabilities {
            voice: true,
            ..capabilities
        };
        self
    }

    /// At most this many.
    #[must_use]
    pub fn with_limit(mut self, limit: u16) -> Self {
        self.limit = limit;
        self
    }
}

/// A number that can be bought now, and perhaps no longer in a minute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AvailableNumber {
    /// The number.
    pub number: E164,
    /// The carrier's way of writing it.
    pub friendly_name: String,
    /// The place, when it has one.
    pub locality: Option<String>,
    /// The region, when it has one.
    pub region: Option<String>,
    /// What it can carry.
    pub capabilities: NumberCapabilities,
    /// The address that its buyer must have.
    #[serde(default)]
    pub address: AddressRequirement,
    /// What it costs a month, when the search says so.
    #[serde(default)]
    pub monthly_price: Option<Money>,
}

/// The address that the buyer of a number must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AddressRequirement {
    /// None.
    #[default]
    None,
    /// Any.
    Any,
    /// In the number's country.
    Local,
    /// Outside it.
    Foreign,
}

/// What a country asks for before it lets a number go. Empty = nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NumberRequirements {
    /// The address that the buyer must have.
    pub address: AddressRequirement,
    /// Papers, in the carrier's words, such as "Business registration".
    pub documents: Vec<String>,
}

impl NumberRequirements {
    /// An address and papers.
    pub fn new(address: AddressRequirement, documents: Vec<String>) -> Self {
        Self { address, documents }
    }

    /// Whether anything is asked for.
    pub fn is_empty(&self) -> bool {
        self.address == AddressRequirement::None && self.documents.is_empty()
    }
}

impl AvailableNumber {
    /// A number without a place.
    pub fn new(number: E164, friendly_name: impl Into<String>, capabilities: NumberCapabilities) -> Self {
        Self {
            number,
            friendly_name: friendly_name.into(),
            locality: None,
            region: None,
            capabilities,
            address: AddressRequirement::None,
            monthly_price: None,
        }
    }

    /// What its buyer must have, and what it costs a month.
    #[must_use]
    pub fn with_terms(mut self, address: AddressRequirement, monthly_price: Option<Money>) -> Self {
        self.address = address;
        self.monthly_price = monthly_price;
        self
    }

    /// Where it belongs.
    #[must_use]
    pub fn with_place(mut self, locality: Option<String>, region: Option<String>) -> Self {
        self.locality = locality;
        self.region = region;
        self
    }
}

/// Where the carrier reports the calls of a number.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NumberWebhooks {
    /// Asked what to do with a call.
    pub voice: Url,
    /// Asked when `voice` failed.
    pub fallback: Url,
    /// Told how a call ended.
    pub status: Url,
}

impl NumberWebhooks {
    /// The three addresses.
    pub fn new(voice: Url, fallback: Url, status: Url) -> Self {
        Self {
            voice,
            fallback,
            status,
        }
    }
}

/// An order for one exact number, set up in the same request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NumberOrder {
    /// The number.
    pub number: E164,
    /// What finds this purchase again after an ambiguous failure; kept by the carrier as the friendly name.
    pub tag: String,
    /// Where its calls are reported.
    pub webhooks: NumberWebhooks,
    /// The carrier's id of the buyer's address, where the number asks for one.
    pub address: Option<String>,
    /// The carrier's id of the papers that it has approved, where the country asks for some.
    pub bundle: Option<String>,
}

impl NumberOrder {
    /// Orders `number`.
    pub fn new(number: E164, tag: impl Into<String>, webhooks: NumberWebhooks) -> Self {
        Self {
            number,
            tag: tag.into(),
            webhooks,
            address: None,
            bundle: None,
        }
    }

    /// With the address and the papers that the carrier knows by these ids.
    #[must_use]
    pub fn with_requirements(mut self, address: Option<String>, bundle: Option<String>) -> Self {
        self.address = address;
        self.bundle = bundle;
        self
    }
}

/// A number that the account holds at the carrier.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProviderNumber {
    /// The carrier's id.
    pub id: ProviderNumberId,
    /// The number.
    pub number: E164,
    /// The tag under which it was bought, or whatever name it was given since.
    pub friendly_name: String,
    /// What it can carry.
    pub capabilities: NumberCapabilities,
    /// Where its calls are reported now.
    pub voice_url: Option<String>,
    /// Since when the account holds it.
    pub held_since: Option<Timestamp>,
    /// What it costs a month, when the carrier says so.
    pub monthly_price: Option<Money>,
}

impl ProviderNumber {
    /// A number without a voice address.
    pub fn new(
        id: ProviderNumberId,
        number: E164,
        friendly_name: impl Into<String>,
        capabilities: NumberCapabilities,
    ) -> Self {
        Self {
            id,
            number,
            friendly_name: friendly_name.into(),
            capabilities,
            voice_url: None,
            held_since: None,
            monthly_price: None,
        }
    }

    /// Since when it is held, and what it costs a month.
    #[must_use]
    pub fn with_terms(mut self, held_since: Option<Timestamp>, monthly_price: Option<Money>) -> Self {
        self.held_since = held_since;
        self.monthly_price = monthly_price;
        self
    }

    /// Where its calls are reported.
    #[must_use]
    pub fn with_voice_url(mut self, voice_url: Option<String>) -> Self {
        self.voice_url = voice_url;
        self
    }
}

/// Numbers at a carrier.
#[async_trait]
pub trait NumberProvider: fmt::Debug + Send + Sync + 'static {
    /// Numbers that can be bought. An empty list is a normal answer.
    async fn search(&self, query: &NumberQuery) -> Result<Vec<AvailableNumber>, ProviderError>;

    /// Buys exactly this number. Never sent twice: after a failure whose recovery is
    /// [`Reconcile`](crate::provider::Recovery::Reconcile) the caller looks with [`find`](Self::find) first.
    async fn buy(&self, order: &NumberOrder) -> Result<ProviderNumber, ProviderError>;

    /// The number as the account holds it, if it does.
    async fn find(&self, number: &E164) -> Result<Option<ProviderNumber>, ProviderError>;

    /// All numbers of the account, page by page.
    async fn list(&self, page: Option<&str>) -> Result<ProviderPage<ProviderNumber>, ProviderError>;

    /// Points the number's calls somewhere else.
    async fn configure(&self, id: &ProviderNumberId, webhooks: &NumberWebhooks) -> Result<(), ProviderError>;

    /// Gives the number back, for good.
    async fn release(&self, id: &ProviderNumberId) -> Result<Removal, ProviderError>;

    /// Renames the number: how a number that was bought elsewhere gets our tag.
    async fn rename(&self, id: &ProviderNumberId, tag: &str) -> Result<(), ProviderError>;

    /// What the country asks for before such a number can be bought by this account.
    async fn requirements(
        &self,
        country: Country,
        kind: NumberKind,
    ) -> Result<NumberRequirements, ProviderError>;
}
