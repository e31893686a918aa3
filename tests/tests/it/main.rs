//! Cross-crate tests.

mod bad_input;
mod call_end;
mod contract_elevenlabs;
mod contract_twilio;
mod credentials;
mod isolation;
mod provider_input;
mod provisioning;
mod row_security;
