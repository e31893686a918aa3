//! Cross-crate tests.

mod contract_elevenlabs;
mod contract_twilio;
