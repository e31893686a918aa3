//! How adapters speak to their providers: one client, one retry rule, one place that sends.
//!
//! An adapter names the [`Effect`] of each request, and the [`RetryPolicy`] decides from it whether a failed request
//! may be sent again. What may have acted at the provider and cannot be recognised there as a repetition is never
//! sent twice.
//!
//! ```
//! use std::time::Duration;
//!
//! use voice_saas_core::provider::Recovery;
//! use voice_saas_providers::http::{Effect, RetryPolicy, Step};
//!
//! let policy = RetryPolicy::default().with_max_attempts(2);
//! let unclear = Recovery::Reconcile; // a timeout, a 5xx
//! assert_eq!(policy.next(1, Effect::Once, unclear, 0.5), Step::Fail);
//! assert_eq!(policy.next(1, Effect::Read, unclear, 0.5), Step::Wait(Duration::from_millis(50)));
//! assert_eq!(policy.next(2, Effect::Read, unclear, 0.5), Step::Fail);
//! ```
#![cfg_attr(
    not(any(
        test,
        all(
            feature = "twilio",
            feature = "elevenlabs",
            feature = "livekit",
            feature = "knowlarity",
            feature = "stripe",
            feature = "app_store"
        )
    )),
    expect(dead_code, reason = "each adapter uses a part of the layer")
)]
#![cfg_attr(
    not(any(
        test,
        feature = "twilio",
        feature = "elevenlabs",
        feature = "livekit",
        feature = "knowlarity",
        feature = "stripe",
        feature = "app_store"
    )),
    expect(unused_imports, reason = "no adapter, no caller")
)]

mod auth;
mod client;
mod redact;
mod request;
mod retry;
#[cfg(test)]
mod tests;

pub(crate) use auth::Auth;
#[cfg(any(feature = "knowlarity", feature = "app_store"))]
pub(crate) use client::Response;
pub(crate) use client::{Client, Failure};
#[cfg(any(feature = "livekit", feature = "knowlarity", feature = "stripe"))]
pub(crate) use redact::without_numbers;
pub(crate) use request::Request;
#[cfg(feature = "stripe")]
pub(crate) use retry::LastWord;
pub use retry::{Effect, RetryPolicy, Step};
