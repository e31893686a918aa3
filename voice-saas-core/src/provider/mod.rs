//! The ports to providers: what the core asks of a carrier, of a voice-agent platform, and of whoever collects the
//! money.
//!
//! A provider is a set of small facets, present or absent; what one lacks is `None` or
//! [`ErrorKind::Unsupported`], never a method that pretends to succeed.

pub mod app_store;
pub mod billing;
mod error;
pub mod mail;
pub mod telephony;
pub mod voice_agent;

use std::fmt;

use serde::{Serialize, Serializer};

pub use error::{BoxError, ErrorKind, PaymentDecline, ProviderError, Recovery};

/// The name of a provider, in lower case: `twilio`, `elevenlabs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProviderName(&'static str);

impl ProviderName {
    /// Names a provider.
    pub const fn new(name: &'static str) -> Self {
        Self(name)
    }

    /// The name.
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for ProviderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Serialize for ProviderName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0)
    }
}
