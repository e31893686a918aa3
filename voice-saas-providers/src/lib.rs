//! Adapters of voice-saas to the outside world.
//!
//! Every module is behind the feature of its name, and none is on by default.
//!
//! | feature | module | implements |
//! |---|---|---|
//! | `twilio` | `twilio` | `TelephonyProvider`: numbers, calls, webhooks, TwiML, Media Streams |
//! | `elevenlabs` | `elevenlabs` | `VoiceAgentProvider`: agents, register-call, conversation socket, webhooks |
//! | `livekit` | `livekit` | `TelephonyProvider`: SIP trunks, rooms, agents in them, dialling, webhooks |
//! | `knowlarity` | `knowlarity` | `TelephonyProvider`: numbers from a plan, click-to-call, call log, live events, pushes |
//! | `stripe` | `stripe` | `Billing`: customers, subscriptions, checkout, portal, usage, invoices, webhooks |
//! | `app_store` | `app_store` | `AppStore`: signed transactions and notifications, the App Store Server API |
//! | `smtp`, `outbox` | `mail` | `Mailer`: over SMTP, or as files in a folder |
//! | `sqlite`, `postgres` | `sql` | `Store`: one implementation, two databases |
//! | `emulator` | `emulator` | the providers themselves, as local servers for development and tests |

#[cfg(feature = "app_store")]
pub mod app_store;
#[cfg(feature = "elevenlabs")]
pub mod elevenlabs;
#[cfg(feature = "emulator")]
pub mod emulator;
#[cfg(feature = "http-client")]
pub mod http;
#[cfg(feature = "knowlarity")]
pub mod knowlarity;
#[cfg(feature = "livekit")]
pub mod livekit;
#[cfg(any(feature = "smtp", feature = "outbox"))]
pub mod mail;
#[cfg(feature = "sql")]
pub mod sql;
#[cfg(feature = "stripe")]
pub mod stripe;
#[cfg(feature = "twilio")]
pub mod twilio;
