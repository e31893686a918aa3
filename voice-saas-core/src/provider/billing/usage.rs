//! What was used, for prices that charge by it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::ProviderCustomerId;

/// Something that was used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "use cases build it")]
pub struct UsageReport {
    /// What counts it ([`Meter::event_name`](super::Meter)).
    pub event_name: String,
    /// Who used it.
    pub customer: ProviderCustomerId,
    /// How much, in the meter's units.
    pub quantity: u64,
    /// Recognises a repetition, such as a call's id. At most 100 characters.
    pub identifier: String,
    /// When: within the last 35 days.
    pub at: Timestamp,
}
