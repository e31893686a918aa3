//! A tenant: an organisation with members, or a person alone.

mod offboard;
mod repo;
mod service;

use std::{collections::BTreeMap, fmt, str::FromStr};

use jiff::{Timestamp, tz::TimeZone};
use serde::{Deserialize, Serialize};

use crate::{
    id::{TenantId, UserId},
    phone::{Country, E164},
};

pub use offboard::OffBoarding;
pub use repo::TenantRepo;
pub use service::{TenantChange, Tenants};

pub(crate) use offboard::OffBoardTenant;

/// Where a tenant stands in its life: `trial → active → past_due → suspended → active | closing → closed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TenantStatus {
    /// Trying it out.
    Trial,
    /// Paying.
    Active,
    /// A payment failed; everything works for a while yet.
    PastDue,
    /// Nothing works until it pays.
    Suspended,
    /// Being closed: what it holds at providers is given back.
    Closing,
    /// Gone.
    Closed,
}

impl TenantStatus {
    /// Whether it is being closed, or is closed: it gets nothing new.
    pub const fn is_ending(self) -> bool {
        matches!(self, Self::Closing | Self::Closed)
    }

    /// Whether its numbers are answered.
    pub const fn takes_calls(self) -> bool {
        matches!(self, Self::Trial | Self::Active | Self::PastDue)
    }
}

/// Which kind of product the tenant came through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::exhaustive_enums, reason = "X-App-Type knows these two")]
pub enum Platform {
    /// Business, in a browser.
    #[default]
    Web,
    /// Consumer, in an app.
    Mobile,
}

/// A time zone of the IANA database, such as `America/New_York`.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Zone(String);

impl Zone {
    /// Coordinated universal time.
    pub fn utc() -> Self {
        Self("UTC".to_owned())
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.0
    }

    /// Its rules.
    pub fn rules(&self) -> TimeZone {
        TimeZone::get(&self.0).unwrap_or(TimeZone::UTC)
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text names no time zone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a time zone of the IANA database, such as America/New_York")]
pub struct UnknownZone;

impl FromStr for Zone {
    type Err = UnknownZone;

    fn from_str(text: &str) -> Result<Self, UnknownZone> {
        TimeZone::get(text)
            .map(|_| Self(text.to_owned()))
            .map_err(|_| UnknownZone)
    }
}

impl<'de> Deserialize<'de> for Zone {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// What a business tells its callers, and what fills the variables of a shared agent.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Profile {
    /// The trade, such as `HVAC`.
    pub industry: Option<String>,
    /// Whom callers may ask for.
    pub owner_name: Option<String>,
    /// The business's own line.
    pub phone: Option<E164>,
    /// Where emergencies go.
    pub emergency_phone: Option<E164>,
    /// What is said first.
    pub greeting: Option<String>,
    /// What it offers.
    pub services: Vec<String>,
    /// Opening hours by weekday (`mon` … `sun`), as pairs of `HH:MM`.
    pub hours: BTreeMap<String, Vec<(String, String)>>,
}

/// A customer of the platform.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tenant {
    /// Its id.
    pub id: TenantId,
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub status: TenantStatus,
    /// What it came through.
    pub platform: Platform,
    /// How its people write phone numbers.
    pub country: Country,
    /// Its day.
    pub timezone: Zone,
    /// What its callers may know.
    pub profile: Profile,
    /// Since when.
    pub created_at: Timestamp,
}

impl Tenant {
    /// A tenant on trial, in the United States and UTC until it says otherwise.
    pub fn new(id: TenantId, name: impl Into<String>, platform: Platform, created_at: Timestamp) -> Self {
        Self {
            id,
            name: name.into(),
            status: TenantStatus::Trial,
            platform,
            country: Country::US,
            timezone: Zone::utc(),
            profile: Profile::default(),
            created_at,
        }
    }
}

/// What a member may do. Each role may do all that the next may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::exhaustive_enums, reason = "permissions match on every role")]
pub enum Role {
    /// Look.
    Viewer,
    /// Work with agents, numbers and calls.
    Member,
    /// Also change the tenant, its members and its keys.
    Admin,
    /// Also end it.
    Owner,
}

/// A person in a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Member {
    /// Who.
    pub user: UserId,
    /// Their address.
    pub email: String,
    /// Their name.
    pub name: Option<String>,
    /// What they may do.
    pub role: Role,
    /// Since when.
    pub joined_at: Timestamp,
}

impl Member {
    /// A member.
    pub fn new(
        user: UserId,
        email: impl Into<String>,
        name: Option<String>,
        role: Role,
        joined_at: Timestamp,
    ) -> Self {
        Self {
            user,
            email: email.into(),
            name,
            role,
            joined_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suspended_tenant_takes_no_calls_and_a_late_payer_does() {
        assert!(!TenantStatus::Suspended.takes_calls());
        assert!(TenantStatus::PastDue.takes_calls());
    }

    #[test]
    fn roles_are_ordered_by_what_they_may_do() {
        assert!(Role::Owner > Role::Admin && Role::Admin > Role::Member && Role::Member > Role::Viewer);
    }

    #[test]
    fn a_zone_that_does_not_exist_is_refused() {
        assert_eq!("Mars/Olympus".parse::<Zone>(), Err(UnknownZone));
        assert!("Europe/Prague".parse::<Zone>().is_ok());
    }
}
