//! What tenants use, and whether they may use more.
//!
//! A call is admitted in the unit of work that writes it down: [`admit`] decides, from one read, and the call's
//! reservation counts it. When the call ends, the reservation is counted or given back, once.

mod admission;
mod refusal;
mod repo;
mod reservation;
mod service;
mod window;

pub use admission::{Admitted, CallTerms, Situation, Used, admit, room};
pub use refusal::{Limit, Prompt, Refusal, RefusalCode};
pub use repo::{Holdings, Standing, UsageQuery, UsageRepo};
pub use reservation::{Reservation, ReservationState, was_connected};
pub use service::{UsageReport, Usages};
pub use window::{WindowKind, Windows, invoice_month};

pub(crate) use service::{CallKind, admission, require_room, reserve, settle, tried};
