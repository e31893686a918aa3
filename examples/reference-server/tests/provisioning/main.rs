//! Provisioning leaks nothing: the real server is killed, and its providers fail, at every operation of a provider that a
//! saga needs. Afterwards the providers' accounts are compared with what tenants and operators see: nothing extra,
//! nothing missing. `docs/provisioning.md` holds what comes of each.

mod account;
mod api;
mod crash;
mod fault;
mod matrix;
mod orphan;
mod page;
mod process;
mod saga;
mod step;
mod system;
mod takeover;
mod timeout;
mod trial;
mod wait;
