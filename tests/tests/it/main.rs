//! Cross-crate tests.

mod bad_input;
mod call_end;
mod contract_app_store;
mod contract_elevenlabs;
mod contract_knowlarity;
mod contract_livekit;
mod contract_stripe;
mod contract_twilio;
mod credentials;
mod isolation;
mod knowlarity_push;
mod mail;
mod number_import;
mod number_life;
mod number_pool;
mod plans;
mod porting;
mod provider_input;
mod provisioning;
mod reconciliation;
mod reconciliation_kinds;
mod reconciliation_runs;
mod row_security;
mod subaccounts;
mod trunks;
