//! Multi-tenant voice-AI products, without writing telephony, provisioning, billing or tenancy again.

pub mod clock;
pub mod id;
pub mod media;
pub mod money;
pub mod phone;
pub mod provider;
pub mod scope;
pub mod secret;
