//! Cross-crate tests.

mod bad_input;
mod call_end;
mod contract_elevenlabs;
mod contract_knowlarity;
mod contract_livekit;
mod contract_twilio;
mod credentials;
mod isolation;
mod knowlarity_push;
mod number_life;
mod provider_input;
mod provisioning;
mod reconciliation;
mod row_security;
mod trunks;
