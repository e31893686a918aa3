//! Identifiers: a UUIDv7 inside, a prefixed string outside.
//!
//! ```
//! use voice_saas_core::id::{NumberId, TenantId};
//!
//! let id: NumberId = "num_018f3c1e5d0f7a3b9c2d4e5f60718293".parse()?;
//! assert_eq!(id.to_string(), "num_018f3c1e5d0f7a3b9c2d4e5f60718293");
//! assert!("ten_018f3c1e5d0f7a3b9c2d4e5f60718293".parse::<NumberId>().is_err());
//! # Ok::<(), voice_saas_core::id::IdError>(())
//! ```

use uuid::Uuid;

use crate::clock::IdSource;

/// Why a text is not the identifier that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a {expected} id: it must look like {prefix}_ followed by 32 hexadecimal digits")]
pub struct IdError {
    expected: &'static str,
    prefix: &'static str,
}

fn parse(text: &str, prefix: &'static str, expected: &'static str) -> Result<Uuid, IdError> {
    text.strip_prefix(prefix)
        .and_then(|rest| rest.strip_prefix('_'))
        .filter(|hex| hex.len() == 32)
        .and_then(|hex| Uuid::try_parse(hex).ok())
        .ok_or(IdError { expected, prefix })
}

macro_rules! define_ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Uuid);

        impl $name {
            /// What its text starts with, before the underscore.
            pub const PREFIX: &'static str = $prefix;

            /// A new identifier, later in order than those made before it.
            pub fn generate(ids: &dyn IdSource) -> Self {
                Self(ids.uuid())
            }

            /// The identifier that a store's column holds.
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The value for a store's column.
            pub const fn as_uuid(self) -> Uuid {
                self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, concat!($prefix, "_{}"), self.0.simple())
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(self, f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                parse(text, $prefix, stringify!($name)).map(Self)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    )*};
}

macro_rules! deserializable {
    ($($name:ident)*) => {$(
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

define_ids! {
    /// One customer of the platform. It can be written to JSON but not read from it: no request body carries
    /// a tenant, only a [`TenantScope`](crate::scope::TenantScope) does.
    TenantId = "ten";
    /// A person who can log in.
    UserId = "usr";
    /// A phone number that a tenant holds at a carrier.
    NumberId = "num";
    /// A number that the operator owns.
    PoolNumberId = "pool";
    /// An order to move numbers in from another carrier.
    PortId = "port";
    /// The SIP trunk of a number.
    TrunkId = "trk";
    /// A tenant's own account at a carrier, within ours.
    SubaccountId = "sub";
    /// An AI agent.
    AgentId = "agt";
    /// One phone call.
    CallId = "call";
    /// An API key.
    ApiKeyId = "key";
    /// A domain event.
    EventId = "evt";
    /// A durable job.
    JobId = "job";
    /// A piece of work in several steps that undoes itself.
    SagaId = "saga";
    /// A ledger entry.
    EntryId = "ent";
    /// All refresh tokens that descend from one login.
    TokenFamilyId = "fam";
    /// A call that reached us but no tenant's number.
    UnroutedCallId = "unr";
    /// A disagreement between a provider and the store.
    FindingId = "fnd";
}

deserializable!(UserId NumberId PortId PoolNumberId TrunkId SubaccountId AgentId CallId ApiKeyId EventId JobId SagaId EntryId TokenFamilyId UnroutedCallId FindingId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_what_it_prints() {
        let id = CallId::from_uuid(Uuid::from_u128(7));
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn another_prefix_a_missing_digit_or_a_hyphenated_uuid_is_refused() {
        for text in [
            "num_00000000000000000000000000000007",
            "call_7",
            "call_00000000-0000-0000-0000-000000000007",
            "",
        ] {
            assert!(text.parse::<CallId>().is_err(), "{text}");
        }
    }
}
