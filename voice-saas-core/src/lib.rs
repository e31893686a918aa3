//! Multi-tenant voice-AI products, without writing telephony, provisioning, billing or tenancy again.

pub mod agent;
mod app;
pub mod auth;
pub mod call;
pub mod clock;
pub mod entitlement;
pub mod event;
pub mod id;
pub mod idempotency;
pub mod job;
pub mod ledger;
pub mod mail;
pub mod media;
pub mod money;
pub mod number;
pub mod page;
pub mod phone;
pub mod plan;
pub mod provider;
pub mod reconcile;
pub mod saga;
pub mod scope;
pub mod secret;
pub mod store;
pub mod subaccount;
pub mod tenant;
#[cfg(feature = "testing")]
pub mod testing;
pub mod trunk;
pub mod usage;
pub mod validate;

pub use app::{Settings, VoiceSaas, VoiceSaasBuilder};
